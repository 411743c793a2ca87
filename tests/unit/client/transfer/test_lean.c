/* Pull with a list of which only the extents are asked for, since an older version's list is here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pulling.h"

#define B BLOCK_LEN_MAX
#define LARGE 260 /* blocks: enough for the list to count */

/* The list of ${old} with each ${every}-th block of ${p} changed: those lie in a chunk of their own, and the bytes are changed as well. */
static struct mem_file *
serve_edited(struct rig *r, const struct mem_file *old, uint8_t *p, uint32_t cut, uint32_t from, uint32_t every)
{
	struct blocklist l = { .block_count = old->list.block_count };
	uint8_t *edits = arena_must(r->a, (size_t)l.block_count * cut);
	struct mem_file *one;
	uint32_t n = 0, at = 0;

	for (uint32_t i = from; i < l.block_count; i += every, n++) {
		p[(size_t)i * cut] ^= 1;
		memcpy(edits + (size_t)n * cut, p + (size_t)i * cut, cut);
	}
	one = serve(r, "edits", edits, (size_t)n * cut, cut, CHUNK_BLOCKS_MAX);
	assert_int_equal(one->list.extent_count, 1);
	l.blocks = arena_must(r->a, l.block_count * sizeof *l.blocks);
	l.extents = arena_must(r->a, l.block_count * sizeof *l.extents);
	for (uint32_t x = 0; x < old->list.extent_count; x++)
		for (uint32_t i = 0; i < old->list.extents[x].count; i++, at++) {
			bool edited = at >= from && (at - from) % every == 0;
			uint32_t k = edited ? (at - from) / every : 0;

			l.blocks[at] = edited ? one->list.blocks[k] : old->list.blocks[at];
			if (edited)
				l.extents[l.extent_count++] = (struct extent){ one->list.extents[0].chunk, k, 1 };
			else if (i > 0 && at - 1 >= from && (at - 1 - from) % every != 0)
				l.extents[l.extent_count - 1].count++;
			else
				l.extents[l.extent_count++] = (struct extent){ old->list.extents[x].chunk, old->list.extents[x].first + i, 1 };
		}
	return mem_file_add(r->server, "edited", &l);
}

/* Generation after generation: what one has left is what the next is told by. */
static void
test_extents(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);

	for (uint32_t generation = 0; generation < 3; generation++) {
		struct mem_file *edited = serve_edited(r, f, p, B, generation, 50);
		struct pull_file w = newer(r, edited, "f", f);

		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, len);
		assert_int_equal(r->server->lists_asked, 0);
		assert_int_equal(r->server->extents_asked, (LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS);
		assert_true(r->server->bytes_down <= 6 * B + 4000);
		rig_write(r, "f", p, len);
		agree(r, "f", edited);
		f = edited;
	}
}

static void
test_extents_of_what_is_shifted(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *old = rig_bytes(r, len, 1), *front = rig_bytes(r, 1000, 2), *new = arena_must(r->a, len + 1000);
	struct mem_file *f = have(r, "f", old, len);
	struct pull_file w = newer(r, serve_inserted(r, f, front, 1000), "f", f);

	memcpy(new, front, 1000);
	memcpy(new + 1000, old, len);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, new, len + 1000);
	assert_int_equal(r->server->lists_asked, 0);
	assert_true(r->server->bytes_down < 5000);
}

/* Each block for itself, which is more than is taken. */
static void
bend_apart(struct blocklist *page, uint64_t from)
{
	struct extent one[BLOCKLIST_PAGE_BLOCKS];
	uint32_t n = 0;

	(void)from;
	for (uint32_t x = 0; x < page->extent_count; x++)
		for (uint32_t i = 0; i < page->extents[x].count; i++)
			one[n++] = (struct extent){ page->extents[x].chunk, page->extents[x].first + i, 1 };
	memcpy(page->extents, one, n * sizeof *one);
	page->extent_count = n;
}

/* More blocks than are remembered of the older list at a time, in chunks whose headers are long. */
static void
test_extents_of_a_long_list(void **ctx)
{
	struct rig *r = *ctx;
	size_t cut = 512, len = 40000 * cut;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have_cut(r, "f", p, len, cut, CHUNK_BLOCKS_MAX);
	struct pull_file w = newer(r, serve_edited(r, f, p, (uint32_t)cut, 7, 400), "f", f);

	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->lists_asked, 0);
	assert_true(r->server->bytes_down <= 100 * (cut + 2 * CHUNK_ENTRY_LEN) + 1000);

	r->server->bend_extents = bend_apart;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_true(r->server->lists_asked > 0);
}

