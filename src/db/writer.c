/*
 * The writer is handed from one to the next in the order in which they came.
 *
 * Group commit.  A writer that commits while others wait does not pay for an fsync of its own: it leaves its changes in the open
 * outer transaction, hands the writer on and waits.  The next one runs inside a savepoint, so that its abort takes back only
 * its own changes.  Whoever commits with nobody behind, or when the group is large or old enough, commits the outer transaction; then
 * all of the group are answered with its outcome.  Nobody is acknowledged before the fsync, readers see the group at once, and if
 * the outer commit fails all of the group have failed.
 *
 *   begin    begin            or, in an open group, save
 *   commit   [await] [release]  hand on and wait      or  commit, answer the group, hand on
 *   abort    rollback         or  undo, and then as commit for those who wait
 */
#include "db/writer.h"

#include "base/clock.h"

/* PostgreSQL keeps the ids of 64 savepoints of a transaction at hand; with more every reader's snapshot has to look them up. */
#define GROUP_MEMBERS_MAX 64
#define GROUP_AGE_MAX_MS 10       /* then the next one to end commits, whoever waits */

struct waiter {
	struct waiter *next;
	struct cond turn;
	bool granted;
};

/**
 * A transaction of several writers: each commits into it, the last one out makes it durable for all (one fsync), and none is
 * acknowledged before.  Guarded by the writer's lock, ${members} by whoever has the writer.
 */
struct group {
	unsigned members;  /* committed into it so far */
	unsigned waiting;  /* threads that will read the outcome; the last frees */
	int64_t since_ms;
	bool ended;
	struct err outcome;
	struct cond end;
};

void
writer_init(struct writer *w, const struct writer_ops *ops, struct db_tx *tx, unsigned wait_ms)
{
	*w = (struct writer){ .ops = ops, .tx = tx, .wait_ms = wait_ms };
	mutex_init(&w->lock, RANK_DB);
}

void
writer_fini(struct writer *w)
{
	mutex_fini(&w->lock);
}

void
writer_stop(struct writer *w)
{
	mutex_lock(&w->lock);
	w->stopped = true;
	mutex_unlock(&w->lock);
}

/* ---- whose turn ------------------------------------------------------------------------------------------------------------ */

/* With the lock held. */
static void
waiter_unlink(struct writer *w, struct waiter *me)
{
	struct waiter **p = &w->first, *before = NULL;

	while (*p != me) {
		before = *p;
		p = &before->next;
	}
	*p = me->next;
	if (w->last == me)
		w->last = before;
}

/* With the lock held: wait in line. */
static bool
wait_turn(struct writer *w)
{
	int64_t deadline = clock_mono_ms() + w->wait_ms;
	struct waiter me = { .next = NULL };

	cond_init(&me.turn);
	if (w->last)
		w->last->next = &me;
	else
		w->first = &me;
	w->last = &me;
	while (!me.granted && cond_wait_until(&me.turn, &w->lock, deadline))
		;
	if (!me.granted)
		waiter_unlink(w, &me);
	cond_fini(&me.turn);
	return me.granted;
}

static bool
take(struct writer *w, bool *stopped)
{
	bool mine = true;

	mutex_lock(&w->lock);
	if (w->busy)
		mine = wait_turn(w);
	else
		w->busy = true;
	*stopped = w->stopped;
	mutex_unlock(&w->lock);
	return mine;
}

/* With the lock held: to the next in line, or to nobody. */
static void
pass(struct writer *w)
{
	struct waiter *next = w->first;

	if (!next) {
		w->busy = false;
		return;
	}
	w->first = next->next;
	if (!w->first)
		w->last = NULL;
	next->granted = true;
	cond_signal(&next->turn);
}

