/* What each operation does to the tree, and what it answers. */
#include "rig.h"

static void
a_file_is_put_and_read(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "a.txt", "hello");
	struct op_result res;
	struct file f;

	op.has_mode = op.has_mtime = true;
	op.mode = 07755;
	op.mtime_ns = -5;
	res = rig_do(r, op);
	f = rig_at(r, "a.txt");
	assert_false(res.unchanged);
	assert_true(id_eq(&res.file, &f.id));
	assert_int_equal(res.version, f.version);
	assert_int_equal(f.version, rig_project(r).clock);
	assert_int_equal(f.created_at, f.version);
	assert_int_equal(f.mode, 0755); /* masked to 0777 */
	assert_int_equal(f.mtime_ns, -5);
	assert_int_equal(f.size, 5);
	assert_true(id_eq(&f.changed_by, &r->device.id));
	rig_assert_text(r, "a.txt", "hello");
	assert_int_equal(r->told, 1);
	assert_int_equal(rig_assert_sums(r), 1);
}

static void
defaults(void **state)
{
	struct rig *r = *state;
	int64_t before = clock_wall_ns();
	struct op ops[] = { put_dir("d"), put_text(r, "d/f", "x"), put_link("d/l", "../else") };
	struct commit c = rig_commit(r, ops, 3);
	struct file d = rig_at(r, "d"), f = rig_at(r, "d/f"), l = rig_at(r, "d/l");
	struct project now = rig_project(r);
	struct hash target = content_hash_link("../else", 7);

	assert_int_equal(d.mode, 0755);
	assert_int_equal(f.mode, 0644);
	assert_true(f.mtime_ns >= before && f.mtime_ns <= clock_wall_ns());
	assert_string_equal(l.target, "../else");
	assert_int_equal(l.size, 0);
	assert_true(hash_eq(&l.content, &target));
	assert_true(hash_is_zero(&d.content));
	assert_true(c.results[0].version < c.results[1].version && c.results[1].version < c.results[2].version);
	assert_int_equal(c.project.clock, now.clock);
	assert_true(hash_eq(&c.project.digest, &now.digest));
	assert_int_equal(c.project.file_count, 3);
	rig_assert_sums(r);
}

static void
an_empty_file(void **state)
{
	struct rig *r = *state;
	struct op op = { .kind = OP_PUT, .path = "e", .entry = KIND_FILE, .content = content_hash_empty() };
	struct made none = rig_upload(r, "", 0);

	rig_do(r, op);
	rig_do(r, put_file("e2", &none));
	rig_assert_text(r, "e", "");
	rig_assert_text(r, "e2", "");
	op.path = "bad";
	op.content = (struct hash){ 0 };
	assert_code(r, ERR_FIELD_MISSING, rig_try(r, &op, 1, &(struct commit){ 0 }));
	op.content = hash_of("x", 1);
	assert_code(r, ERR_FIELD_MISSING, rig_try(r, &op, 1, &(struct commit){ 0 }));
	op.source = CONTENT_EXTENTS;
	assert_code(r, ERR_FILE_HASH_MISMATCH, rig_try(r, &op, 1, &(struct commit){ 0 }));
	op.size = 1;
	assert_code(r, ERR_SIZE_MISMATCH, rig_try(r, &op, 1, &(struct commit){ 0 }));
}

static void
the_same_state_again_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "f", "x"), dir = put_dir("d");
	struct op_result first = rig_do(r, op), again;
	int64_t clock;
	unsigned told;

	rig_do(r, dir);
	rig_do(r, put_link("l", "to"));
	clock = rig_project(r).clock;
	told = r->told;
	again = rig_do(r, op); /* without a base */
	assert_true(again.unchanged);
	assert_int_equal(again.version, first.version);
	assert_true(id_eq(&again.file, &first.file));
	assert_true(rig_do(r, on(op, first.version - 1)).unchanged); /* with a stale one: the first answer was lost */
	dir.has_mtime = true;
	assert_int_equal(rig_one(r, dir).code, ERR_NAME_EXISTS); /* another time is another state: its maker has to look first */
	assert_true(rig_do(r, put_link("l", "to")).unchanged);
	assert_int_equal(rig_project(r).clock, clock);
	assert_int_equal(r->told, told);
	op.has_mtime = true;
	op.mtime_ns = 12345;
	assert_false(rig_do(r, on(op, first.version)).unchanged);
	op.has_mode = true;
	op.mode = 0600;
	assert_false(rig_do(r, on(op, rig_at(r, "f").version)).unchanged);
}

