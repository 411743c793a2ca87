/*
 * Files beneath a root (I11).
 *
 * P1  Only beneath() turns a path of more than one component into a descriptor, and it does so with openat2, where the kernel
 *     refuses symlinks and "..", atomically with the lookup.  So no check of ours can be outrun by a rename or a symlink that
 *     appears between check and use.
 * P2  Every other call works on (descriptor of the parent, one name), in a form that does not follow the name if it is a
 *     symlink.  One name that is not ".." cannot lead out of its directory.  Only pathat_fsync_name looks above; it changes nothing.
 */
#include "base/pathat.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"

/*
 * openat2 may answer EAGAIN when a rename ran beside a lookup that it could not prove safe.  Today's kernels do so only for
 * "..", which we refuse ourselves, but the manual promises no more than "try again"; the limit is for whoever renames in a
 * loop to keep us busy.
 */
#define TRIES_MAX 128

#define NS_PER_S INT64_C(1000000000)

/* The code for errno of a lookup. */
static err_code
lookup_error(const char *what, const char *path, struct err *err)
{
	if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)
		return err_sys(err, ERR_PARENT_NOT_DIRECTORY, errno, "%s %s", what, path);
	return err_errno(err, "%s %s", what, path);
}

/* The code for errno of a call on (parent, name).  EXDEV is then another file system, not an escape. */
static err_code
call_error(const char *what, const char *path, struct err *err)
{
	if (errno == EXDEV)
		return err_errno(err, "%s %s", what, path);
	return lookup_error(what, path, err);
}

static int
openat2_retry(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/* openat2 refuses a mode that nothing would use. */
	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

/* RESOLVE_BENEATH lets "a/.." pass, since it stays beneath; no path of ours has one, so it is a mistake or an attack. */
static bool
has_dotdot(const char *path, size_t len)
{
	const char *end = path + len;

	while (path < end) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t n = (size_t)((slash ? slash : end) - path);

		if (n == 2 && memcmp(path, "..", 2) == 0)
			return true;
		path += n + 1;
	}
	return false;
}

/*
 * Open path[0 … len) beneath ${root}; -1 and errno on failure.  The kernel takes PATH_MAX bytes with the NUL at a time, and a
 * path of PATH_LEN_MAX is one longer, so a long path is walked in pieces; each piece is beneath the one before, so the whole
 * is beneath the root.
 */
static int
beneath(int root, const char *path, size_t len, int flags, mode_t mode)
{
	AUTO(closep) int dir = -1;
	char piece[PATH_MAX];

	if (len > PATH_LEN_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (path[0] == '/' || has_dotdot(path, len)) {
		errno = EXDEV;
		return -1;
	}
	while (len >= sizeof piece) {
		const char *slash = memrchr(path, '/', sizeof piece - 1);
		size_t n = slash ? (size_t)(slash - path) : 0;
		int next;

		if (n == 0) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(piece, path, n);
		piece[n] = '\0';
		next = openat2_retry(dir < 0 ? root : dir, piece, O_PATH | O_DIRECTORY, 0);
		if (next < 0)
			return -1;
		closep(&dir);
		dir = next;
		path += n + 1;
		len -= n + 1;
	}
	memcpy(piece, path, len);
	piece[len] = '\0';
	return openat2_retry(dir < 0 ? root : dir, len ? piece : ".", flags, mode);
}

err_code
pathat_open(int root, const char *path, int flags, mode_t mode, int *fd, struct err *err)
{
	*fd = beneath(root, path, strlen(path), flags, mode);
	return *fd < 0 ? lookup_error("open", path, err) : ERR_OK;
}

err_code
pathat_parent(int root, const char *path, int *dirfd, const char **name, struct err *err)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;

	*dirfd = -1;
	*name = last;
	if (path[0] == '/' || strcmp(last, "..") == 0)
		return err_sys(err, ERR_PARENT_NOT_DIRECTORY, EXDEV, "open %s", path);
	if (last[0] == '\0' || strcmp(last, ".") == 0)
		return err_set(err, ERR_PATH_INVALID, "'%s' does not end in a name", path);
	*dirfd = beneath(root, path, slash ? (size_t)(slash - path) : 0, O_PATH | O_DIRECTORY, 0);
	return *dirfd < 0 ? lookup_error("open the directory of", path, err) : ERR_OK;
}

err_code
pathat_stat(int root, const char *path, struct stat *st, struct err *err)
{
	AUTO(closep) int fd = beneath(root, path, strlen(path), O_PATH, 0);

	if (fd < 0)
		return lookup_error("stat", path, err);
	return fstat(fd, st) == 0 ? ERR_OK : err_errno(err, "stat %s", path);
}

err_code
pathat_mkdir(int root, const char *path, mode_t mode, struct err *err)
{
	AUTO(closep) int dir = -1;
	const char *name;
	err_code rc = pathat_parent(root, path, &dir, &name, err);

	if (rc)
		return rc;
	return mkdirat(dir, name, mode & 07777) == 0 ? ERR_OK : call_error("make directory", path, err);
}

err_code
pathat_unlink(int root, const char *path, int flags, struct err *err)
{
	AUTO(closep) int dir = -1;
	const char *name;
	err_code rc = pathat_parent(root, path, &dir, &name, err);

	assert((flags & ~AT_REMOVEDIR) == 0);
	if (rc)
		return rc;
	return unlinkat(dir, name, flags) == 0 ? ERR_OK : call_error("remove", path, err);
}

err_code
pathat_symlink(int root, const char *path, const char *target, struct err *err)
{
	AUTO(closep) int dir = -1;
	const char *name;
	err_code rc = pathat_parent(root, path, &dir, &name, err);

	if (rc)
		return rc;
	return symlinkat(target, dir, name) == 0 ? ERR_OK : call_error("make symlink", path, err);
}

