/* inotify on real folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/client/tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/watch/tree_watch.h"

#define SEEN_TEXT 8192

/** What was seen, a line each: "made d/f", "moved d/f > e/f". */
struct log {
	char text[SEEN_TEXT];
	size_t len;
};

static const char *const KIND[] = { "changed", "made", "written", "closed", "gone", "moved", "rules", "overflow", "root" };

static void
on_seen(void *ctx, const struct seen *s)
{
	struct log *l = ctx;

	l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%s %s%s%s\n", KIND[s->kind], s->from ? s->from : s->path,
	    s->from ? " > " : "", s->from ? s->path : "");
	assert_true(l->len < sizeof l->text);
}

static const char *
seen(struct tree_watch *w, struct log *l)
{
	l->len = 0;
	l->text[0] = '\0';
	tree_watch_read(w, on_seen, l);
	return l->text;
}

static void
root_path(struct tree *t, char out[static 128])
{
	snprintf(out, 128, "%s/root", t->top);
}

static struct tree_watch *
watch(struct tree *t)
{
	struct tree_watch *w;
	struct err err;
	char path[128];

	root_path(t, path);
	assert_int_equal(tree_watch_open(path, &w, &err), ERR_OK);
	return w;
}

static void
rename_in(struct tree *t, const char *from, const char *to)
{
	assert_int_equal(renameat(t->root, from, t->root, to), 0);
}

static void
test_files(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w = watch(t);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1 } };

	tree_write(t, "f", "text");
	assert_string_equal(seen(w, &l), "made f\nwritten f\nclosed f\n");
	rename_in(t, "f", "g");
	assert_string_equal(seen(w, &l), "moved f > g\n");
	assert_int_equal(fchmodat(t->root, "g", 0600, 0), 0);
	assert_string_equal(seen(w, &l), "changed g\n");
	assert_int_equal(linkat(t->root, "g", t->root, "other name", 0), 0);
	assert_non_null(strstr(seen(w, &l), "changed other name\n")); /* nobody will close it */
	tree_symlink(t, "link", "g");
	assert_string_equal(seen(w, &l), "changed link\n");
	assert_int_equal(unlinkat(t->root, "link", 0), 0);
	assert_string_equal(seen(w, &l), "gone link\n");
	tree_mkdir(t, "d");
	seen(w, &l);
	assert_int_equal(utimensat(t->root, "d", times, 0), 0); /* the kernel calls that a write */
	assert_string_equal(seen(w, &l), "changed d\nchanged d\n");
	tree_watch_free(w);
}

static void
test_directories(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w;

	tree_mkdir(t, "old");
	tree_mkdir(t, "old/deep");
	w = watch(t);
	assert_int_equal(tree_watch_count(w), 3);
	tree_write(t, "old/deep/f", "x");
	assert_non_null(strstr(seen(w, &l), "closed old/deep/f\n"));
	tree_mkdir(t, "new");
	tree_mkdir(t, "new/inner");
	seen(w, &l);
	assert_int_equal(tree_watch_count(w), 5);
	tree_write(t, "new/inner/f", "x");
	assert_non_null(strstr(seen(w, &l), "closed new/inner/f\n"));
	rename_in(t, "old", "new/inner/old");
	assert_string_equal(seen(w, &l), "moved old > new/inner/old\n");
	assert_int_equal(tree_watch_count(w), 5);
	tree_write(t, "new/inner/old/deep/f", "again");
	assert_non_null(strstr(seen(w, &l), "closed new/inner/old/deep/f\n"));
	tree_mkdir(t, "old");
	tree_write(t, "old/f", "another directory of that name");
	assert_non_null(strstr(seen(w, &l), "changed old\n"));
	tree_write(t, "old/f", "once more");
	assert_non_null(strstr(seen(w, &l), "closed old/f\n"));
	assert_int_equal(tree_watch_count(w), 6);
	tree_watch_free(w);
}

static void
test_out_and_in(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w;

	tree_mkdir(t, "d");
	tree_mkdir(t, "d/e");
	w = watch(t);
	rename_in(t, "d", "../canary/d");
	assert_string_equal(seen(w, &l), "gone d\n");
	assert_int_equal(tree_watch_count(w), 1);
	tree_write(t, "../canary/d/e/f", "outside of the tree");
	assert_string_equal(seen(w, &l), "");
	rename_in(t, "../canary/d", "back");
	assert_string_equal(seen(w, &l), "gone back\n");
	assert_int_equal(tree_watch_count(w), 3);
	tree_write(t, "back/e/f", "x");
	assert_non_null(strstr(seen(w, &l), "closed back/e/f\n"));
	tree_clear(t, "back/e");
	assert_int_equal(unlinkat(t->root, "back/e", AT_REMOVEDIR), 0);
	assert_non_null(strstr(seen(w, &l), "gone back/e\n"));
	assert_int_equal(tree_watch_count(w), 2);
	tree_watch_free(w);
}

