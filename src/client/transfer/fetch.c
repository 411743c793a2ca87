/*
 * Fetchers: get what is needed of a chunk, verify it, and write it where it belongs.
 */
#include "chunk/align.h"
#include "chunk/cut.h"
#include "client/transfer/pull_internal.h"

#define HEADER_MEMORY (256 * KIB) /* CHUNK_BLOCKS_MAX rows, parsed */

struct fetcher {
	struct pull *pull;
	struct arena *arena;
	struct codec *codec;
	uint8_t *chunk;             /* CHUNK_LEN_MAX: bytes of the container where they belong, not all of them filled */
	uint8_t *room;              /* CHUNK_OPEN_MAX blocks, unpacked */
	struct wire_extent *runs;   /* BLOCKS_FETCH_MAX */
};

/* ---- getting bytes ---------------------------------------------------------------------------------------------------------- */

static err_code
header_check(struct fetcher *k, const struct job *j, size_t got, size_t total, struct chunk_header *h, struct err *err)
{
	err_code rc;

	arena_reset(k->arena);
	rc = chunk_header_parse(k->chunk, got, k->arena, h, err);
	if (rc)
		return rc;
	if (!hash_eq(&h->id, &j->chunk))
		return err_set(err, ERR_HASH_MISMATCH, "a chunk's header is not the one that its id names");
	if (h->total_len != total)
		return err_set(err, ERR_CHUNK_INVALID, "a chunk of %zu bytes should have %u", total, h->total_len);
	return ERR_OK;
}

static err_code
load_whole(struct fetcher *k, const struct job *j, struct chunk_header *h, struct err *err)
{
	size_t len = 0;
	err_code rc = remote_chunk_get_all(k->pull->env->remote, &j->chunk, k->chunk, &len, err);

	return rc ? rc : header_check(k, j, len, len, h, err);
}

/* Which blocks are needed; returns their stored bytes. */
static uint64_t
mark_needed(const struct job *j, const struct chunk_header *h, bool needed[static CHUNK_BLOCKS_MAX])
{
	uint64_t bytes = 0;

	memset(needed, 0, CHUNK_BLOCKS_MAX * sizeof needed[0]);
	for (uint32_t i = 0; i < j->run_count; i++)
		for (uint64_t b = j->runs[i].first; b < (uint64_t)j->runs[i].first + j->runs[i].count && b < h->count; b++) {
			bytes += h->blocks[b].stored_len;
			needed[b] = true;
		}
	return bytes;
}

static err_code
load_range(struct fetcher *k, const struct job *j, size_t from, size_t to, struct err *err)
{
	return from < to ? remote_chunk_get(k->pull->env->remote, &j->chunk, from, k->chunk + from, to - from, err) : ERR_OK;
}

/* The needed blocks beyond the first ${got} bytes, in as few requests as is sensible. */
static err_code
load_runs(struct fetcher *k, const struct job *j, const struct chunk_header *h, const bool needed[static CHUNK_BLOCKS_MAX],
    size_t got, struct err *err)
{
	size_t from = got, to = got;

	for (uint32_t b = 0; b < h->count; b++) {
		size_t start = h->blocks[b].offset, stop = start + h->blocks[b].stored_len;
		err_code rc;

		if (!needed[b] || stop <= got)
			continue;
		if (start > to + GAP_MAX) {
			rc = load_range(k, j, from, to, err);
			if (rc)
				return rc;
			from = start;
		}
		to = stop;
	}
	return load_range(k, j, from, to, err);
}

/* The first request: all of a chunk that has nothing but what is needed from its front, or at least the header. */
static size_t
start_len(const struct job *j)
{
	uint64_t likely = CHUNK_FIXED_LEN + (uint64_t)j->blocks * CHUNK_ENTRY_LEN + j->raw_len;

	if (j->exact) /* blocks/fetch is not there */
		return START_LEN;
	return (size_t)MIN(MAX(likely, START_LEN), CHUNK_LEN_MAX);
}

