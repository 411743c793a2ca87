#pragma once
/**
 * Files beneath a root, and nothing else (I11).  Every path is relative to a directory descriptor and resolved with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS): a "..", an absolute path or a symlink anywhere on the
 * way, also one swapped in at the last instant, is refused with PARENT_NOT_DIRECTORY.  Needs Linux ≥ 5.6.
 *
 * Paths      up to PATH_LEN_MAX bytes.  Calls that make, move or remove a name need one at the end: "", "a/" and "a/." are
 *            PATH_INVALID.
 * Errors     NOT_FOUND, EXISTS, DENIED, NO_SPACE, PARENT_NOT_DIRECTORY (symlink or file on the way), NOT_EMPTY, IO.
 *            err->sys has errno: IO with EXDEV is a rename between file systems, with EINVAL a folder moved into itself.
 * Threads    any; all calls may block on disk.
 */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"

/**
 * pathat_open(root, path, flags, mode, fd, err): open beneath ${root}; O_CLOEXEC | O_NOFOLLOW are added.  "" is the root.
 * *fd is -1 on failure.  A symlink at the end is PARENT_NOT_DIRECTORY too, unless O_PATH opens the link itself.
 */
err_code pathat_open(int root, const char *path, int flags, mode_t mode, int *fd, struct err *err);

/**
 * pathat_parent(root, path, dirfd, name, err): the directory that holds the last component of ${path}, opened O_PATH; *name
 * points into ${path}.  The caller closes *dirfd, which is -1 on failure.  Use it for the *at calls, which never follow the
 * last component.
 */
err_code pathat_parent(int root, const char *path, int *dirfd, const char **name, struct err *err);

/** pathat_stat(root, path, st, err): lstat beneath the root. */
err_code pathat_stat(int root, const char *path, struct stat *st, struct err *err);

err_code pathat_mkdir(int root, const char *path, mode_t mode, struct err *err);
err_code pathat_unlink(int root, const char *path, int flags /* 0 or AT_REMOVEDIR */, struct err *err);
err_code pathat_symlink(int root, const char *path, const char *target, struct err *err);

/** pathat_readlink(root, path, buf, cap, len, err): the raw target, not terminated.  PATH_TOO_LONG when it does not fit. */
err_code pathat_readlink(int root, const char *path, char *buf, size_t cap, size_t *len, struct err *err);

/** pathat_rename(old_root, old, new_root, new, flags, err): renameat2 with flags 0, RENAME_NOREPLACE or RENAME_EXCHANGE. */
err_code pathat_rename(int old_root, const char *old, int new_root, const char *new, unsigned flags, struct err *err);

/**
 * pathat_chmod: never on a symlink (PARENT_NOT_DIRECTORY); needs /proc.
 * pathat_mtime: also on a symlink itself; sets only the modification time.
 */
err_code pathat_chmod(int root, const char *path, mode_t mode, struct err *err);
err_code pathat_mtime(int root, const char *path, int64_t mtime_ns, struct err *err);

/** pathat_fsync_dir(root, path, err): make the entries of directory ${path} durable; "" is the root. */
err_code pathat_fsync_dir(int root, const char *path, struct err *err);

/**
 * pathat_fsync_name(root, err): make the name of ${root} itself durable, in the directory above it: what is in it is lost with its name.  DENIED when
 * we may not look there.
 */
err_code pathat_fsync_name(int root, struct err *err);

/** stat_mtime_ns(st), stat_ctime_ns(st): nanoseconds since 1970; beyond 1677…2262 the nearest that 64 bits hold. */
int64_t stat_mtime_ns(const struct stat *st);
int64_t stat_ctime_ns(const struct stat *st);

/** umask_now(): the process's file mode mask, permission bits only; umask(2) can read it only by setting it, which other threads would feel. */
mode_t umask_now(void);

/** Whole-buffer I/O: EINTR and short counts are handled; read_full stops early only at the end of the file. */
err_code write_full(int fd, const void *p, size_t len, struct err *err);
err_code pwrite_full(int fd, const void *p, size_t len, uint64_t off, struct err *err);
/** pwrite_each(fd, v, n, off, err): strings one after the other, in as few calls as can be. */
err_code pwrite_each(int fd, const struct slice *v, size_t n, uint64_t off, struct err *err);
err_code read_full(int fd, void *p, size_t len, size_t *got, struct err *err);
err_code pread_full(int fd, void *p, size_t len, uint64_t off, size_t *got, struct err *err);
