/*
 * Transfers: what ties the chunks of an upload together until a commit names them, so that it can be resumed.
 */
#include "server/domain/transfer.h"

#include "base/clock.h"
#include "server/domain/domain_internal.h"

err_code
transfer_mine(struct meta_tx *tx, const struct id *project, const struct id *device, const struct id *id,
    struct transfer *out, struct err *err)
{
	err_code rc = meta_transfer_get(tx, project, id, out, err);

	if (rc == ERR_NOT_FOUND || (!rc && !id_eq(&out->device, device)))
		return err_set(err, ERR_NOT_FOUND, "there is no such transfer here");
	return rc;
}

err_code
transfer_open_mine(struct meta_tx *tx, const struct id *project, const struct id *device, const struct id *id,
    struct transfer *out, struct err *err)
{
	err_code rc = transfer_mine(tx, project, device, id, out, err);

	if (!rc && out->state != TRANSFER_OPEN)
		return err_set(err, ERR_TRANSFER_GONE, "the transfer has ended");
	return rc;
}

static err_code
start_check(const struct transfer_start *s, struct err *err)
{
	if (s->size < 0)
		return err_set(err, ERR_FIELD_RANGE, "size: not negative");
	if ((uint64_t)s->size > FILE_SIZE_MAX)
		return err_set(err, ERR_FILE_TOO_LARGE, "a file has at most 16 TiB");
	return s->path[0] ? path_check(s->path, strlen(s->path), err) : ERR_OK;
}

/* All that is written when a transfer starts; ${t} is filled but for nothing. */
static err_code
start_write(struct meta_tx *tx, const struct id *project, const struct transfer *t, struct err *err)
{
	struct project p;
	unsigned open;
	err_code rc;

	rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = quota_left(&p, err);
	if (!rc)
		rc = meta_transfer_open_count(tx, &t->device, &open, err);
	if (rc)
		return rc;
	if (open >= TRANSFERS_PER_DEVICE_MAX)
		return err_set(err, ERR_TOO_MANY_UPLOADS, "this device has %u open transfers", open);
	rc = meta_transfer_add(tx, project, t, err);
	if (!rc)
		rc = meta_transfer_event(tx, project, &t->id, "started", t->created_at, err);
	return rc ? rc : meta_transfer_progress(tx, &t->id, 0, t->created_at, err);
}

err_code
transfer_create(struct domain *d, const struct id *project, const struct transfer_start *s, struct idem *idem,
    struct arena *a, struct transfer *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct transfer t = { .device = s->device, .path = s->path, .size = s->size, .created_at = clock_wall_us() };
	err_code rc;

	rc = start_check(s, err);
	if (!rc)
		rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = idem_find(tx, idem, a, err);
	if (rc || (idem && idem->replayed))
		return rc;
	t.id = id_new();
	t.expires_at = t.created_at + TRANSFER_LIFE_US;
	rc = start_write(tx, project, &t, err);
	if (rc)
		return rc;
	*out = t;
	out->path = arena_strdup(a, t.path);
	if (!out->path)
		return no_memory(err);
	rc = idem_keep(tx, idem, err);
	(void)recent_due(d->progress, &t.id); /* start_write has written its row just now */
	return rc ? rc : meta_commit(&tx, err);
}

err_code
transfer_get(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer, uint32_t from,
    unsigned limit, struct arena *a, struct transfer *out, struct transfer_chunk **chunks, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct transfer_chunk *rows;
	struct transfer t;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = transfer_mine(tx, project, device, transfer, &t, err);
	if (!rc)
		rc = meta_transfer_chunk_list(tx, transfer, from, limit, &rows, n, err);
	if (rc)
		return rc;
	*out = t;
	out->path = arena_strdup(a, t.path);
	*chunks = arena_memdup(a, rows, *n * sizeof *rows);
	return out->path && *chunks ? ERR_OK : no_memory(err);
}

err_code
transfer_abandon(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t now_us = clock_wall_us();
	struct transfer t;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = transfer_mine(tx, project, device, transfer, &t, err);
	if (rc || t.state != TRANSFER_OPEN)
		return rc;
	rc = meta_transfer_end(tx, project, transfer, TRANSFER_ABANDONED, now_us, err);
	if (!rc)
		rc = meta_transfer_event(tx, project, transfer, "abandoned", now_us, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	if (rc)
		return rc;
	recent_forget(d->progress, transfer);
	underway_over(d, project, device, transfer, false);
	return ERR_OK;
}

err_code
transfer_put_blocks(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer,
    uint64_t first, const uint8_t *packed, size_t len, struct arena *a, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct blocklist list;
	struct transfer t;
	err_code rc;

	rc = blocklist_either_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, &list, err);
	if (rc)
		return rc;
	if (first > FILE_SIZE_MAX - list.block_count) /* a block has at least a byte */
		return err_set(err, ERR_FIELD_RANGE, "from: past the last block that a file can have");
	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = transfer_open_mine(tx, project, device, transfer, &t, err);
	if (!rc)
		rc = meta_transfer_blocks_put(tx, transfer, first, packed, len, list.block_count, err);
	return rc ? rc : meta_commit(&tx, err);
}
