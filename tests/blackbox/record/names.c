/* Calls that open, and on names: what comes, goes and moves, modes and times. */
#include "record.h"

#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- open ---------------------------------------------------------------------------------------------------------------------- */

struct opening {
	int dir, flags;
	const char *path;
	mode_t mode;
	const struct open_how *how;
};

static int
open_as(const struct opening *o)
{
	if (o->how)
		return (int)REAL(syscall)(SYS_openat2, o->dir, o->path, o->how, sizeof *o->how);
	return (int)REAL(syscall)(SYS_openat, o->dir, o->path, o->flags, o->mode);
}

/* O_CREAT makes a file only where there was none; O_TRUNC empties the one that was there. */
static int
open_it(const struct opening *o)
{
	bool create = o->flags & O_CREAT, empty = o->flags & O_TRUNC, fresh = false;
	struct stat st;
	struct at at;
	int fd;

	if ((!create && !empty) || !record_on())
		return open_as(o);
	record_lock();
	if (create)
		fresh = REAL(fstatat)(o->dir, o->path, &st, AT_SYMLINK_NOFOLLOW) && record_find(o->dir, o->path, &at);
	fd = open_as(o);
	if (fd >= 0 && fresh)
		record_named(CREATE, o->dir, o->path, &at, NULL);
	else if (fd >= 0 && empty)
		record_size(fd);
	record_unlock();
	return fd;
}

#define OPEN(at, name, how)                                                                               \
	({                                                                                                \
		va_list ap_;                                                                              \
		mode_t mode_ = 0;                                                                         \
                                                                                                          \
		va_start(ap_, how);                                                                       \
		if ((how)&O_CREAT)                                                                        \
			mode_ = va_arg(ap_, mode_t);                                                      \
		va_end(ap_);                                                                              \
		open_it(&(struct opening){ .dir = (at), .path = (name), .flags = (how), .mode = mode_ }); \
	})

int
open(const char *path, int flags, ...)
{
	return OPEN(AT_FDCWD, path, flags);
}
ALSO(open64, open);

int
openat(int dir, const char *path, int flags, ...)
{
	return OPEN(dir, path, flags);
}
ALSO(openat64, openat);

/* openat2 has no wrapper in libc. */
long
syscall(long n, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_openat2) {
		const struct open_how *how = (const struct open_how *)a[2];

		return open_it(
		    &(struct opening){ .dir = (int)a[0], .path = (const char *)a[1], .flags = (int)how->flags, .how = how });
	}
	return REAL(syscall)(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- names that come and go ---------------------------------------------------------------------------------------------------- */

static int
rename_it(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct record r = { .kind = flags & RENAME_EXCHANGE ? EXCHANGE : RENAME };
	struct at old, new;
	struct stat st;
	bool found;
	int rc;

	if (!record_on())
		return REAL(renameat2)(from_dir, from, to_dir, to, flags);
	record_lock();
	found = record_find(from_dir, from, &old) && record_find(to_dir, to, &new);
	rc = REAL(renameat2)(from_dir, from, to_dir, to, flags);
	if (rc == 0 && found && REAL(fstatat)(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		record_about(&r, &st);
		r.dir[0] = old.dir.st_ino;
		r.dir[1] = new.dir.st_ino;
		r.dir_mtime_ns[0] = record_dir_time(from_dir, from);
		r.dir_mtime_ns[1] = record_dir_time(to_dir, to);
		record_put(&r, old.name, new.name, NULL);
		if (flags & RENAME_EXCHANGE)
			record_attr(from_dir, from, AT_SYMLINK_NOFOLLOW); /* the other's change time */
	}
	record_unlock();
	return rc;
}

int
rename(const char *from, const char *to)
{
	return rename_it(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
renameat(int a, const char *from, int b, const char *to)
{
	return rename_it(a, from, b, to, 0);
}

int
renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	return rename_it(a, from, b, to, flags);
}

static int
unlink_it(int dir, const char *path, int flags)
{
	struct record r = { .kind = UNLINK };
	struct stat st;
	struct at at;
	bool found;
	int rc;

	if (!record_on())
		return REAL(unlinkat)(dir, path, flags);
	record_lock();
	found = REAL(fstatat)(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && record_find(dir, path, &at);
	rc = REAL(unlinkat)(dir, path, flags);
	if (rc == 0 && found) {
		record_about(&r, &st);
		r.dir[0] = at.dir.st_ino;
		r.dir_mtime_ns[0] = record_dir_time(dir, path);
		record_put(&r, at.name, NULL, NULL);
	}
	record_unlock();
	return rc;
}

int
unlink(const char *path)
{
	return unlink_it(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlink_it(AT_FDCWD, path, AT_REMOVEDIR);
}

int
unlinkat(int dir, const char *path, int flags)
{
	return unlink_it(dir, path, flags);
}

int
remove(const char *path)
{
	int rc = unlink_it(AT_FDCWD, path, 0);

	return rc && errno == EISDIR ? unlink_it(AT_FDCWD, path, AT_REMOVEDIR) : rc;
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	struct at at;
	int rc;

	if (!record_on())
		return REAL(mkdirat)(dir, path, mode);
	record_lock();
	rc = REAL(mkdirat)(dir, path, mode);
	if (rc == 0 && record_find(dir, path, &at))
		record_named(MKDIR, dir, path, &at, NULL);
	record_unlock();
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int
symlinkat(const char *target, int dir, const char *path)
{
	struct at at;
	int rc;

	if (!record_on())
		return REAL(symlinkat)(target, dir, path);
	record_lock();
	rc = REAL(symlinkat)(target, dir, path);
	if (rc == 0 && record_find(dir, path, &at))
		record_named(SYMLINK, dir, path, &at, target);
	record_unlock();
	return rc;
}

int
symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int
linkat(int a, const char *from, int b, const char *to, int flags)
{
	struct at at;
	int rc;

	if (!record_on())
		return REAL(linkat)(a, from, b, to, flags);
	record_lock();
	rc = REAL(linkat)(a, from, b, to, flags);
	if (rc == 0 && record_find(b, to, &at))
		record_named(LINK, b, to, &at, NULL);
	record_unlock();
	return rc;
}

int
link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- modes and times ----------------------------------------------------------------------------------------------------------- */

#define CHANGES(call, fd, path, flags)                \
	({                                            \
		int rc_;                              \
		bool on_ = record_on();               \
                                                      \
		if (on_)                              \
			record_lock();                \
		rc_ = (call);                         \
		if (on_ && rc_ == 0)                  \
			record_attr(fd, path, flags); \
		if (on_)                              \
			record_unlock();              \
		rc_;                                  \
	})

int
chmod(const char *path, mode_t mode)
{
	return CHANGES(REAL(chmod)(path, mode), AT_FDCWD, path, 0);
}

int
fchmod(int fd, mode_t mode)
{
	return CHANGES(REAL(fchmod)(fd, mode), fd, NULL, 0);
}

int
fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	return CHANGES(REAL(fchmodat)(dir, path, mode, flags), dir, path, flags);
}

int
futimens(int fd, const struct timespec ts[2])
{
	return CHANGES(REAL(futimens)(fd, ts), fd, NULL, 0);
}

int
utimensat(int dir, const char *path, const struct timespec ts[2], int flags)
{
	return CHANGES(REAL(utimensat)(dir, path, ts, flags), dir, path, flags);
}
