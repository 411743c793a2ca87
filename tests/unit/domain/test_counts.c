/* What directories count beneath them: exact after every way in which a tree changes, in one batch and across several. */
#include "rig.h"

static void
assert_beneath(struct rig *r, const char *path, int64_t files, int64_t dirs, int64_t bytes)
{
	struct file f = rig_at(r, path);

	assert_int_equal(f.beneath.files, files);
	assert_int_equal(f.beneath.dirs, dirs);
	assert_int_equal(f.beneath.bytes, bytes);
	rig_assert_sums(r);
}

static void
adding_changing_deleting(void **state)
{
	struct rig *r = *state;
	struct op op;

	rig_commit(r, (struct op[]){ put_dir("a"), put_dir("a/b"), put_text(r, "a/b/f", "12345"), put_link("a/l", "b/f"), put_text(r, "top", "x") }, 5);
	assert_beneath(r, "a", 2, 1, 5);
	assert_beneath(r, "a/b", 1, 0, 5);
	rig_do(r, on(put_text(r, "a/b/f", "123"), rig_at(r, "a/b/f").version));
	assert_beneath(r, "a", 2, 1, 3);
	op = on(put_dir("a"), rig_at(r, "a").version);
	op.has_mode = true;
	op.mode = 0700;
	rig_do(r, op); /* a change of the directory itself */
	assert_beneath(r, "a", 2, 1, 3);
	rig_do(r, del_at(r, "a/b/f"));
	assert_beneath(r, "a", 1, 1, 0);
	rig_commit(r, (struct op[]){ del_at(r, "a/l"), del_at(r, "a/b") }, 2);
	assert_beneath(r, "a", 0, 0, 0);
}

static void
parents_that_are_made(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "p/q/r/f", "1234");

	op.make_parents = true;
	rig_do(r, op);
	assert_beneath(r, "p", 1, 2, 4);
	assert_beneath(r, "p/q/r", 1, 0, 4);
}

static void
moving(void **state)
{
	struct rig *r = *state;

	rig_commit(r, (struct op[]){ put_dir("a"), put_dir("a/b"), put_dir("a/b/c"), put_text(r, "a/b/c/f", "123"), put_text(r, "a/b/g", "12"),
	    put_dir("x"), put_dir("x/y") }, 7);
	rig_do(r, mv_at(r, "a/b/g", "x/y/g"));
	assert_beneath(r, "a", 1, 2, 3);
	assert_beneath(r, "x", 1, 1, 2);
	rig_do(r, mv_at(r, "a/b", "x/y/b"));
	assert_beneath(r, "a", 0, 0, 0);
	assert_beneath(r, "x", 2, 3, 5);
	assert_beneath(r, "x/y/b", 1, 1, 3);
	rig_do(r, mv_at(r, "x/y", "x/z")); /* within its parent */
	assert_beneath(r, "x", 2, 3, 5);
	assert_beneath(r, "x/z", 2, 2, 5);
	rig_do(r, mv_at(r, "x/z/b", "b")); /* to the top */
	assert_beneath(r, "x", 1, 1, 2);
	assert_beneath(r, "b", 1, 1, 3);
}

/* Everything at once: what is noted in a directory when it moves, goes, or comes again under its name. */
static void
in_one_batch(void **state)
{
	struct rig *r = *state;
	struct op mv_a, del_b;

	rig_commit(r, (struct op[]){ put_dir("p"), put_dir("p/a"), put_text(r, "p/a/f", "1"), put_dir("p/b"), put_text(r, "p/b/f", "12"), put_dir("q") }, 6);
	mv_a = mv_at(r, "p/a", "q/a");
	del_b = del_at(r, "p/b");
	rig_commit(r, (struct op[]){ put_text(r, "p/a/g", "123"), mv_a, put_text(r, "q/a/h", "1234"), put_dir("p/a"), put_text(r, "p/a/new", "12345"),
	    del_at(r, "p/b/f"), del_b, put_dir("p/b"), put_text(r, "p/b/other", "123456") }, 9);
	assert_beneath(r, "p", 2, 2, 11);
	assert_beneath(r, "p/a", 1, 0, 5);
	assert_beneath(r, "p/b", 1, 0, 6);
	assert_beneath(r, "q", 3, 1, 8);
	assert_beneath(r, "q/a", 3, 0, 8);
}

