/*
 * Preloaded into the programs of test_47_strict.py: writes down each call that changes a file system, in the one order in which they took
 * effect, so that a model (strict.py) can say what a disk could hold if the power had failed after any of them.
 *
 *   DRAY_RECORD_LOG     the log, appended to by all processes that share it; with it:
 *   DRAY_RECORD_COUNT   a file of 8 bytes, the number of records: whoever reads it when an answer has come knows that all that was called
 *                       before has a smaller number
 *   DRAY_RECORD_SLOW_US about how long an fsync takes; one in four takes eight times as long, so that others overtake it
 *   DRAY_RECORD_STATS   the inode numbers and change times that files had where they were recorded: stat tells those, so that a copy of a
 *                       folder is the same folder to who knows his files by them
 *
 * R1  A call and its record are made under one lock of all processes, so the order of the log is the order of what happened.  An fsync has two
 *     records: what was called before the first is durable from the second on.
 * R2  No fsync reaches the disk, recorded or not: durability is what the model says, and a thousand starts cost nothing.
 * R3  Calls within libc (stdio, a posix_fallocate that writes) pass by unseen.  The model's last state is compared with the
 *     directory, so one that matters shows.
 */
#undef _FILE_OFFSET_BITS /* both names of each call are needed; offsets have 64 bits anyway */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/fs.h>
#include <unistd.h>

#define FD_FROM 500 /* above what the programs use */
#define NS_PER_S INT64_C(1000000000)

/* What is read by strict.py, which has the same list. */
enum kind { CREATE = 1, MKDIR, SYMLINK, LINK, RENAME, EXCHANGE, UNLINK, WRITE, ZERO, SIZE, ATTR, FSYNC, FSYNCED, SYNCFS, SYNCEDFS };

struct record {
	uint32_t kind, mode;
	uint64_t ino;                  /* what it is about */
	uint64_t dir[2];               /* where its name is, and where it goes */
	int64_t off;                   /* or size */
	int64_t mtime_ns, ctime_ns;    /* of ino, afterwards */
	int64_t dir_mtime_ns[2];
	uint32_t name_len[2];
	uint64_t data_len;             /* the names and then the data follow */
};
_Static_assert(sizeof(off_t) == 8, "one name for two calls");
_Static_assert(sizeof(struct record) == 88, "strict.py reads it");

#define REAL(name) ((__typeof__(&name))real_of(#name))

static void *
real_of(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

/* ---- the log ------------------------------------------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1, count_fd = -1;
static uint64_t *count;
static unsigned slow_us;

struct known {
	uint64_t here, there;          /* the inode's number, and the one to tell */
	int64_t here_ctime_ns, ctime_ns;
};
static const struct known *known;
static size_t known_count;

static int
open_high(const char *path, int flags)
{
	int fd = (int)REAL(syscall)(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600);
	int high = fd < 0 ? -1 : REAL(fcntl)(fd, F_DUPFD_CLOEXEC, FD_FROM);

	if (high < 0)
		abort();
	close(fd);
	return high;
}

static void
start(void)
{
	const char *log = getenv("DRAY_RECORD_LOG"), *stats = getenv("DRAY_RECORD_STATS"), *slow = getenv("DRAY_RECORD_SLOW_US");
	struct stat st;

	if (slow)
		slow_us = (unsigned)strtoul(slow, NULL, 10);
	if (log) {
		count_fd = open_high(getenv("DRAY_RECORD_COUNT"), O_RDWR);
		count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, count_fd, 0);
		log_fd = open_high(log, O_WRONLY | O_APPEND);
	}
	if (stats) {
		int fd = open_high(stats, O_RDONLY);

		if (REAL(fstat)(fd, &st))
			abort();
		known_count = (size_t)st.st_size / sizeof *known;
		if (known_count)
			known = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	if (count == MAP_FAILED || known == MAP_FAILED)
		abort();
}

static bool
recording(void)
{
	pthread_once(&once, start);
	return log_fd >= 0;
}

static void
lock(void)
{
	pthread_mutex_lock(&mu);
	flock(count_fd, LOCK_EX);
}

/* errno is that of the call. */
static void
unlock(void)
{
	int e = errno;

	flock(count_fd, LOCK_UN);
	pthread_mutex_unlock(&mu);
	errno = e;
}

