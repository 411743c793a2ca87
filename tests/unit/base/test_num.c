#include "unit.h"

#include "base/num.h"

static bool
parse(const char *s, uint64_t max, uint64_t *out)
{
	return parse_u64(s, strlen(s), max, out);
}

static void
accepts_canonical_numbers(void **state)
{
	uint64_t v = 99;

	(void)state;
	assert_true(parse("0", 0, &v) && v == 0);
	assert_true(parse("10", 10, &v) && v == 10);
	assert_true(parse("18446744073709551615", UINT64_MAX, &v) && v == UINT64_MAX);
	assert_true(parse_u64("123456", 3, 999, &v) && v == 123); /* len, not NUL */
	for (int i = 0; i < 10000; i++) {
		uint64_t want = test_random() >> (test_random() % 64);
		char text[24];

		snprintf(text, sizeof text, "%llu", (unsigned long long)want);
		assert_true(parse(text, want, &v) && v == want);
		assert_false(want > 0 && parse(text, want - 1, &v));
	}
}

static void
refuses_the_rest(void **state)
{
	static const char *const BAD[] = {
		"", "00", "01", "0x1", "+1", "-1", "-0", " 1", "1 ", "1.0", "1e3", "1_000", "a", "\xD9\xA1",
		"18446744073709551616", "18446744073709551620", "99999999999999999999", "184467440737095516150",
		"100000000000000000000000000000000000000000",
	};
	uint64_t v = 99;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		if (parse(BAD[i], UINT64_MAX, &v))
			fail_msg("accepted '%s'", BAD[i]);
	assert_false(parse_u64("1\0", 2, 99, &v));
	assert_false(parse_u64(NULL, 0, 99, &v));
	assert_false(parse("11", 10, &v));
	assert_true(v == 99); /* a refusal writes nothing */
}

static void
sizes_for_people(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} SIZE[] = {
		{ 0, "0 B" }, { 1, "1 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 1536, "1.5 KiB" },
		{ 1048524, "1023.9 KiB" }, { 1048525, "1.0 MiB" }, { 1048575, "1.0 MiB" }, { 1048576, "1.0 MiB" },
		{ UINT64_C(3) * 1024 * 1024 * 1024 / 2, "1.5 GiB" }, { UINT64_C(16) << 40, "16.0 TiB" },
		{ UINT64_C(5) << 50, "5.0 PiB" }, { UINT64_MAX, "16.0 EiB" },
	};
	char out[SIZE_HUMAN_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(SIZE); i++)
		assert_string_equal(size_human(SIZE[i].bytes, out), SIZE[i].text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_canonical_numbers),
		cmocka_unit_test(refuses_the_rest),
		cmocka_unit_test(sizes_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
