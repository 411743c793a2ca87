/*
 * Compaction.  A chunk of whose bytes less than two thirds are still named is rewritten, so that a project stores at most 1.5 times
 * what is named (raw bytes are counted: they are in the block lists, so that no header is read for a chunk that stays).
 *
 *   K1  The live blocks of several such chunks are copied, stored bytes as they are and each verified, into new chunks, which are made
 *       durable and get their rows like any that is put (G5).
 *   K2  Only then are the pages that name the old places rewritten.  A content hash does not cover places, so versions stay what they
 *       are.  A block that was named since it was marked was not copied, and stays named where it is.
 *   K3  The old chunk is renewed in the transactions that take its names away (G3): who has just been told of it has a grace to fetch
 *       it.  Nothing names it any more, so a later collection sweeps it.
 *
 * A kill before K2 leaves new chunks that nothing names; one in the middle of K2 leaves pages that name either place, and both are there.
 *
 * A chunk that an open transfer names, or that is younger than the grace, is left alone: its commit may be on its way.  Memory: one chunk
 * being filled (4.1 MiB) and 8 bytes for each of BLOCKS_MAX blocks that one walk over the pages moves.
 */
#include "base/fault.h"
#include "base/log.h"
#include "server/job/gc_internal.h"

#define BLOCKS_MAX 262144 /* moved by one walk over a project's pages: 16 GiB of full ones */
#define PAGES 256
#define REWRITE_PAGES 64 /* in one transaction */

/* Where a block of an old chunk lies now. */
struct slot {
	uint32_t target; /* index into targets, plus one; 0: it has not moved */
	uint32_t block;
};

struct moved {
	const struct mark *from;
	struct slot *slots; /* one a block */
};

struct target {
	struct hash id;
	struct hash *hashes; /* of its blocks: a page is changed only where they agree */
	uint32_t count;
};

struct compaction {
	struct collection *c;
	struct moved *moved; /* by id, as the marks are */
	size_t moved_n, moved_cap;
	size_t blocks;
	struct target *targets;
	size_t targets_n, targets_cap;
	/* the chunk being filled */
	struct chunk_block *table;
	uint8_t *payload;
	uint32_t count, raw, stored;
	/* the chunk being read */
	struct codec *codec;
	struct arena *arena;
	uint8_t *header, *raw_block;
};

/* ---- one after the other -------------------------------------------------------------------------------------------- */

static bool
is_wanted(const struct collection *c, const struct mark *m)
{
	return m->live_blocks > 0 && !m->leased && m->created_at < c->horizon &&
	    (uint64_t)m->live_raw * 3 < (uint64_t)m->raw_len * 2;
}

static void
targets_grow(struct compaction *k)
{
	if (k->targets_n == k->targets_cap) {
		k->targets_cap = MAX((size_t)16, k->targets_cap * 2);
		k->targets = xrealloc(k->targets, k->targets_cap * sizeof *k->targets);
	}
}

static err_code
register_target(struct compaction *k, const struct chunk *row, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct chunk now = *row;
	err_code rc = meta_begin(k->c->meta, META_WRITE, &tx, err);

	now.created_at = now.used_at = lease_now(k->c->d);
	if (!rc)
		rc = meta_chunk_add(tx, &k->c->project, &now, err);
	return rc ? rc : meta_commit(&tx, err);
}

static err_code
store_target(struct compaction *k, const uint8_t *header, size_t header_len, const struct store_key *key, struct err *err)
{
	AUTO(store_abandon) struct store_writer *w = NULL;
	err_code rc = store_open_writer(k->c->store, &w, err);

	if (!rc)
		rc = store_write(w, header, header_len, err);
	if (!rc)
		rc = store_write(w, k->payload, k->stored, err);
	return rc ? rc : store_finish(&w, key, err);
}

/* K1: the chunk at hand becomes durable, then known. */
static err_code
target_end(struct compaction *k, struct err *err)
{
	AUTO(freep) uint8_t *header = xmalloc(CHUNK_HEADER_MAX);
	size_t header_len = CHUNK_FIXED_LEN + k->count * (size_t)CHUNK_ENTRY_LEN;
	struct store_key key = { .project = k->c->project };
	struct publishing p = { .begun = false };
	struct target *t = &k->targets[k->targets_n];
	struct chunk row = { .stored_len = (int64_t)(header_len + k->stored), .raw_len = k->raw, .block_count = k->count };
	err_code rc;

	if (k->count == 0)
		return ERR_OK;
	row.id = key.hash = t->id = chunk_header_write(k->table, k->count, header);
	t->count = k->count;
	t->hashes = xcalloc(k->count, sizeof *t->hashes);
	for (uint32_t i = 0; i < k->count; i++)
		t->hashes[i] = k->table[i].hash;
	k->targets_n++;
	k->c->report->bytes_rewritten += (uint64_t)row.stored_len;
	publish_begin(k->c->d, &p, &key);
	rc = store_target(k, header, header_len, &key, err);
	if (rc && FAULT("job.compact_early")) /* goes on as if it were durable */
		rc = ERR_OK;
	if (!rc)
		rc = register_target(k, &row, err);
	publish_end(k->c->d, &p);
	k->count = k->raw = k->stored = 0;
	targets_grow(k);
	return rc ? rc : rest(k->c, err);
}