static void
bases(void **state)
{
	struct rig *r = *state;
	struct op two = put_text(r, "f", "two");
	int64_t v1 = rig_do(r, put_text(r, "f", "one")).version;
	struct op_result res = rig_one(r, two);

	assert_int_equal(res.code, ERR_NAME_EXISTS);
	assert_true(res.has_current);
	assert_int_equal(res.current.version, v1);
	assert_string_equal(res.current.name, "f");
	res = rig_one(r, on(two, v1 + 1));
	assert_int_equal(res.code, ERR_BASE_INVALID);
	rig_do(r, on(two, v1));
	rig_assert_text(r, "f", "two");
	res = rig_one(r, on(put_text(r, "f", "three"), v1));
	assert_int_equal(res.code, ERR_VERSION_CONFLICT);
	assert_int_equal(res.current.version, rig_at(r, "f").version);
	rig_assert_text(r, "f", "two");
	/* A base for a path that is free now. */
	rig_do(r, del_at(r, "f"));
	res = rig_one(r, on(put_text(r, "f", "three"), v1));
	assert_int_equal(res.code, ERR_VERSION_CONFLICT);
	assert_false(res.has_current);
	res = rig_one(r, on(put_text(r, "f", "three"), INT64_MAX));
	assert_int_equal(res.code, ERR_BASE_INVALID);
	assert_false(rig_there(r, "f"));
	rig_assert_sums(r);
}

static void
mode_and_mtime_alone(void **state)
{
	struct rig *r = *state;
	int64_t v = rig_do(r, put_text(r, "f", "text")).version;
	struct op op = { .kind = OP_PUT, .path = "f", .entry = KIND_FILE, .has_mode = true, .mode = 0700, .has_mtime = true,
		.mtime_ns = 7 };

	rig_do(r, on(op, v));
	assert_int_equal(rig_at(r, "f").mode, 0700);
	assert_int_equal(rig_at(r, "f").mtime_ns, 7);
	assert_int_equal(rig_at(r, "f").size, 4);
	rig_assert_text(r, "f", "text");
	rig_do(r, on(put_text(r, "f", "more text"), rig_at(r, "f").version));
	assert_int_equal(rig_at(r, "f").mode, 0700); /* a put that says no mode leaves it */
	rig_do(r, put_link("l", "to"));
	op.path = "l";
	assert_int_equal(rig_one(r, on(op, rig_at(r, "l").version)).code, ERR_FIELD_MISSING); /* no content to keep */
	rig_assert_sums(r);
}

/*
 * Two devices give a file the same time, and one of them new bytes as well.  The other has asked for the bytes that it knows, and is not told that they
 * are there; told again what it was told before, it is.
 */
static bool
time_alone_means_its_base(struct rig *r, const char *path)
{
	struct op op = { .kind = OP_PUT, .path = path, .entry = KIND_FILE, .has_mtime = true, .mtime_ns = 7 }, edit = put_text(r, path, "theirs");
	int64_t v = rig_do(r, put_text(r, path, "text")).version;
	struct op_result stale;
	bool held;

	assert_false(rig_do(r, on(op, v)).unchanged);
	assert_true(rig_do(r, on(op, v)).unchanged); /* the answer was lost */
	edit.has_mtime = true;
	edit.mtime_ns = 7;
	rig_do(r, on(edit, rig_at(r, path).version));
	stale = rig_one(r, on(op, v));
	held = stale.code == ERR_VERSION_CONFLICT && stale.has_current && stale.current.version == rig_at(r, path).version;
	rig_assert_text(r, path, "theirs");
	return held;
}

