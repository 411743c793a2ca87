/* Every row of a server's database to another engine and back: what comes is what went. */
#include "unit.h"

#include <unistd.h>

#include "base/id.h"

#define ROWS 230 /* of each table: three pages */

static const uint8_t *
bytes_no(size_t i, size_t len)
{
	static uint8_t p[32];

	memset(p, 0, sizeof p);
	p[0] = (uint8_t)(i * 131); /* so that the order of the keys is not that of the insertions */
	memcpy(p + len - sizeof(uint32_t), &(uint32_t){ (uint32_t)i }, sizeof(uint32_t));
	return p;
}

/*
 * A row for each ${i}.  In ${sql}, $1 is an id, $2 a hash, $3 the number, $4 the id of what came before or NULL; all of them are used.
 */
static void
plant(struct db_tx *tx, const char *sql)
{
	for (size_t i = 1; i <= ROWS; i++) {
		uint8_t id[16], hash[32];
		struct db_value none = { .kind = DB_VALUE_NULL };

		memcpy(id, bytes_no(i, sizeof id), sizeof id);
		memcpy(hash, bytes_no(i, sizeof hash), sizeof hash);
		ok(db_run(tx, NULL, ERR, sql, DB_BYTES(id, sizeof id), DB_BYTES(hash, sizeof hash), DB_I64(i),
		    i % 3 ? DB_BYTES(id, sizeof id) : none));
	}
}

#define PLANT(table, columns, values) \
	plant(tx, "INSERT INTO " table " (" columns ") SELECT " values " WHERE $1 = $1 AND $2 = $2 AND $3 = $3 AND ($4 IS NULL OR 1 = 1)")

static void
plant_all(struct db *db)
{
	struct db_tx *tx;

	ok(db_begin(db, DB_WRITE, &tx, ERR));
	PLANT("projects", "id, name, epoch, clock, horizon, digest, file_count, total_bytes, created_at, stored_bytes",
	    "$1, 'caf\xc3\xa9 ' || $3, $1, $3, 0, $2, 5000000000 + $3, 9000000000000000000, $3, $3");
	PLANT("devices", "id, name, kind, token_hash, created_at, last_seen_at, revoked_at", "$1, '', 1, $2, $3, 0, 0");
	PLANT("device_grants", "device_id, project_id, role", "$1, $1, 2");
	PLANT("sync_checkpoints", "project_id, device_id, epoch, clock, updated_at", "$1, $1, $1, $3, $3");
	PLANT("delete_hours", "project_id, device_id, began_at, clock, entries, deleted, held_at", "$1, $1, $3, $3, 5000000000, $3, 0");
	PLANT("idempotency", "device_id, key_hash, request_hash, status, body, created_at", "$1, $2, $2, 200, $2, $3");
	PLANT("file_index",
	    "project_id, id, dir, name, kind, version, size, mode, mtime_ns, content, target, created_at, changed_by, deleted_at",
	    "$1, $1, 'a/b', 'n' || $3, 0, $3, $3, 420, -$3, $2, '', $3, $1, 0");
	PLANT("file_versions", "project_id, file_id, version, path, kind, size, mode, mtime_ns, content, target, changed_by, deleted",
	    "$1, $1, $3, 'p', 2, 0, 511, 0, $2, 't', $1, 0");
	PLANT("file_blocks", "project_id, list, page, packed", "$1, $1, $3, $2");
	PLANT("chunks", "project_id, id, stored_len, raw_len, block_count, created_at, used_at", "$1, $2, $3, $3, 1, $3, $3");
	PLANT("conflicts", "project_id, copy_id, file_id, file_version, device_id, created_at, resolved_at, resolved_by, resolution",
	    "$1, $1, $1, $3, $1, $3, 0, $1, 0");
	PLANT("file_transfers",
	    "id, project_id, device_id, state, path, size, chunk_count, bytes_done, created_at, expires_at, ended_at",
	    "$1, $1, $1, 0, '', 1, 1, 0, $3, $3, 0");
	PLANT("file_transfer_chunks", "transfer_id, n, chunk_id", "$1, $3, $2");
	PLANT("file_transfer_blocks", "transfer_id, first_block, block_count, packed", "$1, $3, 1, $2");
	PLANT("file_transfer_progress", "transfer_id, bytes_done, updated_at", "$1, $3, $3");
	PLANT("transfer_events", "transfer_id, n, event, at", "$1, $3, 'started', $3");
	PLANT("project_snapshots",
	    "project_id, id, format, clock, epoch, digest, object, stored_len, raw_len, file_count, total_bytes, created_at, expires_at",
	    "$1, $1, 1, $3, $1, $2, $2, 1, 1, 1, 1, $3, $3");
	PLANT("history_walks", "project_id, file_id, ended_at", "$1, $1, $3");
	ok(db_commit(&tx, ERR));
}

