/*
 * Changing a real folder while others change it too.  Scenarios that a deliberate fault must break answer whether the promise was kept,
 * and run twice: it is kept, and with the fault it is not (so the scenario can tell).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/client/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/pathat.h"
#include "client/commit/apply.h"

#define MTIME INT64_C(1500000000000000000)
#define WHEN (INT64_C(1795356000) * 1000000) /* 2026-11-22 14:00:00 UTC */
#define TRASH ".dray/trash/2026-11-22/"

struct fix {
	struct tree *t;
	struct apply *ap;
	struct err err;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof *f);

	tree_setup((void **)&f->t);
	assert_int_equal(apply_open(f->t->root, WHEN, &f->ap, &f->err), ERR_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	unsetenv("DRAY_FAULT");
	apply_free(f->ap);
	tree_teardown((void **)&f->t);
	free(f);
	return 0;
}

/* What a scan would say of ${path} now. */
static struct entry
look(struct fix *f, const char *path)
{
	static char targets[16][256];
	static unsigned next;
	struct entry e = { .path = path, .target = "" };
	struct stat st;

	assert_return_code(fstatat(f->t->root, path, &st, AT_SYMLINK_NOFOLLOW), errno);
	e.kind = S_ISDIR(st.st_mode) ? ENTRY_DIR : S_ISLNK(st.st_mode) ? ENTRY_LINK : ENTRY_FILE;
	e.size = e.kind == ENTRY_FILE ? st.st_size : 0;
	e.mode = st.st_mode & 0777;
	e.mtime_ns = stat_mtime_ns(&st);
	e.ctime_ns = stat_ctime_ns(&st);
	e.dev = st.st_dev;
	e.ino = st.st_ino;
	if (e.kind == ENTRY_LINK) {
		char *target = targets[next++ % ARRAY_LEN(targets)];
		ssize_t n = readlinkat(f->t->root, path, target, 255);

		target[n] = '\0';
		e.target = target;
	}
	return e;
}

static struct entry
want_file(const char *path, const char *text, uint32_t mode)
{
	return (struct entry){ .path = path, .kind = ENTRY_FILE, .size = (int64_t)strlen(text), .mode = mode, .mtime_ns = MTIME,
		.target = "", .version = 9, .content_known = true };
}

/* Install ${text} at ${path}, expecting ${expect}. */
static err_code
install(struct fix *f, const char *path, const char *text, const struct entry *expect, struct entry *installed)
{
	struct entry want = want_file(path, text, 0640);
	char temp[APPLY_TEMP_NAME_MAX];
	struct apply_install item = { .temp = temp, .want = &want, .expect = expect };
	int fd;

	assert_int_equal(apply_temp(f->ap, &fd, temp, &f->err), ERR_OK);
	assert_int_equal(write_full(fd, text, strlen(text), NULL), ERR_OK);
	close(fd);
	apply_install(f->ap, &item, 1);
	f->err = item.err;
	if (installed)
		*installed = item.installed;
	return item.code;
}

static size_t
temps(struct fix *f)
{
	return tree_count(f->t, ".dray/tmp");
}

/* ---- between the rename and the look at what it made ------------------------------------------------------------------------ */

/* Whoever waits for a name to come: called right after the next rename that makes one, before anybody else looks at it.  Linked with --wrap. */
static void (*on_placed)(struct fix *f);
static void (*on_exchanged)(struct fix *f); /* before anything else is done */
static void (*on_rename)(struct fix *f);    /* right before one */
static struct fix *placed_in;
static bool is_placed;

int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);

int
__wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	void (*before)(struct fix *f) = TAKE(on_rename);
	struct stat root, dir;
	int rc;

	if (before)
		before(placed_in);
	rc = __real_renameat2(from, old, to, new, flags);
	if (on_placed && rc == 0 && __real_fstat64(placed_in->t->root, &root) == 0 && __real_fstat64(to, &dir) == 0)
		is_placed = root.st_ino == dir.st_ino; /* and not that into the trash, which comes before */
	if (on_exchanged && rc == 0 && flags == RENAME_EXCHANGE) {
		void (*fn)(struct fix *f) = on_exchanged;

		on_exchanged = NULL;
		fn(placed_in);
	}
	return rc;
}

int
__wrap_fstat64(int fd, struct stat *st)
{
	void (*fn)(struct fix *f) = is_placed ? on_placed : NULL;

	if (fn) {
		on_placed = NULL;
		fn(placed_in);
	}
	return __real_fstat64(fd, st);
}

/*
 * Other bytes, as many, and the old time: only the change time shows it, as soon as the file system's clock has moved on.  That ticks every
 * few milliseconds, so a write may get a time from before the rename's end.
 */
static void
write_unseen(struct fix *f)
{
	AUTO(closep) int fd = openat(f->t->root, "f", O_WRONLY | O_CLOEXEC);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = MTIME / 1000000000 } };
	int64_t placed_ns = clock_wall_ns();
	struct stat now;

	assert_return_code(fd, errno);
	do {
		assert_int_equal(pwrite(fd, "HELLO", 5, 0), 5);
		assert_int_equal(futimens(fd, times), 0);
		assert_int_equal(fstat(fd, &now), 0);
	} while (stat_ctime_ns(&now) <= placed_ns);
}

