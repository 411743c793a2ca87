/*
 * Threads that take turns: of all threads of all devices one runs, and who is next where one waits, or now and then where it could, is the seed's
 * to decide.  The calls of pthread that base/thread.c and its users make are taken over by the linker; SQLite's are its own, and never wait.
 *
 * A kill is that none of a device's threads ever gets another turn.  What it had open stays open and what it had locked stays locked, so
 * it happens only outside of the server (sched_hold) and of SQLite, and its next process works on copies of the state's files (user_reboot).
 */
#include "sim.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

#define FIBERS_MAX 4096

struct fiber {
	sem_t run;
	pthread_t thread;
	enum { READY, WAITS, ENDED, DEAD } state;
	const void *on;       /* what it waits for */
	int64_t deadline_ns;  /* 0: none */
	bool late;            /* it was that which ended the wait */
	bool root;            /* of a device's process */
	int device;
	void *(*fn)(void *arg);
	void *arg;
};

static struct fiber self = { .device = -1 }; /* the simulation's own thread */
static struct fiber *all[FIBERS_MAX] = { &self };
static size_t count = 1;
static struct fiber *current = &self;
static unsigned held;
static struct dice dice;
static uint32_t switches;
static const char ends; /* what the simulation waits for */

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **result);
int __real_pthread_mutex_unlock(pthread_mutex_t *mu);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mu);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mu);
int __wrap_pthread_cond_wait(pthread_cond_t *cv, pthread_mutex_t *mu);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cv, pthread_mutex_t *mu, const struct timespec *at);
int __wrap_pthread_cond_signal(pthread_cond_t *cv);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cv);

/* ---- turns ------------------------------------------------------------------------------------------------------------------------- */

void
sched_start(struct dice d, uint32_t switch_one_in)
{
	dice = d;
	switches = switch_one_in;
	sem_init(&self.run, 0, 0);
}

static struct fiber *
any_ready(void)
{
	static struct fiber *ready[FIBERS_MAX]; /* too large to be cleared each time */
	uint32_t n = 0;

	for (size_t i = 0; i < count; i++) {
		struct fiber *f = all[i];

		if (f->state == WAITS && f->deadline_ns && f->deadline_ns <= time_now()) {
			f->state = READY;
			f->late = true;
		}
		if (f->state == READY)
			ready[n++] = f;
	}
	return n ? ready[n == 1 ? 0 : dice_below(&dice, n)] : NULL;
}

/* Who is next; when all wait, it gets late. */
static struct fiber *
next(void)
{
	for (;;) {
		struct fiber *f = any_ready();
		int64_t first = INT64_MAX;

		if (f)
			return f;
		for (size_t i = 0; i < count; i++)
			if (all[i]->state == WAITS && all[i]->deadline_ns)
				first = MIN(first, all[i]->deadline_ns);
		if (first == INT64_MAX)
			fail("deadlock", "every thread waits");
		time_set(MAX(first, time_now()));
	}
}

static void
wait_turn(struct fiber *f)
{
	while (sem_wait(&f->run) && errno == EINTR)
		;
}

static void
give_turn(struct fiber *to)
{
	struct fiber *me = current;

	if (to == me)
		return;
	current = to;
	sem_post(&to->run);
	wait_turn(me);
}

void
sched_point(void)
{
	if (held == 0 && count > 1 && dice_one_in(&dice, switches))
		give_turn(next());
}

/* False when the deadline ended it. */
static bool
wait_on(const void *on, int64_t deadline_ns)
{
	struct fiber *me = current;

	if (held)
		fail("deadlock", "a request waits for another one");
	me->state = WAITS;
	me->on = on;
	me->deadline_ns = deadline_ns;
	me->late = false;
	give_turn(next());
	return !me->late;
}

static void
wake(const void *on, bool one)
{
	static struct fiber *waiting[FIBERS_MAX];
	uint32_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (all[i]->state == WAITS && all[i]->on == on)
			waiting[n++] = all[i];
	if (one && n > 1) {
		waiting[0] = waiting[dice_below(&dice, n)];
		n = 1;
	}
	for (uint32_t i = 0; i < n; i++)
		waiting[i]->state = READY;
}

/* ---- threads ------------------------------------------------------------------------------------------------------------------------ */

