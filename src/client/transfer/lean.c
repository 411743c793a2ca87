/*
 * A list of which the server says only where the blocks lie.
 *
 * Hash and length of a block are 36 bytes, which for a file with 2 % changed is nearly 3 % of what has to come; yet this disk knows nearly all
 * of them.  A chunk never changes, so a slot of one that the older version's list names holds what that list says.  Of the others, which are
 * few and whose bytes have to come anyway, the header is read: its hash is the chunk's id.  When they are many, since most of the file is
 * new, or since the server has moved its blocks to other chunks, the whole list costs less.
 *
 * All of this may be wrong: a lie, another file's list in our database.  So whoever plans by it reads it twice, first to see that it makes the
 * content that is wanted (L1); where it does not, the server's whole list is asked for.
 *
 * As in local.c, of a list that may be longer than memory a window is kept that moves along with the wanted one.
 */
#include <assert.h>

#include "chunk/cut.h"
#include "client/transfer/pull_internal.h"

#define LEAN_FROM (16 * MIB)       /* files at least so large: of a smaller one the list costs no more than the requests saved it */
#define SEGMENT_BLOCKS 16384       /* 1 GiB of file */
#define SEGMENTS 2
#define SLOTS (2 * SEGMENT_BLOCKS)
#define AHEAD_BLOCKS 4096          /* of the older list, beyond the place in the wanted one: what is removed shifts it */
#define EXTENTS_MAX 32768          /* 36 GiB with 2 % of the blocks changed, here and there */
#define NEW_BLOCKS_MAX 32768       /* of chunks that the older list does not name: 2 GiB */
#define BLOCKS_PER_HEADER 512      /* of a list, 18 KiB, for each header that may be asked for in its place, 3 KiB */
#define HEADER_START (CHUNK_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * CHUNK_ENTRY_LEN) /* of a chunk that is full of large blocks */
#define PAGE_MEMORY (1 * MIB)      /* a page, packed and unpacked; a header */

/** A slot of a chunk, and what is in it. */
struct known {
	uint64_t key;
	struct block block; /* len 0: free */
};

struct segment {
	struct known *at; /* SLOTS of them */
	uint32_t count;
};

/** A chunk that the older list does not name. */
struct fresh {
	struct hash chunk;
	uint32_t from, count; /* of lean.blocks */
};

struct lean {
	const struct pull_file *f;

	/* the wanted list, as far as it has been asked for */
	struct extent *extents;
	size_t extent_count, extent_cap;
	uint64_t blocks_listed;
	bool listed;            /* all of it */
	struct fresh *fresh;
	size_t fresh_count, fresh_max;
	struct block *blocks;
	size_t block_count;

	/* the place of the reader in it, and the older list about there */
	size_t extent;
	uint32_t within;
	uint64_t index;
	uint64_t older;         /* blocks read */
	bool older_ended;
	struct segment segments[SEGMENTS];
	unsigned filling;
};

/* ---- the older list ------------------------------------------------------------------------------------------------------------- */

/* Two slots of one key would be a wrong block, and that a wrong content. */
static uint64_t
key_of(const struct hash *chunk, uint32_t slot)
{
	return get_u64le(chunk->b) + slot * 0x9e3779b97f4a7c15u;
}

/* Where the key is, or would be. */
static struct known *
segment_at(const struct segment *g, uint64_t key)
{
	uint32_t i = (uint32_t)(key >> 32) & (SLOTS - 1);

	while (g->at[i].block.len && g->at[i].key != key)
		i = (i + 1) & (SLOTS - 1);
	return &g->at[i];
}

static void
segment_next(struct lean *l)
{
	struct segment *g;

	l->filling = (l->filling + 1) % SEGMENTS;
	g = &l->segments[l->filling];
	if (g->count > 0)
		memset(g->at, 0, SLOTS * sizeof *g->at);
	g->count = 0;
}

static void
older_add(struct lean *l, const struct extent *x, uint32_t i, const struct block *b)
{
	struct segment *g = &l->segments[l->filling];
	uint64_t key = key_of(&x->chunk, x->first + i);
	struct known *k;

	if (!g->at)
		g->at = xcalloc(SLOTS, sizeof *g->at);
	k = segment_at(g, key);
	if (k->block.len == 0)
		g->count++;
	*k = (struct known){ .key = key, .block = *b };
	if (g->count == SEGMENT_BLOCKS)
		segment_next(l);
}

static bool
older_page(struct pull *p, struct lean *l)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	struct blocklist list;
	const uint8_t *packed;
	const uint32_t *weak;
	struct err err;
	uint32_t at = 0;
	size_t len;

	if (state_blocks_get(p->env->state, l->f->old_content, (uint32_t)(l->older / BLOCKLIST_PAGE_BLOCKS), a, &packed, &len, &weak, &err) ||
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &list, &err))
		return false;
	for (uint32_t x = 0; x < list.extent_count; x++)
		for (uint32_t i = 0; i < list.extents[x].count; i++)
			older_add(l, &list.extents[x], i, &list.blocks[at++]);
	l->older += list.block_count;
	return list.block_count == BLOCKLIST_PAGE_BLOCKS;
}