static struct db *
open_file(const struct fixture *f, const char *name)
{
	struct db_sqlite_opts opts = { 0 };
	char path[400];
	struct db *db;

	(void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
	opts.path = path;
	ok(db_sqlite_open(&opts, &db, ERR));
	ok(db_migrate(db, &db_server_migrations, 1, ERR));
	return db;
}

static void
assert_same_column(struct db_stmt *a, struct db_stmt *b, int col)
{
	struct db_value x = db_column(a, col), y = db_column(b, col);

	assert_int_equal(x.kind, y.kind);
	if (x.kind == DB_VALUE_I64)
		assert_int_equal(x.i64, y.i64);
	else if (x.kind != DB_VALUE_NULL) {
		assert_int_equal(x.len, y.len);
		assert_memory_equal(x.p, y.p, x.len);
	}
}

/* Rows of ${table}, in the order of its first columns. */
static unsigned
assert_same_table(struct db_tx *one, struct db_tx *other, const char *table)
{
	static char texts[64][200]; /* statements are known by their address */
	static unsigned texts_n;
	char *sql = texts[texts_n++];
	struct db_stmt *a, *b;
	bool row, also;
	unsigned n = 0;

	assert_true(texts_n <= ARRAY_LEN(texts));
	(void)snprintf(sql, sizeof texts[0], "SELECT * FROM %s ORDER BY 1, 2, 3", table);
	ok(db_query_values(one, &a, ERR, sql, NULL, 0));
	ok(db_query_values(other, &b, ERR, sql, NULL, 0));
	for (;; n++) {
		ok(db_step(a, &row, ERR));
		ok(db_step(b, &also, ERR));
		assert_int_equal(row, also);
		if (!row)
			break;
		assert_int_equal(db_columns(a), db_columns(b));
		for (unsigned i = 0; i < db_columns(a); i++)
			assert_same_column(a, b, (int)i);
	}
	db_reset(a);
	db_reset(b);
	return n;
}

/* The names of all tables that ${db}, a SQLite file, has. */
static unsigned
tables_of(struct db_tx *tx, char names[64][64])
{
	static const char sql[] = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
	struct db_stmt *st;
	unsigned n = 0;
	bool row;

	ok(db_query_values(tx, &st, ERR, sql, NULL, 0));
	for (;;) {
		ok(db_step(st, &row, ERR));
		if (!row)
			break;
		(void)snprintf(names[n++], 64, "%s", db_text(st, 0, NULL));
	}
	db_reset(st);
	return n;
}

static void
all_of_it(void **state)
{
	static const char *const left_out[] = { "installation", "project_snapshots", "schema_migrations" };
	struct fixture *f = *state;
	struct db *first = open_file(f, "first.db"), *last = open_file(f, "last.db");
	struct db_tx *a, *b;
	char names[64][64];
	unsigned n;

	plant_all(first);
	ok(db_migrate(f->db, &db_server_migrations, 1, ERR));
	ok(db_server_copy(first, f->db, NULL, NULL, ERR));
	ok(db_server_copy(f->db, last, NULL, NULL, ERR));
	ok(db_begin(first, DB_READ, &a, ERR));
	ok(db_begin(last, DB_READ, &b, ERR));
	n = tables_of(a, names);
	assert_true(n >= 19);
	for (unsigned i = 0; i < n; i++) {
		bool skipped = false;

		for (size_t k = 0; k < ARRAY_LEN(left_out); k++)
			skipped |= strcmp(names[i], left_out[k]) == 0;
		if (!skipped && assert_same_table(a, b, names[i]) != ROWS)
			fail_msg("%s is not filled by this test", names[i]);
	}
	db_abort(&a);
	db_abort(&b);
	db_free(first);
	db_free(last);
}

struct told {
	uint64_t rows;
	unsigned times;
};

static void
tell(void *ctx, uint64_t rows)
{
	struct told *t = ctx;

	assert_true(rows >= t->rows);
	t->rows = rows;
	t->times++;
}

/* Into a database that has rows already: nothing of it. */
static void
all_or_nothing(void **state)
{
	static const char sql[] = "SELECT count(*) FROM devices WHERE NOT EXISTS (SELECT 1 FROM projects)";
	struct fixture *f = *state;
	struct db *first = open_file(f, "first.db"), *last = open_file(f, "last.db");
	struct told told = { 0 };
	struct db_stmt *st;
	struct db_tx *tx;
	bool row;

	plant_all(first);
	ok(db_begin(last, DB_WRITE, &tx, ERR));
	PLANT("devices", "id, name, kind, token_hash, created_at, last_seen_at, revoked_at", "$1, '', 1, $2, 0, 0, 0");
	ok(db_run_values(tx, NULL, ERR, "DELETE FROM devices WHERE created_at = 0 AND id > x'80'", NULL, 0));
	ok(db_commit(&tx, ERR));
	answers(db_server_copy(first, last, tell, &told, ERR), ERR_EXISTS);
	assert_true(told.rows >= ROWS && told.times >= 3);
	ok(db_begin(last, DB_READ, &tx, ERR));
	ok(db_query_values(tx, &st, ERR, sql, NULL, 0));
	ok(db_step(st, &row, ERR));
	assert_in_range(db_i64(st, 0), 1, ROWS - 1);
	db_reset(st);
	db_abort(&tx);
	db_free(first);
	db_free(last);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_of_it),
		T(all_or_nothing),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
