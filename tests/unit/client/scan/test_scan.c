/* The walk and the hash on real folders, friendly and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/client/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/pathat.h"
#include "chunk/blocklist.h"
#include "client/scan/scan.h"

struct seen {
	char **paths, **problems; /* "path" and "path: reason" or "path: reason/" for a subtree */
	struct entry *entries;
	size_t n, problem_n;
};

static err_code
found(void *ctx, const struct entry *e, struct err *err)
{
	struct seen *s = ctx;

	(void)err;
	s->paths = xrealloc(s->paths, (s->n + 1) * sizeof *s->paths);
	s->entries = xrealloc(s->entries, (s->n + 1) * sizeof *s->entries);
	s->paths[s->n] = xstrdup(e->path);
	s->entries[s->n] = *e;
	s->entries[s->n].path = s->paths[s->n];
	s->entries[s->n].target = NULL;
	if (s->n)
		assert_true(path_cmp(s->paths[s->n - 1], s->paths[s->n]) < 0);
	s->n++;
	return ERR_OK;
}

static void
problem(void *ctx, const struct scan_problem *p)
{
	struct seen *s = ctx;
	size_t len = strlen(p->path) + strlen(p->reason) + 4;
	char *text = xmalloc(len);

	snprintf(text, len, "%s: %s%s", p->path, p->reason, p->subtree ? "/" : "");
	s->problems = xrealloc(s->problems, (s->problem_n + 1) * sizeof *s->problems);
	s->problems[s->problem_n++] = text;
}

static err_code
walk(struct tree *t, struct seen *s)
{
	struct scan_opts opts = { .root = t->root, .now_ns = clock_wall_ns() };
	struct err err;

	*s = (struct seen){ 0 };
	return scan_walk(&opts, found, problem, s, &err);
}

static void
seen_fini(struct seen *s)
{
	while (s->n)
		free(s->paths[--s->n]);
	while (s->problem_n)
		free(s->problems[--s->problem_n]);
	free(s->paths);
	free(s->entries);
	free(s->problems);
}

static struct entry *
seen_at(struct seen *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->paths[i], path) == 0)
			return &s->entries[i];
	}
	return NULL;
}

static bool
has_problem(struct seen *s, const char *text)
{
	for (size_t i = 0; i < s->problem_n; i++) {
		if (strcmp(s->problems[i], text) == 0)
			return true;
	}
	return false;
}

/* ---- what is found ---------------------------------------------------------------------------------------------------- */

static void
test_order_of_random_trees(void **state)
{
	struct tree *t = *state;
	/* Characters around '/', which plain string order would sort wrongly. */
	static const char alphabet[] = "ab-.0 ~";
	char dirs[40][128] = { "" };
	size_t dir_n = 1, made = 0;
	struct seen s;

	for (unsigned i = 0; i < 400; i++) {
		char path[160];
		const char *dir = dirs[rng_u64() % dir_n];
		size_t len = (size_t)snprintf(path, sizeof path, "%s%s", dir, dir[0] ? "/" : "");

		for (unsigned k = 0; k < 1 + rng_u64() % 3; k++)
			path[len++] = alphabet[rng_u64() % (sizeof alphabet - 1)];
		path[len] = '\0';
		if (tree_exists(t, path))
			continue;
		made++;
		if (dir_n < ARRAY_LEN(dirs) && rng_u64() % 4 == 0 && len < 100) {
			tree_mkdir(t, path);
			memcpy(dirs[dir_n++], path, len + 1);
		} else {
			tree_write(t, path, "x");
		}
	}
	assert_int_equal(walk(t, &s), ERR_OK); /* found() checks the order */
	assert_int_equal(s.n, made);
	assert_int_equal(s.problem_n, 0);
	seen_fini(&s);
}

