/* When a pass may run, and what is held back from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "client/watch/quiet.h"

#define T0 INT64_C(1000000)

/** The world's answer to "does somebody write to it?", and how often it was asked. */
struct world {
	bool writing;
	unsigned looks;
	char last[64];
};

static bool
is_writing(void *ctx, const char *path)
{
	struct world *w = ctx;

	w->looks++;
	snprintf(w->last, sizeof w->last, "%s", path);
	return w->writing;
}

static bool
holds(const struct quiet *q, const char *path)
{
	const char *at;
	size_t pos = 0;

	while (quiet_each(q, &pos, &at))
		if (strcmp(at, path) == 0)
			return true;
	return false;
}

static void
take(struct quiet *q, int64_t now)
{
	map_free(quiet_take(q, now));
}

static void
test_calm(void **state)
{
	struct world w = { 0 };
	struct quiet *q = quiet_new(is_writing, &w);

	(void)state;
	assert_int_equal(quiet_wait_ms(q, T0), -1);
	quiet_dirty(q, T0);
	assert_int_equal(quiet_wait_ms(q, T0), WATCH_CALM_MS);
	quiet_dirty(q, T0 + 20);
	assert_int_equal(quiet_wait_ms(q, T0 + 20), WATCH_CALM_MS);
	assert_int_equal(quiet_wait_ms(q, T0 + 19 + WATCH_CALM_MS), 1);
	assert_int_equal(quiet_wait_ms(q, T0 + 20 + WATCH_CALM_MS), 0);
	take(q, T0 + 60);
	assert_int_equal(quiet_wait_ms(q, T0 + 60), -1);
	quiet_free(q);
}

static void
test_never_calm(void **state)
{
	struct world w = { 0 };
	struct quiet *q = quiet_new(is_writing, &w);
	int64_t now = T0;

	(void)state;
	for (; quiet_wait_ms(q, now) != 0; now += WATCH_CALM_MS / 2)
		quiet_dirty(q, now);
	assert_in_range(now - T0, WATCH_CALM_MAX_MS, WATCH_CALM_MAX_MS + WATCH_CALM_MS);
	quiet_free(q);
}

static void
test_held_until_closed(void **state)
{
	struct world w = { .writing = true };
	struct quiet *q = quiet_new(is_writing, &w);
	struct map *held;

	(void)state;
	quiet_written(q, "slow", T0);
	assert_true(holds(q, "slow"));
	for (int64_t now = T0; now < T0 + 20000; now += 500) {
		assert_true(quiet_wait_ms(q, now) > 0); /* no reason for a pass */
		quiet_written(q, "slow", now);
	}
	quiet_dirty(q, T0 + 20000);
	held = quiet_take(q, T0 + 20100);
	assert_int_equal(map_count(held), 1);
	assert_non_null(map_get(held, "slow", 4));
	map_free(held);
	assert_int_equal(quiet_held(q), 1);
	quiet_closed(q, "slow", T0 + 21000);
	assert_int_equal(quiet_held(q), 0);
	assert_int_equal(quiet_wait_ms(q, T0 + 21000), WATCH_CALM_MS);
	held = quiet_take(q, T0 + 21100);
	assert_int_equal(map_count(held), 0);
	map_free(held);
	quiet_free(q);
}

/* utimes and truncate: nobody has it open, so nobody will close it. */
static void
test_nobody_writes(void **state)
{
	struct world w = { .writing = false };
	struct quiet *q = quiet_new(is_writing, &w);

	(void)state;
	quiet_written(q, "touched", T0);
	assert_int_equal(quiet_wait_ms(q, T0), WATCH_HOLD_LOOK_MS);
	assert_int_equal(w.looks, 0);
	assert_int_equal(quiet_wait_ms(q, T0 + WATCH_HOLD_LOOK_MS), WATCH_CALM_MS);
	assert_int_equal(w.looks, 1);
	assert_string_equal(w.last, "touched");
	assert_int_equal(quiet_held(q), 0);
	quiet_free(q);
}

/* Run the clock from event to event to the end of the hold, and say when that was. */
static int64_t
until_let_go(struct quiet *q, int64_t now)
{
	take(q, now); /* so that only the holds are left to be waited for */
	while (quiet_held(q)) {
		int64_t wait = quiet_wait_ms(q, now);

		if (!quiet_held(q))
			break;
		assert_true(wait > 0);
		now += wait;
	}
	return now;
}

static void
test_rests(void **state)
{
	struct world w = { .writing = true };
	struct quiet *q = quiet_new(is_writing, &w);

	(void)state;
	quiet_written(q, "open", T0);
	assert_int_equal(until_let_go(q, T0), T0 + WATCH_HOLD_REST_MS);
	assert_in_range(w.looks, 5, 12); /* rarer and rarer */
	quiet_made(q, "made", T0 + 100000);
	assert_int_equal(until_let_go(q, T0 + 100000), T0 + 100000 + WATCH_HOLD_MADE_MS);
	quiet_made(q, "both", T0 + 200000);
	quiet_written(q, "both", T0 + 200500);
	assert_int_equal(until_let_go(q, T0 + 200500), T0 + 200500 + WATCH_HOLD_REST_MS);
	quiet_free(q);
}

