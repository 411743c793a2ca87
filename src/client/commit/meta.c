/*
 * Mode and time of what is there already.  The inode is pinned by an O_PATH descriptor and changed through /proc/self/fd, so a file that
 * takes the name meanwhile is not touched, and a file that we may not read can still be set.
 */
#include "base/clock.h"
#include "client/commit/apply_internal.h"

#include <errno.h>
#include <unistd.h>

#define PIN_MAX 32

static char *
pin_path(int fd, char out[static PIN_MAX])
{
	snprintf(out, PIN_MAX, "/proc/self/fd/%d", fd);
	return out;
}

static err_code
set_mode(int fd, const char *path, uint32_t mode, struct err *err)
{
	char pin[PIN_MAX];

	return chmod(pin_path(fd, pin), mode) ? err_errno(err, "set the mode of %s", path) : ERR_OK;
}

static err_code
set_time(int fd, const char *path, int64_t mtime_ns, struct err *err)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, time_of_ns(mtime_ns) };
	char pin[PIN_MAX];

	/* Through the pin a symlink is changed itself: the kernel goes to the pinned inode and no further. */
	return utimensat(AT_FDCWD, pin_path(fd, pin), ts, 0) ? err_errno(err, "set the time of %s", path) : ERR_OK;
}

/* A directory keeps its owner's permissions until its contents are done: apply_dir_time takes them away. */
static uint32_t
mode_for(const struct apply *ap, const struct entry *want)
{
	uint32_t mode = want->mode & 0777 & ~(uint32_t)ap->mask;

	return want->kind == ENTRY_DIR ? mode | 0700 : mode;
}

static err_code
pin(struct apply *ap, const char *path, const struct entry *expect, int *fd, struct stat *st, struct err *err)
{
	AUTO(place_fini) struct place at = { .dir = -1 };
	err_code rc = place_open(ap, path, &at, err);

	if (rc == ERR_OK)
		rc = place_expect(&at, path, expect, st, err);
	if (rc)
		return rc;
	*fd = openat(at.dir, at.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return err_errno(err, "open %s", path);
	if (fstat(*fd, st))
		return err_errno(err, "stat %s", path);
	if (!place_is(&(struct place){ .dir = *fd, .name = "" }, st, expect))
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed meanwhile", path);
	return ERR_OK;
}

err_code
apply_meta(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err)
{
	AUTO(closep) int fd = -1;
	uint32_t mode = mode_for(ap, want);
	int64_t looked_ns = clock_wall_ns();
	bool timed = false;
	struct stat st;
	err_code rc = apply_ready(ap, err);

	if (rc == ERR_OK)
		rc = pin(ap, want->path, expect, &fd, &st, err);
	if (rc == ERR_OK && want->kind != ENTRY_LINK && (st.st_mode & 0777) != mode)
		rc = set_mode(fd, want->path, mode, err);
	if (rc == ERR_OK && stat_mtime_ns(&st) != want->mtime_ns) {
		rc = set_time(fd, want->path, want->mtime_ns, err);
		timed = true;
	}
	if (rc == ERR_OK && fstat(fd, &st))
		rc = err_errno(err, "stat %s", want->path);
	if (rc)
		return rc;
	ap->sync_all = true; /* an inode's own data, which no directory's fsync covers */
	installed_anew(want, &st, looked_ns, installed);
	/* A write between our look and the new time would not show in it, nor would it have to set the old one again. */
	if (timed && want->kind == ENTRY_FILE)
		installed->ctime_ns = 0;
	return ERR_OK;
}

err_code
apply_dir_time(struct apply *ap, const struct entry *want, struct entry *installed, struct err *err)
{
	AUTO(closep) int fd = -1;
	uint32_t mode = want->mode & 0777 & ~(uint32_t)ap->mask;
	struct stat st;
	err_code rc = pathat_open(ap->root, want->path, O_PATH | O_DIRECTORY, 0, &fd, err);

	*installed = *want;
	if (rc == ERR_NOT_FOUND || rc == ERR_PARENT_NOT_DIRECTORY)
		return ERR_OK; /* gone: its time does not matter */
	if (rc)
		return rc;
	if (fstat(fd, &st))
		return err_errno(err, "stat %s", want->path);
	/* Only from the mode that we left behind: any other is the user's. */
	if ((st.st_mode & 0777) != mode && (st.st_mode & 0777) == (mode | 0700)) {
		rc = set_mode(fd, want->path, mode, err);
		ap->sync_all = true; /* a mode that a power cut undoes would be sent as an edit; of a time that is put up with */
	}
	if (rc == ERR_OK && stat_mtime_ns(&st) != want->mtime_ns)
		rc = set_time(fd, want->path, want->mtime_ns, err);
	if (rc == ERR_OK && fstat(fd, &st))
		rc = err_errno(err, "stat %s", want->path);
	if (rc == ERR_OK)
		installed_as(want, &st, installed);
	return rc;
}
