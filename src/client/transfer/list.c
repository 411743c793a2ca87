/*
 * Block lists: read in pages, from the server or from the state, and kept in the state when what they name has landed.
 */
#include <assert.h>

#include "base/pathat.h"
#include "client/transfer/pull_internal.h"

#define ANSWER_MEMORY (4 * MIB) /* a page of BLOCKLIST_UPLOAD_MAX blocks, packed and unpacked */
#define PAGE_LEN_MAX (BLOCKLIST_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * (BLOCKLIST_EXTENT_LEN + BLOCKLIST_BLOCK_LEN))

/** A page of a list that waits to be kept. */
struct kept {
	struct kept *next;
	struct hash content;
	uint32_t page, count;
	size_t len;
	uint32_t weak[BLOCKLIST_PAGE_BLOCKS];
	uint8_t packed[];
};

/* ---- pages in work ------------------------------------------------------------------------------------------------------------------ */

struct page *
page_new(struct landing *l, uint64_t index, uint64_t offset)
{
	struct page *pg = xcalloc(1, sizeof *pg);

	pg->file = l;
	pg->index = index;
	pg->offset = offset;
	pg->refs = 1;
	return pg;
}

static void
page_free(struct page *pg)
{
	free(pg->blocks);
	free(pg->extents);
	free(pg->weak);
	free(pg->spots);
	free(pg->here);
	free(pg);
}

uint64_t
page_bytes(const struct page *pg)
{
	struct blocklist l = { .blocks = pg->blocks, .block_count = pg->count };

	return blocklist_bytes(&l);
}

/* A page that begins where another one's last extent ended goes on with it. */
static void
page_append(struct page *pg, const struct blocklist *l)
{
	uint32_t count = pg->count + l->block_count;

	pg->blocks = xrealloc(pg->blocks, count * sizeof *pg->blocks);
	memcpy(pg->blocks + pg->count, l->blocks, l->block_count * sizeof *l->blocks);
	pg->extents = xrealloc(pg->extents, (pg->extent_count + l->extent_count) * sizeof *pg->extents);
	for (uint32_t i = 0; i < l->extent_count; i++) {
		const struct extent *x = &l->extents[i];
		struct extent *last = pg->extent_count ? &pg->extents[pg->extent_count - 1] : NULL;

		if (i == 0 && last && hash_eq(&last->chunk, &x->chunk) && last->first + last->count == x->first)
			last->count += x->count;
		else
			pg->extents[pg->extent_count++] = *x;
	}
	pg->weak = xrealloc(pg->weak, count * sizeof *pg->weak);
	pg->spots = xrealloc(pg->spots, count * sizeof *pg->spots);
	pg->here = xrealloc(pg->here, count * sizeof *pg->here);
	for (uint32_t i = pg->count; i < count; i++) {
		pg->weak[i] = 0;
		pg->spots[i] = (struct spot){ .source = -1 };
		pg->here[i] = false;
	}
	pg->count = count;
}

/* Ask the server for the next blocks. */
static err_code
page_read(struct pull *p, struct page *pg, bool *more, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(ANSWER_MEMORY);
	const struct entry *want = pg->file->f->want;
	const uint8_t *packed;
	struct blocklist l;
	struct err why;
	size_t len;
	err_code rc = remote_blocks(p->env->remote, &want->id, 0, pg->index + pg->count, a, &packed, &len, more, err);

	if (rc)
		return rc;
	if (blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, &l, &why))
		return err_set(err, ERR_PROTOCOL, "%s: block list: %s", want->path, why.msg);
	/* Another length is another version: the file changed on the server since the feed told of it. */
	if (blocklist_bytes(&l) > (uint64_t)want->size - pg->offset - page_bytes(pg))
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", want->path);
	page_append(pg, &l);
	return ERR_OK;
}

/* The same from extents and what is known. */
static err_code
page_resolve(struct pull *p, struct page *pg, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(ANSWER_MEMORY);
	struct blocklist l;
	err_code rc = lean_next(p, pg->file->lean, a, &l, err);

	if (rc == ERR_OK && blocklist_bytes(&l) > (uint64_t)pg->file->f->want->size - pg->offset)
		rc = err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", pg->file->f->want->path);
	if (rc == ERR_OK && l.block_count > 0)
		page_append(pg, &l);
	return rc;
}

/*
 * The list of a file of one block, of which the state keeps none: its extent is told by the feed, and its block is what a file here that
 * has the same content has.  The list must make the content, as any other.
 */
static err_code
page_of_twin(struct page *pg, struct err *err)
{
	AUTO(freep) uint8_t *buf = xmalloc(BLOCK_LEN_MAX);
	const struct landing *l = pg->file;
	uint64_t size = (uint64_t)l->f->want->size;
	struct block b = { .len = (uint32_t)size };
	struct extent x;
	size_t got;
	err_code rc;

	if (pg->count > 0 || l->f->extent_count != 1 || !l->sources || sources_twin(l->sources) < 0)
		return err_set(err, ERR_NOT_FOUND, "the content's block list is not known");
	rc = pread_full(sources_at(l->sources, sources_twin(l->sources))->fd, buf, size, 0, &got, err);
	if (rc == ERR_OK && got != size)
		rc = err_set(err, ERR_NOT_FOUND, "another content by now");
	if (rc)
		return rc;
	b.hash = hash_of(buf, size);
	x = (struct extent){ l->f->extents[0].chunk, l->f->extents[0].first, l->f->extents[0].count };
	page_append(pg, &(struct blocklist){ .blocks = &b, .block_count = 1, .extents = &x, .extent_count = 1 });
	return ERR_OK;
}

