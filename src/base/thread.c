/*
 * Locks, threads, and the rank check: debug builds keep, for each thread, the ranks that it holds.  Since a rank must be
 * above all those held, the list is always sorted, and its last entry is the one to compare with.
 */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>

static _Noreturn void FORMAT(1, 2)
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

/* What the pthread calls here answer is either 0 or our mistake. */
static void
must(int rc, const char *what)
{
	char text[128];

	if (rc != 0)
		die("%s: %s", what, strerror_r(rc, text, sizeof text));
}

#ifdef DRAY_DEBUG
#define HELD_MAX 16

static _Thread_local struct {
	enum lock_rank rank[HELD_MAX];
	size_t n;
} held;

static void
rank_push(enum lock_rank rank)
{
	if (held.n > 0 && rank <= held.rank[held.n - 1])
		die("lock order: a thread that holds rank %d takes rank %d", (int)held.rank[held.n - 1], (int)rank);
	if (held.n == HELD_MAX)
		die("lock order: a thread takes more than %d locks", HELD_MAX);
	held.rank[held.n++] = rank;
}

/* Locks may be released in any order. */
static void
rank_pop(enum lock_rank rank)
{
	for (size_t i = held.n; i-- > 0;)
		if (held.rank[i] == rank) {
			held.n--;
			memmove(&held.rank[i], &held.rank[i + 1], (held.n - i) * sizeof held.rank[0]);
			return;
		}
	die("lock order: a thread releases rank %d, which it does not hold", (int)rank);
}
#else
static void
rank_push(enum lock_rank rank)
{
	(void)rank;
}

static void
rank_pop(enum lock_rank rank)
{
	(void)rank;
}
#endif

void
mutex_init(struct mutex *m, enum lock_rank rank)
{
	pthread_mutexattr_t attr;

	/* The error-checking kind knows its owner, so a second lock or a foreign unlock is an answer and not a hang. */
	must(pthread_mutexattr_init(&attr), "mutex_init");
	must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK), "mutex_init");
	must(pthread_mutex_init(&m->mu, &attr), "mutex_init");
	must(pthread_mutexattr_destroy(&attr), "mutex_init");
	m->rank = rank;
}

void
mutex_fini(struct mutex *m)
{
	must(pthread_mutex_destroy(&m->mu), "mutex_fini");
}

void
mutex_lock(struct mutex *m)
{
	rank_push(m->rank); /* before waiting: a wrong order is reported, not met as a deadlock */
	must(pthread_mutex_lock(&m->mu), "mutex_lock");
}

void
mutex_unlock(struct mutex *m)
{
	rank_pop(m->rank);
	must(pthread_mutex_unlock(&m->mu), "mutex_unlock");
}

void
cond_init(struct cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr), "cond_init");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), "cond_init");
	must(pthread_cond_init(&c->cv, &attr), "cond_init");
	must(pthread_condattr_destroy(&attr), "cond_init");
}

void
cond_fini(struct cond *c)
{
	must(pthread_cond_destroy(&c->cv), "cond_fini");
}

/* While a thread waits it can take no lock, so the rank of ${m} may stay on its list. */
void
cond_wait(struct cond *c, struct mutex *m)
{
	must(pthread_cond_wait(&c->cv, &m->mu), "cond_wait");
}

bool
cond_wait_until(struct cond *c, struct mutex *m, int64_t deadline_ms)
{
	int64_t at = MAX(deadline_ms, 0); /* the monotonic clock starts at 0: before that, the deadline has passed */
	struct timespec ts = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
	int rc = pthread_cond_timedwait(&c->cv, &m->mu, &ts);

	if (rc == ETIMEDOUT)
		return false;
	must(rc, "cond_wait_until");
	return true;
}

void
cond_signal(struct cond *c)
{
	must(pthread_cond_signal(&c->cv), "cond_signal");
}

void
cond_broadcast(struct cond *c)
{
	must(pthread_cond_broadcast(&c->cv), "cond_broadcast");
}

#define THREAD_NAME_MAX 15 /* bytes, as the kernel keeps them */

struct start {
	void *(*fn)(void *arg);
	void *arg;
	char name[THREAD_NAME_MAX + 1];
};

static void *
run(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), start.name); /* for people only: failure changes nothing */
	return start.fn(start.arg);
}

/* All signals, but those that report a fault of the thread itself: blocked, they would kill without a report. */
static void
block_signals(sigset_t *old)
{
	static const int FAULT[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_LEN(FAULT); i++)
		sigdelset(&set, FAULT[i]);
	must(pthread_sigmask(SIG_SETMASK, &set, old), "pthread_sigmask");
}

err_code
thread_start(const char *name, void *(*fn)(void *), void *arg, pthread_t *out, struct err *err)
{
	struct start *start = xmalloc(sizeof *start);
	sigset_t old;
	int rc;

	*start = (struct start){ .fn = fn, .arg = arg };
	memcpy(start->name, name, MIN(strlen(name), THREAD_NAME_MAX));
	/* A thread inherits the mask it is made under, so there is no moment in which it could be sent a signal. */
	block_signals(&old);
	rc = pthread_create(out, NULL, run, start);
	must(pthread_sigmask(SIG_SETMASK, &old, NULL), "pthread_sigmask");
	if (rc != 0) {
		free(start);
		return err_sys(err, ERR_NO_MEM, rc, "cannot start thread %s", name);
	}
	return ERR_OK;
}
