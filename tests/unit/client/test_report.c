/* Names on a terminal: as wide as it shows them, and never a way to steer it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/report.h"

static void
fits(const char *text, size_t width, const char *want)
{
	struct sbuf sb = SBUF(4 * KIB);

	report_fit(&sb, text, width);
	assert_string_equal(sbuf_str(&sb), want);
	sbuf_fini(&sb);
}

static void
test_fit(void **ctx)
{
	(void)ctx;
	fits("shots/010.mov", 20, "shots/010.mov");
	fits("shots/010.mov", 13, "shots/010.mov");
	fits("shots/010.mov", 12, "...s/010.mov");
	fits("shots/010.mov", 3, "...");
	fits("shots/010.mov", 0, "");
	fits("", 5, "");
	/* two columns each: what is cut is cut between characters, and never too little */
	fits("日本語", 6, "日本語");
	fits("日本語", 5, "...語");
	fits("日本語", 4, "...");
	/* a combining accent takes no column of its own */
	fits("e\xcc\x81t", 2, "e\xcc\x81t");
	fits("a\x1b[2Jb\nc", 40, "a\\x1b[2Jb\\x0ac");
	fits("caf\xe9", 40, "caf\\xe9");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_fit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
