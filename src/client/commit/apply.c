/*
 * The parts that every change shares: opening, temporaries, comparing with what was expected, and durability.
 *
 * A1  Bytes are durable before they have a name in the tree; the name is durable after apply_flush (P18).
 * A2  Nothing in the tree is ever unlinked but empty directories.  What has to go is exchanged or renamed into the trash in one step, so
 *     a crash at any instant leaves it in the tree or in the trash, never in .dray/tmp, which the next start empties (but for what
 *     is kept of downloads: temp.c).
 * A3  A look before a change can be outrun; the look at what came out cannot.  So every rename that displaces something is followed
 *     by a look, and undone when it took something else than was expected.
 */
#include "client/commit/apply_internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/path.h"

#define SYNC_ALL_FROM 16 /* directories: from here on one syncfs costs less than as many fsyncs */
#define NS_PER_S INT64_C(1000000000)

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static err_code
open_dir(int root, const char *path, int *fd, struct err *err)
{
	err_code rc = pathat_mkdir(root, path, 0700, err);

	if (rc && rc != ERR_EXISTS)
		return rc;
	return pathat_open(root, path, O_RDONLY | O_DIRECTORY, 0, fd, err);
}

err_code
apply_open(int root, int64_t now_us, struct apply **out, struct err *err)
{
	struct apply *ap = xcalloc(1, sizeof *ap);
	char when[RFC3339_MAX];
	int dray = -1;
	err_code rc;

	ap->root = root;
	ap->tmp = ap->trash = -1;
	ap->mask = umask_now();
	ap->touched = map_new();
	ap->kept = map_new();
	ap->trashed = map_new();
	ap->now_us = now_us;
	memcpy(ap->day, rfc3339_us(now_us, when), DAY_LEN);
	rc = open_dir(root, ".dray", &dray, err);
	if (!rc)
		rc = open_dir(dray, "tmp", &ap->tmp, err);
	if (!rc)
		rc = open_dir(dray, "trash", &ap->trash, err);
	if (!rc)
		rc = temps_sweep(ap, err);
	closep(&dray);
	if (rc) {
		apply_free(ap);
		return rc;
	}
	*out = ap;
	return ERR_OK;
}

void
apply_free(struct apply *ap)
{
	size_t pos = 0, len;
	const void *key;
	void *path;

	if (!ap)
		return;
	while (map_next(ap->trashed, &pos, &key, &len, &path))
		free(path);
	map_free(ap->trashed);
	closep(&ap->tmp);
	closep(&ap->trash);
	map_free(ap->touched);
	map_free(ap->kept);
	free(ap);
}

const struct map *
apply_trashed(const struct apply *ap)
{
	return ap->trashed;
}

err_code
apply_ready(const struct apply *ap, struct err *err)
{
	return ap->broken ? err_set(err, ERR_IO, "an earlier change could not be made durable") : ERR_OK;
}

/* ---- places ----------------------------------------------------------------------------------------------------------- */

void
place_fini(struct place *p)
{
	closep(&p->dir);
}

