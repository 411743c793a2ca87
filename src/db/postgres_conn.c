/*
 * Connections to PostgreSQL: what is asked of each, and when it is made again.
 *
 * What the URL says goes before what we prefer, but for what correctness rests on: the encoding, and synchronous_commit, which is
 * not off (an acknowledged commit is on disk).  The planner is told what we know: every statement of ours is a short range of an index,
 * so a plan is made for any value, and made again as the tables grow (postgres_stmt.c).
 */
#include "db/postgres_internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/num.h"
#include "base/sbuf.h"

#include <assert.h>
#include <time.h>

#define LOCK_SPACE INT64_C(0x64726179) /* "dray": the upper half of the writers' lock, whose lower half is the schema's number */
#define VERSION_MIN 140000
#define REST_FIRST_MS 20
#define REST_MAX_MS 1000
#define OPTIONS_LEN_MAX (4 * KIB)

/* ---- how to connect -------------------------------------------------------------------------------------------------------- */

static void
add_param(struct pg *db, const char *keyword, const char *value)
{
	if (db->params_n == PG_PARAMS_MAX)
		abort(); /* libpq knows some forty keywords, each comes once */
	db->params[db->params_n++] = (struct pg_param){ xstrdup(keyword), xstrdup(value) };
}

static const char *
param(const struct pg *db, const char *keyword)
{
	for (unsigned i = db->params_n; i-- > 0;) {
		if (strcmp(db->params[i].keyword, keyword) == 0)
			return db->params[i].value;
	}
	return NULL;
}

/* A dead peer is noticed: within 5 s while connecting, within 30 s when it does not take what we send or has gone while we wait. */
static void
add_defaults(struct pg *db)
{
	add_param(db, "fallback_application_name", "drayd");
	add_param(db, "connect_timeout", "5");
	add_param(db, "keepalives_idle", "15");
	add_param(db, "keepalives_interval", "5");
	add_param(db, "keepalives_count", "3");
	add_param(db, "tcp_user_timeout", "30000");
}

/* ${more}: the URL's own options, which come later and so count. */
static err_code
add_options(struct pg *db, const char *more, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(OPTIONS_LEN_MAX);
	err_code rc;

	sbuf_addf(&sb, "-c lock_timeout=%u -c idle_in_transaction_session_timeout=300000 -c statement_timeout=3600000", db->wait_ms);
	sbuf_add(&sb, " -c plan_cache_mode=force_generic_plan -c jit=off -c enable_seqscan=off -c enable_bitmapscan=off"
	              " -c enable_sort=off -c enable_material=off -c enable_hashjoin=off -c enable_mergejoin=off"
	              " -c client_min_messages=warning");
	if (more)
		sbuf_addf(&sb, " %s", more);
	rc = sbuf_done(&sb, err);
	if (!rc)
		add_param(db, "options", sbuf_str(&sb));
	return rc;
}

/* libpq's own words about a URL can contain a piece of the password, when that has an '@' or a '/' that should have been escaped. */
static err_code
check_params(const struct pg *db, struct err *err)
{
	const char *host = param(db, "host"), *port = param(db, "port"), *user = param(db, "user");
	bool bad = (host && strchr(host, '@')) || (user && strchr(user, '/')) || (port && strspn(port, "0123456789,") != strlen(port));

	if (!bad)
		return ERR_OK;
	return err_set(err, ERR_USAGE, "the database's URL cannot be read; write special characters in user and password as %%XX");
}

static void
name_place(struct pg *db)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
	const char *host = param(db, "host"), *port = param(db, "port"), *name = param(db, "dbname");

	sbuf_addf(&sb, "%.200s:%.50s/%.200s", host && *host ? host : "localhost", port && *port ? port : "5432", name ? name : "");
	db->where = sbuf_take(&sb);
}

static err_code
take_params(struct pg *db, const PQconninfoOption *o, struct err *err)
{
	const char *options = NULL;
	err_code rc;

	add_defaults(db);
	for (; o->keyword; o++) {
		if (!o->val)
			continue;
		if (strcmp(o->keyword, "options") == 0)
			options = o->val;
		else
			add_param(db, o->keyword, o->val);
	}
	rc = add_options(db, options, err);
	add_param(db, "client_encoding", "UTF8");
	if (param(db, "password"))
		db->password = xstrdup(param(db, "password"));
	name_place(db);
	return rc ? rc : check_params(db, err);
}

err_code
pg_params(struct pg *db, const char *url, struct err *err)
{
	PQconninfoOption *parsed = PQconninfoParse(url, NULL);
	err_code rc;

	if (!parsed)
		return err_set(err, ERR_USAGE,
		    "the database's URL cannot be read; write special characters in user and password as %%XX");
	rc = take_params(db, parsed, err);
	PQconninfoFree(parsed);
	return rc;
}

void
pg_params_free(struct pg *db)
{
	for (unsigned i = 0; i < db->params_n; i++) {
		free(db->params[i].keyword);
		free(db->params[i].value);
	}
	free(db->password);
	free(db->where);
}

/* ---- one connection -------------------------------------------------------------------------------------------------------- */

struct pg_conn *
pg_conn_new(struct pg *db, enum db_mode mode)
{
	struct pg_conn *c = xcalloc(1, sizeof *c);

	c->base = (struct db_tx){ .ops = db->base.ops, .db = &db->base, .mode = mode };
	c->db = db;
	return c;
}

static void
disconnect(struct pg_conn *c)
{
	pg_stmts_free(c);
	PQfinish(c->pg);
	c->pg = NULL;
	c->ahead_n = 0;
}

