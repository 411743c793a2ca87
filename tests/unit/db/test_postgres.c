/* What only PostgreSQL has: sessions that are lost, answers that are lost, other processes, and URLs with passwords. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"

/* Somebody ends every session of the schema's users but their own. */
static void
end_sessions(struct fixture *f)
{
	char sql[256], n[32];

	(void)snprintf(sql, sizeof sql,
	    "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
	    " AND application_name = 'drayd-%s'", f->schema.name);
	schema_sql(&f->schema, sql, n, sizeof n);
	assert_true(strtoul(n, NULL, 10) > 0);
}

/* As setup, with an application_name of its own. */
static int
setup_named(void **state)
{
	int rc = setup(state);
	struct fixture *f = *state;
	size_t len = strlen(f->schema.url);

	db_free(f->db);
	(void)snprintf(f->schema.url + len, sizeof f->schema.url - len, "&application_name=drayd-%s", f->schema.name);
	open_db(f, (struct open_opts){ .wait_ms = 0 });
	return rc;
}

static void
put_one(struct fixture *f, int64_t id)
{
	struct db_tx *tx = begin(f, DB_WRITE);

	ok(put(tx, id, id, ERR));
	commit(tx);
}

/* ---- lost sessions ----------------------------------------------------------------------------------------------------------- */

/* Nothing has been done yet: the connection is made again, and nobody notices. */
static void
lost_while_idle(void **state)
{
	struct fixture *f = *state;

	put_one(f, 1);
	for (int i = 2; i < 5; i++) {
		assert_int_equal(look(f, 1), 1);
		end_sessions(f);
		assert_int_equal(look(f, 1), 1);
		end_sessions(f);
		put_one(f, i);
		assert_int_equal(look(f, i), i);
	}
}

static err_code
ask_one(struct db_tx *tx, int64_t id, struct err *err)
{
	static const char sql[] = "SELECT v FROM t WHERE id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;
	bool row;

	rc = db_query(tx, &st, err, sql, DB_I64(id));
	return rc ? rc : db_step(st, &row, err);
}

/* One statement alone: as above before it is asked, as below when the session is lost after its begin. */
static void
lost_alone(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx;

	put_one(f, 1);
	for (int i = 0; i < 3; i++) {
		tx = begin(f, DB_READ_ONE);
		ok(ask_one(tx, 1, ERR));
		db_abort(&tx);
		end_sessions(f);
	}
	tx = begin(f, DB_READ_ONE);
	end_sessions(f);
	answers(ask_one(tx, 1, ERR), ERR_UNAVAILABLE);
	db_abort(&tx);
	tx = begin(f, DB_READ_ONE);
	ok(ask_one(tx, 1, ERR));
	db_abort(&tx);
}

static void
lost_midway(void **state)
{
	static const char sql[] = "SELECT v FROM t WHERE id = $1";
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);
	struct db_stmt *st;
	bool row;

	ok(put(tx, 1, 1, ERR));
	end_sessions(f);
	answers(put(tx, 2, 2, ERR), ERR_UNAVAILABLE);
	answers(db_commit(&tx, ERR), ERR_UNAVAILABLE);
	assert_int_equal(look(f, 1), -1);
	put_one(f, 3);
	assert_int_equal(look(f, 3), 3);
	tx = begin(f, DB_READ);
	ok(db_query(tx, &st, ERR, sql, DB_I64(3)));
	end_sessions(f);
	answers(db_step(st, &row, ERR), ERR_UNAVAILABLE);
	db_reset(st);
	db_abort(&tx);
	assert_int_equal(look(f, 3), 3);
}

/* So many rows of t that a stream of them is never whole in memory. */
#define MANY 3000

static void
put_many(struct fixture *f)
{
	struct db_tx *tx = begin(f, DB_WRITE);

	for (int64_t id = 1; id <= MANY; id++)
		ok(put(tx, id, id, ERR));
	commit(tx);
}

/* A stream ends with an error; how many rows came before it. */
static size_t
rows_until(struct db_stmt *st, err_code want)
{
	bool row = true;
	size_t n = 0;
	err_code rc;

	while ((rc = db_step(st, &row, ERR)) == ERR_OK) {
		assert_true(row);
		n++;
	}
	answers(rc, want);
	answers(db_step(st, &row, ERR), want); /* and stays ended */
	return n;
}

