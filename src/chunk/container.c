/*
 * The chunk container's header and blocks: the format itself.  builder.c makes containers, check.c verifies them on arrival.
 *
 *   offset            bytes  field
 *   0                 8      "DRAYCHK1"
 *   8                 4      block_count
 *   12                4      0
 *   16 + 40 × i       32     SHA-256 of block i's raw bytes
 *   48 + 40 × i       4      its raw length
 *   52 + 40 × i       4      its stored length; top bit set: a zstd frame, clear: the raw bytes
 *   16 + 40 × count   …      the stored bytes of the blocks, in order, without gaps
 *
 * F1  A header is read in full or refused: after chunk_header_parse every length lies within its limit, so sums of up to
 *     CHUNK_BLOCKS_MAX of them fit 32 bits and every offset lies within total_len.
 * F2  The id is the hash of the header, and the header holds every block's hash and stored length: what has the id and decodes to
 *     those hashes is the chunk.
 */

#include "chunk/container.h"

#include <assert.h>

#include "base/fault.h"

static const uint8_t magic[8] = { 'D', 'R', 'A', 'Y', 'C', 'H', 'K', '1' };

#define PACKED_BIT 0x80000000u

static_assert(CHUNK_HEADER_MAX + CHUNK_RAW_MAX <= CHUNK_LEN_MAX, "a full container stays within its limit");

err_code
chunk_header_len(const uint8_t *p, size_t len, size_t *header_len, struct err *err)
{
	uint32_t count;

	if (len < CHUNK_FIXED_LEN)
		return err_reason(err, ERR_CHUNK_INVALID, "truncated", "the chunk ends within its first %d bytes", CHUNK_FIXED_LEN);
	if (memcmp(p, magic, sizeof magic) != 0)
		return err_reason(err, ERR_CHUNK_INVALID, "magic", "this is not a chunk of version 1");
	count = get_u32le(p + 8);
	if (count < 1 || count > CHUNK_BLOCKS_MAX)
		return err_reason(err, ERR_CHUNK_INVALID, "count", "a chunk has 1 to %d blocks, not %u", CHUNK_BLOCKS_MAX, count);
	if (get_u32le(p + 12) != 0)
		return err_reason(err, ERR_CHUNK_INVALID, "reserved", "the chunk's reserved field is not zero");
	*header_len = CHUNK_FIXED_LEN + (size_t)count * CHUNK_ENTRY_LEN;
	return ERR_OK;
}

/* Row ${i} of the block table, at ${p}. */
static err_code
entry_parse(const uint8_t *p, uint32_t i, struct chunk_block *b, struct err *err)
{
	uint32_t stored = get_u32le(p + 36);

	memcpy(b->hash.b, p, sizeof b->hash.b);
	b->raw_len = get_u32le(p + 32);
	b->stored_len = stored & ~PACKED_BIT;
	b->packed = stored & PACKED_BIT;
	if (b->raw_len < 1 || b->raw_len > BLOCK_LEN_MAX)
		return err_reason(err, ERR_CHUNK_INVALID, "raw_len", "block %u: %u raw bytes are outside of 1 to %zu", i,
		    b->raw_len, BLOCK_LEN_MAX);
	if (b->stored_len < 1 || b->stored_len > b->raw_len)
		return err_reason(err, ERR_CHUNK_INVALID, "stored_len", "block %u: %u stored bytes for %u raw ones", i,
		    b->stored_len, b->raw_len);
	if (!b->packed && b->stored_len != b->raw_len)
		return err_reason(err, ERR_CHUNK_INVALID, "stored_len", "block %u: stored raw, %u bytes of %u", i, b->stored_len,
		    b->raw_len);
	return ERR_OK;
}

/* The block table after the fixed part at ${p}; fills the sums and offsets of ${out}. */
static err_code
table_parse(const uint8_t *p, struct chunk_header *out, struct err *err)
{
	err_code rc;

	out->raw_len = 0;
	out->total_len = out->header_len;
	for (uint32_t i = 0; i < out->count; i++) {
		struct chunk_block *b = &out->blocks[i];

		rc = entry_parse(p + CHUNK_FIXED_LEN + (size_t)i * CHUNK_ENTRY_LEN, i, b, err);
		if (rc)
			return rc;
		b->offset = out->total_len;
		out->total_len += b->stored_len;
		out->raw_len += b->raw_len;
	}
	if (out->raw_len > CHUNK_RAW_MAX)
		return err_reason(err, ERR_CHUNK_INVALID, "raw_sum", "the chunk holds %u raw bytes, more than %zu", out->raw_len,
		    CHUNK_RAW_MAX);
	assert(out->total_len <= CHUNK_LEN_MAX); /* F1: stored ≤ raw for every block */
	return ERR_OK;
}

