/*
 * A pull from end to end: its threads, and the two queues between them.
 */
#include "base/map.h"
#include "client/transfer/pull_internal.h"

/* ---- the pull's state --------------------------------------------------------------------------------------------------------- */

static void
wake_all(struct pull *p)
{
	cond_broadcast(&p->can_fetch);
	cond_broadcast(&p->can_copy);
	cond_broadcast(&p->can_plan);
}

void
pull_fail(struct pull *p, const struct err *err)
{
	mutex_lock(&p->mu);
	if (!p->stop)
		p->err = *err;
	p->stop = true;
	wake_all(p);
	mutex_unlock(&p->mu);
}

static void
look_for_cancel(struct pull *p)
{
	struct err err;

	if (!transfer_cancelled(p->env))
		return;
	(void)err_set(&err, ERR_CANCELLED, "stopped on request");
	pull_fail(p, &err);
}

bool
pull_stopped(struct pull *p)
{
	bool stop;

	look_for_cancel(p);
	mutex_lock(&p->mu);
	stop = p->stop;
	mutex_unlock(&p->mu);
	return stop;
}

/* ---- jobs for fetchers ---------------------------------------------------------------------------------------------------------- */

void
job_free(struct job *j)
{
	while (j) {
		struct job *also = j->also;

		free(j->needs);
		free(j->runs);
		free(j);
		j = also;
	}
}

struct job *
job_wait(struct pull *p)
{
	struct job *j;

	mutex_lock(&p->mu);
	while (!p->jobs && !p->planned)
		cond_wait(&p->can_fetch, &p->mu);
	j = p->jobs;
	if (j) {
		p->jobs = j->next;
		if (!p->jobs)
			p->jobs_tail = &p->jobs;
		p->jobs_n--;
		cond_broadcast(&p->can_plan);
	}
	mutex_unlock(&p->mu);
	return j;
}

/* Jobs that were made are always queued: fetchers settle them quickly when the pull has stopped (L2). */
void
job_queue(struct pull *p, struct job *j)
{
	j->next = NULL;
	mutex_lock(&p->mu);
	while (!p->stop && p->jobs_n >= JOBS_WAITING * p->parallel)
		cond_wait(&p->can_plan, &p->mu);
	*p->jobs_tail = j;
	p->jobs_tail = &j->next;
	p->jobs_n++;
	cond_signal(&p->can_fetch);
	mutex_unlock(&p->mu);
}

/* ---- pages for copiers ---------------------------------------------------------------------------------------------------------- */

void
page_queue(struct pull *p, struct page *pg)
{
	pg->next = NULL;
	pg->spans_left = pg->unread ? 1 : (pg->count + SPAN_BLOCKS - 1) / SPAN_BLOCKS;
	mutex_lock(&p->mu);
	while (!p->stop && p->pages_n >= PAGES_WAITING)
		cond_wait(&p->can_plan, &p->mu);
	*p->pages_tail = pg;
	p->pages_tail = &pg->next;
	p->pages_n++;
	pg->file->pending++;
	pg->file->copying++;
	cond_broadcast(&p->can_copy);
	mutex_unlock(&p->mu);
}

struct page *
page_wait(struct pull *p, uint32_t *span)
{
	struct page *pg;

	mutex_lock(&p->mu);
	while (!p->pages && !p->planned)
		cond_wait(&p->can_copy, &p->mu);
	pg = p->pages;
	if (pg) {
		*span = pg->span_next++;
		if (pg->unread || pg->span_next * SPAN_BLOCKS >= pg->count) { /* nothing of it is left to be taken */
			p->pages = pg->next;
			if (!p->pages)
				p->pages_tail = &p->pages;
			p->pages_n--;
			cond_broadcast(&p->can_plan);
		}
	}
	mutex_unlock(&p->mu);
	return pg;
}

/* ---- from end to end --------------------------------------------------------------------------------------------------------------- */

/* What is there to do, and how many threads it is worth: each of its blocks may be in a chunk of its own. */
static void
expect(struct pull *p, const struct pull_file *files, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += (uint64_t)files[i].want->size;
	progress_expect(p->env, n, bytes);
	p->parallel = transfer_parallel(p->env, n + bytes / BLOCK_LEN_MAX);
	p->copiers = (unsigned)MIN(n + bytes / (SPAN_BLOCKS * BLOCK_LEN_MAX), COPIERS);
}

static unsigned
start(struct pull *p, const char *name, void *(*fn)(void *), pthread_t *threads, unsigned n)
{
	unsigned started = 0;
	struct err err;

	while (started < n && thread_start(name, fn, p, &threads[started], &err) == ERR_OK)
		started++;
	if (started == 0)
		pull_fail(p, &err);
	return started;
}

static void
run(struct pull *p, const struct pull_file *files, size_t n)
{
	pthread_t fetchers[PARALLEL_MAX], copiers[COPIERS];
	unsigned fetching = start(p, "fetch", fetcher_main, fetchers, p->parallel);
	unsigned copying = start(p, "copy", copier_main, copiers, p->copiers);

	if (fetching > 0 && copying > 0)
		plan_all(p, files, n);
	mutex_lock(&p->mu);
	p->planned = true;
	wake_all(p);
	mutex_unlock(&p->mu);
	for (unsigned i = 0; i < copying; i++)
		pthread_join(copiers[i], NULL);
	for (unsigned i = 0; i < fetching; i++)
		pthread_join(fetchers[i], NULL);
}

static err_code
look_at_state(struct pull *p, struct err *err)
{
	struct state_totals totals;
	err_code rc = state_totals(p->env->state, &totals, err);

	p->bare = rc == ERR_OK && totals.files == 0 && (!p->env->elsewhere || map_count(p->env->elsewhere) == 0);
	return rc;
}

err_code
pull_run(const struct transfer_env *env, const struct pull_file *files, size_t n, pull_open open_temp, pull_ready ready,
    struct err *err)
{
	struct pull p = { .env = env, .open_temp = open_temp, .ready = ready };
	err_code rc;

	if (n == 0)
		return ERR_OK;
	rc = look_at_state(&p, err);
	if (rc)
		return rc;
	p.jobs_tail = &p.jobs;
	p.pages_tail = &p.pages;
	mutex_init(&p.callback, RANK_ENGINE);
	mutex_init(&p.mu, RANK_POOL);
	cond_init(&p.can_fetch);
	cond_init(&p.can_copy);
	cond_init(&p.can_plan);
	expect(&p, files, n);
	run(&p, files, n);
	list_flush(&p);
	cond_fini(&p.can_fetch);
	cond_fini(&p.can_copy);
	cond_fini(&p.can_plan);
	mutex_fini(&p.mu);
	mutex_fini(&p.callback);
	if (p.stop && err)
		*err = p.err;
	return p.stop ? p.err.code : ERR_OK;
}