void
pg_conn_free(struct pg_conn *c)
{
	if (!c)
		return;
	disconnect(c);
	free(c->said);
	free(c);
}

bool
pg_lost(const struct pg_conn *c)
{
	return PQstatus(c->pg) != CONNECTION_OK; /* NULL is not */
}

err_code
pg_exec(struct pg_conn *c, const char *sql, struct err *err)
{
	err_code rc = pg_await(c, err);
	ExecStatusType st;
	PGresult *res;

	if (rc)
		return rc;
	res = PQexec(c->pg, sql);
	st = PQresultStatus(res);
	if (st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK)
		return pg_fail(c, sql, res, err);
	PQclear(res);
	return ERR_OK;
}

err_code
pg_ask(struct pg_conn *c, const char *sql, const struct pg_answer *out, int n, struct err *err)
{
	PGresult *res;

	assert(c->ahead_n == 0); /* A1 */
	res = PQexec(c->pg, sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1 || PQnfields(res) != n)
		return pg_fail(c, sql, res, err);
	for (int i = 0; i < n; i++)
		(void)snprintf(out[i].to, out[i].cap, "%s", PQgetvalue(res, 0, i));
	PQclear(res);
	return ERR_OK;
}

/* What the server says by itself.  Never on standard error, which is libpq's way. */
static void
on_notice(void *arg, const char *text)
{
	const struct pg *db = arg;
	char line[400];

	pg_message(db, text, line);
	log_event(LOG_WARN, "PostgreSQL says", LOG_STR("database", db->where), LOG_STR("text", line));
}

static err_code
check_server(struct pg_conn *c, const char *schema, const char *encoding, struct err *err)
{
	uint64_t oid = 0;

	if (PQserverVersion(c->pg) < VERSION_MIN)
		return err_set(err, ERR_DB, "%s is PostgreSQL %d.%d; 14 or newer is needed", c->db->where, PQserverVersion(c->pg) / 10000,
		    PQserverVersion(c->pg) % 10000);
	if (strcmp(encoding, "UTF8") != 0)
		return err_set(err, ERR_DB, "%s has the encoding %s; it must be UTF8", c->db->where, encoding);
	if (!parse_u64(schema, strlen(schema), UINT32_MAX, &oid))
		return err_set(err, ERR_DB, "no schema of the search_path exists in %s", c->db->where);
	c->schema = (uint32_t)oid;
	(void)snprintf(c->begin, sizeof c->begin,
	    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_current_xact_id() FROM %s(%jd)",
	    FAULT("db.no_turns") ? "abs" : "pg_advisory_xact_lock", (intmax_t)(LOCK_SPACE << 32 | (int64_t)oid));
	return ERR_OK;
}

/* The weaker values of synchronous_commit but off still flush here; stronger ones are the administrator's. */
static err_code
configure(struct pg_conn *c, struct err *err)
{
	static const char ask[] =
	    "SELECT coalesce(CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END, ''),"
	    " coalesce((SELECT oid::text FROM pg_namespace WHERE nspname = current_schema()), ''), current_setting('server_encoding'),"
	    " current_setting('fsync'),"
	    " CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
	char set[8], schema[24], encoding[32], fsync[8];
	struct pg_answer out[] = { { set, sizeof set }, { schema, sizeof schema }, { encoding, sizeof encoding }, { fsync, sizeof fsync },
		{ c->timeline, sizeof c->timeline } };
	err_code rc;

	rc = pg_ask(c, ask, out, ARRAY_LEN(out), err);
	if (!rc)
		rc = check_server(c, schema, encoding, err);
	c->unsafe = strcmp(fsync, "off") == 0;
	return rc;
}

err_code
pg_connect(struct pg_conn *c, struct err *err)
{
	const char *keywords[PG_PARAMS_MAX + 1] = { 0 }, *values[PG_PARAMS_MAX + 1] = { 0 };
	const struct pg *db = c->db;
	char text[400];
	err_code rc;

	disconnect(c);
	for (unsigned i = 0; i < db->params_n; i++) {
		keywords[i] = db->params[i].keyword;
		values[i] = db->params[i].value;
	}
	c->pg = PQconnectdbParams(keywords, values, 0);
	if (pg_lost(c)) {
		pg_message(db, PQerrorMessage(c->pg), text);
		disconnect(c);
		return err_set(err, ERR_UNAVAILABLE, "PostgreSQL at %s: %s", db->where, text);
	}
	c->runs = 0;
	c->look_at = PG_LOOK_FIRST;
	(void)PQsetNoticeProcessor(c->pg, on_notice, c->db);
	rc = configure(c, err);
	if (rc)
		disconnect(c);
	return rc;
}

bool
pg_rest(unsigned times, int64_t deadline_ms)
{
	int64_t ms = MIN((int64_t)REST_FIRST_MS << MIN(times, 10u), (int64_t)REST_MAX_MS), left = deadline_ms - clock_mono_ms();
	struct timespec t;

	if (left <= 0)
		return false;
	ms = MIN(ms, left);
	t = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	(void)nanosleep(&t, NULL);
	return true;
}

err_code
pg_connect_until(struct pg_conn *c, int64_t deadline_ms, struct err *err)
{
	err_code rc;

	for (unsigned times = 0;; times++) {
		rc = pg_connect(c, err);
		if (rc != ERR_UNAVAILABLE || !pg_rest(times, deadline_ms))
			return rc;
	}
}