static void
test_fields(void **state)
{
	struct tree *t = *state;
	struct hash want = content_hash_link("../x", 4);
	struct entry *e;
	struct seen s;

	tree_write(t, "f", "hello");
	assert_return_code(fchmodat(t->root, "f", 04751, 0), errno);
	tree_time(t, "f", INT64_C(1000000000123456789));
	tree_mkdir(t, "d");
	tree_symlink(t, "l", "../x");
	usleep(30000);
	assert_int_equal(walk(t, &s), ERR_OK);
	e = seen_at(&s, "f");
	assert_int_equal(e->kind, ENTRY_FILE);
	assert_int_equal(e->size, 5);
	assert_int_equal(e->mode, 0751);
	assert_int_equal(e->mtime_ns, INT64_C(1000000000123456789));
	assert_false(e->content_known);
	assert_true(e->ino && e->ctime_ns);
	assert_int_equal(seen_at(&s, "d")->kind, ENTRY_DIR);
	e = seen_at(&s, "l");
	assert_int_equal(e->kind, ENTRY_LINK);
	assert_true(e->content_known && hash_eq(&e->content, &want));
	assert_int_equal(e->size, 0);
	seen_fini(&s);
}

/* A change time too young to tell a later write apart is not recorded. */
static void
test_racy_ctime(void **state)
{
	struct tree *t = *state;
	struct seen s;

	tree_write(t, "f", "x");
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(seen_at(&s, "f")->ctime_ns, 0);
	seen_fini(&s);
	usleep(40000);
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_true(seen_at(&s, "f")->ctime_ns != 0);
	seen_fini(&s);
}

static void
test_odd_names(void **state)
{
	static const char *const names[] = { "a\nb", "-rf", "~", "$(x)", "a b", " ", "\"quote'", "back\\slash", "CON", "a.", "*", "\x01" };
	struct tree *t = *state;
	struct seen s;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		tree_write(t, names[i], "x");
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(s.n, ARRAY_LEN(names));
	assert_int_equal(s.problem_n, 0);
	seen_fini(&s);
}

/* ---- what cannot be synced ---------------------------------------------------------------------------------------------- */

static void
test_problems(void **state)
{
	struct tree *t = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct seen s;

	tree_mkdir(t, ".dray");
	tree_write(t, ".dray/state.db", "x");
	tree_mkdir(t, "sub");
	tree_mkdir(t, "sub/.dray");
	tree_write(t, "sub/.dray/x", "x");
	tree_write(t, "caf\xe9", "x");
	tree_mkdir(t, "dir\xff");
	tree_write(t, "dir\xff/f", "x");
	tree_symlink(t, "badlink", "t\xff");
	assert_return_code(mkfifoat(t->root, "fifo", 0644), errno);
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/root/sock", t->top);
	assert_return_code(bind(sock, (struct sockaddr *)&addr, sizeof addr), errno);
	close(sock);
	tree_write(t, "good", "x");
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(s.n, 2);
	assert_non_null(seen_at(&s, "good"));
	assert_non_null(seen_at(&s, "sub"));
	assert_true(has_problem(&s, "sub/.dray: name_reserved/"));
	assert_true(has_problem(&s, "caf\xe9: name_not_utf8"));
	assert_true(has_problem(&s, "dir\xff: name_not_utf8/"));
	assert_true(has_problem(&s, "badlink: target_not_utf8"));
	assert_true(has_problem(&s, "fifo: special_file"));
	assert_true(has_problem(&s, "sock: special_file"));
	assert_int_equal(s.problem_n, 6);
	seen_fini(&s);
}

