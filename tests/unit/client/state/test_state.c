/*
 * The client's memory: rows, sums, the walk's order, and what a transaction that is given up leaves behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/rng.h"
#include "base/sbuf.h"
#include "base/thread.h"
#include "chunk/blocklist.h"
#include "client/state/state.h"

#define OK(call) \
	do { \
		err_code rc_ = (call); \
		if (rc_) \
			fail_msg("%s: %s: %s", #call, err_info(rc_)->code, err.msg); \
	} while (0)

struct fixture {
	char dir[64];
	struct state *s;
	struct arena *a;
};

static struct err err;

static int
setup(void **ctx)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/dray-state-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	OK(state_open(f->dir, &f->s, &err));
	f->a = arena_new(256 * MIB);
	*ctx = f;
	return 0;
}

static int
teardown(void **ctx)
{
	struct fixture *f = *ctx;
	static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm" };

	state_free(f->s);
	arena_free(f->a);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s", f->dir, files[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct entry
entry_make(const char *path, uint64_t n)
{
	struct entry e = {
		.path = path,
		.kind = (enum entry_kind)(n % 3),
		.mode = n % 512,
		.mtime_ns = (int64_t)(n * 1000003) - 5000000,
		.content_known = true,
		.target = n % 3 == ENTRY_LINK ? "else/where" : "",
		.version = (int64_t)n + 1,
		.dev = UINT64_MAX - n,
		.ino = n * 7 + (UINT64_C(1) << 63),
		.ctime_ns = (int64_t)n,
	};

	memcpy(e.id.b, &n, sizeof n);
	e.id.b[15] = 1;
	if (e.kind == ENTRY_FILE)
		e.size = (int64_t)(n * 1000);
	if (e.kind != ENTRY_DIR)
		e.content = hash_of(&n, sizeof n);
	return e;
}

static void
entry_equal(const struct entry *a, const struct entry *b)
{
	assert_string_equal(a->path, b->path);
	assert_string_equal(a->target, b->target);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_memory_equal(a->content.b, b->content.b, 32);
	assert_memory_equal(a->id.b, b->id.b, 16);
	assert_int_equal(a->version, b->version);
	assert_true(a->dev == b->dev && a->ino == b->ino && a->ctime_ns == b->ctime_ns);
}

/* ---- link and place ------------------------------------------------------------------------------------------------------------ */

static void
test_link(void **ctx)
{
	struct fixture *f = *ctx;
	struct state_link l = { .url = "https://h:1", .project = id_new(), .device = id_new(), .project_name = "pröject", .device_name = "d" };
	struct state_link got;

	assert_int_equal(state_link_get(f->s, f->a, &got, &err), ERR_NOT_LINKED);
	OK(state_link_put(f->s, &l, &err));
	l.url = "https://other:1";
	OK(state_link_put(f->s, &l, &err));
	OK(state_link_get(f->s, f->a, &got, &err));
	assert_string_equal(got.url, "https://other:1");
	assert_string_equal(got.project_name, "pröject");
	assert_true(id_eq(&got.project, &l.project) && id_eq(&got.device, &l.device));
}

static void
test_place(void **ctx)
{
	struct fixture *f = *ctx;
	struct state_place p, got;

	OK(state_place_get(f->s, &got, &err));
	assert_false(got.known);
	assert_int_equal(got.clock, 0);
	p = (struct state_place){ .clock = INT64_MAX, .epoch = id_new(), .known = true, .reported = 5, .synced_at = 6,
		.digest = hash_of("x", 1) };
	OK(state_begin(f->s, &err));
	OK(state_place_put(f->s, &p, &err));
	OK(state_commit(f->s, &err));
	OK(state_place_get(f->s, &got, &err));
	assert_true(got.known && got.clock == p.clock && id_eq(&got.epoch, &p.epoch) && got.reported == 5 && got.synced_at == 6 &&
	    hash_eq(&got.digest, &p.digest));
}

/* ---- the base tree against a model ------------------------------------------------------------------------------------------------ */

#define MODEL_PATHS 60

struct model {
	bool there[MODEL_PATHS];
	struct entry e[MODEL_PATHS];
	char path[MODEL_PATHS][64];
};

