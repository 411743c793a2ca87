#pragma once
/**
 * The PostgreSQL driver, shared by its files: postgres.c (the database), postgres_conn.c (connections, settings), postgres_error.c
 * (what its errors become), postgres_tx.c (transactions), postgres_stmt.c (statements), postgres_ahead.c (those whose
 * answers nobody waits for), postgres_stream.c (many rows), postgres_listen.c (what processes tell each other).
 */

#include <libpq-fe.h>
#include <stddef.h>

#include "base/sbuf.h"
#include "db/pool.h"
#include "db/writer.h"

#define PG_STMT_SLOTS 512 /* of a connection's cache, by address of the text and kinds of its values */
#define PG_AHEAD_MAX 256  /* statements whose answers are still to come: some tens of bytes each */
#define PG_LOOK_FIRST 256
#define PG_LOOK_LAST 16384
#define PG_XID_LEN 24     /* digits of a 64-bit number, and to spare */
#define PG_TIMELINE_LEN 16

struct pg_conn;

struct pg_stmt {
	struct db_stmt base;
	struct pg_conn *conn;
	const char *sql;      /* whose address is the key, with the kinds */
	unsigned number;      /* its name on the server: s1, s2, … */
	bool busy;            /* lent out */
	unsigned n;
	uint8_t kinds[DB_PARAMS_MAX];
	struct db_value values[DB_PARAMS_MAX];
	PGresult *res;        /* NULL: not run yet */
	int row;              /* the present one */
	bool stream, begun, ended; /* postgres_stream.c */
	int64_t affected;
};

struct pg_said;

struct pg_conn {
	struct db_tx base;    /* a connection carries one transaction at a time, and is lent as it */
	struct pool_item item; /* of readers */
	struct pg *db;
	PGconn *pg;           /* NULL: not connected */
	struct pg_stmt *stmts[PG_STMT_SLOTS];
	unsigned stmt_count;
	const char *ahead[PG_AHEAD_MAX]; /* the writer's statements that have been sent and not answered, in order */
	unsigned ahead_n;
	unsigned runs, look_at; /* the writer's statements since it looked at how large the tables are, and when it is time again */
	/* the writer's */
	char xid[PG_XID_LEN];           /* of the outer transaction: what its commit is asked after by, should the answer be lost */
	char timeline[PG_TIMELINE_LEN]; /* of the server's log: another one knows other transactions by the same numbers */
	bool saved;                     /* the savepoint of a member that has committed is still to be given up */
	bool unsafe;                    /* the server runs with fsync=off */
	char begin[160];                /* the statements that begin a transaction: they name the lock of this schema */
	uint32_t schema;                /* its number */
	struct pg_said *said;           /* by the members of the open group */
	size_t said_n, said_max;
	size_t said_before;             /* of which so many before the last savepoint */
};

/** What a transaction tells when it commits. */
struct pg_said {
	struct id about;
	int64_t number;
};

/** A keyword of libpq and its value. */
struct pg_param {
	char *keyword, *value;
};

#define PG_PARAMS_MAX 64

struct pg {
	struct db base;
	unsigned wait_ms;
	struct pg_param params[PG_PARAMS_MAX]; /* how to connect; the last of a keyword counts */
	unsigned params_n;
	char *password;        /* to be taken out of messages; NULL: none was given */
	char *where;           /* "HOST:PORT/DATABASE", for messages */
	struct pool readers;
	struct writer writer;
};

static inline struct pg_conn *
pg_conn_of(struct db_tx *tx)
{
	return (struct pg_conn *)tx;
}

static inline struct pg_conn *
pg_conn_of_item(struct pool_item *item)
{
	return (struct pg_conn *)((char *)item - offsetof(struct pg_conn, item));
}

/* ---- postgres_conn.c ---------------------------------------------------------------------------------------------------- */

/** pg_params(db, url, err): take ${url} apart, add what is ours.  USAGE when it cannot be read; the message has nothing of it. */
err_code pg_params(struct pg *db, const char *url, struct err *err);
void pg_params_free(struct pg *db);

struct pg_conn *pg_conn_new(struct pg *db, enum db_mode mode); /* not connected */
void pg_conn_free(struct pg_conn *c);                          /* NULL is fine */

/** pg_connect(c, err): once, anew; prepared statements are forgotten.  UNAVAILABLE, or what is wrong with the database. */
err_code pg_connect(struct pg_conn *c, struct err *err);

/** pg_connect_until(c, deadline_ms, err): again and again, with rests, until it works or the deadline has passed. */
err_code pg_connect_until(struct pg_conn *c, int64_t deadline_ms, struct err *err);

/** pg_lost(c): there is no connection any more. */
bool pg_lost(const struct pg_conn *c);

