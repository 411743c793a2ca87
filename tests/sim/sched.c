/*
 * Threads that take turns: of all threads of all devices one runs, and who is next where one waits, or now and then where it could, is the seed's
 * to decide.  The calls of pthread that base/thread.c and its users make are taken over by the linker; SQLite's are its own, and never wait.
 *
 * They are fibers of one thread: a turn that is given costs no more than a call.  What is kept for each thread goes with it: errno, and the variables
 * of src/base (fiber_local.h).
 *
 * A kill is that none of a device's threads ever gets another turn.  What it had open stays open and what it had locked stays locked, so
 * it happens only outside of the server (sched_hold) and of SQLite, and its next process works on copies of the state's files (user_reboot).
 */
#include "sim.h"

#include <assert.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "fiber_sanitize.h"

#define FIBERS_MAX 4096
#define STACK_LEN (8 * MIB) /* as Linux gives a thread; little of it is ever touched */
#define GUARD_LEN (64 * KIB)
#define LOCAL_MAX 1024

struct fiber {
	ucontext_t context;
	uint8_t *stack;
	struct fiber_sanitize sanitize;
	int err;                   /* errno */
	uint8_t local[LOCAL_MAX];  /* fiber_local, while another one has the turn */
	enum { READY, WAITS, ENDED, DEAD } state;
	const void *on;       /* what it waits for */
	int64_t deadline_ns;  /* 0: none */
	bool late;            /* it was that which ended the wait */
	bool root;            /* of a device's process */
	int device;
	void *(*fn)(void *arg);
	void *arg, *result;
};

static struct fiber self = { .device = -1 }; /* the simulation's own thread */
static struct fiber *all[FIBERS_MAX] = { &self };
static size_t count = 1;
static struct fiber *current = &self;
static unsigned held;
static struct dice dice;
static uint32_t switches;
static const char ends; /* what the simulation waits for */
static uint8_t *spare_stacks[FIBERS_MAX];
static size_t spare_stack_count;
static uint8_t local_first[LOCAL_MAX]; /* fiber_local, as a new thread has it */

/* Of the linker: where the section begins and ends. */
extern uint8_t __start_fiber_local[], __stop_fiber_local[];

int __real_pthread_mutex_unlock(pthread_mutex_t *mu);
pthread_t __real_pthread_self(void);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mu);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mu);
int __wrap_pthread_cond_wait(pthread_cond_t *cv, pthread_mutex_t *mu);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cv, pthread_mutex_t *mu, const struct timespec *at);
int __wrap_pthread_cond_signal(pthread_cond_t *cv);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cv);

/* ---- turns ------------------------------------------------------------------------------------------------------------------------- */

static size_t
local_len(void)
{
	return (size_t)(__stop_fiber_local - __start_fiber_local);
}

/* A variable for each thread that stayed in the thread-local segment of this program would be one for all fibers. */
static int
no_other_locals(struct dl_phdr_info *info, size_t len, void *ctx)
{
	(void)len, (void)ctx;
	for (size_t i = 0; i < info->dlpi_phnum && !SANITIZER_IN_PROGRAM; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			fail("sim", "there is a _Thread_local that fiber_local.h does not see");
	return 1; /* the program itself is the first one; libraries have their own */
}

void
sched_start(struct dice d, uint32_t switch_one_in)
{
	dice = d;
	switches = switch_one_in;
	assert(local_len() <= LOCAL_MAX);
	memcpy(local_first, __start_fiber_local, local_len());
	dl_iterate_phdr(no_other_locals, NULL);
	sanitize_first(&self.sanitize);
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
give_turn(struct fiber *to)
{
	struct fiber *me = current;

	if (to == me)
		return;
	me->err = errno;
	memcpy(me->local, __start_fiber_local, local_len());
	memcpy(__start_fiber_local, to->local, local_len());
	current = to;
	sanitize_leave(&me->sanitize, &to->sanitize, me->state == ENDED);
	if (swapcontext(&me->context, &to->context))
		fail("sim", "swapcontext: %s", strerror(errno));
	sanitize_enter(&me->sanitize);
	errno = me->err;
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

static void
run(void)
{
	struct fiber *f = current;

	sanitize_enter(&f->sanitize);
	f->result = f->fn(f->arg);
	f->state = ENDED;
	wake(f, false);
	if (f->root)
		wake(&ends, false);
	give_turn(next());
	abort(); /* a turn was given to what has ended */
}

static uint8_t *
stack_new(void)
{
	uint8_t *p;

	if (spare_stack_count)
		return spare_stacks[--spare_stack_count];
	p = mmap(NULL, STACK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (p == MAP_FAILED || mprotect(p, GUARD_LEN, PROT_NONE))
		fail("deadlock", "no more threads can be started");
	return p;
}

static struct fiber *
fiber_new(int device, void *(*fn)(void *), void *arg)
{
	struct fiber *f = xcalloc(1, sizeof *f);

	if (count == FIBERS_MAX)
		fail("deadlock", "too many threads");
	f->stack = stack_new();
	f->device = device;
	f->fn = fn;
	f->arg = arg;
	memcpy(f->local, local_first, local_len());
	getcontext(&f->context);
	f->context.uc_stack = (stack_t){ .ss_sp = f->stack + GUARD_LEN, .ss_size = STACK_LEN - GUARD_LEN };
	makecontext(&f->context, run, 0);
	sanitize_new(&f->sanitize, f->stack + GUARD_LEN, STACK_LEN - GUARD_LEN);
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
	sanitize_free(&f->sanitize);
	spare_stacks[spare_stack_count++] = f->stack;
	free(f);
}

static pthread_t
name_of(const struct fiber *f)
{
	return f == &self ? __real_pthread_self() : (pthread_t)(uintptr_t)f;
}

pthread_t
__wrap_pthread_self(void)
{
	return name_of(current);
}

/* These would be the simulation's own. */
int
__wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	(void)thread, (void)name;
	return 0;
}

int
__wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how, (void)set;
	if (old)
		sigemptyset(old);
	return 0;
}

int
__wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)attr;
	*out = name_of(fiber_new(current->device, fn, arg));
	return 0;
}

int
__wrap_pthread_join(pthread_t thread, void **result)
{
	struct fiber *f = NULL;

	for (size_t i = 1; i < count; i++)
		if (all[i]->state != DEAD && pthread_equal(name_of(all[i]), thread))
			f = all[i];
	if (!f)
		fail("deadlock", "a thread is joined that there is not");
	while (f->state != ENDED)
		wait_on(f, 0);
	if (result)
		*result = f->result;
	fiber_free(f);
	return 0;
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

			running |= f->root && (f->state == READY || f->state == WAITS);
			if (f->root && f->state == ENDED)
				fiber_free(f);
		}
		if (running)
			wait_on(&ends, 0);
	}
}

void
sched_kill(int device)
{
	for (size_t i = 0; i < count; i++)
		if (all[i]->device == device && all[i]->state != ENDED)
			all[i]->state = DEAD;
	wake(&ends, false);
	if (current->device != device)
		return;
	give_turn(next());
	abort(); /* a turn was given to the dead */
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
