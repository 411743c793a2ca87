/*
 * The block list of an item: as it grows, as the server is told of it, as the state keeps it.
 */
#include <assert.h>

#include "client/transfer/push_internal.h"

#define PAGE_LEN_MAX (BLOCKLIST_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * (BLOCKLIST_EXTENT_LEN + BLOCKLIST_BLOCK_LEN))
#define KNOWN_MEMORY (64 * KIB) /* one page, unpacked */

void
item_list_reset(struct item *it)
{
	it->block_count = it->extent_count = 0;
	it->list_first = it->list_sent = 0;
	it->fresh = it->kept = 0;
	it->known = it->named = it->has_from = false;
	it->generation++;
}

struct wire_extent *
item_add_extent(struct item *it, const struct hash *chunk, uint32_t first)
{
	if (it->extent_count == it->extent_cap) {
		it->extent_cap = MAX(2, 2 * it->extent_cap);
		it->extents = xrealloc(it->extents, it->extent_cap * sizeof *it->extents);
	}
	it->extents[it->extent_count] = (struct wire_extent){ .chunk = *chunk, .first = first };
	return &it->extents[it->extent_count++];
}

void
item_add_block(struct item *it, const struct block *b, uint32_t weak)
{
	if (it->block_count == it->block_cap) {
		it->block_cap = MAX(4, 2 * it->block_cap);
		it->blocks = xrealloc(it->blocks, it->block_cap * sizeof *it->blocks);
		it->weak = xrealloc(it->weak, it->block_cap * sizeof *it->weak);
	}
	it->weak[it->block_count] = weak;
	it->blocks[it->block_count++] = *b;
}

/* ---- what the server has already ----------------------------------------------------------------------------------------------- */

/* Our own database, and yet: bytes that say where other bytes are get checked before anything is built on them. */
static bool
list_is(const struct blocklist *l, const struct entry *e)
{
	struct content_hash c;
	struct hash content;

	content_hash_init(&c);
	for (uint32_t i = 0; i < l->block_count; i++)
		content_hash_add(&c, &l->blocks[i].hash, l->blocks[i].len);
	content = content_hash_final(&c);
	return blocklist_bytes(l) == (uint64_t)e->size && hash_eq(&content, &e->content);
}

/* By the list that the state has of it, when that is one page. */
static bool
known_by_list(struct push *p, struct item *it)
{
	AUTO(arena_freep) struct arena *a = NULL;
	struct blocklist l;
	const uint8_t *packed;
	const uint32_t *weak;
	struct err err;
	size_t len;

	if ((uint64_t)it->entry.size > SMALL_MAX || !list_worth(&it->entry))
		return false;
	a = arena_new(KNOWN_MEMORY);
	if (state_blocks_get(p->env->state, &it->entry.content, 0, a, &packed, &len, &weak, &err) ||
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &l, &err) || !list_is(&l, &it->entry))
		return false;
	item_list_reset(it);
	for (uint32_t i = 0; i < l.extent_count; i++)
		item_add_extent(it, &l.extents[i].chunk, l.extents[i].first)->count = l.extents[i].count;
	for (uint32_t i = 0; i < l.block_count; i++)
		item_add_block(it, &l.blocks[i], weak ? weak[i] : 0);
	it->known = true;
	return true;
}

/* By the name of a file that has it: costs a line of JSON however long its list is. */
static bool
known_by_name(struct push *p, struct item *it)
{
	AUTO(arena_freep) struct arena *a = NULL;
	struct entry other;
	struct err err;

	if (it->no_from)
		return false;
	a = arena_new(KNOWN_MEMORY);
	if (state_base_by_content(p->env->state, &it->entry.content, a, &other, &err) || other.size != it->entry.size)
		return false;
	item_list_reset(it);
	it->has_from = it->known = true;
	it->from_file = other.id;
	it->from_version = other.version;
	return true;
}

bool
item_known(struct push *p, struct item *it)
{
	/* The list may name chunks that are gone or were packed anew; the name cannot. */
	return (it->sends == 0 && known_by_list(p, it)) || known_by_name(p, it);
}

/* ---- pages ------------------------------------------------------------------------------------------------------------------------ */

