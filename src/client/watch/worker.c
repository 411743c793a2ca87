#include "client/watch/agent_internal.h"

#include <errno.h>
#include <unistd.h>

static void *
work(void *arg)
{
	struct worker *w = arg;

	mutex_lock(&w->lock);
	while (!w->stop) {
		struct agent_done done = { 0 };
		struct err err = { 0 };
		uint64_t one = 1;
		err_code rc;

		if (!w->busy || w->done) {
			cond_wait(&w->work, &w->lock);
			continue;
		}
		mutex_unlock(&w->lock);
		rc = w->opts->pass(w->opts->ctx, &w->job, &done, &err);
		mutex_lock(&w->lock);
		w->result = done;
		w->rc = rc;
		w->err = err;
		w->done = true;
		while (write(w->wake, &one, sizeof one) < 0 && errno == EINTR)
			;
	}
	mutex_unlock(&w->lock);
	return NULL;
}

err_code
worker_start(struct worker *w, const struct agent_opts *opts, int wake, struct err *err)
{
	err_code rc;

	*w = (struct worker){ .opts = opts, .wake = wake };
	mutex_init(&w->lock, RANK_LEAF);
	cond_init(&w->work);
	w->job.cancel = &w->cancel;
	rc = thread_start("pass", work, w, &w->thread, err);
	if (rc) {
		mutex_fini(&w->lock);
		cond_fini(&w->work);
		w->opts = NULL;
	}
	return rc;
}

static void
held_free(struct worker *w)
{
	struct map *held = (struct map *)(uintptr_t)w->job.held; /* const for the pass only */

	map_free(held);
	w->job.held = NULL;
}

void
worker_stop(struct worker *w)
{
	if (!w->opts)
		return;
	worker_cancel(w);
	mutex_lock(&w->lock);
	w->stop = true;
	cond_signal(&w->work);
	mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	held_free(w);
	mutex_fini(&w->lock);
	cond_fini(&w->work);
	w->opts = NULL;
}

void
worker_run(struct worker *w, struct map *held, bool verify)
{
	mutex_lock(&w->lock);
	w->job.held = held;
	w->job.verify = verify;
	__atomic_store_n(&w->cancel, false, __ATOMIC_RELAXED);
	w->busy = true;
	cond_signal(&w->work);
	mutex_unlock(&w->lock);
}

void
worker_cancel(struct worker *w)
{
	__atomic_store_n(&w->cancel, true, __ATOMIC_RELAXED);
}

bool
worker_result(struct worker *w, struct agent_done *out, err_code *rc, struct err *err)
{
	bool done;

	mutex_lock(&w->lock);
	done = w->done;
	if (done) {
		*out = w->result;
		*rc = w->rc;
		*err = w->err;
		w->busy = w->done = false;
		held_free(w);
	}
	mutex_unlock(&w->lock);
	return done;
}
