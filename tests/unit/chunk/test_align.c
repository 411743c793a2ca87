/*
 * Re-alignment.  Whatever the file and the base are, the plan applied to the base must make the file, every block's hash must be right, and the cost must
 * stay within what align.h says, counted in bytes hashed, summed and rolled.  Beside that, edits of every kind, each with the bytes that it may cost.
 */

#include "gen.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/align_internal.h"
#include "chunk/cut.h"

#define BLOCK BLOCK_LEN_MAX
#define ROUNDS 60

/* ---- bytes, bases, plans ----------------------------------------------------------------------------------------------- */

struct bytes {
	uint8_t *p;
	size_t len;
};

/* Room for one more than ${n} elements of ${size} bytes; grows when n is a power of two. */
static void *
room(void *p, size_t n, size_t size)
{
	return n & (n - 1) ? p : xrealloc(p, (n ? 2 * n : 1) * size);
}

static void
bytes_free(struct bytes *b)
{
	free(b->p);
}

/* What is allocated for ${len} bytes: some more, and twice as much each time, since what grows block by block is copied whenever that changes. */
static size_t
bytes_room(size_t len)
{
	size_t room = 256 * KIB;

	while (room <= len)
		room *= 2;
	return room + 8;
}

static void
bytes_add(struct bytes *b, const void *p, size_t len)
{
	if (len && (!b->p || bytes_room(b->len + len) != bytes_room(b->len)))
		b->p = xrealloc(b->p, bytes_room(b->len + len));
	if (len)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

static struct bytes
noise(struct gen *g, size_t len)
{
	struct bytes b = { .p = xmalloc(bytes_room(len)), .len = len };

	for (size_t i = 0; i < len; i += 8) {
		uint64_t x = gen_u64(g);

		memcpy(b.p + i, &x, 8);
	}
	return b;
}

static struct bytes
same(uint8_t byte, size_t len)
{
	struct bytes b = { .p = xmalloc(bytes_room(len)), .len = len };

	memset(b.p, byte, len);
	return b;
}

/* ${old} without ${del} bytes at ${at}, and with ${len} bytes ${p} there. */
static struct bytes
edited(const struct bytes *old, size_t at, size_t del, const void *p, size_t len)
{
	struct bytes b = { 0 };

	bytes_add(&b, old->p, at);
	bytes_add(&b, p, len);
	bytes_add(&b, old->p + at + del, old->len - at - del);
	return b;
}

enum weak { KNOWN, UNKNOWN };

/* A base and the bytes that it stands for; block i lies at offsets[i]. */
struct model {
	struct align_base *base;
	struct bytes bytes;
	uint64_t *offsets;
	uint32_t *lens;
	uint32_t count;
};

static struct model
model_new(void)
{
	return (struct model){ .base = align_base_new() };
}

static void
model_free(struct model *m)
{
	align_base_free(m->base);
	bytes_free(&m->bytes);
	free(m->offsets);
	free(m->lens);
}

static void
model_add_block(struct model *m, const uint8_t *p, size_t len, const uint32_t *weak)
{
	struct block block = { .hash = hash_of(p, len), .len = (uint32_t)len };

	m->offsets = room(m->offsets, m->count, sizeof *m->offsets);
	m->lens = room(m->lens, m->count, sizeof *m->lens);
	m->offsets[m->count] = m->bytes.len;
	m->lens[m->count++] = (uint32_t)len;
	bytes_add(&m->bytes, p, len);
	align_base_add(m->base, &block, weak, 1);
}

/* Cut into blocks of ${cut} bytes. */
static void
model_add(struct model *m, const struct bytes *b, size_t cut, enum weak known)
{
	for (size_t at = 0; at < b->len; at += cut) {
		size_t len = MIN(cut, b->len - at);
		uint32_t weak = weak_sum(b->p + at, len);

		model_add_block(m, b->p + at, len, known == KNOWN ? &weak : NULL);
	}
}

static struct model
model_of(const struct bytes *b, size_t cut, enum weak known)
{
	struct model m = model_new();

	model_add(&m, b, cut, known);
	return m;
}

struct plan {
	const struct model *model;
	const struct bytes *file;
	uint64_t next;      /* offset that must come */
	uint64_t fresh;     /* bytes that are new */
	bool wrong;         /* a block that is not what it says */
	uint32_t stop_at;   /* answer CANCELLED at this block */
	uint32_t count;
	uint32_t *lens;
	int64_t *base;
	struct align_counts counts;
};

static void
plan_free(struct plan *p)
{
	free(p->lens);
	free(p->base);
}

static bool
piece_right(const struct plan *plan, const struct align_piece *p)
{
	const struct model *m = plan->model;
	const uint8_t *want = plan->file->p + p->offset;
	struct hash hash = hash_of(want, p->len);

	if (memcmp(p->p, want, p->len) != 0 || !hash_eq(&hash, &p->hash) || p->weak != weak_sum(want, p->len))
		return false;
	if (p->base < 0)
		return true;
	return p->base < m->count && m->lens[p->base] == p->len &&
	    memcmp(m->bytes.p + m->offsets[p->base], want, p->len) == 0;
}

static err_code
see(void *ctx, const struct align_piece *p, struct err *err)
{
	struct plan *plan = ctx;

	assert_int_equal(p->offset, plan->next);
	assert_in_range(p->len, 1, BLOCK);
	assert_true(p->len <= plan->file->len - p->offset);
	if (plan->count == plan->stop_at)
		return err_set(err, ERR_CANCELLED, "enough");
	plan->lens = room(plan->lens, plan->count, sizeof *plan->lens);
	plan->base = room(plan->base, plan->count, sizeof *plan->base);
	plan->wrong |= !piece_right(plan, p);
	plan->next += p->len;
	plan->fresh += p->base < 0 ? p->len : 0;
	plan->lens[plan->count] = p->len;
	plan->base[plan->count++] = p->base;
	return ERR_OK;
}

static int
file_of(const struct bytes *b)
{
	int fd = memfd_create("align", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, b->p, b->len, NULL), ERR_OK);
	return fd;
}

