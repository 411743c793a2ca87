/* Statements: values in and out, parameters, counts, and what the engine's errors become. */
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

/* What comes back of ${v}. */
static struct db_stmt *
echo(struct db_tx *tx, struct db_value v)
{
	static const char sql[] = "SELECT $1";
	struct db_stmt *st;
	bool row;

	ok(db_query(tx, &st, ERR, sql, v));
	ok(db_step(st, &row, ERR));
	assert_true(row);
	return st;
}

static void
values(void **state)
{
	static const int64_t numbers[] = { 0, 1, -1, INT64_MAX, INT64_MIN };
	struct db_tx *tx = begin(*state, DB_READ);
	struct id id = id_new();
	struct db_stmt *st;
	size_t len;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		st = echo(tx, DB_I64(numbers[i]));
		assert_true(db_i64(st, 0) == numbers[i]);
		db_reset(st);
	}
	st = echo(tx, DB_TEXT("caf\xc3\xa9 'x' -- $1"));
	assert_string_equal(db_text(st, 0, &len), "caf\xc3\xa9 'x' -- $1");
	assert_int_equal(len, 15);
	db_reset(st);
	st = echo(tx, DB_TEXT(""));
	assert_string_equal(db_text(st, 0, NULL), "");
	db_reset(st);
	st = echo(tx, DB_TEXTN("abcdef", 3)); /* a part of a longer text */
	assert_string_equal(db_text(st, 0, &len), "abc");
	assert_int_equal(len, 3);
	db_reset(st);
	st = echo(tx, DB_BYTES("a\0b", 3));
	assert_memory_equal(db_bytes(st, 0, &len), "a\0b", 3);
	assert_int_equal(len, 3);
	db_reset(st);
	st = echo(tx, DB_ID(&id));
	assert_memory_equal(db_bytes(st, 0, &len), id.b, 16);
	assert_int_equal(len, 16);
	db_reset(st);
	st = echo(tx, (struct db_value){ .kind = DB_VALUE_NULL });
	assert_int_equal(db_i64(st, 0), 0);
	assert_string_equal(db_text(st, 0, NULL), "");
	assert_non_null(db_bytes(st, 0, &len));
	assert_int_equal(len, 0);
	db_reset(st);
	db_abort(&tx);
}

/* No bytes are a value; NULL is none. */
static void
empty_is_not_null(void **state)
{
	static const char sql[] = "SELECT $1 IS NULL, $2 IS NULL, CAST($3 AS INTEGER) IS NULL";
	struct db_tx *tx = begin(*state, DB_READ);
	struct db_stmt *st;
	bool row;

	ok(db_query(tx, &st, ERR, sql, DB_BYTES(NULL, 0), DB_TEXT(""), ((struct db_value){ .kind = DB_VALUE_NULL })));
	ok(db_step(st, &row, ERR));
	assert_int_equal(db_i64(st, 0), 0);
	assert_int_equal(db_i64(st, 1), 0);
	assert_int_equal(db_i64(st, 2), 1);
	db_reset(st);
	db_abort(&tx);
}

/* $n is the n-th value, wherever and however often it stands. */
static void
parameters(void **state)
{
	static const char sql[] = "SELECT $3 || $1 || $2 || $3, greatest($4, 7, $5), greatest($5, NULL)";
	struct db_tx *tx = begin(*state, DB_READ);
	struct db_stmt *st;
	bool row;

	for (int i = 0; i < 3; i++) { /* the cached one, with values of its own each time */
		ok(db_query(tx, &st, ERR, sql, DB_TEXT("a"), DB_TEXT("b"), DB_TEXT(i ? "c" : "x"), DB_I64(-5), DB_I64(6 + i)));
		ok(db_step(st, &row, ERR));
		assert_string_equal(db_text(st, 0, NULL), i ? "cabc" : "xabx");
		assert_int_equal(db_i64(st, 1), i == 2 ? 8 : 7);
		assert_int_equal(db_i64(st, 2), 6 + i);
		ok(db_step(st, &row, ERR));
		assert_false(row);
		db_reset(st);
	}
	db_abort(&tx);
}

static void
affected(void **state)
{
	static const char all[] = "UPDATE t SET v = v + $1 WHERE id > $2", again[] = "INSERT INTO t (id, v) VALUES ($1, 99) ON CONFLICT (id) DO NOTHING";
	struct db_tx *tx = begin(*state, DB_WRITE);
	int64_t n = -1;

	for (int i = 1; i < 5; i++)
		ok(put(tx, i, i, ERR));
	ok(db_run(tx, &n, ERR, all, DB_I64(10), DB_I64(1)));
	assert_int_equal(n, 3);
	ok(db_run(tx, &n, ERR, all, DB_I64(10), DB_I64(100)));
	assert_int_equal(n, 0);
	ok(db_run(tx, &n, ERR, again, DB_I64(1)));
	assert_int_equal(n, 0);
	ok(db_run(tx, &n, ERR, again, DB_I64(9)));
	assert_int_equal(n, 1);
	commit(tx);
}

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

static void
count_sql(void *arg, const char *sql)
{
	*(unsigned *)arg += strcmp(sql, "INSERT INTO t (id, v) VALUES ($1, $2)") == 0;
}