static void
model_init(struct model *m)
{
	static const char *const dirs[] = { "", "a/", "a/b/", "a-b/", "a!/", "\xc3\xa9/", "a/b c/" };

	memset(m, 0, sizeof *m);
	for (size_t i = 0; i < MODEL_PATHS; i++)
		snprintf(m->path[i], sizeof m->path[i], "%sn%zu", dirs[i % ARRAY_LEN(dirs)], i / ARRAY_LEN(dirs) * 7);
}

static void
model_put(struct model *m, size_t i, uint64_t id, uint64_t n)
{
	for (size_t k = 0; k < MODEL_PATHS; k++)
		if (m->there[k] && memcmp(m->e[k].id.b, &id, sizeof id) == 0)
			m->there[k] = false;
	m->there[i] = true;
	m->e[i] = entry_make(m->path[i], n);
	memcpy(m->e[i].id.b, &id, sizeof id);
}

static void
model_compare(const struct model *m, struct state *s, struct arena *a)
{
	AUTO(state_walk_freep) struct state_walk *w = NULL;
	struct state_totals t, want = { 0 };
	const struct entry *e;
	char last[64] = "";
	struct entry got;

	for (size_t i = 0; i < MODEL_PATHS; i++) {
		struct hash h;
		if (!m->there[i]) {
			assert_int_equal(state_base_get(s, m->path[i], a, &got, &err), ERR_NOT_FOUND);
			continue;
		}
		OK(state_base_get(s, m->path[i], a, &got, &err));
		entry_equal(&got, &m->e[i]);
		OK(state_base_by_id(s, &m->e[i].id, a, &got, &err));
		entry_equal(&got, &m->e[i]);
		h = entry_digest(&m->e[i]);
		digest_add(&want.digest, &h);
		want.entries++;
		want.files += m->e[i].kind == ENTRY_FILE;
		want.bytes += (uint64_t)m->e[i].size;
	}
	OK(state_totals(s, &t, &err));
	assert_int_equal(t.entries, want.entries);
	assert_int_equal(t.files, want.files);
	assert_int_equal(t.bytes, want.bytes);
	assert_memory_equal(t.digest.b, want.digest.b, 32);
	OK(state_base_walk(s, &w, &err));
	for (;; want.entries--) {
		OK(state_walk_next(w, &e, &err));
		if (!e)
			break;
		if (last[0])
			assert_true(path_cmp(last, e->path) < 0);
		snprintf(last, sizeof last, "%s", e->path);
	}
	assert_int_equal(want.entries, 0);
	OK(state_walk_next(w, &e, &err)); /* the end stays the end */
	assert_null(e);
}

static void
test_base_model(void **ctx)
{
	struct fixture *f = *ctx;
	static struct model m, kept;
	uint64_t n = 1;

	model_init(&m);
	for (int round = 0; round < 120; round++) {
		bool give_up = round % 5 == 3;

		kept = m;
		OK(state_begin(f->s, &err));
		for (int k = 0; k < 12; k++, n++) {
			size_t i = rng_u64() % MODEL_PATHS;

			if (rng_u64() % 4 == 0) {
				OK(state_base_remove(f->s, m.path[i], &err));
				m.there[i] = false;
			} else {
				uint64_t id = rng_u64() % 40; /* fewer ids than paths: moves, and rows that meet */
				model_put(&m, i, id, n);
				OK(state_base_put(f->s, &m.e[i], &err));
			}
		}
		model_compare(&m, f->s, f->a); /* inside: one's own writes */
		if (give_up) {
			state_abort(f->s);
			state_abort(f->s);
			m = kept;
		} else {
			OK(state_commit(f->s, &err));
		}
		model_compare(&m, f->s, f->a);
		arena_reset(f->a);
		if (round % 40 == 39) {
			state_free(f->s);
			OK(state_open(f->dir, &f->s, &err));
		}
	}
}

static void
test_path_and_id_meet(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("x/a", 3), b = entry_make("x/b", 6), got;
	struct state_totals t;
	struct hash h;

	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &a, &err));
	OK(state_base_put(f->s, &b, &err));
	b.id = a.id; /* what was at x/a is now at x/b, and what was there is gone */
	OK(state_base_put(f->s, &b, &err));
	OK(state_commit(f->s, &err));
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.entries, 1);
	h = entry_digest(&b);
	assert_memory_equal(t.digest.b, h.b, 32);
	assert_int_equal(state_base_get(f->s, "x/a", f->a, &got, &err), ERR_NOT_FOUND);
	OK(state_base_get(f->s, "x/b", f->a, &got, &err));
	entry_equal(&got, &b);
}