static struct plan
plan_begin(const struct model *m, const struct bytes *file)
{
	return (struct plan){ .model = m, .file = file, .stop_at = UINT32_MAX };
}

/* The bounds of align.h, for any file and base. */
static void
check_costs(const struct plan *plan)
{
	uint64_t size = plan->file->len;

	assert_int_equal(plan->counts.read, size);
	assert_true(plan->counts.hashed <= 3 * size + 4 * MIB);
	assert_true(plan->counts.summed <= 20 * size + 64 * MIB);
	assert_true(plan->counts.rolled <= 5 * size);
}

/* Of four short blocks in a row, all are the base's in its order, or they are a block long together. */
static void
check_splinters(const struct plan *plan)
{
	for (uint32_t i = 3; i < plan->count; i++) {
		uint64_t sum = 0;
		bool small = true, kept = plan->base[i - 3] >= 0;

		for (uint32_t k = i - 3; k <= i; k++) {
			sum += plan->lens[k];
			small &= plan->lens[k] < BLOCK;
			kept &= plan->base[k] == plan->base[i - 3] + (k - (i - 3));
		}
		assert_true(!small || sum >= BLOCK || kept || plan->model->count != plan->model->base->count);
	}
}

static struct plan
run(const struct model *m, const struct bytes *file)
{
	AUTO(closep) int fd = file_of(file);
	struct plan plan = plan_begin(m, file);
	struct err err = { 0 };

	if (align_fd_counted(fd, file->len, m->base, see, &plan, &plan.counts, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(plan.next, file->len);
	return plan;
}

static struct plan
align(const struct model *m, const struct bytes *file)
{
	struct plan plan = run(m, file);

	assert_false(plan.wrong);
	check_costs(&plan);
	return plan;
}

/* The bytes that are new in ${file} against ${base} on the grid. */
static uint64_t
fresh(const struct bytes *base, const struct bytes *file, enum weak known)
{
	AUTO(model_free) struct model m = model_of(base, BLOCK, known);
	AUTO(plan_free) struct plan plan = align(&m, file);

	check_splinters(&plan);
	return plan.fresh;
}

/* ---- the weak sum ------------------------------------------------------------------------------------------------------ */

/* By its definition. */
static uint32_t
plain_sum(const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0;

	for (size_t i = 0; i < len; i++) {
		a += p[i];
		b += (len - i) * p[i];
	}
	return weak_fold(a, b);
}

static void
the_weak_sum_is_what_it_was(void **state)
{
	struct gen g = gen_new("the_weak_sum_is_what_it_was");
	AUTO(bytes_free) struct bytes b = noise(&g, BLOCK);
	AUTO(bytes_free) struct bytes full = same(0xff, BLOCK);

	(void)state;
	for (size_t len = 0; len <= BLOCK; len += len < 600 ? 1 : gen_range(&g, 1, 5000))
		assert_int_equal(weak_sum(b.p, len), plain_sum(b.p, len));
	assert_int_equal(weak_sum(full.p, BLOCK), plain_sum(full.p, BLOCK));
	/* States hold such sums: these are of docs/format/alignment.md and must not change. */
	assert_int_equal(weak_sum((const uint8_t *)"", 0), 0);
	assert_int_equal(weak_sum((const uint8_t *)"dray", 4), 0xf47106e6);
	assert_int_equal(weak_sum(full.p, BLOCK), 0xf07bb20e);
}

/* ---- edits, each with its price ---------------------------------------------------------------------------------------- */

#define SIZE (40 * BLOCK + 1000)

struct edit {
	const char *what;
	struct { size_t at, del, ins; } at[3];
	size_t least, most;  /* new bytes */
	bool rolls;          /* whether it may roll at all */
};

static const struct edit EDITS[] = {
	{ "nothing", { { 0 } }, 0, 0, false },
	{ "one byte in place", { { 5 * BLOCK + 7, 1, 1 } }, BLOCK, BLOCK, false },
	{ "the first byte", { { 0, 1, 1 } }, BLOCK, BLOCK, false },
	{ "the last block", { { SIZE - 1, 1, 1 } }, 1000, 1000, true },
	{ "the last full block", { { SIZE - 1001, 1, 1 } }, BLOCK, BLOCK, false },
	{ "a block's length across the grid", { { 5 * BLOCK + 7, BLOCK, BLOCK } }, 2 * BLOCK, 2 * BLOCK, false },
	{ "three blocks apart", { { 3 * BLOCK, 9, 9 }, { 9 * BLOCK, BLOCK, BLOCK }, { 30 * BLOCK + 9, 9, 9 } }, 3 * BLOCK, 3 * BLOCK, false },
	{ "ten blocks in a row", { { 5 * BLOCK, 10 * BLOCK, 10 * BLOCK } }, 10 * BLOCK, 10 * BLOCK, true },
	{ "the last ten blocks", { { 31 * BLOCK, 9 * BLOCK + 1000, 9 * BLOCK + 1000 } }, 9 * BLOCK + 1000, 9 * BLOCK + 1000, true },
	{ "1 KiB in front", { { 0, 0, 1024 } }, 1024, 1024, true },
	{ "a byte in front", { { 0, 0, 1 } }, 1, 1, true },
	{ "1 MiB in front", { { 0, 0, 1 * MIB } }, 1 * MIB, 1 * MIB, true },
	{ "1 KiB between two blocks", { { 7 * BLOCK, 0, 1024 } }, 1024, 1024, true },
	{ "1 KiB within a block", { { 7 * BLOCK + 99, 0, 1024 } }, 1024, BLOCK + 1024, true },
	{ "three insertions", { { 3 * BLOCK + 1, 0, 5 }, { 9 * BLOCK + 1, 0, 5 }, { 30 * BLOCK + 1, 0, 5 } }, 15, 3 * BLOCK + 15, true },
	{ "appended", { { SIZE, 0, 1000 } }, 1000, 1000, true },
	{ "appended, much", { { SIZE, 0, 3 * BLOCK + 5 } }, 3 * BLOCK + 5, 3 * BLOCK + 5, true },
	{ "a block less", { { 7 * BLOCK, BLOCK, 0 } }, 0, 0, true },
	{ "a byte less", { { 7 * BLOCK + 3, 1, 0 } }, BLOCK - 1, BLOCK - 1, true },
	{ "ten blocks less, off the grid", { { 7 * BLOCK + 3, 10 * BLOCK, 0 } }, 1, BLOCK, true },
	{ "the first byte less", { { 0, 1, 0 } }, BLOCK - 1, BLOCK - 1, true },
	{ "cut off on the grid", { { 7 * BLOCK, SIZE - 7 * BLOCK, 0 } }, 0, 0, false },
	{ "cut off", { { 7 * BLOCK + 10, SIZE - 7 * BLOCK - 10, 0 } }, 10, 10, true },
	{ "cut off to nothing", { { 0, SIZE, 0 } }, 0, 0, false },
	{ "a deletion, and later an insertion of its length", { { 7 * BLOCK + 9, 100, 0 }, { 20 * BLOCK, 0, 100 } }, 100, 2 * BLOCK, true },
	{ "another file", { { 0, SIZE, SIZE } }, SIZE, SIZE, true },
	{ "another file, shorter than a block", { { 0, SIZE, 17 } }, 17, 17, true },
};

/* Every inserted byte differs from what it replaces. */
static struct bytes
apply(struct gen *g, const struct bytes *base, const struct edit *e)
{
	struct bytes file = { 0 };

	bytes_add(&file, base->p, base->len);
	for (int i = (int)ARRAY_LEN(e->at) - 1; i >= 0; i--) { /* from behind: the offsets are the base's */
		AUTO(bytes_free) struct bytes ins = noise(g, e->at[i].ins);
		struct bytes next;

		for (size_t k = 0; k < MIN(ins.len, e->at[i].del); k++)
			ins.p[k] = (uint8_t)(file.p[e->at[i].at + k] + 1 + ins.p[k] % 255);
		next = edited(&file, e->at[i].at, e->at[i].del, ins.p, ins.len);
		bytes_free(&file);
		file = next;
	}
	return file;
}

static void
an_edit_costs_about_its_own_size(void **state)
{
	struct gen g = gen_new("an_edit_costs_about_its_own_size");
	AUTO(bytes_free) struct bytes base = noise(&g, SIZE);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(EDITS); i++) {
		AUTO(bytes_free) struct bytes file = apply(&g, &base, &EDITS[i]);
		AUTO(plan_free) struct plan plan = align(&m, &file);

		if (plan.fresh < EDITS[i].least || plan.fresh > EDITS[i].most)
			fail_msg("%s: %llu new bytes of %zu … %zu", EDITS[i].what, (unsigned long long)plan.fresh, EDITS[i].least, EDITS[i].most);
		if (plan.counts.rolled && !EDITS[i].rolls)
			fail_msg("%s: rolled over %llu", EDITS[i].what, (unsigned long long)plan.counts.rolled);
		if (!EDITS[i].rolls) /* each byte once: hashing is what such an edit may cost */
			assert_int_equal(plan.counts.hashed, file.len);
		check_splinters(&plan);
	}
}

static void
what_moved_costs_its_borders(void **state)
{
	struct gen g = gen_new("what_moved_costs_its_borders");
	AUTO(bytes_free) struct bytes base = noise(&g, SIZE);
	AUTO(bytes_free) struct bytes moved = { 0 };
	AUTO(bytes_free) struct bytes doubled = { 0 };
	AUTO(bytes_free) struct bytes swapped = { 0 };

	(void)state;
	bytes_add(&moved, base.p + 20 * BLOCK + 77, 10 * BLOCK); /* to the front, and off the grid */
	bytes_add(&moved, base.p, 20 * BLOCK + 77);
	bytes_add(&moved, base.p + 30 * BLOCK + 77, base.len - 30 * BLOCK - 77);
	assert_in_range(fresh(&base, &moved, KNOWN), 1, 3 * BLOCK);

	bytes_add(&doubled, base.p, base.len);
	bytes_add(&doubled, "between", 7);
	bytes_add(&doubled, base.p, base.len);
	assert_int_equal(fresh(&base, &doubled, KNOWN), 7);

	bytes_add(&swapped, base.p, base.len);
	memcpy(swapped.p + 3 * BLOCK, base.p + 30 * BLOCK, BLOCK);
	memcpy(swapped.p + 30 * BLOCK, base.p + 3 * BLOCK, BLOCK);
	assert_int_equal(fresh(&base, &swapped, KNOWN), 0);
}

/* A block that is found in an unexpected place does not make one forget the grid: the short block at the end is still found. */
static void
a_hole_in_place_keeps_the_grid(void **state)
{
	struct gen g = gen_new("a_hole_in_place_keeps_the_grid");
	AUTO(bytes_free) struct bytes base = noise(&g, 9 * BLOCK + 50);
	AUTO(bytes_free) struct bytes file = { 0 };

	(void)state;
	memset(base.p + 2 * BLOCK, 0, BLOCK);
	bytes_add(&file, base.p, base.len);
	memset(file.p + 8 * BLOCK, 0, BLOCK);
	assert_int_equal(fresh(&base, &file, KNOWN), 0);
	memset(file.p + 5 * BLOCK, 0, 4 * BLOCK);
	assert_int_equal(fresh(&base, &file, KNOWN), 0);
}

static void
a_base_of_two_contents(void **state)
{
	struct gen g = gen_new("a_base_of_two_contents");
	AUTO(bytes_free) struct bytes a = noise(&g, 10 * BLOCK + 5);
	AUTO(bytes_free) struct bytes b = noise(&g, 12 * BLOCK + 900);
	AUTO(bytes_free) struct bytes file = { 0 };
	AUTO(model_free) struct model m = model_of(&a, BLOCK, KNOWN);

	(void)state;
	model_add(&m, &b, BLOCK, KNOWN);
	bytes_add(&file, b.p, 6 * BLOCK);
	bytes_add(&file, "x", 1);
	bytes_add(&file, a.p + 2 * BLOCK, a.len - 2 * BLOCK);
	bytes_add(&file, b.p + 6 * BLOCK, b.len - 6 * BLOCK);
	{
		AUTO(plan_free) struct plan plan = align(&m, &file);

		assert_int_equal(plan.fresh, 1);
		assert_int_equal(plan.base[0], 11);
	}
}

static void
unknown_sums_are_found_where_expected(void **state)
{
	struct gen g = gen_new("unknown_sums_are_found_where_expected");
	AUTO(bytes_free) struct bytes base = noise(&g, SIZE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(EDITS); i++) {
		AUTO(bytes_free) struct bytes file = apply(&g, &base, &EDITS[i]);
		bool in_place = file.len == base.len && EDITS[i].at[0].del == EDITS[i].at[0].ins;
		uint64_t new_bytes = fresh(&base, &file, UNKNOWN);

		assert_in_range(new_bytes, EDITS[i].least, in_place ? EDITS[i].most : file.len);
	}
}

/* A list of which some pages came with sums and others did not. */
static void
sums_known_in_part(void **state)
{
	struct gen g = gen_new("sums_known_in_part");
	AUTO(bytes_free) struct bytes a = noise(&g, 5 * BLOCK);
	AUTO(bytes_free) struct bytes b = noise(&g, 5 * BLOCK);
	AUTO(bytes_free) struct bytes file = { 0 };
	AUTO(model_free) struct model m = model_of(&a, BLOCK, UNKNOWN);

	(void)state;
	model_add(&m, &b, BLOCK, KNOWN);
	bytes_add(&file, "shift", 5);
	bytes_add(&file, a.p, a.len);
	bytes_add(&file, b.p, b.len);
	{
		AUTO(plan_free) struct plan plan = align(&m, &file);

		assert_int_equal(plan.fresh, 5 + a.len);
	}
	memset(a.p + BLOCK, 1, 3 * BLOCK); /* in place, and more than one or two: the line finds the last */
	bytes_add(&a, b.p, b.len);
	{
		AUTO(plan_free) struct plan plan = align(&m, &a);

		assert_int_equal(plan.fresh, 3 * BLOCK);
	}
}

/* ---- layouts and sizes ------------------------------------------------------------------------------------------------- */

static void
an_unchanged_file_keeps_any_layout(void **state)
{
	struct gen g = gen_new("an_unchanged_file_keeps_any_layout");
	static const size_t cuts[] = { 1, 2, 100, 5000, BLOCK / 2, BLOCK - 1, BLOCK };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		AUTO(bytes_free) struct bytes base = noise(&g, MIN(600 * cuts[i], 20 * BLOCK) + 1);
		AUTO(model_free) struct model m = model_of(&base, cuts[i], i % 2 ? KNOWN : UNKNOWN);
		AUTO(plan_free) struct plan plan = align(&m, &base);

		assert_int_equal(plan.count, m.count);
		for (uint32_t k = 0; k < plan.count; k++) {
			assert_int_equal(plan.lens[k], m.lens[k]);
			assert_true(plan.base[k] >= 0);
		}
	}
}