static void
older_to(struct pull *p, struct lean *l, uint64_t to)
{
	while (!l->older_ended && l->older < to)
		l->older_ended = !older_page(p, l);
}

/* ---- the wanted list ------------------------------------------------------------------------------------------------------------ */

static err_code
extents_add(struct lean *l, const struct blocklist *list, struct err *err)
{
	if (list->extent_count > EXTENTS_MAX - l->extent_count)
		return err_set(err, ERR_NOT_FOUND, "a list of more than %d extents", EXTENTS_MAX);
	if (l->extent_count + list->extent_count > l->extent_cap) {
		l->extent_cap = MIN(EXTENTS_MAX, 2 * (l->extent_count + list->extent_count));
		l->extents = xrealloc(l->extents, l->extent_cap * sizeof *l->extents);
	}
	memcpy(l->extents + l->extent_count, list->extents, list->extent_count * sizeof *list->extents);
	l->extent_count += list->extent_count;
	l->blocks_listed += list->block_count;
	return ERR_OK;
}

static err_code
extents_ask(struct pull *p, struct lean *l, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	const uint8_t *packed;
	struct blocklist list;
	bool more = false;
	size_t len;
	err_code rc = remote_extents(p->env->remote, &l->f->want->id, l->blocks_listed, a, &packed, &len, &more, err);

	if (rc == ERR_UNKNOWN_FIELD)
		p->no_lean = true;
	if (rc == ERR_OK)
		rc = blocklist_extents_unpack(packed, len, BLOCKLIST_ANSWER_MAX, a, &list, err);
	if (rc == ERR_OK)
		rc = extents_add(l, &list, err);
	l->listed = !more;
	return rc;
}

static err_code
extents_to(struct pull *p, struct lean *l, uint64_t to, struct err *err)
{
	err_code rc = ERR_OK;

	while (rc == ERR_OK && !l->listed && l->blocks_listed < to)
		rc = pull_stopped(p) ? err_set(err, ERR_CANCELLED, "stopped on request") : extents_ask(p, l, err);
	return rc;
}

/* The next blocks' extents, up to a page of them. */
static void
extents_next(struct lean *l, struct blocklist *out)
{
	while (out->block_count < PAGE_BLOCKS && l->extent < l->extent_count) {
		const struct extent *x = &l->extents[l->extent];
		uint32_t n = MIN(x->count - l->within, PAGE_BLOCKS - out->block_count);

		out->extents[out->extent_count++] = (struct extent){ .chunk = x->chunk, .first = x->first + l->within, .count = n };
		out->block_count += n;
		l->within += n;
		if (l->within == x->count) {
			l->extent++;
			l->within = 0;
		}
	}
}

/* ---- chunks that the older list does not name ----------------------------------------------------------------------------------- */

static const struct fresh *
fresh_find(const struct lean *l, const struct hash *chunk)
{
	for (size_t i = l->fresh_count; i-- > 0;)
		if (hash_eq(&l->fresh[i].chunk, chunk))
			return &l->fresh[i];
	return NULL;
}

static const struct block *
block_of(const struct lean *l, const struct hash *chunk, uint32_t slot)
{
	uint64_t key = key_of(chunk, slot);
	const struct fresh *c;

	for (unsigned i = 0; i < SEGMENTS; i++) {
		const struct known *k = l->segments[i].at ? segment_at(&l->segments[i], key) : NULL;

		if (k && k->block.len)
			return &k->block;
	}
	c = fresh_find(l, chunk);
	return c && slot < c->count ? &l->blocks[c->from + slot] : NULL;
}

static bool
is_known(const struct lean *l, const struct extent *x)
{
	for (uint32_t i = 0; i < x->count; i++)
		if (!block_of(l, &x->chunk, x->first + i))
			return false;
	return true;
}

static err_code
header_load(struct pull *p, const struct hash *chunk, struct arena *a, struct chunk_header *h, struct err *err)
{
	uint8_t *buf = arena_alloc(a, CHUNK_HEADER_MAX);
	size_t got = 0, total = 0, len = 0;
	err_code rc;

	if (!buf)
		return err_set(err, ERR_NO_MEM, "a chunk's header");
	rc = remote_chunk_start(p->env->remote, chunk, buf, HEADER_START, &got, &total, err);
	if (rc == ERR_OK)
		rc = chunk_header_len(buf, got, &len, err);
	if (rc == ERR_OK && len > got)
		rc = remote_chunk_get(p->env->remote, chunk, got, buf + got, len - got, err);
	if (rc == ERR_OK)
		rc = chunk_header_parse(buf, MAX(len, got), a, h, err);
	if (rc == ERR_OK && !hash_eq(&h->id, chunk))
		rc = err_set(err, ERR_HASH_MISMATCH, "a chunk's header is not the one that its id names");
	return rc;
}