static void
test_long_path(void **ctx)
{
	struct fixture *f = *ctx;
	AUTO(sbuf_fini) struct sbuf p = SBUF(PATH_LEN_MAX + 1);
	AUTO(state_walk_freep) struct state_walk *w = NULL;
	const struct entry *e;
	struct entry in, got;

	for (int i = 0; i < 16; i++)
		sbuf_addf(&p, "%s%0255d", i ? "/" : "", i);
	assert_int_equal(p.len, PATH_LEN_MAX - 1);
	in = entry_make(sbuf_str(&p), 9);
	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &in, &err));
	OK(state_commit(f->s, &err));
	OK(state_base_get(f->s, sbuf_str(&p), f->a, &got, &err));
	entry_equal(&got, &in);
	OK(state_base_walk(f->s, &w, &err));
	OK(state_walk_next(w, &e, &err));
	entry_equal(e, &in);
}

/* ---- pending ------------------------------------------------------------------------------------------------------------------------ */

struct seen {
	struct state *s;
	struct arena *a;
	size_t n, deleted, extra;
	struct entry last;
};

static err_code
on_pending(void *ctx, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *oops)
{
	struct seen *seen = ctx;
	struct entry base;
	err_code rc = state_base_by_id(seen->s, &e->id, seen->a, &base, oops); /* look-ups beside the walk */

	assert_true(rc == ERR_OK || rc == ERR_NOT_FOUND);
	seen->n++;
	seen->deleted += deleted;
	seen->extra += extra_len;
	if (extra_len > 0)
		assert_memory_equal(extra, "extra", extra_len);
	seen->last = *e;
	seen->last.path = arena_strdup(seen->a, e->path);
	seen->last.target = arena_strdup(seen->a, e->target);
	return ERR_OK;
}

static void
test_pending(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("p/a", 2), b = entry_make("p/b", 3);
	struct seen seen = { .s = f->s, .a = f->a };
	struct state_totals t;
	struct entry_sum left;

	a.dev = a.ino = 0, a.ctime_ns = 0;
	OK(state_begin(f->s, &err));
	OK(state_pending_put(f->s, &b, true, NULL, 0, &err));
	OK(state_pending_put(f->s, &a, true, NULL, 0, &err));
	OK(state_pending_put(f->s, &a, false, (const uint8_t *)"extra", 5, &err)); /* the newest word counts */
	OK(state_pending_remove(f->s, &b.id, &err));
	OK(state_pending_remove(f->s, &b.id, &err));
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.pending, 1);
	OK(state_commit(f->s, &err));
	OK(state_pending_each(f->s, UINT64_MAX, &left, on_pending, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.deleted, 0);
	assert_int_equal(seen.extra, 5);
	entry_equal(&seen.last, &a);
	OK(state_begin(f->s, &err));
	OK(state_pending_clear(f->s, &err));
	OK(state_commit(f->s, &err));
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.pending, 0);
}

/* What is new is told a part at a time; what concerns the tree that is here is told always. */
static void
test_pending_in_parts(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry known = entry_make("k", 3), gone = entry_make("g", 6), dir = entry_make("d", 1), fresh[3];
	struct seen seen = { .s = f->s, .a = f->a };
	struct entry_sum left;

	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &known, &err));
	OK(state_pending_put(f->s, &known, false, NULL, 0, &err));
	OK(state_pending_put(f->s, &gone, true, NULL, 0, &err));
	OK(state_pending_put(f->s, &dir, false, NULL, 0, &err));
	for (unsigned i = 0; i < 3; i++) {
		fresh[i] = entry_make("f", 9 + 3 * i);
		OK(state_pending_put(f->s, &fresh[i], false, NULL, 0, &err));
	}
	OK(state_commit(f->s, &err));
	OK(state_pending_each(f->s, 2, &left, on_pending, &seen, &err));
	assert_int_equal(left.entries, 1);
	assert_int_equal(left.files, 1);
	assert_int_equal(left.bytes, fresh[2].size);
	assert_int_equal(seen.n, 5);
	assert_int_equal(seen.deleted, 1);
	seen.n = 0;
	OK(state_pending_each(f->s, 0, &left, on_pending, &seen, &err));
	assert_int_equal(left.entries, 3);
	assert_int_equal(left.bytes, fresh[0].size + fresh[1].size + fresh[2].size);
	assert_int_equal(seen.n, 3);
	seen.n = 0;
	OK(state_pending_each(f->s, 3, &left, on_pending, &seen, &err));
	assert_int_equal(left.entries, 0);
	assert_int_equal(left.bytes, 0);
	assert_int_equal(seen.n, 6);
}