/* The same from the list that the state has. */
static err_code
page_recall(struct pull *p, struct page *pg, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(ANSWER_MEMORY);
	const struct entry *want = pg->file->f->want;
	uint64_t at = pg->index + pg->count;
	const uint8_t *packed;
	const uint32_t *weak;
	struct blocklist l;
	size_t len;
	err_code rc;

	if (!list_worth(want))
		return page_of_twin(pg, err);
	rc = state_blocks_get(p->env->state, &want->content, (uint32_t)(at / BLOCKLIST_PAGE_BLOCKS), a, &packed, &len, &weak, err);

	if (rc)
		return rc;
	rc = blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &l, err);
	if (rc == ERR_OK && (at % BLOCKLIST_PAGE_BLOCKS != 0 || blocklist_bytes(&l) > (uint64_t)want->size - pg->offset - page_bytes(pg)))
		rc = err_set(err, ERR_NOT_FOUND, "another content's list");
	if (rc == ERR_OK)
		page_append(pg, &l);
	return rc;
}

err_code
page_fill(struct pull *p, struct page *pg, struct err *err)
{
	uint64_t left = (uint64_t)pg->file->f->want->size - pg->offset;
	bool more = true;
	err_code rc = ERR_OK;

	if (pg->file->lean && !pg->known)
		return page_resolve(p, pg, err);
	while (rc == ERR_OK && more && pg->count + BLOCKLIST_PAGE_BLOCKS <= PAGE_BLOCKS && page_bytes(pg) < left) {
		if (pull_stopped(p))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		rc = pg->known ? page_recall(p, pg, err) : page_read(p, pg, &more, err);
	}
	return rc;
}

void
page_landed(struct pull *p, struct page *pg, uint32_t n)
{
	mutex_lock(&p->mu);
	pg->landed += n;
	mutex_unlock(&p->mu);
}

void
page_release(struct pull *p, struct page *pg)
{
	struct blocklist l = { .blocks = pg->blocks, .block_count = pg->count, .extents = pg->extents, .extent_count = pg->extent_count };
	bool last, whole;

	mutex_lock(&p->mu);
	assert(pg->refs > 0); /* L2 */
	last = --pg->refs == 0;
	whole = pg->count > 0 && pg->landed == pg->count;
	mutex_unlock(&p->mu);
	if (!last)
		return;
	if (whole && !pg->known && list_worth(pg->file->f->want))
		list_keep(p, &pg->file->f->want->content, pg->index, &l, pg->weak);
	page_free(pg);
}

/* ---- lists that are kept ------------------------------------------------------------------------------------------------------------ */

/* The extents of blocks from … from + count - 1, into ${out}; returns how many. */
static uint32_t
extents_of(const struct blocklist *l, uint32_t from, uint32_t count, struct extent *out)
{
	uint32_t at = 0, n = 0;

	for (uint32_t i = 0; i < l->extent_count; at += l->extents[i++].count) {
		uint32_t lo = MAX(at, from), hi = MIN(at + l->extents[i].count, from + count);

		if (lo < hi)
			out[n++] = (struct extent){ .chunk = l->extents[i].chunk, .first = l->extents[i].first + lo - at, .count = hi - lo };
	}
	return n;
}

static struct kept *
kept_new(const struct hash *content, uint64_t page, const struct blocklist *l, uint32_t from, const uint32_t *weak)
{
	struct extent extents[BLOCKLIST_PAGE_BLOCKS];
	struct blocklist part = { .extents = extents, .blocks = l->blocks + from, .block_count = MIN(l->block_count - from, BLOCKLIST_PAGE_BLOCKS) };
	struct kept *k = xmalloc(sizeof *k + PAGE_LEN_MAX);

	part.extent_count = extents_of(l, from, part.block_count, extents);
	k->content = *content;
	k->page = (uint32_t)page;
	k->count = part.block_count;
	k->len = blocklist_packed_len(&part);
	blocklist_pack(&part, k->packed);
	memcpy(k->weak, weak + from, part.block_count * sizeof *weak);
	return xrealloc(k, sizeof *k + k->len);
}

void
list_keep(struct pull *p, const struct hash *content, uint64_t index, const struct blocklist *l, const uint32_t *weak)
{
	bool enough;

	if (index % BLOCKLIST_PAGE_BLOCKS != 0)
		return; /* a server that gives its list in other pieces than everybody */
	for (uint32_t from = 0; from < l->block_count; from += BLOCKLIST_PAGE_BLOCKS) {
		struct kept *k = kept_new(content, (index + from) / BLOCKLIST_PAGE_BLOCKS, l, from, weak);

		mutex_lock(&p->mu);
		k->next = p->kept;
		p->kept = k;
		p->kept_bytes += sizeof *k + k->len;
		mutex_unlock(&p->mu);
	}
	mutex_lock(&p->mu);
	enough = p->kept_bytes >= KEEP_MEMORY;
	mutex_unlock(&p->mu);
	if (enough)
		list_flush(p);
}

static err_code
write_kept(struct state *s, const struct kept *k, struct err *err)
{
	err_code rc = state_begin(s, err);

	for (; rc == ERR_OK && k; k = k->next)
		rc = state_blocks_put(s, &k->content, k->page, k->packed, k->len, k->weak, err);
	return state_end(s, rc, err);
}

/* A transaction of its own, since lists may be longer than what memory holds: a list of a file that never arrives is pruned. */
void
list_flush(struct pull *p)
{
	struct kept *k;
	struct err err;

	mutex_lock(&p->mu);
	k = p->kept;
	p->kept = NULL;
	p->kept_bytes = 0;
	mutex_unlock(&p->mu);
	if (k && write_kept(p->env->state, k, &err))
		pull_fail(p, &err);
	while (k) {
		struct kept *next = k->next;

		free(k);
		k = next;
	}
}
