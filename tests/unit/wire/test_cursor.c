/* Cursors: one spelling each, and times in their place. */

#include "wire_test.h"

#define EPOCH "0123456789abcdef0123456789abcdef"

static err_code
parse(const char *s, struct cursor *out)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, strlen(s));

	return cursor_parse((const char *)b.p, b.len, out, NULL);
}

static void
cursors_round_trip(void **state)
{
	static const int64_t clocks[] = { 0, 1, 1795356000123456, INT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
		struct cursor c = { .clock = clocks[i], .epoch = id_new() }, back;
		char text[CURSOR_MAX];

		assert_int_equal(parse(cursor_format(&c, text), &back), ERR_OK);
		assert_int_equal(back.clock, c.clock);
		assert_true(back.has_epoch && id_eq(&back.epoch, &c.epoch));
		assert_int_equal(back.began, 0);
		c.began = INT64_MAX;
		assert_int_equal(parse(cursor_format(&c, text), &back), ERR_OK);
		assert_int_equal(back.clock, c.clock);
		assert_true(back.began == (c.clock == INT64_MAX ? 0 : INT64_MAX) && id_eq(&back.epoch, &c.epoch));
	}
}

static void
times_are_cursors_without_epoch(void **state)
{
	struct cursor c;

	(void)state;
	assert_int_equal(parse("2026-11-22T14:00:00.123456Z", &c), ERR_OK);
	assert_int_equal(c.clock, 1795356000123456);
	assert_false(c.has_epoch);
	assert_int_equal(parse("2026-11-22T15:00:00.123456999+01:00", &c), ERR_OK);
	assert_int_equal(c.clock, 1795356000123456); /* rounded down: a change may come twice, never not at all */
	assert_int_equal(parse("1960-01-01T00:00:00Z", &c), ERR_OK);
	assert_int_equal(c.clock, 0);
}

static void
everything_else_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "0", ".", "5." , "5." EPOCH "0", "5.0123456789ABCDEF0123456789abcdef", "." EPOCH, "-1." EPOCH, "+1." EPOCH,
		"05." EPOCH, " 5." EPOCH, "5." EPOCH " ", "9223372036854775808." EPOCH, "99999999999999999999." EPOCH, "5x." EPOCH,
		"5.." EPOCH, "5.5." EPOCH, "5.4." EPOCH, "5.06." EPOCH, "5.6.7." EPOCH, "5.-6." EPOCH, ".6." EPOCH, "5.9223372036854775808." EPOCH, "5,0123456789abcdef0123456789abcdef", "2026-11-22", "2026-13-22T14:00:00Z", "yesterday",
		"5.0123456789abcdef0123456789abcde\xff", "\xc3\xa9", "p.00",
	};
	struct cursor c;
	char *large = xmalloc(10 * KIB + 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };

		assert_row(bad[i], parse(bad[i], &c), ERR_CURSOR_INVALID, &err);
	}
	memset(large, '1', 10 * KIB);
	large[10 * KIB] = 0;
	assert_int_equal(parse(large, &c), ERR_CURSOR_INVALID);
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursors_round_trip),
		cmocka_unit_test(times_are_cursors_without_epoch),
		cmocka_unit_test(everything_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
