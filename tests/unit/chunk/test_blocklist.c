/* Packed block lists and content hashes. */

#include "gen.h"

#include "chunk/blocklist.h"

/* A random list of ${n} blocks; arrays live in ${a}. */
static struct blocklist
make(struct gen *g, struct arena *a, uint32_t n)
{
	struct blocklist l = { .block_count = n };
	uint32_t named = 0;

	l.extents = arena_array(a, n, sizeof l.extents[0]);
	l.blocks = arena_array(a, n, sizeof l.blocks[0]);
	for (uint32_t k = 0; k < n; k++) {
		gen_bytes(g, l.blocks[k].hash.b, sizeof l.blocks[k].hash.b);
		l.blocks[k].len = (uint32_t)gen_range(g, 1, BLOCK_LEN_MAX);
	}
	while (named < n) {
		struct extent *e = &l.extents[l.extent_count++];

		gen_bytes(g, e->chunk.b, sizeof e->chunk.b);
		e->count = (uint32_t)gen_range(g, 1, MIN(n - named, CHUNK_BLOCKS_MAX));
		e->first = (uint32_t)gen_range(g, 0, CHUNK_BLOCKS_MAX - e->count);
		named += e->count;
	}
	return l;
}

static void
round_trips(void **state)
{
	struct gen g = gen_new("round_trips");

	(void)state;
	for (int i = 0; i < 100; i++) {
		AUTO(arena_freep) struct arena *a = arena_new(4 * MIB);
		uint32_t n = (uint32_t)(i == 0 ? BLOCKLIST_UPLOAD_MAX : gen_range(&g, 1, 200));
		struct blocklist l = make(&g, a, n), back;
		size_t len = blocklist_packed_len(&l);
		AUTO(freep) uint8_t *p = xmalloc(len);
		uint64_t bytes = 0;

		blocklist_pack(&l, p);
		assert_int_equal(blocklist_unpack(p, len, n, a, &back, NULL), ERR_OK);
		assert_int_equal(back.block_count, l.block_count);
		assert_int_equal(back.extent_count, l.extent_count);
		assert_memory_equal(back.extents, l.extents, l.extent_count * sizeof l.extents[0]);
		assert_memory_equal(back.blocks, l.blocks, l.block_count * sizeof l.blocks[0]);
		for (uint32_t k = 0; k < n; k++)
			bytes += l.blocks[k].len;
		assert_int_equal(blocklist_bytes(&back), bytes);
		assert_int_equal(blocklist_unpack(p, len, n - 1, a, &back, NULL), ERR_BLOCKLIST_INVALID);
	}
}

/* The same page without its blocks; one kind is not taken for the other. */
static void
extents_round_trip(void **state)
{
	struct gen g = gen_new("extents_round_trip");

	(void)state;
	for (int i = 0; i < 100; i++) {
		AUTO(arena_freep) struct arena *a = arena_new(4 * MIB);
		uint32_t n = (uint32_t)gen_range(&g, 1, 200);
		struct blocklist l = make(&g, a, n), back;
		size_t len = blocklist_extents_len(&l), whole_len = blocklist_packed_len(&l);
		AUTO(freep) uint8_t *p = xmalloc(len), *whole = xmalloc(whole_len);

		blocklist_extents_pack(&l, p);
		blocklist_pack(&l, whole);
		assert_memory_equal(p + 8, whole + 8, len - 8);
		assert_int_equal(blocklist_extents_unpack(p, len, n, a, &back, NULL), ERR_OK);
		assert_int_equal(back.block_count, n);
		assert_int_equal(back.extent_count, l.extent_count);
		assert_null(back.blocks);
		assert_memory_equal(back.extents, l.extents, l.extent_count * sizeof l.extents[0]);
		assert_int_equal(blocklist_extents_unpack(p, len, n - 1, a, &back, NULL), ERR_BLOCKLIST_INVALID);
		assert_int_equal(blocklist_extents_unpack(p, len - 1, n, a, &back, NULL), ERR_BLOCKLIST_INVALID);
		assert_int_equal(blocklist_unpack(p, len, n, a, &back, NULL), ERR_BLOCKLIST_INVALID);
		assert_int_equal(blocklist_extents_unpack(whole, whole_len, n, a, &back, NULL), ERR_BLOCKLIST_INVALID);
		put_u32le(p + BLOCKLIST_FIXED_LEN + 36, l.extents[0].count + 1);
		assert_int_equal(blocklist_extents_unpack(p, len, n, a, &back, NULL), ERR_BLOCKLIST_INVALID);
	}
}

/* Two extents (3 + 2 blocks) and five blocks. */
struct page {
	uint8_t p[BLOCKLIST_FIXED_LEN + 2 * BLOCKLIST_EXTENT_LEN + 5 * BLOCKLIST_BLOCK_LEN];
};

