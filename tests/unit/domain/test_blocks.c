/* Named blocks in one container. */
#include "rig.h"

#include "server/domain/blocks.h"

#define SMALL 100 /* bytes of a small block */

/* A stored chunk and the container that it came in. */
struct stored {
	struct hash id;
	const uint8_t *p;
	size_t len;
	struct chunk_header h;
};

static struct stored
store_blocks(struct rig *r, const uint8_t *bytes, size_t block_len, uint32_t n)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	struct id t = rig_transfer(r);
	struct stored s;
	const uint8_t *p;
	struct hash id;

	for (uint32_t i = 0; i < n; i++) {
		struct hash h = hash_of(bytes + i * block_len, block_len);

		chunk_builder_add(b, bytes + i * block_len, block_len, &h);
	}
	p = chunk_builder_finish(b, &s.id, &s.len);
	s.p = arena_memdup(r->a, p, s.len);
	assert_ok(r, rig_try_chunk(r, &t, 0, s.p, s.len, &id));
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	assert_ok(r, chunk_header_parse(s.p, s.len, r->a, &s.h, &r->err));
	return s;
}

/* Blocks of which every third compresses. */
static struct stored
a_chunk(struct rig *r, size_t block_len, uint32_t n, uint64_t seed)
{
	uint8_t *bytes = arena_must(r->a, n * block_len);

	fill(bytes, n * block_len, seed);
	for (uint32_t i = 0; i < n; i += 3)
		memset(bytes + i * block_len + 8, 'z', block_len - 8);
	return store_blocks(r, bytes, block_len, n);
}

static struct extent
ext(const struct stored *s, uint32_t first, uint32_t count)
{
	return (struct extent){ .chunk = s->id, .first = first, .count = count };
}

static err_code
try_fetch(struct rig *r, const struct extent *e, uint32_t n, size_t piece, uint8_t **out, uint64_t *len)
{
	struct blocks_out *b;
	size_t at = 0, got = 1;
	err_code rc = blocks_open(r->d, &r->project, e, n, &b, len, &r->err);

	if (rc)
		return rc;
	*out = arena_must(r->a, *len + piece);
	while (!rc && got > 0) {
		assert_true(at <= *len);
		rc = blocks_read(b, *out + at, piece, &got, &r->err);
		at += got;
	}
	blocks_close(b);
	if (!rc)
		assert_int_equal(at, *len);
	return rc;
}

/* The answer must be a container of the named blocks, each as it is stored: the same bytes, packed or not. */
static void
assert_fetched(struct rig *r, const struct stored *chunks, const struct extent *e, uint32_t n, size_t piece)
{
	struct chunk_header h;
	uint32_t at = 0;
	uint8_t *got;
	uint64_t len;

	assert_ok(r, try_fetch(r, e, n, piece, &got, &len));
	assert_ok(r, chunk_header_parse(got, len, r->a, &h, &r->err));
	assert_int_equal(h.total_len, len);
	for (uint32_t i = 0; i < n; i++) {
		const struct stored *s = chunks;

		while (!hash_eq(&s->id, &e[i].chunk))
			s++;
		for (uint32_t k = 0; k < e[i].count; k++, at++) {
			const struct chunk_block *want = &s->h.blocks[e[i].first + k], *is = &h.blocks[at];

			assert_true(hash_eq(&is->hash, &want->hash));
			assert_int_equal(is->raw_len, want->raw_len);
			assert_int_equal(is->packed, want->packed);
			assert_int_equal(is->stored_len, want->stored_len);
			assert_memory_equal(got + is->offset, s->p + want->offset, want->stored_len);
		}
	}
	assert_int_equal(at, h.count);
}