/* M30: by path, as if nobody could swap a directory for a symlink meanwhile. */
static err_code
place_by_path(struct apply *ap, const char *path, struct place *out, struct err *err)
{
	char dir[PATH_LEN_MAX + 1];
	size_t len;

	out->name = path_split(path, &len);
	snprintf(dir, sizeof dir, "%.*s", (int)len, path);
	out->dir = openat(ap->root, len ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return out->dir < 0 ? err_errno(err, "open the directory of %s", path) : ERR_OK;
}

err_code
place_open(struct apply *ap, const char *path, struct place *out, struct err *err)
{
	if (FAULT("client.open_by_path"))
		return place_by_path(ap, path, out, err);
	return pathat_parent(ap->root, path, &out->dir, &out->name, err);
}

err_code
place_stat(const struct place *p, const char *path, struct stat *st, struct err *err)
{
	if (fstatat(p->dir, p->name, st, AT_SYMLINK_NOFOLLOW) == 0)
		return ERR_OK;
	if (errno == ENOENT)
		return err_set(err, ERR_VERSION_CONFLICT, "%s is gone", path);
	return err_errno(err, "stat %s", path);
}

static bool
link_is(const struct place *p, const struct stat *st, const struct entry *expect)
{
	char target[LINK_TARGET_MAX + 1];
	ssize_t n;

	if (!S_ISLNK(st->st_mode))
		return false;
	n = readlinkat(p->dir, p->name, target, sizeof target);
	return n >= 0 && (size_t)n == strlen(expect->target) && memcmp(target, expect->target, (size_t)n) == 0;
}

static bool
file_is(const struct stat *st, const struct entry *expect)
{
	if (!S_ISREG(st->st_mode) || st->st_dev != expect->dev || st->st_ino != expect->ino || st->st_size != expect->size)
		return false;
	if (FAULT("client.check_seconds"))
		return stat_mtime_ns(st) / NS_PER_S == expect->mtime_ns / NS_PER_S;
	return stat_mtime_ns(st) == expect->mtime_ns;
}

bool
place_is(const struct place *p, const struct stat *st, const struct entry *expect)
{
	switch (expect->kind) {
	case ENTRY_FILE:
		return file_is(st, expect);
	case ENTRY_DIR:
		return S_ISDIR(st->st_mode);
	case ENTRY_LINK:
		return link_is(p, st, expect);
	}
	return false;
}

err_code
place_expect(const struct place *p, const char *path, const struct entry *expect, struct stat *st, struct err *err)
{
	err_code rc = place_stat(p, path, st, err);
	bool same;

	if (rc)
		return rc;
	same = place_is(p, st, expect);
	if (same && expect->kind == ENTRY_FILE && expect->ctime_ns && !FAULT("client.check_seconds"))
		same = stat_ctime_ns(st) == expect->ctime_ns;
	/* Without this look, the one at what came out must still find everything that it can. */
	if (same || FAULT("client.no_exchange_check") || FAULT("client.no_look_before"))
		return ERR_OK;
	return err_set(err, ERR_VERSION_CONFLICT, "%s has changed meanwhile", path);
}

struct timespec
time_of_ns(int64_t ns)
{
	int64_t rest = ns % NS_PER_S;

	return (struct timespec){ .tv_sec = ns / NS_PER_S - (rest < 0), .tv_nsec = rest < 0 ? rest + NS_PER_S : rest };
}

/*
 * The file's time was set by us, so a later write shows in it, unless that time is the present: then the write may leave the very same
 * stamp, and only another look at the bytes is sure.
 */
void
installed_as(const struct entry *want, const struct stat *st, struct entry *out)
{
	int64_t age;

	*out = *want;
	out->size = S_ISREG(st->st_mode) ? st->st_size : 0;
	out->mode = st->st_mode & 0777;
	out->mtime_ns = stat_mtime_ns(st);
	out->dev = st->st_dev;
	out->ino = st->st_ino;
	out->ctime_ns = stat_ctime_ns(st);
	if (!__builtin_sub_overflow(out->ctime_ns, out->mtime_ns, &age) && age < RACY_NS && age > -RACY_NS)
		out->ctime_ns = 0;
}

void
installed_anew(const struct entry *want, const struct stat *st, int64_t looked_ns, struct entry *out)
{
	int64_t age;
	bool is_quick = !__builtin_sub_overflow(stat_ctime_ns(st), looked_ns, &age) && age < RACY_NS && age > -RACY_NS;

	installed_as(want, st, out);
	if (want->kind == ENTRY_FILE && !is_quick && !FAULT("client.trusts_own_ctime"))
		out->ctime_ns = 0;
}

/* ---- durability (A1) -------------------------------------------------------------------------------------------------- */

void
touch_dir(struct apply *ap, const char *prefix, const char *path)
{
	char dir[PATH_LEN_MAX + 1];
	size_t len;
	int n;

	path_split(path, &len);
	n = snprintf(dir, sizeof dir, "%s%.*s", prefix, (int)len, path);
	if (n < 0 || (size_t)n >= sizeof dir) {
		ap->sync_all = true;
		return;
	}
	while (n > 0 && dir[n - 1] == '/')
		n--;
	map_put(ap->touched, dir, (size_t)n, ap);
}

static err_code
flush_dirs(struct apply *ap, struct err *err)
{
	char dir[PATH_LEN_MAX + 1];
	const void *key;
	void *value;
	size_t pos = 0, len;

	while (map_next(ap->touched, &pos, &key, &len, &value)) {
		err_code rc;

		memcpy(dir, key, len);
		dir[len] = '\0';
		rc = pathat_fsync_dir(ap->root, dir, err);
		/* Removed or replaced since: then its own directory has changed too, and is in the list or is the user's. */
		if (rc && rc != ERR_NOT_FOUND && rc != ERR_PARENT_NOT_DIRECTORY)
			return rc;
	}
	return ERR_OK;
}

err_code
apply_flush(struct apply *ap, struct err *err)
{
	err_code rc = apply_ready(ap, err);

	if (rc)
		return rc;
	if (ap->sync_all || map_count(ap->touched) >= SYNC_ALL_FROM)
		rc = syncfs(ap->tmp) ? err_errno(err, "flush the file system") : ERR_OK;
	else
		rc = flush_dirs(ap, err);
	if (rc) {
		ap->broken = true; /* I6 */
		return rc;
	}
	map_free(ap->touched);
	ap->touched = map_new();
	ap->sync_all = false;
	return ERR_OK;
}