/* A transaction in which a statement failed can only be aborted; committing it answers with that error and keeps nothing. */
static void
spoilt(struct fixture *f, err_code want, err_code (*wrong)(struct db_tx *tx))
{
	struct db_tx *tx = begin(f, DB_WRITE);

	ok(put(tx, 50, 50, ERR));
	answers(wrong(tx), want);
	answers(db_commit(&tx, ERR), want);
	assert_null(tx);
	assert_int_equal(look(f, 50), -1);
	tx = begin(f, DB_WRITE);
	ok(put(tx, 50, 50, ERR));
	answers(wrong(tx), want);
	db_abort(&tx);
	assert_int_equal(look(f, 50), -1);
}

static err_code
same_key(struct db_tx *tx)
{
	return put(tx, 1, 2, ERR);
}

static err_code
same_unique(struct db_tx *tx)
{
	return put(tx, 2, 1, ERR);
}

static err_code
bad_value(struct db_tx *tx)
{
	return put(tx, 2, -1, ERR);
}

static err_code
no_parent(struct db_tx *tx)
{
	static const char sql[] = "INSERT INTO child (id) VALUES ($1)";

	return db_run(tx, NULL, ERR, sql, DB_I64(77));
}

static err_code
no_table(struct db_tx *tx)
{
	static const char sql[] = "INSERT INTO nowhere (id) VALUES ($1)";

	return db_run(tx, NULL, ERR, sql, DB_I64(1));
}

static err_code
no_syntax(struct db_tx *tx)
{
	return db_script(tx, "CREATE TABLE u (id INTEGER); CREATE TABEL w;", ERR);
}

static void
refusals(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);
	unsigned prepared = 0;

	ok(put(tx, 1, 1, ERR));
	commit(tx);
	spoilt(f, ERR_EXISTS, same_key);
	spoilt(f, ERR_EXISTS, same_unique);
	spoilt(f, ERR_DB, bad_value);
	spoilt(f, ERR_NOT_FOUND, no_parent);
	spoilt(f, ERR_DB, no_table);
	spoilt(f, ERR_DB, no_syntax);
	assert_int_equal(look(f, 1), 1);
	db_each_sql(f->db, count_sql, &prepared);
	assert_int_equal(prepared, 1); /* once, however often it ran */
}

static void
readers_do_not_write(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_READ);

	answers(put(tx, 1, 1, ERR), ERR_READ_ONLY);
	db_abort(&tx);
	tx = begin(f, DB_WRITE); /* that was the reader's mistake, not the disk's */
	ok(put(tx, 1, 1, ERR));
	commit(tx);
	assert_int_equal(look(f, 1), 1);
}

/* The ids of t from a stream, of which ${most} rows are taken; how many there were. */
static size_t
take_stream(struct db_tx *tx, size_t most)
{
	static const char sql[] = "SELECT id, v FROM t WHERE id > $1 ORDER BY id";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = true;
	size_t n = 0;

	ok(db_stream(tx, &st, ERR, sql, DB_I64(0)));
	while (n < most) {
		ok(db_step(st, &row, ERR));
		if (!row)
			break;
		assert_int_equal(db_i64(st, 0), ++n);
		assert_int_equal(db_i64(st, 1), 2 * n);
	}
	return n;
}

/* Whole, or given up anywhere, it leaves the transaction as it was. */
static void
streams(void **state)
{
	static const size_t sizes[] = { 0, 1, 255, 256, 257, 512, 600 };
	size_t rows = 0;
	struct db_tx *tx;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		tx = begin(*state, DB_WRITE);
		for (; rows < sizes[i]; rows++)
			ok(put(tx, (int64_t)rows + 1, 2 * ((int64_t)rows + 1), ERR));
		commit(tx);
		tx = begin(*state, DB_READ);
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
			assert_int_equal(take_stream(tx, sizes[k]), MIN(sizes[k], rows));
		db_reset(echo(tx, DB_I64(1)));
		assert_int_equal(take_stream(tx, SIZE_MAX), rows);
		db_abort(&tx);
	}
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static void
file_is_private(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	char wal[320];
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)snprintf(wal, sizeof wal, "%s-wal", f->path);
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	ok(db_checkpoint(f->db, true, ERR));
	assert_int_equal(stat(wal, &st), 0);
	assert_int_equal(st.st_size, 0);
}

/* As the client wants it, which the kernel lets write nowhere but beneath its folder. */
static void
temporaries_in_memory(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	char path[320];
	struct db_stmt *st;
	struct db_tx *tx;
	struct db *db;
	bool row;

	(void)snprintf(path, sizeof path, "%s/memory", f->dir);
	ok(db_sqlite_open(&(struct db_sqlite_opts){ .path = path, .temp_in_memory = true }, &db, ERR));
	for (int mode = 0; mode < 2; mode++) {
		ok(db_begin(db, mode ? DB_WRITE : DB_READ, &tx, ERR));
		ok(db_query_values(tx, &st, ERR, "PRAGMA temp_store", NULL, 0));
		ok(db_step(st, &row, ERR));
		assert_true(row && db_i64(st, 0) == 2);
		db_reset(st);
		db_abort(&tx);
	}
	db_free(db);
}

static void
not_a_database(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	char path[320];
	struct db *db = NULL;
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/other", f->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database\n", file);
	assert_int_equal(fclose(file), 0);
	answers(db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, ERR), ERR_CORRUPT);
	assert_null(db);
	(void)snprintf(path, sizeof path, "%s/no/such/dir", f->dir);
	answers(db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, ERR), ERR_NOT_FOUND);
	assert_null(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(values),
		T(empty_is_not_null),
		T(parameters),
		T(affected),
		T(refusals),
		T(readers_do_not_write),
		T(streams),
		T(file_is_private),
		T(temporaries_in_memory),
		T(not_a_database),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
