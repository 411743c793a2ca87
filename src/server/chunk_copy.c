#include "server/chunk_copy.h"

#include <errno.h>

#define PAGE 1000
#define PIECE (256 * KIB) /* a chunk is read, verified and written in so large pieces */

void
chunk_copy_fini(struct chunk_copy *c)
{
	free(c->bad);
	c->bad = NULL;
}

const char *
chunk_ill_name(enum chunk_ill ill)
{
	static const char *const names[] = { [CHUNK_MISSING] = "missing", [CHUNK_DAMAGED] = "damaged", [CHUNK_UNREADABLE] = "unreadable" };

	return names[ill];
}

/* A sector that cannot be read is the chunk's own trouble: those on other sectors are saved all the same. */
bool
chunk_ill_of(const struct err *err, enum chunk_ill *ill)
{
	switch (err->code) {
	case ERR_NOT_FOUND:
		*ill = CHUNK_MISSING;
		return true;
	case ERR_CHUNK_INVALID:
	case ERR_ENCODING_INVALID:
	case ERR_HASH_MISMATCH:
		*ill = CHUNK_DAMAGED;
		return true;
	case ERR_IO:
		*ill = CHUNK_UNREADABLE;
		return err->sys == EIO || err->sys == EUCLEAN || err->sys == EBADMSG; /* the last two: a sum of the file system's is wrong */
	default:
		return false;
	}
}

static void
note_bad(struct chunk_copy *c, const struct store_key *key, enum chunk_ill ill)
{
	c->bad = xrealloc(c->bad, (c->bad_count + 1) * sizeof *c->bad);
	c->bad[c->bad_count++] = (struct bad_chunk){ *key, ill };
}

static void
note_done(struct chunk_copy *c, int64_t len)
{
	c->done++;
	c->done_bytes += (uint64_t)len;
	if (c->tick)
		c->tick(c->ctx, c);
}

/* ---- every chunk ----------------------------------------------------------------------------------------------------------- */

typedef err_code each_chunk(struct chunk_copy *c, const struct store_key *key, int64_t len, struct err *err);

/* No transaction is open while chunks are read: a reader of hours would keep the log of a server that writes from being emptied. */
struct page {
	struct chunk_name {
		struct hash hash;
		int64_t len;
	} chunks[PAGE];
	size_t n;
};