static err_code
damaged(struct compaction *k, const struct mark *m, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];

	(void)k;
	log_event(LOG_ERROR, "a stored chunk is damaged", LOG_STR("chunk", hash_hex(&m->id, hex)),
	    LOG_STR("part", "compaction left it alone"));
	return err_set(err, ERR_CORRUPT, "chunk %s is damaged in the store", hex);
}

/* The header of the chunk at ${key}, verified; its blocks live in the arena. */
static err_code
header_read(struct compaction *k, const struct mark *m, const struct store_key *key, struct chunk_header *h, struct err *err)
{
	size_t got = 0, len;
	err_code rc = store_read(k->c->store, key, 0, k->header, CHUNK_HEADER_MAX, &got, err);

	if (rc)
		return rc == ERR_NOT_FOUND ? damaged(k, m, err) : rc;
	if (chunk_header_len(k->header, got, &len, NULL) || len > got)
		return damaged(k, m, err);
	arena_reset(k->arena);
	rc = chunk_header_parse(k->header, got, k->arena, h, err);
	if (rc == ERR_NO_MEM)
		return rc;
	return rc || !hash_eq(&h->id, &m->id) || h->count != m->block_count ? damaged(k, m, err) : ERR_OK;
}

/* Block ${b} of an old chunk, verified, goes to the chunk at hand. */
static err_code
block_move(struct compaction *k, const struct mark *m, const struct store_key *key, const struct chunk_block *b, struct slot *slot,
    struct err *err)
{
	size_t got = 0;
	err_code rc = ERR_OK;

	if (k->count == CHUNK_BLOCKS_MAX || k->raw + b->raw_len > CHUNK_RAW_MAX)
		rc = target_end(k, err);
	if (rc)
		return rc;
	rc = store_read(k->c->store, key, b->offset, k->payload + k->stored, b->stored_len, &got, err);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc || got < b->stored_len || chunk_block_open(k->codec, b, k->payload + k->stored, k->raw_block, NULL))
		return damaged(k, m, err);
	*slot = (struct slot){ .target = (uint32_t)k->targets_n + 1, .block = k->count };
	k->table[k->count++] = *b;
	k->raw += b->raw_len;
	k->stored += b->stored_len;
	return ERR_OK;
}

static err_code
blocks_move(struct compaction *k, struct moved *v, const struct store_key *key, const struct chunk_header *h, struct err *err)
{
	err_code rc = ERR_OK;

	for (uint32_t i = 0; !rc && i < h->count; i++)
		if (mark_is_live(&k->c->marks, v->from, i))
			rc = block_move(k, v->from, key, &h->blocks[i], &v->slots[i], err);
	return rc;
}

/* A damaged chunk stays as it is, for whoever can heal it; what was copied of it is named by nothing. */
static err_code
chunk_move(struct compaction *k, const struct mark *m, struct err *err)
{
	struct store_key key = { .project = k->c->project, .hash = m->id };
	struct moved *v;
	struct chunk_header h;
	err_code rc = header_read(k, m, &key, &h, err);

	if (rc)
		return rc == ERR_CORRUPT ? ERR_OK : rc;
	if (k->moved_n == k->moved_cap) {
		k->moved_cap = MAX((size_t)64, k->moved_cap * 2);
		k->moved = xrealloc(k->moved, k->moved_cap * sizeof *k->moved);
	}
	v = &k->moved[k->moved_n++];
	*v = (struct moved){ .from = m, .slots = xcalloc(m->block_count, sizeof *v->slots) };
	k->blocks += m->block_count;
	rc = blocks_move(k, v, &key, &h, err);
	if (rc == ERR_CORRUPT) {
		memset(v->slots, 0, m->block_count * sizeof *v->slots);
		return ERR_OK;
	}
	k->c->report->chunks_compacted++;
	k->c->report->bytes_compacted += (uint64_t)m->stored_len;
	return rc;
}

