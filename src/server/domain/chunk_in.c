/*
 * A chunk on its way in: each piece is verified, then written, so what the store is asked to finish is already known to be what
 * its name says (I3).  Only after store_finish has made it durable do rows name it (I1, I2).
 */
#include <assert.h>

#include "base/clock.h"
#include "base/fault.h"
#include "server/domain/domain_internal.h"
#include "server/domain/transfer.h"

struct chunk_in {
	struct domain *d;
	struct id project, device, transfer;
	uint32_t n;
	uint64_t len;
	struct chunk_check *check;
	struct store_writer *writer;
	struct publishing publishing;
	struct underway *underway;
	bool arrived;
};

static err_code
may_send(struct domain *d, struct chunk_in *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct transfer t;
	err_code rc;

	if (c->n >= TRANSFER_CHUNKS_MAX)
		return err_set(err, ERR_FIELD_RANGE, "a transfer has chunks 0 to %d", TRANSFER_CHUNKS_MAX - 1);
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = transfer_open_mine(tx, &c->project, &c->device, &c->transfer, &t, err);
	if (!rc && t.expires_at <= clock_wall_us())
		rc = err_set(err, ERR_TRANSFER_GONE, "the transfer has expired");
	if (!rc)
		c->underway = underway_begin(d, &c->project, &t);
	return rc;
}

err_code
chunk_in_open(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer, uint32_t n,
    struct chunk_in **out, struct err *err)
{
	struct chunk_in *c = xcalloc(1, sizeof *c);
	err_code rc;

	c->d = d;
	c->project = *project;
	c->device = *device;
	c->transfer = *transfer;
	c->n = n;
	rc = may_send(d, c, err);
	if (!rc)
		rc = store_open_writer(d->store, &c->writer, err);
	if (rc) {
		chunk_in_free(c);
		return rc;
	}
	c->check = chunk_check_new();
	*out = c;
	return ERR_OK;
}

err_code
chunk_in_feed(struct chunk_in *c, const uint8_t *p, size_t len, struct err *err)
{
	err_code rc;

	if (len == 0)
		return ERR_OK;
	rc = chunk_check_feed(c->check, p, len, err);
	if (!rc)
		rc = store_write(c->writer, p, len, err);
	if (rc)
		return rc;
	c->len += len;
	underway_moved(c->d, c->underway, len);
	return ERR_OK;
}

err_code
chunk_in_finish(struct chunk_in *c, struct hash *id, struct err *err)
{
	struct store_key key = { .project = c->project };
	struct registration r = { .project = c->project, .device = c->device, .transfer = c->transfer, .n = c->n };
	const struct chunk_header *h;
	err_code rc;

	assert(c->writer); /* finished once */
	rc = chunk_check_done(c->check, &h, err);
	if (rc)
		return rc;
	rc = quota_foresee(c->d, &c->project, &h->id, (int64_t)c->len, err);
	if (rc)
		return rc;
	key.hash = h->id;
	publish_begin(c->d, &c->publishing, &key); /* G5; chunk_in_free ends it after an error */
	r.chunk = (struct chunk){ .id = h->id, .stored_len = (int64_t)c->len, .raw_len = h->raw_len,
		.block_count = h->count, .created_at = clock_wall_us() };
	if (FAULT("domain.chunk_known_early")) { /* M5 */
		header_offer(c->d, &key, h);
		rc = register_chunk(c->d, &r, err);
	}
	if (!rc)
		rc = store_finish(&c->writer, &key, err);
	if (rc)
		return err_wrap(err, "store the chunk");
	rc = register_chunk(c->d, &r, err);
	publish_end(c->d, &c->publishing);
	if (rc)
		return rc;
	c->arrived = true;
	header_offer(c->d, &key, h); /* the commit that follows will ask for it */
	*id = h->id;
	return ERR_OK;
}

void
chunk_in_free(struct chunk_in *c)
{
	if (!c)
		return;
	publish_end(c->d, &c->publishing);
	underway_end(c->d, c->underway, c->len, c->arrived);
	store_abandon(&c->writer);
	chunk_check_free(c->check);
	free(c);
}