static void
put(struct record *r, const char *name, const char *name2, const void *data)
{
	int e = errno;
	struct iovec iov[4] = { { r, sizeof *r } };
	size_t want;

	r->name_len[0] = name ? (uint32_t)strlen(name) : 0;
	r->name_len[1] = name2 ? (uint32_t)strlen(name2) : 0;
	iov[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)name, .iov_len = r->name_len[0] };
	iov[2] = (struct iovec){ .iov_base = (void *)(uintptr_t)name2, .iov_len = r->name_len[1] };
	iov[3] = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = r->data_len };
	want = sizeof *r + r->name_len[0] + r->name_len[1] + r->data_len;
	if (REAL(syscall)(SYS_writev, log_fd, iov, 4) != (long)want)
		abort();
	++*count;
	errno = e;
}

static int64_t
ns_of(struct timespec ts)
{
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void
about(struct record *r, const struct stat *st)
{
	r->ino = st->st_ino;
	r->mode = st->st_mode;
	r->mtime_ns = ns_of(st->st_mtim);
	r->ctime_ns = ns_of(st->st_ctim);
}

static bool
stat_fd(int fd, struct stat *st)
{
	return REAL(fstat)(fd, st) == 0;
}

static bool
is_file(int fd)
{
	struct stat st;
	int e = errno;
	bool is = recording() && stat_fd(fd, &st) && S_ISREG(st.st_mode);

	errno = e;
	return is;
}

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

/* A name and the directory that it is in. */
struct at {
	struct stat dir;
	char name[NAME_MAX + 1];
};

static bool
find_at(int fd, const char *path, struct at *at)
{
	char parent[PATH_MAX];
	size_t len = strlen(path), from;
	int e = errno;
	bool found;

	while (len > 1 && path[len - 1] == '/')
		len--;
	for (from = len; from > 0 && path[from - 1] != '/';)
		from--;
	if (len - from > NAME_MAX || from >= sizeof parent)
		return false;
	memcpy(at->name, path + from, len - from);
	at->name[len - from] = '\0';
	memcpy(parent, path, from);
	parent[from] = '\0';
	found = from == 0 && fd != AT_FDCWD ? stat_fd(fd, &at->dir) : REAL(fstatat)(fd, from ? parent : ".", &at->dir, 0) == 0;
	errno = e;
	return found;
}

static int64_t
dir_time(int fd, const char *path)
{
	struct at at;

	return find_at(fd, path, &at) ? ns_of(at.dir.st_mtim) : 0;
}

/* A name has come: what is behind it, and the directory's time since. */
static void
put_named(enum kind kind, int fd, const char *path, const struct at *at, const char *data)
{
	struct record r = { .kind = kind, .dir = { at->dir.st_ino }, .data_len = data ? strlen(data) : 0 };
	struct stat st;

	if (REAL(fstatat)(fd, path, &st, AT_SYMLINK_NOFOLLOW))
		abort();
	about(&r, &st);
	r.dir_mtime_ns[0] = dir_time(fd, path);
	put(&r, at->name, NULL, data);
}

static void
put_attr(int fd, const char *path, int flags)
{
	struct record r = { .kind = ATTR };
	struct stat st;
	int e = errno;

	if ((path ? REAL(fstatat)(fd, path, &st, flags) : REAL(fstat)(fd, &st)) == 0) {
		about(&r, &st);
		put(&r, NULL, NULL, NULL);
	}
	errno = e;
}

static void
put_size(int fd)
{
	struct record r = { .kind = SIZE };
	struct stat st;

	if (!stat_fd(fd, &st))
		return;
	about(&r, &st);
	r.off = st.st_size;
	put(&r, NULL, NULL, NULL);
}

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

	if ((!create && !empty) || !recording())
		return open_as(o);
	lock();
	if (create)
		fresh = REAL(fstatat)(o->dir, o->path, &st, AT_SYMLINK_NOFOLLOW) && find_at(o->dir, o->path, &at);
	fd = open_as(o);
	if (fd >= 0 && fresh)
		put_named(CREATE, o->dir, o->path, &at, NULL);
	else if (fd >= 0 && empty)
		put_size(fd);
	unlock();
	return fd;
}

#define OPEN(at, name, how)                                                                                                             \
	({                                                                                                                              \
		va_list ap_;                                                                                                            \
		mode_t mode_ = 0;                                                                                                       \
                                                                                                                                        \
		va_start(ap_, how);                                                                                                     \
		if ((how) & O_CREAT)                                                                                                    \
			mode_ = va_arg(ap_, mode_t);                                                                                    \
		va_end(ap_);                                                                                                            \
		open_it(&(struct opening){ .dir = (at), .path = (name), .flags = (how), .mode = mode_ });                               \
	})