static err_code
fresh_add(struct pull *p, struct lean *l, const struct hash *chunk, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	struct chunk_header h;
	err_code rc = header_load(p, chunk, a, &h, err);

	if (rc)
		return rc;
	if (h.count > NEW_BLOCKS_MAX - l->block_count)
		return err_set(err, ERR_NOT_FOUND, "more than %d new blocks", NEW_BLOCKS_MAX);
	l->fresh = xrealloc(l->fresh, (l->fresh_count + 1) * sizeof *l->fresh);
	l->fresh[l->fresh_count++] = (struct fresh){ .chunk = *chunk, .from = (uint32_t)l->block_count, .count = h.count };
	l->blocks = xrealloc(l->blocks, (l->block_count + h.count) * sizeof *l->blocks);
	for (uint32_t i = 0; i < h.count; i++)
		l->blocks[l->block_count++] = (struct block){ .hash = h.blocks[i].hash, .len = h.blocks[i].raw_len };
	return ERR_OK;
}

/* The chunks of the page's unknown extents, into ${out}, which has room for as many as may still be asked for; false: they are more. */
static bool
unknown_chunks(const struct lean *l, const struct blocklist *page, const struct hash **out, size_t *n)
{
	size_t max = l->fresh_max - l->fresh_count;

	*n = 0;
	for (uint32_t i = 0; i < page->extent_count; i++) {
		const struct hash *chunk = &page->extents[i].chunk;
		bool seen = false;

		if (is_known(l, &page->extents[i]))
			continue;
		for (size_t k = 0; k < *n && !seen; k++)
			seen = hash_eq(out[k], chunk);
		if (seen)
			continue;
		if (*n == max || fresh_find(l, chunk)) /* a slot that the chunk does not have */
			return false;
		out[(*n)++] = chunk;
	}
	return true;
}

static err_code
fresh_learn(struct pull *p, struct lean *l, const struct blocklist *page, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	const struct hash **chunks = arena_array(a, page->extent_count + 1, sizeof(const struct hash *));
	err_code rc = ERR_OK;
	size_t n;

	if (!chunks)
		return err_set(err, ERR_NO_MEM, "a page of blocks");
	if (!unknown_chunks(l, page, chunks, &n))
		return err_set(err, ERR_NOT_FOUND, "too much of the list is not known here");
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = pull_stopped(p) ? err_set(err, ERR_CANCELLED, "stopped on request") : fresh_add(p, l, chunks[i], err);
	return rc;
}

/* ---- pages ---------------------------------------------------------------------------------------------------------------------- */

static err_code
blocks_resolve(const struct lean *l, struct blocklist *page, struct err *err)
{
	struct block *out = page->blocks;

	for (uint32_t x = 0; x < page->extent_count; x++)
		for (uint32_t i = 0; i < page->extents[x].count; i++) {
			const struct block *b = block_of(l, &page->extents[x].chunk, page->extents[x].first + i);

			if (!b)
				return err_set(err, ERR_NOT_FOUND, "a chunk has no block %u", page->extents[x].first + i);
			*out++ = *b;
		}
	return ERR_OK;
}

err_code
lean_next(struct pull *p, struct lean *l, struct arena *a, struct blocklist *out, struct err *err)
{
	err_code rc;

	*out = (struct blocklist){ .extents = arena_array(a, PAGE_BLOCKS, sizeof *out->extents),
		.blocks = arena_array(a, PAGE_BLOCKS, sizeof *out->blocks) };
	if (!out->extents || !out->blocks)
		return err_set(err, ERR_NO_MEM, "a page of blocks");
	rc = extents_to(p, l, l->index + PAGE_BLOCKS, err);
	if (rc)
		return rc;
	extents_next(l, out);
	l->index += out->block_count;
	older_to(p, l, l->index + AHEAD_BLOCKS);
	rc = fresh_learn(p, l, out, err);
	return rc ? rc : blocks_resolve(l, out, err);
}

struct lean *
lean_open(struct pull *p, const struct pull_file *f)
{
	struct lean *l;

	if (p->no_lean || !f->old_path || f->want->size < (int64_t)LEAN_FROM)
		return NULL;
	l = xcalloc(1, sizeof *l);
	l->f = f;
	l->fresh_max = 1 + (size_t)(cut_block_count((uint64_t)f->want->size) / BLOCKS_PER_HEADER);
	older_to(p, l, 1);
	if (l->older > 0)
		return l;
	lean_free(l);
	return NULL;
}

void
lean_rewind(struct lean *l)
{
	l->extent = 0;
	l->within = 0;
	l->index = l->older = 0;
	l->older_ended = false;
	for (unsigned i = 0; i < SEGMENTS; i++)
		segment_next(l);
}

void
lean_free(struct lean *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < SEGMENTS; i++)
		free(l->segments[i].at);
	free(l->extents);
	free(l->fresh);
	free(l->blocks);
	free(l);
}
