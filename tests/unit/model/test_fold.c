/* Folding: what is equal without regard to case, what is not, and what is no text at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/fold.h"

static void
assert_fold(const char *from, const char *to)
{
	char out[64];
	size_t n = fold_text(from, strlen(from), out);

	assert_true(n <= FOLD_MAX(strlen(from)));
	assert_int_equal(n, strlen(to));
	assert_memory_equal(out, to, n);
}

static void
letters(void **state)
{
	(void)state;
	assert_fold("", "");
	assert_fold("AbZ[@`{09 _-.", "abz[@`{09 _-.");
	assert_fold("\xc3\x80\xc3\x96\xc3\x97\xc3\x9e\xc3\x9f", "\xc3\xa0\xc3\xb6\xc3\x97\xc3\xbe\xc3\x9f"); /* À Ö × Þ ß */
	assert_fold("\xc4\x80\xc4\x81\xc4\x82", "\xc4\x81\xc4\x81\xc4\x83");                                 /* every second one */
	assert_fold("\xd0\x90\xd0\xaf\xd0\x81", "\xd0\xb0\xd1\x8f\xd1\x91");                                 /* А Я Ё */
	assert_fold("\xe2\x84\xaa\xc5\xbf", "ks");                                                           /* Kelvin, long s */
	assert_fold("\xe1\xba\x9e", "\xc3\x9f");                                                             /* the capital ß */
	assert_fold("\xc8\xba", "\xe2\xb1\xa5");                                                             /* two bytes become three */
	assert_fold("\xf0\x90\x90\x80", "\xf0\x90\x90\xa8");                                                 /* Deseret */
	assert_fold("\xe5\xad\x97\xf0\x9f\x8e\xac", "\xe5\xad\x97\xf0\x9f\x8e\xac");
}

static void
longest(void **state)
{
	char in[256], out[FOLD_MAX(sizeof in)];

	(void)state;
	for (size_t i = 0; i < sizeof in; i += 2)
		memcpy(in + i, "\xc8\xba", 2);
	assert_int_equal(fold_text(in, sizeof in, out), sizeof in / 2 * 3);
}

static void
no_text(void **state)
{
	(void)state;
	assert_fold("A\xff\xc3", "a\xff\xc3");
	assert_fold("\xed\xa0\x80Z", "\xed\xa0\x80z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(letters), cmocka_unit_test(longest), cmocka_unit_test(no_text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