int open(const char *path, int flags, ...) { return OPEN(AT_FDCWD, path, flags); }
int open64(const char *path, int flags, ...) { return OPEN(AT_FDCWD, path, flags); }
int openat(int dir, const char *path, int flags, ...) { return OPEN(dir, path, flags); }
int openat64(int dir, const char *path, int flags, ...) { return OPEN(dir, path, flags); }

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

		return open_it(&(struct opening){ .dir = (int)a[0], .path = (const char *)a[1], .flags = (int)how->flags, .how = how });
	}
	return REAL(syscall)(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------------------- */

static void
put_write(int fd, int64_t off, const void *data, size_t len)
{
	struct record r = { .kind = WRITE, .off = off, .data_len = len };
	struct stat st;

	if (len == 0 || !stat_fd(fd, &st))
		return;
	about(&r, &st);
	put(&r, NULL, NULL, data);
}

/* What the kernel has put there by itself, as it can be read now. */
static void
put_copied(int fd, int64_t off, size_t len)
{
	char name[64];
	char *data = malloc(len);
	int own;
	ssize_t n;

	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	own = (int)REAL(syscall)(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
	n = own < 0 || !data ? -1 : pread(own, data, len, off);
	if (n != (ssize_t)len)
		abort();
	put_write(fd, off, data, len);
	close(own);
	free(data);
}

static off_t
now_at(int fd)
{
	return lseek(fd, 0, SEEK_CUR);
}

ssize_t
write(int fd, const void *p, size_t len)
{
	ssize_t n;

	if (!is_file(fd))
		return REAL(write)(fd, p, len);
	lock();
	n = REAL(write)(fd, p, len);
	if (n > 0)
		put_write(fd, now_at(fd) - n, p, (size_t)n);
	unlock();
	return n;
}

static ssize_t
pwrite_it(int fd, const void *p, size_t len, off_t off)
{
	ssize_t n;

	if (!is_file(fd))
		return REAL(pwrite)(fd, p, len, off);
	lock();
	n = REAL(pwrite)(fd, p, len, off);
	if (n > 0)
		put_write(fd, off, p, (size_t)n);
	unlock();
	return n;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t off) { return pwrite_it(fd, p, len, off); }
ssize_t pwrite64(int fd, const void *p, size_t len, off_t off) { return pwrite_it(fd, p, len, off); }

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	ssize_t done;

	if (!is_file(fd))
		return REAL(writev)(fd, iov, n);
	lock();
	done = REAL(writev)(fd, iov, n);
	if (done > 0)
		put_copied(fd, now_at(fd) - done, (size_t)done);
	unlock();
	return done;
}

static ssize_t
pwritev_it(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t done;

	if (!is_file(fd))
		return REAL(pwritev)(fd, iov, n, off);
	lock();
	done = REAL(pwritev)(fd, iov, n, off);
	if (done > 0)
		put_copied(fd, off, (size_t)done);
	unlock();
	return done;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off) { return pwritev_it(fd, iov, n, off); }
ssize_t pwritev64(int fd, const struct iovec *iov, int n, off_t off) { return pwritev_it(fd, iov, n, off); }

ssize_t
copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
	ssize_t n;

	if (!is_file(out))
		return REAL(copy_file_range)(in, in_off, out, out_off, len, flags);
	lock();
	n = REAL(copy_file_range)(in, in_off, out, out_off, len, flags);
	if (n > 0)
		put_copied(out, (out_off ? *out_off : now_at(out)) - n, (size_t)n);
	unlock();
	return n;
}

static ssize_t
sendfile_it(int out, int in, off_t *off, size_t len)
{
	ssize_t n;

	if (!is_file(out))
		return REAL(sendfile)(out, in, off, len);
	lock();
	n = REAL(sendfile)(out, in, off, len);
	if (n > 0)
		put_copied(out, now_at(out) - n, (size_t)n);
	unlock();
	return n;
}

ssize_t sendfile(int out, int in, off_t *off, size_t len) { return sendfile_it(out, in, off, len); }
ssize_t sendfile64(int out, int in, off_t *off, size_t len) { return sendfile_it(out, in, off, len); }

int
ioctl(int fd, unsigned long what, ...)
{
	struct stat st;
	va_list ap;
	void *arg;
	int rc;

	va_start(ap, what);
	arg = va_arg(ap, void *);
	va_end(ap);
	if ((what != FICLONE && what != FICLONERANGE) || !is_file(fd))
		return REAL(ioctl)(fd, what, arg);
	lock();
	rc = REAL(ioctl)(fd, what, arg);
	if (rc == 0 && stat_fd(fd, &st))
		put_copied(fd, 0, (size_t)st.st_size);
	unlock();
	return rc;
}