static err_code
load_part(struct fetcher *k, const struct job *j, struct chunk_header *h, struct err *err)
{
	bool needed[CHUNK_BLOCKS_MAX];
	size_t got = 0, total = 0;
	err_code rc = remote_chunk_start(k->pull->env->remote, &j->chunk, k->chunk, start_len(j), &got, &total, err);

	if (!rc)
		rc = header_check(k, j, got, total, h, err);
	if (rc || got == total)
		return rc;
	if (2 * mark_needed(j, h, needed) >= total && j->exact) /* in many runs, most likely */
		return load_range(k, j, got, total, err);
	return load_runs(k, j, h, needed, got, err);
}

/* Exactly the needed blocks of all chunks of a request. */
static err_code
load_exact(struct fetcher *k, const struct job *j, struct chunk_header *h, struct err *err)
{
	struct wire_extent *runs = k->runs;
	uint32_t blocks = 0;
	size_t len = 0, n = 0;
	err_code rc;

	for (const struct job *c = j; c; c = c->also)
		for (uint32_t i = 0; i < c->run_count; i++, blocks += runs[n++].count)
			runs[n] = (struct wire_extent){ .chunk = c->chunk, .first = c->runs[i].first, .count = c->runs[i].count };
	rc = remote_blocks_fetch(k->pull->env->remote, runs, n, k->chunk, &len, err);
	if (rc)
		return rc;
	arena_reset(k->arena);
	rc = chunk_header_parse(k->chunk, len, k->arena, h, err);
	if (rc == ERR_OK && (h->count != blocks || h->total_len != len))
		rc = err_set(err, ERR_CHUNK_INVALID, "%u blocks in %zu bytes where %u were asked for", h->count, len, blocks);
	return rc;
}

/* ---- landing blocks --------------------------------------------------------------------------------------------------------- */

/** Blocks of a need that are verified and written together. */
struct strip {
	const struct need *need;
	const struct chunk_block *blocks;
	uint32_t at, n;             /* they are the need's from ${at} on */
	uint64_t offset;            /* of the first in the file's bytes */
	uint64_t len;
	struct slice raw[CHUNK_OPEN_MAX];
};

/* What block ${i} of the need must be; *fits: the grid that was assumed is the grid that is there. */
static err_code
block_check(const struct need *n, const struct chunk_block *b, uint32_t i, uint64_t offset, bool *fits, struct err *err)
{
	const struct entry *want = n->file->f->want;
	const struct block *expect = n->page ? &n->page->blocks[n->at + i] : NULL;

	*fits = true;
	if (expect && (!hash_eq(&b->hash, &expect->hash) || b->raw_len != expect->len))
		return err_set(err, ERR_CORRUPT, "%s: a chunk does not hold the block that the list names", want->path);
	if (n->grid && b->raw_len != cut_block_len((uint64_t)want->size, n->index + i)) {
		*fits = false;
		return ERR_OK;
	}
	if (offset + b->raw_len > (uint64_t)want->size)
		return err_set(err, ERR_CORRUPT, "%s: its blocks are longer than the file", want->path);
	return ERR_OK;
}

/* The blocks of a need from ${at} on that go together, as far as the grid holds. */
static err_code
strip_make(const struct need *n, const struct chunk_block *blocks, uint32_t at, uint64_t offset, struct strip *s, bool *fits, struct err *err)
{
	*s = (struct strip){ .need = n, .blocks = blocks + at, .at = at, .offset = offset };
	*fits = true;
	for (; at + s->n < n->count && s->n < CHUNK_OPEN_MAX; s->n++) {
		const struct chunk_block *b = &s->blocks[s->n];
		err_code rc = block_check(n, b, at + s->n, offset + s->len, fits, err);

		if (rc || !*fits)
			return rc;
		s->len += b->raw_len;
	}
	return ERR_OK;
}

/* Whether block ${i} is zeros that a hole reads as (L3). */
static bool
is_there(const struct strip *s, uint32_t i)
{
	const struct landing *l = s->need->file;

	return !s->need->page && landing_fresh(l) && landing_sparse(l) && all_zero(s->raw[i].p, s->raw[i].len);
}