static void
unseen_after(struct fix *f, const struct entry *expect)
{
	struct entry in;

	placed_in = f;
	on_placed = write_unseen;
	is_placed = false;
	assert_int_equal(install(f, "f", "hello", expect, &in), ERR_OK);
	assert_null(on_placed);
	assert_true(tree_is(f->t, "f", "HELLO"));
	assert_int_equal(in.mtime_ns, MTIME);
	assert_int_equal(in.ctime_ns, 0); /* look at the bytes again */
}

static void
test_write_right_after_a_new_name(void **state)
{
	unseen_after(*state, NULL);
}

static void
test_write_right_after_an_exchange(void **state)
{
	struct fix *f = *state;
	struct entry old;

	tree_write(f->t, "f", "older");
	old = look(f, "f");
	unseen_after(f, &old);
}

/* ---- what should simply work ---------------------------------------------------------------------------------------------- */

static void
test_new_file(void **state)
{
	struct fix *f = *state;
	struct entry in;
	struct stat st;

	assert_int_equal(install(f, "f", "hello", NULL, &in), ERR_OK);
	assert_true(tree_is(f->t, "f", "hello"));
	assert_int_equal(fstatat(f->t->root, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(stat_mtime_ns(&st), MTIME);
	assert_int_equal(in.ino, st.st_ino);
	assert_int_equal(in.ctime_ns, stat_ctime_ns(&st));
	assert_int_equal(in.version, 9);
	assert_int_equal(temps(f), 0);
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
test_replace_keeps_the_old_in_the_trash(void **state)
{
	struct fix *f = *state;
	struct entry old;

	tree_mkdir(f->t, "d");
	tree_write(f->t, "d/f", "old");
	old = look(f, "d/f");
	assert_int_equal(install(f, "d/f", "new", &old, NULL), ERR_OK);
	assert_true(tree_is(f->t, "d/f", "new"));
	assert_true(tree_is(f->t, TRASH "d/f", "old"));
	assert_int_equal(temps(f), 0);
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
test_many_at_once(void **state)
{
	enum { N = 100 };
	struct fix *f = *state;
	static char temps_[N][APPLY_TEMP_NAME_MAX], paths[N][16];
	static struct entry wants[N], olds[N];
	static struct apply_install items[N];

	for (size_t i = 0; i < N; i++) {
		int fd;

		snprintf(paths[i], sizeof paths[i], "f%zu", i);
		wants[i] = want_file(paths[i], "new", 0600);
		items[i] = (struct apply_install){ .temp = temps_[i], .want = &wants[i] };
		if (i % 2) {
			tree_write(f->t, paths[i], "old");
			olds[i] = look(f, paths[i]);
			items[i].expect = &olds[i];
		}
		if (i == 7)
			tree_write(f->t, paths[i], "edited");
		if (i == 8)
			wants[i].size = 4; /* not what was written */
		assert_int_equal(apply_temp(f->ap, &fd, temps_[i], &f->err), ERR_OK);
		assert_int_equal(write_full(fd, "new", 3, NULL), ERR_OK);
		close(fd);
	}
	apply_install(f->ap, items, N);
	for (size_t i = 0; i < N; i++) {
		if (i == 7) {
			assert_int_equal(items[i].code, ERR_VERSION_CONFLICT);
			assert_true(tree_is(f->t, paths[i], "edited"));
		} else if (i == 8) {
			assert_int_equal(items[i].code, ERR_SIZE_MISMATCH);
			assert_false(tree_exists(f->t, paths[i]));
		} else {
			assert_int_equal(items[i].code, ERR_OK);
			assert_true(tree_is(f->t, paths[i], "new"));
		}
	}
	assert_int_equal(temps(f), 0);
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
test_links_and_directories(void **state)
{
	struct fix *f = *state;
	struct entry link = { .path = "l", .kind = ENTRY_LINK, .target = "/nowhere/../x", .mtime_ns = MTIME };
	struct entry dir = { .path = "d", .kind = ENTRY_DIR, .mode = 0555, .mtime_ns = MTIME, .target = "" };
	struct entry in, old;

	assert_int_equal(apply_link(f->ap, &link, NULL, &in, &f->err), ERR_OK);
	assert_string_equal(look(f, "l").target, "/nowhere/../x");
	assert_int_equal(look(f, "l").mtime_ns, MTIME);
	assert_int_equal(apply_mkdir(f->ap, &dir, NULL, &in, &f->err), ERR_OK);
	assert_int_equal(look(f, "d").mode, 0755); /* so that its contents can be made */
	assert_int_equal(install(f, "d/f", "x", NULL, NULL), ERR_OK);
	assert_int_equal(apply_dir_time(f->ap, &dir, &in, &f->err), ERR_OK);
	assert_int_equal(look(f, "d").mode, 0555);
	assert_int_equal(look(f, "d").mtime_ns, MTIME);
	/* another target */
	old = look(f, "l");
	link.target = "d";
	assert_int_equal(apply_link(f->ap, &link, &old, &in, &f->err), ERR_OK);
	assert_string_equal(look(f, "l").target, "d");
	assert_string_equal(look(f, TRASH "l").target, "/nowhere/../x");
	/* taken meanwhile */
	assert_int_equal(apply_mkdir(f->ap, &dir, NULL, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_int_equal(apply_link(f->ap, &link, NULL, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_int_equal(temps(f), 0);
	dir.path = "gone";
	assert_int_equal(apply_dir_time(f->ap, &dir, &in, &f->err), ERR_OK);
}

static void
test_kinds_take_each_others_place(void **state)
{
	struct fix *f = *state;
	struct entry dir = { .path = "x", .kind = ENTRY_DIR, .mode = 0755, .mtime_ns = MTIME, .target = "" };
	struct entry in, old;

	tree_write(f->t, "x", "file");
	old = look(f, "x");
	assert_int_equal(apply_mkdir(f->ap, &dir, &old, &in, &f->err), ERR_OK);
	assert_int_equal(look(f, "x").kind, ENTRY_DIR);
	assert_true(tree_is(f->t, TRASH "x", "file"));
	/* a directory gives way only when it is empty */
	tree_write(f->t, "x/y", "y");
	old = look(f, "x");
	assert_int_equal(install(f, "x", "file again", &old, NULL), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "x/y", "y"));
	assert_int_equal(unlinkat(f->t->root, "x/y", 0), 0);
	assert_int_equal(install(f, "x", "file again", &old, NULL), ERR_OK);
	assert_true(tree_is(f->t, "x", "file again"));
	assert_int_equal(temps(f), 0);
}

static void
test_masks(void **state)
{
	struct fix *f = *state;
	struct entry want = want_file("f", "x", 06777);
	char temp[APPLY_TEMP_NAME_MAX];
	struct apply_install item = { .temp = temp, .want = &want };
	mode_t old = umask(027);
	struct stat st;
	int fd;

	apply_free(f->ap);
	assert_int_equal(apply_open(f->t->root, WHEN, &f->ap, &f->err), ERR_OK);
	umask(old);
	assert_int_equal(apply_temp(f->ap, &fd, temp, &f->err), ERR_OK);
	assert_int_equal(write_full(fd, "x", 1, NULL), ERR_OK);
	close(fd);
	apply_install(f->ap, &item, 1);
	assert_int_equal(item.code, ERR_OK);
	assert_int_equal(fstatat(f->t->root, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
}

static void
test_meta(void **state)
{
	struct fix *f = *state;
	struct entry want, old, in;

	tree_write(f->t, "f", "x");
	old = look(f, "f");
	want = want_file("f", "x", 0600);
	assert_int_equal(apply_meta(f->ap, &want, &old, &in, &f->err), ERR_OK);
	assert_int_equal(look(f, "f").mode, 0600);
	assert_int_equal(look(f, "f").mtime_ns, MTIME);
	assert_int_equal(in.ctime_ns, 0); /* a write in between would not show: look at the bytes again */
	tree_write(f->t, "f", "yy");
	assert_int_equal(apply_meta(f->ap, &want, &old, &in, &f->err), ERR_VERSION_CONFLICT);
	/* never through a link */
	assert_int_equal(unlinkat(f->t->root, "f", 0), 0);
	tree_write(f->t, "target", "x");
	old = look(f, "target");
	tree_symlink(f->t, "f", "target");
	assert_int_equal(apply_meta(f->ap, &want, &old, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_int_equal(look(f, "target").mode, 0644);
	old = look(f, "f");
	want = old;
	want.mtime_ns = MTIME;
	assert_int_equal(apply_meta(f->ap, &want, &old, &in, &f->err), ERR_OK);
	assert_int_equal(look(f, "f").mtime_ns, MTIME);
	assert_true(look(f, "target").mtime_ns != MTIME);
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
test_move(void **state)
{
	struct fix *f = *state;
	struct entry old, in;

	tree_mkdir(f->t, "d");
	tree_write(f->t, "a", "a");
	tree_write(f->t, "taken", "t");
	old = look(f, "a");
	assert_int_equal(apply_move(f->ap, "a", "taken", &old, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "taken", "t") && tree_is(f->t, "a", "a"));
	assert_int_equal(apply_move(f->ap, "a", "d/b", &old, &in, &f->err), ERR_OK);
	assert_true(tree_is(f->t, "d/b", "a"));
	assert_string_equal(in.path, "d/b");
	assert_int_equal(in.ino, old.ino);
	assert_int_equal(apply_move(f->ap, "a", "c", &old, &in, &f->err), ERR_VERSION_CONFLICT);
	tree_write(f->t, "d/b", "edited");
	assert_int_equal(apply_move(f->ap, "d/b", "c", &old, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "d/b", "edited"));
	old = look(f, "d/b");
	assert_int_equal(apply_move(f->ap, "d/b", "none/c", &old, &in, &f->err), ERR_NOT_FOUND);
}

/* ---- deleting and the trash ------------------------------------------------------------------------------------------------ */

static void
test_delete(void **state)
{
	struct fix *f = *state;
	struct entry file, dir;

	tree_mkdir(f->t, "d");
	tree_write(f->t, "d/f", "x");
	file = look(f, "d/f");
	dir = look(f, "d");
	assert_int_equal(apply_delete(f->ap, &dir, &f->err), ERR_NOT_EMPTY);
	assert_int_equal(apply_delete(f->ap, &file, &f->err), ERR_OK);
	assert_true(tree_is(f->t, TRASH "d/f", "x"));
	assert_int_equal(apply_delete(f->ap, &file, &f->err), ERR_OK); /* gone already */
	assert_int_equal(apply_delete(f->ap, &dir, &f->err), ERR_OK);
	assert_false(tree_exists(f->t, "d"));
	assert_int_equal(apply_delete(f->ap, &file, &f->err), ERR_OK); /* with its directory */
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
delete_text(struct fix *f, const char *path, const char *text)
{
	struct entry e;

	tree_write(f->t, path, text);
	e = look(f, path);
	assert_int_equal(apply_delete(f->ap, &e, &f->err), ERR_OK);
}

static void
test_trash_keeps_every_one(void **state)
{
	struct fix *f = *state;
	struct entry e;

	for (unsigned i = 0; i < 20; i++)
		delete_text(f, "f", "x");
	assert_int_equal(tree_count(f->t, TRASH), 20);
	assert_true(tree_exists(f->t, TRASH "f~2"));
	/* yesterday's file is today's directory, and the other way round */
	tree_mkdir(f->t, "f");
	delete_text(f, "f/g", "deep");
	assert_true(tree_is(f->t, ".dray/trash/2026-11-22~2/f/g", "deep"));
	e = look(f, "f");
	assert_int_equal(apply_delete(f->ap, &e, &f->err), ERR_OK);
	tree_mkdir(f->t, "d");
	delete_text(f, "d/x", "x");
	assert_int_equal(unlinkat(f->t->root, "d", AT_REMOVEDIR), 0);
	delete_text(f, "d", "a file now");
	assert_true(tree_is(f->t, TRASH "d~2", "a file now"));
}

static void
test_trash_of_long_and_odd_names(void **state)
{
	static const char *const odd[] = { "a\nb", "-rf", "\"'", " ", "$(x)" };
	struct fix *f = *state;
	char name[256] = "";

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		delete_text(f, odd[i], "x");
		assert_int_equal(install(f, odd[i], "y", NULL, NULL), ERR_OK);
	}
	while (strlen(name) + 4 <= 255)
		memcpy(name + strlen(name), "\xf0\x9f\x8e\xac", 5);
	for (unsigned i = 0; i < 6; i++)
		delete_text(f, name, "x");
	assert_int_equal(tree_count(f->t, TRASH), ARRAY_LEN(odd) + 6);
}

static void
test_deep_trash(void **state)
{
	struct fix *f = *state;
	char path[PATH_LEN_MAX + 1] = "";
	int fd = dup(f->t->root), file;
	struct entry e = { .path = path, .kind = ENTRY_FILE, .size = 1, .target = "" };
	struct stat st;
	size_t len = 0;

	for (unsigned i = 0; i < 255; i++) {
		int next;

		assert_return_code(mkdirat(fd, "dddddddddddddd", 0755), errno);
		next = openat(fd, "dddddddddddddd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
		len += (size_t)snprintf(path + len, sizeof path - len, "dddddddddddddd/");
	}
	memcpy(path + len, "f", 2);
	file = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write_full(file, "x", 1, NULL), ERR_OK);
	assert_int_equal(fstat(file, &st), 0);
	close(file);
	close(fd);
	e.dev = st.st_dev;
	e.ino = st.st_ino;
	e.mtime_ns = stat_mtime_ns(&st);
	assert_int_equal(apply_delete(f->ap, &e, &f->err), ERR_OK);
	assert_int_equal(pathat_stat(f->t->root, path, &st, NULL), ERR_NOT_FOUND);
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

static void
test_crash_leftovers(void **state)
{
	struct fix *f = *state;

	tree_write(f->t, ".dray/tmp/t-1234", "half");
	tree_mkdir(f->t, ".dray/tmp/t-5678");
	tree_symlink(f->t, ".dray/tmp/t-9abc", "/etc/passwd");
	tree_write(f->t, ".dray/trash/kept", "x");
	apply_free(f->ap);
	assert_int_equal(apply_open(f->t->root, WHEN, &f->ap, &f->err), ERR_OK);
	assert_int_equal(temps(f), 0);
	assert_true(tree_is(f->t, ".dray/trash/kept", "x"));
}

/* ---- somebody else was here (I8) -------------------------------------------------------------------------------------------- */

static void
test_new_name_is_taken(void **state)
{
	struct fix *f = *state;

	tree_write(f->t, "f", "mine");
	assert_int_equal(install(f, "f", "theirs", NULL, NULL), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "f", "mine"));
	assert_int_equal(temps(f), 0);
}

/* Edited between plan and install: with a new size, with the same size, and within the same second.  True when the edit has survived. */
static bool
edit_survives_install(struct fix *f)
{
	bool held = true;

	for (unsigned how = 0; how < 3; how++) {
		struct entry old;

		(void)!unlinkat(f->t->root, "f", 0);
		tree_write(f->t, "f", "old");
		tree_time(f->t, "f", MTIME);
		old = look(f, "f");
		tree_write(f->t, "f", how == 0 ? "a longer edit" : "EDT");
		tree_time(f->t, "f", how == 2 ? MTIME + 1000 : MTIME + 5000000000);
		held &= install(f, "f", "theirs", &old, NULL) == ERR_VERSION_CONFLICT;
		held &= tree_is(f->t, "f", how == 0 ? "a longer edit" : "EDT");
		held &= temps(f) == 0;
	}
	return held;
}

/* The file's own name for what the check finds, for all operations that take something away. */
static bool
edit_survives_all(struct fix *f)
{
	struct entry old, in;
	char to[CONFLICT_NAME_MAX];
	bool held = true;

	(void)!unlinkat(f->t->root, "g", 0);
	tree_write(f->t, "g", "old");
	tree_time(f->t, "g", MTIME);
	old = look(f, "g");
	tree_write(f->t, "g", "EDT");
	tree_time(f->t, "g", MTIME + 1000);
	held &= apply_delete(f->ap, &old, &f->err) == ERR_VERSION_CONFLICT;
	held &= tree_is(f->t, "g", "EDT");
	held &= apply_move(f->ap, "g", "h", &old, &in, &f->err) == ERR_VERSION_CONFLICT;
	held &= apply_aside(f->ap, "g", &old, "dev", WHEN, to, &f->err) == ERR_VERSION_CONFLICT;
	held &= tree_is(f->t, "g", "EDT");
	(void)!unlinkat(f->t->root, "h", 0);
	return held;
}

static void
breaks_with(struct fix *f, const char *fault, bool (*held)(struct fix *f))
{
	assert_true(held(f));
	setenv("DRAY_FAULT", fault, 1);
	assert_false(held(f));
	unsetenv("DRAY_FAULT");
}

static void
test_edit_before_install(void **state)
{
	breaks_with(*state, "client.no_exchange_check", edit_survives_install); /* M15 */
}

static void
edit_ours(struct fix *f)
{
	tree_write(f->t, "f", "the newest");
}

/*
 * Edited between plan and install, so that it is put back, and what we had put there was edited while it was there: both edits are kept, the newest under
 * the name.
 */
static bool
edit_of_ours_survives(struct fix *f)
{
	struct entry old;
	bool held;

	(void)!unlinkat(f->t->root, "f", 0);
	tree_write(f->t, "f", "old");
	tree_time(f->t, "f", MTIME);
	old = look(f, "f");
	tree_write(f->t, "f", "an edit");
	placed_in = f;
	on_exchanged = edit_ours;
	held = install(f, "f", "theirs", &old, NULL) == ERR_VERSION_CONFLICT;
	assert_null(on_exchanged);
	return held && tree_is(f->t, "f", "the newest") && tree_is(f->t, TRASH "f", "an edit") && temps(f) == 0;
}

static void
test_edit_of_what_is_taken_back(void **state)
{
	struct fix *f = *state;

	setenv("DRAY_FAULT", "client.no_look_before", 1);
	assert_true(edit_of_ours_survives(f));
	setenv("DRAY_FAULT", "client.no_look_before,client.edited_is_ours", 1);
	assert_false(edit_of_ours_survives(f));
	unsetenv("DRAY_FAULT");
}

/* Other bytes, as many, and the old time, before we change the change time ourselves: nothing but the bytes shows it from then on. */
static void
write_before(struct fix *f)
{
	struct timespec longer = { .tv_nsec = 2 * RACY_NS };

	nanosleep(&longer, NULL); /* than a change time may hide a write in any case */
	tree_write(f->t, "f", "HELLO");
	tree_time(f->t, "f", MTIME);
}

static struct entry
hello(struct fix *f)
{
	(void)!unlinkat(f->t->root, "f", 0);
	(void)!unlinkat(f->t->root, "g", 0);
	tree_write(f->t, "f", "hello");
	tree_time(f->t, "f", MTIME);
	placed_in = f;
	return look(f, "f");
}

static bool
edit_before_a_move_is_looked_at(struct fix *f)
{
	struct entry old = hello(f), in;

	on_rename = write_before;
	assert_int_equal(apply_move(f->ap, "f", "g", &old, &in, &f->err), ERR_OK);
	assert_null(on_rename);
	assert_true(tree_is(f->t, "g", "HELLO"));
	return in.ctime_ns == 0;
}

static bool
edit_before_a_mode_is_looked_at(struct fix *f)
{
	struct entry old = hello(f), want = want_file("f", "hello", 0600), in;

	on_placed = write_before;
	is_placed = true; /* so it is done before the second look */
	assert_int_equal(apply_meta(f->ap, &want, &old, &in, &f->err), ERR_OK);
	assert_null(on_placed);
	assert_true(tree_is(f->t, "f", "HELLO"));
	return in.ctime_ns == 0;
}

/* What nobody has touched is not read again: a directory that is moved may hold a terabyte. */
static void
test_moves_and_modes_keep_the_change_time(void **state)
{
	struct fix *f = *state;
	struct entry old, want = want_file("f", "hello", 0600), moved = { .ctime_ns = 0 }, changed = { .ctime_ns = 0 };

	for (unsigned tries = 0; tries < 100 && (!moved.ctime_ns || !changed.ctime_ns); tries++) { /* a busy machine may take as long as a write does */
		old = hello(f);
		assert_int_equal(apply_move(f->ap, "f", "g", &old, &moved, &f->err), ERR_OK);
		old = hello(f);
		assert_int_equal(apply_meta(f->ap, &want, &old, &changed, &f->err), ERR_OK);
	}
	assert_true(moved.ctime_ns != 0 && changed.ctime_ns != 0);
}

static void
test_edit_hidden_by_our_change_time(void **state)
{
	breaks_with(*state, "client.trusts_own_ctime", edit_before_a_move_is_looked_at);
	breaks_with(*state, "client.trusts_own_ctime", edit_before_a_mode_is_looked_at);
}

static void
test_edit_within_the_second(void **state)
{
	breaks_with(*state, "client.check_seconds", edit_survives_install); /* M16 */
	breaks_with(*state, "client.check_seconds", edit_survives_all);
}

/*
 * The look before can be outrun, so the one after must do without it: the same edits, with only the look at what came out.  What it
 * has taken it puts back.
 */
static void
test_the_second_look_is_enough(void **state)
{
	struct fix *f = *state;
	struct entry dir, file, in;

	setenv("DRAY_FAULT", "client.no_look_before", 1);
	assert_true(edit_survives_install(f));
	assert_true(edit_survives_all(f));
	/* a file where a directory was expected, and a directory with something in it */
	tree_mkdir(f->t, "d");
	dir = look(f, "d");
	assert_int_equal(unlinkat(f->t->root, "d", AT_REMOVEDIR), 0);
	tree_write(f->t, "d", "mine");
	assert_int_equal(install(f, "d", "theirs", &dir, NULL), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "d", "mine"));
	file = look(f, "d");
	assert_int_equal(unlinkat(f->t->root, "d", 0), 0);
	tree_mkdir(f->t, "d");
	tree_write(f->t, "d/x", "mine");
	assert_int_equal(install(f, "d", "theirs", &file, NULL), ERR_VERSION_CONFLICT);
	dir = file;
	dir.kind = ENTRY_DIR;
	dir.mode = 0755;
	assert_int_equal(apply_mkdir(f->ap, &dir, &file, &in, &f->err), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "d/x", "mine"));
	dir = look(f, "d");
	assert_int_equal(install(f, "d", "theirs", &dir, NULL), ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "d/x", "mine"));
	assert_int_equal(temps(f), 0);
}

/* An editor that saves by renaming over, as fast as it can, while versions from the server are installed.  Every text that it saved is
 * either the file, in the trash, or was replaced by itself; none may be destroyed by us. */
struct editor {
	struct fix *f;
	bool stop;
	unsigned saved;
};

static void *
edit(void *arg)
{
	struct editor *e = arg;
	char text[32];

	while (!__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) {
		snprintf(text, sizeof text, "save %u", ++e->saved);
		tree_write(e->f->t, "f.new", text);
		if (renameat(e->f->t->root, "f.new", e->f->t->root, "f"))
			break;
	}
	return NULL;
}

static void
test_the_last_save_is_never_lost(void **state)
{
	struct fix *f = *state;
	struct editor ed = { .f = f };
	int64_t end = clock_mono_ms() + 1200;
	unsigned installs = 0;
	char last[32];
	pthread_t thread;

	tree_write(f->t, "f", "first");
	assert_int_equal(pthread_create(&thread, NULL, edit, &ed), 0);
	while (clock_mono_ms() < end) {
		struct entry old;
		struct stat st;

		if (fstatat(f->t->root, "f", &st, AT_SYMLINK_NOFOLLOW))
			continue;
		old = look(f, "f");
		installs += install(f, "f", "from the server", &old, NULL) == ERR_OK;
	}
	__atomic_store_n(&ed.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("%u saves, %u installs\n", ed.saved, installs);
	/* One more install after the last save has been looked at is legitimate: then that save is in the trash. */
	snprintf(last, sizeof last, "save %u", ed.saved);
	assert_true(tree_is(f->t, "f", last) || tree_holds(f->t, TRASH, last));
	assert_int_equal(temps(f), 0);
}

/* ---- conflict copies ------------------------------------------------------------------------------------------------------- */

/* Three conflicts of one name within one second.  True when all three copies are there. */
static bool
copies_are_kept(struct fix *f)
{
	static const char *const texts[] = { "one", "two", "three" };
	char to[3][CONFLICT_NAME_MAX];
	bool held = true;

	for (size_t i = 0; i < 3; i++) {
		struct entry e;

		tree_write(f->t, "a.txt", texts[i]);
		e = look(f, "a.txt");
		assert_int_equal(apply_aside(f->ap, "a.txt", &e, "laptop", WHEN, to[i], &f->err), ERR_OK);
	}
	for (size_t i = 0; i < 3; i++) {
		held &= tree_is(f->t, to[i], texts[i]);
		(void)!unlinkat(f->t->root, to[i], 0);
	}
	return held;
}

static void
test_conflict_copies(void **state)
{
	struct fix *f = *state;
	char to[CONFLICT_NAME_MAX];
	struct entry e;

	breaks_with(f, "client.conflict_overwrites", copies_are_kept); /* M17 */
	tree_mkdir(f->t, "d");
	tree_write(f->t, "d/x", "x");
	e = look(f, "d");
	assert_int_equal(apply_aside(f->ap, "d", &e, "laptop", WHEN, to, &f->err), ERR_OK);
	assert_string_equal(to, "d (conflict laptop 2026-11-22 14.00.00)");
	assert_true(tree_is(f->t, "d (conflict laptop 2026-11-22 14.00.00)/x", "x"));
	assert_int_equal(apply_flush(f->ap, &f->err), ERR_OK);
}

/* ---- nothing outside (I11) --------------------------------------------------------------------------------------------------- */

static bool
canary_is_whole(struct fix *f)
{
	return tree_count(f->t, "../canary") == 2 && tree_is(f->t, "../canary/f", "canary") && tree_is(f->t, "../canary/g", "canary");
}

static void
make_canary(struct fix *f)
{
	tree_write(f->t, "../canary/f", "canary");
	tree_write(f->t, "../canary/g", "canary");
}

/* The parent has become a symlink that leads outside.  True when nothing happened there. */
static bool
symlink_parent_is_refused(struct fix *f)
{
	struct entry old, in, dir = { .path = "d/n", .kind = ENTRY_DIR, .mode = 0755, .target = "" };
	struct entry link = { .path = "d/l", .kind = ENTRY_LINK, .target = "x" };
	char to[CONFLICT_NAME_MAX];
	bool held = true;

	make_canary(f);
	old = look(f, "../canary/f");
	old.path = "d/f";
	(void)!unlinkat(f->t->root, "d", 0);
	tree_symlink(f->t, "d", "../canary");
	held &= install(f, "d/new", "x", NULL, NULL) == ERR_PARENT_NOT_DIRECTORY;
	held &= install(f, "d/f", "x", &old, NULL) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_mkdir(f->ap, &dir, NULL, &in, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_link(f->ap, &link, NULL, &in, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_delete(f->ap, &old, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_move(f->ap, "d/f", "here", &old, &in, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_meta(f->ap, &old, &old, &in, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= apply_aside(f->ap, "d/f", &old, "dev", WHEN, to, &f->err) == ERR_PARENT_NOT_DIRECTORY;
	held &= canary_is_whole(f);
	return held;
}

static void
test_parent_became_a_symlink(void **state)
{
	breaks_with(*state, "client.open_by_path", symlink_parent_is_refused); /* M30 */
}

/* A directory and a symlink to the canary change places as fast as they can. */
static void *
swap(void *arg)
{
	struct editor *e = arg;

	while (!__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) {
		(void)!renameat2(e->f->t->root, "d", e->f->t->root, "s", RENAME_EXCHANGE);
		e->saved++;
	}
	return NULL;
}

static bool
canary_survives_swaps(struct fix *f)
{
	struct editor ed = { .f = f };
	int64_t end = clock_mono_ms() + 1500;
	unsigned tries = 0, through = 0;
	pthread_t thread;
	bool held;

	make_canary(f);
	tree_mkdir(f->t, "d");
	tree_symlink(f->t, "s", "../canary");
	assert_int_equal(pthread_create(&thread, NULL, swap, &ed), 0);
	while (clock_mono_ms() < end) {
		char path[32], gone[32];
		struct entry in, link = { .kind = ENTRY_LINK, .target = "x" };

		snprintf(path, sizeof path, "d/n%u", tries);
		snprintf(gone, sizeof gone, "d/l%u", tries++);
		link.path = gone;
		through += install(f, path, "x", NULL, NULL) == ERR_OK;
		through += apply_link(f->ap, &link, NULL, &in, &f->err) == ERR_OK;
	}
	__atomic_store_n(&ed.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	held = canary_is_whole(f);
	print_message("%u swaps, %u tries, %u went through, canary %s\n", ed.saved, tries, through, held ? "whole" : "changed");
	for (size_t i = 0; i < 2; i++) { /* for the next run; either may be the symlink now */
		const char *name = i ? "s" : "d";

		if (unlinkat(f->t->root, name, 0)) {
			tree_clear(f->t, name);
			assert_return_code(unlinkat(f->t->root, name, AT_REMOVEDIR), errno);
		}
	}
	tree_clear(f->t, "../canary");
	return held && through > 0;
}

static void
test_swapped_parents(void **state)
{
	breaks_with(*state, "client.open_by_path", canary_survives_swaps); /* M30 */
}

/* ---- temporaries that are kept --------------------------------------------------------------------------------------------------------- */

static const struct id FILE_ID = { { 1, 2, 3 } };

static void
reopen(struct fix *f, int64_t now_us)
{
	apply_free(f->ap);
	assert_int_equal(apply_open(f->t->root, now_us, &f->ap, &f->err), ERR_OK);
}

static off_t
keep(struct fix *f, const char *text, char name[static APPLY_TEMP_NAME_MAX])
{
	off_t had;
	int fd;

	assert_int_equal(apply_temp_kept(f->ap, &FILE_ID, &fd, name, &f->err), ERR_OK);
	had = lseek(fd, 0, SEEK_END);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
	close(fd);
	return had;
}

static void
test_kept_temporaries(void **state)
{
	struct fix *f = *state;
	char name[APPLY_TEMP_NAME_MAX], other[APPLY_TEMP_NAME_MAX];
	int fd;

	assert_false(apply_temp_waits(f->ap, &FILE_ID));
	assert_int_equal(keep(f, "half of it", name), 0);
	assert_true(apply_temp_stays(name));
	assert_int_equal(keep(f, "half of it", name), 0); /* twice in a run: one that nobody waits for is empty */
	assert_int_equal(apply_temp(f->ap, &fd, other, &f->err), ERR_OK);
	close(fd);
	assert_false(apply_temp_stays(other));
	reopen(f, clock_wall_us());
	assert_int_equal(tree_count(f->t, ".dray/tmp"), 1);
	assert_true(apply_temp_waits(f->ap, &FILE_ID));
	assert_int_equal(keep(f, "half", name), 10);
	reopen(f, clock_wall_us() + (APPLY_KEPT_DAYS - 1) * INT64_C(86400000000));
	assert_true(apply_temp_waits(f->ap, &FILE_ID));
	reopen(f, clock_wall_us() + APPLY_KEPT_DAYS * INT64_C(86400000000) + 1);
	assert_false(apply_temp_waits(f->ap, &FILE_ID));
	assert_int_equal(tree_count(f->t, ".dray/tmp"), 0);
	keep(f, "half of it", name);
	apply_temps_clear(f->t->root);
	assert_int_equal(tree_count(f->t, ".dray/tmp"), 0);
	/* a name of that kind that is no file is not kept */
	assert_int_equal(symlinkat("../../victim", f->t->root, "link"), 0);
	assert_int_equal(pathat_rename(f->t->root, "link", f->t->root, ".dray/tmp/k-00000000000000000000000000000000", 0, &f->err), ERR_OK);
	reopen(f, clock_wall_us());
	assert_int_equal(tree_count(f->t, ".dray/tmp"), 0);
}

/* Whole, and somebody has edited the file meanwhile: the next plan will want it again. */
static void
test_kept_until_it_fits(void **state)
{
	struct fix *f = *state;
	char name[APPLY_TEMP_NAME_MAX];
	struct entry want = { .path = "f", .target = "", .mode = 0444, .size = 5, .mtime_ns = MTIME };
	struct apply_install it = { .temp = name, .want = &want };

	tree_write(f->t, "f", "mine");
	keep(f, "fresh", name);
	apply_install(f->ap, &it, 1);
	assert_int_equal(it.code, ERR_VERSION_CONFLICT);
	assert_true(tree_is(f->t, "f", "mine"));
	reopen(f, clock_wall_us());
	assert_true(apply_temp_waits(f->ap, &FILE_ID));
	assert_int_equal(keep(f, "fresh", name), 5); /* also though its mode is 0444 by now */
	assert_int_equal(unlinkat(f->t->root, "f", 0), 0);
	apply_install(f->ap, &it, 1);
	assert_int_equal(it.code, ERR_OK);
	assert_true(tree_is(f->t, "f", "fresh"));
	assert_int_equal(tree_count(f->t, ".dray/tmp"), 0);
}

static void
test_where_the_deleted_are(void **state)
{
	struct fix *f = *state;
	struct entry e;
	const char *path;

	tree_mkdir(f->t, "d");
	for (unsigned i = 0; i < 2; i++) { /* the second one finds the name taken */
		tree_write(f->t, "d/f", "bytes");
		e = look(f, "d/f");
		e.content.b[0] = (uint8_t)i;
		e.content_known = true;
		assert_int_equal(apply_delete(f->ap, &e, &f->err), ERR_OK);
		path = map_get(apply_trashed(f->ap), e.content.b, sizeof e.content.b);
		assert_non_null(path);
		assert_true(tree_is(f->t, path, "bytes"));
	}
	assert_int_equal(map_count(apply_trashed(f->ap)), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_kept_temporaries), T(test_kept_until_it_fits), T(test_where_the_deleted_are),
		T(test_new_file), T(test_write_right_after_a_new_name), T(test_write_right_after_an_exchange), T(test_replace_keeps_the_old_in_the_trash), T(test_many_at_once), T(test_links_and_directories),
		T(test_kinds_take_each_others_place), T(test_masks), T(test_meta), T(test_move), T(test_delete),
		T(test_trash_keeps_every_one), T(test_trash_of_long_and_odd_names), T(test_deep_trash), T(test_crash_leftovers),
		T(test_new_name_is_taken), T(test_edit_before_install), T(test_edit_of_what_is_taken_back), T(test_edit_hidden_by_our_change_time), T(test_moves_and_modes_keep_the_change_time),
		T(test_edit_within_the_second),
		T(test_the_second_look_is_enough),
		T(test_the_last_save_is_never_lost), T(test_conflict_copies), T(test_parent_became_a_symlink), T(test_swapped_parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
