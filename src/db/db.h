#pragma once
/**
 * A small layer over an SQL database: transactions, cached statements, rows, migrations.  What is above it writes each statement
 * once, valid on SQLite ≥ 3.38 and PostgreSQL ≥ 14: $1 parameters, ON CONFLICT, RETURNING, (a, b) > ($1, $2), greatest().
 * Columns that are computed have the type of one that is stored: CAST(sum(x) AS BIGINT).  The driver (sqlite.c, postgres.c) alone knows
 * which engine it is.
 *
 * Ownership  SQL texts are static: statements are cached by their address, so the same text stays prepared.
 *            Values are lent from db_query until db_reset; columns that come out are lent until the next step or reset.
 * Threads    a transaction belongs to one thread; transactions of different threads run at the same time, writers one by one.
 * Memory     SQLite steps through its rows; PostgreSQL's are taken whole, so what can be long has a LIMIT.
 * Errors     NO_SPACE, UNAVAILABLE (busy past its deadline, a server that is gone), EXISTS (a unique key is taken), NOT_FOUND (a row
 *            refers to one that is not there), CORRUPT, IO, READ_ONLY (after a failed fsync, until restart), DB (any other refusal).
 *            A commit whose write or fsync failed, or whose answer was lost and cannot be asked after, answers UNAVAILABLE: whether
 *            it took effect is known later.
 *            After an error of db_step or db_run the transaction can only be aborted; db_commit then answers with that error.
 */

#include "base/hash.h"
#include "base/id.h"

struct db;
struct db_tx;
struct db_stmt;
struct db_migrations;

enum db_mode {
	DB_READ,
	DB_READ_ONE, /* one statement alone, which is of one instant by itself: it costs an engine behind a line one message instead of three */
	DB_WRITE
};

/* ---- open and close --------------------------------------------------------------------------------------------------- */

struct db_sqlite_opts {
	const char *path;        /* made, readable by its owner only, when it is missing */
	unsigned readers_max;    /* connections that read; 0: 8 */
	unsigned writer_cache_kib, reader_cache_kib; /* of pages, each connection; 0: 32 MiB and 2 MiB */
	unsigned wait_ms;        /* for the writer, or a reader, to be free; 0: 30 s */
	bool temp_in_memory;     /* what a statement sets aside, instead of in a file beneath $TMPDIR or /var/tmp */
	bool read_only;          /* no DB_WRITE; the file must be there.  Fine beside a process that writes */
	bool untouched;          /* with read_only, and only where no other process has it: nothing is written, not even beside the file.  One reader */
};

/** db_sqlite_open(opts, out, err): one process at a time writes to a database; see to it (a lock file) before opening. */
err_code db_sqlite_open(const struct db_sqlite_opts *opts, struct db **out, struct err *err);

struct db_postgres_opts {
	const char *url;         /* as libpq takes it: postgresql://USER@HOST:PORT/DATABASE?PARAMETER=VALUE&… */
	unsigned readers_max;    /* connections that read; 0: 8.  One more writes */
	unsigned wait_ms;        /* as above, and for a server that has gone to come back; 0: 30 s */
};

/**
 * db_postgres_open(opts, out, err): tables live in the first schema of the search_path (…?options=-csearch_path%3DNAME).  Any number of
 * processes may use one database: their writers take turns.
 *
 * Errors     USAGE (the URL cannot be read), UNAVAILABLE (no server there, or it lets nobody in), DB (a server that is too old, or a
 *            database that is not UTF-8).  No message contains a password.
 */
err_code db_postgres_open(const struct db_postgres_opts *opts, struct db **out, struct err *err);

/** db_free(db): every transaction has ended.  NULL is fine. */
void db_free(struct db *db);

/** db_checkpoint(db, truncate, err): move the log into the database; truncate: and empty it, as a shutdown or a backup wants. */
err_code db_checkpoint(struct db *db, bool truncate, struct err *err);

/* ---- transactions ------------------------------------------------------------------------------------------------------- */

/** db_begin(db, mode, tx, err): a reader sees the instant of this call, one of DB_READ_ONE that of its statement; a writer waits for those before it. */
err_code db_begin(struct db *db, enum db_mode mode, struct db_tx **tx, struct err *err);

/**
 * db_commit(tx, err): durable when it returns ERR_OK; releases *tx whatever it returns.  Writers that wait are let in first and all
 * made durable by one fsync, so a commit can wait for the next writer's: hold no lock here that a writer takes in its transaction.
 */