static void
give(struct writer *w)
{
	mutex_lock(&w->lock);
	pass(w);
	mutex_unlock(&w->lock);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------ */

static void
group_open(struct writer *w)
{
	w->group = xcalloc(1, sizeof *w->group);
	w->group->since_ms = clock_mono_ms();
	cond_init(&w->group->end);
}

static void
group_free(struct group *g)
{
	cond_fini(&g->end);
	free(g);
}

/* The outer transaction has ended as ${outcome} says: answer those who wait.  The caller has the writer. */
static void
group_settle(struct writer *w, const struct err *outcome)
{
	struct group *g = TAKE(w->group);
	bool alone;

	mutex_lock(&w->lock);
	g->ended = true;
	g->outcome = *outcome;
	alone = g->waiting == 0;
	cond_broadcast(&g->end);
	mutex_unlock(&w->lock);
	if (alone)
		group_free(g);
}

/* Make the outer transaction durable, for all who are in it. */
static err_code
group_commit(struct writer *w, struct err *err)
{
	struct err outcome;
	err_code rc;

	rc = w->ops->commit(w->tx, &outcome);
	if (!rc)
		outcome.code = ERR_OK; /* a commit that succeeds at the second try may have left words of the first */
	else if (err)
		*err = outcome;
	group_settle(w, &outcome);
	return rc;
}

/* The outer transaction is lost, and all that its members did in it. */
static void
group_lose(struct writer *w)
{
	w->ops->rollback(w->tx);
	if (!w->tx->failure.code)
		(void)err_set(&w->tx->failure, ERR_DB, "the transaction was rolled back");
	group_settle(w, &w->tx->failure);
}

/* If somebody waits for the writer, leave this commit to them: true, and ${rc} is how it went. */
static bool
leave_to_next(struct writer *w, struct group *g, struct err *err, err_code *rc)
{
	bool last;

	mutex_lock(&w->lock);
	if (!w->first || g->members >= GROUP_MEMBERS_MAX || clock_mono_ms() - g->since_ms > GROUP_AGE_MAX_MS) {
		mutex_unlock(&w->lock);
		return false;
	}
	g->waiting++;
	pass(w);
	while (!g->ended)
		cond_wait(&g->end, &w->lock);
	*rc = g->outcome.code;
	if (*rc && err)
		*err = g->outcome;
	last = --g->waiting == 0;
	mutex_unlock(&w->lock);
	if (last)
		group_free(g);
	return true;
}

/* Give the writer away without a commit of one's own, but with a group open whose members wait: to the next, or commit for them. */
static void
group_give(struct writer *w)
{
	bool passed = false;

	mutex_lock(&w->lock);
	if (w->first && clock_mono_ms() - w->group->since_ms <= GROUP_AGE_MAX_MS) {
		pass(w); /* under the lock: the next one cannot give up waiting in between */
		passed = true;
	}
	mutex_unlock(&w->lock);
	if (passed)
		return;
	(void)group_commit(w, NULL); /* its outcome is for the members */
	give(w);
}

/* The writer, for one who may write. */
static err_code
enter(struct writer *w, struct err *err)
{
	bool stopped;

	if (!take(w, &stopped))
		return err_set(err, ERR_UNAVAILABLE, "another write has not ended in %u ms", w->wait_ms);
	if (!stopped)
		return ERR_OK;
	if (w->group)
		group_give(w);
	else
		give(w);
	return err_set(err, ERR_READ_ONLY, "a write to the disk has failed; nothing is written until restart");
}

/* ---- transactions -------------------------------------------------------------------------------------------------------------- */

static err_code
begin_alone(struct writer *w, struct err *err)
{
	err_code rc;

	w->tx->failure.code = ERR_OK;
	w->nested = false;
	rc = w->ops->begin(w->tx, err);
	if (rc)
		give(w);
	else
		group_open(w);
	return rc;
}

/* A group whose transaction turns out to be lost is no reason not to write: the next one begins anew. */
err_code
writer_begin(struct writer *w, struct err *err)
{
	err_code rc;

	rc = enter(w, err);
	if (rc || !w->group)
		return rc ? rc : begin_alone(w, err);
	w->tx->failure.code = ERR_OK;
	w->nested = true;
	rc = w->ops->save(w->tx, err);
	if (!rc)
		return ERR_OK;
	if (!w->ops->alive(w->tx)) {
		group_lose(w);
		return begin_alone(w, err);
	}
	group_give(w);
	return rc;
}

/* An error may have made the engine take back the whole group; then its members are told so. */
void
writer_abort(struct writer *w)
{
	if (w->nested && w->ops->undo(w->tx)) {
		group_give(w);
		return;
	}
	group_lose(w);
	give(w);
}

err_code
writer_commit(struct writer *w, struct err *err)
{
	err_code rc = w->tx->failure.code;

	if (!rc && w->ops->await)
		rc = w->ops->await(w->tx, NULL); /* remembered as the failure, as that of release is */
	if (!rc && w->nested)
		rc = w->ops->release(w->tx, NULL);
	if (rc) {
		rc = w->tx->failure.code;
		if (err)
			*err = w->tx->failure;
		writer_abort(w);
		return rc;
	}
	w->group->members++;
	if (leave_to_next(w, w->group, err, &rc))
		return rc;
	rc = group_commit(w, err);
	if (!rc && w->ops->settled)
		w->ops->settled(w->tx);
	give(w);
	return rc;
}

err_code
writer_hold(struct writer *w, struct err *err)
{
	err_code rc;

	rc = enter(w, err);
	if (!rc && w->group)
		(void)group_commit(w, NULL); /* its outcome is for the members */
	return rc;
}

void
writer_release(struct writer *w)
{
	give(w);
}
