#pragma once
/**
 * Mutexes and conditions that abort on misuse, and a pool of threads.  Each mutex has a rank; debug builds stop a thread
 * that locks a rank not above those it holds, so lock-order cycles cannot be written unnoticed.
 */

#include <pthread.h>

#include "base/err.h"

/* Ranks, outermost first.  A thread takes them in increasing order only. */
enum lock_rank {
	RANK_ENGINE = 10,   /* sync loops, http server lists */
	RANK_DOMAIN = 20,   /* domain caches */
	RANK_META = 30,     /* metadata writer, in-memory metadata */
	RANK_DB = 40,       /* connection pools */
	RANK_STORE = 50,    /* store bookkeeping */
	RANK_POOL = 60,     /* work queues, buffer pools */
	RANK_LEAF = 90      /* held for a few instructions: counters, logs */
};

struct mutex {
	pthread_mutex_t mu;
	enum lock_rank rank;
};

void mutex_init(struct mutex *m, enum lock_rank rank);
void mutex_fini(struct mutex *m);
void mutex_lock(struct mutex *m);
void mutex_unlock(struct mutex *m);

struct cond {
	pthread_cond_t cv; /* on the monotonic clock */
};

void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_wait(struct cond *c, struct mutex *m);
/** cond_wait_until(c, m, deadline_ms): false when the deadline (clock_mono_ms) has passed. */
bool cond_wait_until(struct cond *c, struct mutex *m, int64_t deadline_ms);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/**
 * A pool of threads that run jobs in the order in which they were pushed.
 *
 * workq_push never blocks when depth_max is 0 (unbounded: the caller bounds it); otherwise it waits for room,
 * so a job must not push into its own bounded queue.  workq_drain waits until every job pushed so far has ended, not for those
 * pushed later.  workq_free drains and joins; nobody pushes meanwhile, but for jobs into their own unbounded queue.  Neither
 * is called from a job of the queue.  workq_new stops the process when the threads cannot be started.
 */
struct workq;

struct workq *workq_new(const char *name, unsigned threads, size_t depth_max);
void workq_free(struct workq *q);
void workq_push(struct workq *q, void (*job)(void *arg), void *arg);
void workq_drain(struct workq *q);

/** thread_start(name, fn, arg, out, err): a named joinable thread (15 bytes of name are kept) with all
 * signals blocked but those that report a fault.  NO_MEM when the system has no room for it. */
err_code thread_start(const char *name, void *(*fn)(void *), void *arg, pthread_t *out, struct err *err);
