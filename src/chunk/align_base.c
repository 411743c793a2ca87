/*
 * The base: an array of blocks in the order in which they came, and over it a table by weak sum: buckets of chained entries, half as many
 * buckets as there is room for entries, and a filter of 32 bits for each.  The sum is well mixed, so its first bits are the bucket.
 *
 * Memory a block, with the array between half full and full: 44 + (2 … 4 for buckets) + (4 … 8 for the filter).  Room that is not used yet
 * is not touched.
 *
 * B1  A chain is at most ALIGN_CHAIN_MAX long: a block that finds its bucket full stays out of the table, and is found only where it is expected.  When the
 *     table grows, every block is put in again, in order, so what is in depends on the blocks alone.
 * B2  No two entries of the table have the same length and hash and sum: a million equal blocks are one entry.
 */
#include "chunk/align_internal.h"

#include <assert.h>

#define CAP_MIN 64 /* entries; a power of two, as every cap is */

static_assert(sizeof(struct align_entry) == 44, "what a block costs");
static_assert(ALIGN_BASE_BLOCKS_MAX <= UINT32_C(1) << 31, "a cap is a power of two and fits");

struct align_base *
align_base_new(void)
{
	struct align_base *b = xcalloc(1, sizeof *b);

	b->max = ALIGN_BASE_BLOCKS_MAX;
	return b;
}

void
align_base_free(struct align_base *b)
{
	if (!b)
		return;
	free(b->entries);
	free(b->buckets);
	free(b->filter.words);
	free(b);
}

void
align_base_freep(struct align_base **b)
{
	align_base_free(*b);
}

static void
mark(struct align_base *b, uint32_t weak)
{
	*align_filter_word(&b->filter, weak) |= UINT64_C(1) << (weak & 63) | UINT64_C(1) << (weak >> 6 & 63);
	b->full++;
}

/* Put entry ${i} into the table (B1, B2). */
static void
enter(struct align_base *b, uint32_t i)
{
	struct align_entry *e = &b->entries[i];
	uint32_t *head;
	unsigned walked = 0;

	e->next = ALIGN_NONE;
	if (!e->known)
		return;
	head = align_base_bucket(b, e->weak);
	for (uint32_t k = *head; k != ALIGN_NONE; k = b->entries[k].next) {
		const struct align_entry *other = &b->entries[k];

		if (++walked == ALIGN_CHAIN_MAX)
			return;
		if (other->weak == e->weak && other->len == e->len && hash_eq(&other->hash, &e->hash))
			return;
	}
	e->next = *head;
	*head = i;
	if (e->len == BLOCK_LEN_MAX)
		mark(b, e->weak);
}

static void
grow(struct align_base *b)
{
	size_t buckets, words;

	b->cap = b->cap ? 2 * b->cap : CAP_MIN;
	b->full = 0;
	b->entries = xrealloc(b->entries, (size_t)b->cap * sizeof *b->entries);
	free(b->buckets);
	free(b->filter.words);
	buckets = b->cap / 2;
	words = b->cap / 2;
	b->shift = 32 - (unsigned)__builtin_ctzll(buckets);
	b->filter.shift = 32 - (unsigned)__builtin_ctzll(words);
	b->buckets = xmalloc(buckets * sizeof *b->buckets);
	memset(b->buckets, 0xff, buckets * sizeof *b->buckets); /* ALIGN_NONE */
	b->filter.words = xcalloc(words, sizeof *b->filter.words);
	for (uint32_t i = 0; i < b->count; i++)
		enter(b, i);
}

void
align_base_add(struct align_base *b, const struct block *blocks, const uint32_t *weak, uint32_t count)
{
	for (uint32_t k = 0; k < count && b->count < b->max; k++) {
		struct align_entry *e;

		assert(blocks[k].len > 0 && blocks[k].len <= BLOCK_LEN_MAX);
		if (b->count == b->cap)
			grow(b);
		e = &b->entries[b->count];
		e->hash = blocks[k].hash;
		e->len = blocks[k].len & INT32_MAX;
		e->known = weak != NULL;
		e->weak = weak ? weak[k] : 0;
		enter(b, b->count++);
	}
}

uint32_t
align_base_first(const struct align_base *b, uint32_t weak, uint32_t len)
{
	uint32_t i;

	if (b->count == 0)
		return ALIGN_NONE;
	for (i = *align_base_bucket(b, weak); i != ALIGN_NONE; i = b->entries[i].next)
		if (b->entries[i].weak == weak && b->entries[i].len == len)
			break;
	return i;
}

uint32_t
align_base_find(const struct align_base *b, uint32_t weak, uint32_t len, const struct hash *hash)
{
	uint32_t i = align_base_first(b, weak, len);

	for (; i != ALIGN_NONE; i = b->entries[i].next)
		if (b->entries[i].weak == weak && b->entries[i].len == len && hash_eq(&b->entries[i].hash, hash))
			break;
	return i;
}
