/* Transactions: one instant for a reader, all or nothing for a writer, one writer at a time, and clocks that only grow. */
#include "suite.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

static void
put_at(struct meta_tx *tx, unsigned n, const char *name, int64_t version)
{
	struct file f = a_file(n, "", name, version);

	ok(meta_file_put(tx, P1, &f, ERR));
}

static size_t
count(struct meta_tx *tx)
{
	struct file *rows;
	size_t n;

	ok(meta_file_changes(tx, P1, 0, 1000, &rows, &n, ERR));
	return n;
}

static void
ping(void **state)
{
	ok(meta_ping(((struct fixture *)*state)->m, ERR));
}

/* The reader's instant is its meta_begin, even when it reads for the first time later. */
static void
isolation(void **state)
{
	struct meta_tx *before, *tx, *after;
	struct project p;
	int64_t last;

	add_basics(*state);
	before = reader(*state);
	tx = writer(*state);
	put_at(tx, 10, "x", 10000);
	ok(meta_clock_take(tx, P1, 10000, 1, &last, ERR));
	assert_int_equal(count(tx), 1);
	after = reader(*state); /* not committed yet */
	assert_int_equal(count(after), 0);
	commit(tx);
	assert_int_equal(count(before), 0);
	assert_int_equal(count(after), 0);
	ok(meta_project_get(before, P1, &p, ERR));
	assert_int_equal(p.clock, 5001);
	meta_abort(&before);
	meta_abort(&after);
	after = reader(*state);
	assert_int_equal(count(after), 1);
	ok(meta_project_get(after, P1, &p, ERR));
	assert_int_equal(p.clock, 10000);
	commit(after); /* a reader may end either way */
}

static void
abort_leaves_nothing(void **state)
{
	struct meta_tx *tx;
	struct file f, out;
	int64_t last;

	add_basics(*state);
	tx = writer(*state);
	put_at(tx, 10, "kept", 10000);
	commit(tx);
	tx = writer(*state);
	put_at(tx, 11, "new", 10001);
	f = a_file(10, "", "moved", 10002);
	ok(meta_file_put(tx, P1, &f, ERR));
	ok(meta_clock_take(tx, P1, 99999, 1, &last, ERR));
	ok(meta_project_delete(tx, P2, ERR));
	meta_abort(&tx);
	tx = writer(*state);
	assert_int_equal(count(tx), 1);
	ok(meta_file_at(tx, P1, "kept", &out, ERR));
	answers(meta_file_at(tx, P1, "moved", &out, ERR), ERR_NOT_FOUND);
	ok(meta_project_rename(tx, P2, "still here", ERR));
	ok(meta_clock_take(tx, P1, 1, 1, &last, ERR));
	assert_int_equal(last, 5002);
	put_at(tx, 12, "new", 10001); /* its path and its version are free again */
	commit(tx);
}

/* What goes in is copied; what comes out is the transaction's own, until it is trimmed. */
static void
ownership(void **state)
{
	char name[16] = "first";
	struct meta_tx *tx;
	struct file a, b;

	add_basics(*state);
	tx = writer(*state);
	put_at(tx, 10, name, 10000);
	memset(name, 'x', 5);
	put_at(tx, 11, name, 10001);
	ok(meta_file_at(tx, P1, "first", &a, ERR));
	ok(meta_file_at(tx, P1, "xxxxx", &b, ERR));
	assert_string_equal(a.name, "first");
	assert_string_equal(b.name, "xxxxx");
	assert_true(arena_used(meta_arena(tx)) > 0);
	meta_tx_trim(tx);
	assert_int_equal(arena_used(meta_arena(tx)), 0);
	ok(meta_file_at(tx, P1, "first", &a, ERR));
	assert_string_equal(a.name, "first");
	commit(tx);
}

/* ---- threads: no asserts in them, they say what they saw ----------------------------------------------------------------------- */

#define THREADS 8
#define TAKES 40

struct taker {
	struct fixture *f;
	unsigned no;
	bool failed;
	int64_t last[TAKES];
	unsigned n[TAKES];
};