static int
ftruncate_it(int fd, off_t size)
{
	int rc;

	if (!recording())
		return REAL(ftruncate)(fd, size);
	lock();
	rc = REAL(ftruncate)(fd, size);
	if (rc == 0)
		put_size(fd);
	unlock();
	return rc;
}

int ftruncate(int fd, off_t size) { return ftruncate_it(fd, size); }
int ftruncate64(int fd, off_t size) { return ftruncate_it(fd, size); }

static void
put_allocated(int fd, int mode, off_t off, off_t len)
{
	struct record r = { .kind = ZERO, .off = off, .data_len = sizeof len };
	struct stat st;

	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && stat_fd(fd, &st)) {
		about(&r, &st);
		put(&r, NULL, NULL, &len);
	}
	put_size(fd);
}

static int
fallocate_it(int fd, int mode, off_t off, off_t len)
{
	int rc;

	if (!recording())
		return REAL(fallocate)(fd, mode, off, len);
	lock();
	rc = REAL(fallocate)(fd, mode, off, len);
	if (rc == 0)
		put_allocated(fd, mode, off, len);
	unlock();
	return rc;
}

int fallocate(int fd, int mode, off_t off, off_t len) { return fallocate_it(fd, mode, off, len); }
int fallocate64(int fd, int mode, off_t off, off_t len) { return fallocate_it(fd, mode, off, len); }

static int
posix_fallocate_it(int fd, off_t off, off_t len)
{
	int rc;

	if (!recording())
		return REAL(posix_fallocate)(fd, off, len);
	lock();
	rc = REAL(posix_fallocate)(fd, off, len);
	if (rc == 0)
		put_allocated(fd, 0, off, len);
	unlock();
	return rc;
}

int posix_fallocate(int fd, off_t off, off_t len) { return posix_fallocate_it(fd, off, len); }
int posix_fallocate64(int fd, off_t off, off_t len) { return posix_fallocate_it(fd, off, len); }

/* ---- durability (R1, R2) ------------------------------------------------------------------------------------------------------- */

static unsigned
slowness(uint64_t n)
{
	return n * UINT64_C(0x9E3779B97F4A7C15) >> 62 ? slow_us / 2 : slow_us * 8;
}

static int
flush(int fd, enum kind before, enum kind after)
{
	struct record r = { .kind = before };
	struct stat st;

	pthread_once(&once, start);
	if (!stat_fd(fd, &st))
		return -1;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	if (!recording())
		return 0;
	lock();
	r.off = (int64_t)*count;
	about(&r, &st);
	put(&r, NULL, NULL, NULL);
	unlock();
	if (slow_us)
		usleep(slowness((uint64_t)r.off));
	lock();
	r.kind = after;
	put(&r, NULL, NULL, NULL); /* r.off: which one has ended */
	unlock();
	return 0;
}

int fsync(int fd) { return flush(fd, FSYNC, FSYNCED); }
int fdatasync(int fd) { return flush(fd, FSYNC, FSYNCED); }
int syncfs(int fd) { return flush(fd, SYNCFS, SYNCEDFS); }
int sync_file_range(int fd, off64_t off, off64_t len, unsigned flags) { (void)fd, (void)off, (void)len, (void)flags; return 0; } /* promises nothing */

/* ---- names that come and go ---------------------------------------------------------------------------------------------------- */