static err_code
count_left_out(void *ctx, const struct entry *e, struct err *oops)
{
	struct hash *sum = ctx, h = entry_digest(e);

	(void)oops;
	digest_add(sum, &h);
	return ERR_OK;
}

/* The sums of what is left out follow the marks, whatever happens to the rows (S5). */
static void
left_out_is(struct fixture *f, uint64_t left_out, uint64_t pending, const struct entry *one, const struct entry *two)
{
	struct hash sum = { 0 }, want = { 0 };
	struct state_totals t;

	for (unsigned i = 0; i < 2; i++) {
		const struct entry *e = i ? two : one;
		struct hash h = { 0 };
		if (e)
			h = entry_digest(e);
		digest_add(&want, &h);
	}
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.left_out, left_out);
	assert_int_equal(t.pending, pending);
	assert_memory_equal(&t.left_out_digest, &want, sizeof want);
	OK(state_left_out_each(f->s, count_left_out, &sum, &err));
	assert_memory_equal(&sum, &want, sizeof want);
	digest_add(&want, &t.digest);
	sum = state_tree_digest(&t);
	assert_memory_equal(&sum, &want, sizeof want);
}

static void
test_left_out(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("a", 3), b = entry_make("b", 6), c = entry_make("c", 9), d = entry_make("d", 12), newer = b;
	struct seen seen = { .s = f->s, .a = f->a };
	struct entry_sum left;

	newer.version++;
	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &a, &err));
	OK(state_base_put(f->s, &b, &err));
	OK(state_base_put(f->s, &c, &err));
	OK(state_pending_put(f->s, &newer, false, NULL, 0, &err));
	OK(state_pending_put(f->s, &c, true, NULL, 0, &err));
	OK(state_pending_put(f->s, &d, false, NULL, 0, &err));
	OK(state_leave(f->s, &a, &err)); /* nothing said: what was agreed */
	OK(state_leave(f->s, &b, &err)); /* the server's newer word */
	OK(state_leave(f->s, &c, &err)); /* gone there: then there is nothing to leave out */
	left_out_is(f, 0, 3, NULL, NULL);
	OK(state_left_out_put(f->s, &a, true, &err));
	OK(state_left_out_put(f->s, &newer, true, &err));
	OK(state_left_out_put(f->s, &newer, true, &err));
	left_out_is(f, 2, 1, &a, &newer);
	OK(state_commit(f->s, &err));
	left_out_is(f, 2, 1, &a, &newer);
	OK(state_pending_each(f->s, UINT64_MAX, &left, on_pending, &seen, &err));
	assert_int_equal(seen.n, 1);
	assert_int_equal(left.entries, 0);
	assert_string_equal(seen.last.path, "d");
	OK(state_begin(f->s, &err));
	OK(state_left_out_put(f->s, &a, false, &err));
	left_out_is(f, 1, 2, &newer, NULL);
	OK(state_pending_remove_from(f->s, &newer.id, newer.path, &err)); /* not what base had there */
	left_out_is(f, 1, 2, &newer, NULL);
	newer.version++;
	OK(state_pending_put(f->s, &newer, false, NULL, 0, &err)); /* a new word has no mark */
	left_out_is(f, 0, 3, NULL, NULL);
	OK(state_left_out_put(f->s, &newer, true, &err));
	OK(state_left_out_put(f->s, &d, true, &err));
	OK(state_pending_remove(f->s, &d.id, &err));
	left_out_is(f, 1, 1, &newer, NULL);
	OK(state_pending_clear(f->s, &err));
	left_out_is(f, 0, 0, NULL, NULL);
	OK(state_commit(f->s, &err));
}

/* A state that began without files answers of what it has not been told without looking; one that is opened later looks. */
static void
test_contents_by_memory(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry got;

	OK(state_begin(f->s, &err));
	for (unsigned i = 1; i <= 3000; i++) { /* the table grows twice */
		struct entry e = entry_make(arena_printf(f->a, "d/%u", i), 3 * i);

		OK(state_base_put(f->s, &e, &err));
	}
	OK(state_commit(f->s, &err));
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 1; i <= 3000; i += 7) {
			struct entry e = entry_make("x", 3 * i);

			OK(state_base_by_content(f->s, &e.content, f->a, &got, &err));
			assert_true(hash_eq(&got.content, &e.content));
		}
		struct entry other = entry_make("x", 30000);
		assert_int_equal(state_base_by_content(f->s, &other.content, f->a, &got, &err), ERR_NOT_FOUND);
		state_free(f->s);
		OK(state_open(f->dir, &f->s, &err));
	}
}

