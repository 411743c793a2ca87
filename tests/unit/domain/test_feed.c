/*
 * C13: eight writers whose commits are held now and then between their clock and their end, and four readers of the feed with pages of 1 to
 * 100; everything is closed and opened again in between.  Writers make links, change some, and delete some, up to twelve in a commit.  What must
 * hold of each reader, whatever it meets:
 *
 *   order     versions grow from row to row and page to page, none is at or before the page's cursor, none comes twice
 *   complete  at the end it has been told the last state of every file, and nothing that was not committed
 *
 * A change that a cursor has passed unseen cannot be met later, so looking at the end is enough.  DRAY_TEST_COMMITS says how many (2,000).
 */
#include <pthread.h>
#include <stdatomic.h>

#include "rig.h"

#include "base/map.h"
#include "base/rng.h"

enum { WRITERS = 8, READERS = 4, PHASES = 4, BATCH_MAX = 12 };

struct seen {
	int64_t version;
	bool gone;
};

struct writer {
	struct rig *r;
	unsigned who, made; /* links so far */
	unsigned commits;   /* in this phase */
	struct map *last;   /* struct id -> struct seen: what was acknowledged */
	struct id *ids;
	size_t ids_n;
	int64_t acked; /* the newest version */
	const char *wrong;
	struct err err;
};

struct reader {
	struct rig *r;
	int64_t since;
	struct map *told; /* struct id -> struct seen */
	size_t pages, rows;
	const char *wrong;
	struct err err;
};

struct campaign {
	struct writer w[WRITERS];
	struct reader r[READERS];
};

static atomic_uint running;

static unsigned
commits_wanted(void)
{
	const char *s = getenv("DRAY_TEST_COMMITS");

	return s ? (unsigned)strtoul(s, NULL, 10) : 2000;
}

static void
remember(struct map *m, const struct id *id, int64_t version, bool gone)
{
	struct seen *s = map_get(m, id, sizeof *id);

	if (!s) {
		s = xmalloc(sizeof *s);
		map_put(m, id, sizeof *id, s);
	}
	*s = (struct seen){ version, gone };
}

/* ---- writers -------------------------------------------------------------------------------------------------------- */

/* Mostly new links; every fourth operation changes or deletes one of before. */
static struct op
next_op(struct writer *w, struct arena *a)
{
	uint64_t roll = rng_u64();
	const struct id *id = w->ids_n && roll % 4 == 0 ? &w->ids[roll / 4 % w->ids_n] : NULL;
	const struct seen *s = id ? map_get(w->last, id, sizeof *id) : NULL;

	if (s && !s->gone)
		return (struct op){ .kind = OP_DELETE, .file = *id, .has_base = true, .base = s->version };
	return put_link(arena_printf(a, "%u-%07u", w->who, w->made++), "to");
}

/* No two operations of a batch on one file: the second's base would be of before. */
static size_t
make_batch(struct writer *w, struct arena *a, struct op ops[BATCH_MAX])
{
	uint64_t roll = rng_u64();
	size_t n = roll % 4 ? 1 : 1 + roll / 4 % BATCH_MAX, kept = 0;

	for (size_t i = 0; i < n; i++) {
		bool again = false;

		ops[kept] = next_op(w, a);
		for (size_t k = 0; k < kept && ops[kept].kind == OP_DELETE; k++)
			again |= ops[k].kind == OP_DELETE && id_eq(&ops[k].file, &ops[kept].file);
		kept += !again;
	}
	return kept;
}

