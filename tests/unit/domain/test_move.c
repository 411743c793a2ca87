/* Moves: of files, and of directories with all that lies beneath them. */
#include "rig.h"

static void
a_file_moves(void **state)
{
	struct rig *r = *state;
	struct file f, g;
	struct op_result res;

	rig_commit(r, (struct op[]){ put_dir("d"), put_text(r, "f", "f"), put_text(r, "other", "o") }, 3);
	f = rig_at(r, "f");
	assert_int_equal(rig_one(r, on(mv(&f, "d/f"), f.version - 1)).code, ERR_VERSION_CONFLICT);
	assert_int_equal(rig_one(r, mv(&f, "no/f")).code, ERR_PARENT_MISSING);
	assert_int_equal(rig_one(r, mv(&f, "other/f")).code, ERR_PARENT_NOT_DIRECTORY);
	res = rig_one(r, mv(&f, "other"));
	assert_int_equal(res.code, ERR_NAME_EXISTS);
	assert_string_equal(res.current.name, "other");
	assert_true(rig_do(r, mv(&f, "f")).unchanged);
	res = rig_do(r, mv(&f, "d/g"));
	assert_false(res.unchanged);
	g = rig_at(r, "d/g");
	assert_true(id_eq(&f.id, &g.id));
	assert_int_equal(g.created_at, f.created_at);
	assert_int_equal(g.version, res.version);
	assert_true(rig_do(r, mv(&f, "d/g")).unchanged); /* the answer was lost; the base is old */
	assert_false(rig_there(r, "f"));
	rig_do(r, del(&g));
	assert_int_equal(rig_one(r, mv(&g, "h")).code, ERR_VERSION_CONFLICT);
	assert_int_equal(rig_one(r, mv(&(struct file){ .id = id_new(), .version = 1 }, "h")).code, ERR_NOT_FOUND);
	rig_assert_sums(r);
}

static void
no_cycles(void **state)
{
	struct rig *r = *state;

	rig_commit(r, (struct op[]){ put_dir("a"), put_dir("a/b"), put_dir("ab"), put_dir("c") }, 4);
	assert_int_equal(rig_one(r, mv_at(r, "a", "a/x")).code, ERR_MOVE_CYCLE);
	assert_int_equal(rig_one(r, mv_at(r, "a", "a/b/x")).code, ERR_MOVE_CYCLE);
	rig_do(r, mv_at(r, "a", "ab/a")); /* a name that only begins the same is another directory */
	assert_true(rig_there(r, "ab/a/b"));
	/* A into B and B into A: the second is refused, nothing is out of reach. */
	rig_do(r, mv_at(r, "ab", "c/ab"));
	assert_int_equal(rig_one(r, mv_at(r, "c", "c/ab/c")).code, ERR_MOVE_CYCLE);
	assert_true(rig_there(r, "c/ab/a/b"));
	assert_int_equal(rig_assert_sums(r), 4);
}

static void
a_directory_takes_everything_along(void **state)
{
	enum { DIRS = 50, FILES = 50 }; /* 2,550 entries: several pages */
	struct rig *r = *state;
	struct made m = rig_upload(r, "content", 7);
	struct op ops[1 + DIRS * (FILES + 1)];
	size_t n = 0;
	struct tree_page page;
	int64_t before, last;
	struct op_result res;

	rig_do(r, put_dir("from!")); /* sorts between "from" and "from/": not beneath it */
	rig_do(r, put_text(r, "from!/stays", "x"));
	rig_do(r, put_dir("to"));
	ops[n++] = put_dir("from");
	for (int i = 0; i < DIRS; i++) {
		const char *dir = arena_printf(r->a, "from/dir%02d", i);

		ops[n++] = put_dir(dir);
		for (int k = 0; k < FILES; k++)
			ops[n++] = put_file(arena_printf(r->a, "%s/f%d", dir, k), &m);
	}
	rig_commit(r, ops, n);
	before = rig_project(r).clock;
	res = rig_do(r, mv_at(r, "from", "to/a longer name"));
	assert_int_equal(rig_at(r, "to/a longer name").version, res.version);
	assert_true(rig_there(r, "to/a longer name/dir49/f49"));
	assert_false(rig_there(r, "from"));
	assert_false(rig_there(r, "from/dir00/f0"));
	assert_true(rig_there(r, "from!/stays"));
	assert_int_equal(rig_assert_sums(r), n + 3);
	/* Each entry is a change of its own, parents first. */
	last = before;
	n = 0;
	do {
		assert_ok(r, tree_changes(r->d, &r->project, last, 999, false, r->a, &page, &r->err));
		for (size_t i = 0; i < page.n; i++) {
			assert_true(page.files[i].version > last);
			last = page.files[i].version;
		}
		n += page.n;
	} while (page.has_more);
	assert_int_equal(n, ARRAY_LEN(ops));
	/* And back, in one batch with a change of something that has just moved. */
	rig_commit(r, (struct op[]){ mv_at(r, "to/a longer name", "from"), del_at(r, "to/a longer name/dir49/f49") }, 2);
	assert_int_equal(rig_assert_sums(r), ARRAY_LEN(ops) + 3);
	assert_true(rig_there(r, "from/dir49/f49")); /* its base was the version before the move: a conflict */
}