/* The cursor and what it covers are there together, or not at all. */
static void
test_abort_takes_cursor_and_changes(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("p/a", 2);
	struct state_place p = { .clock = 10, .known = true }, got;
	struct seen seen = { .s = f->s, .a = f->a };
	struct state_totals t;
	struct entry_sum left;

	OK(state_begin(f->s, &err));
	OK(state_pending_put(f->s, &a, false, NULL, 0, &err));
	OK(state_place_put(f->s, &p, &err));
	state_abort(f->s);
	OK(state_place_get(f->s, &got, &err));
	assert_false(got.known);
	OK(state_pending_each(f->s, UINT64_MAX, &left, on_pending, &seen, &err));
	assert_int_equal(seen.n, 0);
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.pending, 0);
	OK(state_begin(f->s, &err));
	OK(state_pending_put(f->s, &a, false, NULL, 0, &err));
	OK(state_place_put(f->s, &p, &err));
	OK(state_commit(f->s, &err));
	state_free(f->s);
	OK(state_open(f->dir, &f->s, &err));
	seen.s = f->s;
	OK(state_place_get(f->s, &got, &err));
	assert_int_equal(got.clock, 10);
	OK(state_pending_each(f->s, UINT64_MAX, &left, on_pending, &seen, &err));
	assert_int_equal(seen.n, 1);
}

/* ---- block lists, threads, speed ---------------------------------------------------------------------------------------------------- */

/* A page of ${n} blocks whose first is named after ${first}. */
static const uint8_t *
page_make(struct fixture *f, const char *first, uint32_t n, size_t *len)
{
	struct extent x = { .chunk = hash_of(first, strlen(first)), .count = n };
	struct block *blocks = arena_must(f->a, n * sizeof *blocks);
	struct blocklist l = { .extents = &x, .extent_count = 1, .blocks = blocks, .block_count = n };
	uint8_t *p;

	for (uint32_t i = 0; i < n; i++)
		blocks[i] = (struct block){ .hash = hash_of(i ? &i : (const void *)first, i ? sizeof i : strlen(first)), .len = 1000 + i };
	*len = blocklist_packed_len(&l);
	p = arena_must(f->a, *len);
	blocklist_pack(&l, p);
	return p;
}

static void
page_put(struct fixture *f, const struct hash *content, uint32_t page, const char *first, uint32_t n, const uint32_t *weak)
{
	size_t len;
	const uint8_t *p = page_make(f, first, n, &len);

	OK(state_blocks_put(f->s, content, page, p, len, weak, &err));
}

static bool
page_is(struct fixture *f, const struct hash *content, uint32_t page, const char *first, uint32_t n, const uint32_t **weak)
{
	size_t len, want_len;
	const uint8_t *want = page_make(f, first, n, &want_len), *p;

	return state_blocks_get(f->s, content, page, f->a, &p, &len, weak, &err) == ERR_OK && len == want_len &&
	    memcmp(p, want, len) == 0;
}

static bool
page_gone(struct fixture *f, const struct hash *content, uint32_t page)
{
	const uint32_t *weak;
	const uint8_t *p;
	size_t len;

	return state_blocks_get(f->s, content, page, f->a, &p, &len, &weak, &err) == ERR_NOT_FOUND;
}

static void
test_blocks(void **ctx)
{
	static const uint32_t sums[3] = { 1, 0xffffffff, 7 };
	struct fixture *f = *ctx;
	struct hash c = hash_of("c", 1);
	const uint32_t *weak;

	assert_true(page_gone(f, &c, 0));
	OK(state_begin(f->s, &err));
	page_put(f, &c, 0, "zero", 64, NULL);
	page_put(f, &c, 1, "one", 2, NULL);
	page_put(f, &c, 1, "uno", 3, sums);
	OK(state_commit(f->s, &err));
	assert_true(page_is(f, &c, 0, "zero", 64, &weak));
	assert_null(weak);
	assert_true(page_is(f, &c, 1, "uno", 3, &weak));
	assert_memory_equal(weak, sums, sizeof sums);
	assert_true(page_gone(f, &c, 2));
	OK(state_begin(f->s, &err));
	OK(state_blocks_forget(f->s, &c, &err));
	OK(state_commit(f->s, &err));
	assert_true(page_gone(f, &c, 0));
	assert_true(page_gone(f, &c, 1));
}