static void
stream_fails_midway(void **state)
{
	static const char sql[] = "SELECT id, 1 / ($1 - id) FROM t ORDER BY id";
	struct fixture *f = *state;
	struct db_tx *tx;
	struct db_stmt *st;

	put_many(f);
	tx = begin(f, DB_READ);
	ok(db_stream(tx, &st, ERR, sql, DB_I64(1000)));
	assert_true(rows_until(st, ERR_DB) < 1000);
	db_reset(st);
	db_abort(&tx);
	tx = begin(f, DB_READ); /* the same session */
	ok(db_stream(tx, &st, ERR, sql, DB_I64(0)));
	db_reset(st);
	db_abort(&tx);
	assert_int_equal(look(f, 1), 1);
}

static void
stream_is_lost(void **state)
{
	static const char sql[] = "SELECT id FROM t WHERE id > $1 ORDER BY id";
	struct fixture *f = *state;
	struct db_tx *tx;
	struct db_stmt *st;
	bool row;

	put_many(f);
	tx = begin(f, DB_READ);
	ok(db_stream(tx, &st, ERR, sql, DB_I64(0)));
	ok(db_step(st, &row, ERR));
	end_sessions(f);
	assert_true(rows_until(st, ERR_UNAVAILABLE) < MANY);
	db_reset(st);
	db_abort(&tx);
	tx = begin(f, DB_READ);
	ok(db_stream(tx, &st, ERR, sql, DB_I64(0)));
	end_sessions(f); /* before anything was sent */
	assert_int_equal(rows_until(st, ERR_UNAVAILABLE), 0);
	db_reset(st);
	db_abort(&tx);
	assert_int_equal(look(f, 1), 1);
}

/* Nobody waits for a reader's end, but it comes: what is kept for a reader that has gone is kept for ever. */
static void
reader_ends(void **state)
{
	struct fixture *f = *state;
	char sql[256], n[32] = "";

	assert_int_equal(look(f, 1), -1);
	(void)snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
	    " AND application_name = 'drayd-%s' AND xact_start IS NOT NULL", f->schema.name);
	for (int i = 0; i < 500 && strcmp(n, "0") != 0; i++)
		schema_sql(&f->schema, sql, n, sizeof n);
	assert_string_equal(n, "0");
}

/* With statements under way that nobody has waited for, whatever comes next. */
static void
lost_under_way(void **state)
{
	static const char send[] = "INSERT INTO t (id, v) VALUES ($1, $1)";
	struct fixture *f = *state;

	for (int64_t i = 1; i <= 4; i++) {
		struct db_tx *tx = begin(f, DB_WRITE);

		ok(put(tx, i, i, ERR));
		ok(db_send(tx, ERR, send, DB_I64(10 + i)));
		ok(db_send(tx, ERR, send, DB_I64(20 + i)));
		end_sessions(f);
		if (i == 1)
			answers(put(tx, 30, 30, ERR), ERR_UNAVAILABLE);
		if (i == 2)
			answers(ask_one(tx, i, ERR), ERR_UNAVAILABLE);
		if (i == 4)
			db_abort(&tx);
		else
			answers(db_commit(&tx, ERR), ERR_UNAVAILABLE);
		assert_int_equal(look(f, i), -1);
		assert_int_equal(look(f, 10 + i), -1);
		put_one(f, 40 + i);
		assert_int_equal(look(f, 40 + i), 40 + i);
	}
}

struct member {
	struct fixture *f;
	int64_t id;
	_Atomic bool asked;
	err_code rc;
	struct err err;
	pthread_t thread;
};

static err_code
member_run(struct member *m)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc;

	atomic_store(&m->asked, true);
	rc = db_begin(m->f->db, DB_WRITE, &tx, &m->err);
	if (!rc)
		rc = put(tx, m->id, m->id, &m->err);
	return rc ? rc : db_commit(&tx, &m->err);
}

static void *
member_thread(void *arg)
{
	struct member *m = arg;

	m->rc = member_run(m);
	return NULL;
}

static void
member_start(struct fixture *f, struct member *m, int64_t id)
{
	*m = (struct member){ .f = f, .id = id };
	ok(thread_start("member", member_thread, m, &m->thread, ERR));
	while (!atomic_load(&m->asked))
		(void)usleep(100);
	(void)usleep(5000);
}

