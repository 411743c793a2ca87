/*
 * Packed pages of a block list, and the content hash.
 *
 *   offset                    bytes  field
 *   0                         8      "DRAYBLK1"
 *   8                         4      block_count
 *   12                        4      extent_count
 *   16 + 40 × i               32     chunk id of extent i
 *   48 + 40 × i               4      its first block in that chunk
 *   52 + 40 × i               4      how many blocks from there
 *   16 + 40 × extents + 36×k  32     SHA-256 of block k
 *   48 + 40 × extents + 36×k  4      its raw length
 *
 * A page of extents only is the same without blocks, and begins with "DRAYEXT1".
 */

#include "chunk/blocklist.h"

#include <assert.h>

#define MAGIC_LEN 8

static const char whole_magic[] = "DRAYBLK1", extents_magic[] = "DRAYEXT1";

/* Both counts are 32 bits, so this cannot overflow 64. */
static uint64_t
packed_len(uint32_t extents, uint32_t blocks)
{
	return BLOCKLIST_FIXED_LEN + (uint64_t)extents * BLOCKLIST_EXTENT_LEN + (uint64_t)blocks * BLOCKLIST_BLOCK_LEN;
}

size_t
blocklist_packed_len(const struct blocklist *l)
{
	return packed_len(l->extent_count, l->block_count);
}

size_t
blocklist_extents_len(const struct blocklist *l)
{
	return packed_len(l->extent_count, 0);
}

/* What both kinds of page begin with; returns its end. */
static uint8_t *
front_pack(const struct blocklist *l, const char *magic, uint8_t *out)
{
	uint8_t *p = out + BLOCKLIST_FIXED_LEN;

	memcpy(out, magic, MAGIC_LEN);
	put_u32le(out + 8, l->block_count);
	put_u32le(out + 12, l->extent_count);
	for (uint32_t i = 0; i < l->extent_count; i++, p += BLOCKLIST_EXTENT_LEN) {
		memcpy(p, l->extents[i].chunk.b, sizeof l->extents[i].chunk.b);
		put_u32le(p + 32, l->extents[i].first);
		put_u32le(p + 36, l->extents[i].count);
	}
	return p;
}

void
blocklist_extents_pack(const struct blocklist *l, uint8_t *out)
{
	(void)front_pack(l, extents_magic, out);
}

void
blocklist_pack(const struct blocklist *l, uint8_t *out)
{
	uint8_t *p = front_pack(l, whole_magic, out);

	for (uint32_t k = 0; k < l->block_count; k++, p += BLOCKLIST_BLOCK_LEN) {
		memcpy(p, l->blocks[k].hash.b, sizeof l->blocks[k].hash.b);
		put_u32le(p + 32, l->blocks[k].len);
	}
}

/* The fixed part, and the length that follows from its counts. */
static err_code
fixed_parse(const uint8_t *p, size_t len, const char *magic, uint32_t blocks_max, struct blocklist *out, struct err *err)
{
	if (len < BLOCKLIST_FIXED_LEN)
		return err_reason(err, ERR_BLOCKLIST_INVALID, "truncated", "the block list ends within its first %d bytes",
		    BLOCKLIST_FIXED_LEN);
	if (memcmp(p, magic, MAGIC_LEN) != 0)
		return err_reason(err, ERR_BLOCKLIST_INVALID, "magic", "this is not a block list of version 1");
	out->block_count = get_u32le(p + 8);
	out->extent_count = get_u32le(p + 12);
	if (out->block_count < 1 || out->block_count > blocks_max)
		return err_reason(err, ERR_BLOCKLIST_INVALID, "block_count", "this list has 1 to %u blocks, not %u", blocks_max,
		    out->block_count);
	if (out->extent_count < 1 || out->extent_count > out->block_count)
		return err_reason(err, ERR_BLOCKLIST_INVALID, "extent_count", "%u extents for %u blocks", out->extent_count,
		    out->block_count);
	if (len != packed_len(out->extent_count, magic == whole_magic ? out->block_count : 0))
		return err_reason(err, ERR_BLOCKLIST_INVALID, "length", "the block list is not as long as its counts say");
	return ERR_OK;
}