static size_t
places(struct fixture *f, const char *first, struct state_block_at *at, size_t max)
{
	struct hash h = hash_of(first, strlen(first));
	size_t n = 99;

	OK(state_blocks_find(f->s, &h, at, max, &n, &err));
	return n;
}

static void
test_blocks_found_by_their_first(void **ctx)
{
	struct fixture *f = *ctx;
	struct hash c = hash_of("c", 1), d = hash_of("d", 1);
	struct state_block_at at[4];

	OK(state_begin(f->s, &err));
	page_put(f, &c, 0, "head", 64, NULL);
	page_put(f, &c, 1, "shared", 64, NULL);
	page_put(f, &d, 0, "shared", 9, NULL);
	assert_int_equal(places(f, "shared", at, 4), 2); /* one's own writes */
	OK(state_commit(f->s, &err));
	assert_int_equal(places(f, "nothing", at, 4), 0);
	assert_int_equal(places(f, "shared", at, 1), 1);
	assert_int_equal(places(f, "shared", at, 4), 2);
	assert_int_equal(places(f, "head", at, 4), 1);
	assert_true(hash_eq(&at[0].content, &c));
	assert_int_equal(at[0].page, 0);
	OK(state_begin(f->s, &err));
	OK(state_blocks_forget(f->s, &d, &err));
	page_put(f, &c, 0, "other", 64, NULL);
	OK(state_commit(f->s, &err));
	assert_int_equal(places(f, "head", at, 4), 0);
	assert_int_equal(places(f, "shared", at, 4), 1);
	assert_true(hash_eq(&at[0].content, &c));
	assert_int_equal(at[0].page, 1);
}

static void
test_base_by_content(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("p/a", 0), link = entry_make("p/l", 1), b = entry_make("p/b", 2), got;
	struct hash found[2];
	size_t n;

	a.kind = ENTRY_FILE, a.size = 5, a.content = hash_of("x", 1), a.target = "";
	link.kind = ENTRY_LINK, link.size = 0, link.content = hash_of("y", 1);
	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &a, &err));
	OK(state_base_put(f->s, &link, &err));
	OK(state_commit(f->s, &err));
	OK(state_base_by_content(f->s, &a.content, f->a, &got, &err));
	entry_equal(&got, &a);
	assert_int_equal(state_base_by_content(f->s, &link.content, f->a, &got, &err), ERR_NOT_FOUND); /* has no bytes to take */
	b.kind = ENTRY_FILE, b.size = 70000, b.content = hash_of("z", 1), b.target = "";
	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &b, &err));
	OK(state_commit(f->s, &err));
	OK(state_base_by_size(f->s, 70000, found, 2, &n, &err));
	assert_true(n == 1 && hash_eq(&found[0], &b.content));
	OK(state_base_by_size(f->s, 5, found, 2, &n, &err)); /* not more than a block */
	assert_int_equal(n, 0);
	OK(state_begin(f->s, &err));
	OK(state_base_remove(f->s, "p/a", &err));
	OK(state_commit(f->s, &err));
	assert_int_equal(state_base_by_content(f->s, &a.content, f->a, &got, &err), ERR_NOT_FOUND);
}

static void
prune(struct fixture *f, int64_t before_us, uint32_t pages)
{
	OK(state_begin(f->s, &err));
	OK(state_blocks_prune(f->s, before_us, pages, &err));
	OK(state_commit(f->s, &err));
}