static void
note_results(struct writer *w, const struct commit *c)
{
	for (size_t i = 0; i < c->n && !w->wrong; i++) {
		const struct op_result *res = &c->results[i];

		if (res->code)
			w->wrong = "an operation failed";
		else if (res->version <= w->acked)
			w->wrong = "a later commit has an earlier clock";
		if (!map_get(w->last, &res->file, sizeof res->file))
			w->ids[w->ids_n++] = res->file;
		remember(w->last, &res->file, res->version, c->ops[i].kind == OP_DELETE);
		w->acked = res->version;
	}
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);

	for (unsigned i = 0; i < w->commits && !w->wrong; i++) {
		struct op ops[BATCH_MAX];
		struct commit c = { .ops = ops, .device = w->r->device.id };

		arena_reset(a);
		c.n = make_batch(w, a, ops);
		if (commit_apply(w->r->d, &w->r->project, &c, NULL, a, &w->err))
			w->wrong = w->err.msg;
		else
			note_results(w, &c);
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* ---- readers -------------------------------------------------------------------------------------------------------- */

static void
take_page(struct reader *r, const struct tree_page *page)
{
	int64_t last = r->since;

	for (size_t i = 0; i < page->n; i++) {
		const struct file *f = &page->files[i];

		if (f->version <= last)
			r->wrong = "a change came twice, or out of order";
		last = f->version;
		remember(r->told, &f->id, f->version, f->deleted_at != 0);
	}
	if (page->next < last || (page->has_more && page->next == r->since))
		r->wrong = "the feed does not advance";
	r->since = page->next;
	r->pages++;
	r->rows += page->n;
}

/* Ends when all has been read that was there after the last writer ended. */
static void *
reader_main(void *arg)
{
	struct reader *r = arg;
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);

	for (bool over = false; !over && !r->wrong;) {
		struct tree_page page;

		over = atomic_load(&running) == 0;
		if (!over && !tree_changed_since(r->r->d, &r->r->project, r->since)) {
			sched_yield();
			continue;
		}
		arena_reset(a);
		if (tree_changes(r->r->d, &r->r->project, r->since, 1 + (unsigned)(rng_u64() % 100), false, a, &page, &r->err)) {
			r->wrong = r->err.msg;
			break;
		}
		take_page(r, &page);
		over = over && !page.has_more;
	}
	return NULL;
}

/* ---- the campaign ------------------------------------------------------------------------------------------------------ */

static void
run_phase(struct campaign *c, struct rig *r, unsigned commits)
{
	pthread_t writers[WRITERS], readers[READERS];

	running = WRITERS;
	for (size_t i = 0; i < READERS; i++)
		assert_ok(r, thread_start("reader", reader_main, &c->r[i], &readers[i], &r->err));
	for (size_t i = 0; i < WRITERS; i++) {
		c->w[i].commits = commits / WRITERS;
		assert_ok(r, thread_start("writer", writer_main, &c->w[i], &writers[i], &r->err));
	}
	for (size_t i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	for (size_t i = 0; i < WRITERS; i++)
		if (c->w[i].wrong)
			fail_msg("writer: %s", c->w[i].wrong);
	for (size_t i = 0; i < READERS; i++)
		if (c->r[i].wrong)
			fail_msg("reader: %s", c->r[i].wrong);
}

/* Writers' files are their own, so their maps together are the tree and its tombstones. */
static void
check_reader(const struct campaign *c, const struct reader *r)
{
	size_t files = 0, missed = 0;

	for (size_t i = 0; i < WRITERS; i++)
		for (size_t k = 0; k < c->w[i].ids_n; k++, files++) {
			const struct seen *want = map_get(c->w[i].last, &c->w[i].ids[k], sizeof(struct id));
			const struct seen *got = map_get(r->told, &c->w[i].ids[k], sizeof(struct id));

			missed += !got || got->version != want->version || got->gone != want->gone;
		}
	if (missed)
		fail_msg("%zu of %zu files were missed", missed, files);
	assert_int_equal(map_count(r->told), files); /* nothing that was not committed */
}

static void
map_drop(struct map *m)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(m, &pos, &key, &len, &value))
		free(value);
	map_free(m);
}

static void
writers_and_readers(void **state)
{
	struct rig *r = *state;
	AUTO(freep) struct campaign *c = xcalloc(1, sizeof *c);
	unsigned commits = commits_wanted();

	for (unsigned i = 0; i < WRITERS; i++)
		c->w[i] = (struct writer){ .r = r, .who = i, .last = map_new(),
			.ids = xcalloc((size_t)commits * BATCH_MAX / WRITERS + 1, sizeof(struct id)) };
	for (unsigned i = 0; i < READERS; i++)
		c->r[i] = (struct reader){ .r = r, .since = 0, .told = map_new() };
	for (unsigned phase = 0; phase < PHASES; phase++) {
		run_phase(c, r, commits / PHASES);
		rig_restart(r);
	}
	for (unsigned i = 0; i < READERS; i++)
		check_reader(c, &c->r[i]);
	rig_assert_sums(r);
	print_message("%u commits, %zu pages, %zu rows read\n", commits, c->r[0].pages, c->r[0].rows);
	for (unsigned i = 0; i < WRITERS; i++) {
		map_drop(c->w[i].last);
		free(c->w[i].ids);
	}
	for (unsigned i = 0; i < READERS; i++)
		map_drop(c->r[i].told);
}

/* Commits are held in every run, beside whatever else the environment asks for. */
int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(writers_and_readers) };
	const char *more = getenv("DRAY_FAULT");
	char faults[256];

	snprintf(faults, sizeof faults, "domain.commit_pauses%s%s", more ? "," : "", more ? more : "");
	setenv("DRAY_FAULT", faults, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
