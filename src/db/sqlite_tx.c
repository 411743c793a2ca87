/*
 * Transactions on SQLite: a pool of readers, and one writer that is handed from one to the next in the order in which they came.
 *
 * Group commit.  A writer that commits while others wait does not pay for an fsync of its own: it leaves its changes in the open
 * outer transaction, hands the writer on and waits.  The next one runs inside a savepoint, so that its abort takes back only
 * its own changes.  Whoever commits with nobody behind, or when the group is large or old enough, commits the outer transaction; then
 * all of the group are answered with its outcome.  Nobody is acknowledged before the fsync, readers see the group at once, and if
 * the outer commit fails all of the group have failed.
 *
 *   begin    BEGIN IMMEDIATE          or, in an open group, SAVEPOINT t
 *   commit   [RELEASE t]  hand on and wait      or  COMMIT, answer the group, hand on
 *   abort    ROLLBACK                 or  ROLLBACK TO t, RELEASE t, and then as commit for those who wait
 */
#include "db/sqlite_internal.h"

#include "base/clock.h"

#include <assert.h>

#define GROUP_MEMBERS_MAX 64
#define GROUP_AGE_MAX_MS 10       /* then the next one to end commits, whoever waits */
#define LOG_PAGES_DUE 1000        /* 4 MiB: checkpoint what no reader needs any more */
#define LOG_PAGES_TOO_MANY 16384  /* 64 MiB: readers overlap so that the log never starts over; make them wait a moment */
#define LOG_RESTART_WAIT_MS 200

/* ---- who writes ------------------------------------------------------------------------------------------------------------ */

struct waiter {
	struct waiter *next;
	struct cond turn;
	bool granted;
};

/* With the lock held. */
static void
waiter_unlink(struct sqlite *db, struct waiter *w)
{
	struct waiter **p = &db->first, *before = NULL;

	while (*p != w) {
		before = *p;
		p = &before->next;
	}
	*p = w->next;
	if (db->last == w)
		db->last = before;
}

/* With the lock held: wait in line. */
static bool
wait_turn(struct sqlite *db)
{
	int64_t deadline = clock_mono_ms() + db->opts.wait_ms;
	struct waiter w = { .next = NULL };

	cond_init(&w.turn);
	if (db->last)
		db->last->next = &w;
	else
		db->first = &w;
	db->last = &w;
	while (!w.granted && cond_wait_until(&w.turn, &db->lock, deadline))
		;
	if (!w.granted)
		waiter_unlink(db, &w);
	cond_fini(&w.turn);
	return w.granted;
}

static bool
writer_take(struct sqlite *db, bool *read_only)
{
	bool mine = true;

	mutex_lock(&db->lock);
	if (db->writing)
		mine = wait_turn(db);
	else
		db->writing = true;
	*read_only = db->read_only;
	mutex_unlock(&db->lock);
	return mine;
}

/* With the lock held: to the next in line, or to nobody. */
static void
writer_pass(struct sqlite *db)
{
	struct waiter *w = db->first;

	if (!w) {
		db->writing = false;
		return;
	}
	db->first = w->next;
	if (!db->first)
		db->last = NULL;
	w->granted = true;
	cond_signal(&w->turn);
}

