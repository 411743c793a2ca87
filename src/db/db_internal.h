#pragma once
/**
 * What a driver implements.  Its connection, transaction and statement embed these first.
 */

#include "db/db.h"

struct db_ops {
	void (*free)(struct db *db);
	err_code (*checkpoint)(struct db *db, bool truncate, struct err *err);
	/** read_begin, read_end: a transaction that reads; ${one}: DB_READ_ONE.  Those that write go by db->writer. */
	err_code (*read_begin)(struct db *db, bool one, struct db_tx **tx, struct err *err);
	void (*read_end)(struct db_tx *tx);

	/** query: prepared or found in the cache, bound, not yet run. */
	err_code (*query)(struct db_tx *tx, const char *sql, const struct db_value *values, size_t n, struct db_stmt **st,
	    struct err *err);
	err_code (*step)(struct db_stmt *st, bool *row, struct err *err);
	/** stream: the rows of what has just been asked come as they are stepped through; NULL: they do anyway. */
	void (*stream)(struct db_stmt *st);
	/** send: run it, and let its error come later; NULL: an engine that answers at once. */
	err_code (*send)(struct db_stmt *st, struct err *err);
	int64_t (*affected)(struct db_stmt *st);
	int64_t (*i64)(struct db_stmt *st, int col);
	const char *(*text)(struct db_stmt *st, int col, size_t *len);
	const uint8_t *(*bytes)(struct db_stmt *st, int col, size_t *len);
	unsigned (*columns)(struct db_stmt *st);
	struct db_value (*column)(struct db_stmt *st, int col);
	void (*reset)(struct db_stmt *st);
	err_code (*script)(struct db_tx *tx, const char *sql, struct err *err);

	/** tell, listen, unlisten: NULL for an engine that one process at a time writes to. */
	void (*tell)(struct db_tx *tx, const struct id *about, int64_t number);
	err_code (*listen)(struct db *db, const struct db_ears *ears, struct db_listener **out, struct err *err);
	void (*unlisten)(struct db_listener *l);

	/** token: what @name@ is called in this engine's CREATE TABLE; NULL: not a token. */
	const char *(*token)(const char *name, size_t len);
	void (*each_sql)(struct db *db, void (*fn)(void *arg, const char *sql), void *arg);
	/** NULL: it has nothing to say about itself. */
	err_code (*check)(struct db *db, const struct db_migrations *set, void (*fn)(void *ctx, const char *finding), void *ctx,
	    struct err *err);
	size_t key_max; /* db_key_max */
};

struct writer;

struct db {
	const struct db_ops *ops;
	struct writer *writer; /* within the driver's database */
};

struct db_tx {
	const struct db_ops *ops;
	struct db *db;
	enum db_mode mode;
	unsigned busy;      /* statements that are lent out */
	bool one, asked;    /* DB_READ_ONE; a statement has been asked */
	struct err failure; /* the first error of this transaction; code ERR_OK: none */
};

struct db_stmt {
	const struct db_ops *ops;
};

struct db_listener {
	const struct db_ops *ops;
};

/** db_schema_each(db, set, fn, ctx, err): the scripts that make a database with ${set}, as this engine takes them, in order, until one fails. */
err_code db_schema_each(struct db *db, const struct db_migrations *set, err_code (*fn)(void *ctx, const char *sql, struct err *err),
    void *ctx, struct err *err);

/** db_tx_fail(tx, own, err): ${own} happened: remembered if it is the transaction's first, and handed out.  Its code. */
err_code db_tx_fail(struct db_tx *tx, const struct err *own, struct err *err);