static void
a_path_too_long_refuses_the_whole_move(void **state)
{
	struct rig *r = *state;
	char path[PATH_LEN_MAX + 1], name[NAME_LEN_MAX + 1];
	size_t len = 1, max = meta_path_max(r->meta);

	memset(name, 'n', NAME_LEN_MAX);
	name[NAME_LEN_MAX] = '\0';
	rig_commit(r, (struct op[]){ put_dir("d"), put_dir("longer") }, 2);
	memcpy(path, "d", 2);
	while (len + 1 + NAME_LEN_MAX <= max - 10) {
		len += (size_t)snprintf(path + len, sizeof path - len, "/%s", name);
		rig_do(r, put_dir(arena_strdup(r->a, path)));
	}
	name[max - len - 1] = '\0';
	snprintf(path + len, sizeof path - len, "/%s", name); /* the longest */
	rig_do(r, put_dir(arena_strdup(r->a, path)));
	assert_int_equal(rig_one(r, mv_at(r, "d", "dd")).code, ERR_PATH_TOO_LONG);
	assert_int_equal(rig_one(r, mv_at(r, "d", "longer/d")).code, ERR_PATH_TOO_LONG);
	assert_true(rig_there(r, path));
	rig_do(r, mv_at(r, "d", "e"));
	path[0] = 'e';
	assert_true(rig_there(r, path));
	rig_assert_sums(r);
}

static void
a_path_too_deep_refuses_the_whole_move(void **state)
{
	struct rig *r = *state;
	char path[2 * PATH_DEPTH_MAX + 1];
	struct op op;

	for (size_t i = 0; i < PATH_DEPTH_MAX; i++) {
		path[2 * i] = 'd';
		path[2 * i + 1] = '/';
	}
	path[2 * PATH_DEPTH_MAX - 1] = '\0';
	op = put_dir(path);
	op.make_parents = true;
	rig_do(r, op);
	rig_do(r, put_dir("x"));
	assert_int_equal(rig_one(r, mv_at(r, "d", "x/d")).code, ERR_PATH_TOO_LONG);
	rig_do(r, mv_at(r, "d", "e"));
	path[0] = 'e';
	assert_true(rig_there(r, path));
	rig_assert_sums(r);
}

static void
rename_then_a_new_file_of_the_old_name(void **state)
{
	struct rig *r = *state;
	struct commit c;

	rig_do(r, put_text(r, "f", "old"));
	c = rig_commit(r, (struct op[]){ mv_at(r, "f", "f.bak"), put_text(r, "f", "new") }, 2);
	assert_int_equal(c.results[0].code, ERR_OK);
	assert_int_equal(c.results[1].code, ERR_OK);
	rig_assert_text(r, "f.bak", "old");
	rig_assert_text(r, "f", "new");
	rig_assert_sums(r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_moves), T(no_cycles), T(a_directory_takes_everything_along), T(a_path_too_long_refuses_the_whole_move),
		T(a_path_too_deep_refuses_the_whole_move), T(rename_then_a_new_file_of_the_old_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