static void
writer_give(struct sqlite *db)
{
	mutex_lock(&db->lock);
	writer_pass(db);
	mutex_unlock(&db->lock);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------ */

static void
group_free(struct group *g)
{
	cond_fini(&g->end);
	free(g);
}

/* The outer transaction has ended as ${outcome} says: answer those who wait.  The caller has the writer. */
static void
group_settle(struct conn *w, const struct err *outcome)
{
	struct group *g = TAKE(w->group);
	bool alone;

	mutex_lock(&w->db->lock);
	g->ended = true;
	g->outcome = *outcome;
	alone = g->waiting == 0;
	cond_broadcast(&g->end);
	mutex_unlock(&w->db->lock);
	if (alone)
		group_free(g);
}

/* The transaction is over for SQLite when an error has made it roll back by itself. */
static bool
rolled_back(struct conn *c)
{
	return sqlite3_get_autocommit(c->h) != 0;
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

/* Make the outer transaction durable, for all who are in it. */
static err_code
group_commit(struct conn *w, struct err *err)
{
	struct err outcome = { .code = ERR_OK };

	if (conn_exec(w, "COMMIT", &outcome)) {
		outcome_unknown(&outcome);
		if (!rolled_back(w))
			(void)conn_exec(w, "ROLLBACK", NULL);
		if (err)
			*err = outcome;
	}
	group_settle(w, &outcome);
	return outcome.code;
}

/* If somebody waits for the writer, leave this commit to them: true, and ${rc} is how it went. */
static bool
leave_to_next(struct conn *w, struct group *g, struct err *err, err_code *rc)
{
	struct sqlite *db = w->db;
	bool last;

	mutex_lock(&db->lock);
	if (!db->first || g->members >= GROUP_MEMBERS_MAX || clock_mono_ms() - g->since_ms > GROUP_AGE_MAX_MS) {
		mutex_unlock(&db->lock);
		return false;
	}
	g->waiting++;
	writer_pass(db);
	while (!g->ended)
		cond_wait(&g->end, &db->lock);
	*rc = g->outcome.code;
	if (*rc && err)
		*err = g->outcome;
	last = --g->waiting == 0;
	mutex_unlock(&db->lock);
	if (last)
		group_free(g);
	return true;
}

/* Give the writer away without a commit of one's own, but with a group open whose members wait: to the next, or commit for them. */
static void
group_give(struct conn *w)
{
	struct sqlite *db = w->db;
	bool passed = false;

	mutex_lock(&db->lock);
	if (db->first && clock_mono_ms() - w->group->since_ms <= GROUP_AGE_MAX_MS) {
		writer_pass(db); /* under the lock: the next one cannot give up waiting in between */
		passed = true;
	}
	mutex_unlock(&db->lock);
	if (passed)
		return;
	(void)group_commit(w, NULL); /* its outcome is for the members */
	writer_give(db);
}

/* The writer, for one who may write. */
static err_code
writer_enter(struct sqlite *db, struct err *err)
{
	bool read_only;

	if (!writer_take(db, &read_only))
		return err_set(err, ERR_UNAVAILABLE, "another write has not ended in %u ms", db->opts.wait_ms);
	if (!read_only)
		return ERR_OK;
	if (db->writer->group)
		group_give(db->writer);
	else
		writer_give(db);
	return err_set(err, ERR_READ_ONLY, "a write to the disk has failed; nothing is written until restart");
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------------- */

/* A failed checkpoint loses nothing: the log still has all of it, and the next one writes all of it again. */
static void
checkpoint_if_due(struct conn *w)
{
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

	rc = writer_enter(db, err);
	if (rc)
		return rc;
	if (db->writer->group)
		(void)group_commit(db->writer, NULL);
	if (sqlite3_wal_checkpoint_v2(db->writer->h, NULL, mode, NULL, NULL) != SQLITE_OK)
		rc = sqlite_fail(db->writer, "checkpoint", err);
	writer_give(db);
	return rc;
}

/* ---- writers ------------------------------------------------------------------------------------------------------------------ */

static void
group_open(struct conn *w)
{
	w->group = xcalloc(1, sizeof *w->group);
	w->group->since_ms = clock_mono_ms();
	cond_init(&w->group->end);
}

static err_code
write_begin(struct sqlite *db, struct db_tx **tx, struct err *err)
{
	struct conn *w = db->writer;
	err_code rc;

	rc = writer_enter(db, err);
	if (rc)
		return rc;
	w->failure.code = ERR_OK;
	w->nested = w->group != NULL;
	rc = conn_exec(w, w->nested ? "SAVEPOINT t" : "BEGIN IMMEDIATE", err);
	if (rc && w->nested) {
		group_give(w);
		return rc;
	}
	if (rc) {
		writer_give(db);
		return rc;
	}
	if (!w->nested)
		group_open(w);
	*tx = &w->base;
	return ERR_OK;
}

/* Take back what this transaction did, and no more; false when that is not possible. */
static bool
savepoint_undo(struct conn *w)
{
	return w->nested && !rolled_back(w) && !conn_exec(w, "ROLLBACK TO t", NULL) && !conn_exec(w, "RELEASE t", NULL);
}

/* An error may have made SQLite take back the whole group; then its members are told so. */
static void
write_abort(struct conn *w)
{
	if (savepoint_undo(w)) {
		group_give(w);
		return;
	}
	if (!rolled_back(w))
		(void)conn_exec(w, "ROLLBACK", NULL);
	if (!w->failure.code)
		(void)err_set(&w->failure, ERR_DB, "the transaction was rolled back");
	group_settle(w, &w->failure);
	writer_give(w->db);
}

static err_code
write_commit(struct conn *w, struct err *err)
{
	err_code rc = w->failure.code;

	if (!rc && w->nested)
		rc = conn_exec(w, "RELEASE t", NULL); /* remembered as the failure */
	if (rc) {
		if (err)
			*err = w->failure;
		write_abort(w);
		return rc;
	}
	w->group->members++;
	if (leave_to_next(w, w->group, err, &rc))
		return rc;
	rc = group_commit(w, err);
	if (!rc)
		checkpoint_if_due(w);
	writer_give(w->db);
	return rc;
}

/* ---- readers ------------------------------------------------------------------------------------------------------------------- */

/* With the lock held: an idle reader, or NULL when there is room for another, which is then counted. */
static err_code
reader_wait(struct sqlite *db, struct conn **out, struct err *err)
{
	int64_t deadline = clock_mono_ms() + db->opts.wait_ms;

	while (!db->idle && db->readers == db->opts.readers_max) {
		if (!cond_wait_until(&db->reader_idle, &db->lock, deadline) && !db->idle && db->readers == db->opts.readers_max)
			return err_set(err, ERR_UNAVAILABLE, "all readers are busy");
	}
	*out = db->idle;
	if (*out)
		db->idle = (*out)->next;
	else
		db->readers++;
	return ERR_OK;
}

static err_code
reader_take(struct sqlite *db, struct conn **out, struct err *err)
{
	err_code rc;

	mutex_lock(&db->lock);
	rc = reader_wait(db, out, err);
	mutex_unlock(&db->lock);
	if (rc || *out)
		return rc;
	rc = conn_open(db, DB_READ, out, err);
	if (rc) {
		mutex_lock(&db->lock);
		db->readers--;
		cond_signal(&db->reader_idle);
		mutex_unlock(&db->lock);
	}
	return rc;
}

static void
reader_give(struct conn *c)
{
	mutex_lock(&c->db->lock);
	c->next = c->db->idle;
	c->db->idle = c;
	cond_signal(&c->db->reader_idle);
	mutex_unlock(&c->db->lock);
}

static void
read_end(struct conn *c)
{
	if (!rolled_back(c))
		(void)conn_exec(c, "ROLLBACK", NULL); /* it has changed nothing */
	reader_give(c);
}

/* BEGIN alone would choose the instant at the first read; the contract is now. */
static err_code
read_begin(struct sqlite *db, struct db_tx **tx, struct err *err)
{
	struct conn *c;
	err_code rc;

	rc = reader_take(db, &c, err);
	if (rc)
		return rc;
	c->failure.code = ERR_OK;
	rc = conn_exec(c, "BEGIN", err);
	if (!rc)
		rc = conn_exec(c, "SELECT 1 FROM sqlite_schema LIMIT 1", err);
	if (rc) {
		read_end(c);
		return rc;
	}
	*tx = &c->base;
	return ERR_OK;
}

/* ---- the driver's methods -------------------------------------------------------------------------------------------------------- */

err_code
sqlite_begin(struct db *base, enum db_mode mode, struct db_tx **tx, struct err *err)
{
	struct sqlite *db = (struct sqlite *)base;

	return mode == DB_WRITE ? write_begin(db, tx, err) : read_begin(db, tx, err);
}

err_code
sqlite_commit(struct db_tx *tx, struct err *err)
{
	struct conn *c = conn_of(tx);

	assert(c->busy_count == 0); /* every statement has been reset */
	if (c->mode == DB_WRITE)
		return write_commit(c, err);
	read_end(c);
	return ERR_OK;
}

void
sqlite_abort(struct db_tx *tx)
{
	struct conn *c = conn_of(tx);

	assert(c->busy_count == 0);
	if (c->mode == DB_WRITE)
		write_abort(c);
	else
		read_end(c);
}