/* Deeper than any path can say: reported where it gets too deep, and no crash. */
static void
test_deep_tree(void **state)
{
	struct tree *t = *state;
	int fd = dup(t->root);
	struct seen s;

	for (unsigned i = 0; i < 10000; i++) {
		int next;

		assert_return_code(mkdirat(fd, "d", 0755), errno);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(s.n, 256);
	assert_int_equal(s.problem_n, 1);
	assert_non_null(strstr(s.problems[0], ": path_too_long/"));
	seen_fini(&s);
}

static void
test_long_paths(void **state)
{
	struct tree *t = *state;
	char name[256];
	int fd = dup(t->root);
	struct seen s;

	memset(name, 'n', 255);
	name[255] = '\0';
	for (unsigned i = 0; i < 17; i++) { /* 16 × 256 - 1 = 4,095 bytes are a path, 17 are not */
		int next;

		assert_return_code(mkdirat(fd, name, 0755), errno);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(s.n, 16);
	assert_int_equal(s.problem_n, 1);
	seen_fini(&s);
}

/* What a directory that cannot be opened holds is not known; it is never taken for empty.  Answers whether that was so. */
static bool
unreadable_is_frozen(struct tree *t)
{
	bool held, root = geteuid() == 0;
	struct seen s;

	/* The owner of everything is refused nothing, so be somebody else. */
	if (root)
		assert_return_code(seteuid(65534), errno);
	assert_int_equal(walk(t, &s), ERR_OK);
	if (root)
		assert_return_code(seteuid(0), errno);
	held = has_problem(&s, "locked: unreadable/") && seen_at(&s, "locked") && !seen_at(&s, "locked/f") && seen_at(&s, "open/f");
	seen_fini(&s);
	return held;
}

static void
test_unreadable_directory(void **state)
{
	struct tree *t = *state;

	tree_mkdir(t, "locked");
	tree_write(t, "locked/f", "x");
	tree_mkdir(t, "open");
	tree_write(t, "open/f", "x");
	assert_return_code(fchmodat(t->root, "locked", 0, 0), errno);
	assert_true(unreadable_is_frozen(t));
	setenv("DRAY_FAULT", "client.unreadable_is_empty", 1); /* M18 */
	assert_false(unreadable_is_frozen(t));
	unsetenv("DRAY_FAULT");
	assert_return_code(fchmodat(t->root, "locked", 0755, 0), errno);
}

static void
test_unreadable_root_is_an_error(void **state)
{
	struct tree *t = *state;
	struct tree file = *t;
	struct seen s;

	tree_write(t, "f", "x");
	file.root = openat(t->root, "f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(walk(&file, &s), ERR_IO);
	seen_fini(&s);
	close(file.root);
}

static void
test_cancel(void **state)
{
	struct tree *t = *state;
	bool cancel = true;
	struct scan_opts opts = { .root = t->root, .cancel = &cancel };
	struct seen s = { 0 };

	tree_write(t, "f", "x");
	assert_int_equal(scan_walk(&opts, found, problem, &s, NULL), ERR_CANCELLED);
	assert_int_equal(s.n, 0);
}

/* ---- while somebody works ------------------------------------------------------------------------------------------------ */

struct churn {
	struct tree *t;
	bool stop;
};

static void *
churn(void *arg)
{
	struct churn *c = arg;

	for (unsigned i = 0; !__atomic_load_n(&c->stop, __ATOMIC_RELAXED); i++) {
		char a[32], b[32];

		snprintf(a, sizeof a, "d/churn-%u", i % 50);
		snprintf(b, sizeof b, "d/other-%u", i % 50);
		tree_write(c->t, a, "x");
		renameat(c->t->root, a, c->t->root, b);
		unlinkat(c->t->root, b, 0);
		usleep(300); /* or no reading of the directory would ever be quiet */
	}
	return NULL;
}

/* Names that nobody touches are seen whatever happens beside them, or the directory is said to be changing. */
static void
test_steady_names_among_churn(void **state)
{
	struct tree *t = *state;
	struct churn c = { .t = t };
	int64_t end = clock_mono_ms() + 700;
	size_t complete = 0;
	pthread_t thread;

	tree_mkdir(t, "d");
	for (unsigned i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof name, "d/steady-%u", i);
		tree_write(t, name, "x");
	}
	assert_int_equal(pthread_create(&thread, NULL, churn, &c), 0);
	while (clock_mono_ms() < end) {
		struct seen s;
		size_t steady = 0;

		assert_int_equal(walk(t, &s), ERR_OK);
		for (size_t i = 0; i < s.n; i++)
			steady += strncmp(s.paths[i], "d/steady-", 9) == 0;
		if (has_problem(&s, "d: changing/"))
			assert_int_equal(steady, 0);
		else
			assert_int_equal(steady, 300);
		complete += steady == 300;
		seen_fini(&s);
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("%zu complete scans\n", complete);
}

/* Linked with --wrap=getdents64: between two reads of a directory somebody else gets a turn. */
static struct {
	struct tree *t;
	unsigned left, calls; /* turns to come; directories read from the start */
} turn;

ssize_t __real_getdents64(int fd, void *buf, size_t len);
ssize_t __wrap_getdents64(int fd, void *buf, size_t len);

ssize_t
__wrap_getdents64(int fd, void *buf, size_t len)
{
	ssize_t n = __real_getdents64(fd, buf, len);

	if (turn.t && n == 0) {
		turn.calls++;
		if (turn.left) {
			char name[32];

			snprintf(name, sizeof name, "late-%u", --turn.left);
			tree_write(turn.t, name, "x");
		}
	}
	return n;
}

static void
test_directory_that_changes_is_read_again(void **state)
{
	struct tree *t = *state;
	struct seen s;

	tree_write(t, "f", "x");
	turn.t = t;
	turn.left = 2;
	turn.calls = 0;
	assert_int_equal(walk(t, &s), ERR_OK);
	assert_int_equal(turn.calls, 3);
	assert_int_equal(s.n, 3); /* what came late is seen too */
	seen_fini(&s);
	turn.t = NULL;
	tree_mkdir(t, "d");
	tree_write(t, "d/g", "x");
	usleep(5000);
	turn.t = t;
	turn.left = 1000; /* never quiet: the top is an error, since nothing at all would be known */
	assert_int_equal(walk(t, &s), ERR_IO);
	assert_int_equal(s.n, 0);
	seen_fini(&s);
	turn.t = NULL;
}

static void *
keep_writing(void *arg)
{
	struct churn *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		int fd = openat(c->t->root, "log", O_WRONLY | O_APPEND | O_CLOEXEC);

		if (fd >= 0 && write(fd, "line\n", 5) != 5)
			break;
		close(fd);
	}
	return NULL;
}

static void
test_hash_of_a_busy_file(void **state)
{
	struct tree *t = *state;
	struct churn c = { .t = t };
	struct entry e = { .path = "log", .kind = ENTRY_FILE }, out;
	struct err err;
	pthread_t thread;
	err_code rc = ERR_OK;
	int fd;

	tree_write(t, "log", "");
	fd = openat(t->root, "log", O_WRONLY | O_CLOEXEC);
	assert_return_code(ftruncate(fd, 16 << 20), errno); /* large enough to be written to while it is read */
	close(fd);
	assert_int_equal(pthread_create(&thread, NULL, keep_writing, &c), 0);
	for (unsigned i = 0; i < 20 && rc != ERR_BUSY; i++)
		rc = scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, &err);
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(rc, ERR_BUSY);
	assert_string_equal(err.reason, "file_busy");
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, &err), ERR_OK);
}

