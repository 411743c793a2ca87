/* Calls on bytes, and what makes anything durable. */
#include "record.h"

#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

/* ---- bytes --------------------------------------------------------------------------------------------------------------------- */

static bool
is_file(int fd)
{
	struct stat st;
	int e = errno;
	bool is = record_on() && REAL(fstat)(fd, &st) == 0 && S_ISREG(st.st_mode);

	errno = e;
	return is;
}

static void
put_write(int fd, int64_t off, const void *data, size_t len)
{
	struct record r = { .kind = WRITE, .off = off, .data_len = len };
	struct stat st;

	if (len == 0 || !REAL(fstat)(fd, &st) == 0)
		return;
	record_about(&r, &st);
	record_put(&r, NULL, NULL, data);
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
	record_lock();
	n = REAL(write)(fd, p, len);
	if (n > 0)
		put_write(fd, now_at(fd) - n, p, (size_t)n);
	record_unlock();
	return n;
}

ssize_t
pwrite(int fd, const void *p, size_t len, off_t off)
{
	ssize_t n;

	if (!is_file(fd))
		return REAL(pwrite)(fd, p, len, off);
	record_lock();
	n = REAL(pwrite)(fd, p, len, off);
	if (n > 0)
		put_write(fd, off, p, (size_t)n);
	record_unlock();
	return n;
}

ALSO(pwrite64, pwrite);

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	ssize_t done;

	if (!is_file(fd))
		return REAL(writev)(fd, iov, n);
	record_lock();
	done = REAL(writev)(fd, iov, n);
	if (done > 0)
		put_copied(fd, now_at(fd) - done, (size_t)done);
	record_unlock();
	return done;
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	ssize_t done;

	if (!is_file(fd))
		return REAL(pwritev)(fd, iov, n, off);
	record_lock();
	done = REAL(pwritev)(fd, iov, n, off);
	if (done > 0)
		put_copied(fd, off, (size_t)done);
	record_unlock();
	return done;
}

ALSO(pwritev64, pwritev);

ssize_t
copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
	ssize_t n;

	if (!is_file(out))
		return REAL(copy_file_range)(in, in_off, out, out_off, len, flags);
	record_lock();
	n = REAL(copy_file_range)(in, in_off, out, out_off, len, flags);
	if (n > 0)
		put_copied(out, (out_off ? *out_off : now_at(out)) - n, (size_t)n);
	record_unlock();
	return n;
}

ssize_t
sendfile(int out, int in, off_t *off, size_t len)
{
	ssize_t n;

	if (!is_file(out))
		return REAL(sendfile)(out, in, off, len);
	record_lock();
	n = REAL(sendfile)(out, in, off, len);
	if (n > 0)
		put_copied(out, now_at(out) - n, (size_t)n);
	record_unlock();
	return n;
}

ALSO(sendfile64, sendfile);

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
	record_lock();
	rc = REAL(ioctl)(fd, what, arg);
	if (rc == 0 && REAL(fstat)(fd, &st) == 0)
		put_copied(fd, 0, (size_t)st.st_size);
	record_unlock();
	return rc;
}

int
ftruncate(int fd, off_t size)
{
	int rc;

	if (!record_on())
		return REAL(ftruncate)(fd, size);
	record_lock();
	rc = REAL(ftruncate)(fd, size);
	if (rc == 0)
		record_size(fd);
	record_unlock();
	return rc;
}

ALSO(ftruncate64, ftruncate);

static void
put_allocated(int fd, int mode, off_t off, off_t len)
{
	struct record r = { .kind = ZERO, .off = off, .data_len = sizeof len };
	struct stat st;

	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && REAL(fstat)(fd, &st) == 0) {
		record_about(&r, &st);
		record_put(&r, NULL, NULL, &len);
	}
	record_size(fd);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	int rc;

	if (!record_on())
		return REAL(fallocate)(fd, mode, off, len);
	record_lock();
	rc = REAL(fallocate)(fd, mode, off, len);
	if (rc == 0)
		put_allocated(fd, mode, off, len);
	record_unlock();
	return rc;
}

ALSO(fallocate64, fallocate);

int
posix_fallocate(int fd, off_t off, off_t len)
{
	int rc;

	if (!record_on())
		return REAL(posix_fallocate)(fd, off, len);
	record_lock();
	rc = REAL(posix_fallocate)(fd, off, len);
	if (rc == 0)
		put_allocated(fd, 0, off, len);
	record_unlock();
	return rc;
}

ALSO(posix_fallocate64, posix_fallocate);

/* ---- durability (R1, R2) ------------------------------------------------------------------------------------------------------- */

static int
flush(int fd, enum kind before, enum kind after)
{
	struct record r = { .kind = before };
	struct stat st;

	if (REAL(fstat)(fd, &st))
		return -1;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	if (!record_on())
		return 0;
	record_lock();
	r.off = (int64_t)record_begun();
	record_about(&r, &st);
	record_put(&r, NULL, NULL, NULL);
	record_unlock();
	record_slow((uint64_t)r.off);
	record_lock();
	r.kind = after;
	record_put(&r, NULL, NULL, NULL);
	record_unlock();
	return 0;
}

int
fsync(int fd)
{
	return flush(fd, FSYNC, FSYNCED);
}
ALSO(fdatasync, fsync);

int
syncfs(int fd)
{
	return flush(fd, SYNCFS, SYNCEDFS);
}

/* Promises nothing that would outlive the power. */
int
sync_file_range(int fd, off64_t off, off64_t len, unsigned flags)
{
	(void)fd, (void)off, (void)len, (void)flags;
	return 0;
}