err_code db_commit(struct db_tx **tx, struct err *err);
void db_abort(struct db_tx **tx); /* NULL inside is fine */

/* ---- statements ----------------------------------------------------------------------------------------------------------- */

/** A value for a parameter. */
struct db_value {
	enum { DB_VALUE_NULL, DB_VALUE_I64, DB_VALUE_TEXT, DB_VALUE_BYTES } kind;
	size_t len;
	union {
		int64_t i64;
		const void *p;
	};
};
#define DB_I64(v) ((struct db_value){ .kind = DB_VALUE_I64, .i64 = (int64_t)(v) })
#define DB_TEXT(s) db_value_text(s)
#define DB_TEXTN(s, n) ((struct db_value){ .kind = DB_VALUE_TEXT, .p = (s), .len = (n) })
#define DB_BYTES(b, n) ((struct db_value){ .kind = DB_VALUE_BYTES, .p = (b), .len = (n) })
#define DB_ID(id) ((struct db_value){ .kind = DB_VALUE_BYTES, .p = (id)->b, .len = sizeof (id)->b })
#define DB_ID_OR_NULL(id) (id_is_zero(id) ? (struct db_value){ .kind = DB_VALUE_NULL } : DB_ID(id))
#define DB_HASH(h) ((struct db_value){ .kind = DB_VALUE_BYTES, .p = (h)->b, .len = sizeof (h)->b })

static inline struct db_value
db_value_text(const char *s)
{
	return DB_TEXTN(s, strlen(s));
}

#define DB_PARAMS_MAX 24 /* parameters of one statement */

/**
 * db_query(tx, st, err, sql, value of $1, …): the statement with its values, ready to step.  One use of a text at a time: reset before
 * the next.  Hold it in AUTO(db_resetp) struct db_stmt *.
 */
#define db_query(tx, st, err, sql, ...) \
	db_query_values(tx, st, err, sql, (const struct db_value[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const struct db_value[]){ __VA_ARGS__ })))
err_code db_query_values(struct db_tx *tx, struct db_stmt **st, struct err *err, const char *sql, const struct db_value *values,
    size_t n);

/**
 * db_stream(tx, st, err, sql, value of $1, …): as db_query, for as many rows as there are: an engine behind a line sends the next of them while those
 * at hand are read, and keeps no more.  For DB_READ.  Until it is reset, the transaction asks nothing else.
 */
#define db_stream(tx, st, err, sql, ...) \
	db_stream_values(tx, st, err, sql, (const struct db_value[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const struct db_value[]){ __VA_ARGS__ })))
err_code db_stream_values(struct db_tx *tx, struct db_stmt **st, struct err *err, const char *sql, const struct db_value *values,
    size_t n);

/** db_step(st, row, err): *row: there is one to read; else the statement is done. */
err_code db_step(struct db_stmt *st, bool *row, struct err *err);

/** db_run(tx, affected, err, sql, values…): a statement without rows, all at once.  ${affected}, if not NULL: rows changed. */
#define db_run(tx, affected, err, sql, ...) \
	db_run_values(tx, affected, err, sql, (const struct db_value[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const struct db_value[]){ __VA_ARGS__ })))
err_code db_run_values(struct db_tx *tx, int64_t *affected, struct err *err, const char *sql, const struct db_value *values,
    size_t n);

/**
 * db_send(tx, err, sql, values…): as db_run, for a statement of DB_WRITE that nobody waits for: an engine behind a line sends it and goes on.
 * Its error may come from a later call in the transaction instead, at the latest from db_commit, and what was sent behind it has done nothing.
 * EXISTS and NOT_FOUND that come from a later statement, which they would say nothing about, are DB there and themselves at db_commit.
 */
#define db_send(tx, err, sql, ...) \
	db_send_values(tx, err, sql, (const struct db_value[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct db_value[]){ __VA_ARGS__ })))
err_code db_send_values(struct db_tx *tx, struct err *err, const char *sql, const struct db_value *values, size_t n);

/** Columns of the present row, from 0.  Text ends with a NUL that *len does not count; ${len} may be NULL. */
int64_t db_i64(struct db_stmt *st, int col);
const char *db_text(struct db_stmt *st, int col, size_t *len);
const uint8_t *db_bytes(struct db_stmt *st, int col, size_t *len);

/** For who copies rows without knowing them: how many columns the row has, and one as a value, lent likewise. */
unsigned db_columns(struct db_stmt *st);
struct db_value db_column(struct db_stmt *st, int col);

void db_reset(struct db_stmt *st);
void db_resetp(struct db_stmt **st); /* NULL inside is fine */