static void
test_hash(void **state)
{
	struct tree *t = *state;
	struct entry e = { .path = "f", .kind = ENTRY_FILE, .version = 7 }, out;
	struct hash empty = content_hash_empty();
	bool cancel = true;

	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, NULL), ERR_NOT_FOUND);
	tree_write(t, "f", "");
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, NULL), ERR_OK);
	assert_true(out.content_known && hash_eq(&out.content, &empty));
	assert_int_equal(out.version, 7);
	tree_write(t, "f", "x");
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, NULL), ERR_OK);
	assert_false(hash_eq(&out.content, &empty));
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), &cancel, &out, NULL), ERR_CANCELLED);
	/* A pipe in the file's place must not make us wait for a writer. */
	unlinkat(t->root, "f", 0);
	assert_return_code(mkfifoat(t->root, "f", 0644), errno);
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, NULL), ERR_NOT_FOUND);
	unlinkat(t->root, "f", 0);
	tree_symlink(t, "f", "/etc/passwd");
	assert_int_equal(scan_hash(t->root, &e, clock_wall_ns(), NULL, &out, NULL), ERR_NOT_FOUND);
}

static void
test_stat(void **state)
{
	struct tree *t = *state;
	struct arena *a = arena_new(1 * MIB);
	struct entry e;
	struct err err;
	int64_t now = clock_wall_ns();

	tree_mkdir(t, "d");
	tree_write(t, "d/f", "xyz");
	tree_symlink(t, "l", "d");
	assert_int_equal(scan_stat(t->root, "d/f", now, a, &e, &err), ERR_OK);
	assert_string_equal(e.path, "d/f");
	assert_int_equal(e.size, 3);
	assert_int_equal(scan_stat(t->root, "l", now, a, &e, &err), ERR_OK);
	assert_string_equal(e.target, "d");
	assert_int_equal(scan_stat(t->root, "l/f", now, a, &e, &err), ERR_NOT_FOUND);
	assert_int_equal(scan_stat(t->root, "d/f/x", now, a, &e, &err), ERR_NOT_FOUND);
	assert_int_equal(scan_stat(t->root, "d/none", now, a, &e, &err), ERR_NOT_FOUND);
	assert_int_equal(scan_stat(t->root, "../root/d/f", now, a, &e, &err), ERR_PATH_INVALID);
	assert_return_code(mkfifoat(t->root, "fifo", 0644), errno);
	assert_int_equal(scan_stat(t->root, "fifo", now, a, &e, &err), ERR_DENIED);
	assert_string_equal(err.reason, "special_file");
	arena_free(a);
}

