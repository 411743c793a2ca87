/*
 * Reading a request's body, on the loop thread, into the request's own buffer (HTTP_WHOLE) or into pieces for the service
 * (HTTP_STREAM).  A body with a length is received straight into its place, never a byte past its end; chunked framing goes
 * through the input buffer, where bytes behind the end stay as the beginning of the next request.
 */
#include "server/http/http_internal.h"

#define WHOLE_FIRST (16 * KIB)

static enum http_framing
framing_of(const struct conn *c)
{
	return c->in->head.framing;
}

err_code
body_begin(struct conn *c, struct err *err)
{
	const struct head *h = &c->in->head;
	uint64_t max = c->rq->body_max;

	c->body = (struct body){ .left = h->length, .in_pos = h->len };
	chunked_init(&c->body.chunked);
	if (h->framing == FRAMING_LENGTH && h->length > max)
		return err_set(err, ERR_BODY_TOO_LARGE, "the body is %llu bytes; this call takes %llu",
		    (unsigned long long)h->length, (unsigned long long)max);
	return ERR_OK;
}

void
body_fini(struct conn *c)
{
	free(c->body.fill);
	free(c->body.spare);
	c->body = (struct body){ 0 };
}

/* ---- where decoded bytes go ---- */

/* Grow by doubling, and only as bytes arrive: a declared length is no reason to set memory aside. */
static err_code
grow_whole(struct conn *c, struct err *err)
{
	struct http_request *rq = c->rq;
	uint64_t most = framing_of(c) == FRAMING_LENGTH ? c->in->head.length : MAX(rq->body_max, rq->body_max + 1);
	size_t cap = (size_t)MIN(MAX((uint64_t)rq->body_cap * 2, (uint64_t)WHOLE_FIRST), most);
	uint8_t *p = realloc(rq->body, cap);

	if (!p)
		return err_set(err, ERR_NO_MEM, "no memory for a body of more than %zu bytes", rq->body_cap);
	rq->body = p;
	rq->body_cap = cap;
	return ERR_OK;
}

static err_code
space(struct conn *c, uint8_t **p, size_t *cap, struct err *err)
{
	struct http_request *rq = c->rq;
	struct body *b = &c->body;
	err_code rc;

	if (rq->next == HTTP_WHOLE) {
		if (rq->body_len == rq->body_cap && (rc = grow_whole(c, err)))
			return rc;
		*p = rq->body + rq->body_len;
		*cap = rq->body_cap - rq->body_len;
		return ERR_OK;
	}
	if (!b->fill) {
		b->fill = b->spare ? TAKE(b->spare) : malloc(sizeof *b->fill);
		if (!b->fill)
			return err_set(err, ERR_NO_MEM, "no memory for a piece of a body");
		b->fill->len = 0;
	}
	*p = b->fill->data + b->fill->len;
	*cap = sizeof b->fill->data - b->fill->len;
	return ERR_OK;
}

/* ${n} bytes were written to space(). */
static void
took(struct conn *c, size_t n)
{
	if (c->rq->next == HTTP_WHOLE)
		c->rq->body_len += n;
	else
		c->body.fill->len += n;
	c->body.taken += n;
}

/* ---- the two framings ---- */

static enum body_step
read_length(struct conn *c, uint8_t *p, size_t cap)
{
	struct body *b = &c->body;
	size_t want = (size_t)MIN((uint64_t)cap, b->left), got = MIN(want, c->in->len - b->in_pos);

	if (got > 0) {
		memcpy(p, c->in->data + b->in_pos, got);
		b->in_pos += got;
	} else {
		enum io io = conn_recv(c, p, want, &got);

		if (io != IO_OK)
			return io == IO_AGAIN ? BODY_AGAIN : BODY_GONE;
	}
	b->received += got;
	b->left -= got;
	took(c, got);
	return b->left == 0 ? BODY_COMPLETE : BODY_FULL;
}

static enum body_step
read_chunked(struct conn *c, uint8_t *p, size_t cap, struct err *err)
{
	struct body *b = &c->body;
	struct inbuf *in = c->in;
	size_t used, got;

	if (b->in_pos == in->len) {
		enum io io;

		b->in_pos = in->len = in->head.len;
		io = conn_recv(c, in->data + in->len, sizeof in->data - in->len, &got);
		if (io != IO_OK)
			return io == IO_AGAIN ? BODY_AGAIN : BODY_GONE;
		in->len += got;
	}
	if (chunked_feed(&b->chunked, (uint8_t *)in->data + b->in_pos, in->len - b->in_pos, &used, p, cap, &got, err))
		return BODY_BAD;
	b->in_pos += used;
	b->received += used;
	took(c, got);
	if (b->taken > c->rq->body_max) {
		(void)!err_set(err, ERR_BODY_TOO_LARGE, "the body is longer than the %llu bytes that this call takes",
		    (unsigned long long)c->rq->body_max);
		return BODY_BAD;
	}
	return chunked_done(&b->chunked) ? BODY_COMPLETE : BODY_FULL;
}

enum body_step
body_read(struct conn *c, struct err *err)
{
	enum body_step step = BODY_FULL; /* of the framings' steps: there may be more */
	uint8_t *p = NULL;
	size_t cap = 0;

	while (step == BODY_FULL) {
		if (space(c, &p, &cap, err))
			return BODY_BAD;
		if (cap == 0)
			return BODY_FULL;
		step = framing_of(c) == FRAMING_LENGTH ? read_length(c, p, cap) : read_chunked(c, p, cap, err);
	}
	c->body.complete = step == BODY_COMPLETE;
	return step;
}