static void
kinds_and_restores(void **state)
{
	struct rig *r = *state;
	int64_t dir;
	struct file d, f;

	rig_commit(r, (struct op[]){ put_dir("a"), put_dir("a/d"), put_text(r, "a/d/f", "123") }, 3);
	d = rig_at(r, "a/d");
	f = rig_at(r, "a/d/f");
	rig_commit(r, (struct op[]){ del(&f), on(put_text(r, "a/d", "12"), d.version) }, 2); /* the directory becomes a file */
	assert_beneath(r, "a", 1, 0, 2);
	dir = d.version;
	rig_do(r, del_at(r, "a/d"));
	assert_beneath(r, "a", 0, 0, 0);
	d.version = rig_project(r).clock;
	{
		AUTO(meta_abort) struct meta_tx *tx = NULL;
		struct file gone;

		assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
		assert_ok(r, meta_file_get(tx, &r->project, &d.id, &gone, &r->err));
		assert_int_equal(gone.beneath.files, 0);
		d.version = gone.version;
		assert_ok(r, meta_file_get(tx, &r->project, &f.id, &gone, &r->err));
		f.version = gone.version;
	}
	rig_do(r, restore(&d, dir));
	assert_beneath(r, "a", 0, 1, 0);
	rig_do(r, restore(&f, f.created_at));
	assert_beneath(r, "a", 1, 1, 3);
	assert_beneath(r, "a/d", 1, 0, 3);
}

/* More than is noted at a time, so that it is written on the way. */
static void
a_batch_of_long_paths(void **state)
{
	enum { DIRS = 5000 };
	struct rig *r = *state;
	struct made m = rig_upload(r, "1234567", 7);
	struct op *ops = arena_array(r->a, DIRS + 1, sizeof *ops);
	char pad[200];

	memset(pad, 'x', sizeof pad);
	pad[sizeof pad - 1] = '\0';
	ops[0] = put_dir("top");
	for (int i = 0; i < DIRS; i++) {
		ops[i + 1] = put_file(arena_printf(r->a, "top/%s%d/%s/f", pad, i, pad), &m);
		ops[i + 1].make_parents = true;
	}
	rig_commit(r, ops, DIRS + 1);
	assert_beneath(r, "top", DIRS, 2 * DIRS, INT64_C(7) * DIRS);
	rig_do(r, mv_at(r, "top", "moved"));
	assert_beneath(r, "moved", DIRS, 2 * DIRS, INT64_C(7) * DIRS);
}

/* What is refused counts nothing, and a batch that fails as a whole leaves the counts as they were. */
static void
refused(void **state)
{
	struct rig *r = *state;
	struct made none = { .extent = { .count = 1 }, .size = 1 };
	struct commit c;
	struct op ops[3];

	rig_commit(r, (struct op[]){ put_dir("a"), put_text(r, "a/f", "1") }, 2);
	assert_int_equal(rig_one(r, put_text(r, "a/f", "22")).code, ERR_NAME_EXISTS);
	assert_int_equal(rig_one(r, mv_at(r, "a", "a/b")).code, ERR_MOVE_CYCLE);
	assert_int_equal(rig_one(r, del_at(r, "a")).code, ERR_NOT_EMPTY);
	ops[0] = put_text(r, "a/g", "333");
	ops[1] = put_file("a/h", &none);
	assert_code(r, ERR_CHUNKS_MISSING, rig_try(r, ops, 2, &c));
	assert_beneath(r, "a", 1, 0, 1);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(adding_changing_deleting), T(parents_that_are_made), T(moving), T(in_one_batch),
		T(kinds_and_restores), T(a_batch_of_long_paths), T(refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