static err_code
page_read(struct chunk_copy *c, const struct id *project, const struct hash *after, struct page *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct chunk *rows;
	err_code rc;

	out->n = 0;
	rc = meta_begin(c->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_chunk_list(tx, project, after, PAGE, &rows, &out->n, err);
	for (size_t i = 0; !rc && i < out->n; i++)
		out->chunks[i] = (struct chunk_name){ rows[i].id, rows[i].stored_len };
	return rc;
}

static err_code
project_chunks(struct chunk_copy *c, const struct id *project, each_chunk *fn, struct err *err)
{
	AUTO(freep) struct page *page = xmalloc(sizeof *page);
	struct store_key key = { .project = *project };
	const struct hash *after = NULL;
	err_code rc;

	do {
		rc = page_read(c, project, after, page, err);
		for (size_t i = 0; !rc && i < page->n; i++) {
			key.hash = page->chunks[i].hash;
			rc = fn(c, &key, page->chunks[i].len, err);
		}
		after = &key.hash;
	} while (!rc && page->n == PAGE);
	return rc;
}

static err_code
projects_read(struct chunk_copy *c, const struct id *after, struct id *ids, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project *rows;
	err_code rc;

	*n = 0;
	rc = meta_begin(c->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_project_list(tx, NULL, after, PAGE, &rows, n, err);
	for (size_t i = 0; !rc && i < *n; i++)
		ids[i] = rows[i].id;
	return rc;
}

err_code
chunk_copy_projects(struct chunk_copy *c, err_code (*fn)(void *ctx, const struct id *project, struct err *err), void *ctx, struct err *err)
{
	AUTO(freep) struct id *ids = xmalloc(PAGE * sizeof *ids);
	const struct id *after = NULL;
	struct id last;
	size_t n;
	err_code rc;

	do {
		rc = projects_read(c, after, ids, &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			rc = fn(ctx, &ids[i], err);
		if (!rc && n > 0)
			last = ids[n - 1];
		after = &last;
	} while (!rc && n == PAGE);
	return rc;
}

struct chunk_walk {
	struct chunk_copy *c;
	each_chunk *fn;
};

static err_code
walk_project(void *ctx, const struct id *project, struct err *err)
{
	const struct chunk_walk *w = ctx;

	return project_chunks(w->c, project, w->fn, err);
}

static err_code
all_chunks(struct chunk_copy *c, each_chunk *fn, struct err *err)
{
	return chunk_copy_projects(c, walk_project, &(struct chunk_walk){ c, fn }, err);
}

static err_code
count(struct chunk_copy *c, const struct store_key *key, int64_t len, struct err *err)
{
	(void)key;
	(void)err;
	c->total++;
	c->total_bytes += (uint64_t)len;
	return ERR_OK;
}

err_code
chunk_copy_count(struct chunk_copy *c, struct err *err)
{
	c->total = c->total_bytes = 0;
	return all_chunks(c, count, err);
}

/* ---- heads ----------------------------------------------------------------------------------------------------------------- */

err_code
chunk_head_read(struct store *from, const struct store_key *key, struct arena *a, struct chunk_header *out, struct err *err)
{
	uint8_t *head = arena_alloc(a, CHUNK_HEADER_MAX);
	size_t got;
	err_code rc;

	if (!head)
		return err_set(err, ERR_NO_MEM, "no memory for the head of a chunk");
	rc = store_read(from, key, 0, head, CHUNK_HEADER_MAX, &got, err);
	if (!rc)
		rc = chunk_header_parse(head, got, a, out, err);
	if (!rc && !hash_eq(&out->id, &key->hash))
		rc = err_set(err, ERR_HASH_MISMATCH, "the chunk is not the one of its name");
	return rc;
}

static err_code
check_head(struct chunk_copy *c, const struct store_key *key, int64_t len, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(CHUNK_BLOCKS_MAX * sizeof(struct chunk_block) + CHUNK_HEADER_MAX + 4 * KIB);
	struct chunk_header h;
	uint64_t size = 0;
	err_code rc = chunk_head_read(c->from, key, a, &h, err);

	if (!rc)
		rc = store_size(c->from, key, &size, err);
	if (!rc && (size != (uint64_t)len || size != h.total_len))
		rc = err_set(err, ERR_HASH_MISMATCH, "the chunk is not as long as it should be");
	return rc;
}

/* ---- copying --------------------------------------------------------------------------------------------------------------- */

/*
 * Read, verify, write to ${w} unless that is NULL.  NOT_FOUND, or what chunk_check says, when the source is bad; *source_bad tells that
 * from a failing target.
 */
static err_code
pump(struct chunk_copy *c, const struct store_key *key, int64_t len, struct store_writer *w, bool *source_bad, struct err *err)
{
	AUTO(chunk_check_freep) struct chunk_check *check = chunk_check_new();
	AUTO(freep) uint8_t *piece = xmalloc(PIECE);
	const struct chunk_header *header;
	uint64_t at = 0;
	size_t got;
	err_code rc;

	do {
		*source_bad = true;
		rc = store_read(c->from, key, at, piece, PIECE, &got, err);
		if (!rc)
			rc = chunk_check_feed(check, piece, got, err);
		if (rc)
			return rc;
		*source_bad = false;
		if (w)
			rc = store_write(w, piece, got, err);
		at += got;
	} while (!rc && got == PIECE);
	if (rc)
		return rc;
	*source_bad = true;
	rc = chunk_check_done(check, &header, err);
	if (!rc && (!hash_eq(&header->id, &key->hash) || at != (uint64_t)len))
		rc = err_set(err, ERR_HASH_MISMATCH, "the chunk is not the one of its name");
	return rc;
}

static err_code
copy_one(struct chunk_copy *c, const struct store_key *key, int64_t len, struct err *err)
{
	AUTO(store_abandon) struct store_writer *w = NULL;
	enum chunk_ill ill;
	bool source_bad = false;
	err_code rc;

	rc = c->to ? store_open_writer(c->to, &w, err) : ERR_OK;
	if (!rc && c->heads) {
		source_bad = true;
		rc = check_head(c, key, len, err);
	} else if (!rc) {
		rc = pump(c, key, len, w, &source_bad, err);
	}
	if (rc && source_bad && chunk_ill_of(err, &ill)) {
		note_bad(c, key, ill);
		return ERR_OK;
	}
	if (!rc && w)
		rc = store_finish(&w, key, err);
	if (rc)
		return rc;
	c->copied += c->to != NULL;
	c->copied_bytes += c->to ? (uint64_t)len : 0;
	note_done(c, len);
	return ERR_OK;
}

static err_code
need(struct chunk_copy *c, const struct store_key *key, int64_t len, struct err *err)
{
	uint64_t size = 0;
	err_code rc = c->to ? store_size(c->to, key, &size, err) : ERR_NOT_FOUND;

	if ((rc == ERR_OK && size != (uint64_t)len) || rc == ERR_NOT_FOUND)
		return copy_one(c, key, len, err);
	if (rc == ERR_OK)
		note_done(c, len);
	return rc;
}

err_code
chunk_copy_run(struct chunk_copy *c, struct err *err)
{
	c->done = c->done_bytes = 0;
	c->bad_count = 0;
	return all_chunks(c, need, err);
}

err_code
chunk_copy_forget_collected(struct chunk_copy *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	size_t kept = 0;
	err_code rc;

	rc = meta_begin(c->meta, META_READ, &tx, err);
	for (size_t i = 0; !rc && i < c->bad_count; i++) {
		const struct store_key *key = &c->bad[i].key;
		struct chunk chunk;

		rc = meta_chunk_get(tx, &key->project, &key->hash, &chunk, err);
		if (rc == ERR_OK)
			c->bad[kept++] = c->bad[i];
		else if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
	}
	if (!rc)
		c->bad_count = kept;
	return rc;
}

/* ---- what is too much ------------------------------------------------------------------------------------------------------ */

struct prune {
	struct chunk_copy *c;
	uint64_t removed;
	err_code rc;
	struct err *err;
};

static bool
drop_unnamed(void *ctx, const struct store_key *key, uint64_t size)
{
	struct prune *p = ctx;
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct chunk chunk;

	(void)size;
	p->rc = meta_begin(p->c->meta, META_READ, &tx, p->err);
	if (!p->rc)
		p->rc = meta_chunk_get(tx, &key->project, &key->hash, &chunk, p->err);
	if (p->rc == ERR_NOT_FOUND) {
		p->rc = store_delete(p->c->to, key, p->err);
		p->removed++;
	}
	return p->rc == ERR_OK;
}

err_code
chunk_copy_prune(struct chunk_copy *c, uint64_t *removed, struct err *err)
{
	struct prune p = { .c = c, .err = err };
	err_code rc = store_list(c->to, drop_unnamed, &p, err);

	*removed = p.removed;
	return rc ? rc : p.rc;
}