/* A server that does not know the form is asked once; the list comes as ever. */
static void
test_extents_not_there(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w[2];

	w[0] = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);
	w[1] = w[0];
	r->server->extents_fail = ERR_UNKNOWN_FIELD;
	count_anew(r);
	assert_int_equal(pull(r, w, 2), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_temp_is(r, 1, p, len);
	assert_int_equal(r->server->extents_asked, 1);
	assert_int_equal(r->server->lists_asked, 2 * ((LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS));
}

static struct hash bent_to;

static void
bend_slot(struct blocklist *page, uint64_t from)
{
	if (from == 64)
		page->extents[1].first ^= 1;
}

static void
bend_chunk(struct blocklist *page, uint64_t from)
{
	if (from == 128)
		page->extents[0].chunk = bent_to; /* the first one's, which is known */
}

static void
bend_beyond(struct blocklist *page, uint64_t from)
{
	(void)from;
	for (uint32_t i = 0; i < page->extent_count; i++)
		page->extents[i].first += 64; /* slots that no chunk has */
}

static void
bend_unknown(struct blocklist *page, uint64_t from)
{
	(void)from;
	page->extents[0].chunk = hash_of("nobody's", 8);
}

static void
bend_count(struct blocklist *page, uint64_t from)
{
	if (from == 64)
		page->extents[0].count = CHUNK_BLOCKS_MAX + 1;
}

static void
bend_short(struct blocklist *page, uint64_t from)
{
	if (from == 256)
		page->block_count = page->extent_count = 1;
}

/* Whatever is said of where the blocks lie: when it does not come to the content that is wanted, the whole list is asked for. */
static void
test_extents_that_lie(void **ctx)
{
	struct rig *r = *ctx;
	static void (*const lies[])(struct blocklist *page, uint64_t from) = { bend_slot, bend_chunk, bend_beyond, bend_unknown, bend_count, bend_short };
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	bent_to = f->list.extents[0].chunk;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		r->server->bend_extents = lies[i];
		count_anew(r);
		assert_int_equal(pull(r, &w, 1), ERR_OK);
		assert_temp_is(r, 0, p, len);
		assert_true(r->server->extents_asked > 0);
		assert_true(r->server->lists_asked > 0);
		assert_true(r->server->bytes_down <= 3 * B + 6000);
		assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
		assert_int_equal(state_blocks_forget(r->state, &w.want->content, &r->err), ERR_OK);
		assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	}
}

/* A header that is not the chunk's, and an older list that is not the older version's. */
static void
test_extents_with_something_wrong_here(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1), *packed;
	struct mem_file *f = have(r, "f", p, len);
	struct blocklist l = { .extents = &f->list.extents[1], .extent_count = 1, .blocks = f->list.blocks, .block_count = 64 };
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	r->server->garble_gets = 1;
	r->server->garble_at = CHUNK_FIXED_LEN + 1;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->garble_gets, 0);
	assert_true(r->server->lists_asked > 0);

	packed = arena_must(r->a, blocklist_packed_len(&l));
	blocklist_pack(&l, packed);
	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_blocks_put(r->state, &f->e.content, 1, packed, blocklist_packed_len(&l), NULL, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_true(r->server->lists_asked > 0);
}

/* The server has rewritten chunks: one of them is read anew; when they are many, none is. */
static void
test_extents_that_moved(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len), *one = serve_edited(r, f, p, B, 3, LARGE), *all;
	struct pull_file w = newer(r, one, "f", f);

	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->lists_asked, 0);

	all = serve(r, "all", p, len, 0, 32);
	p[5] ^= 1;
	all = serve(r, "all moved", p, len, 0, 32);
	w = newer(r, all, "f", f);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->extents_asked, (LARGE + BLOCKLIST_PAGE_BLOCKS - 1) / BLOCKLIST_PAGE_BLOCKS);
	assert_int_equal(r->server->chunk_gets, 0);
	assert_true(r->server->lists_asked > 0);
}

/* A line that is down is not tried twice. */
static void
test_extents_and_no_line(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	r->server->extents_fail = ERR_NETWORK;
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_NETWORK);
	assert_int_equal(r->server->extents_asked, 1);
	assert_int_equal(r->server->lists_asked, 0);
}

/* Nothing to tell by, or not worth a question. */
static void
test_extents_not_asked_for(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = LARGE * B;
	uint8_t *p = rig_bytes(r, len, 1);
	struct mem_file *f = have(r, "f", p, len);
	struct pull_file w = newer(r, serve_edited(r, f, p, B, 1, 100), "f", f);

	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_blocks_forget(r->state, &f->e.content, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, len);
	assert_int_equal(r->server->extents_asked, 0);

	f = have(r, "g", p, 80 * B);
	w = newer(r, serve_edited(r, f, p, B, 1, 100), "g", f);
	count_anew(r);
	assert_int_equal(pull(r, &w, 1), ERR_OK);
	assert_temp_is(r, 0, p, 80 * B);
	assert_int_equal(r->server->extents_asked, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_extents), T(test_extents_of_what_is_shifted), T(test_extents_of_a_long_list), T(test_extents_not_there),
		T(test_extents_that_lie), T(test_extents_with_something_wrong_here), T(test_extents_that_moved), T(test_extents_and_no_line),
		T(test_extents_not_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
