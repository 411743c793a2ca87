/*
 * Pages of block lists: the rows that say what a content is made of, 64 blocks each, keyed by the list's id and the page's number.
 *
 * Almost every commit writes all its pages in its own transaction.  A file of more than about 7 GiB has more pages than should be
 * held in memory or written while other writers wait; its pages from 1 on are written ahead, a few hundred in a transaction.
 * That is safe because
 *
 *   - only a verified page is written: the whole list is walked once to verify its hash and a second time to write, and the second walk
 *     must give the same pages;
 *   - page 0 is written by the commit's own transaction: where it is, all are (I4);
 *   - a page's chunk rows are looked at, and renewed, in the transaction that writes it, and a page that is there keeps its chunks
 *     from the garbage collector as any other does (I2, I13); the list is held until the commit has ended, which keeps its pages
 *     (garbage.c, G4).  Pages without a page 0 are the leftovers of commits that failed.
 */
#include <assert.h>

#include "server/domain/commit_internal.h"

#define AHEAD_BYTES (1 * MIB)

static char mark; /* the value of maps that are sets */

void
chunk_missing(struct commit_run *run, const struct hash *id)
{
	if (map_count(run->missing) < MISSING_MAX)
		map_put(run->missing, id, sizeof *id, &mark);
}

err_code
rows_check(struct commit_run *run, struct meta_tx *tx, struct map *seen, const struct page *p, struct err *err)
{
	uint32_t extents = get_u32le(p->data + 12);

	for (uint32_t i = 0; i < extents; i++) {
		struct chunk row;
		struct hash id;
		err_code rc;

		memcpy(&id, p->data + BLOCKLIST_FIXED_LEN + i * (size_t)BLOCKLIST_EXTENT_LEN, sizeof id);
		if (map_put(seen, &id, sizeof id, &mark))
			continue;
		rc = meta_chunk_get(tx, run->project, &id, &row, err);
		if (rc == ERR_NOT_FOUND)
			chunk_missing(run, &id);
		else if (!rc)
			rc = lease_renew(run->d, tx, run->project, &row, err); /* G1 */
		if (rc && rc != ERR_NOT_FOUND)
			return rc;
	}
	return ERR_OK;
}

static void
page_fill(struct page *p, uint32_t n, const uint8_t *packed, size_t len)
{
	p->next = NULL;
	p->n = n;
	p->len = len;
	memcpy(p->data, packed, len);
}

err_code
page_add(struct commit_run *run, struct content *ct, uint32_t n, const uint8_t *packed, size_t len, struct err *err)
{
	struct page *p;

	if (n == 0) {
		p = arena_alloc(run->scratch, sizeof *p + len);
		if (!p)
			return no_memory(err);
		ct->first = p;
		ct->rest_end = &ct->rest;
	} else {
		p = xmalloc(sizeof *p + len);
		*ct->rest_end = p;
		ct->rest_end = &p->next;
		run->held += len;
	}
	page_fill(p, n, packed, len);
	return ERR_OK;
}

void
pages_drop(struct commit_run *run, struct content *ct)
{
	while (ct->rest) {
		struct page *p = ct->rest;

		ct->rest = p->next;
		run->held -= p->len;
		free(p);
	}
	ct->rest_end = &ct->rest;
}

/* ---- written ahead ----------------------------------------------------------------------------------------------- */

err_code
ahead_add(struct ahead *ah, uint32_t n, const uint8_t *packed, size_t len, struct err *err)
{
	struct page *p = xmalloc(sizeof *p + len);

	assert(n > 0); /* I4: page 0 is the transaction's */
	page_fill(p, n, packed, len);
	if (!ah->end)
		ah->end = &ah->first;
	*ah->end = p;
	ah->end = &p->next;
	ah->bytes += len;
	return ah->bytes < AHEAD_BYTES ? ERR_OK : ahead_flush(ah, err);
}

err_code
ahead_flush(struct ahead *ah, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	AUTO(map_freep) struct map *seen = map_new();
	struct commit_run *run = ah->run;
	err_code rc;

	if (!ah->first)
		return ERR_OK;
	rc = meta_begin(run->d->meta, META_WRITE, &tx, err);
	for (const struct page *p = ah->first; !rc && p; p = p->next) {
		rc = rows_check(run, tx, seen, p, err);
		if (!rc)
			rc = meta_blocks_add(tx, run->project, ah->list, p->n, p->data, p->len, err);
	}
	if (rc || map_count(run->missing) > 0) /* then nothing is written, and the batch answers with the list */
		return rc;
	rc = meta_commit(&tx, err);
	ahead_fini(ah);
	return rc;
}

void
ahead_fini(struct ahead *ah)
{
	while (ah->first) {
		struct page *p = ah->first;

		ah->first = p->next;
		free(p);
	}
	ah->end = &ah->first;
	ah->bytes = 0;
}
