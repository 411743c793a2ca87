/*
 * Ignore rules by themselves: what they say, what is too much, and that no pattern costs more than its bytes times the name's.  That the answers are
 * those of git is tests/blackbox/test_33_gitignore.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ignore/ignore.h"
#include "tests/unit/client/tree.h"

static struct ignore *
rules(const char *text)
{
	struct ignore *ig = ignore_new();

	assert_null(ignore_put(ig, "", text, strlen(text)));
	return ig;
}

/* One file of rules at the top. */
static bool
says(const char *text, const char *path)
{
	AUTO(ignore_freep) struct ignore *ig = rules(text);
	size_t len = strlen(path);
	bool dir = path[len - 1] == '/';
	char name[PATH_LEN_MAX + 1];

	memcpy(name, path, len);
	name[len - dir] = '\0';
	return ignore_path(ig, name, dir);
}

static void
test_table(void **state)
{
	static const struct {
		const char *rules, *path;
		bool ignored;
	} rows[] = {
		{ "*.o", "a/b.o", true },
		{ "*.o\n!keep.o", "a/keep.o", false },
		{ "!keep.o\n*.o", "keep.o", true },          /* the last line has the word */
		{ "build/", "build", false },                /* a file of that name */
		{ "build/", "a/build/", true },
		{ "build/", "a/build/x/y", true },
		{ "build/\n!build/x", "build/x", true },     /* nothing beneath comes back */
		{ "/a", "a", true },
		{ "/a", "b/a", false },
		{ "a/b", "c/a/b", false },                   /* a slash in it: from the directory of the file */
		{ "**/a/b", "c/a/b", true },
		{ "a/**", "a/", false },
		{ "a/**", "a/b", true },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/x/y/b", true },
		{ "a/*", "a/b/", true },
		{ "a/*/c", "a/b/d/c", false },
		{ "#x", "#x", false },
		{ "\\#x", "#x", true },
		{ "\\!x", "!x", true },
		{ "x  ", "x", true },
		{ "x\\ ", "x ", true },
		{ "x\\ ", "x", false },
		{ "x\r\ny", "x", true },
		{ "\xEF\xBB\xBFx", "x", true },
		{ "[a-c]x", "bx", true },
		{ "[!a-c]x", "bx", false },
		{ "[^a-c]x", "dx", true },
		{ "[[:digit:]]", "5", true },
		{ "[]]", "]", true },
		{ "[a", "[a", false },                       /* no end: matches nothing */
		{ "a\\", "a", false },
		{ "a?c", "abc", true },
		{ "/", "a", false },
		{ "*", "a", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (says(rows[i].rules, rows[i].path) != rows[i].ignored)
			fail_msg("%s: %s", rows[i].rules, rows[i].path);
}

static void
test_the_deeper_file_has_the_word(void **state)
{
	AUTO(ignore_freep) struct ignore *ig = rules("*.o\nout/\n");

	(void)state;
	assert_null(ignore_put(ig, "a", "!*.o\n/b\n", 8));
	assert_null(ignore_put(ig, "out", "!*\n", 3));
	assert_true(ignore_path(ig, "x.o", false));
	assert_false(ignore_path(ig, "a/x.o", false));
	assert_false(ignore_path(ig, "a/c/x.o", false));
	assert_true(ignore_path(ig, "a/b", true));
	assert_true(ignore_path(ig, "a/b/x.o", false));
	assert_false(ignore_path(ig, "a/c/b", false));
	assert_true(ignore_path(ig, "out/x", false)); /* nothing in an ignored directory comes back */
	assert_null(ignore_put(ig, "a", "", 0));
	assert_true(ignore_path(ig, "a/x.o", false));
	assert_true(ignore_rules(ig));
}

static void
test_limits(void **state)
{
	AUTO(ignore_freep) struct ignore *ig = ignore_new();
	AUTO(freep) char *text = xmalloc(IGNORE_FILE_MAX + 1);

	(void)state;
	memset(text, 'a', IGNORE_FILE_MAX + 1);
	for (size_t i = IGNORE_LINE_MAX; i < IGNORE_FILE_MAX; i += IGNORE_LINE_MAX + 1)
		text[i] = '\n';
	assert_null(ignore_put(ig, "", text, IGNORE_FILE_MAX));
	assert_string_equal(ignore_put(ig, "", text, IGNORE_FILE_MAX + 1), "ignore_too_large");
	assert_false(ignore_rules(ig)); /* nothing is left of it, nor of what was before it */
	text[IGNORE_LINE_MAX] = 'a';
	assert_string_equal(ignore_put(ig, "", text, IGNORE_FILE_MAX), "ignore_line_too_long");
	for (size_t i = 0; i < 2 * (IGNORE_PATTERNS_MAX + 1); i++)
		text[i] = i % 2 ? '\n' : 'a';
	assert_null(ignore_put(ig, "", text, 2 * IGNORE_PATTERNS_MAX));
	assert_string_equal(ignore_put(ig, "", text, 2 * (IGNORE_PATTERNS_MAX + 1)), "ignore_too_many");
	memset(text, '#', IGNORE_FILE_MAX);
	for (size_t i = 0; i < IGNORE_FILE_MAX; i += 64)
		text[i] = '\n';
	text[0] = 'x';
	text[1] = '\n';
	for (size_t i = 0; i < IGNORE_TREE_MAX / IGNORE_FILE_MAX; i++) {
		char dir[32];
		snprintf(dir, sizeof dir, "d%zu", i);
		assert_null(ignore_put(ig, dir, text, IGNORE_FILE_MAX));
	}
	assert_string_equal(ignore_put(ig, "more", text, IGNORE_FILE_MAX), "ignore_too_many");
	assert_null(ignore_put(ig, "d0", text, IGNORE_FILE_MAX)); /* one in place of another */
}

/* Patterns on which matchers that try everything never end. */
static void
test_hostile_patterns_end(void **state)
{
	AUTO(ignore_freep) struct ignore *ig = ignore_new();
	AUTO(freep) char *text = xmalloc(IGNORE_LINE_MAX + 1);
	static const char stars[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
	char path[PATH_LEN_MAX + 1];

	(void)state;
	memset(path, 'a', sizeof path);
	for (size_t i = 1; i < PATH_LEN_MAX; i += 2)
		path[i] = '/';
	path[2 * PATH_DEPTH_MAX - 1] = '\0';
	for (size_t i = 0; i < IGNORE_LINE_MAX; i++)
		text[i] = "**/a/"[i % 5];
	text[IGNORE_LINE_MAX - 1] = 'b';
	assert_null(ignore_put(ig, "", text, IGNORE_LINE_MAX));
	assert_false(ignore_name(ig, path, false));
	memset(path, 'a', NAME_LEN_MAX);
	path[NAME_LEN_MAX] = '\0';
	for (size_t i = 0; i < IGNORE_LINE_MAX; i++)
		text[i] = "a*"[i % 2];
	text[IGNORE_LINE_MAX - 1] = 'b';
	assert_null(ignore_put(ig, "", text, IGNORE_LINE_MAX));
	assert_false(ignore_name(ig, path, false));
	assert_null(ignore_put(ig, "", stars, sizeof stars - 1));
	assert_false(ignore_name(ig, path, false));
}

static void
test_files(void **state)
{
	struct tree *t = *state;
	AUTO(ignore_freep) struct ignore *ig = ignore_new();

	tree_mkdir(t, "a");
	tree_write(t, "a/.drayignore", "x\n");
	assert_null(ignore_load(ig, t->root, "a"));
	assert_null(ignore_load(ig, t->root, ""));
	assert_null(ignore_load(ig, t->root, "none"));
	assert_true(ignore_name(ig, "a/x", false));
	assert_false(ignore_name(ig, "x", false));
	tree_mkdir(t, "d");
	tree_mkdir(t, "d/.drayignore");
	assert_string_equal(ignore_load(ig, t->root, "d"), "ignore_not_file");
	tree_mkdir(t, "l");
	tree_symlink(t, "l/.drayignore", "../a/.drayignore");
	assert_string_equal(ignore_load(ig, t->root, "l"), "ignore_not_file");
	tree_mkdir(t, "p");
	assert_int_equal(mkfifoat(t->root, "p/.drayignore", 0600), 0);
	assert_string_equal(ignore_load(ig, t->root, "p"), "ignore_not_file");
	assert_int_equal(unlinkat(t->root, "a/.drayignore", 0), 0);
	assert_null(ignore_load(ig, t->root, "a"));
	assert_false(ignore_rules(ig));
}

static void
test_names_of_files(void **state)
{
	(void)state;
	assert_true(ignore_is_file(".drayignore"));
	assert_true(ignore_is_file("a/b/.drayignore"));
	assert_false(ignore_is_file("a.drayignore"));
	assert_false(ignore_is_file(".drayignore/a"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_the_deeper_file_has_the_word),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_hostile_patterns_end),
		cmocka_unit_test_setup_teardown(test_files, tree_setup, tree_teardown),
		cmocka_unit_test(test_names_of_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