/* The first leaves its commit to the second, whose session ends: both are told, and a third, who only waited, writes. */
static void
group_is_lost(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE), *second;
	struct member first, third;

	member_start(f, &first, 1);
	db_abort(&tx); /* the first has the writer now, and nobody is behind it yet, or it leaves its commit to us */
	ok(db_begin(f->db, DB_WRITE, &second, ERR));
	ok(put(second, 2, 2, ERR));
	member_start(f, &third, 3);
	end_sessions(f);
	answers(put(second, 4, 4, ERR), ERR_UNAVAILABLE);
	answers(db_commit(&second, ERR), ERR_UNAVAILABLE);
	assert_int_equal(pthread_join(first.thread, NULL), 0);
	assert_int_equal(pthread_join(third.thread, NULL), 0);
	assert_int_equal(look(f, 1), first.rc ? -1 : 1);
	assert_true(first.rc == ERR_OK || first.rc == ERR_UNAVAILABLE);
	assert_int_equal(look(f, 2), -1);
	assert_int_equal(third.rc, ERR_OK);
	assert_int_equal(look(f, 3), 3);
}

/* ---- lost answers ------------------------------------------------------------------------------------------------------------ */

static void
commit_is_lost(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	ok(put(tx, 1, 1, ERR));
	setenv("DRAY_FAULT", "db.lose_commit", 1);
	answers(db_commit(&tx, ERR), ERR_UNAVAILABLE);
	unsetenv("DRAY_FAULT");
	assert_non_null(strstr(unit_err.msg, "did not take effect"));
	assert_int_equal(look(f, 1), -1);
	put_one(f, 1);
}

static void
answer_is_lost(void **state)
{
	struct fixture *f = *state;

	for (int i = 1; i < 4; i++) {
		setenv("DRAY_FAULT", "db.lose_answer", 1);
		put_one(f, i);
		unsetenv("DRAY_FAULT");
		assert_int_equal(look(f, i), i);
	}
}

/* ---- others ------------------------------------------------------------------------------------------------------------------ */

#define PROCESSES 3
#define ADDERS 3
#define ADDS 25

struct adder {
	struct db *db;
	bool failed;
	pthread_t thread;
};

/* Read, and write one more: lost when another writes in between. */
static err_code
add_one(struct db *db, struct err *err)
{
	static const char ask[] = "SELECT v FROM t WHERE id = 1", set[] = "UPDATE t SET v = $1 WHERE id = 1";
	AUTO(db_abort) struct db_tx *tx = NULL;
	struct db_stmt *st;
	int64_t v = 0;
	bool row;
	err_code rc;

	rc = db_begin(db, DB_WRITE, &tx, err);
	if (!rc)
		rc = db_query_values(tx, &st, err, ask, NULL, 0);
	if (rc)
		return rc;
	rc = db_step(st, &row, err);
	if (!rc)
		v = db_i64(st, 0);
	db_reset(st);
	if (!rc)
		rc = db_run(tx, NULL, err, set, DB_I64(v + 1));
	return rc ? rc : db_commit(&tx, err);
}

static void *
adder_thread(void *arg)
{
	struct adder *a = arg;
	struct err err;

	for (int i = 0; i < ADDS; i++)
		a->failed |= add_one(a->db, &err) != ERR_OK;
	return NULL;
}

/* Three databases as three processes would have them, three threads each: not one addition is lost. */
static void
processes_take_turns(void **state)
{
	static struct adder a[PROCESSES * ADDERS];
	struct fixture *f = *state;
	struct db *db[PROCESSES];

	memset(a, 0, sizeof a);
	put_one(f, 1);
	for (unsigned i = 0; i < PROCESSES; i++)
		ok(engine->open(f, &(struct open_opts){ .wait_ms = 0 }, &db[i], ERR));
	for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
		a[i].db = db[i % PROCESSES];
		ok(thread_start("adder", adder_thread, &a[i], &a[i].thread, ERR));
	}
	for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(pthread_join(a[i].thread, NULL), 0);
		assert_false(a[i].failed);
	}
	for (unsigned i = 0; i < PROCESSES; i++)
		db_free(db[i]);
	assert_int_equal(look(f, 1), 1 + PROCESSES * ADDERS * ADDS);
}

static void
another_process_holds_on(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE), *mine;
	struct db *other;

	ok(engine->open(f, &(struct open_opts){ .wait_ms = 50 }, &other, ERR));
	answers(db_begin(other, DB_WRITE, &mine, ERR), ERR_UNAVAILABLE);
	commit(tx);
	ok(db_begin(other, DB_WRITE, &mine, ERR));
	db_abort(&mine);
	db_free(other);
}

