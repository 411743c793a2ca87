/*
 * Marking.  A range of a project's chunks is held in memory, in the order of their ids, with a bit for each block; then all pages and all
 * leases are walked once, and what they name of the range is marked.  Memory is bounded by the size of the range: MARKS_MAX chunks
 * of 80 bytes and WORDS_MAX words are 28 MiB.  A range is 1 TiB of full chunks, so a project of 10 TB takes ten walks over 6 GB of
 * pages; one of 1 TB takes one.
 *
 * Readers are short, a few hundred rows each, so that SQLite's log can start over meanwhile; what changes between them is what
 * garbage.c (G2) is about.
 */
#include "base/fault.h"
#include "server/job/gc_internal.h"

#define MARKS_MAX (256 * 1024)
#define WORDS_MAX (1024 * 1024)
#define ROWS 1000
#define PAGES 256
#define LIST_PAGES 8 /* of a transfer: up to 300 KB each */

/* ---- pages ---------------------------------------------------------------------------------------------------------- */

uint32_t
block_raw_len(const uint8_t *blocks, uint32_t k)
{
	return get_u32le(blocks + k * (size_t)BLOCKLIST_BLOCK_LEN + sizeof(struct hash));
}

void
page_extents(const uint8_t *packed, size_t len, void (*fn)(void *ctx, const struct extent *e, const uint8_t *blocks), void *ctx)
{
	uint32_t n = get_u32le(packed + 12), at = 0;
	const uint8_t *blocks = packed + BLOCKLIST_FIXED_LEN + n * (size_t)BLOCKLIST_EXTENT_LEN;

	(void)len;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = packed + BLOCKLIST_FIXED_LEN + i * (size_t)BLOCKLIST_EXTENT_LEN;
		struct extent e;

		memcpy(&e.chunk, p, sizeof e.chunk);
		e.first = get_u32le(p + sizeof e.chunk);
		e.count = get_u32le(p + sizeof e.chunk + 4);
		fn(ctx, &e, blocks + at * (size_t)BLOCKLIST_BLOCK_LEN);
		at += e.count;
	}
}

/* ---- the range ------------------------------------------------------------------------------------------------------ */

static size_t
words_of(const struct chunk *c)
{
	return (c->block_count + 63) / 64;
}

static void
marks_add(struct marks *m, const struct chunk *c)
{
	if (m->n == m->cap) {
		m->cap = MAX((size_t)1024, m->cap * 2);
		m->a = xrealloc(m->a, m->cap * sizeof *m->a);
	}
	while (m->words_n + words_of(c) > m->words_cap) {
		m->words_cap = MAX((size_t)1024, m->words_cap * 2);
		m->words = xrealloc(m->words, m->words_cap * sizeof *m->words);
	}
	m->a[m->n++] = (struct mark){ .id = c->id,
		.used_at = c->used_at,
		.created_at = c->created_at,
		.stored_len = c->stored_len,
		.raw_len = (uint32_t)c->raw_len,
		.block_count = c->block_count,
		.words = (uint32_t)m->words_n };
	memset(m->words + m->words_n, 0, words_of(c) * sizeof *m->words);
	m->words_n += words_of(c);
}

static err_code
load_some(struct collection *c, const struct hash *after, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct marks *m = &c->marks;
	struct chunk *rows;
	err_code rc = meta_begin(c->meta, META_READ, &tx, err);

	if (!rc)
		rc = meta_chunk_list(tx, &c->project, after, ROWS, &rows, n, err);
	for (size_t i = 0; !rc && i < *n; i++)
		marks_add(m, &rows[i]);
	return rc;
}

err_code
marks_load(struct collection *c, const struct hash *after, struct err *err)
{
	struct marks *m = &c->marks;
	size_t n = ROWS;
	err_code rc = ERR_OK;

	m->n = m->words_n = 0;
	while (!rc && n == ROWS && m->n + ROWS <= MARKS_MAX && m->words_n + (size_t)ROWS * (CHUNK_BLOCKS_MAX / 64) <= WORDS_MAX) {
		rc = load_some(c, m->n ? &m->a[m->n - 1].id : after, &n, err);
		if (!rc)
			rc = rest(c, err);
	}
	m->more = n == ROWS;
	return rc;
}

void
marks_fini(struct marks *m)
{
	free(m->a);
	free(m->words);
}

static int
id_cmp(const void *key, const void *mark)
{
	return memcmp(key, &((const struct mark *)mark)->id, sizeof(struct hash));
}

struct mark *
marks_find(const struct marks *m, const struct hash *id)
{
	return m->n ? bsearch(id, m->a, m->n, sizeof *m->a, id_cmp) : NULL;
}

bool
mark_is_live(const struct marks *m, const struct mark *mark, uint32_t block)
{
	return m->words[mark->words + block / 64] >> (block % 64) & 1;
}

/* ---- what names them ------------------------------------------------------------------------------------------------ */

