/*
 * The client's calls of the file system, taken over by the linker: they happen for real, on a file system in memory, but each is a point at which a
 * device may be killed, its user may work, another thread may go on, or the call may fail.
 *
 * Inode numbers and times are the simulation's, so that they are the same in every run: a number is given when an inode is first seen (and given
 * again when it is gone, as ext4 does), and mtime and ctime follow each call that changes them, by the device's clock and in ticks of it.  What
 * SQLite does in .dray is not seen here, and nobody asks for its times.
 */
#include "client/model/entry.h"
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INODES_MAX 65536 /* slots; a seed sees a few hundred */
#define CALL_NS 15000    /* what a call takes */

struct inode {
	uint64_t real; /* 0: a free slot */
	uint64_t shown;
	struct timespec mtime, ctime;
	struct timespec placed; /* its ctime since a client has renamed it */
	struct timespec hidden; /* its ctime since its user has written something that neither length nor time show */
	unsigned hidden_value, hidden_over; /* that, and what was there */
	unsigned value; /* what was read there, 0: its bytes have to be looked at */
	unsigned round; /* of doubts in which that was */
};

static struct inode inodes[INODES_MAX];
static uint64_t shown_last = 100, spare[INODES_MAX];
static size_t spares;
static struct dice dice;
static int64_t tick;
static bool reuse;
static bool outside;
static struct disk_plan plans[DEVICES];
static unsigned doubts;
static uint64_t calls[DEVICES], renames[DEVICES], failing[DEVICES];

#define WRAP(ret, name, ...) \
	ret __real_##name(__VA_ARGS__); \
	ret __wrap_##name(__VA_ARGS__)

