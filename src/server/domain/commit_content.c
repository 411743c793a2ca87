/*
 * From what an operation says of its bytes to verified pages.  The server recomputes the content hash from the headers of the
 * chunks, which it has verified when they came: so a version never claims bytes that it does not have (I3), and no byte of content
 * is read for it.
 *
 * Chunks that are not here are collected over the whole batch, so that one answer names them all; once one is missing, only the
 * looking for others goes on.
 */
#include <assert.h>

#include "server/domain/commit_internal.h"

#define PAGE_LEN_MAX (BLOCKLIST_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * (BLOCKLIST_EXTENT_LEN + BLOCKLIST_BLOCK_LEN))
#define LIST_ARENA_MAX (2 * MIB) /* an uploaded page: 8,192 blocks of 36 bytes and as many extents of 40 */

/* Half a SHA-256: enough that a second walk cannot be made to give another page. */
struct tag {
	uint8_t b[16];
};

/* One walk over an operation's blocks. */
struct walk {
	struct commit_run *run;
	const struct op *op;
	struct content *ct;
	struct content_hash hash;
	uint64_t bytes;
	const struct header *header; /* of the chunk at hand */
	struct blocklist page;       /* being filled */
	uint32_t page_no;
	struct block blocks[BLOCKLIST_PAGE_BLOCKS];
	struct extent extents[BLOCKLIST_PAGE_BLOCKS];
	struct tag *tags;            /* of each page, for the second walk */
	size_t tags_cap;
	bool overflow;               /* more pages than may be held */
	struct ahead *ahead;         /* the second walk: where they go */
};

