/* What paths dray takes, what it refuses and why, and what it marks: a row a case, with both sides of each limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/path.h"

struct refusal {
	const char *path;
	size_t len; /* 0: strlen */
	err_code code;
	const char *reason; /* NULL: none */
};

static void
check(const struct refusal *c)
{
	struct err err = { .code = ERR_OK };
	size_t len = c->len ? c->len : strlen(c->path);
	err_code rc = path_check(c->path, len, &err);

	if (rc != c->code)
		fail_msg("\"%s\": answered %s, not %s", c->path, err_info(rc)->code, err_info(c->code)->code);
	if (rc == ERR_OK)
		return;
	assert_int_equal(err.code, rc);
	if (c->reason)
		assert_string_equal(err.reason, c->reason);
	else
		assert_null(err.reason);
	assert_int_equal(path_check(c->path, len, NULL), rc);
}

static void
refused(void **state)
{
	static const struct refusal cases[] = {
		{ "", 0, ERR_PATH_INVALID, "empty_component" },
		{ "a//b", 0, ERR_PATH_INVALID, "empty_component" },
		{ "a//", 0, ERR_PATH_INVALID, "empty_component" },
		{ ".", 0, ERR_PATH_INVALID, "dot" },
		{ "./a", 0, ERR_PATH_INVALID, "dot" },
		{ "a/./b", 0, ERR_PATH_INVALID, "dot" },
		{ "a/.", 0, ERR_PATH_INVALID, "dot" },
		{ "..", 0, ERR_PATH_INVALID, "traversal" },
		{ "../x", 0, ERR_PATH_INVALID, "traversal" },
		{ "a/../../x", 0, ERR_PATH_INVALID, "traversal" },
		{ "a/..", 0, ERR_PATH_INVALID, "traversal" },
		{ "a/b/../c", 0, ERR_PATH_INVALID, "traversal" },
		{ "/", 0, ERR_PATH_INVALID, "absolute" },
		{ "/etc/passwd", 0, ERR_PATH_INVALID, "absolute" },
		{ "//host/share", 0, ERR_PATH_INVALID, "absolute" },
		{ "a/", 0, ERR_PATH_INVALID, "trailing_slash" },
		{ "a/b/", 0, ERR_PATH_INVALID, "trailing_slash" },
		{ "a\0b", 3, ERR_PATH_INVALID, "nul" },
		{ "a\0", 2, ERR_PATH_INVALID, "nul" },
		{ "\0", 1, ERR_PATH_INVALID, "nul" },
		{ "../\0", 4, ERR_PATH_INVALID, "nul" },
		{ "\xff", 0, ERR_NAME_NOT_UTF8, NULL },
		{ "caf\xe9", 0, ERR_NAME_NOT_UTF8, NULL },
		{ "a/\xc0\xaf", 0, ERR_NAME_NOT_UTF8, NULL },          /* '/' in two bytes */
		{ "\xe0\x80\xaf", 0, ERR_NAME_NOT_UTF8, NULL },        /* and in three */
		{ "\xed\xa0\x80", 0, ERR_NAME_NOT_UTF8, NULL },        /* a surrogate */
		{ "\xf4\x90\x80\x80", 0, ERR_NAME_NOT_UTF8, NULL },    /* U+110000 */
		{ "\xe2\x82", 0, ERR_NAME_NOT_UTF8, NULL },            /* cut short */
		{ "\x80", 0, ERR_NAME_NOT_UTF8, NULL },
		{ ".dray", 0, ERR_NAME_RESERVED, NULL },
		{ ".dray/state", 0, ERR_NAME_RESERVED, NULL },
		{ "a/.dray", 0, ERR_NAME_RESERVED, NULL },
		{ "a/.dray/b", 0, ERR_NAME_RESERVED, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i]);
}