/* Where a walk over a list stands. */
struct list_pos {
	size_t block, extent;
	uint32_t used; /* blocks of that extent that lie before */
};

/* The extents of the next ${count} blocks, into ${out}; returns how many. */
static uint32_t
cut_extents(const struct item *it, struct list_pos *pos, uint32_t count, struct extent *out)
{
	uint32_t n = 0;

	pos->block += count;
	while (count > 0) {
		const struct wire_extent *x = &it->extents[pos->extent];
		uint32_t take = MIN(count, x->count - pos->used);

		assert(pos->extent < it->extent_count); /* extents and blocks grow together */
		out[n++] = (struct extent){ .chunk = x->chunk, .first = x->first + pos->used, .count = take };
		pos->used += take;
		count -= take;
		if (pos->used == x->count) {
			pos->extent++;
			pos->used = 0;
		}
	}
	return n;
}

/* Forget the front of the list: the server has it, and it is too long to be kept. */
static void
drop_front(struct item *it, const struct list_pos *pos)
{
	assert(pos->used == 0); /* all of it was sent */
	it->block_count -= pos->block;
	it->extent_count -= pos->extent;
	memmove(it->blocks, it->blocks + pos->block, it->block_count * sizeof *it->blocks);
	memmove(it->extents, it->extents + pos->extent, it->extent_count * sizeof *it->extents);
	it->list_first += pos->block;
}

/* Without the blocks: the server knows those of its chunks, and holds the commit's hash of the content against them. */
static err_code
send_page(struct push *p, const struct item *it, struct list_pos *pos, uint32_t count, struct err *err)
{
	AUTO(freep) struct extent *extents = xmalloc(count * sizeof *extents);
	AUTO(freep) uint8_t *packed = NULL;
	struct blocklist l = { .extents = extents, .block_count = count };
	uint64_t first = it->list_first + pos->block;

	l.extent_count = cut_extents(it, pos, count, extents);
	packed = xmalloc(blocklist_extents_len(&l));
	blocklist_extents_pack(&l, packed);
	return upload_over(remote_transfer_blocks(p->env->remote, &it->transfer, first, packed, blocklist_extents_len(&l), err), err);
}

bool
item_page_full(const struct item *it)
{
	return it->block_count > 0 && (it->list_first + it->block_count) % BLOCKLIST_UPLOAD_MAX == 0;
}

err_code
item_list_send(struct push *p, struct item *it, struct err *err)
{
	struct list_pos pos = { 0 };
	struct extent one;

	/* To where the last page ended: an extent ends at the latest where a page does. */
	while (it->list_first + pos.block < it->list_sent)
		cut_extents(it, &pos, it->extents[pos.extent].count, &one);
	while (pos.block < it->block_count) {
		uint32_t count = (uint32_t)MIN(it->block_count - pos.block, BLOCKLIST_UPLOAD_MAX);
		err_code rc = send_page(p, it, &pos, count, err);

		if (rc)
			return rc;
		it->list_sent += count;
	}
	if (it->list_sent > LIST_KEEP_BLOCKS)
		drop_front(it, &pos);
	return ERR_OK;
}

err_code
item_list_keep(struct state *s, const struct item *it, struct err *err)
{
	struct extent extents[BLOCKLIST_PAGE_BLOCKS];
	uint8_t packed[PAGE_LEN_MAX];
	struct list_pos pos = { 0 };

	if (it->list_first > 0 || it->has_from || !list_worth(&it->entry))
		return ERR_OK; /* too long to be kept, or kept already: by the content that it shares, or of one block */
	for (uint32_t page = 0; pos.block < it->block_count; page++) {
		struct blocklist l = { .extents = extents, .blocks = it->blocks + pos.block };
		err_code rc;

		l.block_count = (uint32_t)MIN(it->block_count - pos.block, BLOCKLIST_PAGE_BLOCKS);
		l.extent_count = cut_extents(it, &pos, l.block_count, extents);
		blocklist_pack(&l, packed);
		rc = state_blocks_put(s, &it->entry.content, page, packed, blocklist_packed_len(&l),
		    it->weak + pos.block - l.block_count, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}