err_code
pathat_readlink(int root, const char *path, char *buf, size_t cap, size_t *len, struct err *err)
{
	AUTO(closep) int dir = -1;
	char target[LINK_TARGET_MAX + 1]; /* one more than a target can have, so that none is cut unnoticed */
	const char *name;
	ssize_t n;
	err_code rc = pathat_parent(root, path, &dir, &name, err);

	if (rc)
		return rc;
	n = readlinkat(dir, name, target, sizeof target);
	if (n < 0)
		return call_error("read symlink", path, err);
	if ((size_t)n > cap || (size_t)n == sizeof target)
		return err_set(err, ERR_PATH_TOO_LONG, "the target of symlink %s is longer than %zu bytes", path, cap);
	memcpy(buf, target, (size_t)n);
	*len = (size_t)n;
	return ERR_OK;
}

err_code
pathat_rename(int old_root, const char *old, int new_root, const char *new, unsigned flags, struct err *err)
{
	AUTO(closep) int old_dir = -1;
	AUTO(closep) int new_dir = -1;
	const char *old_name, *new_name;
	err_code rc;

	rc = pathat_parent(old_root, old, &old_dir, &old_name, err);
	if (rc)
		return rc;
	rc = pathat_parent(new_root, new, &new_dir, &new_name, err);
	if (rc)
		return rc;
	if (renameat2(old_dir, old_name, new_dir, new_name, flags) == 0)
		return ERR_OK;
	if (errno == EXDEV)
		return err_errno(err, "rename %s to %s", old, new);
	return lookup_error("rename to", new, err);
}

/*
 * There is no chmod before Linux 6.6 that both takes (parent, name) and does not follow a symlink: fchmodat ignores
 * AT_SYMLINK_NOFOLLOW in the kernel, and fchmod wants a descriptor open for reading or writing, which a file of mode 0000
 * does not give to its owner.  So the inode is pinned by an O_PATH descriptor, opened without following; if it is not a symlink,
 * it never becomes one, and /proc/self/fd/N leads to that very inode whatever happens to its name meanwhile.  Opening nothing
 * for reading also spares the side effects of devices and pipes.
 */
err_code
pathat_chmod(int root, const char *path, mode_t mode, struct err *err)
{
	AUTO(closep) int fd = beneath(root, path, strlen(path), O_PATH, 0);
	char pinned[32];
	struct stat st;

	if (fd < 0)
		return lookup_error("chmod", path, err);
	if (fstat(fd, &st) != 0)
		return err_errno(err, "chmod %s", path);
	if (S_ISLNK(st.st_mode))
		return err_sys(err, ERR_PARENT_NOT_DIRECTORY, ELOOP, "chmod %s", path);
	snprintf(pinned, sizeof pinned, "/proc/self/fd/%d", fd);
	if (chmod(pinned, mode & 07777) == 0)
		return ERR_OK;
	if (errno == ENOENT) /* the inode is there, so it is /proc that is not */
		return err_set(err, ERR_IO, "chmod %s: /proc is not mounted", path);
	return err_errno(err, "chmod %s", path);
}

err_code
pathat_mtime(int root, const char *path, int64_t mtime_ns, struct err *err)
{
	AUTO(closep) int dir = -1;
	const char *name = ".";
	int64_t rest = mtime_ns % NS_PER_S;
	/* Before 1970 the nanoseconds still count upwards, so the seconds round down. */
	struct timespec ts[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = mtime_ns / NS_PER_S - (rest < 0), .tv_nsec = rest < 0 ? rest + NS_PER_S : rest },
	};
	err_code rc = ERR_OK;

	if (path[0]) /* "" is the root itself */
		rc = pathat_parent(root, path, &dir, &name, err);
	if (rc)
		return rc;
	if (utimensat(path[0] ? dir : root, name, ts, AT_SYMLINK_NOFOLLOW) == 0)
		return ERR_OK;
	return call_error("set the time of", path, err);
}

err_code
pathat_fsync_dir(int root, const char *path, struct err *err)
{
	AUTO(closep) int fd = beneath(root, path, strlen(path), O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return lookup_error("open directory", path, err);
	/* Not tried again, not even after EINTR: a second fsync may succeed without what the first one lost (I6). */
	return fsync(fd) == 0 ? ERR_OK : err_errno(err, "fsync directory %s", path);
}

err_code
pathat_fsync_name(int root, struct err *err)
{
	AUTO(closep) int above = openat(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return above >= 0 && fsync(above) == 0 ? ERR_OK : err_errno(err, "fsync the directory above");
}

/* File systems hold years that 64 bits of nanoseconds do not; such a time reads as the nearest that they do. */
static int64_t
to_ns(struct timespec ts)
{
	int64_t ns;

	/* The least value is a product that overflows and a sum that fits; nobody's file is from that second of 1677. */
	if (__builtin_mul_overflow(ts.tv_sec, NS_PER_S, &ns) || __builtin_add_overflow(ns, ts.tv_nsec, &ns))
		return ts.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

int64_t
stat_mtime_ns(const struct stat *st)
{
	return to_ns(st->st_mtim);
}

int64_t
stat_ctime_ns(const struct stat *st)
{
	return to_ns(st->st_ctim);
}

/* /proc says it without changing it; the change is for where there is no /proc, and before there are threads. */
mode_t
umask_now(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	unsigned mask = 0;
	bool found = false;

	while (f && !found && fgets(line, sizeof line, f)) {
		if (strncmp(line, "Umask:", 6) == 0) {
			mask = (unsigned)strtoul(line + 6, NULL, 8);
			found = true;
		}
	}
	if (f)
		fclose(f);
	if (!found) {
		mask = umask(077);
		umask(mask);
	}
	return mask & 0777;
}