/* One that may be opened by its name alone. */
static int
rename_it(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct record r = { .kind = flags & RENAME_EXCHANGE ? EXCHANGE : RENAME };
	struct at old, new;
	struct stat st;
	bool found;
	int rc;

	if (!recording())
		return REAL(renameat2)(from_dir, from, to_dir, to, flags);
	lock();
	found = find_at(from_dir, from, &old) && find_at(to_dir, to, &new);
	rc = REAL(renameat2)(from_dir, from, to_dir, to, flags);
	if (rc == 0 && found && REAL(fstatat)(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		about(&r, &st);
		r.dir[0] = old.dir.st_ino;
		r.dir[1] = new.dir.st_ino;
		r.dir_mtime_ns[0] = dir_time(from_dir, from);
		r.dir_mtime_ns[1] = dir_time(to_dir, to);
		put(&r, old.name, new.name, NULL);
		if (flags & RENAME_EXCHANGE)
			put_attr(from_dir, from, AT_SYMLINK_NOFOLLOW); /* the other's change time */
	}
	unlock();
	return rc;
}

int rename(const char *from, const char *to) { return rename_it(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_it(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return rename_it(a, from, b, to, flags); }

static int
unlink_it(int dir, const char *path, int flags)
{
	struct record r = { .kind = UNLINK };
	struct stat st;
	struct at at;
	bool found;
	int rc;

	if (!recording())
		return REAL(unlinkat)(dir, path, flags);
	lock();
	found = REAL(fstatat)(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && find_at(dir, path, &at);
	rc = REAL(unlinkat)(dir, path, flags);
	if (rc == 0 && found) {
		about(&r, &st);
		r.dir[0] = at.dir.st_ino;
		r.dir_mtime_ns[0] = dir_time(dir, path);
		put(&r, at.name, NULL, NULL);
	}
	unlock();
	return rc;
}

int unlink(const char *path) { return unlink_it(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlink_it(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int dir, const char *path, int flags) { return unlink_it(dir, path, flags); }

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

	if (!recording())
		return REAL(mkdirat)(dir, path, mode);
	lock();
	rc = REAL(mkdirat)(dir, path, mode);
	if (rc == 0 && find_at(dir, path, &at))
		put_named(MKDIR, dir, path, &at, NULL);
	unlock();
	return rc;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int
symlinkat(const char *target, int dir, const char *path)
{
	struct at at;
	int rc;

	if (!recording())
		return REAL(symlinkat)(target, dir, path);
	lock();
	rc = REAL(symlinkat)(target, dir, path);
	if (rc == 0 && find_at(dir, path, &at))
		put_named(SYMLINK, dir, path, &at, target);
	unlock();
	return rc;
}

int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int
linkat(int a, const char *from, int b, const char *to, int flags)
{
	struct at at;
	int rc;

	if (!recording())
		return REAL(linkat)(a, from, b, to, flags);
	lock();
	rc = REAL(linkat)(a, from, b, to, flags);
	if (rc == 0 && find_at(b, to, &at))
		put_named(LINK, b, to, &at, NULL);
	unlock();
	return rc;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* ---- modes and times ----------------------------------------------------------------------------------------------------------- */

#define CHANGES(call, fd, path, flags)                                                                                                  \
	({                                                                                                                              \
		int rc_;                                                                                                                \
		bool on_ = recording();                                                                                                 \
                                                                                                                                        \
		if (on_)                                                                                                                \
			lock();                                                                                                         \
		rc_ = (call);                                                                                                           \
		if (on_ && rc_ == 0)                                                                                                    \
			put_attr(fd, path, flags);                                                                                      \
		if (on_)                                                                                                                \
			unlock();                                                                                                       \
		rc_;                                                                                                                    \
	})

int chmod(const char *path, mode_t mode) { return CHANGES(REAL(chmod)(path, mode), AT_FDCWD, path, 0); }
int fchmod(int fd, mode_t mode) { return CHANGES(REAL(fchmod)(fd, mode), fd, NULL, 0); }
int fchmodat(int dir, const char *path, mode_t mode, int flags) { return CHANGES(REAL(fchmodat)(dir, path, mode, flags), dir, path, flags); }
int futimens(int fd, const struct timespec ts[2]) { return CHANGES(REAL(futimens)(fd, ts), fd, NULL, 0); }

int
utimensat(int dir, const char *path, const struct timespec ts[2], int flags)
{
	return CHANGES(REAL(utimensat)(dir, path, ts, flags), dir, path, flags);
}

/* ---- what stat tells ----------------------------------------------------------------------------------------------------------- */

/* By number; of a file that was changed since, the change time is its own. */
static const struct known *
known_as(uint64_t ino)
{
	size_t low = 0, high = known_count;

	pthread_once(&once, start);
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (known[mid].here == ino)
			return &known[mid];
		if (known[mid].here < ino)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int
told(int rc, struct stat *st)
{
	const struct known *k = rc == 0 ? known_as(st->st_ino) : NULL;

	if (k) {
		st->st_ino = k->there;
		if (ns_of(st->st_ctim) == k->here_ctime_ns)
			st->st_ctim = (struct timespec){ k->ctime_ns / NS_PER_S, k->ctime_ns % NS_PER_S };
	}
	return rc;
}

int stat(const char *restrict path, struct stat *restrict st) { return told(REAL(stat)(path, st), st); }
int lstat(const char *restrict path, struct stat *restrict st) { return told(REAL(lstat)(path, st), st); }
int fstat(int fd, struct stat *st) { return told(REAL(fstat)(fd, st), st); }
int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags) { return told(REAL(fstatat)(dir, path, st, flags), st); }

/* When a directory was made cannot be copied, and who is not told goes by its number alone. */
int
statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
	int rc = REAL(statx)(dir, path, flags, mask, st);
	const struct known *k = rc == 0 ? known_as(st->stx_ino) : NULL;

	if (rc == 0)
		st->stx_mask &= ~(unsigned)STATX_BTIME;
	if (k)
		st->stx_ino = k->there;
	return rc;
}
