/*
 * C14: a collector that never stops and has no grace, beside those who upload and commit.  Whoever holds a lease, or uploads plainly, is
 * never told that something is missing; whoever names old chunks without a lease may be, but what was accepted reads back.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../domain/rig.h"

#include "server/job/gc.h"

enum { THREADS = 6, ROUNDS = 40 };

struct worker {
	struct rig *r;
	unsigned who;
	unsigned refused; /* of those without a lease */
	const char *wrong;
	struct err err;
};

static atomic_uint running;

static err_code
send(struct worker *w, struct arena *a, const struct id *t, const char *text, struct made *out)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	struct hash h = hash_of(text, strlen(text)), id;
	struct content_hash ch;
	struct chunk_in *c;
	const uint8_t *p;
	size_t len;
	err_code rc;

	(void)a;
	chunk_builder_add(b, (const uint8_t *)text, strlen(text), &h);
	p = chunk_builder_finish(b, &id, &len);
	content_hash_init(&ch);
	content_hash_add(&ch, &h, (uint32_t)strlen(text));
	*out = (struct made){ .extent = { .chunk = id, .count = 1 }, .content = content_hash_final(&ch), .size = (int64_t)strlen(text) };
	rc = chunk_in_open(w->r->d, &w->r->project, &w->r->device.id, t, 0, &c, &w->err);
	if (rc)
		return rc;
	rc = chunk_in_feed(c, p, len, &w->err);
	if (!rc)
		rc = chunk_in_finish(c, &id, &w->err);
	chunk_in_free(c);
	return rc;
}

static err_code
put(struct worker *w, struct arena *a, const char *path, const struct made *m, const struct id *t)
{
	struct op op = put_file(path, m);
	struct commit c = { .ops = &op, .n = 1, .device = w->r->device.id };

	op.transfer = t ? *t : (struct id){ 0 };
	return commit_apply(w->r->d, &w->r->project, &c, NULL, a, &w->err);
}

static const char *
reads(struct worker *w, struct arena *a, const char *path, const char *want)
{
	uint8_t buf[100];
	struct content_out *c;
	struct file f;
	size_t got = 0;
	err_code rc = tree_file_at(w->r->d, &w->r->project, path, a, &f, &w->err);

	if (rc)
		return "a file is not there";
	rc = content_open(w->r->d, &w->r->project, &f, &c, &w->err);
	if (!rc) {
		rc = content_read(c, 0, buf, sizeof buf, &got, &w->err);
		content_close(c);
	}
	return rc || got != strlen(want) || memcmp(buf, want, got) != 0 ? "a content does not read back" : NULL;
}

/* The same few texts over and over, so that chunks are put while they are being collected. */
static void
with_lease(struct worker *w, struct arena *a, unsigned round, bool late)
{
	struct transfer_start s = { .device = w->r->device.id, .path = "" };
	const char *text = arena_printf(a, "text %u", round % 4), *path = arena_printf(a, "%u-%u", w->who, round);
	struct transfer t;
	struct made m;
	err_code rc = transfer_create(w->r->d, &w->r->project, &s, NULL, a, &t, &w->err);

	if (!rc)
		rc = send(w, a, &t.id, text, &m);
	if (!rc && late) /* the lease ends before the commit */
		rc = transfer_abandon(w->r->d, &w->r->project, &w->r->device.id, &t.id, &w->err);
	if (rc) {
		w->wrong = "an upload was refused";
		return;
	}
	rc = put(w, a, path, &m, late ? NULL : &t.id);
	if (rc && (!late || rc != ERR_CHUNKS_MISSING))
		w->wrong = "a commit was refused";
	w->refused += rc != ERR_OK;
	if (!rc)
		w->wrong = reads(w, a, path, text);
}

static void
plainly(struct worker *w, struct arena *a, unsigned round)
{
	const char *text = arena_printf(a, "text %u", round % 4), *path = arena_printf(a, "%u-%u", w->who, round);
	struct content_put p = { .device = w->r->device.id, .path = path, .size = (int64_t)strlen(text) };
	struct content_in *c;
	struct file f;
	bool created;
	err_code rc = content_in_open(w->r->d, &w->r->project, &p, &c, &w->err);

	if (!rc) {
		rc = content_in_feed(c, (const uint8_t *)text, strlen(text), &w->err);
		if (!rc)
			rc = content_in_finish(c, a, &f, &created, &w->err);
		content_in_free(c);
	}
	w->wrong = rc ? "a plain upload was refused" : reads(w, a, path, text);
}

static err_code
forget(struct worker *w, struct arena *a, unsigned round)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct file f;
	unsigned gone;
	struct op op;
	struct commit c = { .ops = &op, .n = 1, .device = w->r->device.id };
	err_code rc = tree_file_at(w->r->d, &w->r->project, arena_printf(a, "%u-%u", w->who, round), a, &f, &w->err);

	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	op = del(&f);
	rc = commit_apply(w->r->d, &w->r->project, &c, NULL, a, &w->err);
	if (!rc)
		rc = meta_begin(w->r->meta, META_WRITE, &tx, &w->err);
	if (!rc)
		rc = meta_version_prune(tx, &w->r->project, &f.id, c.results[0].version, 100, &gone, &w->err);
	return rc ? rc : meta_commit(&tx, &w->err);
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	for (unsigned round = 0; round < ROUNDS && !w->wrong; round++) {
		AUTO(arena_freep) struct arena *a = arena_new(4 * MIB);

		if (w->who % 3 == 0)
			plainly(w, a, round);
		else
			with_lease(w, a, round, w->who % 3 == 1);
		if (!w->wrong && round >= 2 && forget(w, a, round - 2))
			w->wrong = "a delete was refused";
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

static void
everybody_at_once(void **state)
{
	struct rig *r = *state;
	struct worker w[THREADS];
	pthread_t threads[THREADS];
	struct gc_report report;
	uint64_t runs = 0, removed = 0;
	unsigned refused = 0;

	domain_grace(r->d, 0);
	atomic_store(&running, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .r = r, .who = i };
		assert_ok(r, thread_start("worker", worker_main, &w[i], &threads[i], &r->err));
	}
	while (atomic_load(&running) > 0) {
		assert_ok(r, gc_collect(r->d, r->meta, r->store, false, &report, &r->err));
		runs++;
		removed += report.chunks_removed;
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		if (w[i].wrong)
			fail_msg("%s: %s", w[i].wrong, w[i].err.msg);
		refused += w[i].refused;
	}
	print_message("%llu collections removed %llu chunks; %u commits without a lease had to send again\n", (unsigned long long)runs,
	    (unsigned long long)removed, refused);
	rig_assert_sums(r);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned round = ROUNDS - 2; round < ROUNDS; round++) {
			AUTO(arena_freep) struct arena *a = arena_new(MIB);
			const char *path = arena_printf(a, "%u-%u", i, round);

			if (w[i].who % 3 != 1 || rig_there(r, path))
				assert_null(reads(&w[i], a, path, arena_printf(a, "text %u", round % 4)));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(everybody_at_once, rig_setup, rig_teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
