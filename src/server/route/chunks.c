/*
 * Chunk containers, in as a transfer's and out by their hash.
 */
#include "base/num.h"
#include "server/domain/transfer.h"
#include "server/route/route_internal.h"

/* ---- in ------------------------------------------------------------------------------------------------------------------------- */

static err_code
put_open(struct call *c, struct err *err)
{
	const struct target_text *number = target_param(&c->target, "n");
	struct chunk_in *in;
	struct id id;
	uint64_t n;
	err_code rc = query_end(c, err);

	if (!rc && !parse_u64(number->s, number->len, TRANSFER_CHUNKS_MAX - 1, &n))
		rc = err_set(err, ERR_FIELD_RANGE, "a chunk's number is 0 to %d", TRANSFER_CHUNKS_MAX - 1);
	if (!rc)
		rc = call_id(c, "transfer", &id, err);
	if (!rc)
		rc = chunk_in_open(c->d, &c->project, &c->caller.device.id, &id, (uint32_t)n, &in, err);
	if (!rc)
		c->stream = in;
	return rc;
}

static err_code
put_feed(struct call *c, const uint8_t *p, size_t len, struct err *err)
{
	return chunk_in_feed(c->stream, p, len, err);
}

/** The acknowledgement: from here on the chunk survives a power cut (I1). */
static err_code
put_finish(struct call *c, struct err *err)
{
	struct sbuf sb = SBUF(256);
	struct jw jw = JW(&sb);
	struct hash chunk;
	err_code rc = chunk_in_finish(c->stream, &chunk, err);

	if (rc)
		return rc;
	jw_object(&jw);
	jw_khash(&jw, "chunk", &chunk);
	jw_kbool(&jw, "stored", true);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

static void
put_free(struct call *c)
{
	if (c->stream != NULL)
		chunk_in_free(c->stream);
}

const struct stream_handler route_transfer_chunk_put = {
	.body_max = CHUNK_LEN_MAX,
	.open = put_open,
	.feed = put_feed,
	.finish = put_finish,
	.free = put_free,
};

/* ---- out ------------------------------------------------------------------------------------------------------------------------ */

struct reader {
	struct domain *d;
	struct id project;
	struct hash chunk;
	uint64_t off, left;
};

static err_code
reader_read(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	struct reader *r = ctx;
	err_code rc = chunk_read(r->d, &r->project, &r->chunk, r->off, buf, (size_t)MIN(cap, r->left), got, err);

	if (rc)
		return rc;
	if (*got == 0)
		return err_set(err, ERR_CORRUPT, "the chunk ends early");
	r->off += *got;
	r->left -= *got;
	return ERR_OK;
}

static err_code
reader_open(struct call *c, void *ctx, uint64_t off, uint64_t len, struct http_source *src, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof *r);

	(void)err;
	*r = (struct reader){ .d = c->d, .project = c->project, .chunk = *(struct hash *)ctx, .off = off, .left = len };
	*src = (struct http_source){ .ctx = r, .read = reader_read, .close = free };
	return ERR_OK;
}

err_code
route_chunk_get(struct call *c, struct err *err)
{
	const struct target_text *text = target_param(&c->target, "hash");
	char hex[HASH_HEX_LEN + 1], etag[HASH_HEX_LEN + 3];
	struct body b = { .type = "application/octet-stream", .fd = -1, .source = reader_open };
	struct hash hash;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = hash_parse(text->s, text->len, &hash, err);
	if (!rc)
		rc = chunk_fd(c->d, &c->project, &hash, &b.fd, &b.size, err);
	if (rc == ERR_NOT_IMPLEMENTED) {
		b.fd = -1;
		rc = chunk_size(c->d, &c->project, &hash, &b.size, err);
	}
	if (rc)
		return rc;
	snprintf(etag, sizeof etag, "\"%s\"", hash_hex(&hash, hex));
	b.etag = etag;
	b.ctx = &hash;
	rc = reply_body(c, &b, err);
	if (!rc)
		http_add_header(c->rq, "Cache-Control", "private, max-age=31536000, immutable");
	return rc;
}