static void
test_not_ours(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w;

	tree_mkdir(t, ".dray");
	tree_mkdir(t, ".dray/tmp");
	tree_symlink(t, "link", "../canary");
	w = watch(t);
	assert_int_equal(tree_watch_count(w), 1);
	tree_write(t, ".dray/tmp/f", "x");
	tree_write(t, "../canary/f", "x");
	assert_int_equal(fchmodat(t->root, ".dray", 0700, 0), 0);
	assert_string_equal(seen(w, &l), "");
	tree_mkdir(t, "d");
	tree_mkdir(t, "d/.dray"); /* a name that is refused, and no reason not to look */
	seen(w, &l);
	assert_int_equal(tree_watch_count(w), 3);
	tree_watch_free(w);
}

static void
test_root(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w = watch(t);
	char path[128], away[160];

	root_path(t, path);
	snprintf(away, sizeof away, "%s/away", t->top);
	assert_true(tree_watch_is_root(w, path));
	assert_int_equal(rename(path, away), 0);
	assert_false(tree_watch_is_root(w, path));
	assert_string_equal(seen(w, &l), "root \n");
	assert_int_equal(mkdir(path, 0755), 0);
	assert_false(tree_watch_is_root(w, path)); /* another one */
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rename(away, path), 0);
	assert_true(tree_watch_is_root(w, path));
	tree_watch_free(w);
}

static void
test_no_root(void **state)
{
	struct tree *t = *state;
	struct tree_watch *w = NULL;
	struct err err;
	char path[160];

	snprintf(path, sizeof path, "%s/missing", t->top);
	assert_int_equal(tree_watch_open(path, &w, &err), ERR_NOT_FOUND);
	assert_null(w);
}

static void
test_limit(void **state)
{
	struct tree *t = *state;
	struct tree_watch *w;
	char name[16];

	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "d%d", i);
		tree_mkdir(t, name);
	}
	setenv("DRAY_FAULT", "watch.limit", 1);
	w = watch(t);
	unsetenv("DRAY_FAULT");
	if (tree_watch_missed(w) == 0) { /* a build without faults */
		assert_int_equal(tree_watch_count(w), 7);
	} else {
		assert_int_equal(tree_watch_count(w), 3);
		assert_int_equal(tree_watch_missed(w), 4);
	}
	tree_watch_free(w);
}

static void
test_who_writes(void **state)
{
	struct tree *t = *state;
	struct tree_watch *w = watch(t);
	int reader, writer;

	tree_write(t, "f", "x");
	assert_false(tree_watch_writing(w, "f"));
	reader = openat(t->root, "f", O_RDONLY);
	assert_false(tree_watch_writing(w, "f"));
	writer = openat(t->root, "f", O_WRONLY);
	assert_true(tree_watch_writing(w, "f"));
	close(writer);
	close(reader);
	assert_false(tree_watch_writing(w, "f"));
	assert_false(tree_watch_writing(w, "missing"));
	assert_int_equal(mkfifoat(t->root, "pipe", 0600), 0);
	assert_false(tree_watch_writing(w, "pipe"));
	tree_symlink(t, "link", "f");
	assert_false(tree_watch_writing(w, "link"));
	tree_watch_free(w);
}

static void
test_ignored(void **state)
{
	struct tree *t = *state;
	struct log l;
	struct tree_watch *w;

	tree_mkdir(t, "build");
	tree_mkdir(t, "build/deep");
	tree_mkdir(t, "src");
	tree_mkdir(t, "src/out");
	tree_write(t, ".drayignore", "build/\n*.o\n");
	tree_write(t, "src/.drayignore", "/out\n");
	w = watch(t);
	assert_int_equal(tree_watch_count(w), 2); /* the root and src */
	tree_write(t, "build/f", "x");
	tree_write(t, "src/x.o", "x");
	tree_mkdir(t, "src/build");
	tree_write(t, "src/build/f", "x");
	assert_string_equal(seen(w, &l), "");
	assert_int_equal(tree_watch_count(w), 2);
	tree_write(t, "src/f", "x");
	assert_string_equal(seen(w, &l), "made src/f\nwritten src/f\nclosed src/f\n");
	rename_in(t, "src/f", "src/f.o");
	assert_string_equal(seen(w, &l), "gone src/f\n");
	rename_in(t, "src/f.o", "src/g");
	assert_string_equal(seen(w, &l), "gone src/g\n"); /* what was there; what is there now is a change */
	rename_in(t, "src", "other");
	assert_string_equal(seen(w, &l), "moved src > other\n");
	tree_mkdir(t, "other/in");
	assert_non_null(strstr(seen(w, &l), "changed other/in\n"));
	assert_int_equal(tree_watch_count(w), 3); /* rules went with their directory */
	rename_in(t, "other/in", "other/build/in");
	seen(w, &l);
	assert_int_equal(tree_watch_count(w), 2);
	tree_write(t, "other/.drayignore", "");
	assert_non_null(strstr(seen(w, &l), "rules other/.drayignore\n"));
	assert_int_equal(unlinkat(t->root, ".drayignore", 0), 0);
	assert_string_equal(seen(w, &l), "rules .drayignore\ngone .drayignore\n");
	tree_watch_free(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_files), T(test_directories), T(test_out_and_in), T(test_not_ours), T(test_root),
		T(test_no_root), T(test_limit), T(test_ignored), T(test_who_writes) };

	signal(SIGIO, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