/* A session that does not know of turns, with a row that we want. */
static void
stranger_holds_a_row(void **state)
{
	static const char set[] = "UPDATE t SET v = $1 WHERE id = 1";
	struct fixture *f = *state;
	struct db *stranger;
	struct db_tx *theirs, *tx;

	put_one(f, 1);
	ok(engine->open(f, &(struct open_opts){ .wait_ms = 0 }, &stranger, ERR));
	db_free(f->db);
	open_db(f, (struct open_opts){ .wait_ms = 50 });
	ok(db_begin(stranger, DB_READ, &theirs, ERR));
	ok(db_script(theirs, "COMMIT; BEGIN; UPDATE t SET v = 7 WHERE id = 1", ERR));
	tx = begin(f, DB_WRITE);
	answers(db_run(tx, NULL, ERR, set, DB_I64(9)), ERR_UNAVAILABLE);
	db_abort(&tx);
	db_abort(&theirs);
	db_free(stranger);
	tx = begin(f, DB_WRITE);
	ok(db_run(tx, NULL, ERR, set, DB_I64(9)));
	commit(tx);
	assert_int_equal(look(f, 1), 9);
}

/* ---- what a connection is asked for ------------------------------------------------------------------------------------------ */

static void
setting(struct fixture *f, const char *sql, const char *want)
{
	struct db_tx *tx = begin(f, DB_WRITE);
	struct db_stmt *st;
	bool row;

	ok(db_query_values(tx, &st, ERR, sql, NULL, 0));
	ok(db_step(st, &row, ERR));
	assert_string_equal(db_text(st, 0, NULL), want);
	db_reset(st);
	db_abort(&tx);
}

static void
settings(void **state)
{
	char server[32];

	schema_sql(&((struct fixture *)*state)->schema, "SHOW synchronous_commit", server, sizeof server);
	assert_string_equal(server, "off"); /* of the tests' server: or the next line shows nothing */
	setting(*state, "SELECT current_setting('synchronous_commit')", "on");
	setting(*state, "SELECT current_setting('client_encoding')", "UTF8");
	setting(*state, "SELECT current_setting('transaction_isolation')", "read committed");
}

/* What the URL says goes before our preferences. */
static void
url_counts(void **state)
{
	struct fixture *f = *state;
	size_t len = strlen(f->schema.url);

	db_free(f->db);
	(void)snprintf(f->schema.url + len, sizeof f->schema.url - len, "%%20-cstatement_timeout%%3D4321&client_encoding=LATIN1");
	open_db(f, (struct open_opts){ .wait_ms = 0 });
	setting(f, "SELECT current_setting('statement_timeout')", "4321ms");
	setting(f, "SELECT current_setting('client_encoding')", "UTF8");
}

/* As on SQLite, whatever the database's own order is. */
static void
text_is_ordered_by_bytes(void **state)
{
	static const struct db_migration list[] = { { "20261122_010_words",
	    "CREATE TABLE words (w @text@ NOT NULL PRIMARY KEY) @clustered@;"
	    "INSERT INTO words VALUES ('b'), ('a'), ('B'), ('a-b'), ('a/b'), ('a b'), ('ä'), ('Z'), ('aa');" } };
	static const struct db_migrations set = { .list = list, .n = 1 };
	static const char *const sorted[] = { "B", "Z", "a", "a b", "a-b", "a/b", "aa", "b", "ä" };
	static const char sql[] = "SELECT w FROM words WHERE w > $1 ORDER BY w";
	struct fixture *f = *state;
	struct db_tx *tx;
	struct db_stmt *st;
	bool row;

	ok(db_migrate(f->db, &set, 1, ERR));
	tx = begin(f, DB_READ);
	ok(db_query(tx, &st, ERR, sql, DB_TEXT("")));
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		ok(db_step(st, &row, ERR));
		assert_true(row);
		assert_string_equal(db_text(st, 0, NULL), sorted[i]);
	}
	db_reset(st);
	db_abort(&tx);
}

/* sum() of numbers is a numeric, which nothing above can take: a statement says what it wants. */
static void
unknown_types_are_refused(void **state)
{
	static const char sum[] = "SELECT sum(CAST(v AS BIGINT)) FROM t", cast[] = "SELECT CAST(sum(CAST(v AS BIGINT)) AS BIGINT) FROM t";
	struct fixture *f = *state;
	struct db_tx *tx;
	struct db_stmt *st;
	bool row;

	put_one(f, 5);
	tx = begin(f, DB_READ);
	ok(db_query_values(tx, &st, ERR, sum, NULL, 0));
	answers(db_step(st, &row, ERR), ERR_DB);
	db_reset(st);
	db_abort(&tx);
	tx = begin(f, DB_READ);
	ok(db_query_values(tx, &st, ERR, cast, NULL, 0));
	ok(db_step(st, &row, ERR));
	assert_int_equal(db_i64(st, 0), 5);
	db_reset(st);
	db_abort(&tx);
}