static void
short_blocks_are_found_from_their_neighbours(void **state)
{
	struct gen g = gen_new("short_blocks_are_found_from_their_neighbours");
	AUTO(bytes_free) struct bytes a = noise(&g, BLOCK);
	AUTO(bytes_free) struct bytes b = noise(&g, 30000);
	AUTO(bytes_free) struct bytes c = noise(&g, BLOCK + 17);
	AUTO(bytes_free) struct bytes file = { 0 };
	AUTO(model_free) struct model m = model_of(&a, BLOCK, KNOWN);

	(void)state;
	model_add(&m, &b, 20000, KNOWN); /* two short ones */
	model_add(&m, &c, BLOCK, KNOWN); /* a full one and a short one */
	bytes_add(&file, a.p, a.len);
	bytes_add(&file, "hello", 5); /* before short ones: found backwards from the full one after them */
	bytes_add(&file, b.p, b.len);
	bytes_add(&file, c.p, c.len);
	{
		AUTO(plan_free) struct plan plan = align(&m, &file);

		assert_int_equal(plan.fresh, 5);
		assert_int_equal(plan.base[plan.count - 1], 4);
	}
}

static void
without_a_base_it_is_the_grid(void **state)
{
	struct gen g = gen_new("without_a_base_it_is_the_grid");
	static const size_t borders[] = { 0, 1, BLOCK, 2 * BLOCK, 1 * MIB, 1 * MIB + 8 * BLOCK, 2 * MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(borders) * 3; i++) {
		size_t size = borders[i / 3] + i % 3 - (borders[i / 3] > 0);
		AUTO(bytes_free) struct bytes file = noise(&g, size);
		AUTO(model_free) struct model m = model_new();
		AUTO(plan_free) struct plan plan = align(&m, &file);

		assert_int_equal(plan.fresh, size);
		assert_int_equal(plan.count, cut_block_count(size));
		for (uint32_t k = 0; k < plan.count; k++)
			assert_int_equal(plan.lens[k], cut_block_len(size, k));
		assert_int_equal(plan.counts.hashed, size);
	}
}

