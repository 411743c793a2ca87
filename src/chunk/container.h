#pragma once
/**
 * The chunk container, version 1 (docs/format/chunk.md): an immutable run of blocks, the unit of transfer and storage.
 *
 *   "DRAYCHK1" · u32 block_count · u32 0 · block_count × { sha256[32] · u32 raw_len · u32 stored_len | top bit: zstd } · payload
 *
 * Little-endian.  The chunk id is the SHA-256 of everything before the payload; each block's hash is over its raw bytes.
 */

#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"
#include "chunk/codec.h"

#define CHUNK_FIXED_LEN 16 /* before the block table */
#define CHUNK_ENTRY_LEN 40 /* a row of the block table */
#define CHUNK_HEADER_MAX (CHUNK_FIXED_LEN + CHUNK_BLOCKS_MAX * CHUNK_ENTRY_LEN)

struct chunk_block {
	struct hash hash;    /* of the raw bytes */
	uint32_t raw_len;    /* 1..BLOCK_LEN_MAX */
	uint32_t stored_len; /* 1..raw_len */
	uint32_t offset;     /* of its stored bytes in the container */
	bool packed;         /* stored as a zstd frame */
};

struct chunk_header {
	struct hash id;
	uint32_t count;             /* blocks, 1..CHUNK_BLOCKS_MAX */
	uint32_t header_len;        /* bytes before the payload */
	uint32_t total_len;         /* of the container, ≤ CHUNK_LEN_MAX */
	uint32_t raw_len;           /* sum over the blocks, ≤ CHUNK_RAW_MAX */
	struct chunk_block *blocks; /* in the arena given to the parser */
};

/**
 * chunk_header_len(p, len, header_len, err): from the first CHUNK_FIXED_LEN bytes, how long the header is.
 * Errors     CHUNK_INVALID (magic, count, reserved; also ${len} < CHUNK_FIXED_LEN).
 */
err_code chunk_header_len(const uint8_t *p, size_t len, size_t *header_len, struct err *err);

/**
 * chunk_header_parse(p, len, arena, out, err): read a whole header (${len} ≥ its length; the payload may follow).
 * Errors     CHUNK_INVALID; NO_MEM when ${arena} has no room for 1,024 × 48 bytes.   Ownership  out->blocks lives in ${arena}.
 */
err_code chunk_header_parse(const uint8_t *p, size_t len, struct arena *arena, struct chunk_header *out, struct err *err);

/**
 * chunk_block_open(codec, b, stored, out, err): decode the stored bytes of block ${b} into ${out} (b->raw_len bytes) and verify
 * its hash.
 * Errors     ENCODING_INVALID, HASH_MISMATCH.
 */
err_code chunk_block_open(struct codec *codec, const struct chunk_block *b, const uint8_t *stored, uint8_t *out,
    struct err *err);

/**
 * chunk_blocks_open(codec, b, n, chunk, room, raw, err): the bytes of ${n} ≤ CHUNK_OPEN_MAX blocks of the container that begins at ${chunk}, decoded and
 * verified; their hashes are computed side by side, in half the time.  raw[i] is lent: those of a block that is stored raw are in ${chunk}, of
 * another one in ${room}, which has room for BLOCK_LEN_MAX bytes for each of the ${n}.
 * Errors     as chunk_block_open's; then nothing of the ${n} counts as verified.
 */
#define CHUNK_OPEN_MAX 16
err_code chunk_blocks_open(struct codec *codec, const struct chunk_block *b, uint32_t n, const uint8_t *chunk, uint8_t *room,
    struct slice raw[CHUNK_OPEN_MAX], struct err *err);

/* ---- verifying a container as it arrives ---------------------------------------------------------------------------- */

/**
 * A verifier that is fed a container piece by piece and keeps one header and one block in memory (≤ 300 KiB with its decoder),
 * whatever the container's size.  One thread at a time.
 */
struct chunk_check;

struct chunk_check *chunk_check_new(void);
void chunk_check_free(struct chunk_check *c);
void chunk_check_freep(struct chunk_check **c);

/**
 * chunk_check_feed(c, p, len, err): the next bytes.  Refuses as soon as something is wrong.
 * Errors     CHUNK_INVALID (also bytes after the end, and whatever follows a refusal), ENCODING_INVALID, HASH_MISMATCH.
 */
err_code chunk_check_feed(struct chunk_check *c, const uint8_t *p, size_t len, struct err *err);

/** chunk_check_done(c, header, err): the end.  *header is lent, valid until free.  CHUNK_INVALID when bytes are missing. */
err_code chunk_check_done(struct chunk_check *c, const struct chunk_header **header, struct err *err);

/* ---- building a container --------------------------------------------------------------------------------------------- */

/** A container under construction in memory: CHUNK_LEN_MAX bytes allocated once, reused by reset.  One thread at a time. */
struct chunk_builder;

struct chunk_builder *chunk_builder_new(void);
void chunk_builder_free(struct chunk_builder *b);
void chunk_builder_freep(struct chunk_builder **b);
void chunk_builder_reset(struct chunk_builder *b);

/** chunk_builder_fits(b, raw_len): whether a block of ${raw_len} bytes still fits (count, raw sum). */
bool chunk_builder_fits(const struct chunk_builder *b, size_t raw_len);
uint32_t chunk_builder_count(const struct chunk_builder *b);

/**
 * chunk_builder_add(b, raw, len, hash): append a block of 1..BLOCK_LEN_MAX bytes that fits (asserted) and whose SHA-256 is
 * ${hash}; compresses it when that pays.  Returns its index.
 */
uint32_t chunk_builder_add(struct chunk_builder *b, const uint8_t *raw, size_t len, const struct hash *hash);

/** chunk_builder_finish(b, id, len): the whole container (at least one block), lent until reset or free; *id its identity. */
const uint8_t *chunk_builder_finish(struct chunk_builder *b, struct hash *id, size_t *len);

/**
 * chunk_header_write(blocks, count, out): the header of a container whose block table is ${blocks} (offset is ignored) into
 * ${out} (CHUNK_FIXED_LEN + count × CHUNK_ENTRY_LEN bytes); returns the chunk id.  For writers that stream the payload first.
 */
struct hash chunk_header_write(const struct chunk_block *blocks, uint32_t count, uint8_t *out);
