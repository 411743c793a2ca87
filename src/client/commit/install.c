/*
 * Putting something new at a name: a file whose bytes are there already, a directory, a link.
 */
#include "client/commit/apply_internal.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"

#define SYNC_ALL_FROM 16 /* files: from here on one syncfs costs less than as many fsyncs */

/* ---- taking a name ---------------------------------------------------------------------------------------------------- */

static void
remove_ours(const struct place *at)
{
	if (unlinkat(at->dir, at->name, 0) && errno == EISDIR)
		(void)unlinkat(at->dir, at->name, AT_REMOVEDIR);
}

/* It did not find its place.  What was fetched with effort is kept for the next attempt. */
static void
give_up(const struct apply *ap, const struct place *from, err_code code)
{
	if (code != ERR_VERSION_CONFLICT || from->dir != ap->tmp || !apply_temp_stays(from->name))
		remove_ours(from);
}

err_code
place_new(struct apply *ap, const struct place *from, const char *path, int64_t *done_ns, struct err *err)
{
	AUTO(place_fini) struct place at = { .dir = -1 };
	err_code rc = place_open(ap, path, &at, err);

	if (rc == ERR_OK && renameat2(from->dir, from->name, at.dir, at.name, RENAME_NOREPLACE) == 0) {
		*done_ns = clock_wall_ns();
		touch_dir(ap, "", path);
		return ERR_OK;
	}
	if (rc == ERR_OK)
		rc = errno == EEXIST ? err_set(err, ERR_VERSION_CONFLICT, "%s exists by now", path) :
		                       err_errno(err, "rename to %s", path);
	give_up(ap, from, rc);
	return rc;
}

/* Only a directory without entries may be displaced by something else. */
static bool
is_empty_dir(const struct place *at)
{
	int fd = openat(at->dir, at->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool empty = true;

	if (!d)
		return false;
	errno = 0;
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			empty = false;
	}
	empty = empty && errno == 0; /* an unread directory is not known to be empty */
	closedir(d);
	return empty;
}

static bool
displaced_is(const struct place *slot, const struct entry *expect)
{
	struct stat st;

	if (FAULT("client.no_exchange_check"))
		return true;
	if (fstatat(slot->dir, slot->name, &st, AT_SYMLINK_NOFOLLOW))
		return false;
	return place_is(slot, &st, expect) && (expect->kind != ENTRY_DIR || is_empty_dir(slot));
}

/* Whether it is what we had put at the name, and nobody has written into it there. */
static bool
is_ours(const struct stat *st, const struct stat *ours)
{
	if (st->st_dev != ours->st_dev || st->st_ino != ours->st_ino)
		return false;
	return (st->st_size == ours->st_size && stat_mtime_ns(st) == stat_mtime_ns(ours)) || FAULT("client.edited_is_ours");
}

/*
 * What came out was not expected: put it back.  If the name has been taken by something that is not ours in the meantime, or somebody has
 * written into ours, that is the newest, so it keeps the name, and what we hold stays in the trash.
 */