/* Large enough that hashes are taken ahead, by a second thread: what comes out is the same, and what was expected in vain is paid. */
static void
a_large_file_is_hashed_ahead(void **state)
{
	struct gen g = gen_new("a_large_file_is_hashed_ahead");
	AUTO(bytes_free) struct bytes base = noise(&g, 12 * MIB + 777);
	AUTO(bytes_free) struct bytes in_place = edited(&base, 5 * MIB + 10, 300, base.p, 300);
	AUTO(bytes_free) struct bytes grown = edited(&in_place, 7 * MIB + 5, 0, base.p, 1000);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN), none = model_new();
	AUTO(plan_free) struct plan same = align(&m, &base), first = align(&none, &base), edit = align(&m, &in_place), more = align(&m, &grown);

	(void)state;
	assert_int_equal(same.fresh, 0);
	assert_int_equal(same.counts.hashed, base.len);
	assert_int_equal(first.fresh, base.len);
	assert_int_equal(first.counts.hashed, base.len);
	assert_int_equal(edit.fresh, BLOCK);
	assert_int_equal(edit.counts.hashed, base.len);
	assert_true(more.fresh <= 3 * BLOCK + 1000);
	assert_true(more.counts.hashed <= grown.len + 3 * MIB);
}

/* What comes out and what it costs does not depend on which of the two threads is faster. */
static void
a_race_decides_nothing(void **state)
{
	struct gen g = gen_new("a_race_decides_nothing");
	AUTO(bytes_free) struct bytes base = noise(&g, 20 * MIB + 1), other = noise(&g, 2 * MIB);
	AUTO(bytes_free) struct bytes grown = edited(&base, 4 * MIB + 9, 0, other.p, 1000);
	AUTO(bytes_free) struct bytes cut = edited(&grown, 9 * MIB, 3 * BLOCK + 5, other.p, 0);
	AUTO(bytes_free) struct bytes file = edited(&cut, 13 * MIB + 3, other.len, other.p, other.len);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);
	AUTO(plan_free) struct plan first = align(&m, &file);

	(void)state;
	assert_true(first.fresh <= other.len + 8 * BLOCK);
	for (unsigned i = 0; i < 8; i++) {
		AUTO(plan_free) struct plan again = align(&m, &file);

		assert_memory_equal(&again.counts, &first.counts, sizeof first.counts);
		assert_int_equal(again.count, first.count);
		assert_memory_equal(again.lens, first.lens, first.count * sizeof *first.lens);
		assert_memory_equal(again.base, first.base, first.count * sizeof *first.base);
	}
}

