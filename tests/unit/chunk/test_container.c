/* Containers: building, reading, verifying on arrival, and every way in which one can be malformed. */

#include "gen.h"

#include "chunk/container.h"

/* A container of ${n} blocks; the caller frees. */
struct made {
	uint8_t *p;
	size_t len;
	struct hash id;
	uint8_t *raw[CHUNK_BLOCKS_MAX];
	size_t raw_len[CHUNK_BLOCKS_MAX];
	uint32_t n;
};

static void
made_fini(struct made *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		free(m->raw[i]);
	free(m->p);
}

/* Add random blocks to ${b} until ${want} are in or nothing fits. */
static struct made
make(struct gen *g, uint32_t want, size_t len_max)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	struct made m = { 0 };
	const uint8_t *p;

	while (m.n < want) {
		size_t len = gen_range(g, 1, len_max);
		struct hash h;

		if (!chunk_builder_fits(b, len))
			break;
		m.raw[m.n] = xmalloc(len);
		m.raw_len[m.n] = len;
		gen_bytes(g, m.raw[m.n], len);
		h = hash_of(m.raw[m.n], len);
		assert_int_equal(chunk_builder_add(b, m.raw[m.n], len, &h), m.n);
		m.n++;
	}
	assert_int_equal(chunk_builder_count(b), m.n);
	p = chunk_builder_finish(b, &m.id, &m.len);
	m.p = xmalloc(m.len); /* its exact length, so that ASan sees every byte read past it */
	memcpy(m.p, p, m.len);
	return m;
}

/* Feed all of it in pieces of ${piece} bytes. */
static err_code
check_in_pieces(const uint8_t *p, size_t len, size_t piece, struct err *err)
{
	AUTO(chunk_check_freep) struct chunk_check *c = chunk_check_new();
	const struct chunk_header *h;
	err_code rc = ERR_OK;

	for (size_t pos = 0; !rc && pos < len; pos += piece)
		rc = chunk_check_feed(c, p + pos, MIN(piece, len - pos), err);
	return rc ? rc : chunk_check_done(c, &h, err);
}

static void
assert_same(const struct made *m, const struct chunk_header *h)
{
	AUTO(codec_freep) struct codec *codec = codec_new();
	AUTO(freep) uint8_t *out = xmalloc(BLOCK_LEN_MAX);
	size_t sum = 0;

	assert_memory_equal(&h->id, &m->id, sizeof m->id);
	assert_int_equal(h->count, m->n);
	assert_int_equal(h->total_len, m->len);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct chunk_block *b = &h->blocks[i];

		assert_int_equal(b->raw_len, m->raw_len[i]);
		assert_int_equal(chunk_block_open(codec, b, m->p + b->offset, out, NULL), ERR_OK);
		assert_memory_equal(out, m->raw[i], b->raw_len);
		sum += b->raw_len;
	}
	assert_int_equal(h->raw_len, sum);
}

/* The same, several at a time, from where they lie. */
static void
assert_same_together(const struct made *m, const struct chunk_header *h, uint32_t together)
{
	AUTO(codec_freep) struct codec *codec = codec_new();
	AUTO(freep) uint8_t *room = xmalloc(CHUNK_OPEN_MAX * BLOCK_LEN_MAX);
	struct slice raw[CHUNK_OPEN_MAX];

	for (uint32_t i = 0; i < m->n; i += together) {
		uint32_t n = MIN(together, m->n - i);

		assert_int_equal(chunk_blocks_open(codec, &h->blocks[i], n, m->p, room, raw, NULL), ERR_OK);
		for (uint32_t b = 0; b < n; b++) {
			assert_int_equal(raw[b].len, m->raw_len[i + b]);
			assert_memory_equal(raw[b].p, m->raw[i + b], raw[b].len);
			assert_true(h->blocks[i + b].packed || raw[b].p == m->p + h->blocks[i + b].offset); /* not copied */
		}
	}
}

static void
round_trips(void **state)
{
	struct gen g = gen_new("round_trips");

	(void)state;
	for (int i = 0; i < 40; i++) {
		AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
		AUTO(chunk_check_freep) struct chunk_check *c = chunk_check_new();
		AUTO(made_fini) struct made m = make(&g, (uint32_t)gen_range(&g, 1, 40), i % 4 ? 3000 : BLOCK_LEN_MAX);
		const struct chunk_header *lent;
		struct chunk_header h;
		size_t header_len = 0;

		assert_int_equal(chunk_header_len(m.p, m.len, &header_len, NULL), ERR_OK);
		assert_int_equal(chunk_header_parse(m.p, m.len, a, &h, NULL), ERR_OK);
		assert_int_equal(h.header_len, header_len);
		assert_same(&m, &h);
		assert_same_together(&m, &h, (uint32_t)gen_range(&g, 1, CHUNK_OPEN_MAX));

		for (size_t pos = 0; pos < m.len;) {
			size_t piece = gen_range(&g, 1, 20000);

			piece = MIN(piece, m.len - pos);
			assert_int_equal(chunk_check_feed(c, m.p + pos, piece, NULL), ERR_OK);
			pos += piece;
		}
		assert_int_equal(chunk_check_done(c, &lent, NULL), ERR_OK);
		assert_same(&m, lent);
	}
}

