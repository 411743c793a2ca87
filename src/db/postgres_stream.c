/*
 * Statements with as many rows as there are: a cursor, of which the next rows are asked for before those at hand are read, so that the server finds
 * them meanwhile.
 *
 *   S1  The connection is in libpq's pipeline mode from the first step of a stream to its end.  Answers come in the order of what was sent: that of the
 *       cursor's declaration, then those of the FETCHes.
 *   S2  Two FETCHes are under way, so the server has one to work at while the answer to the other is taken apart.
 *   S3  Fewer rows than asked for are the last, so after them nothing is asked.
 *   S4  A failure stops the server until the mark at the end: what was sent behind it does nothing.
 *   S5  A transaction has one stream at a time, and nothing else while it runs (db_stream), so one name does.
 */
#include "db/postgres_internal.h"

#include <assert.h>

#define STREAM_ROWS 256
#define TEXT_OF(n) #n
#define FETCH_OF(n) "FETCH " TEXT_OF(n) " FROM stream"
#define SQL_MAX 2048

void
pg_stream(struct db_stmt *st)
{
	struct pg_stmt *s = (struct pg_stmt *)st;

	s->stream = true;
	s->begun = s->ended = false;
}

static err_code
fail(struct pg_stmt *s, PGresult *res, struct err *err)
{
	PQclear(TAKE(s->res));
	s->ended = true;
	return pg_fail(s->conn, s->sql, res, err);
}

static bool
ask(struct pg_stmt *s)
{
	PGconn *pg = s->conn->pg;

	return PQsendQueryParams(pg, FETCH_OF(STREAM_ROWS), 0, NULL, NULL, NULL, NULL, 1) == 1 && PQsendFlushRequest(pg) == 1 && PQflush(pg) >= 0;
}

static bool
declare(struct pg_stmt *s)
{
	char sql[SQL_MAX];
	Oid types[DB_PARAMS_MAX];
	struct pg_bound b;
	int len = snprintf(sql, sizeof sql, "DECLARE stream NO SCROLL CURSOR FOR %s", s->sql);

	assert(len < SQL_MAX && s->conn->ahead_n == 0); /* a reader sends nothing ahead */
	(void)len;
	pg_bind(s, &b);
	pg_types(s, types);
	return PQsendQueryParams(s->conn->pg, sql, b.n, types, b.value, b.len, b.binary, 1) == 1;
}

static err_code
begin(struct pg_stmt *s, struct err *err)
{
	PGresult *res;

	if (PQenterPipelineMode(s->conn->pg) != 1)
		return fail(s, NULL, err);
	s->begun = true;
	if (!declare(s) || !ask(s) || !ask(s))
		return fail(s, NULL, err);
	res = pg_next_result(s->conn);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		return fail(s, res, err);
	PQclear(res);
	return ERR_OK;
}

static err_code
take(struct pg_stmt *s, struct err *err)
{
	bool first = !s->res;

	PQclear(TAKE(s->res));
	s->res = pg_next_result(s->conn);
	if (PQresultStatus(s->res) != PGRES_TUPLES_OK)
		return fail(s, TAKE(s->res), err);
	s->row = -1;
	if (PQntuples(s->res) < STREAM_ROWS)
		s->ended = true; /* S3 */
	else if (!ask(s))
		return fail(s, NULL, err);
	return first ? pg_check_columns(s, err) : ERR_OK;
}

err_code
pg_stream_step(struct pg_stmt *s, bool *row, struct err *err)
{
	const struct err *failure = &s->conn->base.failure;
	err_code rc = ERR_OK;

	*row = false;
	if (s->ended && !s->res) {
		if (err)
			*err = *failure;
		return failure->code;
	}
	if (!s->begun)
		rc = begin(s, err);
	if (!rc && !s->ended && (!s->res || s->row + 1 == PQntuples(s->res)))
		rc = take(s, err);
	if (!rc)
		*row = ++s->row < PQntuples(s->res);
	return rc;
}

/* Up to the mark all answers are thrown away. */
void
pg_stream_end(struct pg_stmt *s)
{
	PGconn *pg = s->conn->pg;
	bool marked;

	s->stream = false;
	if (!s->begun)
		return;
	marked = PQsendQueryParams(pg, "CLOSE stream", 0, NULL, NULL, NULL, NULL, 1) == 1 && PQpipelineSync(pg) == 1;
	while (marked) {
		PGresult *res = pg_next_result(s->conn);

		marked = res && PQresultStatus(res) != PGRES_PIPELINE_SYNC;
		PQclear(res);
	}
	(void)PQexitPipelineMode(pg); /* where it fails, the connection is lost */
}
