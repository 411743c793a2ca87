#pragma once
/** The SQLite driver, shared by its files: sqlite.c (connections, errors), sqlite_tx.c (transactions), sqlite_stmt.c (statements). */

#include <sqlite3.h>

#include <stddef.h>

#include "db/pool.h"
#include "db/writer.h"

#define STMT_SLOTS 256 /* of a connection's cache, by address of the text; a program has some sixty texts */

#define SQLITE_BUSY_WAIT_MS 5000 /* for another process to let go: a backup, a check */

struct conn;

struct stmt {
	struct db_stmt base;
	struct conn *conn;
	const char *sql; /* whose address is the key */
	sqlite3_stmt *h;
	int64_t affected;
	bool busy;                         /* lent out */
	uint8_t param[DB_PARAMS_MAX + 1];  /* SQLite numbers parameters as they appear: $n -> its number, 0 when absent */
};

struct conn {
	struct db_tx base; /* a connection carries one transaction at a time, and is lent as it */
	struct pool_item item; /* of readers */
	struct sqlite *db;
	sqlite3 *h;
	struct stmt *stmts[STMT_SLOTS];
	unsigned stmt_count;
	int log_pages;         /* the writer's: of the write-ahead log, after the last commit */
};

struct sqlite {
	struct db base;
	struct db_sqlite_opts opts;
	struct pool readers;
	struct writer writer; /* its tx is NULL when opened read-only */
};

static inline struct conn *
conn_of(struct db_tx *tx)
{
	return (struct conn *)tx;
}

static inline struct conn *
conn_of_item(struct pool_item *item)
{
	return (struct conn *)((char *)item - offsetof(struct conn, item));
}

/** sqlite_fail(c, what, err): the error of the last call on ${c}, mapped to ours; remembered as the transaction's failure. */
err_code sqlite_fail(struct conn *c, const char *what, struct err *err);

/** conn_open(db, mode, out, err), conn_free(c). */
err_code conn_open(struct sqlite *db, enum db_mode mode, struct conn **out, struct err *err);
void conn_free(struct conn *c);

/** conn_exec(c, sql, err): a cached statement without values. */
err_code conn_exec(struct conn *c, const char *sql, struct err *err);

/* sqlite_tx.c */
extern const struct writer_ops sqlite_writer;
err_code sqlite_read_begin(struct db *db, bool one, struct db_tx **tx, struct err *err);
void sqlite_read_end(struct db_tx *tx);
err_code sqlite_checkpoint(struct db *db, bool truncate, struct err *err);

/* sqlite_check.c */
err_code sqlite_check(
    struct db *db, const struct db_migrations *set, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err);

/* sqlite_stmt.c */
err_code sqlite_query(struct db_tx *tx, const char *sql, const struct db_value *values, size_t n, struct db_stmt **st,
    struct err *err);
err_code sqlite_step(struct db_stmt *st, bool *row, struct err *err);
int64_t sqlite_affected(struct db_stmt *st);
int64_t sqlite_i64(struct db_stmt *st, int col);
const char *sqlite_text(struct db_stmt *st, int col, size_t *len);
const uint8_t *sqlite_bytes(struct db_stmt *st, int col, size_t *len);
unsigned sqlite_columns(struct db_stmt *st);
struct db_value sqlite_column(struct db_stmt *st, int col);
void sqlite_reset(struct db_stmt *st);
err_code sqlite_script(struct db_tx *tx, const char *sql, struct err *err);
void stmts_free(struct conn *c);
