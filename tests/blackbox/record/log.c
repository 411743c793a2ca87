/* The log, and what goes into it. */
#include "record.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define FD_FROM 500 /* above what the programs use */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1, count_fd = -1;
static uint64_t *count;
static unsigned slow_us;

void *
record_real(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

int
record_open(const char *path, int flags)
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
	const char *log = getenv("DRAY_RECORD_LOG"), *slow = getenv("DRAY_RECORD_SLOW_US");

	if (slow)
		slow_us = (unsigned)strtoul(slow, NULL, 10);
	record_stats_start(getenv("DRAY_RECORD_STATS"));
	if (!log)
		return;
	count_fd = record_open(getenv("DRAY_RECORD_COUNT"), O_RDWR);
	count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, count_fd, 0);
	if (count == MAP_FAILED)
		abort();
	log_fd = record_open(log, O_WRONLY | O_APPEND);
}

bool
record_on(void)
{
	pthread_once(&once, start);
	return log_fd >= 0;
}

/* flock is of the descriptor, so threads need a lock of their own; who dies lets go of both. */
void
record_lock(void)
{
	pthread_mutex_lock(&mu);
	flock(count_fd, LOCK_EX);
}

void
record_unlock(void)
{
	int e = errno;

	flock(count_fd, LOCK_UN);
	pthread_mutex_unlock(&mu);
	errno = e;
}

uint64_t
record_begun(void)
{
	return *count;
}

void
record_slow(uint64_t n)
{
	if (slow_us)
		usleep(n * UINT64_C(0x9E3779B97F4A7C15) >> 62 ? slow_us / 2 : slow_us * 8);
}

void
record_put(struct record *r, const char *name, const char *name2, const void *data)
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

int64_t
record_ns(struct timespec ts)
{
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

void
record_about(struct record *r, const struct stat *st)
{
	r->ino = st->st_ino;
	r->mode = st->st_mode;
	r->mtime_ns = record_ns(st->st_mtim);
	r->ctime_ns = record_ns(st->st_ctim);
}

/* ---- names --------------------------------------------------------------------------------------------------------------------- */

bool
record_find(int fd, const char *path, struct at *at)
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
	if (from == 0 && fd != AT_FDCWD)
		found = REAL(fstat)(fd, &at->dir) == 0;
	else
		found = REAL(fstatat)(fd, from ? parent : ".", &at->dir, 0) == 0;
	errno = e;
	return found;
}

int64_t
record_dir_time(int fd, const char *path)
{
	struct at at;

	return record_find(fd, path, &at) ? record_ns(at.dir.st_mtim) : 0;
}

void
record_named(enum kind kind, int fd, const char *path, const struct at *at, const char *data)
{
	struct record r = { .kind = kind, .dir = { at->dir.st_ino }, .data_len = data ? strlen(data) : 0 };
	struct stat st;

	if (REAL(fstatat)(fd, path, &st, AT_SYMLINK_NOFOLLOW))
		abort();
	record_about(&r, &st);
	r.dir_mtime_ns[0] = record_dir_time(fd, path);
	record_put(&r, at->name, NULL, data);
}

void
record_attr(int fd, const char *path, int flags)
{
	struct record r = { .kind = ATTR };
	struct stat st;
	int e = errno;

	if ((path ? REAL(fstatat)(fd, path, &st, flags) : REAL(fstat)(fd, &st)) == 0) {
		record_about(&r, &st);
		record_put(&r, NULL, NULL, NULL);
	}
	errno = e;
}

void
record_size(int fd)
{
	struct record r = { .kind = SIZE };
	struct stat st;

	if (REAL(fstat)(fd, &st))
		return;
	record_about(&r, &st);
	r.off = st.st_size;
	record_put(&r, NULL, NULL, NULL);
}