/* Write what is not there, each piece without a gap with one call. */
static err_code
strip_write(const struct strip *s, struct err *err)
{
	uint64_t offset = s->offset;
	err_code rc = ERR_OK;

	for (uint32_t i = 0; i < s->n && !rc;) {
		uint64_t len = 0;
		uint32_t from = i;

		for (; i < s->n && !is_there(s, i); i++)
			len += s->raw[i].len;
		if (i > from)
			rc = landing_write(s->need->file, &s->raw[from], i - from, offset, err);
		else
			len = s->raw[i++].len;
		offset += len;
	}
	return rc;
}

/* Remember what has landed. */
static void
strip_note(const struct strip *s)
{
	const struct need *n = s->need;
	struct landing *l = n->file;

	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t weak = weak_sum(s->raw[i].p, s->raw[i].len);

		if (n->page) {
			n->page->weak[n->at + s->at + i] = weak;
		} else {
			l->blocks[n->index + s->at + i] = (struct block){ .hash = s->blocks[i].hash, .len = s->blocks[i].raw_len };
			l->weak[n->index + s->at + i] = weak;
		}
	}
}

static err_code
strip_land(struct fetcher *k, struct strip *s, struct err *err)
{
	struct landing *l = s->need->file;
	err_code rc = chunk_blocks_open(k->codec, s->blocks, s->n, k->chunk, k->room, s->raw, err);

	if (!rc)
		rc = strip_write(s, err);
	if (!rc)
		rc = landing_fetched(k->pull, l, s->len, err);
	if (rc)
		return rc;
	strip_note(s);
	progress_bytes(k->pull->env, l, s->len);
	return ERR_OK;
}

/* ${slot}: where the need's first block is in the container in hand. */
static err_code
land_need(struct fetcher *k, const struct chunk_header *h, const struct need *n, uint32_t slot, struct err *err)
{
	struct landing *l = n->file;
	uint64_t offset = n->offset;
	bool fits = true;
	err_code rc;

	if ((uint64_t)slot + n->count > h->count)
		return err_set(err, ERR_CORRUPT, "%s: names blocks that its chunk does not have", l->f->want->path);
	rc = landing_open(k->pull, l, err);
	for (uint32_t i = 0; !rc && fits && i < n->count;) {
		struct strip s;

		rc = strip_make(n, &h->blocks[slot], i, offset, &s, &fits, err);
		if (!rc)
			rc = strip_land(k, &s, err);
		i += s.n;
		offset += s.len;
	}
	if (!rc && !fits)
		landing_relist(k->pull, l);
	return rc;
}

