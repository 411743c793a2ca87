/*
 * Transactions on PostgreSQL.
 *
 * Writers.  One connection writes, behind the queue of writer.c, and each outer transaction takes an advisory lock first, so that
 * the writers of several processes on one database take turns as well.  READ COMMITTED: the statements after the lock see
 * all that was committed before it was given, and nobody else writes until this transaction has ended (docs/adr/0008).
 *
 * Readers.  REPEATABLE READ from the first statement, which begin sends along: the instant is that of db_begin.  Who asks one statement alone
 * needs no transaction around it: begin only looks whether the connection still stands.
 *
 * Lost connections.
 *   at begin         nothing has been done: it is made again, within the deadline
 *   midway           the server takes the transaction back: UNAVAILABLE
 *   at commit        the transaction's number was noted at its beginning, and the server says what became of it, once it can be asked
 * Serialization failures, deadlocks and lock timeouts come from foreign sessions alone; they are as a connection that is lost midway.
 */
#include "db/postgres_internal.h"

#include "base/clock.h"
#include "base/fault.h"

#include <assert.h>
#include <poll.h>
#include <sys/socket.h>

/* ---- beginning ------------------------------------------------------------------------------------------------------------- */

static bool
has_said(const struct pg_conn *c)
{
	struct pollfd p = { .fd = PQsocket(c->pg), .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Nothing is sent; but what the server has said meanwhile is here, and last that it has gone, if it has. */
static err_code
begin_alone(struct pg_conn *c, int64_t deadline_ms, struct err *err)
{
	c->base.failure.code = ERR_OK;
	while (!pg_lost(c) && has_said(c) && PQconsumeInput(c->pg))
		continue;
	return pg_lost(c) ? pg_connect_until(c, deadline_ms, err) : ERR_OK;
}

static err_code
begin_once(struct pg_conn *c, struct err *err)
{
	struct pg_answer xid = { c->xid, sizeof c->xid };
	err_code rc;

	c->base.failure.code = ERR_OK;
	c->saved = false;
	c->said_n = c->said_before = 0;
	if (pg_lost(c)) {
		rc = pg_connect(c, err);
		if (rc)
			return rc;
	}
	if (c->base.mode == DB_WRITE)
		return pg_ask(c, c->begin, &xid, 1, err);
	return pg_exec(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1", err);
}

/* Back to where the connection can begin again, or lost. */
static void
end_quietly(struct pg_conn *c)
{
	(void)pg_await(c, NULL);
	if (!pg_lost(c) && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		(void)pg_exec(c, "ROLLBACK", NULL);
}

/* The first failure of a connection that lay idle says only that the server was restarted: no rest before the second attempt. */
static err_code
begin_until(struct pg_conn *c, int64_t deadline_ms, struct err *err)
{
	err_code rc;

	for (unsigned times = 0;; times++) {
		rc = begin_once(c, err);
		if (!rc)
			return ERR_OK;
		end_quietly(c);
		if (rc != ERR_UNAVAILABLE || clock_mono_ms() >= deadline_ms || (times && !pg_rest(times - 1, deadline_ms)))
			return rc;
	}
}

/* ---- the writer ------------------------------------------------------------------------------------------------------------ */

static err_code
write_begin(struct db_tx *tx, struct err *err)
{
	struct pg_conn *c = pg_conn_of(tx);

	return begin_until(c, clock_mono_ms() + c->db->wait_ms, err);
}

/*
 * A message there and back is what a member of a group costs, so a savepoint is given up in the message that makes the next one, or by the
 * commit.  Nothing can refuse that but a lost connection, and then all of the group are lost, its member too.
 */
static err_code
write_save(struct db_tx *tx, struct err *err)
{
	struct pg_conn *c = pg_conn_of(tx);
	err_code rc;

	rc = pg_exec(c, c->saved ? "RELEASE SAVEPOINT t; SAVEPOINT t" : "SAVEPOINT t", err);
	c->saved = false;
	c->said_before = c->said_n;
	return rc;
}

static err_code
write_release(struct db_tx *tx, struct err *err)
{
	(void)err;
	pg_conn_of(tx)->saved = true;
	return ERR_OK;
}

static bool
write_undo(struct db_tx *tx)
{
	struct pg_conn *c = pg_conn_of(tx);

	c->said_n = c->said_before;
	(void)pg_await(c, NULL);
	return !pg_lost(c) && !pg_exec(c, "ROLLBACK TO SAVEPOINT t; RELEASE SAVEPOINT t", NULL);
}

static void
write_rollback(struct db_tx *tx)
{
	end_quietly(pg_conn_of(tx));
}

static err_code
write_await(struct db_tx *tx, struct err *err)
{
	return pg_await(pg_conn_of(tx), err);
}

static bool
write_alive(struct db_tx *tx)
{
	struct pg_conn *c = pg_conn_of(tx);

	return !pg_lost(c) && PQtransactionStatus(c->pg) == PQTRANS_INTRANS;
}

/* ---- a commit whose answer was lost ------------------------------------------------------------------------------------------ */

/* What became of ${xid}: "committed", "aborted", "in progress", or "" when the server does not know. */
static err_code
status_of(struct pg_conn *c, const char *xid, char status[static 16], struct err *err)
{
	struct pg_answer out = { status, 16 };
	char sql[96];

	(void)snprintf(sql, sizeof sql, "SELECT coalesce(pg_xact_status('%s'::xid8), '')", xid);
	return pg_ask(c, sql, &out, 1, err);
}

/* Its session may wait for a client that has gone; without it, nobody can commit any more. */
static void
terminate(struct pg_conn *c, const char *xid)
{
	char sql[160];

	(void)snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = '%s'::xid8::xid", xid);
	(void)pg_exec(c, sql, NULL);
}

/* "" until the server has said "committed" or "aborted", and it is the same server as before. */
static void
ask_outcome(struct pg_conn *c, const char *xid, const char *timeline, char status[static 16], struct err *err)
{
	int64_t deadline_ms = clock_mono_ms() + c->db->wait_ms;

	for (unsigned times = 0;; times++) {
		bool in_progress;

		status[0] = '\0';
		if ((pg_lost(c) && pg_connect_until(c, deadline_ms, err)) || strcmp(timeline, c->timeline) != 0)
			return;
		if (status_of(c, xid, status, err))
			status[0] = '\0';
		in_progress = strcmp(status, "in progress") == 0;
		if (!in_progress && (status[0] || !pg_lost(c)))
			return;
		if (in_progress)
			terminate(c, xid);
		if (!pg_rest(times, deadline_ms)) {
			status[0] = '\0';
			return;
		}
	}
}

static err_code
settle(struct pg_conn *c, struct err *err)
{
	char xid[PG_XID_LEN], timeline[PG_TIMELINE_LEN], status[16];

	memcpy(xid, c->xid, sizeof xid);
	memcpy(timeline, c->timeline, sizeof timeline);
	ask_outcome(c, xid, timeline, status, err);
	if (strcmp(status, "committed") == 0)
		return ERR_OK;
	if (strcmp(status, "aborted") == 0)
		return err_set(err, ERR_UNAVAILABLE, "the connection to PostgreSQL was lost, and the commit did not take effect");
	return err_set(err, ERR_UNAVAILABLE,
	    "the connection to PostgreSQL was lost: it is not known whether the commit took effect");
}

/* Deliberate faults: the line is cut before the server has heard of the commit, or when it has done it and not yet said so. */
static void
cut_line(struct pg_conn *c, const char *commit)
{
	if (FAULT("db.lose_answer"))
		PQclear(PQexec(c->pg, commit));
	if (FAULT("db.lose_answer") || FAULT("db.lose_commit"))
		(void)shutdown(PQsocket(c->pg), SHUT_RDWR);
}

static err_code
write_commit(struct db_tx *tx, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sql = SBUF(MIB);
	struct pg_conn *c = pg_conn_of(tx);
	PGresult *res;
	err_code rc;

	assert(c->ahead_n == 0); /* A3 */
	pg_commit_sql(c, &sql);
	cut_line(c, sbuf_str(&sql));
	res = PQexec(c->pg, sbuf_str(&sql));
	if (pg_lost(c)) {
		PQclear(res);
		return settle(c, err);
	}
	if (PQresultStatus(res) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(res), "COMMIT") == 0) {
		PQclear(res);
		return ERR_OK;
	}
	rc = pg_fail(c, "COMMIT", res, err); /* "ROLLBACK" is no error of PostgreSQL's: it would be one of ours */
	end_quietly(c);
	return rc;
}

const struct writer_ops pg_writer = {
	.begin = write_begin,
	.save = write_save,
	.release = write_release,
	.undo = write_undo,
	.commit = write_commit,
	.rollback = write_rollback,
	.await = write_await,
	.alive = write_alive,
};

/* ---- readers --------------------------------------------------------------------------------------------------------------- */

/* It has changed nothing, so nobody waits for the answer: libpq takes it when the connection begins again. */
void
pg_read_end(struct db_tx *tx)
{
	struct pg_conn *c = pg_conn_of(tx);

	if (!pg_lost(c) && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		(void)PQsendQuery(c->pg, "ROLLBACK");
	pool_give(&c->db->readers, &c->item);
}

err_code
pg_read_begin(struct db *base, bool one, struct db_tx **tx, struct err *err)
{
	struct pg *db = (struct pg *)base;
	int64_t deadline_ms = clock_mono_ms() + db->wait_ms;
	struct pool_item *item;
	struct pg_conn *c;
	err_code rc;

	rc = pool_take(&db->readers, &item, err);
	if (rc)
		return rc;
	c = item ? pg_conn_of_item(item) : pg_conn_new(db, DB_READ);
	rc = one ? begin_alone(c, deadline_ms, err) : begin_until(c, deadline_ms, err);
	if (rc)
		pool_give(&db->readers, &c->item);
	else
		*tx = &c->base;
	return rc;
}