static void
left_out(void *ctx, const char *path, bool dir)
{
	struct seen *s = ctx;
	char text[128];

	snprintf(text, sizeof text, "%s%s", path, dir ? "/" : "");
	problem(s, &(struct scan_problem){ .path = text, .reason = "ignored" });
}

static err_code
walk_with_rules(struct tree *t, struct seen *s)
{
	AUTO(ignore_freep) struct ignore *ig = ignore_new();
	struct scan_opts opts = { .root = t->root, .now_ns = clock_wall_ns(), .ignore = ig, .ignored = left_out };
	struct err err;

	*s = (struct seen){ 0 };
	return scan_walk(&opts, found, problem, s, &err);
}

/* What is ignored is told by its name and not entered, and is no problem whatever it is. */
static void
test_ignored(void **state)
{
	struct tree *t = *state;
	struct seen s;

	tree_mkdir(t, "build");
	tree_mkdir(t, "build/deep");
	tree_mkdir(t, "src");
	tree_write(t, "src/a.c", "a");
	tree_write(t, "src/a.o", "o");
	tree_write(t, "src/.drayignore", "!b.o\nlost\xff\n");
	tree_write(t, "src/b.o", "o");
	tree_write(t, "src/lost\xff", "x");
	tree_write(t, ".drayignore", "build/\n*.o\n");
	assert_int_equal(walk_with_rules(t, &s), ERR_OK);
	assert_int_equal(s.n, 5);
	assert_non_null(seen_at(&s, "src/b.o"));
	assert_int_equal(s.problem_n, 3);
	assert_true(has_problem(&s, "build/: ignored") && has_problem(&s, "src/a.o: ignored") && has_problem(&s, "src/lost\xff: ignored"));
	seen_fini(&s);
}

/* Rules that are none: of their directory nothing is told but the file, and all else is. */
static void
test_rules_not_known(void **state)
{
	struct tree *t = *state;
	struct seen s;

	tree_mkdir(t, "d");
	tree_mkdir(t, "d/e");
	tree_write(t, "d/a", "a");
	tree_symlink(t, "d/.drayignore", "a");
	tree_write(t, "f", "f");
	assert_int_equal(walk_with_rules(t, &s), ERR_OK);
	assert_int_equal(s.n, 3);
	assert_non_null(seen_at(&s, "d/.drayignore"));
	assert_non_null(seen_at(&s, "f"));
	assert_int_equal(s.problem_n, 1);
	assert_true(has_problem(&s, "d/.drayignore: ignore_not_file"));
	seen_fini(&s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_ignored), T(test_rules_not_known), T(test_order_of_random_trees), T(test_fields), T(test_racy_ctime), T(test_odd_names), T(test_problems), T(test_deep_tree),
		T(test_long_paths), T(test_unreadable_directory), T(test_unreadable_root_is_an_error), T(test_cancel),
		T(test_steady_names_among_churn), T(test_directory_that_changes_is_read_again), T(test_hash_of_a_busy_file), T(test_hash), T(test_stat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
