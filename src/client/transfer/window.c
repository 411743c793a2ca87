/*
 * Grouping what is needed by chunk, and choosing how to ask for it.
 *
 * There are two ways to get blocks.  GET …/chunks/:hash gives a container as it is stored: the server sends the file, and everybody in
 * between may cache it, but what is not needed of it comes along, or costs a request for the header and one for each run.
 * POST …/blocks/fetch gives exactly the named blocks of any chunks in one answer, at 40 bytes a block and about 110 bytes up for a run,
 * and the server has to put it together.  In bytes the second is never worse than the first by more than those runs; so the first is
 * for what it is made for, a chunk of which (nearly) everything is needed:
 *
 *   needed bytes ≥ 15/16 of CHUNK_RAW_MAX     whole: at most a fifteenth comes in vain
 *   1 MiB or 512 blocks, from block 0 on      most likely a whole smaller chunk, that of many small files: asked for to the length that
 *                                             it then has, so that if it is larger, hardly anything comes in vain
 *   else                                      exact, up to 1,024 blocks or 4 MiB of as many chunks in one request
 */
#include <assert.h>

#include "base/map.h"
#include "client/transfer/pull_internal.h"

#define LIKELY_WHOLE_BYTES (1 * MIB)
#define LIKELY_WHOLE_BLOCKS 512

void
window_open(struct window *w)
{
	*w = (struct window){ .by_chunk = map_new() };
	w->tail = &w->first;
}

static struct job *
job_for(struct window *w, const struct hash *chunk)
{
	struct job *j = map_get(w->by_chunk, chunk->b, sizeof chunk->b);

	if (j)
		return j;
	j = xcalloc(1, sizeof *j);
	j->chunk = *chunk;
	map_put(w->by_chunk, chunk->b, sizeof chunk->b, j);
	*w->tail = j;
	w->tail = &j->next;
	return j;
}

void
window_need(struct pull *p, struct window *w, const struct hash *chunk, const struct need *n, uint64_t raw_len)
{
	struct job *j = job_for(w, chunk);

	if (j->n == j->cap) {
		j->cap = MAX(4, 2 * j->cap);
		j->needs = xrealloc(j->needs, j->cap * sizeof *j->needs);
	}
	j->needs[j->n++] = *n;
	j->raw_len += raw_len;
	mutex_lock(&p->mu);
	n->file->pending++;
	if (n->page)
		n->page->refs++;
	mutex_unlock(&p->mu);
}

/* ---- how to ask ----------------------------------------------------------------------------------------------------------------- */

static int
need_cmp(const void *a, const void *b)
{
	const struct need *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* The runs that the needs cover: files may share blocks. */
static void
find_runs(struct job *j)
{
	qsort(j->needs, j->n, sizeof *j->needs, need_cmp);
	j->runs = xmalloc(j->n * sizeof *j->runs);
	for (size_t i = 0; i < j->n; i++) {
		uint32_t first = j->needs[i].first, end = first + j->needs[i].count;
		struct run *last = j->run_count ? &j->runs[j->run_count - 1] : NULL;

		if (last && first <= last->first + last->count)
			last->count = MAX(last->first + last->count, end) - last->first;
		else
			j->runs[j->run_count++] = (struct run){ .first = first, .count = end - first };
	}
	for (uint32_t i = 0; i < j->run_count; i++)
		j->blocks += j->runs[i].count;
}

static void
choose(struct job *j)
{
	uint64_t named = 0;
	bool from_front;

	find_runs(j);
	for (size_t i = 0; i < j->n; i++)
		named += j->needs[i].count;
	j->raw_len = j->raw_len * j->blocks / named; /* each block once */
	from_front = j->run_count == 1 && j->runs[0].first == 0;
	j->exact = j->raw_len < WHOLE_FROM && j->blocks <= BLOCKS_FETCH_MAX && j->run_count <= BLOCKS_FETCH_MAX &&
	    !(from_front && (j->raw_len >= LIKELY_WHOLE_BYTES || j->blocks >= LIKELY_WHOLE_BLOCKS));
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------- */

/** Chunks that go into one request. */
struct batch {
	struct job *first, **tail;
	uint32_t blocks;
	uint64_t raw_len;
};

static void
batch_emit(struct pull *p, struct batch *b)
{
	if (b->first)
		job_queue(p, b->first);
	*b = (struct batch){ 0 };
}

static void
batch_add(struct pull *p, struct batch *b, struct job *j)
{
	if (b->blocks + j->blocks > BLOCKS_FETCH_MAX || b->raw_len + j->raw_len > BLOCKS_FETCH_RAW_MAX)
		batch_emit(p, b);
	for (uint32_t i = 0; i < j->run_count; i++) {
		j->runs[i].slot = b->blocks;
		b->blocks += j->runs[i].count;
	}
	b->raw_len += j->raw_len;
	if (!b->first)
		b->tail = &b->first;
	*b->tail = j;
	b->tail = &j->also;
}

void
window_emit(struct pull *p, struct window *w)
{
	struct job *j = w->first;
	struct batch b = { 0 };

	while (j) {
		struct job *next = j->next;

		choose(j);
		if (j->exact)
			batch_add(p, &b, j);
		else
			job_queue(p, j);
		j = next;
	}
	batch_emit(p, &b);
	map_free(w->by_chunk);
}
