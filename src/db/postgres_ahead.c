/*
 * Statements that are sent ahead: nobody waits for their answers (db_send), so that many of them cost one message there and back.
 *
 *   A1  The connection is in libpq's pipeline mode exactly while statements of ours are unanswered.  Whatever else uses it collects their answers
 *       first, or in the same message: a statement that is read is sent behind them.
 *   A2  A failure stops the server until the mark at the end, so what was sent behind it has done nothing.
 *   A3  The answers are in before a member's commit is left to a group or made (await, writer.h): the error fails that member and no neighbour.
 *   A4  They are few enough to be kept by libpq and by the kernel while nobody reads.
 */
#include "db/postgres_internal.h"

#include "base/fault.h"

PGresult *
pg_next_result(struct pg_conn *c)
{
	PGresult *res = PQgetResult(c->pg);

	return res ? res : PQgetResult(c->pg);
}

/*
 * Some call hears of an error that is not its own.  Its code stays that of the transaction; to this call, whose own key or row is neither taken
 * nor missing, it is one of the database.
 */
static err_code
fail_late(struct pg_conn *c, const char *what, PGresult *res, struct err *err)
{
	struct err own;

	(void)pg_fail(c, what, res, &own);
	if (own.code == ERR_EXISTS || own.code == ERR_NOT_FOUND)
		own.code = ERR_DB;
	if (err)
		*err = own;
	return own.code;
}

/* Up to the mark: the first failure of what was sent ahead, and of the one statement behind it, if there is one, the result. */
static bool
collect(struct pg_conn *c, PGresult **failed, const char **what, PGresult **last)
{
	PGresult *res;

	for (unsigned i = 0; (res = pg_next_result(c)); i++) {
		ExecStatusType status = PQresultStatus(res);

		if (status == PGRES_PIPELINE_SYNC) {
			PQclear(res);
			return PQexitPipelineMode(c->pg) == 1;
		}
		if (i == c->ahead_n && last) {
			*last = res;
		} else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && !*failed) {
			*failed = res;
			*what = i < c->ahead_n ? c->ahead[i] : "the end of what was sent";
		} else {
			PQclear(res);
		}
	}
	return false;
}

/* The mark goes out, and all answers come in. */
static err_code
settle(struct pg_conn *c, PGresult **last, struct err *err)
{
	PGresult *failed = NULL;
	const char *what = "wait for answers";
	bool whole = PQpipelineSync(c->pg) == 1 && collect(c, &failed, &what, last);

	c->ahead_n = 0;
	if (failed && whole && FAULT("db.late_error_lost"))
		PQclear(TAKE(failed));
	return whole && !failed ? ERR_OK : fail_late(c, what, failed, err);
}

err_code
pg_await(struct pg_conn *c, struct err *err)
{
	return c->ahead_n == 0 ? ERR_OK : settle(c, NULL, err);
}

err_code
pg_ahead(struct pg_conn *c, const char *sql, const struct pg_bound *b, struct err *err)
{
	err_code rc = c->ahead_n == PG_AHEAD_MAX ? pg_await(c, err) : ERR_OK; /* A4 */

	if (rc)
		return rc;
	if (c->ahead_n == 0 && PQenterPipelineMode(c->pg) != 1)
		return pg_fail(c, sql, NULL, err);
	c->ahead[c->ahead_n++] = sql;
	if (PQsendQueryPrepared(c->pg, b->name, b->n, b->value, b->len, b->binary, 1) != 1)
		return pg_fail(c, sql, NULL, err);
	return ERR_OK;
}

err_code
pg_run(struct pg_conn *c, const struct pg_bound *b, PGresult **res, struct err *err)
{
	err_code rc;

	*res = NULL;
	if (c->ahead_n == 0) {
		*res = PQexecPrepared(c->pg, b->name, b->n, b->value, b->len, b->binary, 1);
		return ERR_OK;
	}
	(void)PQsendQueryPrepared(c->pg, b->name, b->n, b->value, b->len, b->binary, 1); /* its failure is a result that does not come */
	rc = settle(c, res, err);
	if (rc)
		PQclear(TAKE(*res)); /* A2 */
	return rc;
}
