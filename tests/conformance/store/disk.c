#include "disk.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* The names that the linker gives: __wrap_x is called in place of x, __real_x is x.  The 64 is meson's large-file switch. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_fstatvfs64(int fd, struct statvfs *st);
int __wrap_fstatvfs64(int fd, struct statvfs *st);

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* guards all of what follows */
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static char record[DISK_RECORD_MAX];
static size_t record_len;
static char fail_kind, hold_kind;
static unsigned fail_skip;
static int fail_sys;
static bool held;
static uint64_t free_bytes = UINT64_MAX;

void
disk_reset(void)
{
	pthread_mutex_lock(&mu);
	record_len = 0;
	fail_kind = hold_kind = '\0';
	held = false;
	free_bytes = UINT64_MAX;
	pthread_mutex_unlock(&mu);
}

const char *
disk_record(char out[static DISK_RECORD_MAX])
{
	pthread_mutex_lock(&mu);
	memcpy(out, record, record_len);
	out[record_len] = '\0';
	pthread_mutex_unlock(&mu);
	return out;
}

void
disk_fail(char kind, unsigned skip, int sys)
{
	pthread_mutex_lock(&mu);
	fail_kind = kind;
	fail_skip = skip;
	fail_sys = sys;
	pthread_mutex_unlock(&mu);
}

void
disk_hold(char kind)
{
	pthread_mutex_lock(&mu);
	hold_kind = kind;
	pthread_mutex_unlock(&mu);
}

void
disk_await_held(void)
{
	pthread_mutex_lock(&mu);
	while (!held)
		pthread_cond_wait(&cv, &mu);
	pthread_mutex_unlock(&mu);
}

void
disk_release(void)
{
	pthread_mutex_lock(&mu);
	held = false;
	pthread_cond_broadcast(&cv);
	pthread_mutex_unlock(&mu);
}

void
disk_free(uint64_t bytes)
{
	pthread_mutex_lock(&mu);
	free_bytes = bytes;
	pthread_mutex_unlock(&mu);
}

/* A call of ${kind} begins: hold it if told so; errno that it shall fail with, or 0. */
static int
begin(char kind)
{
	int sys = 0;

	pthread_mutex_lock(&mu);
	if (hold_kind == kind) {
		hold_kind = '\0';
		held = true;
		pthread_cond_broadcast(&cv);
		while (held)
			pthread_cond_wait(&cv, &mu);
	}
	if (fail_kind == kind && fail_skip > 0) {
		fail_skip--;
	} else if (fail_kind == kind) {
		fail_kind = '\0';
		sys = fail_sys;
	}
	pthread_mutex_unlock(&mu);
	return sys;
}

static int
end(char kind, int rc)
{
	int sys = errno;

	pthread_mutex_lock(&mu);
	if (record_len + 1 < sizeof record)
		record[record_len++] = (char)(rc == 0 ? kind : kind | 0x20);
	pthread_mutex_unlock(&mu);
	errno = sys;
	return rc;
}

static int
refuse(int sys)
{
	errno = sys;
	return -1;
}

int
__wrap_fsync(int fd)
{
	struct stat st;
	char kind = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? 'D' : 'F';
	int sys = begin(kind);

	return end(kind, sys ? refuse(sys) : __real_fsync(fd));
}

int
__wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	int sys = begin('R');

	return end('R', sys ? refuse(sys) : __real_renameat2(from_dir, from, to_dir, to, flags));
}

int
__wrap_fstatvfs64(int fd, struct statvfs *st)
{
	int rc = __real_fstatvfs64(fd, st);

	pthread_mutex_lock(&mu);
	if (rc == 0 && free_bytes != UINT64_MAX) {
		st->f_frsize = 1;
		st->f_bavail = free_bytes;
	}
	pthread_mutex_unlock(&mu);
	return rc;
}