static void
test_never_rests(void **state)
{
	struct world w = { .writing = true };
	struct quiet *q = quiet_new(is_writing, &w);
	int64_t now = T0;

	(void)state;
	for (; quiet_held(q) || now == T0; now += 1000) {
		quiet_written(q, "log", now);
		(void)quiet_wait_ms(q, now + 500);
	}
	assert_in_range(now - T0, WATCH_HOLD_MAX_MS, WATCH_HOLD_MAX_MS + 2000);
	assert_true(quiet_wait_ms(q, now) >= 0); /* a pass is due */
	quiet_free(q);
}

static void
test_moves_and_removals(void **state)
{
	struct world w = { .writing = true };
	struct quiet *q = quiet_new(is_writing, &w);

	(void)state;
	quiet_written(q, "d/slow", T0);
	quiet_written(q, "d/e/slow", T0);
	quiet_written(q, "dd/slow", T0);
	quiet_moved(q, "d", "f/g", T0);
	assert_true(holds(q, "f/g/slow") && holds(q, "f/g/e/slow") && holds(q, "dd/slow"));
	assert_int_equal(quiet_held(q), 3);
	quiet_moved(q, "dd/slow", "f/g/slow", T0); /* over the other one */
	assert_int_equal(quiet_held(q), 2);
	quiet_gone(q, "f", T0);
	assert_int_equal(quiet_held(q), 0);
	quiet_written(q, "x", T0);
	quiet_moved(q, "x", "x.renamed", T0);
	assert_true(holds(q, "x.renamed"));
	quiet_forget(q, T0);
	assert_int_equal(quiet_held(q), 0);
	assert_int_equal(quiet_wait_ms(q, T0), WATCH_CALM_MS);
	quiet_free(q);
}

static void
test_too_many(void **state)
{
	struct world w = { .writing = true };
	struct quiet *q = quiet_new(is_writing, &w);
	char name[32];

	(void)state;
	for (int i = 0; i < WATCH_HELD_MAX; i++) {
		snprintf(name, sizeof name, "f%d", i);
		quiet_written(q, name, T0);
	}
	assert_int_equal(quiet_held(q), WATCH_HELD_MAX);
	assert_true(quiet_wait_ms(q, T0) > WATCH_CALM_MS);
	quiet_written(q, "one more", T0); /* is not held, so it is a change */
	assert_int_equal(quiet_held(q), WATCH_HELD_MAX);
	assert_int_equal(quiet_wait_ms(q, T0), WATCH_CALM_MS);
	quiet_free(q);
}

/* Whatever happens: what is held ends, and a change is never forgotten. */
static void
test_random(void **state)
{
	(void)state;
	for (int run = 0; run < 200; run++) {
		struct world w = { .writing = run % 2 };
		struct quiet *q = quiet_new(is_writing, &w);
		int64_t now = T0, wait;

		for (int i = 0; i < 200; i++) {
			char a[8], b[8];

			snprintf(a, sizeof a, "%c/%c", 'a' + (int)(rng_u64() % 3), 'a' + (int)(rng_u64() % 5));
			snprintf(b, sizeof b, "%c/%c", 'a' + (int)(rng_u64() % 3), 'a' + (int)(rng_u64() % 5));
			now += (int64_t)(rng_u64() % 50);
			switch (rng_u64() % 7) {
			case 0: quiet_made(q, a, now); break;
			case 1: case 2: quiet_written(q, a, now); break;
			case 3: quiet_closed(q, a, now); break;
			case 4: quiet_gone(q, a, now); break;
			case 5: if (strcmp(a, b) != 0) quiet_moved(q, a, b, now); break;
			default: if (quiet_wait_ms(q, now) == 0) take(q, now); break;
			}
		}
		quiet_written(q, "last", now);
		for (unsigned passes = 0; (wait = quiet_wait_ms(q, now)) >= 0; now += wait) {
			if (wait > 0)
				continue;
			take(q, now);
			assert_true(++passes < 100);
		}
		assert_int_equal(quiet_held(q), 0);
		assert_true(now < T0 + 200 * 50 + WATCH_HOLD_REST_MS + 1000);
		quiet_free(q);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calm),
		cmocka_unit_test(test_never_calm),
		cmocka_unit_test(test_held_until_closed),
		cmocka_unit_test(test_nobody_writes),
		cmocka_unit_test(test_rests),
		cmocka_unit_test(test_never_rests),
		cmocka_unit_test(test_moves_and_removals),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
