/* Targets taken apart: decoded once, refused when two readers could differ, matched segment by segment. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/route/target.h"

static err_code
parse(struct arena *a, const char *path, const char *query, struct target *out)
{
	return target_parse(path, query, a, out, NULL);
}

static void
paths_that_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "a", "//", "/a//b", "//a", "/a//", "/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/./b", "/a/../b", "/a;b", "/;",
		"/%", "/a%", "/a%4", "/%zz", "/%4z", "/%-1", "/% 1", "/%u002e", "/a%%41",
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (parse(a, bad[i], "", &t) != ERR_URL_INVALID)
			fail_msg("%s was taken", bad[i]);
	}
}

static void
paths_that_are_taken(void **state)
{
	static const char *const good[] = { "/", "/a", "/a/", "/a/b", "/...", "/.a", "/a.", "/%2e%2e", "/%2F", "/%3B", "/%25", "/%00", "/a+b", "/~" };
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (parse(a, good[i], "", &t) != ERR_OK)
			fail_msg("%s was refused", good[i]);
	}
}

static void
patterns_match_by_segment(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool match;
	} rows[] = {
		{ "/projects", "/projects", true }, { "/projects", "/projects/", false }, { "/projects", "/project", false },
		{ "/projects", "/projectsx", false }, { "/projects", "/", false }, { "/projects", "/PROJECTS", false },
		{ "/projects", "/project%73", false }, /* a literal has one spelling */
		{ "/projects/:p", "/projects/x", true }, { "/projects/:p", "/projects/", false }, { "/projects/:p", "/projects", false },
		{ "/projects/:p", "/projects/x/y", false }, { "/projects/:p", "/projects/x%2Fy", true },
		{ "/projects/:p/files", "/projects/x/files", true }, { "/projects/:p/files", "/projects/files", false },
		{ "/c/*path", "/c/a", true }, { "/c/*path", "/c/a/b/", true }, { "/c/*path", "/c/", true }, { "/c/*path", "/c", false },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse(a, rows[i].path, "", &t), ERR_OK);
		if (target_match(&t, rows[i].pattern) != rows[i].match)
			fail_msg("%s on %s", rows[i].pattern, rows[i].path);
	}
}

static void
escapes_are_decoded_once(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	const struct target_text *p;
	struct target t;

	(void)state;
	assert_int_equal(parse(a, "/x/%252e%2E+%c3%A9%00z/content/a%2Fb/c%20d", "", &t), ERR_OK);
	assert_true(target_match(&t, "/x/:id/content/*path"));
	p = target_param(&t, "id");
	assert_int_equal(p->len, 9);
	assert_memory_equal(p->s, "%2e.+\xc3\xa9\0z", 10);
	p = target_param(&t, "path");
	assert_string_equal(p->s, "a/b/c d");
}

static void
queries(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	const struct target_text *q;
	struct target t;

	(void)state;
	assert_int_equal(parse(a, "/x", "limit=5&since=2026-11-22T14:00:00%2B01:00&e=&=&", &t), ERR_URL_INVALID);
	assert_int_equal(parse(a, "/x", "limit=5&since=a+b%2Bc%00=&e=", &t), ERR_OK);
	assert_int_equal(t.query_count, 3);
	q = target_query(&t, "since");
	assert_int_equal(q->len, 7);
	assert_memory_equal(q->s, "a+b+c\0=", 8);
	assert_true(q->used);
	assert_int_equal(target_query(&t, "e")->len, 0);
	assert_null(target_query(&t, "lim"));
	assert_false(t.query[0].used);
}

static void
queries_that_are_refused(void **state)
{
	static const struct {
		const char *query;
		err_code code;
	} rows[] = {
		{ "a", ERR_URL_INVALID }, { "=1", ERR_URL_INVALID }, { "a=1&&b=2", ERR_URL_INVALID }, { "&a=1", ERR_URL_INVALID },
		{ "a=%", ERR_URL_INVALID }, { "%zz=1", ERR_URL_INVALID }, { "a=1&a=1", ERR_FIELD_RANGE }, { "a=1&%61=2", ERR_FIELD_RANGE },
		{ "token=x", ERR_TOKEN_IN_URL }, { "a=1&access_token=", ERR_TOKEN_IN_URL }, { "t%6fken=x", ERR_TOKEN_IN_URL },
		{ "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1&l=1&m=1&n=1&o=1&p=1&q=1", ERR_URL_INVALID },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (parse(a, "/x", rows[i].query, &t) != rows[i].code)
			fail_msg("%s", rows[i].query);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_that_are_refused),
		cmocka_unit_test(paths_that_are_taken),
		cmocka_unit_test(patterns_match_by_segment),
		cmocka_unit_test(escapes_are_decoded_once),
		cmocka_unit_test(queries),
		cmocka_unit_test(queries_that_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