static void
test_fetch(void **state)
{
	struct rig *r = *state;
	struct stored c[] = { a_chunk(r, BLOCK_LEN_MAX, 8, 1), a_chunk(r, SMALL, 300, 2), a_chunk(r, 5000, 1, 3) };
	const struct extent whole[] = { ext(&c[0], 0, 8) };
	const struct extent mixed[] = { ext(&c[1], 299, 1), ext(&c[0], 3, 2), ext(&c[2], 0, 1), ext(&c[0], 0, 1), ext(&c[1], 0, 120) };
	const struct extent twice[] = { ext(&c[1], 7, 1), ext(&c[1], 7, 1), ext(&c[1], 6, 3) };
	struct extent single[300];
	uint8_t *one, *other;
	uint64_t len, other_len;

	assert_fetched(r, c, whole, 1, 64 * KIB);
	assert_fetched(r, c, mixed, 5, 64 * KIB);
	assert_fetched(r, c, mixed, 5, 7); /* whatever the pieces are */
	assert_fetched(r, c, twice, 3, 1000);
	assert_ok(r, try_fetch(r, whole, 1, MIB, &one, &len));
	assert_int_equal(len, c[0].len); /* all of a chunk is that chunk */
	assert_memory_equal(one, c[0].p, len);
	for (uint32_t i = 0; i < 300; i++)
		single[i] = ext(&c[1], i, 1);
	assert_ok(r, try_fetch(r, single, 300, MIB, &one, &len));
	assert_ok(r, try_fetch(r, &(struct extent){ c[1].id, 0, 300 }, 1, MIB, &other, &other_len));
	assert_int_equal(len, other_len);
	assert_memory_equal(one, other, len);
}

/* Side by side in their files, but not in one: blocks of two chunks whose places follow each other. */
static void
test_neighbours_in_two_chunks(void **state)
{
	struct rig *r = *state;
	uint8_t bytes[2][4 * SMALL];
	struct stored c[2];
	struct extent e[4];

	for (uint32_t i = 0; i < 2; i++) {
		fill(bytes[i], sizeof bytes[i], 10 + i);
		c[i] = store_blocks(r, bytes[i], SMALL, 4);
	}
	assert_int_equal(c[0].h.blocks[0].offset + c[0].h.blocks[0].stored_len, c[1].h.blocks[1].offset);
	for (uint32_t i = 0; i < 4; i++)
		e[i] = ext(&c[i % 2], i, 1);
	assert_fetched(r, c, e, 4, 64 * KIB);
}

static void
test_limits(void **state)
{
	struct rig *r = *state;
	struct stored small = a_chunk(r, SMALL, CHUNK_BLOCKS_MAX, 1), large = a_chunk(r, BLOCK_LEN_MAX, 64, 2);
	struct extent e[BLOCKS_FETCH_MAX + 1];
	uint8_t *got;
	uint64_t len;

	for (uint32_t i = 0; i <= BLOCKS_FETCH_MAX; i++)
		e[i] = ext(&small, (i * 37) % CHUNK_BLOCKS_MAX, 1);
	assert_fetched(r, &small, e, BLOCKS_FETCH_MAX, 64 * KIB);
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, BLOCKS_FETCH_MAX + 1, MIB, &got, &len));
	e[0] = ext(&small, 0, BLOCKS_FETCH_MAX);
	assert_fetched(r, &small, e, 1, MIB);
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, 2, MIB, &got, &len));
	e[1] = ext(&small, 0, UINT32_MAX);
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, 2, MIB, &got, &len));
	e[0] = ext(&large, 0, 64); /* 4 MiB, and a byte more */
	assert_fetched(r, &large, e, 1, MIB);
	e[1] = ext(&small, 0, 1);
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, 2, MIB, &got, &len));
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, 0, MIB, &got, &len));
	e[0].count = 0;
	assert_code(r, ERR_FIELD_RANGE, try_fetch(r, e, 2, MIB, &got, &len));
}

/* What is not this project's is as absent as what never was, to the letter (P25). */
static void
test_absent(void **state)
{
	struct rig *r = *state;
	struct stored mine = a_chunk(r, SMALL, 3, 1), foreign;
	struct extent bad[] = { ext(&mine, 3, 1), ext(&mine, 2, 2), ext(&mine, 0, 4), ext(&mine, 1023, 1), { .count = 1 } };
	struct id home = r->project;
	struct project other;
	char said[512];
	uint8_t *got;
	uint64_t len;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct extent e[] = { ext(&mine, 0, 1), bad[i] };

		assert_code(r, ERR_NOT_FOUND, try_fetch(r, e, 2, MIB, &got, &len));
	}
	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	r->project = other.id;
	foreign = a_chunk(r, SMALL, 3, 2);
	r->project = home;
	assert_code(r, ERR_NOT_FOUND, try_fetch(r, &(struct extent){ foreign.id, 0, 1 }, 1, MIB, &got, &len));
	snprintf(said, sizeof said, "%s", r->err.msg);
	assert_code(r, ERR_NOT_FOUND, try_fetch(r, &(struct extent){ hash_of("x", 1), 0, 1 }, 1, MIB, &got, &len));
	assert_string_equal(said, r->err.msg);
}

