#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/pathat.h"

static void
files_at_offsets(void **state)
{
	AUTO(closep) int fd = memfd_create("t", MFD_CLOEXEC);
	struct err err;
	char b[16];
	size_t got;

	(void)state;
	assert_ok(write_full(fd, "hello", 5, &err));
	assert_ok(pwrite_full(fd, "J", 1, 0, &err));
	assert_ok(pwrite_full(fd, "!", 1, 7, &err));
	assert_ok(pread_full(fd, b, sizeof b, 0, &got, &err));
	assert_int_equal(got, 8);
	assert_memory_equal(b, "Jello\0\0!", 8);
	assert_ok(pread_full(fd, b, 3, 1, &got, &err));
	assert_int_equal(got, 3);
	assert_memory_equal(b, "ell", 3);
	assert_ok(pread_full(fd, b, 3, 100, &got, &err));
	assert_int_equal(got, 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_ok(read_full(fd, b, sizeof b, &got, &err));
	assert_int_equal(got, 8);
	assert_ok(read_full(fd, b, sizeof b, &got, &err));
	assert_int_equal(got, 0);
	assert_ok(write_full(fd, NULL, 0, &err));
}

/* More strings than one call takes, of every length from none on. */
static void
strings_one_after_the_other(void **state)
{
	AUTO(closep) int fd = memfd_create("t", MFD_CLOEXEC);
	uint8_t want[200 * 201 / 2], found[sizeof want + 1];
	struct slice v[201];
	struct err err;
	size_t got, len = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); len += i++)
		v[i] = (struct slice){ want + len, i };
	assert_int_equal(len, sizeof want);
	for (size_t i = 0; i < len; i++)
		want[i] = (uint8_t)test_random();
	assert_ok(pwrite_each(fd, v, ARRAY_LEN(v), 7, &err));
	assert_ok(pread_full(fd, found, sizeof found, 7, &got, &err));
	assert_int_equal(got, len);
	assert_memory_equal(found, want, len);
	assert_ok(pwrite_each(fd, v, 1, 0, &err)); /* of no length */
	assert_ok(pwrite_each(fd, NULL, 0, 0, &err));
	assert_code(pwrite_each(fd, v, 2, UINT64_MAX, &err), ERR_IO);
	assert_code(pwrite_each(-1, v, 2, 0, &err), ERR_IO);
	assert_int_equal(err.sys, EBADF);
}

/* A call that wrote less than it should is followed by one for what is left, in the middle of a string. */
static void
a_short_write_goes_on(void **state)
{
	AUTO(closep) int fd = memfd_create("t", MFD_CLOEXEC);
	const struct slice v[] = { { (const uint8_t *)"abcd", 4 }, { (const uint8_t *)"efgh", 4 } };
	struct rlimit was, six;
	struct err err;
	char b[8];
	size_t got;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	six = (struct rlimit){ 6, was.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &six), 0);
	assert_code(pwrite_each(fd, v, 2, 0, &err), ERR_IO); /* the call for the other two */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_ok(pread_full(fd, b, sizeof b, 0, &got, &err));
	assert_int_equal(got, 6);
	assert_memory_equal(b, "abcdef", 6);
}

static void
errors(void **state)
{
	AUTO(closep) int fd = memfd_create("t", MFD_CLOEXEC);
	AUTO(closep) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct err err;
	char b[4];
	size_t got;

	(void)state;
	assert_code(write_full(-1, "x", 1, &err), ERR_IO);
	assert_int_equal(err.sys, EBADF);
	assert_code(read_full(-1, b, 1, &got, &err), ERR_IO);
	assert_code(write_full(full, "x", 1, &err), ERR_NO_SPACE);
	assert_code(pwrite_full(fd, "xy", 2, INT64_MAX, &err), ERR_IO);
	assert_code(pwrite_full(fd, "x", 1, UINT64_MAX, &err), ERR_IO);
	assert_int_equal(err.sys, EFBIG);
	assert_code(pread_full(fd, b, 1, UINT64_MAX, &got, &err), ERR_IO);
	assert_int_equal(got, 0);
}

#define STREAM (1 * MIB)

struct writer {
	int fd;
	const uint8_t *p;
};

static void *
write_stream(void *arg)
{
	struct writer *w = arg;
	struct err err;
	err_code rc = write_full(w->fd, w->p, STREAM, &err);

	close(w->fd);
	return rc ? w : NULL;
}

static void
ignore(int sig)
{
	(void)sig;
}

/* A pipe gives and takes 64 KiB at a time, and signals without SA_RESTART interrupt both ends. */
static void
short_counts_and_signals_are_handled(void **state)
{
	AUTO(freep) uint8_t *p = xmalloc(STREAM);
	AUTO(freep) uint8_t *q = xmalloc(STREAM + 1);
	struct sigaction act = { .sa_handler = ignore }, old;
	struct err err;
	struct writer w;
	int fd[2];
	pthread_t t;
	size_t got;
	void *failed;

	(void)state;
	for (size_t i = 0; i < STREAM; i++)
		p[i] = (uint8_t)test_random();
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	sigaction(SIGUSR1, &act, &old);
	w = (struct writer){ fd[1], p };
	assert_int_equal(pthread_create(&t, NULL, write_stream, &w), 0);
	for (int i = 0; i < 50; i++) { /* the pipe is full, so these meet the writer in write(2) */
		usleep(200);
		pthread_kill(t, SIGUSR1);
	}
	assert_ok(read_full(fd[0], q, STREAM + 1, &got, &err));
	pthread_join(t, &failed);
	assert_null(failed);
	assert_int_equal(got, STREAM);
	assert_memory_equal(p, q, STREAM);
	sigaction(SIGUSR1, &old, NULL);
	close(fd[0]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_at_offsets),
		cmocka_unit_test(strings_one_after_the_other),
		cmocka_unit_test(a_short_write_goes_on),
		cmocka_unit_test(errors),
		cmocka_unit_test(short_counts_and_signals_are_handled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