/* Lists go when no file has their content any more, however it came to that; a little at a time. */
static void
test_blocks_pruned(void **ctx)
{
	struct fixture *f = *ctx;
	struct entry a = entry_make("p/a", 0), b = entry_make("p/b", 0);
	struct hash old = hash_of("old", 3), lone = hash_of("lone", 4);
	int64_t later = clock_wall_us() + 3600 * INT64_C(1000000);
	const uint32_t *weak;

	a.kind = b.kind = ENTRY_FILE, a.size = b.size = 5, a.target = b.target = "";
	b.id.b[0] ^= 1;
	a.content = b.content = old;
	OK(state_begin(f->s, &err));
	page_put(f, &old, 0, "one", 64, NULL); /* before its row, as a pull does */
	page_put(f, &old, 1, "two", 64, NULL);
	page_put(f, &old, 2, "three", 6, NULL);
	page_put(f, &lone, 0, "lone", 6, NULL); /* and never gets one */
	OK(state_base_put(f->s, &a, &err));
	OK(state_base_put(f->s, &b, &err));
	OK(state_commit(f->s, &err));
	prune(f, clock_wall_us() - 3600 * INT64_C(1000000), 100); /* not for so long yet */
	assert_true(page_is(f, &lone, 0, "lone", 6, &weak));
	prune(f, later, 100);
	assert_true(page_gone(f, &lone, 0));
	assert_true(page_is(f, &old, 2, "three", 6, &weak));
	a.content = hash_of("new", 3);
	OK(state_begin(f->s, &err));
	OK(state_base_put(f->s, &a, &err));
	OK(state_commit(f->s, &err));
	prune(f, later, 100);
	assert_true(page_is(f, &old, 2, "three", 6, &weak)); /* the other still has it */
	OK(state_begin(f->s, &err));
	OK(state_base_remove(f->s, "p/b", &err));
	OK(state_commit(f->s, &err));
	prune(f, later, 2);
	assert_true(page_is(f, &old, 0, "one", 64, &weak));
	assert_true(page_gone(f, &old, 1));
	prune(f, later, 2);
	assert_true(page_gone(f, &old, 0));
	prune(f, later, 2);
}

/* ---- uploads ------------------------------------------------------------------------------------------------------------------------ */

static void
test_uploads(void **ctx)
{
	struct fixture *f = *ctx;
	struct state_upload u = { .path = "p/a", .dev = UINT64_MAX, .ino = UINT64_C(1) << 63, .size = 5, .mtime_ns = -7, .ctime_ns = 8,
		.transfer.b = { 1 }, .started_at = 10 }, v = u, got[3];
	size_t n = 9;

	u.base = hash_of("base", 4);
	v.path = "p/b", v.transfer.b[0] = 2, v.started_at = 11;
	OK(state_upload_list(f->s, f->a, got, 3, &n, &err));
	assert_int_equal(n, 0);
	OK(state_begin(f->s, &err));
	OK(state_upload_put(f->s, &v, &err));
	OK(state_upload_put(f->s, &u, &err));
	u.size = 6, u.path = "p/c";
	OK(state_upload_put(f->s, &u, &err)); /* the same one, as it is now */
	OK(state_commit(f->s, &err));
	OK(state_upload_list(f->s, f->a, got, 3, &n, &err));
	assert_int_equal(n, 2);
	assert_string_equal(got[0].path, "p/b"); /* the latest first */
	assert_string_equal(got[1].path, "p/c");
	assert_true(got[1].dev == u.dev && got[1].ino == u.ino && got[1].size == 6 && got[1].mtime_ns == -7 && got[1].ctime_ns == 8);
	assert_true(hash_eq(&got[1].base, &u.base) && id_eq(&got[1].transfer, &u.transfer) && got[1].started_at == 10);
	OK(state_upload_list(f->s, f->a, got, 1, &n, &err));
	assert_int_equal(n, 1);
	OK(state_begin(f->s, &err));
	OK(state_upload_remove(f->s, &u.transfer, &err));
	OK(state_upload_remove(f->s, &u.transfer, &err));
	OK(state_commit(f->s, &err));
	OK(state_upload_list(f->s, f->a, got, 3, &n, &err));
	assert_int_equal(n, 1);
}

/* ---- asides ------------------------------------------------------------------------------------------------------------------------- */

static void
put_aside(struct fixture *f, uint64_t ino, int64_t version, const char *path)
{
	struct state_aside a = { .dev = UINT64_MAX, .ino = ino, .file.b = { 3 }, .version = version, .path = path };

	OK(state_begin(f->s, &err));
	OK(state_aside_put(f->s, &a, &err));
	OK(state_commit(f->s, &err));
}

static void
assert_aside(struct fixture *f, const char *path, uint64_t ino, int64_t version)
{
	struct state_aside got;
	err_code rc = state_aside_get(f->s, path, UINT64_MAX, ino, &got, &err);

	assert_int_equal(rc, version ? ERR_OK : ERR_NOT_FOUND);
	if (rc)
		return;
	assert_int_equal(got.version, version);
	assert_true(got.file.b[0] == 3 && got.dev == UINT64_MAX);
	assert_string_equal(got.path, path);
}