/* Bytes that are not what they should be: worth asking for again, since a line or a proxy may have garbled them. */
static bool
garbled(err_code code)
{
	return code == ERR_CHUNK_INVALID || code == ERR_HASH_MISMATCH || code == ERR_ENCODING_INVALID || code == ERR_CORRUPT ||
	    code == ERR_PROTOCOL;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------- */

static void
need_done(struct fetcher *k, struct need *n, const struct err *why)
{
	struct pull *p = k->pull;

	n->done = true;
	if (why)
		landing_fail(p, n->file, why);
	if (n->page && !why)
		page_landed(p, n->page, n->count);
	if (n->page)
		page_release(p, n->page);
	landing_settle(p, n->file);
	n->file = NULL;
}

/* Where a need's first block is in the container in hand: that of its chunk, or an answer that has just the runs. */
static uint32_t
slot_of(const struct job *j, const struct need *n, bool exact)
{
	if (!exact)
		return n->first;
	for (uint32_t i = 0; i < j->run_count; i++)
		if (n->first - j->runs[i].first < j->runs[i].count) /* none begins after it: less than 0 is very much */
			return j->runs[i].slot + n->first - j->runs[i].first;
	return UINT32_MAX;
}

/* Land what can be landed; what is garbled stays undone.  Returns whether all is done. */
static bool
land_all(struct fetcher *k, const struct chunk_header *h, struct job *j, bool exact, struct err *err)
{
	bool all = true;

	for (size_t i = 0; i < j->n; i++) {
		err_code rc;

		if (j->needs[i].done)
			continue;
		rc = land_need(k, h, &j->needs[i], slot_of(j, &j->needs[i], exact), err);
		if (garbled(rc)) {
			all = false;
			continue;
		}
		if (transfer_fatal(rc))
			pull_fail(k->pull, err);
		need_done(k, &j->needs[i], rc ? err : NULL);
	}
	return all;
}

static bool
all_done(const struct job *j)
{
	bool done = true;

	for (size_t i = 0; i < j->n; i++)
		done = done && j->needs[i].done;
	return done;
}

/* A chunk, by its own name.  Returns whether everything that was needed of it was found. */
static bool
chunk_run(struct fetcher *k, struct job *j)
{
	struct chunk_header h;
	struct err err = { .code = ERR_OK };

	if (all_done(j))
		return true;
	for (unsigned tries = 0; tries < TRIES_MAX && !pull_stopped(k->pull); tries++) {
		bool whole = tries > 0 || j->raw_len >= WHOLE_FROM;
		err_code rc = whole ? load_whole(k, j, &h, &err) : load_part(k, j, &h, &err);

		if (rc == ERR_OK && land_all(k, &h, j, false, &err))
			return true;
		if (rc && transfer_fatal(rc))
			pull_fail(k->pull, &err);
		if (rc && !garbled(rc))
			break; /* NOT_FOUND: the version is gone; plan again */
	}
	if (garbled(err.code) && err.code != ERR_PROTOCOL)
		err.code = ERR_CORRUPT;
	if (err.code == ERR_OK)
		(void)err_set(&err, ERR_CANCELLED, "stopped on request");
	for (size_t i = 0; i < j->n; i++) /* L2 */
		if (!j->needs[i].done)
			need_done(k, &j->needs[i], &err);
	return false;
}

/* Blocks of several chunks in one request.  What that does not bring is asked for chunk by chunk: false. */
static bool
exact_run(struct fetcher *k, struct job *j, err_code *why)
{
	struct chunk_header h;
	bool all = true;
	struct err err;

	*why = load_exact(k, j, &h, &err);
	if (*why && transfer_fatal(*why))
		pull_fail(k->pull, &err);
	if (*why)
		return false;
	for (struct job *c = j; c; c = c->also)
		all = land_all(k, &h, c, true, &err) && all;
	return all;
}

/* A server that does not have the call says that there is no such thing, or no such method; of a lost chunk it would say the same. */
static void
learn(struct pull *p, err_code why, bool found)
{
	if (why == ERR_METHOD_NOT_ALLOWED || (why == ERR_NOT_FOUND && found))
		__atomic_store_n(&p->no_fetch, true, __ATOMIC_RELAXED);
}

static void
job_run(struct fetcher *k, struct job *j)
{
	bool exact = j->exact && !__atomic_load_n(&k->pull->no_fetch, __ATOMIC_RELAXED) && !pull_stopped(k->pull);
	err_code why = ERR_OK;
	bool found = true;

	if (exact && exact_run(k, j, &why))
		return;
	for (struct job *c = j; c; c = c->also)
		found = chunk_run(k, c) && found;
	learn(k->pull, why, found);
}

void *
fetcher_main(void *arg)
{
	struct fetcher k = { .pull = arg };
	struct job *j;

	k.arena = arena_new(HEADER_MEMORY);
	k.codec = codec_new();
	k.chunk = xmalloc(CHUNK_LEN_MAX);
	k.room = xmalloc(CHUNK_OPEN_MAX * BLOCK_LEN_MAX);
	k.runs = xmalloc(BLOCKS_FETCH_MAX * sizeof *k.runs);
	while ((j = job_wait(arg))) {
		job_run(&k, j);
		job_free(j);
	}
	free(k.runs);
	free(k.room);
	free(k.chunk);
	codec_free(k.codec);
	arena_free(k.arena);
	return NULL;
}
