/*
 * Large batches one at a time.  A batch of 10,000 operations takes about five times its body in memory while it is parsed and applied,
 * and its transaction excludes the others' anyway; letting eight of them parse side by side would only multiply that.  Who waits
 * holds his worker, as he would while waiting for the writer.
 */
#include "base/thread.h"
#include "server/route/route_internal.h"

#define SMALL_BODY (256 * KIB) /* passes: its memory is small, and so is the time that it would wait */

struct gate {
	struct mutex mu; /* RANK_LEAF; guards ${busy} */
	struct cond free;
	bool busy;
};

struct gate *
gate_new(void)
{
	struct gate *g = xcalloc(1, sizeof *g);

	mutex_init(&g->mu, RANK_LEAF);
	cond_init(&g->free);
	return g;
}

void
gate_free(struct gate *g)
{
	if (g == NULL)
		return;
	cond_fini(&g->free);
	mutex_fini(&g->mu);
	free(g);
}

bool
gate_enter(struct gate *g, size_t body_len)
{
	if (body_len <= SMALL_BODY)
		return false;
	mutex_lock(&g->mu);
	while (g->busy)
		cond_wait(&g->free, &g->mu);
	g->busy = true;
	mutex_unlock(&g->mu);
	return true;
}

void
gate_leave(struct gate *g)
{
	mutex_lock(&g->mu);
	g->busy = false;
	cond_signal(&g->free);
	mutex_unlock(&g->mu);
}