static void
sizes_around_the_borders(void **state)
{
	struct gen g = gen_new("sizes_around_the_borders");
	static const size_t sizes[] = { 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK, 1 * MIB + 1 };
	AUTO(bytes_free) struct bytes all = noise(&g, 1 * MIB + 2);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes) * ARRAY_LEN(sizes); i++) {
		struct bytes base = { all.p, sizes[i / ARRAY_LEN(sizes)] };
		struct bytes file = { all.p, sizes[i % ARRAY_LEN(sizes)] };
		struct bytes late = { all.p + 1, file.len };
		size_t common = MIN(base.len, file.len);

		assert_true(fresh(&base, &file, KNOWN) <= file.len - (file.len < base.len ? common / BLOCK * BLOCK : common));
		assert_true(fresh(&base, &late, KNOWN) <= MIN(file.len, 2 * BLOCK + (file.len > base.len ? file.len - base.len : 0)));
	}
}

/* ---- splinters --------------------------------------------------------------------------------------------------------- */

/* The plan's layout is the next base, as after each sync. */
static struct model
next_model(const struct plan *plan, const struct bytes *file)
{
	struct model m = model_new();
	size_t at = 0;

	for (uint32_t i = 0; i < plan->count; at += plan->lens[i++]) {
		uint32_t weak = weak_sum(file->p + at, plan->lens[i]);

		model_add_block(&m, file->p + at, plan->lens[i], &weak);
	}
	return m;
}