static void
put_back(const struct place *slot, const struct place *at, const struct stat *ours)
{
	struct stat st;

	if (renameat2(slot->dir, slot->name, at->dir, at->name, RENAME_EXCHANGE)) {
		(void)!renameat2(slot->dir, slot->name, at->dir, at->name, RENAME_NOREPLACE);
		return;
	}
	if (fstatat(slot->dir, slot->name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	if (is_ours(&st, ours))
		remove_ours(slot);
	else
		(void)!renameat2(slot->dir, slot->name, at->dir, at->name, RENAME_EXCHANGE);
}

/* Ours lies in the trash under the name that the displaced will have there, so that one exchange does both (A2). */
static err_code
exchange(struct slot *slot, const struct place *at, const char *path, const struct entry *expect, int64_t *done_ns, struct err *err)
{
	struct stat ours;

	if (fstatat(slot->at.dir, slot->at.name, &ours, AT_SYMLINK_NOFOLLOW))
		return err_errno(err, "stat what replaces %s", path);
	if (renameat2(slot->at.dir, slot->at.name, at->dir, at->name, RENAME_EXCHANGE)) {
		err_code rc = errno == ENOENT ? err_set(err, ERR_VERSION_CONFLICT, "%s is gone", path) :
		                                err_errno(err, "exchange %s", path);

		remove_ours(&slot->at);
		return rc;
	}
	*done_ns = clock_wall_ns();
	if (displaced_is(&slot->at, expect))
		return ERR_OK;
	put_back(&slot->at, at, &ours);
	return err_set(err, ERR_VERSION_CONFLICT, "%s changed while it was replaced", path);
}

err_code
place_over(struct apply *ap, const struct place *from, const char *path, const struct entry *expect, int64_t *done_ns, struct err *err)
{
	AUTO(place_fini) struct place at = { .dir = -1 };
	struct slot slot = { .at.dir = -1 };
	struct stat st;
	err_code rc = place_open(ap, path, &at, err);

	if (rc == ERR_OK)
		rc = place_expect(&at, path, expect, &st, err);
	if (rc == ERR_OK && expect->kind == ENTRY_DIR && !is_empty_dir(&at) && !FAULT("client.no_look_before"))
		rc = err_set(err, ERR_VERSION_CONFLICT, "directory %s is not empty", path);
	if (rc == ERR_OK)
		rc = trash_take(ap, from, path, &slot, err);
	if (rc) {
		give_up(ap, from, rc);
		place_fini(&slot.at);
		return rc;
	}
	touch_dir(ap, "", path);
	rc = exchange(&slot, &at, path, expect, done_ns, err);
	place_fini(&slot.at);
	return rc;
}

static err_code
place(struct apply *ap, const char *temp, const struct entry *want, const struct entry *expect, struct entry *installed,
    struct err *err)
{
	struct place from = { .dir = ap->tmp, .name = temp };
	struct stat st, now;
	int64_t done_ns;
	err_code rc;

	if (fstatat(from.dir, from.name, &st, AT_SYMLINK_NOFOLLOW))
		return err_errno(err, "stat the temporary for %s", want->path);
	rc = expect ? place_over(ap, &from, want->path, expect, &done_ns, err) : place_new(ap, &from, want->path, &done_ns, err);
	if (rc)
		return rc;
	/*
	 * The stat that is recorded must be of our own inode, or a file that has taken the name since would pass for ours: so look again,
	 * for the change time that the rename has set, and leave it open when something else is there.  A change time from after the rename is of
	 * a write in between, which may have set the old time again.
	 */
	if (pathat_stat(ap->root, want->path, &now, NULL) == ERR_OK && now.st_ino == st.st_ino && now.st_dev == st.st_dev &&
	    now.st_size == st.st_size && stat_mtime_ns(&now) == stat_mtime_ns(&st) && stat_ctime_ns(&now) <= done_ns) {
		installed_as(want, &now, installed);
	} else {
		installed_as(want, &st, installed);
		installed->ctime_ns = 0;
	}
	return ERR_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* Mode and time are set before the flush, so that they are as durable as the bytes. */
static err_code
prepare(struct apply *ap, const struct apply_install *it, bool flush, struct err *err)
{
	AUTO(closep) int fd = openat(ap->tmp, it->temp, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_of_ns(it->want->mtime_ns) };
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return err_errno(err, "open the temporary for %s", it->want->path);
	if (st.st_size != it->want->size)
		return err_set(err, ERR_SIZE_MISMATCH, "the temporary for %s has %lld bytes, not %lld", it->want->path,
		    (long long)st.st_size, (long long)it->want->size);
	if (fchmod(fd, it->want->mode & 0777 & ~ap->mask) || futimens(fd, times))
		return err_errno(err, "set mode and time of %s", it->want->path);
	if (flush && fsync(fd)) {
		ap->broken = true; /* I6 */
		return err_errno(err, "flush %s", it->want->path);
	}
	return ERR_OK;
}

static void
prepare_all(struct apply *ap, struct apply_install *items, size_t n)
{
	bool each = n < SYNC_ALL_FROM;
	struct err why;
	err_code rc;

	for (size_t i = 0; i < n; i++) {
		items[i].code = apply_ready(ap, &items[i].err);
		if (items[i].code == ERR_OK)
			items[i].code = prepare(ap, &items[i], each, &items[i].err);
	}
	if (each || syncfs(ap->tmp) == 0)
		return;
	ap->broken = true;
	rc = err_errno(&why, "flush the file system");
	for (size_t i = 0; i < n; i++) {
		if (items[i].code == ERR_OK) {
			items[i].code = rc;
			items[i].err = why;
		}
	}
}

void
apply_install(struct apply *ap, struct apply_install *items, size_t n)
{
	prepare_all(ap, items, n);
	for (size_t i = 0; i < n; i++) {
		struct apply_install *it = &items[i];

		if (it->code == ERR_OK)
			it->code = place(ap, it->temp, it->want, it->expect, &it->installed, &it->err);
		else
			apply_temp_drop(ap, it->temp);
	}
}

/* ---- directories and links -------------------------------------------------------------------------------------------- */

static err_code
mkdir_over(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err)
{
	char temp[APPLY_TEMP_NAME_MAX];

	temp_name(temp);
	if (mkdirat(ap->tmp, temp, (want->mode & 0777) | 0700))
		return err_errno(err, "make a directory in .dray/tmp");
	return place(ap, temp, want, expect, installed, err);
}

static err_code
mkdir_new(struct apply *ap, const struct entry *want, struct entry *installed, struct err *err)
{
	AUTO(place_fini) struct place at = { .dir = -1 };
	struct stat st;
	err_code rc = place_open(ap, want->path, &at, err);

	if (rc)
		return rc;
	if (mkdirat(at.dir, at.name, (want->mode & 0777) | 0700))
		return errno == EEXIST ? err_set(err, ERR_VERSION_CONFLICT, "%s exists by now", want->path) :
		                         err_errno(err, "make directory %s", want->path);
	touch_dir(ap, "", want->path);
	rc = place_stat(&at, want->path, &st, err);
	if (rc == ERR_OK)
		installed_as(want, &st, installed);
	return rc;
}

err_code
apply_mkdir(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err)
{
	err_code rc = apply_ready(ap, err);

	if (rc)
		return rc;
	if (!expect)
		return mkdir_new(ap, want, installed, err);
	if (expect->kind == ENTRY_DIR)
		return apply_meta(ap, want, expect, installed, err);
	return mkdir_over(ap, want, expect, installed, err);
}

err_code
apply_link(struct apply *ap, const struct entry *want, const struct entry *expect, struct entry *installed, struct err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_of_ns(want->mtime_ns) };
	char temp[APPLY_TEMP_NAME_MAX];
	err_code rc = apply_ready(ap, err);

	if (rc)
		return rc;
	temp_name(temp);
	if (symlinkat(want->target, ap->tmp, temp))
		return err_errno(err, "make a symlink in .dray/tmp");
	if (utimensat(ap->tmp, temp, times, AT_SYMLINK_NOFOLLOW)) {
		rc = err_errno(err, "set the time of %s", want->path);
		apply_temp_drop(ap, temp);
		return rc;
	}
	return place(ap, temp, want, expect, installed, err);
}
