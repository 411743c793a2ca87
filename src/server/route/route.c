/*
 * A request's way: target -> row of the table -> token -> access -> limits -> handler -> answer.
 *
 *   1. nothing of the body is read before the caller is known to be allowed to send it;
 *   2. every row has an access level and access_check is called here, once, so no handler can forget it (I12);
 *   3. a handler that returns an error has answered nothing; the problem is written in one place.
 */
#include "server/route/route_internal.h"

#include <strings.h>

#include "base/clock.h"
#include "server/route/handshake.h"
#include "server/route/pace.h"

/* ---- who is calling --------------------------------------------------------------------------------------------------------- */

/** The bearer token, or NULL when none was sent.  Its checksum is looked at first: a typo costs no look-up. */
static err_code
bearer(struct call *c, const char **token, struct err *err)
{
	const char *value = http_header(c->rq, "authorization");

	*token = NULL;
	if (value == NULL || strncasecmp(value, "Bearer", 6) != 0 || value[6] != ' ')
		return ERR_OK;
	value += 6 + strspn(value + 6, " ");
	if (*value == 0)
		return ERR_OK;
	if (!token_check(value, strlen(value)))
		return err_set(err, ERR_TOKEN_INVALID, "the token is mistyped or cut short");
	*token = value;
	return ERR_OK;
}

/** Is there a :project, and which?  Text that is no id names no project, which access_check then says in its own words. */
static bool
project_param(struct call *c)
{
	const struct target_text *p = c->target.param_count ? &c->target.params[0] : NULL;

	if (p == NULL)
		return false;
	if (id_parse(p->s, p->len, &c->project, NULL))
		c->project = (struct id){ 0 };
	return true;
}

static err_code
check_access(struct call *c, struct err *err)
{
	const struct id *project = project_param(c) ? &c->project : NULL;
	char hex[ID_HEX_LEN + 1];
	const char *token = NULL;
	struct ticket ticket;
	err_code rc = handshake_ticket(c, &ticket, &c->ticketed, err);

	if (!rc && c->ticketed) {
		c->ticket_for = ticket.project;
		rc = access_check_known(c->d, &ticket.device, c->row->need, project, c->a, &c->caller, err);
	} else if (!rc) {
		rc = bearer(c, &token, err);
		if (!rc || c->row->need == ACCESS_ANYONE)
			rc = access_check(c->d, token, c->row->need, project, c->a, &c->caller, err);
	}
	if (!rc && c->row->need != ACCESS_ANYONE)
		http_note(c->rq, "device", id_hex(&c->caller.device.id, hex));
	return rc;
}

static err_code
check_in_flight(struct call *c, struct err *err)
{
	if (c->row->need == ACCESS_ANYONE)
		return ERR_OK;
	c->counted = inflight_enter(c->route->inflight, &c->caller.device.id, HTTP_PER_DEVICE_MAX);
	if (!c->counted)
		return err_set(err, ERR_TOO_MANY_REQUESTS, "this device has %d requests running", HTTP_PER_DEVICE_MAX);
	return ERR_OK;
}

/* ---- what comes with it ------------------------------------------------------------------------------------------------------ */

/** "application/json" with nothing, or with charset=utf-8. */
static bool
is_json(const char *type)
{
	size_t len = strcspn(type, "; \t");
	const char *rest = type + len;

	if (len != 16 || strncasecmp(type, "application/json", 16) != 0)
		return false;
	rest += strspn(rest, " \t");
	if (*rest == 0)
		return true;
	if (*rest != ';')
		return false;
	rest += 1 + strspn(rest + 1, " \t");
	return strcasecmp(rest, "charset=utf-8") == 0 || strcasecmp(rest, "charset=\"utf-8\"") == 0;
}

static err_code
check_type(struct call *c, struct err *err)
{
	const char *type = http_header(c->rq, "content-type");
	bool json = c->row->body == BODY_JSON || c->row->body == BODY_BATCH;

	if (http_header_count(c->rq, "content-type") > 1)
		return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "Content-Type is given twice");
	if (json && (type == NULL || !is_json(type)))
		return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "this call takes application/json");
	if (json || type == NULL || (c->row->stream != NULL && c->row->stream->any_type))
		return ERR_OK;
	if (strcasecmp(type, "application/octet-stream") != 0)
		return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "this call takes application/octet-stream");
	return ERR_OK;
}

static err_code
check_body(struct call *c, struct err *err)
{
	static const uint64_t max[] = {
		[BODY_JSON] = JSON_BODY_MAX, [BODY_BATCH] = JSON_BATCH_MAX, [BODY_BLOCKS] = JSON_BATCH_MAX,
	};

	if (http_header(c->rq, "content-encoding") != NULL)
		return err_set(err, ERR_ENCODING_UNSUPPORTED, "send the plain bytes");
	if (c->row->body == BODY_NONE) {
		http_set_body_max(c->rq, 0);
		return http_has_body(c->rq) ? err_set(err, ERR_BODY_NOT_ALLOWED, "%s takes no body here", http_method(c->rq)) : ERR_OK;
	}
	http_set_body_max(c->rq, c->row->stream ? c->row->stream->body_max : max[c->row->body]);
	if (c->row->stream != NULL && c->row->stream->length_required && http_body_len(c->rq) < 0)
		return err_set(err, ERR_LENGTH_REQUIRED, "the size must be known before the bytes come");
	return check_type(c, err);
}