static void
a_full_chunk_is_64_blocks_and_1024_small_ones(void **state)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	AUTO(freep) uint8_t *raw = xmalloc(BLOCK_LEN_MAX);
	struct hash h, id;
	const uint8_t *p;
	size_t len;

	(void)state;
	rng_bytes(raw, BLOCK_LEN_MAX);
	h = hash_of(raw, BLOCK_LEN_MAX);
	while (chunk_builder_fits(b, BLOCK_LEN_MAX))
		chunk_builder_add(b, raw, BLOCK_LEN_MAX, &h);
	assert_int_equal(chunk_builder_count(b), 64);
	assert_false(chunk_builder_fits(b, 1));
	p = chunk_builder_finish(b, &id, &len);
	assert_true(len <= CHUNK_LEN_MAX);
	assert_int_equal(check_in_pieces(p, len, len, NULL), ERR_OK);

	chunk_builder_reset(b);
	h = hash_of(raw, 100);
	while (chunk_builder_fits(b, 100))
		chunk_builder_add(b, raw, 100, &h);
	assert_int_equal(chunk_builder_count(b), CHUNK_BLOCKS_MAX);
	p = chunk_builder_finish(b, &id, &len);
	assert_int_equal(check_in_pieces(p, len, 100000, NULL), ERR_OK);
}

/* Three blocks: one packed, one raw, one of a single byte. */
static struct made
small(void)
{
	struct gen g = { .state = 7 };
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	static const size_t lens[] = { 400, 90, 1 };
	struct made m = { .n = 3 };
	const uint8_t *p;

	for (uint32_t i = 0; i < m.n; i++) {
		struct hash h;

		m.raw_len[i] = lens[i];
		m.raw[i] = xcalloc(1, lens[i]);
		for (size_t k = 0; i == 1 && k < lens[i]; k++)
			m.raw[i][k] = (uint8_t)gen_u64(&g);
		h = hash_of(m.raw[i], lens[i]);
		chunk_builder_add(b, m.raw[i], lens[i], &h);
	}
	p = chunk_builder_finish(b, &m.id, &m.len);
	m.p = xmalloc(m.len);
	memcpy(m.p, p, m.len);
	return m;
}

static void
any_split_gives_the_same(void **state)
{
	AUTO(made_fini) struct made m = small();

	(void)state;
	for (size_t cut = 0; cut <= m.len; cut++) {
		AUTO(chunk_check_freep) struct chunk_check *c = chunk_check_new();
		const struct chunk_header *h;

		assert_int_equal(chunk_check_feed(c, m.p, cut, NULL), ERR_OK);
		assert_int_equal(chunk_check_feed(c, m.p + cut, m.len - cut, NULL), ERR_OK);
		assert_int_equal(chunk_check_done(c, &h, NULL), ERR_OK);
		assert_same(&m, h);
	}
	for (size_t piece = 1; piece <= 60; piece++)
		assert_int_equal(check_in_pieces(m.p, m.len, piece, NULL), ERR_OK);
}

static void
truncation_anywhere_is_refused(void **state)
{
	AUTO(made_fini) struct made m = small();

	(void)state;
	for (size_t len = 0; len < m.len; len++) {
		AUTO(freep) uint8_t *exact = xmalloc(len + !len);
		struct err err = { 0 };

		memcpy(exact, m.p, len);
		assert_int_equal(check_in_pieces(exact, len, len + !len, &err), ERR_CHUNK_INVALID);
		assert_string_equal(err.reason, "truncated");
	}
}

static void
a_truncated_header_is_refused_by_the_parser(void **state)
{
	AUTO(made_fini) struct made m = small();
	size_t header_len = CHUNK_FIXED_LEN + 3 * CHUNK_ENTRY_LEN;

	(void)state;
	for (size_t len = 0; len < header_len; len++) {
		AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
		AUTO(freep) uint8_t *exact = xmalloc(len + !len);
		struct chunk_header h;

		memcpy(exact, m.p, len);
		assert_int_equal(chunk_header_parse(exact, len, a, &h, NULL), ERR_CHUNK_INVALID);
	}
}