WRAP(int, openat64, int dir, const char *path, int flags, ...);
WRAP(int, open64, const char *path, int flags, ...);
WRAP(long, syscall, long number, ...);
WRAP(int, fstat64, int fd, struct stat *st);
WRAP(int, fstatat64, int dir, const char *path, struct stat *st, int flags);
WRAP(ssize_t, read, int fd, void *p, size_t len);
WRAP(ssize_t, write, int fd, const void *p, size_t len);
WRAP(ssize_t, pread64, int fd, void *p, size_t len, off_t off);
WRAP(ssize_t, pwrite64, int fd, const void *p, size_t len, off_t off);
WRAP(ssize_t, getdents64, int fd, void *p, size_t len);
WRAP(struct dirent *, readdir64, DIR *d);
WRAP(int, renameat2, int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
WRAP(int, unlinkat, int dir, const char *path, int flags);
WRAP(int, mkdirat, int dir, const char *path, mode_t mode);
WRAP(int, symlinkat, const char *target, int dir, const char *path);
WRAP(ssize_t, readlinkat, int dir, const char *path, char *p, size_t len);
WRAP(int, utimensat, int dir, const char *path, const struct timespec times[2], int flags);
WRAP(int, futimens, int fd, const struct timespec times[2]);
WRAP(int, fchmod, int fd, mode_t mode);
WRAP(int, fchmodat, int dir, const char *path, mode_t mode, int flags);
WRAP(int, chmod, const char *path, mode_t mode);
WRAP(int, fsync, int fd);
WRAP(int, fdatasync, int fd);
WRAP(int, syncfs, int fd);
WRAP(int, ftruncate64, int fd, off_t len);
WRAP(int, fallocate64, int fd, int mode, off_t off, off_t len);

/* ---- points ------------------------------------------------------------------------------------------------------------------------- */

void
disk_start(struct dice d, int64_t tick_ns, bool reuse_inodes)
{
	dice = d;
	tick = tick_ns;
	reuse = reuse_inodes;
}

void
disk_plan(int device, const struct disk_plan *plan)
{
	plans[device] = *plan;
	calls[device] = renames[device] = failing[device] = 0;
}

uint64_t
disk_calls(int device)
{
	return calls[device];
}

bool
disk_outside(bool on)
{
	bool was = outside;

	outside = on;
	return was;
}

static bool
fails(int device, enum call call)
{
	const struct disk_plan *p = &plans[device];

	if (p->fail_at == 0 || !(p->fail_calls & 1U << call))
		return false;
	failing[device]++;
	return failing[device] >= p->fail_at && failing[device] < p->fail_at + p->fail_count;
}

/* Before a call.  True when it is to fail; errno says with what. */
static bool
point(enum call call)
{
	int device = sched_device();
	const struct disk_plan *p;

	if (outside || device < 0 || sched_is_held())
		return false;
	p = &plans[device];
	time_pass(CALL_NS);
	trace("call", call, ++calls[device]);
	if (calls[device] == p->kill_at) {
		trace("kill", (uint64_t)device, calls[device]);
		sched_kill(device);
	}
	for (size_t i = 0; i < ARRAY_LEN(p->act_at); i++)
		if (calls[device] == p->act_at[i])
			user_act(device);
	renames[device] += call == CALL_RENAME;
	for (size_t i = 0; call == CALL_RENAME && i < ARRAY_LEN(p->act_at_rename); i++)
		if (renames[device] == p->act_at_rename[i])
			user_act(device);
	sched_point();
	if (!fails(device, call))
		return false;
	trace("fails", call, (uint64_t)p->fail_with);
	errno = p->fail_with;
	return true;
}

/* ---- inodes ---------------------------------------------------------------------------------------------------------------------------- */

static struct timespec
stamp(void)
{
	int64_t at = time_wall();

	at -= at % tick;
	return (struct timespec){ .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
}

static struct inode *
inode_of(const struct stat *st)
{
	size_t i = st->st_ino % INODES_MAX; /* neighbours are neighbours: a seed's are numbered one after the other */

	while (inodes[i].real && inodes[i].real != st->st_ino)
		i = (i + 1) % INODES_MAX;
	if (!inodes[i].real) {
		inodes[i].real = st->st_ino;
		inodes[i].shown = reuse && spares ? spare[--spares] : ++shown_last;
		inodes[i].mtime = inodes[i].ctime = stamp();
	}
	return &inodes[i];
}

static void
show(struct stat *st)
{
	const struct inode *i = inode_of(st);

	st->st_dev = 1;
	st->st_ino = i->shown;
	st->st_mtim = i->mtime;
	st->st_ctim = i->ctime;
}

/* Its bytes are others. */
static void
changed_fd(int fd)
{
	struct stat st;
	struct inode *i;

	if (__real_fstat64(fd, &st))
		return;
	i = inode_of(&st);
	i->mtime = i->ctime = stamp();
	i->value = 0;
}

unsigned *
disk_value(const char *path, struct stat *st)
{
	struct inode *i;

	if (__real_fstatat64(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW))
		fail("sim", "stat %s", path);
	i = inode_of(st);
	show(st);
	if (i->round != doubts)
		i->value = 0;
	i->round = doubts;
	return &i->value;
}

void
disk_doubt(void)
{
	doubts++;
}

static void
changed_inode(int dir, const char *path, int flags)
{
	struct stat st;

	if (__real_fstatat64(dir, path, &st, flags) == 0)
		inode_of(&st)->ctime = stamp();
}

/* The directory that a name came to, or went from. */
static void
changed_parent(int dir, const char *path)
{
	const char *slash = strrchr(path, '/');
	char parent[4200];
	struct stat st;

	snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
	if (parent[0] ? __real_fstatat64(dir, parent, &st, 0) : dir == AT_FDCWD ? -1 : __real_fstat64(dir, &st))
		return;
	inode_of(&st)->mtime = inode_of(&st)->ctime = stamp();
}

static void
is_new(int dir, const char *path)
{
	struct stat st;

	if (__real_fstatat64(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		inode_of(&st)->value = 0;
	changed_parent(dir, path);
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------------------- */

static bool
exists(int dir, const char *path)
{
	struct stat st;

	return __real_fstatat64(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
opened(int fd, int dir, const char *path, int flags, bool there)
{
	if (fd < 0)
		return;
	if ((flags & O_CREAT) && !there)
		is_new(dir, path);
	else if (flags & O_TRUNC)
		changed_fd(fd);
}

int
__wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;
	bool there;
	int fd;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (point(CALL_OPEN))
		return -1;
	there = exists(dir, path);
	fd = __real_openat64(dir, path, flags, mode);
	opened(fd, dir, path, flags, there);
	return fd;
}

int
__wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return __wrap_openat64(AT_FDCWD, path, flags, mode);
}

/* base/pathat.c's openat2, which the C library does not know. */
long
__wrap_syscall(long number, ...)
{
	const struct open_how *how;
	const char *path;
	va_list ap;
	size_t len;
	bool there;
	long fd;
	int dir;

	if (number != SYS_openat2)
		fail("sim", "system call %ld is not taken over", number);
	va_start(ap, number);
	dir = va_arg(ap, int);
	path = va_arg(ap, const char *);
	how = va_arg(ap, const struct open_how *);
	len = va_arg(ap, size_t);
	va_end(ap);
	if (point(CALL_OPEN))
		return -1;
	there = exists(dir, path);
	fd = __real_syscall(number, dir, path, how, len);
	opened((int)fd, dir, path, (int)how->flags, there);
	return fd;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------------------ */

int
__wrap_fstat64(int fd, struct stat *st)
{
	int rc = point(CALL_STAT) ? -1 : __real_fstat64(fd, st);

	if (rc == 0)
		show(st);
	return rc;
}

int
__wrap_fstatat64(int dir, const char *path, struct stat *st, int flags)
{
	int rc = point(CALL_STAT) ? -1 : __real_fstatat64(dir, path, st, flags);

	if (rc == 0)
		show(st);
	return rc;
}

ssize_t
__wrap_read(int fd, void *p, size_t len)
{
	return point(CALL_READ) ? -1 : __real_read(fd, p, len);
}

ssize_t
__wrap_pread64(int fd, void *p, size_t len, off_t off)
{
	return point(CALL_READ) ? -1 : __real_pread64(fd, p, len, off);
}

ssize_t
__wrap_readlinkat(int dir, const char *path, char *p, size_t len)
{
	return point(CALL_READ) ? -1 : __real_readlinkat(dir, path, p, len);
}

ssize_t
__wrap_getdents64(int fd, void *p, size_t len)
{
	return point(CALL_LIST) ? -1 : __real_getdents64(fd, p, len);
}

struct dirent *
__wrap_readdir64(DIR *d)
{
	return point(CALL_LIST) ? NULL : __real_readdir64(d);
}

/* ---- changing ------------------------------------------------------------------------------------------------------------------------------- */

ssize_t
__wrap_write(int fd, const void *p, size_t len)
{
	ssize_t n;

	if (fd <= STDERR_FILENO)
		return __real_write(fd, p, len);
	if (point(CALL_WRITE))
		return -1;
	n = __real_write(fd, p, len);
	changed_fd(fd);
	return n;
}

ssize_t
__wrap_pwrite64(int fd, const void *p, size_t len, off_t off)
{
	ssize_t n = point(CALL_WRITE) ? -1 : __real_pwrite64(fd, p, len, off);

	if (n > 0)
		changed_fd(fd);
	return n;
}

int
__wrap_ftruncate64(int fd, off_t len)
{
	int rc = point(CALL_WRITE) ? -1 : __real_ftruncate64(fd, len);

	if (rc == 0)
		changed_fd(fd);
	return rc;
}

int
__wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
	int rc = point(CALL_WRITE) ? -1 : __real_fallocate64(fd, mode, off, len);

	if (rc == 0)
		changed_fd(fd);
	return rc;
}

/* An inode without a name: its number may be given again. */
static void
gone(const struct stat *st)
{
	struct inode *i = inode_of(st);

	i->ctime = stamp();
	if (spares < INODES_MAX && dice_one_in(&dice, 2))
		spare[spares++] = i->shown;
}

void
disk_hidden(const char *path, unsigned value, unsigned over)
{
	struct inode *i;
	struct stat st;

	if (__real_fstatat64(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
		return;
	i = inode_of(&st);
	i->hidden = i->ctime;
	i->hidden_value = value;
	i->hidden_over = over;
}

static int64_t
ns_of(struct timespec t)
{
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Before a client gives a file in the tree a change time: a write as short a while ago as change times do not show is seen by nobody from then on. */
static void
hides_a_write(int dir, const char *path, int flags)
{
	const struct inode *i;
	struct stat st;

	if (outside || sched_device() < 0 || __real_fstatat64(dir, path, &st, flags))
		return;
	i = inode_of(&st);
	if (i->hidden_value && ns_of(i->hidden) == ns_of(i->ctime) && ns_of(stamp()) - ns_of(i->ctime) <= RACY_NS)
		oracle_unseen(sched_device(), i->hidden_value, i->hidden_over);
}

/* What a client installs comes from .dray. */
static bool
is_install(int from_dir)
{
	char link[64], path[4200];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", from_dir);
	n = __real_readlinkat(AT_FDCWD, link, path, sizeof path - 1);
	path[MAX(n, 0)] = '\0';
	return strstr(path, "/.dray/") != NULL;
}

static void
placed(int dir, const char *path)
{
	struct stat st;

	if (!outside && sched_device() >= 0 && __real_fstatat64(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		inode_of(&st)->placed = inode_of(&st)->ctime;
}

bool
disk_is_as_placed(const char *path)
{
	const struct inode *i;
	struct stat st;

	if (__real_fstatat64(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
		return false;
	i = inode_of(&st);
	return i->placed.tv_sec == i->ctime.tv_sec && i->placed.tv_nsec == i->ctime.tv_nsec;
}

int
__wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct stat over;
	bool covers;
	int rc;

	if (point(CALL_RENAME))
		return -1;
	covers = flags == 0 && __real_fstatat64(to_dir, to, &over, AT_SYMLINK_NOFOLLOW) == 0;
	if (!is_install(from_dir))
		hides_a_write(from_dir, from, AT_SYMLINK_NOFOLLOW);
	rc = __real_renameat2(from_dir, from, to_dir, to, flags);
	if (rc)
		return rc;
	if (covers)
		gone(&over);
	changed_parent(from_dir, from);
	changed_parent(to_dir, to);
	changed_inode(to_dir, to, AT_SYMLINK_NOFOLLOW);
	placed(to_dir, to);
	if (flags & RENAME_EXCHANGE)
		changed_inode(from_dir, from, AT_SYMLINK_NOFOLLOW);
	return 0;
}

int
__wrap_unlinkat(int dir, const char *path, int flags)
{
	struct stat st;
	bool there;
	int rc;

	if (point(CALL_REMOVE))
		return -1;
	there = __real_fstatat64(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
	rc = __real_unlinkat(dir, path, flags);
	if (rc)
		return rc;
	if (there)
		gone(&st);
	changed_parent(dir, path);
	return 0;
}

int
__wrap_mkdirat(int dir, const char *path, mode_t mode)
{
	int rc = point(CALL_MAKE) ? -1 : __real_mkdirat(dir, path, mode);

	if (rc == 0)
		is_new(dir, path);
	return rc;
}

int
__wrap_symlinkat(const char *target, int dir, const char *path)
{
	int rc = point(CALL_MAKE) ? -1 : __real_symlinkat(target, dir, path);

	if (rc == 0)
		is_new(dir, path);
	return rc;
}

static void
timed(const struct stat *st, const struct timespec times[2])
{
	struct inode *i = inode_of(st);

	if (times[1].tv_nsec != UTIME_OMIT)
		i->mtime = times[1].tv_nsec == UTIME_NOW ? stamp() : times[1];
	i->ctime = stamp();
}

int
__wrap_utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
	struct stat st;
	int rc = point(CALL_META) ? -1 : __real_utimensat(dir, path, times, flags);

	if (rc == 0 && __real_fstatat64(dir, path, &st, flags) == 0)
		timed(&st, times);
	return rc;
}

int
__wrap_futimens(int fd, const struct timespec times[2])
{
	struct stat st;
	int rc = point(CALL_META) ? -1 : __real_futimens(fd, times);

	if (rc == 0 && __real_fstat64(fd, &st) == 0)
		timed(&st, times);
	return rc;
}

int
__wrap_fchmod(int fd, mode_t mode)
{
	struct stat st;
	int rc = point(CALL_META) ? -1 : __real_fchmod(fd, mode);

	if (rc == 0 && __real_fstat64(fd, &st) == 0)
		inode_of(&st)->ctime = stamp();
	return rc;
}

int
__wrap_fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	int rc = point(CALL_META) ? -1 : __real_fchmodat(dir, path, mode, flags);

	if (rc == 0)
		changed_inode(dir, path, 0);
	return rc;
}

int
__wrap_chmod(const char *path, mode_t mode)
{
	int rc = point(CALL_META) ? -1 : 0;

	hides_a_write(AT_FDCWD, path, 0);
	if (rc == 0)
		rc = __real_chmod(path, mode);
	if (rc == 0)
		changed_inode(AT_FDCWD, path, 0);
	return rc;
}

int
__wrap_fsync(int fd)
{
	return point(CALL_FLUSH) ? -1 : __real_fsync(fd);
}

int
__wrap_fdatasync(int fd)
{
	return point(CALL_FLUSH) ? -1 : __real_fdatasync(fd);
}

mode_t __wrap_umask_now(void);

/* It is known, and would be looked for in the text of /proc. */
mode_t
__wrap_umask_now(void)
{
	return DISK_UMASK;
}

/* The whole machine's disk would be flushed, and not only the simulation's. */
int
__wrap_syncfs(int fd)
{
	(void)fd;
	return point(CALL_FLUSH) ? -1 : 0;
}