err_code
chunk_header_parse(const uint8_t *p, size_t len, struct arena *arena, struct chunk_header *out, struct err *err)
{
	size_t header_len = 0;
	err_code rc;

	rc = chunk_header_len(p, len, &header_len, err);
	if (rc)
		return rc;
	if (len < header_len)
		return err_reason(err, ERR_CHUNK_INVALID, "truncated", "the chunk ends within its block table");
	*out = (struct chunk_header){ .count = get_u32le(p + 8), .header_len = (uint32_t)header_len };
	out->blocks = arena_array(arena, out->count, sizeof out->blocks[0]);
	if (!out->blocks)
		return err_set(err, ERR_NO_MEM, "no memory for a chunk header of %u blocks", out->count);
	rc = table_parse(p, out, err);
	if (rc)
		return rc;
	out->id = hash_of(p, header_len);
	return ERR_OK;
}

/* M6, M7: what a receiver would accept that does not look, or looks only at the beginning. */
static bool
taken_unseen(const struct chunk_block *b)
{
	return FAULT("chunk.no_hash") || (FAULT("chunk.hash_prefix") && b->offset >= BLOCK_LEN_MAX);
}

/* I3 */
static err_code
judge(const struct chunk_block *b, const struct hash *found, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];

	if (hash_eq(found, &b->hash) || taken_unseen(b))
		return ERR_OK;
	return err_set(err, ERR_HASH_MISMATCH, "block %s holds other bytes", hash_hex(&b->hash, hex));
}

static err_code
unpack(struct codec *codec, const struct chunk_block *b, const uint8_t *stored, uint8_t *out, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];
	err_code rc = codec_unpack(codec, stored, b->stored_len, out, b->raw_len, err);

	return rc ? err_wrap(err, "block %s", hash_hex(&b->hash, hex)) : ERR_OK;
}

err_code
chunk_block_open(struct codec *codec, const struct chunk_block *b, const uint8_t *stored, uint8_t *out, struct err *err)
{
	struct hash found;

	if (b->packed) {
		err_code rc = unpack(codec, b, stored, out, err);

		if (rc)
			return rc;
	} else {
		memcpy(out, stored, b->raw_len);
	}
	found = hash_of(out, b->raw_len);
	return judge(b, &found, err);
}

err_code
chunk_blocks_open(struct codec *codec, const struct chunk_block *b, uint32_t n, const uint8_t *chunk, uint8_t *room,
    struct slice raw[CHUNK_OPEN_MAX], struct err *err)
{
	struct hash found[CHUNK_OPEN_MAX];
	err_code rc = ERR_OK;

	assert(n <= CHUNK_OPEN_MAX);
	for (uint32_t i = 0; i < n && !rc; i++) {
		uint8_t *out = room + (size_t)i * BLOCK_LEN_MAX;

		raw[i] = (struct slice){ b[i].packed ? out : chunk + b[i].offset, b[i].raw_len };
		if (b[i].packed)
			rc = unpack(codec, &b[i], chunk + b[i].offset, out, err);
	}
	if (rc)
		return rc;
	hash_each(raw, n, found);
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = judge(&b[i], &found[i], err);
	return rc;
}

struct hash
chunk_header_write(const struct chunk_block *blocks, uint32_t count, uint8_t *out)
{
	assert(count >= 1 && count <= CHUNK_BLOCKS_MAX); /* F1 */
	memcpy(out, magic, sizeof magic);
	put_u32le(out + 8, count);
	put_u32le(out + 12, 0);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *p = out + CHUNK_FIXED_LEN + (size_t)i * CHUNK_ENTRY_LEN;
		const struct chunk_block *b = &blocks[i];

		assert(b->stored_len >= 1 && b->stored_len <= b->raw_len && b->raw_len <= BLOCK_LEN_MAX); /* F1 */
		assert(b->packed || b->stored_len == b->raw_len);                                         /* F1 */
		memcpy(p, b->hash.b, sizeof b->hash.b);
		put_u32le(p + 32, b->raw_len);
		put_u32le(p + 36, b->stored_len | (b->packed ? PACKED_BIT : 0));
	}
	return hash_of(out, CHUNK_FIXED_LEN + (size_t)count * CHUNK_ENTRY_LEN);
}
