/* Transactions on SQLite: readers from a pool, and the one connection that writes behind the queue of writer.c. */
#include "db/sqlite_internal.h"

#define LOG_PAGES_DUE 8192        /* 32 MiB: checkpoint what no reader needs any more; a page that many commits change is then written once */
#define LOG_PAGES_TOO_MANY 32768  /* 128 MiB: readers overlap so that the log never starts over; make them wait a moment */
#define LOG_RESTART_WAIT_MS 200

/* The transaction is over for SQLite when an error has made it roll back by itself. */
static bool
rolled_back(struct conn *c)
{
	return sqlite3_get_autocommit(c->h) != 0;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------------- */

/* A failed checkpoint loses nothing: the log still has all of it, and the next one writes all of it again. */
static void
checkpoint_if_due(struct db_tx *tx)
{
	struct conn *w = conn_of(tx);

	if (w->log_pages < LOG_PAGES_DUE)
		return;
	if (w->log_pages < LOG_PAGES_TOO_MANY) {
		(void)sqlite3_wal_checkpoint_v2(w->h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	} else {
		sqlite3_busy_timeout(w->h, LOG_RESTART_WAIT_MS);
		(void)sqlite3_wal_checkpoint_v2(w->h, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
		sqlite3_busy_timeout(w->h, SQLITE_BUSY_WAIT_MS);
	}
	w->log_pages = 0; /* until the next commit counts them */
}

err_code
sqlite_checkpoint(struct db *base, bool truncate, struct err *err)
{
	struct sqlite *db = (struct sqlite *)base;
	int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	err_code rc;

	rc = writer_hold(&db->writer, err);
	if (rc)
		return rc;
	if (sqlite3_wal_checkpoint_v2(conn_of(db->writer.tx)->h, NULL, mode, NULL, NULL) != SQLITE_OK)
		rc = sqlite_fail(conn_of(db->writer.tx), "checkpoint", err);
	writer_release(&db->writer);
	return rc;
}

/* ---- the writer ------------------------------------------------------------------------------------------------------------------ */

static err_code
write_begin(struct db_tx *tx, struct err *err)
{
	return conn_exec(conn_of(tx), "BEGIN IMMEDIATE", err);
}

static err_code
write_save(struct db_tx *tx, struct err *err)
{
	return conn_exec(conn_of(tx), "SAVEPOINT t", err);
}

static err_code
write_release(struct db_tx *tx, struct err *err)
{
	return conn_exec(conn_of(tx), "RELEASE t", err);
}

static bool
write_undo(struct db_tx *tx)
{
	struct conn *w = conn_of(tx);

	return !rolled_back(w) && !conn_exec(w, "ROLLBACK TO t", NULL) && !conn_exec(w, "RELEASE t", NULL);
}

static void
write_rollback(struct db_tx *tx)
{
	if (!rolled_back(conn_of(tx)))
		(void)conn_exec(conn_of(tx), "ROLLBACK", NULL);
}

/*
 * After a failed write or fsync of the log the commit may lie in the file all the same, and the next start would find it: that is not
 * "nothing happened", which every other code promises.
 */
static void
outcome_unknown(struct err *e)
{
	if (e->code == ERR_READ_ONLY || e->code == ERR_IO) {
		(void)err_wrap(e, "it is not known whether the commit took effect");
		e->code = ERR_UNAVAILABLE;
	}
}

static err_code
write_commit(struct db_tx *tx, struct err *err)
{
	if (!conn_exec(conn_of(tx), "COMMIT", err))
		return ERR_OK;
	outcome_unknown(err);
	write_rollback(tx);
	return err->code;
}

static bool
write_alive(struct db_tx *tx)
{
	return !rolled_back(conn_of(tx));
}

const struct writer_ops sqlite_writer = {
	.begin = write_begin,
	.save = write_save,
	.release = write_release,
	.undo = write_undo,
	.commit = write_commit,
	.rollback = write_rollback,
	.alive = write_alive,
	.settled = checkpoint_if_due,
};

/* ---- readers ------------------------------------------------------------------------------------------------------------------- */

static err_code
reader_take(struct sqlite *db, struct conn **out, struct err *err)
{
	struct pool_item *item;
	err_code rc;

	rc = pool_take(&db->readers, &item, err);
	if (rc)
		return rc;
	if (item) {
		*out = conn_of_item(item);
		return ERR_OK;
	}
	rc = conn_open(db, DB_READ, out, err);
	if (rc)
		pool_drop(&db->readers);
	return rc;
}

void
sqlite_read_end(struct db_tx *tx)
{
	struct conn *c = conn_of(tx);

	if (!rolled_back(c))
		(void)conn_exec(c, "ROLLBACK", NULL); /* it has changed nothing */
	pool_give(&c->db->readers, &c->item);
}

/* BEGIN alone would choose the instant at the first read; the contract is now. */
err_code
sqlite_read_begin(struct db *db, bool one, struct db_tx **tx, struct err *err)
{
	struct conn *c;
	err_code rc;

	rc = reader_take((struct sqlite *)db, &c, err);
	if (rc)
		return rc;
	c->base.failure.code = ERR_OK;
	if (one) {
		*tx = &c->base;
		return ERR_OK;
	}
	rc = conn_exec(c, "BEGIN", err);
	if (!rc)
		rc = conn_exec(c, "SELECT 1 FROM sqlite_schema LIMIT 1", err);
	if (rc) {
		sqlite_read_end(&c->base);
		return rc;
	}
	*tx = &c->base;
	return ERR_OK;
}