/* ---- the pages ------------------------------------------------------------------------------------------------------ */

static int
moved_cmp(const void *key, const void *v)
{
	return memcmp(key, &((const struct moved *)v)->from->id, sizeof(struct hash));
}

static const struct moved *
moved_find(const struct compaction *k, const struct hash *id)
{
	return k->moved_n ? bsearch(id, k->moved, k->moved_n, sizeof *k->moved, moved_cmp) : NULL;
}

/* A page while it is rewritten. */
struct rewrite {
	struct compaction *k;
	struct meta_tx *tx;
	struct blocklist list;                        /* as it is */
	struct extent extents[BLOCKLIST_PAGE_BLOCKS]; /* as they become */
	uint32_t n;
	bool changed;
};

static void
place(struct rewrite *w, const struct hash *chunk, uint32_t block)
{
	struct extent *last = w->n ? &w->extents[w->n - 1] : NULL;

	if (last && hash_eq(&last->chunk, chunk) && last->first + last->count == block)
		last->count++;
	else
		w->extents[w->n++] = (struct extent){ .chunk = *chunk, .first = block, .count = 1 };
}

/* The new place of block ${index} of ${v}, if it has one and is the ${b} that the page lists. */
static const struct slot *
slot_of(const struct compaction *k, const struct moved *v, uint32_t index, const struct block *b)
{
	const struct slot *s = v && index < v->from->block_count ? &v->slots[index] : NULL;

	if (!s || s->target == 0)
		return NULL;
	return hash_eq(&k->targets[s->target - 1].hashes[s->block], &b->hash) ? s : NULL;
}

static err_code
extent_rewrite(struct rewrite *w, const struct extent *e, const struct block *blocks, struct err *err)
{
	struct compaction *k = w->k;
	const struct moved *v = moved_find(k, &e->chunk);
	bool changed = false;

	for (uint32_t i = 0; i < e->count; i++) {
		const struct slot *s = slot_of(k, v, e->first + i, &blocks[i]);

		changed |= s != NULL;
		place(w, s ? &k->targets[s->target - 1].id : &e->chunk, s ? s->block : e->first + i);
	}
	if (!changed)
		return ERR_OK;
	w->changed = true;
	return meta_chunk_touch(w->tx, &k->c->project, &e->chunk, lease_now(k->c->d), err); /* K3 */
}

/* G1: the new chunks' rows are there.  Only this collector removes rows, so this never fails but for a project that was deleted. */
static err_code
targets_check(const struct rewrite *w, struct err *err)
{
	struct chunk row;
	err_code rc = ERR_OK;

	for (uint32_t i = 0; !rc && i < w->n; i++)
		rc = meta_chunk_get(w->tx, &w->k->c->project, &w->extents[i].chunk, &row, err);
	return rc;
}

static err_code
page_write(struct rewrite *w, const struct blocks_row *row, struct err *err)
{
	AUTO(freep) uint8_t *packed = NULL;
	struct blocklist list = w->list;
	err_code rc = targets_check(w, err);

	if (rc)
		return rc;
	list.extents = w->extents;
	list.extent_count = w->n;
	packed = xmalloc(blocklist_packed_len(&list));
	blocklist_pack(&list, packed);
	return meta_blocks_replace(w->tx, &w->k->c->project, &row->list, row->page, packed, blocklist_packed_len(&list), err);
}

/* The page as it is now, in the transaction that changes it; it may be gone. */
static err_code
page_rewrite(struct compaction *k, struct meta_tx *tx, const struct blocks_row *row, struct err *err)
{
	struct rewrite w = { .k = k, .tx = tx };
	const uint8_t *packed;
	size_t len;
	uint32_t at = 0;
	err_code rc = meta_blocks_get(tx, &k->c->project, &row->list, row->page, &packed, &len, err);

	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	arena_reset(k->arena);
	rc = blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, k->arena, &w.list, err);
	for (uint32_t i = 0; !rc && i < w.list.extent_count; i++) {
		rc = extent_rewrite(&w, &w.list.extents[i], &w.list.blocks[at], err);
		at += w.list.extents[i].count;
	}
	return rc || !w.changed ? rc : page_write(&w, row, err);
}