/** pg_rest(times, deadline_ms): before the next attempt, longer each time; false when the deadline has passed. */
bool pg_rest(unsigned times, int64_t deadline_ms);

/** pg_exec(c, sql, err): statements without values; their rows are thrown away. */
err_code pg_exec(struct pg_conn *c, const char *sql, struct err *err);

/** pg_ask(c, sql, out, n, err): the ${n} columns of its one row, each a text copied to out[i] of ${len} bytes; NULL is "". */
struct pg_answer {
	char *to;
	size_t cap;
};
err_code pg_ask(struct pg_conn *c, const char *sql, const struct pg_answer *out, int n, struct err *err);

/* ---- postgres_error.c --------------------------------------------------------------------------------------------------- */

/** pg_code(state): what SQLSTATE ${state} is among our codes. */
err_code pg_code(const char *state);

/** pg_fail(c, what, res, err): the error in ${res} (cleared), or else of the connection; remembered as the transaction's failure. */
err_code pg_fail(struct pg_conn *c, const char *what, PGresult *res, struct err *err);

/** pg_message(db, text, out): one line of it, without the password. */
void pg_message(const struct pg *db, const char *text, char out[static 400]);

/* ---- postgres_listen.c -------------------------------------------------------------------------------------------------- */

void pg_tell(struct db_tx *tx, const struct id *about, int64_t number);
/** pg_commit_sql(c, sql): the statements that tell what was said, and commit. */
void pg_commit_sql(const struct pg_conn *c, struct sbuf *sql);
err_code pg_listen(struct db *db, const struct db_ears *ears, struct db_listener **out, struct err *err);
void pg_unlisten(struct db_listener *l);

/* ---- postgres_tx.c ------------------------------------------------------------------------------------------------------ */

extern const struct writer_ops pg_writer;
err_code pg_read_begin(struct db *db, bool one, struct db_tx **tx, struct err *err);
void pg_read_end(struct db_tx *tx);

/* ---- postgres_stmt.c ---------------------------------------------------------------------------------------------------- */

err_code pg_query(struct db_tx *tx, const char *sql, const struct db_value *values, size_t n, struct db_stmt **st, struct err *err);
err_code pg_step(struct db_stmt *st, bool *row, struct err *err);
int64_t pg_affected(struct db_stmt *st);
int64_t pg_i64(struct db_stmt *st, int col);
const char *pg_text(struct db_stmt *st, int col, size_t *len);
const uint8_t *pg_bytes(struct db_stmt *st, int col, size_t *len);
unsigned pg_columns(struct db_stmt *st);
struct db_value pg_column(struct db_stmt *st, int col);
void pg_reset(struct db_stmt *st);
err_code pg_script(struct db_tx *tx, const char *sql, struct err *err);
err_code pg_send(struct db_stmt *st, struct err *err);
void pg_stmts_free(struct pg_conn *c);

/* ---- postgres_ahead.c --------------------------------------------------------------------------------------------------- */

/** A prepared statement and its values, as libpq takes them. */
struct pg_bound {
	char name[16];
	int n;
	const char *value[DB_PARAMS_MAX];
	int len[DB_PARAMS_MAX], binary[DB_PARAMS_MAX];
	uint64_t number[DB_PARAMS_MAX]; /* in network order: what values point to */
};

/** pg_ahead(c, sql, b, err): send it and go on; its error comes from a later call. */
err_code pg_ahead(struct pg_conn *c, const char *sql, const struct pg_bound *b, struct err *err);

/** pg_run(c, b, res, err): its result, behind what has been sent ahead.  An error is of that, or of the connection; a result may be one, too. */
err_code pg_run(struct pg_conn *c, const struct pg_bound *b, PGresult **res, struct err *err);

/** pg_next_result(c): in a pipeline, where a NULL lies between results; NULL: nothing more comes. */
PGresult *pg_next_result(struct pg_conn *c);

/** pg_await(c, err): until all that was sent ahead has been answered; before anything else that uses the connection. */
err_code pg_await(struct pg_conn *c, struct err *err);

/** pg_bind(s, b): what a statement sends. */
void pg_bind(const struct pg_stmt *s, struct pg_bound *b);
/** pg_types(s, types): what its values are. */
void pg_types(const struct pg_stmt *s, Oid types[static DB_PARAMS_MAX]);
/** pg_check_columns(s, err): that db_i64, db_text and db_bytes know what s->res has. */
err_code pg_check_columns(struct pg_stmt *s, struct err *err);

/* ---- postgres_stream.c -------------------------------------------------------------------------------------------------- */

void pg_stream(struct db_stmt *st);
/** pg_stream_step(s, row, err): pg_step of a stream. */
err_code pg_stream_step(struct pg_stmt *s, bool *row, struct err *err);
/** pg_stream_end(s): wherever it is, the connection is as before it. */
void pg_stream_end(struct pg_stmt *s);