/* By the inode until the name is known, from then on by the name: the inode may be another file's. */
static void
test_asides(void **ctx)
{
	struct fixture *f = *ctx;
	const uint64_t ino = UINT64_C(1) << 63;

	assert_aside(f, "copy", ino, 0);
	put_aside(f, ino, 5, "");
	assert_aside(f, "copy", ino, 5);
	assert_aside(f, "copy", ino + 1, 0);
	put_aside(f, ino, 6, "copy");
	assert_aside(f, "copy", 1, 6);
	assert_aside(f, "other", ino, 0);
	put_aside(f, 1, 7, "");
	assert_aside(f, "copy", 1, 6); /* a name says more than an inode */
	assert_aside(f, "other", 1, 7);
	OK(state_begin(f->s, &err));
	OK(state_aside_remove(f->s, "copy", UINT64_MAX, ino, &err));
	OK(state_aside_remove(f->s, "copy", UINT64_MAX, ino, &err));
	OK(state_commit(f->s, &err));
	assert_aside(f, "copy", ino, 0);
	assert_aside(f, "other", 1, 7);
	OK(state_begin(f->s, &err));
	OK(state_aside_clear(f->s, &err));
	OK(state_commit(f->s, &err));
	assert_aside(f, "other", 1, 0);
}

struct other {
	struct fixture *f;
	err_code inside, after;
	struct mutex mu;
	struct cond cv;
	bool written, looked;
};

static void *
look_from_outside(void *arg)
{
	struct other *o = arg;
	struct entry got;
	struct arena *a = arena_new(MIB);
	struct err e;

	mutex_lock(&o->mu);
	while (!o->written)
		cond_wait(&o->cv, &o->mu);
	mutex_unlock(&o->mu);
	o->inside = state_base_get(o->f->s, "t", a, &got, &e);
	state_abort(o->f->s); /* not ours: nothing happens */
	mutex_lock(&o->mu);
	o->looked = true;
	cond_signal(&o->cv);
	mutex_unlock(&o->mu);
	o->after = state_begin(o->f->s, &e); /* waits for the writer before us */
	if (!o->after)
		o->after = state_base_get(o->f->s, "t", a, &got, &e);
	state_abort(o->f->s);
	arena_free(a);
	return NULL;
}

static void
test_threads(void **ctx)
{
	struct other o = { .f = *ctx };
	struct entry e = entry_make("t", 3);
	pthread_t t;

	mutex_init(&o.mu, RANK_ENGINE);
	cond_init(&o.cv);
	OK(thread_start("look", look_from_outside, &o, &t, &err));
	OK(state_begin(o.f->s, &err));
	OK(state_base_put(o.f->s, &e, &err));
	mutex_lock(&o.mu);
	o.written = true;
	cond_signal(&o.cv);
	while (!o.looked)
		cond_wait(&o.cv, &o.mu);
	mutex_unlock(&o.mu);
	OK(state_commit(o.f->s, &err));
	pthread_join(t, NULL);
	assert_int_equal(o.inside, ERR_NOT_FOUND); /* others read what is committed */
	assert_int_equal(o.after, ERR_OK);
	cond_fini(&o.cv);
	mutex_fini(&o.mu);
}

/* Not a timed test; prints a figure that can be looked at. */
static void
test_many(void **ctx)
{
	struct fixture *f = *ctx;
	int64_t start = clock_mono_us(), put = 0, again;
	struct state_totals t;
	char path[64];

	for (int pass = 0; pass < 2; pass++) {
		OK(state_begin(f->s, &err));
		for (uint64_t i = 0; i < 100000; i++) {
			struct entry e;
			snprintf(path, sizeof path, "dir%llu/sub/file%llu.dat", (unsigned long long)i / 500, (unsigned long long)i);
			e = entry_make(path, i * 3);
			e.version += pass;
			OK(state_base_put(f->s, &e, &err));
		}
		OK(state_commit(f->s, &err));
		if (pass == 0)
			put = clock_mono_us() - start;
	}
	again = clock_mono_us() - start - put;
	OK(state_totals(f->s, &t, &err));
	assert_int_equal(t.entries, 100000);
	print_message("100,000 rows put in %lld ms, replaced in %lld ms\n", (long long)put / 1000, (long long)again / 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_base_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_path_and_id_meet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contents_by_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort_takes_cursor_and_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks_found_by_their_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_base_by_content, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks_pruned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uploads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asides, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