/* A transaction that makes a table large has its statistics before it ends, and not a minute later. */
static void
growth_is_analysed(void **state)
{
	static const char send[] = "INSERT INTO t (id, v) VALUES ($1, $1)";
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);
	char known[16];

	for (int i = 0; i < 3000; i++)
		ok(db_send(tx, ERR, send, DB_I64(i)));
	commit(tx);
	schema_sql(&f->schema, "SELECT CASE WHEN reltuples > 1000 THEN 'yes' ELSE 'no' END FROM pg_class WHERE oid = 't'::regclass", known,
	    sizeof known);
	assert_string_equal(known, "yes");
	assert_int_equal(look(f, 2999), 2999);
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------- */

static void
refused(const char *url, err_code want, const char *said)
{
	struct db *db = NULL;

	answers(db_postgres_open(&(struct db_postgres_opts){ .url = url, .wait_ms = 200 }, &db, ERR), want);
	assert_null(db);
	if (said && !strstr(unit_err.msg, said))
		fail_msg("%s: does not say \"%s\"", unit_err.msg, said);
	if (strstr(unit_err.msg, "secret") || strstr(unit_err.msg, "s3cr"))
		fail_msg("%s: says the password", unit_err.msg);
}

static void
opening(void **state)
{
	struct fixture *f = *state;
	char url[SCHEMA_URL_MAX + 64];
	const char *at = strchr(schema_server(), '@');

	refused("postgresql://u:secret@127.0.0.1:1/x", ERR_UNAVAILABLE, "127.0.0.1:1/x");
	refused("postgresql://u:s3cr@et@127.0.0.1/x", ERR_USAGE, "%XX");
	refused("postgresql://u:s3cr/et@127.0.0.1/x", ERR_USAGE, "%XX");
	refused("postgresql://u:s3cr?et@127.0.0.1:1/x", ERR_UNAVAILABLE, "127.0.0.1:1/x"); /* a '?' needs no escape there */
	refused("postgresql://u:secret@127.0.0.1/x?no_such=1", ERR_USAGE, NULL);
	refused("postgresql://u:secret@127.0.0.1/%zz", ERR_USAGE, NULL);
	(void)snprintf(url, sizeof url, "postgresql://dray:secret%s", at);
	refused(url, ERR_UNAVAILABLE, "password authentication failed");
	(void)snprintf(url, sizeof url, "%.*sno_such", (int)(strrchr(schema_server(), '/') + 1 - schema_server()), schema_server());
	refused(url, ERR_UNAVAILABLE, "no_such");
	(void)snprintf(url, sizeof url, "%s?options=-csearch_path%%3Dno_such", schema_server());
	refused(url, ERR_DB, "search_path");
	assert_non_null(f->db);
}

static void
encoding(void **state)
{
	struct fixture *f = *state;
	char sql[200], url[SCHEMA_URL_MAX];

	(void)snprintf(sql, sizeof sql, "CREATE DATABASE %s_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
	    f->schema.name);
	schema_sql(&f->schema, sql, NULL, 0);
	(void)snprintf(url, sizeof url, "%.*s%s_ascii", (int)(strrchr(schema_server(), '/') + 1 - schema_server()), schema_server(),
	    f->schema.name);
	refused(url, ERR_DB, "UTF8");
	(void)snprintf(sql, sizeof sql, "DROP DATABASE %s_ascii WITH (FORCE)", f->schema.name);
	schema_sql(&f->schema, sql, NULL, 0);
}

#define TN(fn) cmocka_unit_test_setup_teardown(fn, setup_named, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(processes_take_turns), /* first: others change DRAY_FAULT */
		TN(lost_while_idle),
		TN(lost_alone),
		TN(lost_midway),
		T(stream_fails_midway),
		TN(stream_is_lost),
		TN(reader_ends),
		TN(lost_under_way),
		TN(group_is_lost),
		T(commit_is_lost),
		T(answer_is_lost),
		T(another_process_holds_on),
		T(stranger_holds_a_row),
		T(settings),
		T(url_counts),
		T(text_is_ordered_by_bytes),
		T(unknown_types_are_refused),
		T(growth_is_analysed),
		T(opening),
		T(encoding),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