static void
many_small_edits_do_not_splinter(void **state)
{
	struct gen g = gen_new("many_small_edits_do_not_splinter");

	(void)state;
	for (int where = 0; where < 3; where++) { /* always in front, always at the end, anywhere */
		AUTO(bytes_free) struct bytes file = noise(&g, 10 * BLOCK);
		AUTO(model_free) struct model m = model_of(&file, BLOCK, KNOWN);
		uint64_t sent = 0;

		for (int round = 0; round < ROUNDS; round++) {
			size_t at = where == 0 ? 0 : where == 1 ? file.len : gen_range(&g, 0, file.len);
			AUTO(bytes_free) struct bytes ins = noise(&g, gen_range(&g, 1, 200));
			struct bytes next = edited(&file, at, 0, ins.p, ins.len);
			AUTO(plan_free) struct plan plan = align(&m, &next);

			check_splinters(&plan);
			assert_true(plan.fresh <= ins.len + 2 * BLOCK);
			assert_true(plan.count <= 4 + 4 * next.len / BLOCK); /* 16 KiB on average, but for the ends */
			sent += plan.fresh;
			bytes_free(&file);
			model_free(&m);
			file = next;
			m = next_model(&plan, &file);
		}
		assert_true(sent <= ROUNDS * (where == 2 ? 3 * BLOCK / 2 : BLOCK / 4));
	}
}

/* A base in 1 KiB blocks is not touched where nothing changed, and is cut anew where something did. */
static void
a_splintered_region_is_cut_anew(void **state)
{
	struct gen g = gen_new("a_splintered_region_is_cut_anew");
	AUTO(bytes_free) struct bytes base = noise(&g, 4 * BLOCK);
	AUTO(model_free) struct model m = model_of(&base, 1024, KNOWN);

	(void)state;
	base.p[100 * 1024] ^= 1;
	{
		AUTO(plan_free) struct plan plan = align(&m, &base);

		check_splinters(&plan);
		assert_true(plan.count < m.count && plan.count > m.count / 2);
		assert_true(plan.fresh <= BLOCK);
	}
}

/* ---- hostile bytes and bases ------------------------------------------------------------------------------------------- */

static void
one_byte_over_and_over(void **state)
{
	AUTO(bytes_free) struct bytes base = same(0, 64 * BLOCK);
	AUTO(bytes_free) struct bytes file = same(0, 64 * BLOCK + 333);
	AUTO(bytes_free) struct bytes other = same(1, 64 * BLOCK + 333);

	(void)state;
	assert_true(fresh(&base, &file, KNOWN) <= 333);
	assert_int_equal(fresh(&base, &other, KNOWN), other.len);
}

static void
periodic_bytes(void **state)
{
	struct gen g = gen_new("periodic_bytes");
	static const size_t periods[] = { 2, 3, 100, 4096, 5000, BLOCK, BLOCK + 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
		AUTO(bytes_free) struct bytes base = noise(&g, 1 * MIB);
		struct bytes late;

		for (size_t k = periods[i]; k < base.len; k++)
			base.p[k] = base.p[k - periods[i]];
		late = (struct bytes){ base.p + 1, base.len - 1 };
		assert_true(fresh(&base, &late, KNOWN) <= 2 * BLOCK);
	}
}

/* A block with the weak sum of ${fill} over and over, and other bytes: +1, -2, +1 changes neither a nor b. */
static struct bytes
collision(uint8_t fill, size_t at)
{
	struct bytes b = same(fill, BLOCK);
	uint32_t weak = weak_sum(b.p, BLOCK);

	b.p[at]++;
	b.p[at + 1] = (uint8_t)(b.p[at + 1] - 2);
	b.p[at + 2]++;
	assert_int_equal(weak_sum(b.p, BLOCK), weak);
	return b;
}

static void
crafted_collisions_cost_the_purse(void **state)
{
	AUTO(bytes_free) struct bytes file = same(0x55, 40 * BLOCK);
	AUTO(model_free) struct model m = model_new();

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		AUTO(bytes_free) struct bytes b = collision(0x55, 7 * i);

		model_add(&m, &b, BLOCK, KNOWN);
	}
	{
		AUTO(plan_free) struct plan plan = align(&m, &file);

		assert_int_equal(plan.fresh, file.len);
		assert_true(plan.counts.hashed <= 2 * file.len + 4 * MIB);
		assert_true(plan.counts.hashed > file.len + MIB / 2); /* the collisions are there, and were tried */
	}
}

/* Sums that are not their blocks' cost bytes, never truth: some lead nowhere, some lead to another block. */
static void
sums_that_lie(void **state)
{
	struct gen g = gen_new("sums_that_lie");
	AUTO(bytes_free) struct bytes base = noise(&g, 30 * BLOCK);
	AUTO(bytes_free) struct bytes file = { 0 };
	AUTO(model_free) struct model m = model_new();

	(void)state;
	for (size_t i = 0; i < 30; i++) {
		uint32_t weak = weak_sum(base.p + (i ^ 1) * BLOCK, BLOCK);

		model_add_block(&m, base.p + i * BLOCK, BLOCK, &weak);
	}
	bytes_add(&file, "shift", 5);
	bytes_add(&file, base.p, base.len);
	{
		AUTO(plan_free) struct plan plan = run(&m, &file);

		check_costs(&plan); /* not: that weak is right; what is taken from the base is said to have the sum that came with it */
		assert_int_equal(plan.fresh, file.len);
	}
}

/* Bases that make the walk go in steps of a few bytes. */
static void
tiny_blocks_do_not_make_it_slow(void **state)
{
	struct gen g = gen_new("tiny_blocks_do_not_make_it_slow");
	AUTO(bytes_free) struct bytes full = noise(&g, BLOCK);

	(void)state;
	for (size_t cut = 1; cut <= 3; cut++) {
		AUTO(bytes_free) struct bytes tiny = noise(&g, 20000);
		AUTO(bytes_free) struct bytes file = { 0 };
		AUTO(model_free) struct model m = model_of(&tiny, cut, KNOWN);

		model_add(&m, &full, BLOCK, KNOWN); /* so that there is something to roll for */
		bytes_add(&file, tiny.p, tiny.len);
		bytes_add(&file, full.p, full.len);
		for (size_t i = 0; i < tiny.len; i += 2 * cut)
			file.p[i]++;
		{
			AUTO(plan_free) struct plan plan = align(&m, &file);

			check_splinters(&plan);
			assert_true(plan.fresh <= tiny.len);
		}
	}
}

