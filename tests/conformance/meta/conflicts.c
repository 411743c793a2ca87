/* Conflicts, open and resolved. */
#include "suite.h"

static struct conflict
a_conflict(unsigned n)
{
	return (struct conflict){ .copy = id_no(100 + n), .file = id_no(200 + n), .file_version = 300 + n, .device = *DEV,
		.created_at = 1000 + n };
}

static void
assert_conflict(const struct conflict *a, const struct conflict *b)
{
	assert_id(&a->copy, &b->copy);
	assert_id(&a->file, &b->file);
	assert_int_equal(a->file_version, b->file_version);
	assert_id(&a->device, &b->device);
	assert_int_equal(a->created_at, b->created_at);
	assert_int_equal(a->resolved_at, b->resolved_at);
	assert_id(&a->resolved_by, &b->resolved_by);
	assert_int_equal(a->resolution, b->resolution);
}

static void
add(struct fixture *f, const struct id *project, unsigned n)
{
	struct conflict c = a_conflict(n);
	struct meta_tx *tx = writer(f);

	ok(meta_conflict_add(tx, project, &c, ERR));
	commit(tx);
}

static void
assert_there(struct fixture *f, const struct id *project, const struct conflict *want)
{
	struct meta_tx *tx = reader(f);
	struct conflict got;

	ok(meta_conflict_get(tx, project, &want->copy, &got, ERR));
	assert_conflict(&got, want);
	meta_abort(&tx);
}

/* What was added is there, in its project only, and is one however often it is added. */
static void
added(void **state)
{
	struct conflict c = a_conflict(1), again = c, out;
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	add(*state, P1, 1);
	again.file = id_no(5);
	again.created_at = 9;
	tx = writer(*state);
	ok(meta_conflict_add(tx, P1, &again, ERR));
	commit(tx);
	assert_there(*state, P1, &c);
	tx = reader(*state);
	answers(meta_conflict_get(tx, P2, &c.copy, &out, ERR), ERR_NOT_FOUND);
	answers(meta_conflict_get(tx, P1, &nobody, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_conflict_add(tx, &nobody, &c, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

/* It ends once: who comes later changes nothing and is told. */
static void
ended(void **state)
{
	struct conflict c = a_conflict(1), late, other = a_conflict(2);
	struct meta_tx *tx;
	bool did;

	add_basics(*state);
	add(*state, P1, 1);
	c.resolved_at = 5000;
	c.resolved_by = id_no(6);
	c.resolution = RESOLVED_MERGED;
	tx = writer(*state);
	ok(meta_conflict_end(tx, P2, &c, &did, ERR));
	assert_false(did);
	ok(meta_conflict_end(tx, P1, &c, &did, ERR));
	assert_true(did);
	late = c;
	late.resolved_at = 6000;
	late.resolution = RESOLVED_COPY_GONE;
	ok(meta_conflict_end(tx, P1, &late, &did, ERR));
	assert_false(did);
	other.resolved_at = 1;
	other.resolution = RESOLVED_BOTH;
	ok(meta_conflict_end(tx, P1, &other, &did, ERR));
	assert_false(did);
	commit(tx);
	assert_there(*state, P1, &c);
	add(*state, P1, 1); /* it stays resolved */
	assert_there(*state, P1, &c);
}

static void
assert_list(struct meta_tx *tx, const struct id *project, enum conflict_which which, const unsigned *want, size_t n)
{
	for (unsigned limit = 1; limit <= 4; limit++) {
		struct conflict *rows;
		int64_t after = 0;
		size_t got = 0, page;

		do {
			ok(meta_conflict_list(tx, project, which, after, limit, &rows, &page, ERR));
			for (size_t i = 0; i < page; i++, got++) {
				assert_true(got < n);
				assert_int_equal(rows[i].created_at, 1000 + want[got]);
				after = rows[i].created_at;
			}
		} while (page == limit);
		assert_int_equal(got, n);
	}
}

/* In the order in which they came, whatever they are called; each kind by itself, a page at a time. */
static void
listed(void **state)
{
	static const unsigned all[] = { 1, 2, 3, 4, 5 }, open[] = { 1, 3, 4 }, resolved[] = { 2, 5 };
	static const unsigned order[] = { 4, 1, 5, 3, 2 };
	struct meta_tx *tx;
	bool did;

	add_basics(*state);
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		add(*state, P1, order[i]);
	tx = writer(*state);
	for (size_t i = 0; i < ARRAY_LEN(resolved); i++) {
		struct conflict c = a_conflict(resolved[i]);

		c.resolved_at = 1;
		c.resolution = RESOLVED_CURRENT;
		ok(meta_conflict_end(tx, P1, &c, &did, ERR));
		assert_true(did);
	}
	commit(tx);
	tx = reader(*state);
	assert_list(tx, P1, CONFLICTS_ALL, all, ARRAY_LEN(all));
	assert_list(tx, P1, CONFLICTS_OPEN, open, ARRAY_LEN(open));
	assert_list(tx, P1, CONFLICTS_RESOLVED, resolved, ARRAY_LEN(resolved));
	assert_list(tx, P2, CONFLICTS_ALL, NULL, 0);
	meta_abort(&tx);
}

/* They go with their project, and only with theirs. */
static void
gone_with_project(void **state)
{
	struct conflict gone = a_conflict(1), c = a_conflict(2), out;
	struct meta_tx *tx;

	add_basics(*state);
	add(*state, P1, 1);
	add(*state, P2, 2);
	tx = writer(*state);
	ok(meta_project_delete(tx, P1, ERR));
	answers(meta_conflict_get(tx, P1, &gone.copy, &out, ERR), ERR_NOT_FOUND);
	assert_list(tx, P1, CONFLICTS_ALL, NULL, 0);
	commit(tx);
	assert_there(*state, P2, &c);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(added),
	cmocka_unit_test(ended),
	cmocka_unit_test(listed),
	cmocka_unit_test(gone_with_project),
};
const struct group group_conflicts = { tests, ARRAY_LEN(tests) };