static err_code
check_idempotency_key(struct call *c, struct err *err)
{
	const char *key = http_header(c->rq, "idempotency-key");
	size_t len = key ? strlen(key) : 0;

	if (key == NULL || strcmp(c->row->method, "POST") != 0)
		return ERR_OK;
	if (http_header_count(c->rq, "idempotency-key") > 1 || len == 0 || len > IDEMPOTENCY_KEY_MAX)
		return err_set(err, ERR_FIELD_RANGE, "Idempotency-Key: one, of 1 to %d characters", IDEMPOTENCY_KEY_MAX);
	for (size_t i = 0; i < len; i++) {
		if (key[i] <= 0x20 || key[i] > 0x7e)
			return err_set(err, ERR_FIELD_RANGE, "Idempotency-Key: visible ASCII characters only");
	}
	c->idem_key = key;
	return ERR_OK;
}

/* ---- the checks in their order ------------------------------------------------------------------------------------------------- */

/** A browser of another origin asks first.  It gets no for an answer, and no CORS header. */
static err_code
refuse_method(struct call *c, const char *allow, struct err *err)
{
	if (strcmp(http_method(c->rq), "OPTIONS") == 0 && http_header(c->rq, "origin") != NULL)
		return err_set(err, ERR_ORIGIN_FORBIDDEN, "this API answers no cross-origin requests");
	if (*allow == 0)
		return err_set(err, ERR_NOT_FOUND, "there is no such resource");
	http_add_header(c->rq, "Allow", allow);
	return err_set(err, ERR_METHOD_NOT_ALLOWED, "this resource knows %s", allow);
}

static err_code
find_row(struct call *c, struct err *err)
{
	char allow[ALLOW_MAX];
	err_code rc = target_parse(http_path(c->rq), http_query(c->rq), c->a, &c->target, err);

	if (rc)
		return rc;
	c->row = table_find(http_method(c->rq), &c->target, allow);
	return c->row ? ERR_OK : refuse_method(c, allow, err);
}

static err_code
admit(struct call *c, struct err *err)
{
	err_code rc = find_row(c, err);

	if (!rc)
		rc = check_access(c, err);
	if (!rc)
		rc = check_in_flight(c, err);
	if (!rc)
		rc = check_body(c, err);
	if (!rc)
		rc = check_idempotency_key(c, err);
	return rc;
}

/* ---- the callbacks ---------------------------------------------------------------------------------------------------------------- */

static enum http_next
answered(struct call *c, err_code rc, const struct err *err)
{
	if (rc)
		reply_problem(c->rq, err);
	return HTTP_ANSWERED;
}

static enum http_next
start(struct call *c, struct err *err)
{
	err_code rc;

	switch (c->row->body) {
	case BODY_NONE:
		c->later = false;
		rc = c->row->run(c, err);
		return !rc && c->later ? HTTP_LATER : answered(c, rc, err);
	case BODY_STREAM:
		c->opened = true;
		rc = c->row->stream->open(c, err);
		return rc ? answered(c, rc, err) : HTTP_STREAM;
	case BODY_JSON:
	case BODY_BATCH:
	case BODY_BLOCKS:
	default:
		return HTTP_WHOLE;
	}
}

static enum http_next
on_head(void *ctx, struct http_request *rq)
{
	struct route *r = ctx;
	struct call *c = http_user(rq);
	struct err err = { 0 };
	err_code rc;

	if (c == NULL) {
		c = arena_must(http_arena(rq), sizeof *c);
		*c = (struct call){ .route = r, .d = r->d, .rq = rq, .a = http_arena(rq) };
		http_set_user(rq, c);
		rc = admit(c, &err);
		if (rc)
			return answered(c, rc, &err);
	}
	return start(c, &err);
}

static err_code
on_body(void *ctx, struct http_request *rq, const uint8_t *p, size_t len, struct err *err)
{
	struct call *c = http_user(rq);

	(void)ctx;
	return c->row->stream->feed(c, p, len, err);
}

static void
on_end(void *ctx, struct http_request *rq)
{
	struct call *c = http_user(rq);
	struct err err = { 0 };

	(void)ctx;
	(void)answered(c, c->row->stream ? c->row->stream->finish(c, &err) : c->row->run(c, &err), &err);
}

static void
on_done(void *ctx, struct http_request *rq)
{
	struct call *c = http_user(rq);

	(void)ctx;
	if (c == NULL)
		return;
	if (c->opened)
		c->row->stream->free(c);
	if (c->counted)
		inflight_leave(c->route->inflight, &c->caller.device.id);
}

static void
on_fail(void *ctx, struct http_request *rq, const struct err *err)
{
	(void)ctx;
	reply_problem(rq, err);
}

struct route *
route_open(struct domain *d, struct notify *hub)
{
	struct route *r = xcalloc(1, sizeof *r);

	r->d = d;
	r->hub = hub;
	r->inflight = inflight_new();
	r->batches = gate_new();
	r->polls = pace_new();
	r->tickets = tickets_new();
	return r;
}

void
route_free(struct route *r)
{
	if (r == NULL)
		return;
	inflight_free(r->inflight);
	gate_free(r->batches);
	pace_free(r->polls);
	tickets_free(r->tickets);
	free(r);
}

struct http_service
route_service(struct route *r)
{
	return (struct http_service){ .ctx = r, .head = on_head, .body = on_body, .end = on_end, .done = on_done, .fail = on_fail };
}