/* The extents at ${p}: each within its chunk, all together as many slots as there are blocks. */
static err_code
extents_parse(const uint8_t *p, struct blocklist *out, struct err *err)
{
	uint64_t slots = 0;

	for (uint32_t i = 0; i < out->extent_count; i++, p += BLOCKLIST_EXTENT_LEN) {
		struct extent *e = &out->extents[i];

		memcpy(e->chunk.b, p, sizeof e->chunk.b);
		e->first = get_u32le(p + 32);
		e->count = get_u32le(p + 36);
		if (e->count < 1 || e->count > CHUNK_BLOCKS_MAX || e->first > CHUNK_BLOCKS_MAX - e->count)
			return err_reason(err, ERR_BLOCKLIST_INVALID, "extent", "extent %u: %u blocks from %u on are outside of a chunk",
			    i, e->count, e->first);
		slots += e->count;
	}
	if (slots != out->block_count)
		return err_reason(err, ERR_BLOCKLIST_INVALID, "sum", "the extents name %llu blocks, the list has %u",
		    (unsigned long long)slots, out->block_count);
	return ERR_OK;
}

static err_code
blocks_parse(const uint8_t *p, struct blocklist *out, struct err *err)
{
	for (uint32_t k = 0; k < out->block_count; k++, p += BLOCKLIST_BLOCK_LEN) {
		struct block *b = &out->blocks[k];

		memcpy(b->hash.b, p, sizeof b->hash.b);
		b->len = get_u32le(p + 32);
		if (b->len < 1 || b->len > BLOCK_LEN_MAX)
			return err_reason(err, ERR_BLOCKLIST_INVALID, "raw_len", "block %u: %u bytes are outside of 1 to %zu", k,
			    b->len, BLOCK_LEN_MAX);
	}
	return ERR_OK;
}

err_code
blocklist_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out,
    struct err *err)
{
	struct blocklist l = { 0 };
	err_code rc;

	rc = fixed_parse(p, len, whole_magic, blocks_max, &l, err);
	if (rc)
		return rc;
	/* Only now: the length that was sent has vouched for the counts. */
	l.extents = arena_array(arena, l.extent_count, sizeof l.extents[0]);
	l.blocks = arena_array(arena, l.block_count, sizeof l.blocks[0]);
	if (!l.extents || !l.blocks)
		return err_set(err, ERR_NO_MEM, "no memory for a list of %u blocks", l.block_count);
	p += BLOCKLIST_FIXED_LEN;
	rc = extents_parse(p, &l, err);
	if (rc)
		return rc;
	rc = blocks_parse(p + (size_t)l.extent_count * BLOCKLIST_EXTENT_LEN, &l, err);
	if (rc)
		return rc;
	*out = l;
	return ERR_OK;
}

err_code
blocklist_extents_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out, struct err *err)
{
	struct blocklist l = { 0 };
	err_code rc = fixed_parse(p, len, extents_magic, blocks_max, &l, err);

	if (rc)
		return rc;
	l.extents = arena_array(arena, l.extent_count, sizeof l.extents[0]);
	if (!l.extents)
		return err_set(err, ERR_NO_MEM, "no memory for %u extents", l.extent_count);
	rc = extents_parse(p + BLOCKLIST_FIXED_LEN, &l, err);
	if (rc == ERR_OK)
		*out = l;
	return rc;
}

err_code
blocklist_either_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out, struct err *err)
{
	if (len >= MAGIC_LEN && memcmp(p, extents_magic, MAGIC_LEN) == 0)
		return blocklist_extents_unpack(p, len, blocks_max, arena, out, err);
	return blocklist_unpack(p, len, blocks_max, arena, out, err);
}

uint64_t
blocklist_bytes(const struct blocklist *l)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < l->block_count; k++)
		sum += l->blocks[k].len;
	return sum;
}

void
content_hash_init(struct content_hash *c)
{
	sha_init(&c->sha);
}

void
content_hash_add(struct content_hash *c, const struct hash *block, uint32_t len)
{
	uint8_t row[sizeof block->b + 4]; /* one call a block: libcrypto's fixed cost is paid once */

	assert(len >= 1 && len <= BLOCK_LEN_MAX);
	memcpy(row, block->b, sizeof block->b);
	put_u32le(row + sizeof block->b, len);
	sha_add(&c->sha, row, sizeof row);
}

struct hash
content_hash_final(struct content_hash *c)
{
	return sha_final(&c->sha);
}

void
content_hash_fini(struct content_hash *c)
{
	sha_fini(&c->sha);
}

struct hash
content_hash_empty(void)
{
	return hash_of(NULL, 0);
}

struct hash
content_hash_link(const char *target, size_t len)
{
	return hash_of(target, len);
}
