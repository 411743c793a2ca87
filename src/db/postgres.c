/*
 * PostgreSQL.  The rules that this driver keeps:
 *
 * P1  One connection writes, and its transactions take turns with those of other processes (postgres_tx.c).
 * P2  A commit that has been acknowledged is on the server's disk, or wherever it keeps what it has promised (synchronous_commit).
 * P3  What became of a commit is asked after when its answer is lost; UNAVAILABLE does not say "nothing happened".
 * P4  Nothing of a password is in a message.
 * P5  Who listens hears what a transaction has told after it has become visible, or is told that he has missed something (postgres_listen.c).
 */
#include "db/postgres_internal.h"

#include "base/clock.h"
#include "base/log.h"

#define READERS_MAX 8
#define WAIT_MS 30000

/* An entry of a B-tree is at most a third of a page, 2,704 bytes, when it cannot be compressed; the rest is for headers and alignment. */
#define KEY_MAX 2640

static const char *
pg_token(const char *name, size_t len)
{
	static const struct {
		const char *name, *text;
	} tokens[] = {
		{ "bytes", "BYTEA" },
		{ "text", "TEXT COLLATE \"C\"" }, /* compares bytes, as SQLite does */
		{ "int", "BIGINT" },
		{ "rows", "" },
		{ "clustered", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		if (strlen(tokens[i].name) == len && memcmp(tokens[i].name, name, len) == 0)
			return tokens[i].text;
	}
	return NULL;
}

/* The server does that by itself. */
static err_code
pg_checkpoint(struct db *db, bool truncate, struct err *err)
{
	(void)db;
	(void)truncate;
	(void)err;
	return ERR_OK;
}

struct each {
	void (*fn)(void *arg, const char *sql);
	void *arg;
};

static void
conn_each_sql(struct pool_item *item, void *arg)
{
	struct pg_conn *c = pg_conn_of_item(item);
	struct each *each = arg;

	for (size_t i = 0; i < PG_STMT_SLOTS; i++) {
		if (c->stmts[i])
			each->fn(each->arg, c->stmts[i]->sql);
	}
}

static void
pg_each_sql(struct db *base, void (*fn)(void *arg, const char *sql), void *arg)
{
	struct pg *db = (struct pg *)base;
	struct each each = { fn, arg };

	conn_each_sql(&pg_conn_of(db->writer.tx)->item, &each);
	pool_each(&db->readers, conn_each_sql, &each);
}

static void
pg_free(struct db *base)
{
	struct pg *db = (struct pg *)base;
	struct pool_item *item;

	while ((item = pool_pop(&db->readers)))
		pg_conn_free(pg_conn_of_item(item));
	pg_conn_free(pg_conn_of(db->writer.tx));
	writer_fini(&db->writer);
	pool_fini(&db->readers);
	pg_params_free(db);
	free(db);
}

static const struct db_ops pg_ops = {
	.free = pg_free,
	.checkpoint = pg_checkpoint,
	.read_begin = pg_read_begin,
	.read_end = pg_read_end,
	.query = pg_query,
	.step = pg_step,
	.stream = pg_stream,
	.send = pg_send,
	.affected = pg_affected,
	.i64 = pg_i64,
	.text = pg_text,
	.bytes = pg_bytes,
	.columns = pg_columns,
	.column = pg_column,
	.reset = pg_reset,
	.script = pg_script,
	.tell = pg_tell,
	.listen = pg_listen,
	.unlisten = pg_unlisten,
	.token = pg_token,
	.each_sql = pg_each_sql,
	.key_max = KEY_MAX,
};

/* A server that is just starting is waited for; any other refusal of the first connection is the operator's to see at once. */
static err_code
first_connect(struct pg *db, struct err *err)
{
	const char *keywords[PG_PARAMS_MAX + 1] = { 0 }, *values[PG_PARAMS_MAX + 1] = { 0 };
	int64_t deadline_ms = clock_mono_ms() + db->wait_ms;
	err_code rc;

	for (unsigned i = 0; i < db->params_n; i++) {
		keywords[i] = db->params[i].keyword;
		values[i] = db->params[i].value;
	}
	for (unsigned times = 0;; times++) {
		rc = pg_connect(pg_conn_of(db->writer.tx), err);
		if (rc != ERR_UNAVAILABLE || PQpingParams(keywords, values, 0) != PQPING_REJECT || !pg_rest(times, deadline_ms))
			return rc;
	}
}

err_code
db_postgres_open(const struct db_postgres_opts *opts, struct db **out, struct err *err)
{
	struct pg *db = xcalloc(1, sizeof *db);
	err_code rc;

	db->base = (struct db){ .ops = &pg_ops, .writer = &db->writer };
	db->wait_ms = opts->wait_ms ? opts->wait_ms : WAIT_MS;
	pool_init(&db->readers, opts->readers_max ? opts->readers_max : READERS_MAX, db->wait_ms);
	writer_init(&db->writer, &pg_writer, &pg_conn_new(db, DB_WRITE)->base, db->wait_ms);
	rc = pg_params(db, opts->url, err);
	if (!rc)
		rc = first_connect(db, err);
	if (rc) {
		pg_free(&db->base);
		return rc;
	}
	if (pg_conn_of(db->writer.tx)->unsafe)
		log_event(LOG_WARN, "the database server runs with fsync=off: a power cut can take acknowledged commits",
		    LOG_STR("database", db->where));
	*out = &db->base;
	return ERR_OK;
}
