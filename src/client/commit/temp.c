/*
 * Temporaries: .dray/tmp.  Most live for one run.  That of a large file is named by the file's id, "k-" and 32 digits, and stays when
 * the run ends before the file is whole, so that the next one need not fetch again what it holds (docs/adr/0007).
 *
 * It is looked for by id, not by content: when the file has changed on the server meanwhile, most of the blocks are still in their places.
 */
#include "client/commit/apply_internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/rng.h"

#define KEPT_PREFIX "k-"
#define DAY_US INT64_C(86400000000)

static_assert(sizeof KEPT_PREFIX + ID_HEX_LEN <= APPLY_TEMP_NAME_MAX, "the name of a kept temporary");

void
temp_name(char name[static APPLY_TEMP_NAME_MAX])
{
	snprintf(name, APPLY_TEMP_NAME_MAX, "t-%016llx", (unsigned long long)rng_u64());
}

static void
kept_name(const struct id *file, char name[static APPLY_TEMP_NAME_MAX])
{
	char hex[ID_HEX_LEN + 1];

	snprintf(name, APPLY_TEMP_NAME_MAX, KEPT_PREFIX "%s", id_hex(file, hex));
}

bool
apply_temp_stays(const char *name)
{
	size_t prefix = strlen(KEPT_PREFIX);

	return strncmp(name, KEPT_PREFIX, prefix) == 0 && strlen(name) == prefix + ID_HEX_LEN;
}

/* ---- the folder ----------------------------------------------------------------------------------------------------- */

/* By the change time, which cannot be set: the modification time may be that of the file to be. */
static bool
is_kept(int tmp, const char *name, int64_t now_us)
{
	struct stat st;

	return apply_temp_stays(name) && fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    now_us - stat_ctime_ns(&st) / 1000 < APPLY_KEPT_DAYS * DAY_US && !FAULT("client.keeps_no_temp");
}

/* Only what we made ourselves is ever here (A2).  ${kept} NULL: nothing is. */
static err_code
sweep(int tmp, struct map *kept, int64_t now_us, struct err *err)
{
	int fd = openat(tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return err_errno(err, "read .dray/tmp");
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (kept && is_kept(tmp, e->d_name, now_us))
			(void)map_put(kept, e->d_name, strlen(e->d_name), kept);
		else if (unlinkat(tmp, e->d_name, 0) && errno == EISDIR)
			(void)unlinkat(tmp, e->d_name, AT_REMOVEDIR); /* what cannot be removed is in nobody's way */
	}
	closedir(d);
	return ERR_OK;
}

err_code
temps_sweep(struct apply *ap, struct err *err)
{
	return sweep(ap->tmp, ap->kept, ap->now_us, err);
}

void
apply_temps_clear(int root)
{
	AUTO(closep) int tmp = -1;
	struct err ignored;

	if (pathat_open(root, ".dray/tmp", O_RDONLY | O_DIRECTORY, 0, &tmp, &ignored) == ERR_OK)
		(void)!sweep(tmp, NULL, 0, &ignored);
}

/* ---- single ones ---------------------------------------------------------------------------------------------------- */

err_code
apply_temp(struct apply *ap, int *fd, char name[static APPLY_TEMP_NAME_MAX], struct err *err)
{
	temp_name(name);
	*fd = openat(ap->tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *fd < 0 ? err_errno(err, "make a temporary file in .dray/tmp") : ERR_OK;
}

bool
apply_temp_waits(const struct apply *ap, const struct id *file)
{
	char name[APPLY_TEMP_NAME_MAX];

	if (map_count(ap->kept) == 0)
		return false;
	kept_name(file, name);
	return map_get(ap->kept, name, strlen(name)) != NULL;
}

err_code
apply_temp_kept(struct apply *ap, const struct id *file, int *fd, char name[static APPLY_TEMP_NAME_MAX], struct err *err)
{
	kept_name(file, name);
	/* It may have got the file's own mode just before the run was cut short.  Another one has nothing in it: those who fill it count on that. */
	if (!apply_temp_waits(ap, file))
		(void)unlinkat(ap->tmp, name, 0);
	else if (fchmodat(ap->tmp, name, 0600, 0) && errno != ENOENT)
		return err_errno(err, "open a kept temporary file in .dray/tmp");
	*fd = openat(ap->tmp, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *fd < 0 ? err_errno(err, "make a temporary file in .dray/tmp") : ERR_OK;
}

void
apply_temp_drop(struct apply *ap, const char *name)
{
	(void)unlinkat(ap->tmp, name, 0); /* if it stays, the next start removes it */
}
