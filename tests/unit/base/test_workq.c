#include "unit.h"

#include <semaphore.h>
#include <stdatomic.h>

#include "base/thread.h"

enum { JOBS = 1000 };
static int order[JOBS];
static atomic_int ran;

static void
note(void *arg)
{
	order[ran++] = (int)(intptr_t)arg;
}

static void
one_thread_keeps_the_order(void **state)
{
	struct workq *q = workq_new("fifo", 1, 0);

	(void)state;
	ran = 0;
	for (int i = 0; i < JOBS; i++) {
		workq_push(q, note, (void *)(intptr_t)i);
		if (i % 300 == 0)
			workq_drain(q); /* so that the ring also wraps around */
	}
	workq_free(q);
	assert_int_equal(ran, JOBS);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(order[i], i);
}

static void
slow(void *arg)
{
	(void)arg;
	usleep(1000);
	ran++;
}

static void
drain_waits_for_all_threads(void **state)
{
	struct workq *q = workq_new("drain", 4, 0);

	(void)state;
	workq_drain(q); /* nothing to wait for */
	for (int round = 1; round <= 10; round++) {
		ran = 0;
		for (int i = 0; i < 10; i++)
			workq_push(q, slow, NULL);
		workq_drain(q);
		assert_int_equal(ran, 10);
	}
	workq_free(q);
	workq_free(NULL);
}

static void
free_runs_what_waits(void **state)
{
	struct workq *q = workq_new("free", 2, 0);

	(void)state;
	ran = 0;
	for (int i = 0; i < 50; i++)
		workq_push(q, slow, NULL);
	workq_free(q);
	assert_int_equal(ran, 50);
}

static struct workq *endless;
static atomic_bool stop;

static void
again(void *arg)
{
	ran++;
	if (!stop)
		workq_push(endless, again, arg);
}

/* There is always a job: a drain that waited for an empty queue would never end. */
static void
drain_does_not_wait_for_later_jobs(void **state)
{
	(void)state;
	for (unsigned threads = 1; threads <= 2; threads++) {
		endless = workq_new("endless", threads, 0);
		stop = false;
		ran = 0;
		workq_push(endless, again, NULL);
		workq_drain(endless);
		assert_true(ran >= 1);
		stop = true;
		workq_free(endless);
	}
}

static sem_t gate;

static void
wait_at_gate(void *arg)
{
	(void)arg;
	sem_wait(&gate);
	ran++;
}

struct pusher {
	struct workq *q;
	atomic_int pushed;
};

static void *
push_ten(void *arg)
{
	struct pusher *p = arg;

	for (int i = 0; i < 10; i++) {
		workq_push(p->q, wait_at_gate, NULL);
		p->pushed++;
	}
	return NULL;
}

static void
bounded_queue_makes_the_pusher_wait(void **state)
{
	struct pusher p = { .q = workq_new("bounded", 1, 3) };
	struct err err;
	pthread_t t;

	(void)state;
	ran = 0;
	sem_init(&gate, 0, 0);
	assert_ok(thread_start("pusher", push_ten, &p, &t, &err));
	while (p.pushed < 4) /* one runs, three wait */
		usleep(100);
	usleep(20000);
	assert_int_equal(p.pushed, 4);
	sem_post(&gate);
	while (p.pushed < 5)
		usleep(100);
	usleep(20000);
	assert_int_equal(p.pushed, 5);
	for (int i = 0; i < 9; i++)
		sem_post(&gate);
	pthread_join(t, NULL);
	workq_free(p.q);
	assert_int_equal(ran, 10);
	sem_destroy(&gate);
}

static void
threads_work_at_the_same_time(void **state)
{
	struct workq *q = workq_new("both", 2, 0);

	(void)state;
	ran = 0;
	sem_init(&gate, 0, 0);
	workq_push(q, wait_at_gate, NULL); /* holds one thread */
	workq_push(q, slow, NULL);
	while (ran < 1)
		usleep(100);
	sem_post(&gate);
	workq_drain(q);
	assert_int_equal(ran, 2);
	workq_free(q);
	sem_destroy(&gate);
}

static void
drain_self(void *arg)
{
	workq_drain(arg);
}

static void
push_self(void *arg)
{
	workq_push(arg, slow, NULL);
}

static void
misuse(void *arg)
{
	bool drains = *(const bool *)arg;
	struct workq *q = workq_new("misuse", 1, drains ? 0 : 1);

	workq_push(q, drains ? drain_self : push_self, q);
	workq_free(q);
}

static void
what_would_hang_stops_the_process(void **state)
{
	(void)state;
	assert_aborts(misuse, &(bool){ true });
	assert_aborts(misuse, &(bool){ false });
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(drain_waits_for_all_threads),
		cmocka_unit_test(free_runs_what_waits),
		cmocka_unit_test(drain_does_not_wait_for_later_jobs),
		cmocka_unit_test(bounded_queue_makes_the_pusher_wait),
		cmocka_unit_test(threads_work_at_the_same_time),
		cmocka_unit_test(what_would_hang_stops_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
