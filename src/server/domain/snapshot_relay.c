/*
 * R1  The ${full} slots from ${first} on are the taker's, the one behind them is the giver's.  It is there while full < slots.
 * R2  What the taker works with is the giver's until ${running}, and again when the taker's thread has been joined.
 * R3  The giver waits only for a ring that is full, and until half of it is free, since waking it for each slot costs a tenth of a build; the taker
 *     waits only for an empty one: one condition is enough for both.
 */
#include "base/thread.h"
#include "server/domain/snapshot_internal.h"

struct relay {
	relay_take *take;
	void *ctx;
	const char *name;
	unsigned slots;
	pthread_t thread;
	bool running;           /* the giver's */

	struct mutex mu;        /* RANK_POOL; guards what follows, but not what is in the slots */
	struct cond changed;    /* R3 */
	unsigned first, full;   /* R1 */
	bool ending;
	struct err why;         /* the taker's failure, with which it has ended; code ERR_OK: none */
};

struct relay *
relay_new(const char *name, unsigned slots, relay_take *take, void *ctx)
{
	struct relay *r = xcalloc(1, sizeof *r);

	*r = (struct relay){ .take = take, .ctx = ctx, .name = name, .slots = slots };
	mutex_init(&r->mu, RANK_POOL);
	cond_init(&r->changed);
	return r;
}

static void *
taker_main(void *arg)
{
	struct relay *r = arg;
	struct err err;
	err_code rc = ERR_OK;

	mutex_lock(&r->mu);
	while (!rc && (r->full > 0 || !r->ending)) {
		if (r->full == 0) {
			cond_wait(&r->changed, &r->mu);
			continue;
		}
		mutex_unlock(&r->mu);
		rc = r->take(r->ctx, r->first, &err); /* which nobody else changes while the ring is not empty */
		mutex_lock(&r->mu);
		if (rc)
			r->why = err;
		r->first = (r->first + 1) % r->slots;
		r->full--;
		if (rc || r->full <= r->slots / 2) /* R3 */
			cond_signal(&r->changed);
	}
	mutex_unlock(&r->mu);
	return NULL;
}

/* What was given is taken first, also when nobody wants it any more. */
static void
join(struct relay *r)
{
	if (!r->running)
		return;
	mutex_lock(&r->mu);
	r->ending = true;
	cond_signal(&r->changed);
	mutex_unlock(&r->mu);
	pthread_join(r->thread, NULL);
	r->running = false;
}

void
relay_free(struct relay *r)
{
	if (!r)
		return;
	join(r);
	cond_fini(&r->changed);
	mutex_fini(&r->mu);
	free(r);
}

static err_code
failure(const struct relay *r, struct err *err)
{
	if (r->why.code && err)
		*err = r->why;
	return r->why.code;
}

/* With mu: the giver's slot becomes the taker's. */
static void
give(struct relay *r)
{
	r->full++;
	cond_signal(&r->changed);
}

err_code
relay_give(struct relay *r, unsigned *slot, struct err *err)
{
	err_code rc;

	if (!r->running) /* a system without room for a thread still has a snapshot; it takes longer */
		r->running = thread_start(r->name, taker_main, r, &r->thread, NULL) == ERR_OK;
	if (!r->running)
		return r->take(r->ctx, r->first, err);
	mutex_lock(&r->mu);
	give(r);
	while (r->full == r->slots && !r->why.code)
		cond_wait(&r->changed, &r->mu);
	*slot = (r->first + r->full) % r->slots;
	rc = failure(r, err);
	mutex_unlock(&r->mu);
	return rc;
}

err_code
relay_last(struct relay *r, struct err *err)
{
	if (!r->running)
		return r->take(r->ctx, r->first, err);
	mutex_lock(&r->mu);
	give(r);
	mutex_unlock(&r->mu);
	join(r);
	return failure(r, err);
}