/* Each with a wall clock of its own that runs backwards; each change is a row, so the commits conflict if clocks do. */
static err_code
take_one(struct taker *t, unsigned i, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	char name[32];
	struct file f;
	err_code rc;

	(void)snprintf(name, sizeof name, "t%u-%u", t->no, i);
	t->n[i] = 1 + (i + t->no) % 5;
	rc = meta_begin(t->f->m, META_WRITE, &tx, err);
	if (!rc)
		rc = meta_clock_take(tx, P1, 1000000 - 100 * (int64_t)i, t->n[i], &t->last[i], err);
	f = a_file(1000 + t->no * TAKES + i, "", name, t->last[i]);
	if (!rc)
		rc = meta_file_put(tx, P1, &f, err);
	if (!rc && i % 8 == 7)
		return ERR_OK; /* aborts: its clock value is free for another */
	return rc ? rc : meta_commit(&tx, err);
}

static void *
taker(void *arg)
{
	struct taker *t = arg;
	struct err err;

	for (unsigned i = 0; i < TAKES; i++)
		t->failed |= take_one(t, i, &err) != ERR_OK;
	return NULL;
}

static bool
kept(unsigned i)
{
	return i % 8 != 7;
}

static void
clocks_are_unique(void **state)
{
	static struct taker t[THREADS];
	pthread_t thread[THREADS];
	size_t expected = 0;
	struct meta_tx *tx;

	add_basics(*state);
	for (unsigned i = 0; i < THREADS; i++) {
		t[i] = (struct taker){ .f = *state, .no = i };
		ok(thread_start("taker", taker, &t[i], &thread[i], ERR));
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_false(t[i].failed);
		for (unsigned k = 0; k < TAKES; k++) {
			expected += kept(k);
			assert_true(t[i].last[k] >= 1000000 - 100 * TAKES);
			if (k && kept(k - 1)) /* mine came later, so it is later */
				assert_true(t[i].last[k] - t[i].n[k] + 1 > t[i].last[k - 1]);
		}
	}
	tx = reader(*state);
	assert_int_equal(count(tx), expected); /* each under a version of its own */
	meta_abort(&tx);
}

struct late {
	struct fixture *f;
	_Atomic bool began;
	bool failed;
};

static void *
late_writer(void *arg)
{
	struct late *l = arg;
	struct meta_tx *tx;
	struct err err;

	l->failed = meta_begin(l->f->m, META_WRITE, &tx, &err) != ERR_OK;
	atomic_store(&l->began, true);
	if (!l->failed)
		l->failed = meta_project_rename(tx, P1, "late", &err) || meta_commit(&tx, &err);
	return NULL;
}

/* A writer keeps others out from its beginning, so what it has read stays true. */
static void
one_writer(void **state)
{
	struct late l = { .f = *state };
	struct meta_tx *tx;
	struct project p;
	pthread_t thread;
	bool early;

	add_basics(*state);
	tx = writer(*state);
	ok(thread_start("late", late_writer, &l, &thread, ERR));
	(void)usleep(50 * 1000); /* time enough to do wrong; to do right it needs none */
	early = atomic_load(&l.began);
	ok(meta_project_rename(tx, P1, "early", ERR));
	commit(tx);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(early || l.failed);
	tx = reader(*state);
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_string_equal(p.name, "late");
	meta_abort(&tx);
}

struct watcher {
	struct fixture *f;
	_Atomic bool stop;
	bool torn;
	_Atomic unsigned reads;
};

/* Both projects are changed together: a reader that sees one change without the other has seen two instants. */
static void *
watcher(void *arg)
{
	struct watcher *w = arg;
	struct err err;

	while (!atomic_load(&w->stop)) {
		struct meta_tx *tx;
		struct project p, q;

		if (meta_begin(w->f->m, META_READ, &tx, &err))
			w->torn = true;
		else if (meta_project_get(tx, P1, &p, &err) || meta_project_get(tx, P2, &q, &err) || p.file_count != q.file_count)
			w->torn = true;
		meta_abort(&tx);
		atomic_fetch_add(&w->reads, 1);
	}
	return NULL;
}

