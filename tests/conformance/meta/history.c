/* What a project keeps of its history and what it stores. */
#include "suite.h"

/* ---- policy and stored bytes ---------------------------------------------------------------------------------------------- */

static void
policy(void **state)
{
	struct policy want = { .keep_versions = 0, .keep_days = 36500, .quota_bytes = INT64_MAX }, old = a_project(2).policy;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	struct project p;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_project_policy(tx, P1, &want, ERR));
	answers(meta_project_policy(tx, &nobody, &want, ERR), ERR_NOT_FOUND);
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_memory_equal(&p.policy, &want, sizeof want);
	commit(tx);
	tx = reader(*state);
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_memory_equal(&p.policy, &want, sizeof want);
	ok(meta_project_get(tx, P2, &p, ERR));
	assert_memory_equal(&p.policy, &old, sizeof old);
	meta_abort(&tx);
}

static int64_t
stored(struct meta_tx *tx, const struct id *project)
{
	struct project p;

	ok(meta_project_get(tx, project, &p, ERR));
	return p.stored_bytes;
}

static void
add_chunk(struct meta_tx *tx, const struct id *project, unsigned n, int64_t len)
{
	struct chunk c = { .id = hash_no(n), .stored_len = len, .raw_len = 1, .block_count = 1 };

	ok(meta_chunk_add(tx, project, &c, ERR));
}

/* The sum is that of the rows: a chunk that is there already adds nothing, and nothing is left of a transaction that failed. */
static void
stored_bytes(void **state)
{
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	assert_int_equal(stored(tx, P1), 0);
	add_chunk(tx, P1, 1, 1000);
	add_chunk(tx, P1, 2, INT64_C(1) << 40);
	add_chunk(tx, P1, 1, 1000);
	add_chunk(tx, P2, 1, 7);
	assert_int_equal(stored(tx, P1), 1000 + (INT64_C(1) << 40));
	commit(tx);
	tx = writer(*state);
	add_chunk(tx, P1, 3, 5);
	meta_abort(&tx);
	tx = reader(*state);
	assert_int_equal(stored(tx, P1), 1000 + (INT64_C(1) << 40));
	assert_int_equal(stored(tx, P2), 7);
	meta_abort(&tx);
}

/* ---- versions --------------------------------------------------------------------------------------------------------------- */

static void
add_version(struct meta_tx *tx, const struct id *project, unsigned file, int64_t version, bool deleted)
{
	struct version v = { .file = id_no(file), .version = version, .path = "p", .target = "", .deleted = deleted };

	ok(meta_version_add(tx, project, &v, ERR));
}

/* File 10: 10, 20, 30 (a tombstone), 40, 50; neighbours on either side, and the same id in another project. */
static void
add_versions(struct fixture *f)
{
	struct meta_tx *tx;

	add_basics(f);
	tx = writer(f);
	for (int64_t i = 10; i <= 50; i += 10)
		add_version(tx, P1, 10, i, i == 30);
	add_version(tx, P1, 9, 5, false);
	add_version(tx, P1, 11, 7, false);
	add_version(tx, P1, 11, 60, true);
	add_version(tx, P2, 10, 15, false);
	commit(tx);
}

static void
nth(void **state)
{
	static const int64_t want[] = { 50, 40, 20, 10, 0, 0 };
	struct id file = id_no(10), deleted = id_no(11), nobody = id_no(77);
	struct meta_tx *tx;
	int64_t got;

	add_versions(*state);
	tx = reader(*state);
	for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
		ok(meta_version_nth(tx, P1, &file, i + 1, &got, ERR));
		assert_int_equal(got, want[i]);
	}
	ok(meta_version_nth(tx, P2, &file, 1, &got, ERR));
	assert_int_equal(got, 15);
	ok(meta_version_nth(tx, P1, &deleted, 1, &got, ERR));
	assert_int_equal(got, 7);
	ok(meta_version_nth(tx, P1, &nobody, 1, &got, ERR));
	assert_int_equal(got, 0);
	meta_abort(&tx);
}

/* How many versions file ${n} has, the oldest of which is *oldest. */
static size_t
count(struct meta_tx *tx, const struct id *project, unsigned n, int64_t *oldest)
{
	struct id file = id_no(n);
	struct version *rows;
	size_t rows_n;

	ok(meta_version_list(tx, project, &file, INT64_MAX, 100, &rows, &rows_n, ERR));
	*oldest = rows_n ? rows[rows_n - 1].version : 0;
	return rows_n;
}

