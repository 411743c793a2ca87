/*
 * Loaded before a program's libraries (LD_PRELOAD): counts the calls by which the program changes what outlives it, a file, a name or what a
 * peer has been told, over all of its threads, and ends it with SIGKILL before or after one of them.  strace's inject counts each thread by
 * itself, so that of two threads only one is ever met at each of its calls, and takes ten times as long.
 *
 * KILL_AT names a file of sizeof(struct board) that is shared with the test: what is to happen is written there at any time, and what has happened is
 * read from it, whatever became of the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CALLS_MAX 65536
#define NAME_LEN 16

struct board {
	_Atomic uint32_t count;   /* calls so far */
	_Atomic uint32_t kill_at; /* the number of a call, from 1; 0: none */
	_Atomic uint32_t after;   /* not 0: when that call is done */
	_Atomic uint32_t killed;
	char names[CALLS_MAX][NAME_LEN];
};

static struct board *board;

__attribute__((constructor)) static void
load(void)
{
	const char *path = getenv("KILL_AT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p != MAP_FAILED)
		board = p;
	if (fd >= 0)
		close(fd);
}

static void
die(void)
{
	atomic_store(&board->killed, 1);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static uint32_t
before(const char *name)
{
	uint32_t n;

	if (!board)
		return 0;
	n = atomic_fetch_add(&board->count, 1) + 1;
	if (n < CALLS_MAX)
		strncpy(board->names[n], name, NAME_LEN - 1);
	if (n == atomic_load(&board->kill_at) && !atomic_load(&board->after))
		die();
	return n;
}

static void
after(uint32_t n)
{
	if (n && n == atomic_load(&board->kill_at) && atomic_load(&board->after))
		die();
}

/* What goes to a terminal, a log or another thread (eventfd) changes nothing that is looked at afterwards. */
static bool
outlives(int fd)
{
	struct stat st;
	int kept = errno;
	bool is = fd > 2 && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode));

	errno = kept;
	return is;
}

#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
		real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define CALL_IF(cond, type, name, params, args) \
	type name params \
	{ \
		REAL(name); \
		uint32_t n = (cond) ? before(#name) : 0; \
		type r = real args; \
		after(n); \
		return r; \
	}
#define CALL(type, name, params, args) CALL_IF(true, type, name, params, args)

CALL_IF(outlives(fd), ssize_t, write, (int fd, const void *p, size_t len), (fd, p, len))
CALL_IF(outlives(fd), ssize_t, writev, (int fd, const struct iovec *v, int pieces), (fd, v, pieces))
CALL(ssize_t, pwrite, (int fd, const void *p, size_t len, off_t at), (fd, p, len, at))
CALL(ssize_t, pwrite64, (int fd, const void *p, size_t len, off64_t at), (fd, p, len, at))
CALL(ssize_t, send, (int fd, const void *p, size_t len, int flags), (fd, p, len, flags))
CALL(ssize_t, sendto, (int fd, const void *p, size_t len, int flags, const struct sockaddr *to, socklen_t to_len),
    (fd, p, len, flags, to, to_len))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
CALL(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t len), (to, from, at, len))
CALL(int, fsync, (int fd), (fd))
CALL(int, fdatasync, (int fd), (fd))
CALL(int, syncfs, (int fd), (fd))
CALL(int, ftruncate, (int fd, off_t len), (fd, len))
CALL(int, ftruncate64, (int fd, off64_t len), (fd, len))
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len))
CALL(int, posix_fallocate64, (int fd, off64_t at, off64_t len), (fd, at, len))
CALL(ssize_t, copy_file_range, (int from, off64_t *a, int to, off64_t *b, size_t len, unsigned flags), (from, a, to, b, len, flags))
CALL(int, rename, (const char *from, const char *to), (from, to))
CALL(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
CALL(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
CALL(int, link, (const char *from, const char *to), (from, to))
CALL(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
CALL(int, symlinkat, (const char *target, int dir, const char *name), (target, dir, name))
CALL(int, unlink, (const char *path), (path))
CALL(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
CALL(int, rmdir, (const char *path), (path))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
CALL(int, chmod, (const char *path, mode_t mode), (path, mode))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
CALL(int, fchmodat, (int dir, const char *name, mode_t mode, int flags), (dir, name, mode, flags))
CALL(int, futimens, (int fd, const struct timespec t[2]), (fd, t))
CALL(int, utimensat, (int dir, const char *name, const struct timespec t[2], int flags), (dir, name, t, flags))

/* Opening changes something when it makes the file. */
#define OPEN(name, params, args) \
	int name params \
	{ \
		REAL(name); \
		va_list more; \
		mode_t mode; \
		uint32_t n; \
		int fd; \
\
		va_start(more, flags); \
		mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
		va_end(more); \
		n = flags & (O_CREAT | O_TRUNC) ? before(#name) : 0; \
		fd = real args; \
		after(n); \
		return fd; \
	}

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))

long
syscall(long number, ...)
{
	REAL(syscall);
	long a[6], r;
	uint32_t n = 0;
	va_list more;

	va_start(more, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(more, long);
	va_end(more);
	if (number == SYS_openat2 && ((const struct open_how *)a[2])->flags & (O_CREAT | O_TRUNC))
		n = before("openat2");
	r = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	after(n);
	return r;
}
