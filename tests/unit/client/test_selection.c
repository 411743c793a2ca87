/* Which part of a project is kept: words, their file, and what is no such file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/pathat.h"
#include "client/selection.h"

static char folder[64];

static int
folder_new(void)
{
	int root;

	snprintf(folder, sizeof folder, "/tmp/dray-selection-XXXXXX");
	assert_non_null(mkdtemp(folder));
	root = open(folder, O_RDONLY | O_DIRECTORY);
	assert_true(root >= 0);
	assert_int_equal(mkdirat(root, ".dray", 0700), 0);
	return root;
}

static void
folder_end(int root)
{
	assert_int_equal(unlinkat(root, ".dray/selection", 0), 0);
	assert_int_equal(unlinkat(root, ".dray", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void
deepest_word_decides(void **unused)
{
	AUTO(selection_freep) struct selection *s = selection_new();
	size_t n;

	(void)unused;
	assert_true(selection_all(s) && selection_keeps(s, "a") && selection_keeps(s, "a/b"));
	selection_set(s, "a", false);
	selection_set(s, "a/b/c", true);
	selection_set(s, "a/b/c/d", false);
	assert_false(selection_keeps(s, "a/x"));
	assert_true(selection_keeps(s, "a") && selection_keeps(s, "a/b")); /* on the way */
	assert_false(selection_keeps(s, "a/b/x"));
	assert_true(selection_keeps(s, "a/b/c") && selection_keeps(s, "a/b/c/x"));
	assert_false(selection_keeps(s, "a/b/c/d") || selection_keeps(s, "a/b/c/d/e"));
	assert_true(selection_keeps(s, "ab") && selection_keeps(s, "a b"));
	assert_true(selection_keeps(s, ".drayignore") && selection_keeps(s, "a/.drayignore") && selection_keeps(s, "a/b/.drayignore"));
	assert_false(selection_keeps(s, "a/x/.drayignore") || selection_keeps(s, "a/b/c/d/.drayignore"));
	assert_string_equal(selection_word_of(s, "a/b/c/d/e")->path, "a/b/c/d");
	selection_set(s, "a", false);
	(void)selection_words(s, &n);
	assert_int_equal(n, 1);
	assert_false(selection_keeps(s, "a") || selection_keeps(s, "a/b/c"));
	selection_set(s, "a", true);
	assert_true(selection_all(s));
}

static void
nothing_but(void **unused)
{
	AUTO(selection_freep) struct selection *s = selection_new();

	(void)unused;
	selection_set(s, "", false);
	assert_false(selection_keeps(s, "a"));
	assert_true(selection_keeps(s, ".drayignore"));
	selection_set(s, "a/b", true);
	assert_true(selection_keeps(s, "a") && selection_keeps(s, "a/b/c"));
	assert_false(selection_keeps(s, "a/c") || selection_keeps(s, "b"));
	selection_set(s, "", true);
	assert_true(selection_all(s) && selection_keeps(s, "b"));
}

static void
write_all(int root, const char *text, size_t len)
{
	AUTO(closep) int fd = openat(root, ".dray/selection", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, len), (ssize_t)len);
}

static void
file_is_what_was_written_or_nothing(void **unused)
{
	AUTO(selection_freep) struct selection *s = selection_new();
	AUTO(closep) int root = folder_new();
	struct selection *back;
	char text[512];
	struct err err;
	size_t len;

	(void)unused;
	assert_int_equal(selection_load(root, &back, &err), ERR_OK); /* there is none */
	assert_true(selection_all(back));
	selection_free(back);
	selection_set(s, "", false);
	selection_set(s, "new\nline", true);
	assert_int_equal(selection_save(root, s, &err), ERR_OK);
	assert_int_equal(selection_load(root, &back, &err), ERR_OK);
	assert_true(selection_keeps(back, "new\nline/x") && !selection_keeps(back, "b"));
	selection_free(back);
	{
		AUTO(closep) int fd = openat(root, ".dray/selection", O_RDONLY);
		assert_int_equal(read_full(fd, text, sizeof text, &len, &err), ERR_OK);
	}
	for (size_t i = 0; i < len; i++) { /* cut short, and each bit */
		write_all(root, text, i);
		assert_int_equal(selection_load(root, &back, &err), ERR_STATE_DAMAGED);
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			write_all(root, text, len);
			assert_int_equal(selection_load(root, &back, &err), ERR_STATE_DAMAGED);
			assert_null(back);
			text[i] ^= (char)(1 << bit);
		}
	}
	folder_end(root);
}

static void
too_many_are_refused(void **unused)
{
	AUTO(selection_freep) struct selection *s = selection_new();
	AUTO(closep) int root = folder_new();
	struct err err;
	char path[32];

	(void)unused;
	for (unsigned i = 0; i < SELECTION_PATHS_MAX; i++) {
		snprintf(path, sizeof path, "d%u", i);
		selection_set(s, path, false);
	}
	assert_int_equal(selection_save(root, s, &err), ERR_OK);
	selection_set(s, "one more", false);
	assert_int_equal(selection_save(root, s, &err), ERR_USAGE);
	selection_set(s, "", true);
	for (unsigned i = 0; i < 300; i++) { /* beyond SELECTION_FILE_MAX by length */
		AUTO(freep) char *deep = xcalloc(1, PATH_LEN_MAX + 1);

		memset(deep, 'x', 4000);
		for (unsigned at = 200; at < 4000; at += 200)
			deep[at] = '/';
		snprintf(path, sizeof path, "%03u", i);
		memcpy(deep, path, 3);
		selection_set(s, deep, false);
	}
	assert_int_equal(selection_save(root, s, &err), ERR_USAGE);
	folder_end(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deepest_word_decides),
		cmocka_unit_test(nothing_but),
		cmocka_unit_test(file_is_what_was_written_or_nothing),
		cmocka_unit_test(too_many_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
