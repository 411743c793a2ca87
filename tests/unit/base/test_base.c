#include "unit.h"

#include <errno.h>
#include <fcntl.h>

static bool out_of_memory;
void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);

void *
__wrap_malloc(size_t len)
{
	return out_of_memory ? NULL : __real_malloc(len);
}

static void
zero_lengths_answer_a_pointer(void **state)
{
	AUTO(freep) void *a = xmalloc(0);
	AUTO(freep) void *b = xcalloc(0, 8);
	AUTO(freep) void *c = xrealloc(NULL, 0);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
}

static void
no_memory(void *arg)
{
	(void)arg;
	out_of_memory = true;
	free(xmalloc(1));
}

static void
failure_stops_the_process(void **state)
{
	(void)state;
	assert_aborts(no_memory, NULL);
}

static char *
hand_over(char *owned)
{
	AUTO(freep) char *s = owned;

	return TAKE(s);
}

static void
take_disarms_auto(void **state)
{
	char *s = hand_over(xstrdup("mine"));

	(void)state;
	assert_string_equal(s, "mine"); /* read after free, if AUTO had run on it */
	free(s);
}

static void
closep_closes_and_keeps_errno(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), none = -1;

	(void)state;
	errno = ENOENT;
	closep(&fd);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	errno = ENOENT;
	closep(&none);
	assert_int_equal(errno, ENOENT);
}

static void
little_endian(void **state)
{
	uint8_t b[9] = { 0xFF };

	(void)state;
	put_u64le(b + 1, UINT64_C(0x8877665544332211)); /* unaligned on purpose */
	assert_int_equal(b[1], 0x11);
	assert_int_equal(b[8], 0x88);
	assert_true(get_u64le(b + 1) == UINT64_C(0x8877665544332211));
	assert_int_equal(get_u32le(b + 1), 0x44332211);
	assert_int_equal(get_u16le(b + 1), 0x2211);
	put_u32le(b + 1, UINT32_MAX);
	assert_true(get_u64le(b + 1) == UINT64_C(0x88776655FFFFFFFF));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_lengths_answer_a_pointer),
		cmocka_unit_test(failure_stops_the_process),
		cmocka_unit_test(take_disarms_auto),
		cmocka_unit_test(closep_closes_and_keeps_errno),
		cmocka_unit_test(little_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