static unsigned
longest_chain(const struct align_base *b)
{
	unsigned longest = 0;

	for (size_t i = 0; i < b->cap / 2; i++) {
		unsigned len = 0;

		for (uint32_t k = b->buckets[i]; k != ALIGN_NONE; k = b->entries[k].next)
			len++;
		longest = MAX(longest, len);
	}
	return longest;
}

static void
chains_are_short_whatever_comes(void **state)
{
	struct gen g = gen_new("chains_are_short_whatever_comes");

	(void)state;
	for (unsigned crafted = 0; crafted < 3; crafted++) { /* at random; one sum for all; sums that begin alike */
		AUTO(align_base_freep) struct align_base *b = align_base_new();

		for (uint32_t i = 0; i < 50000; i++) {
			uint32_t weak = crafted == 0 ? (uint32_t)gen_u64(&g) : crafted == 1 ? 7 : i;
			struct block block = { .len = BLOCK };

			put_u32le(block.hash.b, i);
			align_base_add(b, &block, &weak, 1);
			if (crafted == 0)
				assert_int_equal(align_base_find(b, weak, BLOCK, &block.hash), i);
		}
		assert_int_equal(b->count, 50000);
		assert_true(longest_chain(b) <= ALIGN_CHAIN_MAX);
		assert_true(crafted == 0 || b->full <= 50000 / 16);
	}
}

/* What is beyond the limit is left out, on both sides of it; equal blocks are one entry. */
static void
a_base_has_a_limit(void **state)
{
	struct gen g = gen_new("a_base_has_a_limit");
	AUTO(bytes_free) struct bytes bytes = noise(&g, 12 * BLOCK);

	(void)state;
	for (uint32_t max = 11; max <= 13; max++) {
		AUTO(model_free) struct model m = model_new();

		m.base->max = max;
		model_add(&m, &bytes, BLOCK, KNOWN);
		assert_int_equal(m.base->count, MIN(max, 12));
		{
			AUTO(plan_free) struct plan plan = align(&m, &bytes);

			assert_int_equal(plan.fresh, max < 12 ? BLOCK : 0);
		}
		model_add(&m, &bytes, BLOCK, KNOWN);
		assert_int_equal(m.base->full, MIN(max, 12));
	}
}

/* ---- property ---------------------------------------------------------------------------------------------------------- */

/* Few letters and many repetitions, so that blocks are met where nobody put them. */
static void
add_something(struct gen *g, struct bytes *b, const struct bytes *from)
{
	size_t len = gen_range(g, 0, 4) ? gen_range(g, 1, 3 * BLOCK) : gen_range(g, 1, 50);
	unsigned letters = (unsigned)gen_range(g, 1, 3), period = (unsigned)gen_range(g, 1, 4);
	size_t start = b->len;

	if (from->len && gen_range(g, 0, 2)) { /* a piece of the base */
		size_t at = gen_range(g, 0, from->len - 1);
		AUTO(bytes_free) struct bytes piece = { 0 };

		bytes_add(&piece, from->p + at, MIN(len, from->len - at)); /* from and b may be one */
		bytes_add(b, piece.p, piece.len);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = i < period * 100 ? (uint8_t)gen_range(g, 0, letters) : b->p[start + i - period * 100];

		bytes_add(b, &byte, 1);
	}
}

static struct model
random_model(struct gen *g)
{
	struct model m = model_new();
	AUTO(bytes_free) struct bytes b = { 0 };
	size_t len;

	for (size_t parts = gen_range(g, 0, 5); parts; parts--)
		add_something(g, &b, &b);
	for (size_t at = 0; at < b.len; at += len) {
		uint32_t weak;

		len = gen_range(g, 0, 3) ? BLOCK : gen_range(g, 1, gen_range(g, 0, 1) ? BLOCK : 100);
		len = MIN(len, b.len - at);
		weak = weak_sum(b.p + at, len);
		model_add_block(&m, b.p + at, len, gen_range(g, 0, 7) ? &weak : NULL);
	}
	return m;
}

static void
the_plan_makes_the_file(void **state)
{
	struct gen g = gen_new("the_plan_makes_the_file");

	(void)state;
	for (int round = 0; round < 150; round++) {
		AUTO(model_free) struct model m = random_model(&g);
		AUTO(bytes_free) struct bytes file = { 0 };

		for (size_t parts = gen_range(&g, 0, 5); parts; parts--)
			add_something(&g, &file, &m.bytes);
		{
			AUTO(plan_free) struct plan plan = align(&m, &file);
			AUTO(plan_free) struct plan again = align(&m, &file);

			check_splinters(&plan);
			assert_int_equal(plan.count, again.count);
			assert_memory_equal(plan.lens, again.lens, plan.count * sizeof *plan.lens);
			assert_memory_equal(plan.base, again.base, plan.count * sizeof *plan.base);
		}
	}
}

/* ---- errors and faults ------------------------------------------------------------------------------------------------- */