static void
mark_extent(void *ctx, const struct extent *e, const uint8_t *blocks)
{
	struct marks *m = ctx;
	struct mark *mark = marks_find(m, &e->chunk);

	for (uint32_t k = 0; mark && k < e->count && e->first + k < mark->block_count; k++) {
		uint32_t block = e->first + k;

		if (mark_is_live(m, mark, block))
			continue;
		m->words[mark->words + block / 64] |= UINT64_C(1) << (block % 64);
		mark->live_blocks++;
		mark->live_raw += block_raw_len(blocks, k);
	}
}

/* How far the walk over a project's pages has come. */
struct place {
	struct id list;
	int64_t page;
	bool skip;  /* of a dry run: nothing names the list, so what it names would not be kept */
	bool known; /* skip is of this list */
};

static err_code
is_skipped(struct collection *c, struct meta_tx *tx, struct place *at, const struct blocks_row *row, struct err *err)
{
	bool named = true;
	err_code rc = ERR_OK;

	if (at->known && id_eq(&at->list, &row->list))
		return ERR_OK;
	if (c->report->dry_run)
		rc = meta_list_named(tx, &c->project, &row->list, &named, err);
	at->skip = !named && !list_held(c->d, &c->project, &row->list);
	at->known = true;
	return rc;
}

static err_code
pages_some(struct collection *c, struct place *at, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct blocks_row *rows;
	int64_t until = reader_until();
	err_code rc = meta_begin(c->meta, META_READ, &tx, err);

	if (!rc)
		rc = meta_blocks_list(tx, &c->project, &at->list, at->page, PAGES, &rows, n, err);
	for (size_t i = 0; !rc && i < *n; i++) {
		if (c->report->dry_run && i > 0 && reader_over(until)) {
			*n = PAGES; /* the rest of them is the next reader's */
			break;
		}
		rc = is_skipped(c, tx, at, &rows[i], err);
		if (!rc && !at->skip)
			page_extents(rows[i].packed, rows[i].len, mark_extent, &c->marks);
		at->list = rows[i].list;
		at->page = rows[i].page;
	}
	return rc;
}

err_code
marks_pages(struct collection *c, struct err *err)
{
	struct place at = { .page = -1 };
	size_t n = PAGES;
	err_code rc = ERR_OK;

	while (!rc && n == PAGES) {
		rc = pages_some(c, &at, &n, err);
		if (!rc)
			rc = rest(c, err);
	}
	return rc;
}

static void
lease_extent(void *ctx, const struct extent *e, const uint8_t *blocks)
{
	struct mark *mark = marks_find(ctx, &e->chunk);

	(void)blocks;
	if (mark)
		mark->leased = true;
}

/* The chunks that have arrived, a transaction for each thousand. */
static err_code
lease_chunks(struct collection *c, const struct id *transfer, struct err *err)
{
	uint32_t from = 0;
	size_t n = ROWS;
	err_code rc = ERR_OK;

	while (!rc && n == ROWS) {
		AUTO(meta_abort) struct meta_tx *tx = NULL;
		struct transfer_chunk *rows;

		rc = meta_begin(c->meta, META_READ, &tx, err);
		if (!rc)
			rc = meta_transfer_chunk_list(tx, transfer, from, ROWS, &rows, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			lease_extent(&c->marks, &(struct extent){ .chunk = rows[i].chunk }, NULL);
			from = rows[i].n + 1;
		}
	}
	return rc ? rc : rest(c, err);
}

/* What its block list names of older chunks. */
static err_code
lease_list(struct collection *c, const struct id *transfer, struct err *err)
{
	int64_t after = -1;
	size_t n = LIST_PAGES;
	err_code rc = ERR_OK;

	while (!rc && n == LIST_PAGES) {
		AUTO(meta_abort) struct meta_tx *tx = NULL;
		struct transfer_page *rows;

		rc = meta_begin(c->meta, META_READ, &tx, err);
		if (!rc)
			rc = meta_transfer_blocks_list(tx, transfer, after, LIST_PAGES, &rows, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			page_extents(rows[i].packed, rows[i].len, lease_extent, &c->marks);
			after = rows[i].first;
		}
	}
	return rc ? rc : rest(c, err);
}

static err_code
open_transfers(struct collection *c, const struct id *after, struct id ids[ROWS], size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct id *rows;
	err_code rc = meta_begin(c->meta, META_READ, &tx, err);

	*n = 0;
	if (!rc)
		rc = meta_transfer_open_list(tx, &c->project, after, ROWS, &rows, n, err);
	if (!rc && *n > 0)
		memcpy(ids, rows, *n * sizeof *ids);
	return rc;
}

err_code
marks_leases(struct collection *c, struct err *err)
{
	AUTO(freep) struct id *ids = xcalloc(ROWS, sizeof *ids);
	struct id after;
	size_t n = ROWS;
	err_code rc = ERR_OK;

	if (FAULT("job.gc_ignores_leases")) /* M13 */
		return ERR_OK;
	for (bool first = true; !rc && n == ROWS; first = false) {
		rc = open_transfers(c, first ? NULL : &after, ids, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			rc = lease_chunks(c, &ids[i], err);
			if (!rc)
				rc = lease_list(c, &ids[i], err);
			after = ids[i];
		}
	}
	return rc;
}