static void
every_flipped_bit_is_noticed(void **state)
{
	AUTO(made_fini) struct made m = small();

	(void)state;
	for (size_t bit = 0; bit < m.len * 8; bit++) {
		m.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* A frame may say the same in other bits; then what it decodes to is the same, and that is what counts. */
		if (check_in_pieces(m.p, m.len, m.len, NULL) == ERR_OK) {
			AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
			struct chunk_header h;

			assert_int_equal(chunk_header_parse(m.p, m.len, a, &h, NULL), ERR_OK);
			assert_same(&m, &h);
		}
		m.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void
bytes_after_the_end_are_refused(void **state)
{
	AUTO(made_fini) struct made m = small();
	AUTO(freep) uint8_t *longer = xcalloc(1, m.len + 1);
	struct err err = { 0 };

	(void)state;
	memcpy(longer, m.p, m.len);
	assert_int_equal(check_in_pieces(longer, m.len + 1, m.len + 1, &err), ERR_CHUNK_INVALID);
	assert_string_equal(err.reason, "trailing");
	assert_int_equal(check_in_pieces(longer, m.len + 1, m.len, NULL), ERR_CHUNK_INVALID);
}

static void
a_refusal_is_final(void **state)
{
	AUTO(made_fini) struct made m = small();
	AUTO(chunk_check_freep) struct chunk_check *c = chunk_check_new();
	const struct chunk_header *h;

	(void)state;
	m.p[0] ^= 1;
	assert_int_equal(chunk_check_feed(c, m.p, m.len, NULL), ERR_CHUNK_INVALID);
	m.p[0] ^= 1;
	assert_int_equal(chunk_check_feed(c, m.p, m.len, NULL), ERR_CHUNK_INVALID);
	assert_int_equal(chunk_check_done(c, &h, NULL), ERR_CHUNK_INVALID);
}

/* ---- one malformed field at a time ---------------------------------------------------------------------------------------- */

#define PACKED 0x80000000u

struct field_case {
	size_t at; /* offset of the four bytes that are wrong */
	uint32_t value;
	const char *reason;
};

/* Offsets of the lengths in row ${i}. */
#define RAW_AT(i) (CHUNK_FIXED_LEN + (i) * CHUNK_ENTRY_LEN + 32)
#define STORED_AT(i) (CHUNK_FIXED_LEN + (i) * CHUNK_ENTRY_LEN + 36)

static void
every_malformed_field_is_named(void **state)
{
	static const struct field_case cases[] = {
		{ 0, 0x59415245, "magic" },
		{ 4, 0x324b4843, "magic" }, /* version 2 */
		{ 8, 0, "count" },
		{ 8, CHUNK_BLOCKS_MAX + 1, "count" },
		{ 8, UINT32_MAX, "count" },
		{ 12, 1, "reserved" },
		{ 12, PACKED, "reserved" },
		{ RAW_AT(1), 0, "raw_len" },
		{ RAW_AT(1), BLOCK_LEN_MAX + 1, "raw_len" },
		{ RAW_AT(1), UINT32_MAX, "raw_len" },
		{ STORED_AT(1), 0, "stored_len" },
		{ STORED_AT(1), PACKED, "stored_len" },
		{ STORED_AT(1), 89, "stored_len" },
		{ STORED_AT(1), 91, "stored_len" },
		{ STORED_AT(1), PACKED | 91, "stored_len" },
		{ STORED_AT(1), UINT32_MAX, "stored_len" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(made_fini) struct made m = small();
		AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
		struct chunk_header h;
		struct err err = { 0 };

		put_u32le(m.p + cases[i].at, cases[i].value);
		assert_int_equal(chunk_header_parse(m.p, m.len, a, &h, &err), ERR_CHUNK_INVALID);
		assert_string_equal(err.reason, cases[i].reason);
		for (size_t piece = 1; piece <= m.len; piece += m.len - 1) {
			err = (struct err){ 0 };
			assert_int_equal(check_in_pieces(m.p, m.len, piece, &err), ERR_CHUNK_INVALID);
			assert_string_equal(err.reason, cases[i].reason);
		}
	}
}

/* Both sides of CHUNK_RAW_MAX, with a table of the longest blocks. */
static void
the_raw_sum_is_bounded(void **state)
{
	AUTO(freep) struct chunk_block *blocks = xcalloc(CHUNK_BLOCKS_MAX, sizeof *blocks);
	AUTO(freep) uint8_t *p = xmalloc(CHUNK_HEADER_MAX);
	AUTO(arena_freep) struct arena *a = arena_new(256 * KIB);
	struct chunk_header h;
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < CHUNK_BLOCKS_MAX; i++)
		blocks[i] = (struct chunk_block){ .raw_len = BLOCK_LEN_MAX, .stored_len = BLOCK_LEN_MAX };
	chunk_header_write(blocks, 64, p);
	assert_int_equal(chunk_header_parse(p, CHUNK_HEADER_MAX, a, &h, &err), ERR_OK);
	assert_int_equal(h.raw_len, CHUNK_RAW_MAX);
	blocks[64].raw_len = 1;
	blocks[64].stored_len = 1;
	chunk_header_write(blocks, 65, p);
	assert_int_equal(chunk_header_parse(p, CHUNK_HEADER_MAX, a, &h, &err), ERR_CHUNK_INVALID);
	assert_string_equal(err.reason, "raw_sum");
	chunk_header_write(blocks, CHUNK_BLOCKS_MAX, p);
	assert_int_equal(chunk_header_parse(p, CHUNK_HEADER_MAX, a, &h, &err), ERR_CHUNK_INVALID);
}

static void
an_arena_without_room_is_an_error(void **state)
{
	AUTO(made_fini) struct made m = small();
	AUTO(arena_freep) struct arena *a = arena_new(64);
	struct chunk_header h;

	(void)state;
	assert_int_equal(chunk_header_parse(m.p, m.len, a, &h, NULL), ERR_NO_MEM);
}

/* One block of several that were opened together: a byte of it is another, or its frame is not one. */
static void
one_wrong_among_several_is_noticed(void **state)
{
	struct gen g = gen_new("one_wrong_among_several_is_noticed");
	AUTO(codec_freep) struct codec *codec = codec_new();
	AUTO(freep) uint8_t *room = xmalloc(CHUNK_OPEN_MAX * BLOCK_LEN_MAX);
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	AUTO(made_fini) struct made m = make(&g, CHUNK_OPEN_MAX, 3000);
	struct slice raw[CHUNK_OPEN_MAX];
	struct chunk_header h;

	(void)state;
	assert_int_equal(chunk_header_parse(m.p, m.len, a, &h, NULL), ERR_OK);
	for (uint32_t i = 0; i < m.n; i++) {
		uint8_t *first = m.p + h.blocks[i].offset;
		err_code rc;

		*first ^= 1;
		rc = chunk_blocks_open(codec, h.blocks, m.n, m.p, room, raw, NULL);
		assert_int_equal(rc, h.blocks[i].packed ? ERR_ENCODING_INVALID : ERR_HASH_MISMATCH);
		*first ^= 1;
		assert_int_equal(chunk_blocks_open(codec, h.blocks, m.n, m.p, room, raw, NULL), ERR_OK);
	}
}

/* M6, M7: other bytes under the same header, in the first block and in one far from the beginning. */
static void
substituted_bytes_are_noticed(void **state)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	AUTO(freep) uint8_t *raw = xmalloc(BLOCK_LEN_MAX);
	AUTO(freep) uint8_t *copy = NULL;
	struct hash h, id;
	const uint8_t *p;
	size_t len;

	(void)state;
	for (int i = 0; i < 4; i++) {
		rng_bytes(raw, BLOCK_LEN_MAX);
		h = hash_of(raw, BLOCK_LEN_MAX);
		chunk_builder_add(b, raw, BLOCK_LEN_MAX, &h);
	}
	p = chunk_builder_finish(b, &id, &len);
	copy = xmalloc(len);
	memcpy(copy, p, len);
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_OK);
	copy[len - 1] ^= 1;
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_HASH_MISMATCH);

	setenv("DRAY_FAULT", "chunk.hash_prefix", 1);
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_OK);
	copy[200] ^= 1;
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_HASH_MISMATCH);
	setenv("DRAY_FAULT", "chunk.no_hash", 1);
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_OK);
	unsetenv("DRAY_FAULT");
	assert_int_equal(check_in_pieces(copy, len, 10000, NULL), ERR_HASH_MISMATCH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(a_full_chunk_is_64_blocks_and_1024_small_ones),
		cmocka_unit_test(any_split_gives_the_same),
		cmocka_unit_test(truncation_anywhere_is_refused),
		cmocka_unit_test(a_truncated_header_is_refused_by_the_parser),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(bytes_after_the_end_are_refused),
		cmocka_unit_test(a_refusal_is_final),
		cmocka_unit_test(every_malformed_field_is_named),
		cmocka_unit_test(the_raw_sum_is_bounded),
		cmocka_unit_test(an_arena_without_room_is_an_error),
		cmocka_unit_test(one_wrong_among_several_is_noticed),
		cmocka_unit_test(substituted_bytes_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
