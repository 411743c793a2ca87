/* Tokens: form and checksum. */

#include "wire_test.h"

static bool
check(const char *s, size_t len)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, len);

	return token_check((const char *)b.p, b.len);
}

static void
new_tokens_are_good_and_differ(void **state)
{
	char a[TOKEN_LEN + 1], b[TOKEN_LEN + 1];

	(void)state;
	for (int i = 0; i < 200; i++) {
		token_new(a);
		token_new(b);
		assert_int_equal(strlen(a), TOKEN_LEN);
		assert_true(check(a, TOKEN_LEN));
		assert_string_not_equal(a, b);
	}
}

/** The checksum is zlib's CRC-32 of the 43 digits, so that other programs can check a token. */
static void
a_known_token(void **state)
{
	static const char zeros[] = "dray_0000000000000000000000000000000000000000000_2CZclj";

	(void)state;
	assert_true(check(zeros, TOKEN_LEN));
}

static void
any_change_is_noticed(void **state)
{
	char token[TOKEN_LEN + 1];

	(void)state;
	token_new(token);
	for (size_t i = 0; i < TOKEN_LEN; i++) {
		char was = token[i];

		token[i] = was == 'x' ? 'y' : 'x';
		assert_false(check(token, TOKEN_LEN));
		token[i] = (char)0xc3;
		assert_false(check(token, TOKEN_LEN));
		token[i] = 0;
		assert_false(check(token, TOKEN_LEN));
		token[i] = was;
	}
	for (size_t len = 0; len < TOKEN_LEN; len++)
		assert_false(check(token, len));
	assert_false(check("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_tokens_are_good_and_differ),
		cmocka_unit_test(a_known_token),
		cmocka_unit_test(any_change_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
