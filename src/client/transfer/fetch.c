/*
 * Fetchers: get what is needed of a chunk, verify it, and write it where it belongs.
 */
#include <assert.h>

#include "base/pathat.h"
#include "chunk/cut.h"
#include "client/transfer/pull_internal.h"

#define HEADER_MEMORY (256 * KIB) /* CHUNK_BLOCKS_MAX rows, parsed */

struct fetcher {
	struct pull *pull;
	struct arena *arena;
	struct codec *codec;
	uint8_t *chunk;             /* CHUNK_LEN_MAX: bytes of the container where they belong, not all of them filled */
	uint8_t *block;             /* BLOCK_LEN_MAX */
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
	for (size_t i = 0; i < j->n; i++)
		for (uint64_t b = j->needs[i].first; b < (uint64_t)j->needs[i].first + j->needs[i].count && b < h->count; b++) {
			bytes += needed[b] ? 0 : h->blocks[b].stored_len;
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

static err_code
load_part(struct fetcher *k, const struct job *j, struct chunk_header *h, struct err *err)
{
	bool needed[CHUNK_BLOCKS_MAX];
	size_t got = 0, total = 0;
	err_code rc = remote_chunk_start(k->pull->env->remote, &j->chunk, k->chunk, START_LEN, &got, &total, err);

	if (!rc)
		rc = header_check(k, j, got, total, h, err);
	if (rc || got == total)
		return rc;
	if (2 * mark_needed(j, h, needed) >= total)
		return load_range(k, j, got, total, err);
	return load_runs(k, j, h, needed, got, err);
}

/* ---- landing blocks --------------------------------------------------------------------------------------------------------- */

/* Where the next block of a need goes, and what it must be; *fits: the grid that was assumed is the grid that is there. */
static err_code
block_check(const struct need *n, const struct chunk_block *b, uint32_t i, uint64_t offset, bool *fits, struct err *err)
{
	const struct entry *want = n->file->f->want;

	*fits = true;
	if (n->expect && (!hash_eq(&b->hash, &n->expect[i].hash) || b->raw_len != n->expect[i].len))
		return err_set(err, ERR_CORRUPT, "%s: a chunk does not hold the block that the list names", want->path);
	if (n->grid && b->raw_len != cut_block_len((uint64_t)want->size, n->index + i)) {
		*fits = false;
		return ERR_OK;
	}
	if (offset + b->raw_len > (uint64_t)want->size)
		return err_set(err, ERR_CORRUPT, "%s: its blocks are longer than the file", want->path);
	return ERR_OK;
}

static void
want_list(struct pull *p, struct landing *l)
{
	mutex_lock(&p->mu);
	l->relist = true;
	mutex_unlock(&p->mu);
}

static err_code
land_need(struct fetcher *k, const struct chunk_header *h, const struct need *n, struct err *err)
{
	struct landing *l = n->file;
	uint64_t offset = n->offset;
	err_code rc;

	if ((uint64_t)n->first + n->count > h->count)
		return err_set(err, ERR_CORRUPT, "%s: names blocks that its chunk does not have", l->f->want->path);
	rc = landing_open(k->pull, l, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < n->count; i++) {
		const struct chunk_block *b = &h->blocks[n->first + i];
		bool fits;

		rc = block_check(n, b, i, offset, &fits, err);
		if (rc)
			return rc;
		if (!fits) {
			want_list(k->pull, l);
			return ERR_OK;
		}
		rc = chunk_block_open(k->codec, b, k->chunk + b->offset, k->block, err);
		if (!rc)
			rc = pwrite_full(l->fd, k->block, b->raw_len, offset, err);
		if (rc)
			return rc;
		if (l->blocks)
			l->blocks[n->index + i] = (struct block){ .hash = b->hash, .len = b->raw_len };
		offset += b->raw_len;
		progress_bytes(k->pull->env, b->raw_len);
	}
	return ERR_OK;
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
	n->done = true;
	if (why)
		landing_fail(k->pull, n->file, why);
	landing_settle(k->pull, n->file);
	n->file = NULL;
}

/* Land what can be landed; what is garbled stays undone.  Returns whether all is done. */
static bool
land_all(struct fetcher *k, const struct chunk_header *h, struct job *j, struct err *err)
{
	bool all = true;

	for (size_t i = 0; i < j->n; i++) {
		err_code rc;

		if (j->needs[i].done)
			continue;
		rc = land_need(k, h, &j->needs[i], err);
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

static void
job_run(struct fetcher *k, struct job *j)
{
	struct chunk_header h;
	struct err err = { .code = ERR_OK };

	for (unsigned tries = 0; tries < TRIES_MAX && !pull_stopped(k->pull); tries++) {
		bool whole = tries > 0 || 2 * j->raw_len >= CHUNK_RAW_MAX;
		err_code rc = whole ? load_whole(k, j, &h, &err) : load_part(k, j, &h, &err);

		if (rc == ERR_OK && land_all(k, &h, j, &err))
			return;
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
}

void *
fetcher_main(void *arg)
{
	struct fetcher k = { .pull = arg };
	struct job *j;

	k.arena = arena_new(HEADER_MEMORY);
	k.codec = codec_new();
	k.chunk = xmalloc(CHUNK_LEN_MAX);
	k.block = xmalloc(BLOCK_LEN_MAX);
	while ((j = job_wait(arg))) {
		job_run(&k, j);
		job_free(j);
	}
	free(k.block);
	free(k.chunk);
	codec_free(k.codec);
	arena_free(k.arena);
	return NULL;
}