/** db_script(tx, sql, err): statements without parameters or rows, separated by ';'; not cached. */
err_code db_script(struct db_tx *tx, const char *sql, struct err *err);

/**
 * db_check(db, set, fn, ctx, err): what the engine itself finds wrong, a sentence each to ${fn}.  SQLite looks at every page, index, constraint and
 * reference, and whether its schema is the one that ${set}, which has been applied, makes.  PostgreSQL does so as it writes and reads, and is not asked.
 */
err_code db_check(
    struct db *db, const struct db_migrations *set, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err);

/** db_key_max(db): how many bytes of text and ids together an entry of an index surely takes; SIZE_MAX: any number. */
size_t db_key_max(const struct db *db);

/** db_each_sql(db, fn, arg): every text that has been prepared, while no transaction runs; for tests of query plans. */
void db_each_sql(struct db *db, void (*fn)(void *arg, const char *sql), void *arg);

/* ---- other processes ----------------------------------------------------------------------------------------------------- */

struct db_listener;

/** Who wants to hear what processes on the same database tell.  On a thread of the listener's; may not block. */
struct db_ears {
	void *ctx;
	/** A transaction has committed in which db_tell() said this.  One's own are heard too, and the same may be heard twice. */
	void (*told)(void *ctx, const struct id *about, int64_t number);
	/** The line was down, and is up again: what was told in between was not heard. */
	void (*missed)(void *ctx);
};

/**
 * db_tell(tx, about, number): all who listen hear of it when ${tx} has committed, and never if it does not; of several numbers about one thing the
 * last.  For DB_WRITE.  Costs nothing on an engine of one process.
 */
void db_tell(struct db_tx *tx, const struct id *about, int64_t number);

/**
 * db_listen(db, ears, out, err): from now on, until db_listener_free(), which comes before db_free().  ${ears} is copied.  *out is NULL where one
 * process at a time writes, which knows what it has written.
 * Errors     as db_postgres_open: the first connection is made here.  Later ones are made again by themselves.
 */
err_code db_listen(struct db *db, const struct db_ears *ears, struct db_listener **out, struct err *err);
void db_listener_free(struct db_listener *l); /* NULL is fine; nothing is called any more when it returns */

/* ---- migrations ------------------------------------------------------------------------------------------------------------ */

/** A step of the schema.  Its text is never changed after a release; the next step is a new one. */
struct db_migration {
	const char *name; /* YYYYMMDD_NNN_topic */
	const char *sql;  /* @bytes@ @text@ @int@ @rows@ @clustered@ stand for what the engine calls them */
};
struct db_migrations {
	const struct db_migration *list; /* by name */
	size_t n;
};

/**
 * db_migrate(db, set, now_us, err): apply what is missing, all in one transaction, and record name, SHA-256 and time in
 * schema_migrations.  Logs that it begins and ends where the database is not new.
 *
 * Errors     DB with reason "newer_schema": the database has a migration that ${set} has not; with reason "changed_migration": one was
 *            applied with another text.  Nothing is changed then.
 */
err_code db_migrate(struct db *db, const struct db_migrations *set, int64_t now_us, struct err *err);

/**
 * db_migrated(db, set, err): have all of them been applied?  Changes nothing, and reads only.
 * Errors     as db_migrate, and DB with reason "older_schema": some have not.
 */
err_code db_migrated(struct db *db, const struct db_migrations *set, struct err *err);

/** The server's migrations: migrations/ beside this file. */
extern const struct db_migrations db_server_migrations;

/**
 * db_server_copy(from, to, copied, ctx, err): every row of a server's database, as it is at one instant, into ${to}, in one transaction.
 * Left out are the installation's id and what can be made anew: snapshots.  Both are migrated, ${to} has no rows, and each may be of
 * either engine.  ${copied} (NULL: nobody asks) is told now and then how many rows it is.  One thread at a time in a process.
 */
err_code db_server_copy(struct db *from, struct db *to, void (*copied)(void *ctx, uint64_t rows), void *ctx, struct err *err);

/**
 * db_identity(db, now_us, out, fresh, err): the id of the installation that the server's database belongs to, made at the first call.
 * *fresh: nobody has used it yet, it has no device.
 */
err_code db_identity(struct db *db, int64_t now_us, struct id *out, bool *fresh, struct err *err);

/** db_identity_read(db, out, err): the same, without making one: NOT_FOUND. */
err_code db_identity_read(struct db *db, struct id *out, struct err *err);