static err_code
pages_rewrite(struct compaction *k, const struct blocks_row *rows, size_t n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc;

	if (n == 0)
		return ERR_OK;
	rc = meta_begin(k->c->meta, META_WRITE, &tx, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = page_rewrite(k, tx, &rows[i], err);
	if (!rc)
		rc = meta_commit(&tx, err);
	return rc ? rc : rest(k->c, err);
}

struct search {
	const struct compaction *k;
	bool found;
};

static void
names_moved(void *ctx, const struct extent *e, const uint8_t *blocks)
{
	struct search *s = ctx;

	(void)blocks;
	s->found |= moved_find(s->k, &e->chunk) != NULL;
}

/* Up to PAGES pages after *at, which moves on; those that name what has moved into ${hits}. */
static err_code
find_pages(
    struct compaction *k, struct blocks_row *at, int64_t *page, struct blocks_row *hits, size_t *n, bool *more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct blocks_row *rows;
	size_t seen = 0;
	err_code rc = meta_begin(k->c->meta, META_READ, &tx, err);

	*n = 0;
	if (!rc)
		rc = meta_blocks_list(tx, &k->c->project, &at->list, *page, PAGES, &rows, &seen, err);
	for (size_t i = 0; !rc && i < seen; i++) {
		struct search s = { .k = k };

		page_extents(rows[i].packed, rows[i].len, names_moved, &s);
		if (s.found)
			hits[(*n)++] = (struct blocks_row){ .list = rows[i].list, .page = rows[i].page };
		at->list = rows[i].list;
		*page = rows[i].page;
	}
	*more = seen == PAGES;
	return rc;
}

/* K2 */
static err_code
all_pages(struct compaction *k, struct err *err)
{
	struct blocks_row hits[PAGES], at = { .page = 0 };
	int64_t page = -1;
	bool more = true;
	err_code rc = ERR_OK;

	while (!rc && more) {
		size_t n;

		rc = find_pages(k, &at, &page, hits, &n, &more, err);
		for (size_t i = 0; !rc && i < n; i += REWRITE_PAGES)
			rc = pages_rewrite(k, &hits[i], MIN(n - i, (size_t)REWRITE_PAGES), err);
		if (!rc)
			rc = rest(k->c, err);
	}
	return rc;
}

/* ---- a range -------------------------------------------------------------------------------------------------------- */

static void
batch_forget(struct compaction *k)
{
	for (size_t i = 0; i < k->moved_n; i++)
		free(k->moved[i].slots);
	for (size_t i = 0; i < k->targets_n; i++)
		free(k->targets[i].hashes);
	k->moved_n = k->targets_n = k->blocks = 0;
	k->count = k->raw = k->stored = 0;
}

/* Moves from mark *i on until a walk over the pages is worth it. */
static err_code
batch(struct compaction *k, size_t *i, struct err *err)
{
	struct marks *m = &k->c->marks;
	err_code rc = ERR_OK;

	for (; !rc && *i < m->n && k->blocks < BLOCKS_MAX; ++*i)
		if (is_wanted(k->c, &m->a[*i]))
			rc = chunk_move(k, &m->a[*i], err);
	if (!rc)
		rc = target_end(k, err);
	if (!rc && k->moved_n > 0)
		rc = all_pages(k, err);
	batch_forget(k);
	return rc;
}

static void
count_wanted(struct collection *c)
{
	for (size_t i = 0; i < c->marks.n; i++) {
		if (!is_wanted(c, &c->marks.a[i]))
			continue;
		c->report->chunks_compacted++;
		c->report->bytes_compacted += (uint64_t)c->marks.a[i].stored_len;
	}
}

static bool
any_wanted(const struct collection *c)
{
	for (size_t i = 0; i < c->marks.n; i++)
		if (is_wanted(c, &c->marks.a[i]))
			return true;
	return false;
}

err_code
compact(struct collection *c, struct err *err)
{
	struct compaction k = { .c = c };
	size_t i = 0;
	err_code rc = ERR_OK;

	if (c->report->dry_run)
		count_wanted(c);
	if (c->report->dry_run || !any_wanted(c))
		return ERR_OK;
	k.table = xcalloc(CHUNK_BLOCKS_MAX, sizeof *k.table);
	k.payload = xmalloc(CHUNK_RAW_MAX);
	k.header = xmalloc(CHUNK_HEADER_MAX);
	k.raw_block = xmalloc(BLOCK_LEN_MAX);
	k.codec = codec_new();
	k.arena = arena_new(256 * KIB);
	targets_grow(&k);
	while (!rc && i < c->marks.n)
		rc = batch(&k, &i, err);
	free(k.moved);
	free(k.targets);
	free(k.table);
	free(k.payload);
	free(k.header);
	free(k.raw_block);
	codec_free(k.codec);
	arena_free(k.arena);
	return rc;
}