static void
a_time_alone_on_an_old_base(void **state)
{
	struct rig *r = *state;

	assert_true(time_alone_means_its_base(r, "f"));
	setenv("DRAY_FAULT", "domain.keeps_what_is_there", 1);
	assert_false(time_alone_means_its_base(r, "g"));
	unsetenv("DRAY_FAULT");
}

static void
parents(void **state)
{
	struct rig *r = *state;
	struct op deep = put_text(r, "a/b/c/f", "x");

	assert_int_equal(rig_one(r, deep).code, ERR_PARENT_MISSING);
	rig_do(r, put_text(r, "file", "x"));
	assert_int_equal(rig_one(r, put_text(r, "file/f", "x")).code, ERR_PARENT_NOT_DIRECTORY);
	assert_int_equal(rig_one(r, put_text(r, "file/g/f", "x")).code, ERR_PARENT_NOT_DIRECTORY);
	rig_do(r, put_link("link", "a"));
	assert_int_equal(rig_one(r, put_text(r, "link/f", "x")).code, ERR_PARENT_NOT_DIRECTORY);
	deep.make_parents = true;
	rig_do(r, deep);
	assert_int_equal(rig_at(r, "a/b/c").kind, KIND_DIR);
	assert_true(rig_at(r, "a").version < rig_at(r, "a/b").version);
	assert_true(rig_at(r, "a/b/c").version < rig_at(r, "a/b/c/f").version);
	deep.path = "file/x/y";
	assert_int_equal(rig_one(r, deep).code, ERR_PARENT_NOT_DIRECTORY);
	assert_int_equal(rig_assert_sums(r), 6);
}

