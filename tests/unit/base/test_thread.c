#include "unit.h"

#include "base/clock.h"
#include "base/thread.h"

static void
lock_twice(void *arg)
{
	struct mutex m;

	(void)arg;
	mutex_init(&m, RANK_META);
	mutex_lock(&m);
	mutex_lock(&m);
}

static void
unlock_unheld(void *arg)
{
	struct mutex m;

	(void)arg;
	mutex_init(&m, RANK_META);
	mutex_unlock(&m);
}

static void
misuse_stops_the_process(void **state)
{
	(void)state;
	assert_aborts(lock_twice, NULL);
	assert_aborts(unlock_unheld, NULL);
}

static void
locks_in_increasing_order_pass(void **state)
{
	struct mutex a, b, c;

	(void)state;
	mutex_init(&a, RANK_ENGINE);
	mutex_init(&b, RANK_META);
	mutex_init(&c, RANK_LEAF);
	for (int i = 0; i < 2; i++) {
		mutex_lock(&a);
		mutex_lock(&b);
		mutex_lock(&c);
		mutex_unlock(&b); /* in any order */
		mutex_unlock(&c);
		mutex_lock(&b); /* only a is held now */
		mutex_unlock(&a);
		mutex_unlock(&b);
		mutex_lock(&a); /* nothing is held: start again from the outermost */
		mutex_unlock(&a);
	}
	mutex_fini(&a);
	mutex_fini(&b);
	mutex_fini(&c);
}

#ifdef DRAY_DEBUG
static void
lock_downwards(void *arg)
{
	struct mutex a, b, c;

	mutex_init(&a, RANK_META);
	mutex_init(&b, RANK_STORE);
	mutex_init(&c, *(const enum lock_rank *)arg);
	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&a);
	mutex_lock(&c);
}

static void
locks_in_another_order_stop_the_process(void **state)
{
	static const enum lock_rank NOT_ABOVE[] = { RANK_ENGINE, RANK_META, RANK_DB, RANK_STORE };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(NOT_ABOVE); i++) {
		enum lock_rank rank = NOT_ABOVE[i];

		assert_aborts(lock_downwards, &rank);
	}
}
#endif

struct shared {
	struct mutex mu;
	struct cond cv;
	int n; /* guarded by mu */
};

static void *
count(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < 10000; i++) {
		mutex_lock(&s->mu);
		s->n++;
		mutex_unlock(&s->mu);
	}
	mutex_lock(&s->mu);
	cond_broadcast(&s->cv);
	mutex_unlock(&s->mu);
	return s;
}

static void
mutex_excludes_and_cond_wakes(void **state)
{
	struct shared s = { .n = 0 };
	pthread_t t[4];
	struct err err;

	(void)state;
	mutex_init(&s.mu, RANK_META);
	cond_init(&s.cv);
	for (size_t i = 0; i < 4; i++)
		assert_ok(thread_start("count", count, &s, &t[i], &err));
	mutex_lock(&s.mu);
	while (s.n < 40000)
		cond_wait(&s.cv, &s.mu);
	mutex_unlock(&s.mu);
	for (size_t i = 0; i < 4; i++) {
		void *result;

		assert_int_equal(pthread_join(t[i], &result), 0);
		assert_ptr_equal(result, &s);
	}
	assert_int_equal(s.n, 40000);
	cond_fini(&s.cv);
	mutex_fini(&s.mu);
}

static void *
signal_later(void *arg)
{
	struct shared *s = arg;

	mutex_lock(&s->mu);
	s->n = 1;
	cond_signal(&s->cv);
	mutex_unlock(&s->mu);
	return NULL;
}

static void
deadlines(void **state)
{
	struct shared s = { .n = 0 };
	int64_t start;
	pthread_t t;
	struct err err;
	bool in_time = true;

	(void)state;
	mutex_init(&s.mu, RANK_META);
	cond_init(&s.cv);
	mutex_lock(&s.mu);
	assert_false(cond_wait_until(&s.cv, &s.mu, INT64_MIN));
	assert_false(cond_wait_until(&s.cv, &s.mu, -1));
	assert_false(cond_wait_until(&s.cv, &s.mu, clock_mono_ms() - 1));
	start = clock_mono_ms();
	while (cond_wait_until(&s.cv, &s.mu, start + 30)) /* it may also wake for no reason */
		;
	assert_true(clock_mono_ms() >= start + 30);
	assert_ok(thread_start("later", signal_later, &s, &t, &err));
	while (!s.n && in_time)
		in_time = cond_wait_until(&s.cv, &s.mu, INT64_MAX);
	assert_true(s.n && in_time);
	mutex_unlock(&s.mu);
	pthread_join(t, NULL);
	cond_fini(&s.cv);
	mutex_fini(&s.mu);
}

struct seen {
	char name[32];
	sigset_t mask;
};

static void *
look(void *arg)
{
	struct seen *seen = arg;

	pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
	pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
	return NULL;
}

static void
threads_have_a_name_and_no_signals(void **state)
{
	struct seen seen;
	sigset_t mine;
	pthread_t t;
	struct err err;

	(void)state;
	assert_ok(thread_start("0123456789abcdef", look, &seen, &t, &err));
	pthread_join(t, NULL);
	assert_string_equal(seen.name, "0123456789abcde");
	assert_true(sigismember(&seen.mask, SIGTERM) && sigismember(&seen.mask, SIGINT) && sigismember(&seen.mask, SIGPIPE));
	assert_false(sigismember(&seen.mask, SIGSEGV) || sigismember(&seen.mask, SIGABRT));
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_false(sigismember(&mine, SIGTERM)); /* the maker's mask is as it was */
	assert_ok(thread_start("t", look, &seen, &t, &err));
	pthread_join(t, NULL);
	assert_string_equal(seen.name, "t");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misuse_stops_the_process),
		cmocka_unit_test(locks_in_increasing_order_pass),
#ifdef DRAY_DEBUG
		cmocka_unit_test(locks_in_another_order_stop_the_process),
#endif
		cmocka_unit_test(mutex_excludes_and_cond_wakes),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(threads_have_a_name_and_no_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