static void
a_file_that_shrank_is_an_error(void **state)
{
	struct gen g = gen_new("a_file_that_shrank_is_an_error");
	static const size_t sizes[] = { 0, 10, BLOCK, 1 * MIB, 1 * MIB + 5, 2 * MIB };
	AUTO(bytes_free) struct bytes base = noise(&g, 3 * MIB);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
		AUTO(bytes_free) struct bytes file = noise(&g, sizes[i / 2]);
		AUTO(closep) int fd = file_of(i % 2 ? &file : &(struct bytes){ base.p, sizes[i / 2] });
		AUTO(plan_free) struct plan plan = plan_begin(&m, i % 2 ? &file : &base);
		struct err err = { 0 };

		assert_int_equal(align_fd(fd, sizes[i / 2] + 1, m.base, see, &plan, &err), ERR_IO);
		assert_string_equal(err.reason, "shrunk");
	}
}

/* The end is met by whichever thread reads that piece, while the walk is at an earlier one. */
static void
a_large_file_that_shrank_is_an_error(void **state)
{
	struct gen g = gen_new("a_large_file_that_shrank_is_an_error");
	AUTO(bytes_free) struct bytes base = noise(&g, 12 * MIB);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);

	(void)state;
	for (size_t len = base.len - 1; len > 8 * MIB; len -= 700 * KIB) {
		struct bytes file = { base.p, len };
		AUTO(closep) int fd = file_of(&file);
		AUTO(plan_free) struct plan plan = plan_begin(&m, &base);
		struct err err = { 0 };

		assert_int_equal(align_fd(fd, base.len, m.base, see, &plan, &err), ERR_IO);
		assert_string_equal(err.reason, "shrunk");
		assert_false(plan.wrong);
		assert_true(plan.next <= len);
	}
}

static void
what_cannot_be_read_is_an_error(void **state)
{
	AUTO(model_free) struct model m = model_new();
	AUTO(closep) int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(align_fd(fd, 10, m.base, see, NULL, &err), ERR_IO);
	assert_null(err.reason);
}

static void
what_the_callback_answers_stops_it(void **state)
{
	struct gen g = gen_new("what_the_callback_answers_stops_it");
	AUTO(bytes_free) struct bytes base = noise(&g, 12 * BLOCK + 5);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);
	AUTO(bytes_free) struct bytes file = { 0 };

	(void)state;
	bytes_add(&file, base.p, 3 * BLOCK); /* equal, in place, moved, merged, new at the end */
	bytes_add(&file, base.p + 9 * BLOCK, BLOCK);
	bytes_add(&file, "1", 1);
	bytes_add(&file, base.p + 5 * BLOCK, 7 * BLOCK + 5);
	bytes_add(&file, "something else", 14);
	file.p[BLOCK]++;
	{
		AUTO(plan_free) struct plan all = align(&m, &file);

		for (uint32_t stop = 0; stop < all.count; stop++) {
			AUTO(closep) int fd = file_of(&file);
			AUTO(plan_free) struct plan plan = plan_begin(&m, &file);

			plan.stop_at = stop;
			assert_int_equal(align_fd(fd, file.len, m.base, see, &plan, NULL), ERR_CANCELLED);
			assert_int_equal(plan.count, stop);
		}
	}
}

/* The checks above bite: a hit that is taken on its weak sum alone is another block's bytes. */
static void
trusting_the_weak_sum_is_noticed(void **state)
{
	AUTO(bytes_free) struct bytes base = collision(0x55, 1000);
	AUTO(bytes_free) struct bytes file = same(0x55, 3 * BLOCK);
	AUTO(model_free) struct model m = model_of(&base, BLOCK, KNOWN);
	AUTO(plan_free) struct plan plan = { 0 };

	(void)state;
	plan = run(&m, &file);
	assert_false(plan.wrong);
	plan_free(&plan);
	setenv("DRAY_FAULT", "chunk.align_trusts_weak", 1);
	plan = run(&m, &file);
	unsetenv("DRAY_FAULT");
	assert_true(plan.wrong);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_weak_sum_is_what_it_was),
		cmocka_unit_test(an_edit_costs_about_its_own_size),
		cmocka_unit_test(a_large_file_is_hashed_ahead),
		cmocka_unit_test(a_race_decides_nothing),
		cmocka_unit_test(what_moved_costs_its_borders),
		cmocka_unit_test(a_hole_in_place_keeps_the_grid),
		cmocka_unit_test(a_base_of_two_contents),
		cmocka_unit_test(unknown_sums_are_found_where_expected),
		cmocka_unit_test(sums_known_in_part),
		cmocka_unit_test(an_unchanged_file_keeps_any_layout),
		cmocka_unit_test(short_blocks_are_found_from_their_neighbours),
		cmocka_unit_test(without_a_base_it_is_the_grid),
		cmocka_unit_test(sizes_around_the_borders),
		cmocka_unit_test(many_small_edits_do_not_splinter),
		cmocka_unit_test(a_splintered_region_is_cut_anew),
		cmocka_unit_test(one_byte_over_and_over),
		cmocka_unit_test(periodic_bytes),
		cmocka_unit_test(crafted_collisions_cost_the_purse),
		cmocka_unit_test(sums_that_lie),
		cmocka_unit_test(tiny_blocks_do_not_make_it_slow),
		cmocka_unit_test(chains_are_short_whatever_comes),
		cmocka_unit_test(a_base_has_a_limit),
		cmocka_unit_test(the_plan_makes_the_file),
		cmocka_unit_test(a_file_that_shrank_is_an_error),
		cmocka_unit_test(a_large_file_that_shrank_is_an_error),
		cmocka_unit_test(what_cannot_be_read_is_an_error),
		cmocka_unit_test(what_the_callback_answers_stops_it),
		cmocka_unit_test(trusting_the_weak_sum_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
