/* Statements that nobody waits for: seen by what comes behind them, and an error is their own transaction's, whenever it comes. */
#include "unit.h"

#define MANY 1000 /* several times what may be under way */

static err_code
send(struct db_tx *tx, int64_t id, int64_t v, struct err *err)
{
	static const char sql[] = "INSERT INTO t (id, v) VALUES ($1, $2)";

	return db_send(tx, err, sql, DB_I64(id), DB_I64(v));
}

static err_code
count(struct db_tx *tx, int64_t *n, struct err *err)
{
	static const char sql[] = "SELECT count(*) FROM t";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc;

	rc = db_query_values(tx, &st, err, sql, NULL, 0);
	if (!rc)
		rc = db_step(st, &row, err);
	if (!rc)
		*n = db_i64(st, 0);
	return rc;
}

static void
counts(struct db_tx *tx, int64_t want)
{
	int64_t n;

	ok(count(tx, &n, ERR));
	assert_int_equal(n, want);
}

/* Each way of using the connection behind them: a query that is new to it, one that is not, a statement, a script, an abort, a commit. */
static void
seen_behind(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	for (int i = 1; i <= MANY; i++)
		ok(send(tx, i, i, ERR));
	counts(tx, MANY);
	ok(send(tx, MANY + 1, MANY + 1, ERR));
	counts(tx, MANY + 1);
	ok(send(tx, MANY + 2, MANY + 2, ERR));
	ok(put(tx, MANY + 3, MANY + 3, ERR));
	ok(send(tx, MANY + 4, MANY + 4, ERR));
	ok(db_script(tx, "INSERT INTO t (id, v) SELECT id + 1, v + 1 FROM t WHERE id = 1004", ERR));
	ok(send(tx, MANY + 6, MANY + 6, ERR));
	commit(tx);
	tx = begin(f, DB_WRITE);
	ok(send(tx, MANY + 7, MANY + 7, ERR));
	db_abort(&tx);
	tx = begin(f, DB_READ);
	counts(tx, MANY + 6);
	db_abort(&tx);
	assert_int_equal(look(f, MANY), MANY);
	assert_int_equal(look(f, MANY + 5), MANY + 5);
	assert_int_equal(look(f, MANY + 6), MANY + 6);
}

/* What is handed in is borrowed for the call. */
static void
values_are_copied(void **state)
{
	static const char sql[] = "INSERT INTO words (w) VALUES ($1)", ask[] = "SELECT w FROM words";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct db_tx *tx = begin(*state, DB_WRITE);
	char text[] = "first";
	bool row;

	ok(db_script(tx, "CREATE TABLE words (w TEXT)", ERR));
	ok(db_send(tx, ERR, sql, DB_TEXT(text)));
	memset(text, 'x', sizeof text - 1);
	ok(db_query_values(tx, &st, ERR, ask, NULL, 0));
	ok(db_step(st, &row, ERR));
	assert_true(row);
	assert_string_equal(db_text(st, 0, NULL), "first");
	db_resetp(&st);
	db_abort(&tx);
}

/* A key that is taken: at once, or at the commit with its own code; nothing of the transaction is there. */
static void
error_at_commit(void **state)
{
	struct fixture *f = *state;

	for (int behind = 0; behind <= MANY; behind += MANY / 2) {
		struct db_tx *tx = begin(f, DB_WRITE);
		err_code rc;

		ok(put(tx, 1, 1, ERR));
		rc = send(tx, 1, 2, ERR);
		for (int i = 0; !rc && i < behind; i++)
			rc = send(tx, 10 + i, 10 + i, ERR);
		if (rc && rc != ERR_DB)
			assert_int_equal(rc, ERR_EXISTS);
		answers(db_commit(&tx, ERR), ERR_EXISTS);
		assert_int_equal(look(f, 1), -1);
		assert_int_equal(look(f, 10), -1);
	}
}

/* A statement that meets it says nothing of keys or rows, which its caller would take for an answer. */
static void
error_at_another(void **state)
{
	static const char child[] = "INSERT INTO child (id) VALUES ($1)";
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		struct db_tx *tx = begin(f, DB_WRITE);
		err_code rc, want = i ? ERR_NOT_FOUND : ERR_EXISTS;
		int64_t n;

		ok(put(tx, 1, 1, ERR));
		rc = i ? db_send(tx, ERR, child, DB_I64(77)) : send(tx, 1, 2, ERR);
		if (!rc) {
			answers(count(tx, &n, ERR), ERR_DB);
			answers(count(tx, &n, ERR), ERR_DB);
		} else {
			assert_int_equal(rc, want);
		}
		answers(db_commit(&tx, ERR), want);
		assert_int_equal(look(f, 1), -1);
	}
}

static void
error_and_abort(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);
	err_code rc;

	ok(put(tx, 1, 1, ERR));
	rc = send(tx, 1, 2, ERR);
	if (rc)
		assert_int_equal(rc, ERR_EXISTS);
	db_abort(&tx);
	tx = begin(f, DB_WRITE);
	ok(send(tx, 2, 2, ERR));
	commit(tx);
	assert_int_equal(look(f, 1), -1);
	assert_int_equal(look(f, 2), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(seen_behind),
		T(values_are_copied),
		T(error_at_commit),
		T(error_at_another),
		T(error_and_abort),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
