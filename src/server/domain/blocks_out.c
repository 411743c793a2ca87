/*
 * The header of the container comes first and lists every block, so all chunk headers are looked at before the answer begins; of the
 * payload only where it lies is kept: runs of stored bytes that follow each other in a chunk.  Blocks that were named one by one
 * but lie side by side are one run, and each run is read once, in order: the cost is that of the blocks named, however they are
 * spread.
 */
#include "server/domain/blocks.h"

#include "base/log.h"
#include "server/domain/domain_internal.h"

/* Stored bytes of one chunk. */
struct run {
	struct hash chunk;
	uint32_t off, len;
};

struct blocks_out {
	struct domain *d;
	struct id project;
	uint8_t header[CHUNK_FIXED_LEN + BLOCKS_FETCH_MAX * CHUNK_ENTRY_LEN];
	uint32_t header_len;
	struct run runs[BLOCKS_FETCH_MAX];
	uint32_t run_count;
	uint32_t given;    /* bytes of the header */
	uint32_t at, done; /* the run at hand, and how much of it has been given */
};

/* What is asked for while a container is being made. */
struct gather {
	struct blocks_out *out;
	const struct header *header; /* of the chunk at hand */
	struct chunk_block blocks[BLOCKS_FETCH_MAX];
	uint32_t count, raw, stored;
};

/* ---- what may be asked for ------------------------------------------------------------------------------------------ */

static err_code
count_check(const struct extent *extents, uint32_t n, struct err *err)
{
	uint32_t blocks = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (extents[i].count < 1)
			return err_set(err, ERR_FIELD_RANGE, "extents[%u].count: at least 1", (unsigned)i);
		if (extents[i].count > BLOCKS_FETCH_MAX - blocks)
			return err_set(err, ERR_FIELD_RANGE, "extents: at most %d blocks in one request", BLOCKS_FETCH_MAX);
		blocks += extents[i].count;
	}
	return blocks ? ERR_OK : err_set(err, ERR_FIELD_RANGE, "extents: at least one block");
}

/* The rows say whose a chunk is (I12) and how many blocks it has; a chunk of somebody else's is as absent as one that never was. */
static err_code
rows_check(struct domain *d, const struct id *project, const struct extent *extents, uint32_t n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct chunk row = { .block_count = 0 };
	err_code rc = meta_begin(d->meta, META_READ, &tx, err);

	for (uint32_t i = 0; !rc && i < n; i++) {
		const struct extent *e = &extents[i];

		if (i == 0 || !hash_eq(&e->chunk, &extents[i - 1].chunk))
			rc = meta_chunk_get(tx, project, &e->chunk, &row, err);
		if (rc == ERR_NOT_FOUND || (!rc && (e->first > row.block_count || e->count > row.block_count - e->first)))
			return err_set(err, ERR_NOT_FOUND, "extents[%u]: there are no such blocks here", (unsigned)i);
	}
	return rc;
}

/* ---- where it lies -------------------------------------------------------------------------------------------------- */

static err_code
damaged(const struct hash *chunk, const char *what, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];

	log_event(LOG_ERROR, "a stored chunk is damaged", LOG_STR("chunk", hash_hex(chunk, hex)), LOG_STR("part", what));
	return err_set(err, ERR_CORRUPT, "chunk %s: %s", hex, what);
}

/* Makes the chunk of ${e} the one at hand: its header is what its name says, and all of it is there. */
static err_code
chunk_take(struct gather *g, const struct extent *e, struct err *err)
{
	struct store_key key = { .project = g->out->project, .hash = e->chunk };
	uint64_t size = 0;
	err_code rc;

	header_release(g->out->d, &g->header);
	rc = header_get(g->out->d, &key, &g->header, err);
	if (!rc)
		rc = store_size(g->out->d->store, &key, &size, err);
	if (rc == ERR_NOT_FOUND)
		return damaged(&e->chunk, "it is missing from the store", err);
	if (rc)
		return rc;
	if (size != g->header->h.total_len)
		return damaged(&e->chunk, "it has another length than its header says", err);
	return ERR_OK;
}

