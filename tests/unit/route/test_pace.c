/* How often a device may be told that there is nothing new, on a clock that the test sets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "server/route/pace.h"

#define START_US INT64_C(1000000000)

static struct id
device(unsigned n)
{
	struct id id = { { 0 } };

	for (size_t i = 0; i < sizeof n; i++)
		id.b[i] = (uint8_t)(n >> 8 * i);
	return id;
}

/** How many answers it gets at ${now_us} before it is refused; at most ${max}. */
static unsigned
takes(struct pace *p, unsigned n, int64_t now_us, unsigned max)
{
	struct id id = device(n);
	unsigned got = 0;

	while (got < max && pace_ready(p, &id, now_us)) {
		pace_charge(p, &id, now_us);
		got++;
	}
	return got;
}

static void
a_burst_and_then_the_rate(void **state)
{
	struct pace *p = pace_new();
	int64_t now_us = START_US;

	(void)state;
	assert_int_equal(takes(p, 1, now_us, 1000), POLL_BURST);
	assert_int_equal(takes(p, 1, now_us + POLL_INTERVAL_US - 1, 1000), 0);
	for (unsigned i = 0; i < 100; i++) {
		now_us += POLL_INTERVAL_US;
		assert_int_equal(takes(p, 1, now_us, 1000), 1);
	}
	now_us += 7 * POLL_INTERVAL_US;
	assert_int_equal(takes(p, 1, now_us, 1000), 7);
	now_us += INT64_C(1000) * POLL_BURST * POLL_INTERVAL_US; /* what was not taken is not saved up */
	assert_int_equal(takes(p, 1, now_us, 1000), POLL_BURST);
	pace_free(p);
}

static void
slower_than_the_rate_is_never_refused(void **state)
{
	struct pace *p = pace_new();
	int64_t now_us = START_US;

	(void)state;
	for (unsigned i = 0; i < 10 * POLL_BURST; i++, now_us += POLL_INTERVAL_US)
		assert_int_equal(takes(p, 1, now_us, 1), 1);
	pace_free(p);
}

static void
each_device_for_itself(void **state)
{
	struct pace *p = pace_new();

	(void)state;
	assert_int_equal(takes(p, 1, START_US, 1000), POLL_BURST);
	assert_int_equal(takes(p, 2, START_US, 1000), POLL_BURST);
	assert_int_equal(takes(p, 1, START_US, 1000), 0);
	pace_free(p);
}

/* Sixteen were let in at once with one answer left: they owe no more than the burst. */
static void
together_beyond_the_burst(void **state)
{
	struct pace *p = pace_new();
	struct id id = device(1);

	(void)state;
	(void)takes(p, 1, START_US, POLL_BURST - 1);
	for (unsigned i = 0; i < HTTP_PER_DEVICE_MAX; i++)
		pace_charge(p, &id, START_US);
	assert_int_equal(takes(p, 1, START_US + POLL_INTERVAL_US, 1000), 1);
	pace_free(p);
}

static void
the_first_of_too_many_devices_is_forgotten(void **state)
{
	struct pace *p = pace_new();

	(void)state;
	for (unsigned n = 0; n < POLL_DEVICES_MAX; n++)
		assert_int_equal(takes(p, n, START_US, 1000), POLL_BURST);
	for (unsigned n = 0; n < POLL_DEVICES_MAX; n++)
		assert_int_equal(takes(p, n, START_US, 1), 0);
	assert_int_equal(takes(p, POLL_DEVICES_MAX, START_US, 1000), POLL_BURST);
	for (unsigned n = 1; n <= POLL_DEVICES_MAX; n++)
		assert_int_equal(takes(p, n, START_US, 1), 0);
	assert_int_equal(takes(p, 0, START_US, 1000), POLL_BURST);
	assert_int_equal(takes(p, 1, START_US, 1000), POLL_BURST); /* its place went to device 0 */
	pace_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_and_then_the_rate),
		cmocka_unit_test(slower_than_the_rate_is_never_refused),
		cmocka_unit_test(each_device_for_itself),
		cmocka_unit_test(together_beyond_the_burst),
		cmocka_unit_test(the_first_of_too_many_devices_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
