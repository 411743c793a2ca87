/*
 * Statements with as many rows as there are: a cursor, of which the next rows are asked for before those at hand are read, so that the server finds
 * them meanwhile.
 *
 *   S1  s->asked: a FETCH is on its way.  Its result is taken before anything else is sent.
 *   S2  Fewer rows than asked for are the last, so after them nothing is asked.
 *   S3  A transaction has one stream at a time, and nothing else while it runs (db_stream), so one name does.
 */
#include "db/postgres_internal.h"

#include <assert.h>

#define STREAM_ROWS 256
#define FETCH "FETCH 256 FROM stream"
#define SQL_MAX 2048

void
pg_stream(struct db_stmt *st)
{
	struct pg_stmt *s = (struct pg_stmt *)st;

	s->stream = true;
	s->declared = s->asked = false;
}

static err_code
ask(struct pg_stmt *s, struct err *err)
{
	if (PQsendQueryParams(s->conn->pg, FETCH, 0, NULL, NULL, NULL, NULL, 1) != 1)
		return pg_fail(s->conn, s->sql, NULL, err);
	s->asked = true;
	return ERR_OK;
}

static err_code
declare(struct pg_stmt *s, struct err *err)
{
	char sql[SQL_MAX];
	Oid types[DB_PARAMS_MAX];
	struct pg_bound b;
	PGresult *res;
	int len = snprintf(sql, sizeof sql, "DECLARE stream NO SCROLL CURSOR FOR %s", s->sql);

	assert(len < SQL_MAX && s->conn->ahead_n == 0); /* a reader sends nothing ahead */
	(void)len;
	pg_bind(s, &b);
	pg_types(s, types);
	res = PQexecParams(s->conn->pg, sql, b.n, types, b.value, b.len, b.binary, 1);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		return pg_fail(s->conn, s->sql, res, err);
	PQclear(res);
	s->declared = true;
	return ERR_OK;
}

/* S1.  The result of the FETCH; what comes behind it is the end of the answer. */
static PGresult *
answer(struct pg_stmt *s)
{
	PGresult *res = PQgetResult(s->conn->pg), *rest;

	while ((rest = PQgetResult(s->conn->pg)))
		PQclear(rest);
	s->asked = false;
	return res;
}

static err_code
take(struct pg_stmt *s, struct err *err)
{
	bool first = !s->res;
	err_code rc;

	PQclear(TAKE(s->res));
	s->res = answer(s);
	if (PQresultStatus(s->res) != PGRES_TUPLES_OK)
		return pg_fail(s->conn, s->sql, TAKE(s->res), err);
	s->row = -1;
	rc = first ? pg_check_columns(s, err) : ERR_OK;
	return !rc && PQntuples(s->res) == STREAM_ROWS ? ask(s, err) : rc; /* S2 */
}

err_code
pg_stream_step(struct pg_stmt *s, bool *row, struct err *err)
{
	err_code rc = ERR_OK;

	*row = false;
	if (!s->declared)
		rc = declare(s, err);
	if (!rc && !s->res)
		rc = ask(s, err);
	if (!rc && s->asked && (!s->res || s->row + 1 == PQntuples(s->res)))
		rc = take(s, err);
	if (!rc)
		*row = ++s->row < PQntuples(s->res);
	return rc;
}

void
pg_stream_end(struct pg_stmt *s)
{
	if (s->asked)
		PQclear(answer(s));
	if (s->declared)
		PQclear(PQexec(s->conn->pg, "CLOSE stream")); /* fails where the transaction has failed, and that is as good */
	s->stream = s->declared = s->asked = false;
}