static bool
blind(const struct walk *w)
{
	return map_count(w->run->missing) > 0;
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static struct tag
tag_of(const uint8_t *packed, size_t len)
{
	struct hash h = hash_of(packed, len);
	struct tag t;

	memcpy(t.b, h.b, sizeof t.b);
	return t;
}

static err_code
page_verified(struct walk *w, const uint8_t *packed, size_t len, struct err *err)
{
	if (w->page_no >= w->tags_cap) {
		w->tags_cap = MAX(64, w->tags_cap * 2);
		w->tags = xrealloc(w->tags, w->tags_cap * sizeof w->tags[0]);
	}
	w->tags[w->page_no] = tag_of(packed, len);
	if (w->page_no > 0 && !w->overflow && w->run->held + len > PAGES_HELD_MAX) {
		w->overflow = true;
		pages_drop(w->run, w->ct);
	}
	return w->page_no > 0 && w->overflow ? ERR_OK : page_add(w->run, w->ct, w->page_no, packed, len, err);
}

static err_code
page_again(struct walk *w, const uint8_t *packed, size_t len, struct err *err)
{
	struct tag t = tag_of(packed, len);

	if (w->page_no >= w->tags_cap || memcmp(&t, &w->tags[w->page_no], sizeof t) != 0)
		return err_set(err, ERR_BLOCKS_MISSING, "the transfer's block list was changed during the commit");
	return w->page_no == 0 ? ERR_OK : ahead_add(w->ahead, w->page_no, packed, len, err);
}

static err_code
page_end(struct walk *w, struct err *err)
{
	uint8_t packed[PAGE_LEN_MAX];
	size_t len = blocklist_packed_len(&w->page);
	err_code rc;

	if (w->page.block_count == 0)
		return ERR_OK;
	assert(len <= sizeof packed);
	blocklist_pack(&w->page, packed);
	rc = w->ahead ? page_again(w, packed, len, err) : page_verified(w, packed, len, err);
	w->page.block_count = w->page.extent_count = 0;
	w->page_no++;
	return rc;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static err_code
count_bytes(struct walk *w, uint32_t len, struct err *err)
{
	w->bytes += len;
	if (w->bytes > (uint64_t)w->op->size)
		return err_set(err, ERR_SIZE_MISMATCH, "the blocks are more than the declared %jd bytes", (intmax_t)w->op->size);
	return ERR_OK;
}

/* Block ${index} of the chunk at hand is the next one of the content. */
static err_code
walk_block(struct walk *w, uint32_t index, struct err *err)
{
	const struct chunk_block *b = &w->header->h.blocks[index];
	const struct hash *chunk = &w->header->h.id;
	struct extent *e = w->page.extent_count ? &w->extents[w->page.extent_count - 1] : NULL;
	err_code rc = count_bytes(w, b->raw_len, err);

	if (rc)
		return rc;
	content_hash_add(&w->hash, &b->hash, b->raw_len);
	if (e && hash_eq(&e->chunk, chunk) && e->first + e->count == index)
		e->count++;
	else
		w->extents[w->page.extent_count++] = (struct extent){ .chunk = *chunk, .first = index, .count = 1 };
	w->blocks[w->page.block_count++] = (struct block){ .hash = b->hash, .len = b->raw_len };
	return w->page.block_count == BLOCKLIST_PAGE_BLOCKS ? page_end(w, err) : ERR_OK;
}

/* Makes ${chunk} the chunk at hand; one that the store does not have is missing, whatever its row says: sending it again heals. */
static err_code
walk_chunk(struct walk *w, const struct extent *e, struct err *err)
{
	struct store_key key = { .project = *w->run->project, .hash = e->chunk };
	err_code rc = ERR_OK;

	if (!w->header || !hash_eq(&w->header->h.id, &e->chunk)) {
		header_release(w->run->d, &w->header);
		rc = header_get(w->run->d, &key, &w->header, err);
	}
	if (rc == ERR_NOT_FOUND) {
		chunk_missing(w->run, &e->chunk);
		return ERR_OK;
	}
	if (!rc && e->first + e->count > w->header->h.count)
		return err_set(err, ERR_BLOCKLIST_INVALID, "an extent ends at block %u of a chunk of %u",
		    (unsigned)(e->first + e->count), (unsigned)w->header->h.count);
	return rc;
}

/* ---- sources ----------------------------------------------------------------------------------------------------- */

/* What its blocks are, their chunk says. */
static err_code
walk_extent(struct walk *w, const struct extent *e, struct err *err)
{
	err_code rc = blind(w) ? ERR_OK : walk_chunk(w, e, err);

	for (uint32_t k = 0; !rc && !blind(w) && k < e->count; k++)
		rc = walk_block(w, e->first + k, err);
	return rc;
}

static err_code
walk_extents(struct walk *w, struct err *err)
{
	err_code rc = ERR_OK;

	for (uint32_t i = 0; !rc && i < w->op->extent_count && !blind(w); i++)
		rc = walk_extent(w, &w->op->extents[i], err);
	return rc;
}

/* The transfer's page that begins with block ${first}, and whether its chunks have rows, of one instant. */
static err_code
transfer_page(struct walk *w, uint64_t first, struct arena *a, struct blocklist *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct transfer t;
	struct chunk row;
	const uint8_t *packed;
	size_t len;
	err_code rc;

	rc = meta_begin(w->run->d->meta, META_READ, &tx, err);
	if (!rc)
		rc = transfer_open_mine(tx, w->run->project, &w->run->c->device, &w->op->transfer, &t, err);
	if (rc)
		return rc;
	rc = meta_transfer_blocks_get(tx, &w->op->transfer, first, &packed, &len, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_BLOCKS_MISSING, "the transfer's block list lacks the page from block %ju", (uintmax_t)first);
	if (!rc)
		rc = blocklist_either_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, out, err);
	for (uint32_t i = 0; !rc && i < out->extent_count; i++) {
		rc = meta_chunk_get(tx, w->run->project, &out->extents[i].chunk, &row, err);
		if (rc == ERR_NOT_FOUND) {
			chunk_missing(w->run, &out->extents[i].chunk);
			rc = ERR_OK;
		}
	}
	return rc;
}

/* What the list says of a block must be what its chunk says. */
static err_code
walk_listed(struct walk *w, const struct extent *e, const struct block *listed, struct err *err)
{
	err_code rc = blind(w) ? ERR_OK : walk_chunk(w, e, err);

	for (uint32_t k = 0; !rc && k < e->count; k++) {
		const struct chunk_block *b;

		if (blind(w)) {
			rc = count_bytes(w, listed[k].len, err);
			continue;
		}
		b = &w->header->h.blocks[e->first + k];
		if (!hash_eq(&b->hash, &listed[k].hash) || b->raw_len != listed[k].len)
			return err_set(err, ERR_FILE_HASH_MISMATCH, "the block list and its chunks disagree");
		rc = walk_block(w, e->first + k, err);
	}
	return rc;
}

static err_code
walk_transfer(struct walk *w, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(LIST_ARENA_MAX);
	uint64_t first = 0;
	struct blocklist list;
	err_code rc = ERR_OK;

	while (!rc && w->bytes < (uint64_t)w->op->size) {
		uint32_t at = 0;

		arena_reset(a);
		rc = transfer_page(w, first, a, &list, err);
		if (rc == ERR_BLOCKS_MISSING && blind(w))
			return ERR_OK; /* a page without lengths may have been the last: what chunks are missing is known */
		for (uint32_t i = 0; !rc && i < list.extent_count; i++) {
			const struct extent *e = &list.extents[i];

			rc = list.blocks ? walk_listed(w, e, &list.blocks[at], err) : walk_extent(w, e, err);
			at += e->count;
		}
		first += at;
	}
	return rc;
}

/* ---- one operation ----------------------------------------------------------------------------------------------- */

static err_code
walk_all(struct walk *w, struct err *err)
{
	const struct op *op = w->op;
	struct hash hash;
	err_code rc;

	w->bytes = 0;
	w->page_no = 0;
	w->page = (struct blocklist){ .extents = w->extents, .blocks = w->blocks };
	content_hash_init(&w->hash);
	rc = op->source == CONTENT_TRANSFER ? walk_transfer(w, err) : walk_extents(w, err);
	header_release(w->run->d, &w->header);
	hash = content_hash_final(&w->hash);
	if (rc || blind(w))
		return rc;
	if (w->bytes != (uint64_t)op->size)
		return err_set(err, ERR_SIZE_MISMATCH, "the blocks are %ju bytes, not the declared %jd", (uintmax_t)w->bytes,
		    (intmax_t)op->size);
	if (!hash_eq(&hash, &op->content))
		return err_set(err, ERR_FILE_HASH_MISMATCH, "the blocks do not make the declared content");
	return page_end(w, err);
}

static err_code
write_ahead(struct walk *w, struct err *err)
{
	struct ahead ah = { .run = w->run, .list = &w->ct->list };
	err_code rc;

	w->ct->held = (struct held){ .project = *w->run->project, .list = w->ct->list };
	list_hold(w->run->d, &w->ct->held);
	w->ahead = &ah;
	rc = walk_all(w, err);
	if (!rc && !blind(w))
		rc = ahead_flush(&ah, err);
	ahead_fini(&ah);
	return rc;
}

static err_code
walk_op(struct commit_run *run, const struct op *op, struct content *ct, struct err *err)
{
	AUTO(freep) struct walk *w = xcalloc(1, sizeof *w); /* 7 KiB: too much for a worker's stack among others */
	err_code rc;

	w->run = run;
	w->op = op;
	w->ct = ct;
	if (op->size > 0)
		ct->list = id_new();
	rc = walk_all(w, err);
	if (!rc && w->overflow && !blind(w))
		rc = write_ahead(w, err);
	free(w->tags);
	return rc;
}

static err_code
content_of(struct commit_run *run, const struct op *op, struct content *ct, struct err *err)
{
	ct->rest_end = &ct->rest;
	ct->size = op->size;
	ct->hash = op->content;
	if (op->kind != OP_PUT)
		return ERR_OK;
	if (op->entry != KIND_FILE) {
		ct->size = 0;
		ct->hash = op->entry == KIND_LINK ? content_hash_link(op->target, strlen(op->target)) : (struct hash){ 0 };
		return ERR_OK;
	}
	if (op->source == CONTENT_NONE)
		ct->keep = hash_is_zero(&op->content);
	if (op->source == CONTENT_EXTENTS || op->source == CONTENT_TRANSFER)
		return walk_op(run, op, ct, err);
	return ERR_OK;
}

/* Which chunks that operations name by extents have no row, for all of them in one transaction. */
static err_code
extent_rows(struct commit_run *run, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	static char seen;
	struct chunk row;
	err_code rc = meta_begin(run->d->meta, META_READ, &tx, err);

	for (size_t i = 0; !rc && i < run->c->n; i++) {
		const struct op *op = &run->c->ops[i];

		if (op->kind != OP_PUT || op->entry != KIND_FILE || op->source != CONTENT_EXTENTS)
			continue;
		for (uint32_t k = 0; !rc && k < op->extent_count; k++) {
			const struct hash *id = &op->extents[k].chunk;

			if (map_put(run->rows, id, sizeof *id, &seen))
				continue;
			rc = meta_chunk_get(tx, run->project, id, &row, err);
			if (rc == ERR_NOT_FOUND) {
				chunk_missing(run, id);
				rc = ERR_OK;
			}
		}
	}
	return rc;
}

err_code
commit_contents(struct commit_run *run, struct err *err)
{
	err_code rc = extent_rows(run, err);

	for (size_t i = 0; !rc && i < run->c->n; i++) {
		rc = content_of(run, &run->c->ops[i], &run->contents[i], err);
		if (rc)
			return err_wrap(err, "operations[%zu]", i);
	}
	return rc;
}