static void
run_add(struct blocks_out *b, const struct hash *chunk, const struct chunk_block *block)
{
	struct run *last = b->run_count ? &b->runs[b->run_count - 1] : NULL;

	if (last && hash_eq(&last->chunk, chunk) && last->off + last->len == block->offset)
		last->len += block->stored_len;
	else
		b->runs[b->run_count++] = (struct run){ .chunk = *chunk, .off = block->offset, .len = block->stored_len };
}

static err_code
gather_extent(struct gather *g, const struct extent *e, struct err *err)
{
	err_code rc = ERR_OK;

	if (!g->header || !hash_eq(&g->header->h.id, &e->chunk))
		rc = chunk_take(g, e, err);
	if (rc)
		return rc;
	if (e->first + e->count > g->header->h.count)
		return damaged(&e->chunk, "it has fewer blocks than were registered", err);
	for (uint32_t k = 0; k < e->count; k++) {
		const struct chunk_block *block = &g->header->h.blocks[e->first + k];

		g->raw += block->raw_len;
		if (g->raw > BLOCKS_FETCH_RAW_MAX)
			return err_set(err, ERR_FIELD_RANGE, "extents: at most %llu bytes of blocks in one request",
			    (unsigned long long)BLOCKS_FETCH_RAW_MAX);
		g->stored += block->stored_len;
		g->blocks[g->count++] = *block;
		run_add(g->out, &e->chunk, block);
	}
	return ERR_OK;
}

static err_code
gather_all(struct blocks_out *b, const struct extent *extents, uint32_t n, uint64_t *len, struct err *err)
{
	AUTO(freep) struct gather *g = xcalloc(1, sizeof *g); /* 50 KiB: too much for a worker's stack among others */
	err_code rc = ERR_OK;

	g->out = b;
	for (uint32_t i = 0; !rc && i < n; i++)
		rc = gather_extent(g, &extents[i], err);
	header_release(b->d, &g->header);
	if (rc)
		return rc;
	chunk_header_write(g->blocks, g->count, b->header);
	b->header_len = CHUNK_FIXED_LEN + g->count * CHUNK_ENTRY_LEN;
	*len = (uint64_t)b->header_len + g->stored;
	return ERR_OK;
}

err_code
blocks_open(struct domain *d, const struct id *project, const struct extent *extents, uint32_t n, struct blocks_out **out,
    uint64_t *len, struct err *err)
{
	struct blocks_out *b;
	err_code rc = count_check(extents, n, err);

	if (!rc)
		rc = rows_check(d, project, extents, n, err);
	if (rc)
		return rc;
	b = xcalloc(1, sizeof *b);
	b->d = d;
	b->project = *project;
	rc = gather_all(b, extents, n, len, err);
	if (rc) {
		blocks_close(b);
		return rc;
	}
	*out = b;
	return ERR_OK;
}

void
blocks_close(struct blocks_out *b)
{
	free(b);
}

/* ---- giving it out -------------------------------------------------------------------------------------------------- */

static err_code
run_give(struct blocks_out *b, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	const struct run *r = &b->runs[b->at];
	struct store_key key = { .project = b->project, .hash = r->chunk };
	size_t want = MIN(cap, (size_t)(r->len - b->done));
	err_code rc = store_read(b->d->store, &key, r->off + b->done, buf, want, got, err);

	if (rc == ERR_NOT_FOUND || (!rc && *got < want))
		return damaged(&r->chunk, "it is missing or cut short", err);
	if (rc)
		return rc;
	b->done += (uint32_t)want;
	if (b->done == r->len) {
		b->at++;
		b->done = 0;
	}
	return ERR_OK;
}

err_code
blocks_read(struct blocks_out *b, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	size_t n = MIN(cap, (size_t)(b->header_len - b->given));

	memcpy(buf, b->header + b->given, n);
	b->given += (uint32_t)n;
	*got = n;
	while (*got < cap && b->at < b->run_count) {
		size_t piece = 0;
		err_code rc = run_give(b, buf + *got, cap - *got, &piece, err);

		if (rc)
			return rc;
		*got += piece;
	}
	return ERR_OK;
}