static void *
run(void *arg)
{
	struct fiber *f = arg, *to;
	void *result;

	wait_turn(f);
	result = f->fn(f->arg);
	f->state = ENDED;
	wake(f, false);
	if (f->root)
		wake(&ends, false);
	to = next();
	current = to;
	sem_post(&to->run); /* from here on ${f} may be gone */
	return result;
}

static struct fiber *
fiber_new(int device, void *(*fn)(void *), void *arg)
{
	struct fiber *f = xcalloc(1, sizeof *f);

	if (count == FIBERS_MAX)
		fail("deadlock", "too many threads");
	sem_init(&f->run, 0, 0);
	f->device = device;
	f->fn = fn;
	f->arg = arg;
	if (__real_pthread_create(&f->thread, NULL, run, f))
		fail("deadlock", "no more threads can be started");
	all[count++] = f;
	return f;
}

static void
fiber_free(struct fiber *f)
{
	for (size_t i = 0; i < count; i++)
		if (all[i] == f) {
			memmove(&all[i], &all[i + 1], (--count - i) * sizeof all[0]);
			break;
		}
	sem_destroy(&f->run);
	free(f);
}

int
__wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)attr;
	*out = fiber_new(current->device, fn, arg)->thread;
	return 0;
}

int
__wrap_pthread_join(pthread_t thread, void **result)
{
	struct fiber *f = NULL;

	for (size_t i = 1; i < count; i++)
		if (all[i]->state != DEAD && pthread_equal(all[i]->thread, thread))
			f = all[i];
	if (!f)
		fail("deadlock", "a thread is joined that there is not");
	while (f->state != ENDED)
		wait_on(f, 0);
	fiber_free(f);
	return __real_pthread_join(thread, result);
}

void
sched_spawn(int device, void *(*fn)(void *), void *arg)
{
	fiber_new(device, fn, arg)->root = true;
}

void
sched_wait(void)
{
	bool running = true;

	while (running) {
		running = false;
		for (size_t i = count; i-- > 1;) {
			struct fiber *f = all[i];
			pthread_t thread = f->thread;

			running |= f->root && (f->state == READY || f->state == WAITS);
			if (f->root && f->state == ENDED) {
				fiber_free(f);
				__real_pthread_join(thread, NULL);
			}
		}
		if (running)
			wait_on(&ends, 0);
	}
}

void
sched_kill(int device)
{
	struct fiber *me = current, *to;

	for (size_t i = 0; i < count; i++)
		if (all[i]->device == device && all[i]->state != ENDED)
			all[i]->state = DEAD;
	wake(&ends, false);
	if (me->device != device)
		return;
	to = next();
	current = to;
	sem_post(&to->run);
	for (;;)
		wait_turn(me);
}

int
sched_device(void)
{
	return current->device;
}

void
sched_hold(void)
{
	held++;
}

void
sched_release(void)
{
	held--;
}

bool
sched_is_held(void)
{
	return held > 0;
}

/* ---- locks --------------------------------------------------------------------------------------------------------------------------- */

static int
lock(pthread_mutex_t *mu)
{
	int rc;

	while ((rc = pthread_mutex_trylock(mu)) == EBUSY)
		wait_on(mu, 0);
	return rc;
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mu)
{
	sched_point();
	return lock(mu);
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mu)
{
	int rc = __real_pthread_mutex_unlock(mu);

	wake(mu, false);
	return rc;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *cv, pthread_mutex_t *mu)
{
	__wrap_pthread_mutex_unlock(mu);
	wait_on(cv, 0);
	return lock(mu);
}

int
__wrap_pthread_cond_timedwait(pthread_cond_t *cv, pthread_mutex_t *mu, const struct timespec *at)
{
	bool woken;
	int rc;

	__wrap_pthread_mutex_unlock(mu);
	woken = wait_on(cv, MAX(at->tv_sec * INT64_C(1000000000) + at->tv_nsec, 1));
	rc = lock(mu);
	return rc ? rc : woken ? 0 : ETIMEDOUT;
}

int
__wrap_pthread_cond_signal(pthread_cond_t *cv)
{
	wake(cv, true);
	return 0;
}

int
__wrap_pthread_cond_broadcast(pthread_cond_t *cv)
{
	wake(cv, false);
	return 0;
}
