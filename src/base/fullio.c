/* Whole-buffer reads and writes, declared in pathat.h beside the calls that open the files. */
#include "base/pathat.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#define GATHER_MAX 64 /* strings in one call */

/* Offset ${done} further on; false beyond what off_t holds. */
static bool
offset(uint64_t off, size_t done, off_t *out)
{
	return !__builtin_add_overflow(off, done, out);
}

/* ${n} is what write(2) answered: whether to go on. */
static bool
retry(ssize_t n)
{
	return n < 0 && errno == EINTR;
}

static err_code
write_error(ssize_t n, struct err *err)
{
	if (n == 0)
		errno = EIO; /* a device that takes nothing and names no reason: going on would spin */
	return err_errno(err, "write");
}

err_code
write_full(int fd, const void *p, size_t len, struct err *err)
{
	const uint8_t *s = p;

	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, s + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (!retry(n))
			return write_error(n, err);
	}
	return ERR_OK;
}

err_code
pwrite_full(int fd, const void *p, size_t len, uint64_t off, struct err *err)
{
	const uint8_t *s = p;

	for (size_t done = 0; done < len;) {
		off_t at;
		ssize_t n;

		if (!offset(off, done, &at))
			return err_sys(err, ERR_IO, EFBIG, "write");
		n = pwrite(fd, s + done, len - done, at);
		if (n > 0)
			done += (size_t)n;
		else if (!retry(n))
			return write_error(n, err);
	}
	return ERR_OK;
}

/* What follows the first ${done} bytes, as much of it as one call takes; *n: strings. */
static void
gather(const struct slice *v, size_t count, uint64_t done, struct iovec out[GATHER_MAX], size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < count && *n < GATHER_MAX; i++) {
		size_t skip = (size_t)MIN(done, v[i].len);

		done -= skip;
		if (skip < v[i].len) /* writev(2) has no const */
			out[(*n)++] = (struct iovec){ .iov_base = (void *)(uintptr_t)(v[i].p + skip), .iov_len = v[i].len - skip };
	}
}

err_code
pwrite_each(int fd, const struct slice *v, size_t n, uint64_t off, struct err *err)
{
	struct iovec piece[GATHER_MAX];
	size_t pieces, done = 0;

	for (gather(v, n, done, piece, &pieces); pieces; gather(v, n, done, piece, &pieces)) {
		off_t at;
		ssize_t got;

		if (!offset(off, done, &at))
			return err_sys(err, ERR_IO, EFBIG, "write");
		got = pwritev(fd, piece, (int)pieces, at);
		if (got > 0)
			done += (size_t)got;
		else if (!retry(got))
			return write_error(got, err);
	}
	return ERR_OK;
}

err_code
read_full(int fd, void *p, size_t len, size_t *got, struct err *err)
{
	uint8_t *s = p;

	for (*got = 0; *got < len;) {
		ssize_t n = read(fd, s + *got, len - *got);

		if (n == 0)
			break;
		if (n > 0)
			*got += (size_t)n;
		else if (!retry(n))
			return err_errno(err, "read");
	}
	return ERR_OK;
}

err_code
pread_full(int fd, void *p, size_t len, uint64_t off, size_t *got, struct err *err)
{
	uint8_t *s = p;

	for (*got = 0; *got < len;) {
		off_t at;
		ssize_t n;

		if (!offset(off, *got, &at))
			return err_sys(err, ERR_IO, EOVERFLOW, "read");
		n = pread(fd, s + *got, len - *got, at);
		if (n == 0)
			break;
		if (n > 0)
			*got += (size_t)n;
		else if (!retry(n))
			return err_errno(err, "read");
	}
	return ERR_OK;
}
