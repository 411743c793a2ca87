/*
 * All rows from one database to another, whichever the engines.
 *
 * C1  The source is read at one instant, page by page in the order of the primary key: nothing is taken whole that can be long.
 * C2  The target gets all of it in one transaction, or nothing.
 * C3  Columns are copied by position: both have the same migrations behind them, and so the same columns in the same order.  A primary key
 *     is the first columns of its table.
 */
#include "db/db.h"

#include <assert.h>

#define PAGE "100"
#define KEY_MAX 3
#define INSERT_LEN 256

/* What is copied, each after what it refers to.  Not the snapshots, which are made again when they are asked for, nor what says which
 * database this is: schema_migrations and installation. */
#define TABLES(T1, T2, T3) \
	T1(projects, "id") \
	T1(devices, "id") \
	T2(device_grants, "device_id, project_id") \
	T2(sync_checkpoints, "project_id, device_id") \
	T2(delete_hours, "project_id, device_id") \
	T2(idempotency, "device_id, key_hash") \
	T2(file_index, "project_id, id") \
	T3(file_versions, "project_id, file_id, version") \
	T3(file_blocks, "project_id, list, page") \
	T2(chunks, "project_id, id") \
	T2(conflicts, "project_id, copy_id") \
	T1(file_transfers, "id") \
	T2(file_transfer_chunks, "transfer_id, n") \
	T2(file_transfer_blocks, "transfer_id, first_block") \
	T1(file_transfer_progress, "transfer_id") \
	T2(transfer_events, "transfer_id, n") \
	T1(history_walks, "project_id")

struct table {
	const char *name;
	unsigned key; /* columns of it */
	const char *first, *next; /* the first page; the one after a key */
};

#define PAGE_OF(table, where, key) "SELECT * FROM " #table where " ORDER BY " key " LIMIT " PAGE
#define TABLE(table, key, n, params) { #table, n, PAGE_OF(table, "", key), PAGE_OF(table, " WHERE (" key ") > (" params ")", key) },
#define T1(table, key) TABLE(table, key, 1, "$1")
#define T2(table, key) TABLE(table, key, 2, "$1, $2")
#define T3(table, key) TABLE(table, key, 3, "$1, $2, $3")

static const struct table tables[] = { TABLES(T1, T2, T3) };

/* Statements are known by the address of their text, and these know the number of columns only when they see the first row. */
static char inserts[ARRAY_LEN(tables)][INSERT_LEN];

struct copy {
	struct db_tx *from, *to;
	void (*copied)(void *ctx, uint64_t rows);
	void *ctx;
	uint64_t rows;
};

/** The key of a row, with bytes of its own: ids, hashes and numbers. */
struct place {
	struct db_value key[KEY_MAX];
	uint8_t bytes[KEY_MAX][sizeof(struct hash)];
};

static void
place_set(struct place *at, struct db_stmt *st, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct db_value v = db_column(st, (int)i);

		if (v.kind != DB_VALUE_I64) {
			assert(v.len <= sizeof at->bytes[i]);
			memcpy(at->bytes[i], v.p, v.len);
			v.p = at->bytes[i];
		}
		at->key[i] = v;
	}
}

static const char *
insert_of(size_t t, unsigned columns)
{
	char *sql = inserts[t];
	size_t len;

	if (*sql)
		return sql;
	len = (size_t)snprintf(sql, INSERT_LEN, "INSERT INTO %s VALUES (", tables[t].name);
	for (unsigned i = 1; i <= columns; i++)
		len += (size_t)snprintf(sql + len, INSERT_LEN - len, "%s$%u", i > 1 ? ", " : "", i);
	(void)snprintf(sql + len, INSERT_LEN - len, ")");
	return sql;
}

static err_code
copy_row(struct copy *c, size_t t, struct db_stmt *st, struct err *err)
{
	struct db_value values[DB_PARAMS_MAX];
	unsigned n = db_columns(st);

	assert(n <= DB_PARAMS_MAX);
	for (unsigned i = 0; i < n; i++)
		values[i] = db_column(st, (int)i);
	return db_run_values(c->to, NULL, err, insert_of(t, n), values, n);
}

/* The rows after ${after} (NULL: the first).  *n: how many; *last: the last of them. */
static err_code
copy_page(struct copy *c, size_t t, const struct place *after, struct place *last, unsigned *n, struct err *err)
{
	const struct table *table = &tables[t];
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc;

	*n = 0;
	rc = after ? db_query_values(c->from, &st, err, table->next, after->key, table->key)
	           : db_query_values(c->from, &st, err, table->first, NULL, 0);
	while (!rc) {
		rc = db_step(st, &row, err);
		if (rc || !row)
			break;
		rc = copy_row(c, t, st, err);
		place_set(last, st, table->key);
		++*n;
	}
	return rc;
}

static err_code
copy_table(struct copy *c, size_t t, struct err *err)
{
	struct place places[2];
	const struct place *after = NULL;
	err_code rc = ERR_OK;

	for (unsigned i = 0, n = 1; !rc && n > 0; i = !i) {
		rc = copy_page(c, t, after, &places[i], &n, err);
		after = &places[i];
		c->rows += n;
		if (!rc && c->copied)
			c->copied(c->ctx, c->rows);
	}
	return rc ? err_wrap(err, "copy %s", tables[t].name) : ERR_OK;
}

err_code
db_server_copy(struct db *from, struct db *to, void (*copied)(void *ctx, uint64_t rows), void *ctx, struct err *err)
{
	AUTO(db_abort) struct db_tx *source = NULL;
	AUTO(db_abort) struct db_tx *target = NULL;
	struct copy c = { .copied = copied, .ctx = ctx };
	err_code rc;

	rc = db_begin(from, DB_READ, &source, err);
	if (!rc)
		rc = db_begin(to, DB_WRITE, &target, err);
	c.from = source;
	c.to = target;
	for (size_t t = 0; !rc && t < ARRAY_LEN(tables); t++)
		rc = copy_table(&c, t, err);
	return rc ? rc : db_commit(&target, err);
}