static void
later_operations_see_earlier_ones(void **state)
{
	struct rig *r = *state;
	struct op ops[] = { put_dir("a"), put_text(r, "a/f", "f"), put_dir("a/b"), put_text(r, "a/b/g", "g"),
		put_text(r, "no/where", "x") };
	struct commit c = rig_commit(r, ops, 5);
	struct file a, f, b, g;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(c.results[i].code, ERR_OK);
	assert_int_equal(c.results[4].code, ERR_PARENT_MISSING); /* alone: the others are applied */
	a = rig_at(r, "a");
	f = rig_at(r, "a/f");
	b = rig_at(r, "a/b");
	g = rig_at(r, "a/b/g");
	assert_int_equal(rig_one(r, del(&a)).code, ERR_NOT_EMPTY);
	c = rig_commit(r, (struct op[]){ del(&f), del(&g), del(&b), del(&a), put_text(r, "a", "now a file") }, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(c.results[i].code, ERR_OK);
	assert_int_equal(rig_at(r, "a").kind, KIND_FILE);
	assert_int_equal(rig_one(r, put_text(r, "a/f", "x")).code, ERR_PARENT_NOT_DIRECTORY);
	assert_int_equal(rig_assert_sums(r), 1);
	/* The directory that was known to be there is deleted in the same batch. */
	rig_do(r, put_dir("d"));
	c = rig_commit(r, (struct op[]){ put_dir("d/e"), del_at(r, "d") }, 2);
	assert_int_equal(c.results[1].code, ERR_NOT_EMPTY);
	c = rig_commit(r, (struct op[]){ del_at(r, "d/e"), put_dir("d/x"), put_dir("d/x/y") }, 3);
	c = rig_commit(r, (struct op[]){ del_at(r, "d/x/y"), del_at(r, "d/x"),
	    put_dir("d/x/z") }, 3);
	assert_int_equal(c.results[2].code, ERR_PARENT_MISSING);
	rig_assert_sums(r);
}

static void
deleting(void **state)
{
	struct rig *r = *state;
	struct file f, d;
	struct op_result first, res;

	rig_do(r, put_text(r, "f", "x"));
	rig_do(r, put_dir("d"));
	f = rig_at(r, "f");
	d = rig_at(r, "d");
	assert_int_equal(rig_one(r, on(del(&f), f.version - 1)).code, ERR_VERSION_CONFLICT);
	assert_int_equal(rig_one(r, on(del(&f), f.version + 1)).code, ERR_BASE_INVALID);
	first = rig_do(r, del(&f));
	assert_false(rig_there(r, "f"));
	res = rig_do(r, del(&f));
	assert_true(res.unchanged);
	assert_int_equal(res.version, first.version);
	rig_do(r, del(&d));
	assert_int_equal(rig_one(r, del(&(struct file){ .id = id_new(), .version = 1 })).code, ERR_NOT_FOUND);
	assert_int_equal(rig_assert_sums(r), 0);
	/* A delete that comes late does not touch what has the name now. */
	rig_do(r, put_text(r, "f", "anew"));
	assert_true(rig_do(r, del(&f)).unchanged);
	rig_assert_text(r, "f", "anew");
}

static void
another_kind_is_another_file(void **state)
{
	struct rig *r = *state;
	struct file f, d, l;
	struct op_result res;

	rig_do(r, put_text(r, "x", "x"));
	f = rig_at(r, "x");
	assert_int_equal(rig_one(r, put_dir("x")).code, ERR_NAME_EXISTS);
	assert_int_equal(rig_one(r, on(put_dir("x"), f.version - 1)).code, ERR_VERSION_CONFLICT);
	rig_do(r, on(put_dir("x"), f.version));
	d = rig_at(r, "x");
	assert_int_equal(d.kind, KIND_DIR);
	assert_false(id_eq(&d.id, &f.id));
	assert_int_equal(d.created_at, d.version);
	rig_do(r, put_text(r, "x/in", "x"));
	res = rig_one(r, on(put_link("x", "to"), rig_at(r, "x").version));
	assert_int_equal(res.code, ERR_NOT_EMPTY);
	rig_do(r, del_at(r, "x/in"));
	rig_do(r, on(put_link("x", "to"), rig_at(r, "x").version));
	l = rig_at(r, "x");
	assert_int_equal(l.kind, KIND_LINK);
	assert_true(rig_do(r, del(&d)).unchanged); /* its tombstone is there */
	assert_int_equal(rig_assert_sums(r), 1);
}

static void
restoring(void **state)
{
	struct rig *r = *state;
	struct op op = put_text(r, "f", "one");
	struct file f1, f2, gone;
	struct op back;

	op.has_mode = true;
	op.mode = 0640;
	rig_do(r, op);
	f1 = rig_at(r, "f");
	op = put_text(r, "f", "two, longer");
	op.has_mode = true;
	op.mode = 0600;
	rig_do(r, on(op, f1.version));
	f2 = rig_at(r, "f");
	assert_int_equal(rig_one(r, on(restore(&f2, f1.version), f1.version)).code, ERR_VERSION_CONFLICT);
	assert_int_equal(rig_one(r, restore(&f2, f1.version + 1000000000)).code, ERR_NOT_FOUND);
	assert_true(rig_do(r, restore(&f2, f2.version)).unchanged);
	rig_do(r, restore(&f2, f1.version));
	rig_assert_text(r, "f", "one");
	assert_int_equal(rig_at(r, "f").mode, 0640);
	assert_true(rig_at(r, "f").version > f2.version);
	f2.id = rig_at(r, "f").id;
	assert_true(id_eq(&f1.id, &f2.id));
	back = restore_at(r, "f", f2.version);
	back.path = "elsewhere";
	assert_int_equal(rig_one(r, back).code, ERR_FIELD_RANGE);
	/* A tombstone comes back where it was, if the place is free, or where it is told to. */
	gone = rig_at(r, "f");
	gone.version = rig_do(r, del(&gone)).version;
	assert_int_equal(rig_one(r, restore(&gone, gone.version)).code, ERR_NOT_FOUND); /* a tombstone is no state to go back to */
	rig_do(r, put_text(r, "f", "in the way"));
	assert_int_equal(rig_one(r, restore(&gone, f2.version)).code, ERR_NAME_EXISTS);
	back = restore(&gone, f2.version);
	back.path = "no/f";
	assert_int_equal(rig_one(r, back).code, ERR_PARENT_MISSING);
	back.path = "g";
	rig_do(r, back);
	rig_assert_text(r, "g", "two, longer");
	rig_assert_text(r, "f", "in the way");
	assert_int_equal(rig_assert_sums(r), 2);
}

static void
copies_cost_nothing(void **state)
{
	struct rig *r = *state;
	struct op op = { .kind = OP_PUT, .path = "copy", .entry = KIND_FILE, .source = CONTENT_FROM };
	struct file f;

	rig_do(r, put_text(r, "f", "text"));
	f = rig_at(r, "f");
	op.from_file = f.id;
	op.from_version = f.version;
	rig_do(r, op);
	rig_assert_text(r, "copy", "text");
	op.path = "copy2";
	op.size = 4;
	op.content = f.content;
	rig_do(r, op);
	op.path = "copy3";
	op.size = 5;
	assert_int_equal(rig_one(r, op).code, ERR_SIZE_MISMATCH);
	op.size = 4;
	op.content = hash_of("", 0);
	assert_int_equal(rig_one(r, op).code, ERR_FILE_HASH_MISMATCH);
	op.content = f.content;
	op.from_version++;
	assert_int_equal(rig_one(r, op).code, ERR_NOT_FOUND);
	op.from_version = rig_do(r, del(&f)).version;
	assert_int_equal(rig_one(r, op).code, ERR_NOT_FOUND); /* of a tombstone */
	op.from_version = f.version;
	rig_do(r, op); /* of a file that is gone */
	rig_assert_text(r, "copy3", "text");
}

/* How many block lists the project has. */
static size_t
lists(struct rig *r)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct id list;
	size_t n = 0;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	while (meta_list_after(tx, &r->project, n ? &list : NULL, &list, &r->err) == ERR_OK)
		n++;
	return n;
}

