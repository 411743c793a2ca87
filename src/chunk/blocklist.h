#pragma once
/**
 * What a version is made of: blocks in order, and extents that say where they are stored.  The packed page (docs/format/
 * blocklist.md) is one format for three places: a row of file_blocks, PUT …/blocks, GET …/blocks.
 *
 *   "DRAYBLK1" · u32 block_count · u32 extent_count · extents × { chunk id[32] · u32 first · u32 count } ·
 *   blocks × { sha256[32] · u32 raw_len }
 *
 * Little-endian.  The counts of the extents add up to block_count; block k of the page is the k-th slot they name.
 *
 * For a reader who knows most of the blocks there is a page of extents only, with the magic "DRAYEXT1", that ends after them.
 */

#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"

/** ${count} blocks of chunk ${chunk}, from block ${first} on. */
struct extent {
	struct hash chunk;
	uint32_t first;
	uint32_t count;
};

struct block {
	struct hash hash;
	uint32_t len; /* raw bytes, 1..BLOCK_LEN_MAX */
};

/** A run of a block list; arrays are lent or live in an arena. */
struct blocklist {
	struct extent *extents;
	uint32_t extent_count;
	struct block *blocks;
	uint32_t block_count;
};

#define BLOCKLIST_FIXED_LEN 16
#define BLOCKLIST_EXTENT_LEN 40
#define BLOCKLIST_BLOCK_LEN 36

size_t blocklist_packed_len(const struct blocklist *l);

/** blocklist_pack(l, out): ${out} holds blocklist_packed_len(l) bytes. */
void blocklist_pack(const struct blocklist *l, uint8_t *out);

/**
 * blocklist_unpack(p, len, blocks_max, arena, out, err): the whole of ${p} must be one page of 1..blocks_max blocks.
 * Errors     BLOCKLIST_INVALID.   Ownership  arrays live in ${arena}.
 */
err_code blocklist_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out,
    struct err *err);

/**
 * The same without the blocks: blocklist_extents_len, blocklist_extents_pack; blocklist_extents_unpack leaves out->blocks NULL.
 * blocklist_either_unpack takes both kinds of page.
 */
size_t blocklist_extents_len(const struct blocklist *l);
void blocklist_extents_pack(const struct blocklist *l, uint8_t *out);
err_code blocklist_extents_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out,
    struct err *err);
err_code blocklist_either_unpack(const uint8_t *p, size_t len, uint32_t blocks_max, struct arena *arena, struct blocklist *out,
    struct err *err);

/** blocklist_bytes(l): sum of the block lengths. */
uint64_t blocklist_bytes(const struct blocklist *l);

/* ---- content hash: SHA-256 over the list of (block hash, u32 length); of no blocks for an empty file ---------------- */

struct content_hash {
	struct sha sha;
};
void content_hash_init(struct content_hash *c);
void content_hash_add(struct content_hash *c, const struct hash *block, uint32_t len);
struct hash content_hash_final(struct content_hash *c); /* also releases */
void content_hash_fini(struct content_hash *c);          /* only when abandoned */

/** content_hash_empty(): of an empty file.  content_hash_link(target): of a symlink, SHA-256 of its target. */
struct hash content_hash_empty(void);
struct hash content_hash_link(const char *target, size_t len);