static void
prune(void **state)
{
	struct id file = id_no(10);
	struct meta_tx *tx;
	int64_t oldest;
	unsigned n;

	add_versions(*state);
	tx = writer(*state);
	ok(meta_version_prune(tx, P1, &file, 10, 9, &n, ERR)); /* older than 10: none */
	assert_int_equal(n, 0);
	ok(meta_version_prune(tx, P1, &file, 50, 1, &n, ERR)); /* the oldest first */
	assert_int_equal(n, 1);
	assert_int_equal(count(tx, P1, 10, &oldest), 4);
	assert_int_equal(oldest, 20);
	ok(meta_version_prune(tx, P1, &file, 40, 9, &n, ERR));
	assert_int_equal(n, 2);
	commit(tx);
	tx = reader(*state);
	assert_int_equal(count(tx, P1, 10, &oldest), 2);
	assert_int_equal(oldest, 40);
	assert_int_equal(count(tx, P1, 9, &oldest), 1);
	assert_int_equal(count(tx, P1, 11, &oldest), 2);
	assert_int_equal(count(tx, P2, 10, &oldest), 1);
	meta_abort(&tx);
	tx = writer(*state);
	ok(meta_version_prune(tx, P1, &file, 100, 9, &n, ERR));
	assert_int_equal(n, 2);
	meta_abort(&tx);
	tx = reader(*state);
	assert_int_equal(count(tx, P1, 10, &oldest), 2);
	meta_abort(&tx);
}

static void
history_files(void **state)
{
	static const struct {
		unsigned file;
		int64_t count, oldest;
	} want[] = { { 9, 1, 5 }, { 10, 5, 10 }, { 11, 2, 7 } };
	struct history_file *rows;
	struct meta_tx *tx;
	size_t n;

	add_versions(*state);
	tx = reader(*state);
	for (unsigned limit = 1; limit < 5; limit++) {
		struct id after = { .b = { 0 } };
		size_t at = 0;

		do {
			ok(meta_history_files(tx, P1, &after, limit, &rows, &n, ERR));
			assert_true(n <= limit);
			for (size_t i = 0; i < n; i++, at++) {
				struct id id = id_no(want[at].file);

				assert_true(at < ARRAY_LEN(want));
				assert_id(&rows[i].file, &id);
				assert_int_equal(rows[i].count, want[at].count);
				assert_int_equal(rows[i].oldest, want[at].oldest);
				after = id;
			}
		} while (n == limit);
		assert_int_equal(at, ARRAY_LEN(want));
	}
	meta_abort(&tx);
}

static void
walk(void **state)
{
	struct history_walk w = { .file = id_no(12), .ended_at = 34 }, out, zero = { .ended_at = 0 };
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_history_walk_get(tx, P1, &out, ERR));
	assert_memory_equal(&out, &zero, sizeof out);
	ok(meta_history_walk_put(tx, P1, &zero, ERR));
	ok(meta_history_walk_put(tx, P1, &w, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_history_walk_get(tx, P1, &out, ERR));
	assert_memory_equal(&out, &w, sizeof out);
	ok(meta_history_walk_get(tx, P2, &out, ERR));
	assert_memory_equal(&out, &zero, sizeof out);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_history_walk_put(tx, &nobody, &w, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
add_at(struct meta_tx *tx, const struct id *project, unsigned file, const char *path, int64_t version, bool deleted)
{
	struct version v = { .file = id_no(file), .version = version, .path = path, .kind = KIND_FILE, .target = "", .deleted = deleted,
		.content = hash_no((unsigned)version), .changed_by = id_no(8) };

	ok(meta_version_add(tx, project, &v, ERR));
}

/* Those that were deleted at a path, the newest first; not those that came back, went on elsewhere, or are of another project. */
static void
version_gone(void **state)
{
	struct version *rows;
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	add_at(tx, P1, 30, "d/x", 90, false);
	add_at(tx, P1, 30, "d/x", 100, true);
	add_at(tx, P1, 31, "d/x", 50, true); /* deleted there twice */
	add_at(tx, P1, 31, "d/x", 60, false);
	add_at(tx, P1, 31, "d/x", 200, true);
	add_at(tx, P1, 29, "d/x", 300, false); /* live */
	add_at(tx, P1, 28, "d/x", 301, false);
	add_at(tx, P1, 28, "d/y", 302, true); /* moved away first */
	add_at(tx, P1, 27, "x", 303, true);
	add_at(tx, P1, 26, "d/x", 304, true); /* came back elsewhere */
	add_at(tx, P1, 26, "z", 305, false);
	add_at(tx, P2, 25, "d/x", 306, true);
	commit(tx);
	tx = reader(*state);
	ok(meta_version_gone(tx, P1, "d/x", 10, &rows, &n, ERR));
	assert_int_equal(n, 2);
	assert_int_equal(rows[0].version, 200);
	assert_int_equal(rows[1].version, 100);
	assert_string_equal(rows[1].path, "d/x");
	assert_true(rows[0].deleted);
	ok(meta_version_gone(tx, P1, "d/x", 1, &rows, &n, ERR));
	assert_int_equal(n, 1);
	assert_int_equal(rows[0].version, 200);
	ok(meta_version_gone(tx, P1, "x", 10, &rows, &n, ERR));
	assert_int_equal(n, 1);
	ok(meta_version_gone(tx, P1, "d", 10, &rows, &n, ERR));
	assert_int_equal(n, 0);
	meta_abort(&tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(policy),
	cmocka_unit_test(stored_bytes),
	cmocka_unit_test(nth),
	cmocka_unit_test(prune),
	cmocka_unit_test(history_files),
	cmocka_unit_test(version_gone),
	cmocka_unit_test(walk),
};
const struct group group_history = { tests, ARRAY_LEN(tests) };
