/* The ring: who has been told up to a message's beginning is told that message, and everybody else is sent to the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/notify/ring.h"

static void
push(struct ring *r, int64_t to, size_t len)
{
	char text[4096] = { 0 };

	ring_push(r, frame_new(r->to, to, text, len));
}

static void
messages_follow_each_other(void **state)
{
	struct ring r;
	struct frame *f;

	(void)state;
	ring_init(&r, 100, 1000);
	assert_int_equal(ring_find(&r, 100, &f), RING_NONE);
	assert_int_equal(ring_find(&r, 99, &f), RING_PASSED);
	push(&r, 110, 10);
	push(&r, 111, 10);
	push(&r, 200, 10);
	assert_int_equal(ring_find(&r, 100, &f), RING_NEXT);
	assert_int_equal(f->to, 110);
	assert_int_equal(ring_find(&r, 110, &f), RING_NEXT);
	assert_int_equal(f->to, 111);
	assert_int_equal(ring_find(&r, 111, &f), RING_NEXT);
	assert_int_equal(f->to, 200);
	assert_int_equal(ring_find(&r, 200, &f), RING_NONE);
	assert_int_equal(ring_find(&r, 300, &f), RING_NONE);
	assert_int_equal(ring_find(&r, 105, &f), RING_PASSED); /* within a message */
	assert_int_equal(ring_find(&r, 0, &f), RING_PASSED);
	ring_fini(&r);
}

static void
the_oldest_go(void **state)
{
	struct ring r;
	struct frame *f, *kept;

	(void)state;
	ring_init(&r, 0, 1000);
	push(&r, 1, 10);
	assert_int_equal(ring_find(&r, 0, &f), RING_NEXT);
	kept = frame_ref(f);
	for (int64_t to = 2; to <= 3 * RING_FRAMES; to++)
		push(&r, to, 1);
	assert_int_equal(r.n, RING_FRAMES);
	assert_int_equal(r.bytes, RING_FRAMES);
	for (int64_t clock = 0; clock < 3 * RING_FRAMES; clock++)
		assert_int_equal(ring_find(&r, clock, &f), clock < 2 * RING_FRAMES ? RING_PASSED : RING_NEXT);
	assert_int_equal(kept->to, 1); /* who is being sent it still has it */
	frame_unref(kept);
	push(&r, 4000, 900);
	assert_true(r.bytes <= 1000);
	push(&r, 4001, 3000); /* larger than all: it alone */
	assert_int_equal(r.n, 1);
	assert_int_equal(ring_find(&r, 4000, &f), RING_NEXT);
	ring_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(messages_follow_each_other), cmocka_unit_test(the_oldest_go) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