#define WATCHERS 3

static bool
all_have_read(struct watcher *w, unsigned times)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		if (atomic_load(&w[i].reads) < times)
			return false;
	}
	return true;
}

static void
readers_see_one_instant(void **state)
{
	static struct watcher w[WATCHERS];
	pthread_t thread[WATCHERS];
	struct hash digest = hash_no(1);
	int64_t deadline = clock_mono_ms() + 30000;

	add_basics(*state);
	for (unsigned i = 0; i < WATCHERS; i++) {
		w[i] = (struct watcher){ .f = *state };
		ok(thread_start("watcher", watcher, &w[i], &thread[i], ERR));
	}
	for (int64_t i = 10; i < 110 || (!all_have_read(w, 50) && clock_mono_ms() < deadline); i++) {
		struct meta_tx *tx = writer(*state);

		ok(meta_project_total(tx, P1, &digest, i, 1, ERR));
		ok(meta_project_total(tx, P2, &digest, i, 1, ERR));
		commit(tx);
	}
	for (unsigned i = 0; i < WATCHERS; i++)
		atomic_store(&w[i].stop, true);
	for (unsigned i = 0; i < WATCHERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(all_have_read(w, 50));
	for (unsigned i = 0; i < WATCHERS; i++)
		assert_false(w[i].torn);
}

/* ---- what only some have ----------------------------------------------------------------------------------------------------------- */

static void
reopen(void **state)
{
	struct fixture *f = *state;
	struct meta_tx *tx;
	struct file out, want;
	struct project p;
	int64_t last;

	if (!f->be->reopens)
		skip();
	add_basics(f);
	tx = writer(f);
	ok(meta_clock_take(tx, P1, 10000, 1, &last, ERR));
	want = a_file(10, "d", "x", last);
	ok(meta_file_put(tx, P1, &want, ERR));
	commit(tx);
	for (int i = 0; i < 2; i++) {
		fixture_reopen(f);
		tx = reader(f);
		ok(meta_file_at(tx, P1, "d/x", &out, ERR));
		assert_file(&out, &want);
		ok(meta_project_get(tx, P1, &p, ERR));
		assert_int_equal(p.clock, 10000);
		meta_abort(&tx);
	}
	tx = writer(f);
	ok(meta_clock_take(tx, P1, 1, 1, &last, ERR));
	assert_int_equal(last, 10001);
	commit(tx);
}

/* A transaction that asks for too much is told so, and can go on when it has let go. */
static void
ask_for_too_much(struct fixture *f)
{
	AUTO(freep) uint8_t *body = xcalloc(1, 20 * MIB);
	struct idempotent i = { .device = id_no(1), .body = body, .body_len = 20 * MIB }, out;
	err_code rc = ERR_OK;
	struct meta_tx *tx;
	int n = 0;

	tx = writer(f);
	ok(meta_idempotent_add(tx, &i, ERR));
	commit(tx);
	tx = reader(f);
	while (!rc && n++ < 10)
		rc = meta_idempotent_get(tx, &i.device, &i.key_hash, &out, ERR);
	assert_int_equal(rc, ERR_NO_MEM);
	assert_int_equal(n, 4);
	meta_tx_trim(tx);
	ok(meta_idempotent_get(tx, &i.device, &i.key_hash, &out, ERR));
	assert_memory_equal(out.body, body, 20 * MIB);
	meta_abort(&tx);
}

static void
ceiling(void **state)
{
	struct fixture *f = *state;

	if (!f->be->bounded)
		skip();
	ask_for_too_much(f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(ping),
	cmocka_unit_test(isolation),
	cmocka_unit_test(abort_leaves_nothing),
	cmocka_unit_test(ownership),
	cmocka_unit_test(clocks_are_unique),
	cmocka_unit_test(one_writer),
	cmocka_unit_test(readers_see_one_instant),
	cmocka_unit_test(reopen),
	cmocka_unit_test(ceiling),
};
const struct group group_tx = { tests, ARRAY_LEN(tests) };