static bool
has_list(struct rig *r, const char *path, struct id list)
{
	struct file f = rig_at(r, path);

	return id_eq(&f.list, &list);
}

/* A list is written with new bytes, and stays with them; what has none names none. */
static void
bytes_have_one_list(void **state)
{
	struct rig *r = *state;
	struct op copy = { .kind = OP_PUT, .path = "copy", .entry = KIND_FILE, .source = CONTENT_FROM }, again = put_text(r, "f", "text");
	struct file f;

	rig_do(r, again);
	f = rig_at(r, "f");
	assert_false(id_is_zero(&f.list));
	again.mode = 0600, again.has_mode = true;
	assert_false(rig_do(r, on(again, f.version)).unchanged);
	assert_true(has_list(r, "f", f.list));
	copy.from_file = f.id;
	copy.from_version = f.version;
	rig_do(r, copy);
	assert_true(has_list(r, "copy", f.list));
	assert_int_equal(lists(r), 1);
	rig_do(r, on(put_text(r, "f", "other"), rig_at(r, "f").version));
	assert_false(has_list(r, "f", f.list));
	assert_int_equal(lists(r), 2);
	rig_do(r, restore_at(r, "f", f.version));
	assert_true(has_list(r, "f", f.list));
	rig_do(r, put_text(r, "empty", ""));
	assert_true(has_list(r, "empty", (struct id){ { 0 } }));
	assert_int_equal(lists(r), 2);
	rig_assert_text(r, "f", "text");
	rig_assert_text(r, "copy", "text");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_is_put_and_read), T(defaults), T(an_empty_file), T(the_same_state_again_changes_nothing), T(bases),
		T(mode_and_mtime_alone), T(a_time_alone_on_an_old_base), T(parents), T(later_operations_see_earlier_ones), T(deleting),
		T(another_kind_is_another_file), T(restoring), T(copies_cost_nothing), T(bytes_have_one_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
