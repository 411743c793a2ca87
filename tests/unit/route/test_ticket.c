/* Tickets: once, in time, and not too many, on a clock that the test sets. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "server/route/ticket.h"

#define START_MS INT64_C(1000000)

static struct ticket
of_device(unsigned n)
{
	return (struct ticket){ .device = { { (uint8_t)(n >> 8), (uint8_t)n, 1 } } };
}

static err_code
give(struct tickets *ts, unsigned device, int64_t now_ms, char text[static TICKET_LEN + 1])
{
	const struct ticket t = of_device(device);

	return ticket_give(ts, &t, now_ms, text, NULL);
}

static err_code
take(struct tickets *ts, const char *text, int64_t now_ms, struct ticket *out)
{
	return ticket_take(ts, text, strlen(text), now_ms, out, NULL);
}

static void
once(void **state)
{
	struct tickets *ts = tickets_new();
	const struct ticket given = { .device = { { 1 } }, .project = { { 2 } } };
	char text[TICKET_LEN + 1], other[TICKET_LEN + 1];
	struct ticket t;

	(void)state;
	assert_int_equal(ticket_give(ts, &given, START_MS, text, NULL), ERR_OK);
	assert_int_equal(give(ts, 7, START_MS, other), ERR_OK);
	assert_int_equal(strlen(text), TICKET_LEN);
	assert_string_not_equal(text, other);
	assert_int_equal(take(ts, text, START_MS, &t), ERR_OK);
	assert_true(id_eq(&t.device, &given.device) && id_eq(&t.project, &given.project));
	assert_int_equal(take(ts, text, START_MS, &t), ERR_TICKET_INVALID);
	assert_int_equal(take(ts, other, START_MS, &t), ERR_OK);
	tickets_free(ts);
}

static void
in_time(void **state)
{
	struct tickets *ts = tickets_new();
	char text[TICKET_LEN + 1];
	struct ticket t;

	(void)state;
	assert_int_equal(give(ts, 1, START_MS, text), ERR_OK);
	assert_int_equal(take(ts, text, START_MS + EVENTS_TICKET_MS, &t), ERR_TICKET_INVALID);
	assert_int_equal(take(ts, text, START_MS + EVENTS_TICKET_MS - 1, &t), ERR_OK);
	tickets_free(ts);
}

static void
what_is_none(void **state)
{
	struct tickets *ts = tickets_new();
	char text[TICKET_LEN + 1];
	struct ticket t;

	(void)state;
	assert_int_equal(give(ts, 1, START_MS, text), ERR_OK);
	assert_int_equal(ticket_take(ts, text, TICKET_LEN - 1, START_MS, &t, NULL), ERR_TICKET_INVALID);
	assert_int_equal(ticket_take(ts, "", 0, START_MS, &t, NULL), ERR_TICKET_INVALID);
	text[0] = text[0] == '0' ? '1' : '0';
	assert_int_equal(take(ts, text, START_MS, &t), ERR_TICKET_INVALID);
	tickets_free(ts);
}

static void
not_too_many(void **state)
{
	struct tickets *ts = tickets_new();
	char text[TICKET_LEN + 1], first[TICKET_LEN + 1];
	struct ticket t;
	unsigned given = 0;

	(void)state;
	for (unsigned i = 0; i < EVENTS_TICKETS_PER_DEVICE_MAX; i++)
		assert_int_equal(give(ts, 0, START_MS, i == 0 ? first : text), ERR_OK);
	assert_int_equal(give(ts, 0, START_MS, text), ERR_TOO_MANY_REQUESTS);
	assert_int_equal(take(ts, first, START_MS, &t), ERR_OK);
	assert_int_equal(give(ts, 0, START_MS, text), ERR_OK);
	while (give(ts, 1 + given / EVENTS_TICKETS_PER_DEVICE_MAX, START_MS, text) == ERR_OK)
		given++;
	assert_int_equal(given, EVENTS_TICKETS_MAX - EVENTS_TICKETS_PER_DEVICE_MAX);
	assert_int_equal(give(ts, 9999, START_MS, text), ERR_UNAVAILABLE);
	assert_int_equal(give(ts, 9999, START_MS + EVENTS_TICKET_MS, text), ERR_OK); /* their time is over */
	tickets_free(ts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once),
		cmocka_unit_test(in_time),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(not_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
