#pragma once
/**
 * The back-end over db/, shared by its files.  Each statement is written once, for every engine, beside the code that gives it its
 * values and reads its columns; nothing here knows which engine it is.
 */

#include "db/db.h"
#include "server/meta/meta_internal.h"

struct sql_tx {
	struct meta_tx base;
	struct db_tx *db;
};

static inline struct db_tx *
sql_db(struct meta_tx *tx)
{
	return ((struct sql_tx *)tx)->db;
}

/** sql_query, sql_stream, sql_run, sql_send: db_query, db_stream, db_run and db_send in a transaction of meta. */
#define sql_query(tx, st, err, sql, ...) db_query(sql_db(tx), st, err, sql, __VA_ARGS__)
#define sql_stream(tx, st, err, sql, ...) db_stream(sql_db(tx), st, err, sql, __VA_ARGS__)
#define sql_run(tx, affected, err, sql, ...) db_run(sql_db(tx), affected, err, sql, __VA_ARGS__)
#define sql_send(tx, err, sql, ...) db_send(sql_db(tx), err, sql, __VA_ARGS__)

/** sql_found(rc, affected, what, err): ${rc}, or "no such ${what}" when an update found no row. */
err_code sql_found(err_code rc, int64_t affected, const char *what, struct err *err);

/**
 * The columns of the present row, one after the other in the order of the statement.  Errors stick: NO_MEM when the transaction's arena
 * is full, CORRUPT when an id or a hash has the wrong length.  One check at the end, row_done().
 */
struct row {
	struct meta_tx *tx;
	struct db_stmt *st;
	int col;
	err_code code;
};
bool row_null(const struct row *r); /* the next column is; it stays the next */
int64_t row_i64(struct row *r);
void row_id(struct row *r, struct id *out);
void row_id_or_none(struct row *r, struct id *out); /* of a column that may be NULL: then zero */
void row_hash(struct row *r, struct hash *out);
const char *row_text(struct row *r);
const uint8_t *row_bytes(struct row *r, size_t *len);
err_code row_done(const struct row *r, struct err *err);

/** A reader of one row into a struct. */
typedef void sql_read_fn(struct row *r, void *out);

/** sql_one(tx, st, read, out, what, err): the one row of ${st}; "no such ${what}" when there is none. */
err_code sql_one(struct meta_tx *tx, struct db_stmt *st, sql_read_fn *read, void *out, const char *what, struct err *err);

/** sql_all(tx, st, read, size, array, n, err): the rows of ${st} behind the *n elements of *array, which are ${size} bytes each. */
err_code sql_all(struct meta_tx *tx, struct db_stmt *st, sql_read_fn *read, size_t size, void **array, size_t *n,
    struct err *err);

/** sql_any(st, any, err): whether ${st} has a row. */
err_code sql_any(struct db_stmt *st, bool *any, struct err *err);

/** sql_project_stored(tx, id, delta, err): what every change of rows in chunks owes to its project's stored_bytes. */
err_code sql_project_stored(struct meta_tx *tx, const struct id *id, int64_t delta, struct err *err);

/** Readers of rows that more than one file needs. */
sql_read_fn sql_read_bytes; /* of one column, into a struct sql_bytes */
sql_read_fn sql_read_id;    /* of one column, into a struct id */
sql_read_fn sql_read_chunk; /* of SQL_CHUNK_COLUMNS, into a struct chunk */
sql_read_fn sql_read_file;  /* of SQL_FILE_COLUMNS, SQL_BENEATH_COLUMNS, into a struct file */
#define SQL_FILE_COLUMNS \
	"id, dir, name, kind, version, size, mode, mtime_ns, content, list, target, created_at, changed_by, deleted_at"
#define SQL_BENEATH_COLUMNS "files_beneath, dirs_beneath, bytes_beneath"
#define SQL_CHUNK_COLUMNS "id, stored_len, raw_len, block_count, created_at, used_at"
struct sql_bytes {
	const uint8_t *p;
	size_t len;
};

#define METHOD(mode, name, params, args) err_code sql_##name params;
#include "server/meta/methods.def"
#undef METHOD
