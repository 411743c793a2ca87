/* What processes on one database tell each other: with the commit, never without it, and what was missed is known to be. */
#include "unit.h"

#include <assert.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

#define PATIENCE_MS 60000
#define HEARD_MAX 256

/** An ear that remembers. */
static struct {
	struct mutex mu; /* RANK_LEAF */
	struct id about[HEARD_MAX];
	int64_t number[HEARD_MAX];
	unsigned n, missed;
} heard;

static void
on_told(void *ctx, const struct id *about, int64_t number)
{
	(void)ctx;
	mutex_lock(&heard.mu);
	assert(heard.n < HEARD_MAX);
	heard.about[heard.n] = *about;
	heard.number[heard.n++] = number;
	mutex_unlock(&heard.mu);
}

static void
on_missed(void *ctx)
{
	(void)ctx;
	mutex_lock(&heard.mu);
	heard.missed++;
	mutex_unlock(&heard.mu);
}

static const struct db_ears ears = { .told = on_told, .missed = on_missed };

static struct id
id_of(unsigned n)
{
	return (struct id){ { (uint8_t)n, 1 } };
}

/* How often ${number} was heard about ${n}. */
static unsigned
times(unsigned n, int64_t number)
{
	const struct id id = id_of(n);
	unsigned count = 0;

	mutex_lock(&heard.mu);
	for (unsigned i = 0; i < heard.n; i++)
		count += id_eq(&heard.about[i], &id) && heard.number[i] == number;
	mutex_unlock(&heard.mu);
	return count;
}

static void
wait_to_hear(unsigned n, int64_t number)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	while (times(n, number) == 0) {
		if (clock_mono_ms() > end)
			fail_msg("%u: %lld was not heard of", n, (long long)number);
		(void)usleep(1000);
	}
}

static struct db_listener *
start(struct db *db)
{
	struct db_listener *l;

	memset(heard.about, 0, sizeof heard.about);
	heard.n = heard.missed = 0;
	ok(db_listen(db, &ears, &l, ERR));
	return l;
}

static void
tell(struct db_tx *tx, unsigned n, int64_t number)
{
	const struct id id = id_of(n);

	db_tell(tx, &id, number);
}

static void
tell_and_commit(struct fixture *f, unsigned n, int64_t number)
{
	struct db_tx *tx = begin(f, DB_WRITE);

	tell(tx, n, number);
	commit(tx);
}

/* One process at a time writes: it knows what it has written. */
static void
nobody_else(void **state)
{
	struct fixture *f = *state;

	NEEDS_FILE();
	assert_null(start(f->db));
	tell_and_commit(f, 1, 1);
	assert_int_equal(heard.n, 0);
	db_listener_free(NULL);
}

static struct db *
other_process(struct fixture *f)
{
	struct db *db;

	ok(engine->open(f, &(struct open_opts){ .wait_ms = 0 }, &db, ERR));
	return db;
}

static void
with_the_commit(void **state)
{
	struct fixture *f = *state;
	struct db *other;
	struct db_listener *l, *own;
	struct db_tx *tx;

	if (engine->file)
		skip();
	other = other_process(f);
	l = start(other);
	tx = begin(f, DB_WRITE);
	tell(tx, 1, 1);
	db_abort(&tx);
	tx = begin(f, DB_WRITE);
	tell(tx, 1, 2);
	tell(tx, 2, 7);
	tell(tx, 1, INT64_MAX);
	ok(put(tx, 1, 1, ERR));
	commit(tx);
	wait_to_hear(1, INT64_MAX);
	wait_to_hear(2, 7);
	assert_int_equal(heard.n, 2); /* not what was taken back, and of one thing the last */
	assert_int_equal(heard.missed, 0);
	db_listener_free(l);
	own = start(f->db); /* one's own are heard as well */
	tell_and_commit(f, 3, 1);
	wait_to_hear(3, 1);
	db_listener_free(own);
	db_free(other);
}

/* As servers of two installations in one database. */
static void
another_schema(void **state)
{
	struct fixture *f = *state;
	struct db_listener *l;
	void *p = NULL;

	if (engine->file)
		skip();
	assert_int_equal(setup(&p), 0);
	l = start(((struct fixture *)p)->db);
	tell_and_commit(f, 1, 1);
	tell_and_commit(p, 2, 2);
	wait_to_hear(2, 2);
	assert_int_equal(times(1, 1), 0);
	db_listener_free(l);
	assert_int_equal(teardown(&p), 0);
}

struct member {
	struct fixture *f;
	unsigned n;
	bool gives_up;
	err_code rc;
	pthread_t thread;
};

static void *
member_run(void *arg)
{
	struct member *m = arg;
	struct db_tx *tx;
	struct err err;

	m->rc = db_begin(m->f->db, DB_WRITE, &tx, &err);
	if (m->rc)
		return NULL;
	tell(tx, m->n, 1);
	if (m->gives_up)
		db_abort(&tx);
	else
		m->rc = db_commit(&tx, &err);
	return NULL;
}

/* Members of groups: what one takes back does not take along what its neighbours said, nor stay. */
static void
in_groups(void **state)
{
	static struct member m[40];
	struct fixture *f = *state;
	struct db_listener *l;
	struct db_tx *tx;

	if (engine->file)
		skip();
	l = start(f->db);
	tx = begin(f, DB_WRITE); /* until all are in line */
	for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
		m[i] = (struct member){ .f = f, .n = i, .gives_up = i % 3 == 1 };
		ok(thread_start("member", member_run, &m[i], &m[i].thread, ERR));
	}
	(void)usleep(50000);
	commit(tx);
	for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
		assert_int_equal(pthread_join(m[i].thread, NULL), 0);
		assert_int_equal(m[i].rc, ERR_OK);
	}
	tell_and_commit(f, 200, 1);
	wait_to_hear(200, 1);
	for (unsigned i = 0; i < ARRAY_LEN(m); i++)
		assert_int_equal(times(i, 1), m[i].gives_up ? 0 : 1);
	db_listener_free(l);
}

/* Its session is ended in the middle: told so once it hears again, and hears. */
static void
a_lost_line(void **state)
{
	static const char end[] =
	    "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE query LIKE 'LISTEN dray_%' AND query ="
	    " 'LISTEN dray_' || (SELECT oid FROM pg_namespace WHERE nspname = current_schema())";
	struct fixture *f = *state;
	struct db_listener *l;
	char n[32];

	if (engine->file)
		skip();
	l = start(f->db);
	for (unsigned i = 1; i <= 5; i++) {
		int64_t until = clock_mono_ms() + PATIENCE_MS;

		schema_sql(&f->schema, end, n, sizeof n);
		assert_string_equal(n, "1");
		tell_and_commit(f, 100, i); /* heard, or missed */
		for (unsigned missed = 0; missed < i && clock_mono_ms() < until; (void)usleep(1000)) {
			mutex_lock(&heard.mu);
			missed = heard.missed;
			mutex_unlock(&heard.mu);
		}
		assert_int_equal(heard.missed, i);
		tell_and_commit(f, i, i);
		wait_to_hear(i, i);
	}
	db_listener_free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(nobody_else),
		T(with_the_commit),
		T(another_schema),
		T(in_groups),
		T(a_lost_line),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	mutex_init(&heard.mu, RANK_LEAF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