static struct page
small(void)
{
	struct extent extents[] = { { .first = 0, .count = 3 }, { .first = CHUNK_BLOCKS_MAX - 2, .count = 2 } };
	struct block blocks[] = { { .len = 1 }, { .len = 2 }, { .len = 3 }, { .len = BLOCK_LEN_MAX }, { .len = 5 } };
	struct blocklist l = { extents, 2, blocks, 5 };
	struct page page;

	assert_int_equal(blocklist_packed_len(&l), sizeof page.p);
	blocklist_pack(&l, page.p);
	return page;
}

static void
assert_refused(const uint8_t *p, size_t len, const char *reason)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	AUTO(freep) uint8_t *exact = xmalloc(len + !len);
	struct blocklist l;
	struct err err = { 0 };

	memcpy(exact, p, len);
	assert_int_equal(blocklist_unpack(exact, len, BLOCKLIST_PAGE_BLOCKS, a, &l, &err), ERR_BLOCKLIST_INVALID);
	if (reason)
		assert_string_equal(err.reason, reason);
}

#define EXTENT_AT(i) (BLOCKLIST_FIXED_LEN + (i) * BLOCKLIST_EXTENT_LEN + 32)
#define BLOCK_AT(k) (BLOCKLIST_FIXED_LEN + 2 * BLOCKLIST_EXTENT_LEN + (k) * BLOCKLIST_BLOCK_LEN + 32)

static void
every_malformed_field_is_named(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *reason;
	} cases[] = {
		{ 0, 0, "magic" },
		{ 4, 0, "magic" },
		{ 8, 0, "block_count" },
		{ 8, BLOCKLIST_PAGE_BLOCKS + 1, "block_count" },
		{ 8, UINT32_MAX, "block_count" },
		{ 8, 4, "length" },
		{ 8, 6, "length" },
		{ 12, 0, "extent_count" },
		{ 12, 6, "extent_count" },
		{ 12, UINT32_MAX, "extent_count" },
		{ 12, 1, "length" },
		{ 12, 3, "length" },
		{ EXTENT_AT(0), CHUNK_BLOCKS_MAX - 2, "extent" },
		{ EXTENT_AT(0), UINT32_MAX, "extent" },
		{ EXTENT_AT(0), UINT32_MAX - 2, "extent" },
		{ EXTENT_AT(0) + 4, 0, "extent" },
		{ EXTENT_AT(0) + 4, CHUNK_BLOCKS_MAX + 1, "extent" },
		{ EXTENT_AT(0) + 4, UINT32_MAX, "extent" },
		{ EXTENT_AT(0) + 4, 2, "sum" },
		{ EXTENT_AT(0) + 4, 4, "sum" },
		{ BLOCK_AT(2), 0, "raw_len" },
		{ BLOCK_AT(2), BLOCK_LEN_MAX + 1, "raw_len" },
		{ BLOCK_AT(4), UINT32_MAX, "raw_len" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page page = small();

		put_u32le(page.p + cases[i].at, cases[i].value);
		assert_refused(page.p, sizeof page.p, cases[i].reason);
	}
}

static void
other_lengths_are_refused(void **state)
{
	struct page page = small();
	uint8_t longer[sizeof page.p + 1] = { 0 };

	(void)state;
	for (size_t len = 0; len < sizeof page.p; len++)
		assert_refused(page.p, len, len < BLOCKLIST_FIXED_LEN ? "truncated" : "length");
	memcpy(longer, page.p, sizeof page.p);
	assert_refused(longer, sizeof longer, "length");
}

static void
an_arena_without_room_is_an_error(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(150);
	struct page page = small();
	struct blocklist l;

	(void)state;
	assert_int_equal(blocklist_unpack(page.p, sizeof page.p, 64, a, &l, NULL), ERR_NO_MEM);
}

static void
content_hashes_are_as_documented(void **state)
{
	uint8_t rows[2 * 36];
	struct hash a = hash_of("a", 1), b = hash_of("bc", 2), want, got;
	struct content_hash c;
	char hex[HASH_HEX_LEN + 1];

	(void)state;
	memcpy(rows, a.b, 32);
	put_u32le(rows + 32, 1);
	memcpy(rows + 36, b.b, 32);
	put_u32le(rows + 68, 2);
	want = hash_of(rows, sizeof rows);
	content_hash_init(&c);
	content_hash_add(&c, &a, 1);
	content_hash_add(&c, &b, 2);
	got = content_hash_final(&c);
	assert_true(hash_eq(&got, &want));

	content_hash_init(&c);
	got = content_hash_final(&c);
	want = content_hash_empty();
	assert_true(hash_eq(&got, &want));
	assert_string_equal(hash_hex(&want, hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	want = hash_of("../x", 4);
	got = content_hash_link("../x", 4);
	assert_true(hash_eq(&got, &want));

	content_hash_init(&c);
	content_hash_add(&c, &a, 1);
	content_hash_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(extents_round_trip),
		cmocka_unit_test(every_malformed_field_is_named),
		cmocka_unit_test(other_lengths_are_refused),
		cmocka_unit_test(an_arena_without_room_is_an_error),
		cmocka_unit_test(content_hashes_are_as_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
