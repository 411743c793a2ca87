/*
 * Jobs wait in a ring that grows.  Each has a number, counted from the first push; Q1: the jobs in the ring are numbered
 * first … first + waiting - 1 in order.  Each worker notes the number of the job it runs, so the oldest job that has not ended is
 * known, and workq_drain can wait for the jobs pushed before it without waiting for those pushed after.
 */
#include <assert.h>

#include "base/thread.h"

#define RING_LEAST 16
#define IDLE UINT64_MAX

struct job {
	void (*fn)(void *arg);
	void *arg;
};

struct worker {
	struct workq *q;
	pthread_t thread;
	uint64_t running; /* the number of its job, or IDLE; guarded by q->mu */
};

struct workq {
	struct mutex mu; /* guards all below but for workers' threads and the constants */
	struct cond work;  /* a job waits, or stop */
	struct cond room;  /* the ring is below depth_max */
	struct cond ended; /* the oldest unfinished job has ended */
	struct job *ring;
	size_t cap, head, waiting;
	uint64_t first; /* Q1 */
	bool stop;
	size_t depth_max; /* constant */
	unsigned n;       /* constant */
	struct worker workers[];
};

static _Thread_local const struct workq *mine; /* the queue whose job this thread runs */

static uint64_t
oldest(const struct workq *q)
{
	uint64_t least = q->first; /* with nothing waiting: the number of the next push */

	for (unsigned i = 0; i < q->n; i++)
		least = MIN(least, q->workers[i].running);
	return least;
}

static void
run_next(struct workq *q, struct worker *w)
{
	struct job job = q->ring[q->head];
	uint64_t number = q->first++;

	q->head = (q->head + 1) % q->cap;
	q->waiting--;
	w->running = number;
	if (q->depth_max)
		cond_signal(&q->room);
	mutex_unlock(&q->mu);
	job.fn(job.arg);
	mutex_lock(&q->mu);
	w->running = IDLE;
	if (oldest(q) > number) /* it was the oldest: somebody may have waited for it */
		cond_broadcast(&q->ended);
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct workq *q = w->q;

	mine = q;
	mutex_lock(&q->mu);
	for (;;) {
		while (!q->waiting && !q->stop)
			cond_wait(&q->work, &q->mu);
		if (!q->waiting)
			break;
		run_next(q, w);
	}
	mutex_unlock(&q->mu);
	return NULL;
}

struct workq *
workq_new(const char *name, unsigned threads, size_t depth_max)
{
	struct workq *q;
	struct err err;

	assert(threads > 0);
	q = xcalloc(1, sizeof *q + threads * sizeof q->workers[0]);
	mutex_init(&q->mu, RANK_POOL);
	cond_init(&q->work);
	cond_init(&q->room);
	cond_init(&q->ended);
	q->depth_max = depth_max;
	q->n = threads;
	for (unsigned i = 0; i < threads; i++)
		q->workers[i] = (struct worker){ .q = q, .running = IDLE };
	for (unsigned i = 0; i < threads; i++)
		if (thread_start(name, work, &q->workers[i], &q->workers[i].thread, &err)) {
			fprintf(stderr, "%s\n", err.msg);
			abort(); /* at start-up, for a number of threads that we chose */
		}
	return q;
}

void
workq_free(struct workq *q)
{
	if (!q)
		return;
	assert(mine != q); /* a job cannot wait for its own end */
	mutex_lock(&q->mu);
	q->stop = true; /* workers leave when the ring is empty, so this also drains */
	cond_broadcast(&q->work);
	mutex_unlock(&q->mu);
	for (unsigned i = 0; i < q->n; i++)
		pthread_join(q->workers[i].thread, NULL);
	cond_fini(&q->ended);
	cond_fini(&q->room);
	cond_fini(&q->work);
	mutex_fini(&q->mu);
	free(q->ring);
	free(q);
}

static void
grow(struct workq *q)
{
	size_t cap = MAX(2 * q->cap, RING_LEAST);
	struct job *ring = xcalloc(cap, sizeof *ring);

	for (size_t i = 0; i < q->waiting; i++)
		ring[i] = q->ring[(q->head + i) % q->cap];
	free(q->ring);
	q->ring = ring;
	q->cap = cap;
	q->head = 0;
}

void
workq_push(struct workq *q, void (*job)(void *arg), void *arg)
{
	/* A job that waits for room in its own queue may be the only one who could make it. */
	assert(q->depth_max == 0 || mine != q);
	mutex_lock(&q->mu);
	while (q->depth_max && q->waiting >= q->depth_max)
		cond_wait(&q->room, &q->mu);
	if (q->waiting == q->cap)
		grow(q);
	q->ring[(q->head + q->waiting++) % q->cap] = (struct job){ .fn = job, .arg = arg };
	cond_signal(&q->work);
	mutex_unlock(&q->mu);
}

void
workq_drain(struct workq *q)
{
	uint64_t end;

	assert(mine != q);
	mutex_lock(&q->mu);
	end = q->first + q->waiting;
	while (oldest(q) < end)
		cond_wait(&q->ended, &q->mu);
	mutex_unlock(&q->mu);
}
