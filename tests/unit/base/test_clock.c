#include "unit.h"

#include "base/clock.h"

static const char *
us(int64_t v)
{
	static char out[RFC3339_MAX];

	return rfc3339_us(v, out);
}

static const char *
ns(int64_t v)
{
	static char out[RFC3339_MAX];

	return rfc3339_ns(v, out);
}

static void
formats_known_times(void **state)
{
	(void)state;
	assert_string_equal(us(0), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(us(-1), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(us(INT64_C(1795356000123456)), "2026-11-22T14:00:00.123456Z");
	assert_string_equal(us(INT64_C(951782400000000)), "2000-02-29T00:00:00.000000Z");
	assert_string_equal(us(INT64_C(-2203891201000000)), "1900-02-28T23:59:59.000000Z");
	assert_string_equal(us(INT64_C(-2203891200000000)), "1900-03-01T00:00:00.000000Z"); /* 1900 was no leap year */
	assert_string_equal(ns(INT64_C(1000000001)), "1970-01-01T00:00:01.000000001Z");
}

static void
clamps_years(void **state)
{
	(void)state;
	assert_string_equal(us(INT64_C(253402300799999999)), "9999-12-31T23:59:59.999999Z");
	assert_string_equal(us(INT64_C(253402300800000000)), "9999-12-31T23:59:59.999999Z");
	assert_string_equal(us(INT64_MAX), "9999-12-31T23:59:59.999999Z");
	assert_string_equal(us(INT64_C(-62167219200000000)), "0000-01-01T00:00:00.000000Z");
	assert_string_equal(us(INT64_C(-62167219199999999)), "0000-01-01T00:00:00.000001Z");
	assert_string_equal(us(INT64_C(-62167219200000001)), "0000-01-01T00:00:00.000000Z");
	assert_string_equal(us(INT64_MIN), "0000-01-01T00:00:00.000000Z");
}

static int
digits(const char *p, int n)
{
	int v = 0;

	while (n--)
		v = v * 10 + *p++ - '0';
	return v;
}

/* The C library counts days in its own way: both must agree on every day of the years 0 to 9999. */
static void
agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t s = -INT64_C(62167219200); s <= INT64_C(253402300799); s += 86400) {
		time_t t = (time_t)(s + (int64_t)(test_random() % 86400));
		const char *p = us(t * INT64_C(1000000));
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		if (digits(p, 4) != tm.tm_year + 1900 || digits(p + 5, 2) != tm.tm_mon + 1 || digits(p + 8, 2) != tm.tm_mday ||
		    digits(p + 11, 2) != tm.tm_hour || digits(p + 14, 2) != tm.tm_min || digits(p + 17, 2) != tm.tm_sec)
			fail_msg("%lld: %s", (long long)t, p);
	}
}

static void
parse_ok(const char *s, int64_t want)
{
	struct err err;
	int64_t got = ~want;

	assert_ok(rfc3339_parse_ns(s, strlen(s), &got, &err));
	if (got != want)
		fail_msg("%s: %lld, not %lld", s, (long long)got, (long long)want);
}

static void
parse_bad(const char *s)
{
	struct err err;
	int64_t got = 42;

	if (rfc3339_parse_ns(s, strlen(s), &got, &err) != ERR_FIELD_RANGE)
		fail_msg("accepted '%s'", s);
	assert_int_equal(got, 42);
}

static void
any_time_comes_back(void **state)
{
	(void)state;
	parse_ok(ns(INT64_MAX), INT64_MAX);
	parse_ok(ns(INT64_MIN), INT64_MIN);
	parse_ok(ns(INT64_MIN + 1), INT64_MIN + 1);
	parse_ok(ns(-1), -1);
	parse_ok(ns(-1000000000), -1000000000);
	for (int i = 0; i < 200000; i++) {
		int64_t v = (int64_t)test_random() >> (test_random() % 64);

		parse_ok(ns(v), v);
		v = v / 1000;
		parse_ok(us(v), v * 1000);
	}
}

static void
parses_what_rfc_3339_allows(void **state)
{
	(void)state;
	parse_ok("1970-01-01T00:00:00Z", 0);
	parse_ok("1970-01-01t00:00:00z", 0);
	parse_ok("1970-01-01T00:00:00.5Z", 500000000);
	parse_ok("1970-01-01T00:00:00.000000001Z", 1);
	parse_ok("1970-01-01T01:00:00+01:00", 0);
	parse_ok("1969-12-31T23:59:59-00:00", -1000000000);
	parse_ok("1969-12-31T14:30:00-09:30", 0);
	parse_ok("1970-01-01T23:59:00+23:59", 0);
	parse_ok("2000-02-29T00:00:00Z", INT64_C(951782400000000000));
	parse_ok("2262-04-11T23:47:16.854775807Z", INT64_MAX);
	parse_ok("1677-09-21T00:12:43.145224192Z", INT64_MIN);
}

static void
refuses_the_rest(void **state)
{
	static const char *const BAD[] = {
		"", "Z", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-01-01T00:00Z",
		"1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.0000000001Z", "1970-01-01T00:00:00,5Z",
		"1970-1-01T00:00:00Z", "970-01-01T00:00:00Z", "01970-01-01T00:00:00Z", "+1970-01-01T00:00:00Z",
		"-970-01-01T00:00:00Z", "1970-00-01T00:00:00Z", "1970-13-01T00:00:00Z", "1970-01-00T00:00:00Z",
		"1970-01-32T00:00:00Z", "1970-04-31T00:00:00Z", "1970-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
		"1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "2016-12-31T23:59:60Z", "1970-01-01T00:00:61Z",
		"1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00+01:60", "1970-01-01T00:00:00+0100",
		"1970-01-01T00:00:00+01", "1970-01-01T00:00:00Zx", "1970-01-01T00:00:00Z ", " 1970-01-01T00:00:00Z",
		"1970-01-01T00:00:0\xD9\xA0Z", "1970-01-01T 0:00:00Z", "1970-01-01T00:00:-1Z",
		"2262-04-11T23:47:16.854775808Z", "1677-09-21T00:12:43.145224191Z", "9999-12-31T23:59:59Z",
		"0000-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807-00:01",
	};
	int64_t v;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		parse_bad(BAD[i]);
	assert_code(rfc3339_parse_ns("1970-01-01T00:00:00Z\0", 21, &v, &err), ERR_FIELD_RANGE);
	assert_code(rfc3339_parse_ns("1970-01-01T00:00:00Z", 19, &v, &err), ERR_FIELD_RANGE); /* len, not NUL */
}

static void
clocks_run(void **state)
{
	int64_t mono = clock_mono_us(), wall = clock_wall_us();

	(void)state;
	assert_true(wall / 1000000 - time(NULL) <= 1 && time(NULL) - wall / 1000000 <= 1);
	usleep(2000);
	assert_true(clock_mono_us() - mono >= 2000);
	assert_true(clock_mono_ms() * 1000 - clock_mono_us() <= 0);
	assert_true(clock_mono_us() - clock_mono_ms() * 1000 < 2000000);
	assert_true(clock_wall_ns() / 1000 - clock_wall_us() <= 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_known_times),
		cmocka_unit_test(clamps_years),
		cmocka_unit_test(agrees_with_the_c_library),
		cmocka_unit_test(any_time_comes_back),
		cmocka_unit_test(parses_what_rfc_3339_allows),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(clocks_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
