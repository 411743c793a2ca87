#pragma once
/** What the tests of base share. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"

/** assert_ok(call): ${call} takes &err and must succeed; its message is shown when it does not. */
#define assert_ok(call) \
	do { \
		if (call) \
			fail_msg("%s: %s", #call, err.msg); \
	} while (0)

/** assert_code(call, code): the call must fail with this code and have recorded it. */
#define assert_code(call, want) \
	do { \
		err_code got_ = (call); \
		if (got_ != (want)) \
			fail_msg("%s: answered %s, not %s", #call, err_info(got_)->code, err_info(want)->code); \
		assert_int_equal(err.code, want); \
	} while (0)

/** assert_aborts(fn, arg): the process that calls it must end by abort(). */
static inline void
assert_aborts(void (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		close(STDERR_FILENO); /* the complaint is expected */
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/** test_random(): numbers that look random and are the same in every run (xorshift64*), so a failure repeats. */
static inline uint64_t
test_random(void)
{
	static uint64_t x = UINT64_C(0x9E3779B97F4A7C15);

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	return x * UINT64_C(0x2545F4914F6CDD1D);
}