/* The stored object is replaced by ${p}, and nothing of it is remembered. */
static void
damage(struct rig *r, const struct stored *s, const uint8_t *p, size_t len)
{
	struct store_key key = { .project = r->project, .hash = s->id };

	assert_ok(r, store_delete(r->store, &key, &r->err));
	if (len)
		assert_ok(r, store_put(r->store, &key, p, len, &r->err));
	domain_free(r->d);
	r->d = domain_open(r->meta, r->store);
}

/* Before a byte is answered all must be there and be what its name says; what is told is CORRUPT, not absence. */
static void
test_damaged(void **state)
{
	struct rig *r = *state;
	struct stored good = a_chunk(r, SMALL, 3, 1), s = a_chunk(r, 5000, 4, 2);
	struct extent e[] = { ext(&good, 0, 1), ext(&s, 1, 1) };
	uint8_t *p = arena_memdup(r->a, s.p, s.len), *got;
	struct blocks_out *b;
	uint64_t len;
	size_t n;

	damage(r, &s, p, s.len - 1);
	assert_code(r, ERR_CORRUPT, try_fetch(r, e, 2, MIB, &got, &len)); /* although the named block is whole */
	damage(r, &s, p, 20);
	assert_code(r, ERR_CORRUPT, try_fetch(r, e, 2, MIB, &got, &len));
	damage(r, &s, NULL, 0);
	assert_code(r, ERR_CORRUPT, try_fetch(r, e, 2, MIB, &got, &len));
	p[CHUNK_FIXED_LEN] ^= 1; /* a hash of the header */
	damage(r, &s, p, s.len);
	assert_code(r, ERR_CORRUPT, try_fetch(r, e, 2, MIB, &got, &len));
	p[CHUNK_FIXED_LEN] ^= 1;
	p[s.len - 1] ^= 1; /* the bytes are the receiver's to verify */
	damage(r, &s, p, s.len);
	assert_ok(r, try_fetch(r, e, 2, MIB, &got, &len));
	/* Lost after the answer has begun: an error, which cuts the connection, and no short container. */
	assert_ok(r, blocks_open(r->d, &r->project, e, 2, &b, &len, &r->err));
	assert_ok(r, blocks_read(b, got, 1, &n, &r->err));
	assert_ok(r, store_delete(r->store, &(struct store_key){ r->project, s.id }, &r->err));
	assert_code(r, ERR_CORRUPT, blocks_read(b, got, len, &n, &r->err));
	blocks_close(b);
	assert_ok(r, store_put(r->store, &(struct store_key){ r->project, s.id }, p, s.len, &r->err));
	assert_ok(r, blocks_open(r->d, &r->project, &(struct extent){ s.id, 3, 1 }, 1, &b, &len, &r->err));
	assert_ok(r, store_delete(r->store, &(struct store_key){ r->project, s.id }, &r->err));
	assert_ok(r, store_put(r->store, &(struct store_key){ r->project, s.id }, p, s.len - 1, &r->err));
	assert_code(r, ERR_CORRUPT, blocks_read(b, got, len, &n, &r->err));
	blocks_close(b);
}

static void
test_store_trouble(void **state)
{
	struct rig *r = *state;
	struct stored s = a_chunk(r, 5000, 4, 2);
	struct extent e = ext(&s, 1, 2);
	uint8_t *got;
	uint64_t len;

	store_fault_arm(r->store, "read", 0, ERR_UNAVAILABLE);
	assert_code(r, ERR_UNAVAILABLE, try_fetch(r, &e, 1, MIB, &got, &len));
	assert_ok(r, try_fetch(r, &e, 1, MIB, &got, &len));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_fetch), T(test_neighbours_in_two_chunks), T(test_limits), T(test_absent),
		T(test_damaged), T(test_store_trouble) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
