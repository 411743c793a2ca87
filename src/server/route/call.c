/*
 * What handlers share: their parameters, their body, and answers that are remembered.
 */
#include "server/route/route_internal.h"

err_code
call_id(struct call *c, const char *name, struct id *out, struct err *err)
{
	const struct target_text *p = target_param(&c->target, name);

	if (id_parse(p->s, p->len, out, err))
		return err_set(err, ERR_NOT_FOUND, "there is no such %s here", name);
	return ERR_OK;
}

err_code
call_json(struct call *c, json_t **doc, struct json_in *in, struct err *err)
{
	size_t len;
	const uint8_t *p = http_body(c->rq, &len);
	err_code rc = json_in_parse(p, len, doc, err);

	return rc ? rc : json_in_object(*doc, "", false, in, err);
}

/* ---- idempotency ------------------------------------------------------------------------------------------------------------ */

/** Two requests are the same when method, target and body are; lengths keep the parts apart. */
static struct hash
request_hash(struct call *c)
{
	const char *head[] = { c->row->method, http_target(c->rq) };
	size_t len;
	const uint8_t *p = http_body(c->rq, &len);
	uint8_t n[8];
	struct sha sha;

	sha_init(&sha);
	for (size_t i = 0; i < ARRAY_LEN(head); i++) {
		put_u64le(n, strlen(head[i]));
		sha_add(&sha, n, sizeof n);
		sha_add(&sha, head[i], strlen(head[i]));
	}
	sha_add(&sha, p, len);
	return sha_final(&sha);
}

struct idem *
call_idem(struct call *c, encode_fn encode, void *ctx)
{
	if (c->idem_key == NULL)
		return NULL;
	c->idem = (struct idem){
		.device = c->caller.device.id,
		.key = c->idem_key,
		.request_hash = request_hash(c),
		.encode = encode,
		.ctx = ctx,
	};
	return &c->idem;
}

err_code
call_answer(struct call *c, struct idem *idem, encode_fn encode, void *ctx, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	int status = 200;
	err_code rc;

	if (idem != NULL && idem->replayed) {
		http_add_header(c->rq, "Idempotency-Replayed", "true");
		http_answer(c->rq, idem->status, "application/json", idem->body, idem->body_len);
		return ERR_OK;
	}
	rc = encode(ctx, &sb, &status, err);
	if (rc) {
		sbuf_fini(&sb);
		return rc;
	}
	return reply_json(c, status, &sb, err);
}
