#include "unit.h"

#include "base/utf8.h"

static size_t
encode(uint32_t cp, char out[4])
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

static void
every_character_and_no_surrogate(void **state)
{
	(void)state;
	for (uint32_t cp = 0; cp < 0x1FFFFF; cp++) {
		char s[4];
		size_t n = encode(cp, s);
		bool want = cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF);
		uint32_t got = 0;

		if (utf8_valid(s, n) != want || utf8_char(s, n, &got) != (want ? n : 0) || (want && got != cp))
			fail_msg("U+%04X", cp);
		if (n > 1 && utf8_valid(s, n - 1))
			fail_msg("U+%04X without its last byte", cp);
	}
}

/* All strings of three bytes: exactly as many are valid as can be put together from characters of one to three bytes. */
static void
nothing_else_of_three_bytes(void **state)
{
	const uint32_t one = 128, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 2048;
	uint32_t valid = 0;

	(void)state;
	for (uint32_t i = 0; i < 1 << 24; i++) {
		char s[3] = { (char)(i >> 16), (char)(i >> 8), (char)i };

		valid += utf8_valid(s, 3);
	}
	assert_int_equal(valid, one * one * one + 2 * one * two + three);
}

static void
refuses_other_forms(void **state)
{
	static const char *const BAD[] = {
		"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
		"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF8\x88\x80\x80\x80", "\xFC\x84\x80\x80\x80\x80", "\xFE", "\xFF",
		"\xED\xA0\x80", "\xED\xBF\xBF", "\xC3", "\xE2\x82", "\xF0\x9F\x9A", "\xC3(", "\xE2\x82(", "ok\xC3", "\xC3\xA4\xA4",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
		if (utf8_valid(BAD[i], strlen(BAD[i])))
			fail_msg("accepted row %zu", i);
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid("a\0b", 3));
}

static void
cut_never_splits(void **state)
{
	const char *s = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\x9A";
	const size_t want[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10, 10 };

	(void)state;
	for (size_t max = 0; max < ARRAY_LEN(want); max++)
		assert_int_equal(utf8_cut(s, 10, max), want[max]);
	assert_int_equal(utf8_cut("\x80\x80\x80\x80\x80\x80", 6, 5), 5); /* not UTF-8: any cut will do, but it must end */
	assert_int_equal(utf8_cut("\x80\x80", 2, 1), 1);
	assert_int_equal(utf8_cut("", 0, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_and_no_surrogate),
		cmocka_unit_test(nothing_else_of_three_bytes),
		cmocka_unit_test(refuses_other_forms),
		cmocka_unit_test(cut_never_splits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
