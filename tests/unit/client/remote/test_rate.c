/* A rate shared by many, without a clock: the time is what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/clock.h"
#include "client/remote/rate.h"

#define SECOND INT64_C(1000000)

/* Each piece is asked for when the one before it has passed; returns when the last one has. */
static int64_t
run(struct rate *r, size_t total, size_t piece, int64_t now)
{
	for (size_t done = 0; done < total; done += piece)
		now = rate_take(r, piece, now);
	return now;
}

static void
test_average(void **ctx)
{
	static const uint64_t rates[] = { 32 * KIB, 500 * KIB, 10 * MIB, 1 * GIB };

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate *r = rate_new(rates[i]);
		int64_t start = 5 * SECOND, end = run(r, 10 * rates[i], rate_piece(r), start);

		/* ten seconds' worth, less what the bucket held at the start */
		assert_in_range(end - start, 10 * SECOND - SECOND / 8, 10 * SECOND + SECOND / 8);
		rate_free(r);
	}
}

static void
test_smooth(void **ctx)
{
	struct rate *r = rate_new(1 * MIB);
	int64_t now = 0;

	(void)ctx;
	now = run(r, 1 * MIB, rate_piece(r), now);
	for (unsigned i = 0; i < 100; i++) {
		int64_t at = rate_take(r, rate_piece(r), now);
		assert_in_range(at - now, SECOND / 25, SECOND / 16); /* a twentieth of a second each, never a burst */
		now = at;
	}
	rate_free(r);
}

/* What was not used for an hour is not made up for in a second. */
static void
test_idle_is_not_saved(void **ctx)
{
	struct rate *r = rate_new(1 * MIB);
	int64_t start = run(r, 1 * MIB, 64 * KIB, 0) + 3600 * SECOND;

	(void)ctx;
	assert_in_range(run(r, 1 * MIB, 64 * KIB, start) - start, SECOND * 8 / 10, SECOND);
	rate_free(r);
}

/* Two that ask in turn get the same, whatever the one before has taken. */
static void
test_fair(void **ctx)
{
	struct rate *r = rate_new(1 * MIB);
	int64_t now[2] = { 0, 0 };
	size_t got[2] = { 0, 0 };

	(void)ctx;
	while (MIN(now[0], now[1]) < 20 * SECOND) {
		unsigned who = now[1] < now[0];

		now[who] = rate_take(r, 16 * KIB, now[who]);
		got[who] += 16 * KIB;
	}
	assert_in_range(got[0] * 100 / (got[0] + got[1]), 49, 51);
	assert_in_range(got[0] + got[1], 19 * MIB, 21 * MIB);
	rate_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_average),
		cmocka_unit_test(test_smooth),
		cmocka_unit_test(test_idle_is_not_saved),
		cmocka_unit_test(test_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
