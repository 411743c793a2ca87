/* Many threads on one project: clocks, sums, and a reader that follows the feed meanwhile (I7). */
#include <pthread.h>

#include "rig.h"

enum { THREADS = 8, COMMITS = 60, NAMES = 12 };

struct writer {
	struct rig *r;
	unsigned who;
	struct made text;
	int64_t versions[COMMITS];
	size_t n, conflicts;
	const char *wrong;
};

static unsigned running;

/* One commit on whatever the file at ${path} is now; others may be faster. */
static void
one_commit(struct writer *w, struct arena *a, const char *path)
{
	struct op op = put_file(path, &w->text);
	struct commit c = { .ops = &op, .n = 1, .device = w->r->device.id };
	struct file f;
	struct err err;
	err_code rc = tree_file_at(w->r->d, &w->r->project, path, a, &f, &err);

	op.has_mtime = true;
	op.mtime_ns = (int64_t)w->who * 1000000 + (int64_t)w->n; /* never the same state twice */
	if (!rc)
		op = w->n % 5 == 4 ? del(&f) : on(op, f.version);
	rc = commit_apply(w->r->d, &w->r->project, &c, NULL, a, &err);
	if (rc)
		w->wrong = "a commit failed";
	else if (c.results[0].code == ERR_VERSION_CONFLICT || c.results[0].code == ERR_NAME_EXISTS)
		w->conflicts++;
	else if (c.results[0].code)
		w->wrong = "an operation failed";
	else if (!c.results[0].unchanged)
		w->versions[w->n] = c.results[0].version;
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);
	char path[32];

	for (w->n = 0; w->n < COMMITS; w->n++) {
		arena_reset(a);
		snprintf(path, sizeof path, "f%u", (unsigned)((w->n * 7 + w->who) % NAMES));
		one_commit(w, a, path);
	}
	__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* A device that follows the feed: the newest state of each id that it has been told of. */
struct told {
	struct id id;
	int64_t version;
	bool live;
};

struct follower {
	struct rig *r;
	struct told told[THREADS * COMMITS];
	size_t n;
	int64_t since;
	const char *wrong;
};

static void
hear(struct follower *f, const struct file *file)
{
	size_t i = 0;

	while (i < f->n && !id_eq(&f->told[i].id, &file->id))
		i++;
	if (i == f->n)
		f->n++;
	if (file->version <= f->since)
		f->wrong = "a change came twice or too late";
	f->told[i] = (struct told){ file->id, file->version, file->deleted_at == 0 };
	f->since = file->version;
}

static bool
follow(struct follower *f, struct arena *a)
{
	struct tree_page page;
	struct err err;

	arena_reset(a);
	if (tree_changes(f->r->d, &f->r->project, f->since, 7, false, a, &page, &err)) {
		f->wrong = "the feed failed";
		return false;
	}
	for (size_t i = 0; i < page.n; i++)
		hear(f, &page.files[i]);
	f->since = page.next;
	return page.n > 0;
}

static void *
follower_main(void *arg)
{
	struct follower *f = arg;
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);
	bool more = true;

	while (!f->wrong && (more || __atomic_load_n(&running, __ATOMIC_SEQ_CST) > 0))
		more = follow(f, a);
	while (!f->wrong && follow(f, a)) /* what came between the last look and the last writer's end */
		;
	return NULL;
}

static int
by_version(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
assert_distinct(struct writer *w)
{
	int64_t all[THREADS * COMMITS];
	size_t n = 0;

	for (unsigned i = 0; i < THREADS; i++)
		for (size_t k = 0, last = 0; k < COMMITS; k++) {
			int64_t v = w[i].versions[k];

			if (!v)
				continue;
			assert_true(v > (int64_t)last);
			last = (size_t)v;
			all[n++] = v;
		}
	qsort(all, n, sizeof all[0], by_version);
	for (size_t i = 1; i < n; i++)
		assert_true(all[i] > all[i - 1]);
	assert_true(n > THREADS * COMMITS / 4);
}

/* What the follower was told of is what there is. */
static void
assert_told_all(struct rig *r, const struct follower *f)
{
	struct tree_page page;
	size_t live = 0;

	for (size_t i = 0; i < f->n; i++)
		live += f->told[i].live;
	assert_ok(r, tree_list(r->d, &r->project, 0, 1000, false, r->a, &page, &r->err));
	assert_int_equal(page.n, live);
	for (size_t i = 0; i < page.n; i++) {
		size_t k = 0;

		while (k < f->n && !id_eq(&f->told[k].id, &page.files[i].id))
			k++;
		assert_true(k < f->n);
		assert_int_equal(f->told[k].version, page.files[i].version);
	}
	assert_int_equal(f->since, page.project.clock);
}

static void
writers_and_a_follower(void **state)
{
	struct rig *r = *state;
	AUTO(freep) struct writer *w = xcalloc(THREADS, sizeof *w);
	AUTO(freep) struct follower *f = xcalloc(1, sizeof *f);
	pthread_t threads[THREADS], reader;
	size_t conflicts = 0;

	running = THREADS;
	f->r = r;
	assert_ok(r, thread_start("follower", follower_main, f, &reader, &r->err));
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct writer){ .r = r, .who = i, .text = rig_upload(r, arena_printf(r->a, "text %u", i), 6) };
		assert_ok(r, thread_start("writer", writer_main, &w[i], &threads[i], &r->err));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		conflicts += w[i].conflicts;
		if (w[i].wrong)
			fail_msg("%s", w[i].wrong);
	}
	pthread_join(reader, NULL);
	if (f->wrong)
		fail_msg("%s", f->wrong);
	print_message("%zu of %d commits were conflicts\n", conflicts, THREADS * COMMITS);
	assert_distinct(w);
	assert_told_all(r, f);
	rig_assert_sums(r);
}

/* Two commits on one base: exactly one wins. */
static void *
racer_main(void *arg)
{
	struct writer *w = arg;
	AUTO(arena_freep) struct arena *a = arena_new(1 * MIB);
	struct op op = on(put_file("race", &w->text), w->versions[0]);
	struct commit c = { .ops = &op, .n = 1, .device = w->r->device.id };
	struct err err;

	if (commit_apply(w->r->d, &w->r->project, &c, NULL, a, &err))
		w->wrong = "a commit failed";
	else if (c.results[0].code == ERR_VERSION_CONFLICT)
		w->conflicts++;
	return NULL;
}

static void
exactly_one_wins(void **state)
{
	struct rig *r = *state;

	for (unsigned round = 0; round < 20; round++) {
		AUTO(freep) struct writer *w = xcalloc(THREADS, sizeof *w);
		pthread_t threads[THREADS];
		size_t lost = 0;
		int64_t base = rig_there(r, "race") ? rig_at(r, "race").version : rig_do(r, put_text(r, "race", "start")).version;

		for (unsigned i = 0; i < THREADS; i++) {
			w[i] = (struct writer){ .r = r, .text = rig_upload(r, arena_printf(r->a, "%02u%02u", round, i), 4) };
			w[i].versions[0] = base;
		}
		for (unsigned i = 0; i < THREADS; i++)
			assert_ok(r, thread_start("racer", racer_main, &w[i], &threads[i], &r->err));
		for (unsigned i = 0; i < THREADS; i++) {
			pthread_join(threads[i], NULL);
			assert_null(w[i].wrong);
			lost += w[i].conflicts;
		}
		assert_int_equal(lost, THREADS - 1);
	}
	rig_assert_sums(r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(writers_and_a_follower), T(exactly_one_wins) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