/* The user's bytes are the user's: nothing that Linux holds is refused or changed. */
static void
taken(void **state)
{
	static const char *const paths[] = { "a", "a/b/c", "...", "..a", "a..", ".a", "a/...", ".hidden/.x", ".drayx", "x.dray", ".Dray",
		".dra", "a\\b", "..\\..\\x", "C:\\x", "C:x", "\\\\host\\s", "a.txt:evil", "GIT~1", "CON", "nul", "AUX.c", "COM\xc2\xb9",
		"a.", "a ", " ", "<>:\"|?*", "a\nb", "a\x1b[2Jb", "\x7f", "\xe2\x80\xae-exe.cod", "\xef\xbb\xbfz", "\xc3\xa9",
		"e\xcc\x81", "README", "readme", "\xc3\x9f", "-rf", "~", "$(x)", "`x`", "; rm -rf", "<img src=x onerror=alert(1)>",
		"=cmd()", "__proto__", "%2e%2e%2f", "a;b", "\xf4\x8f\xbf\xbf", "\xef\xbf\xbd" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		check(&(struct refusal){ .path = paths[i], .code = ERR_OK });
}

/* ${n} times ${unit}, joined by ${joint}. */
static char *
repeat(const char *unit, size_t n, const char *joint)
{
	size_t u = strlen(unit), j = strlen(joint), len = n * u + (n - 1) * j;
	char *s = xmalloc(len + 1), *p = s;

	for (size_t i = 0; i < n; i++) {
		if (i) {
			memcpy(p, joint, j);
			p += j;
		}
		memcpy(p, unit, u);
		p += u;
	}
	*p = '\0';
	return s;
}

static void
check_made(const char *unit, size_t n, const char *joint, err_code code)
{
	AUTO(freep) char *path = repeat(unit, n, joint);

	check(&(struct refusal){ .path = path, .code = code });
}

static void
limits(void **state)
{
	AUTO(freep) char *most = repeat("x", 255, ""), *big = NULL;

	(void)state;
	check_made("x", 255, "", ERR_OK);
	check_made("x", 256, "", ERR_NAME_TOO_LONG);
	check_made("\xe5\xad\x97", 85, "", ERR_OK); /* 255 bytes */
	check_made("\xe5\xad\x97", 86, "", ERR_NAME_TOO_LONG);
	check_made("\xe5\xad\x97", 200, "", ERR_NAME_TOO_LONG); /* 200 characters, which NTFS takes */
	check_made("x", 256, "/", ERR_OK);
	check_made("x", 257, "/", ERR_PATH_TOO_LONG);
	check_made("x", 100000, "/", ERR_PATH_TOO_LONG);
	check_made(most, 16, "/", ERR_OK);            /* 4,095 bytes */
	check_made(most, 17, "/", ERR_PATH_TOO_LONG); /* 4,351 */
	big = repeat(most, 16, "/");
	big = xrealloc(big, 4098);
	memcpy(big + 4095 - 255, "y/", 2); /* 4,096 bytes are full only with a short name in between */
	memset(big + 4095 - 253, 'z', 254);
	big[4096] = '\0';
	check(&(struct refusal){ .path = big, .code = ERR_OK, .len = 4096 });
	big[4096] = 'z';
	big[4097] = '\0';
	check(&(struct refusal){ .path = big, .code = ERR_PATH_TOO_LONG, .len = 4097 });
	check_made("x", 900 * 1024, "", ERR_NAME_TOO_LONG);
}

static void
names(void **state)
{
	AUTO(freep) char *most = repeat("x", NAME_LEN_MAX + 1, "");
	static const struct refusal cases[] = {
		{ "a", 0, ERR_OK, NULL },
		{ "a b", 0, ERR_OK, NULL },
		{ "", 0, ERR_PATH_INVALID, "empty_component" },
		{ "a/b", 0, ERR_PATH_INVALID, "separator" },
		{ "/", 0, ERR_PATH_INVALID, "separator" },
		{ "..", 0, ERR_PATH_INVALID, "traversal" },
		{ ".", 0, ERR_PATH_INVALID, "dot" },
		{ "a\0b", 3, ERR_PATH_INVALID, "nul" },
		{ "\xff", 0, ERR_NAME_NOT_UTF8, NULL },
		{ ".dray", 0, ERR_NAME_RESERVED, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct refusal *c = &cases[i];
		struct err err = { .code = ERR_OK };

		assert_int_equal(name_check(c->path, c->len ? c->len : strlen(c->path), &err), c->code);
		if (c->reason)
			assert_string_equal(err.reason, c->reason);
	}
	assert_int_equal(name_check(most, NAME_LEN_MAX, NULL), ERR_OK);
	assert_int_equal(name_check(most, NAME_LEN_MAX + 1, NULL), ERR_NAME_TOO_LONG);
}

static void
split(void **state)
{
	static const struct {
		const char *path, *name;
		size_t dir_len;
	} cases[] = { { "a", "a", 0 }, { "a/b", "b", 1 }, { "a/b/c", "c", 3 }, { "a-b/c", "c", 3 }, { "\xc3\xa9/x", "x", 2 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t dir_len = 99;

		assert_string_equal(path_split(cases[i].path, &dir_len), cases[i].name);
		assert_int_equal(dir_len, cases[i].dir_len);
	}
}

static void
within(void **state)
{
	(void)state;
	assert_true(path_within("a", "a"));
	assert_true(path_within("a/b/c", "a"));
	assert_true(path_within("a/b/c", "a/b"));
	assert_false(path_within("ab", "a"));
	assert_false(path_within("a", "a/b"));
}

static void
unportable(void **state)
{
	static const char *const marked[] = { "..\\..\\x", "a\\b", "C:x", "a.txt:evil", ".git::$INDEX_ALLOCATION", "GIT~1", "PROGRA~1",
		"GI7EBA~1", "git~12.exe", "CON", "nul", "AUX.c", "com1.txt", "LPT9", "COM\xc2\xb9", "lpt\xc2\xb3.x", "CONIN$", "conout$",
		"CLOCK$", "prn .txt", "aux.tar.gz", "a.", "a ", "...", "a<", "a>", "a\"", "a|", "a?", "a*", "a\nb", "\r", "a\x1b[2Jb", "\x7f",
		"\xc2\x85", "\xe2\x80\xae-exe.cod", "a\xe2\x80\x8b", "\xe2\x80\x8f", "\xef\xbb\xbfz", "\xe2\x81\xa6x", "\xe2\x81\xa9",
		"\xd8\x9c", "a\xc2\xa0", "ok/CON/ok", "ok/a ", "dir./x", ".DRAY", "x/.Dray" };
	static const char *const plain[] = { "a", "a/b.c", "...a", "a b", ".git", "CONSOLE", "com", "com10", "comx", "xcon", "con-x",
		"nul_", "lpt", "a~b", "~1", "a~1b", "averylongname~1", "abc~1.text", "\xc3\xa9", "e\xcc\x81", "\xe5\xad\x97", "\xc2\xa0z",
		"-rf", "$(x)", "'q'", "\xe2\x80\x99", "\xe2\x80\xa8", "\xef\xbb\xbe", "a;b", "%2e", "com\xc2\xb4", "x.con", "drayx" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(marked); i++) {
		if (!path_unportable(marked[i]))
			fail_msg("\"%s\" is not marked", marked[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (path_unportable(plain[i]))
			fail_msg("\"%s\" is marked", plain[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(taken),
		cmocka_unit_test(limits),
		cmocka_unit_test(names),
		cmocka_unit_test(split),
		cmocka_unit_test(within),
		cmocka_unit_test(unportable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
