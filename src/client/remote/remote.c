/*
 * The front of a server: checks what goes in and what comes out of a back-end, whichever it is.
 */
#include <assert.h>

#include "client/remote/remote_backend.h"

void
remote_free(struct remote *r)
{
	if (r)
		r->backend->free(r);
}

bool
remote_is_away(err_code rc)
{
	return rc == ERR_NETWORK || rc == ERR_UNAVAILABLE || rc == ERR_TOO_MANY_REQUESTS || rc == ERR_INTERNAL || rc == ERR_TIMEOUT;
}

void
remote_stats(struct remote *r, struct remote_stats *out)
{
	r->backend->stats(r, out);
}

err_code
remote_self(struct remote *r, struct arena *a, struct remote_self *out, struct err *err)
{
	return r->backend->self(r, a, out, err);
}

err_code
remote_changes(struct remote *r, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *err)
{
	return r->backend->changes(r, since, a, out, err);
}

err_code
remote_snapshot_part(struct remote *r, struct hash *object, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *err)
{
	uint64_t whole = 0;
	err_code rc;

	assert(cap > 0 && (off == 0 || off < *total));
	rc = r->backend->snapshot_part(r, object, off, buf, cap, got, &whole, err);
	if (rc)
		return rc;
	if ((off > 0 && whole != *total) || *got != MIN(cap, whole - off))
		return err_set(err, ERR_PROTOCOL, "a snapshot of %llu bytes gave %zu of them", (unsigned long long)whole, *got);
	*total = whole;
	return ERR_OK;
}

err_code
remote_blocks(struct remote *r, const struct id *file, int64_t version, uint64_t from, struct arena *a, const uint8_t **packed,
    size_t *len, bool *more, struct err *err)
{
	return r->backend->blocks(r, file, version, from, a, packed, len, more, err);
}

err_code
remote_extents(struct remote *r, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed, size_t *len,
    bool *more, struct err *err)
{
	return r->backend->extents(r, file, from, a, packed, len, more, err);
}

err_code
remote_blocks_fetch(struct remote *r, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err)
{
	assert(n > 0 && n <= BLOCKS_FETCH_MAX);
	return r->backend->blocks_fetch(r, runs, n, buf, len, err);
}

err_code
remote_transfer_create(struct remote *r, const char *path, int64_t size, struct id *out, struct err *err)
{
	assert(path && size >= 0);
	return r->backend->transfer_create(r, path, size, out, err);
}

/* A page that says things twice, or out of order, would make a resume believe what is not so. */
static bool
in_order(const struct remote_transfer *t, uint32_t from)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->chunks[i].n < from || (i > 0 && t->chunks[i].n <= t->chunks[i - 1].n))
			return false;
	return true;
}

err_code
remote_transfer_get(struct remote *r, const struct id *transfer, uint32_t from, struct arena *a, struct remote_transfer *out,
    struct err *err)
{
	err_code rc = r->backend->transfer_get(r, transfer, from, a, out, err);

	if (rc)
		return rc;
	if (!in_order(out, from))
		return err_set(err, ERR_PROTOCOL, "the numbers of a transfer's chunks are out of order");
	if (out->more && out->n == 0)
		return err_set(err, ERR_PROTOCOL, "an empty page of a transfer that goes on");
	return ERR_OK;
}

err_code
remote_transfer_blocks(struct remote *r, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
    struct err *err)
{
	assert(len > 0);
	return r->backend->transfer_blocks(r, transfer, first, packed, len, err);
}

err_code
remote_chunk_put(struct remote *r, const struct id *transfer, uint32_t n, const uint8_t *p, size_t len, struct err *err)
{
	assert(len > 0 && len <= CHUNK_LEN_MAX);
	return r->backend->chunk_put(r, transfer, n, p, len, err);
}

err_code
remote_transfer_delete(struct remote *r, const struct id *transfer, struct err *err)
{
	return r->backend->transfer_delete(r, transfer, err);
}

err_code
remote_chunk_get(struct remote *r, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t len, struct err *err)
{
	size_t got = 0;
	uint64_t total = 0;
	err_code rc;

	assert(len > 0 && len <= CHUNK_LEN_MAX);
	rc = r->backend->chunk_range(r, chunk, off, buf, len, &got, &total, err);
	if (rc)
		return rc;
	if (got != len)
		return err_set(err, ERR_PROTOCOL, "a chunk gave %zu bytes where %zu were asked for", got, len);
	return ERR_OK;
}

err_code
remote_chunk_start(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t cap, size_t *got, size_t *total,
    struct err *err)
{
	uint64_t whole = 0;
	err_code rc;

	assert(cap > 0 && cap <= CHUNK_LEN_MAX);
	rc = r->backend->chunk_range(r, chunk, 0, buf, cap, got, &whole, err);
	if (rc)
		return rc;
	if (whole > CHUNK_LEN_MAX || *got != MIN(whole, cap))
		return err_set(err, ERR_PROTOCOL, "a chunk of %llu bytes gave %zu of its first %zu", (unsigned long long)whole, *got, cap);
	*total = (size_t)whole;
	return ERR_OK;
}

err_code
remote_chunk_get_all(struct remote *r, const struct hash *chunk, uint8_t *buf, size_t *len, struct err *err)
{
	return r->backend->chunk_all(r, chunk, buf, len, err);
}

err_code
remote_commit(struct remote *r, const struct wire_commit *c, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	err_code rc;

	assert(c->n > 0 && c->n <= COMMIT_OPS_MAX);
	rc = r->backend->commit(r, c, a, out, err);
	if (rc)
		return rc;
	if (out->n != c->n)
		return err_set(err, ERR_PROTOCOL, "a commit of %zu operations was answered with %zu results", c->n, out->n);
	return ERR_OK;
}

err_code
remote_dir(struct remote *r, const char *dir, const struct remote_view *view, const char *after, struct arena *a,
    struct wire_file **out, size_t *n, const char **next, struct err *err)
{
	assert(!view->search || !view->sort);
	return r->backend->dir(r, dir, view, after, a, out, n, next, err);
}

err_code
remote_at(struct remote *r, const char *path, struct arena *a, struct wire_file **out, size_t *n, struct err *err)
{
	assert(*path);
	return r->backend->at(r, path, a, out, n, err);
}

err_code
remote_versions(struct remote *r, const struct id *file, int64_t before, struct arena *a, struct wire_version **out, size_t *n,
    bool *more, struct err *err)
{
	return r->backend->versions(r, file, before, a, out, n, more, err);
}

err_code
remote_conflicts(struct remote *r, bool all, const struct cursor *after, struct arena *a, struct wire_conflicts *out, struct err *err)
{
	return r->backend->conflicts(r, all, after, a, out, err);
}

err_code
remote_resolve(struct remote *r, const struct id *conflict, const struct wire_resolve *wish, struct arena *a,
    struct wire_conflict *out, struct err *err)
{
	assert(wish->keep >= WIRE_CURRENT && wish->keep <= WIRE_MERGED);
	return r->backend->resolve(r, conflict, wish, a, out, err);
}

err_code
remote_devices(struct remote *r, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project, struct err *err)
{
	return r->backend->devices(r, a, out, n, project, err);
}

err_code
remote_progress(struct remote *r, const struct wire_progress *p, size_t n, struct err *err)
{
	assert(n > 0 && n <= PROGRESS_PER_DEVICE_MAX);
	return r->backend->progress(r, p, n, err);
}

err_code
remote_checkpoint_put(struct remote *r, const struct cursor *at, struct err *err)
{
	assert(at->has_epoch);
	return r->backend->checkpoint_put(r, at, err);
}
