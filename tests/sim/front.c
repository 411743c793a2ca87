/*
 * The server's side of HTTP without a line: a twin of server/http for route/, by link.  A request goes in whole, its body in pieces where the
 * route takes them so; out comes what would have been sent.
 */
#include "front.h"

#include <strings.h>
#include <unistd.h>

#include "server/notify/notify.h"

#define FIELDS_MAX 16
#define FIELD_LEN_MAX 512
#define ANSWER_LEN_MAX (64 * MIB)
#define PIECE 5000

struct field {
	char name[48], value[FIELD_LEN_MAX];
};

struct http_request {
	const struct request *in;
	char *path;
	const char *query;
	struct field fields[FIELDS_MAX];
	size_t field_count;
	uint64_t body_max;
	struct arena *arena;
	void *user;

	bool answered;
	int status;
	char type[ANSWER_TEXT_MAX];
	struct sbuf body;
	struct http_source source;
	uint64_t source_len;
	struct field said[FIELDS_MAX];
	size_t said_count;
};

/* ---- what route asks -------------------------------------------------------------------------------------------------------------- */

const char *
http_method(const struct http_request *rq)
{
	return rq->in->method;
}

const char *
http_target(const struct http_request *rq)
{
	return rq->in->target;
}

const char *
http_path(const struct http_request *rq)
{
	return rq->path;
}

const char *
http_query(const struct http_request *rq)
{
	return rq->query;
}

const char *
http_header(const struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->field_count; i++)
		if (strcasecmp(rq->fields[i].name, name) == 0)
			return rq->fields[i].value;
	return NULL;
}

unsigned
http_header_count(const struct http_request *rq, const char *name)
{
	return http_header(rq, name) ? 1 : 0;
}

bool
http_has_body(const struct http_request *rq)
{
	return rq->in->body != NULL;
}

int64_t
http_body_len(const struct http_request *rq)
{
	return (int64_t)rq->in->body_len;
}

const uint8_t *
http_body(const struct http_request *rq, size_t *len)
{
	*len = rq->in->body_len;
	return rq->in->body ? rq->in->body : (const uint8_t *)"";
}

void
http_set_body_max(struct http_request *rq, uint64_t max)
{
	rq->body_max = max;
}

struct arena *
http_arena(struct http_request *rq)
{
	return rq->arena;
}

const char *
http_request_id(const struct http_request *rq)
{
	(void)rq;
	return "0000000000000000";
}

const char *
http_peer(const struct http_request *rq)
{
	(void)rq;
	return "127.0.0.1";
}

void
http_set_user(struct http_request *rq, void *user)
{
	rq->user = user;
}

void *
http_user(const struct http_request *rq)
{
	return rq->user;
}

void
http_note(struct http_request *rq, const char *key, const char *value)
{
	(void)rq, (void)key, (void)value;
}

/* ---- what it answers --------------------------------------------------------------------------------------------------------------- */

void
http_add_header(struct http_request *rq, const char *name, const char *value)
{
	struct field *f = &rq->said[rq->said_count++];

	if (rq->said_count == FIELDS_MAX)
		fail("sim", "too many fields of an answer");
	snprintf(f->name, sizeof f->name, "%s", name);
	snprintf(f->value, sizeof f->value, "%s", value);
}

static void
set_answer(struct http_request *rq, int status, const char *type)
{
	if (rq->source.close)
		rq->source.close(rq->source.ctx);
	rq->source = (struct http_source){ 0 };
	sbuf_reset(&rq->body);
	rq->answered = true;
	rq->status = status;
	snprintf(rq->type, sizeof rq->type, "%s", type ? type : "");
}

void
http_answer(struct http_request *rq, int status, const char *type, const void *p, size_t len)
{
	set_answer(rq, status, type);
	sbuf_addn(&rq->body, p, len);
}

void
http_answer_sbuf(struct http_request *rq, int status, const char *type, struct sbuf *sb)
{
	set_answer(rq, status, type);
	sbuf_addn(&rq->body, sbuf_str(sb), sb->len);
	sbuf_fini(sb);
}

void
http_answer_fd(struct http_request *rq, int status, const char *type, int fd, uint64_t off, uint64_t len)
{
	(void)rq, (void)status, (void)type, (void)fd, (void)off, (void)len;
	fail("sim", "a store in memory has no files");
}

void
http_answer_source(struct http_request *rq, int status, const char *type, uint64_t len, struct http_source src)
{
	set_answer(rq, status, type);
	rq->source = src;
	rq->source_len = len;
}

bool
http_answered(const struct http_request *rq)
{
	return rq->answered;
}

/* ---- what no client of the simulation asks for ----------------------------------------------------------------------------------------- */

err_code
http_websocket(struct http_request *rq, char accept[static HTTP_ACCEPT_LEN + 1], struct err *err)
{
	(void)rq, (void)accept;
	return err_set(err, ERR_UPGRADE_REQUIRED, "no streams here");
}

void
http_take(struct http_request *rq, int status, void (*fn)(void *ctx, const struct http_taken *t), void *ctx)
{
	(void)rq, (void)status, (void)fn, (void)ctx;
	fail("sim", "no streams here");
}

void
http_release(struct conn *conn)
{
	(void)conn;
}

void
notify_progress(struct notify *n, const struct id *project, const struct wire_progress *p)
{
	(void)n, (void)project, (void)p;
}

bool
notify_present(struct notify *n, const struct id *project, const struct id *device)
{
	(void)n, (void)project, (void)device;
	return false;
}

err_code
notify_enter(struct notify *n, const struct id *device, struct err *err)
{
	(void)n, (void)device;
	return err_set(err, ERR_UNAVAILABLE, "no streams here");
}

void
notify_leave(struct notify *n, const struct id *device)
{
	(void)n, (void)device;
}

void
notify_add(struct notify *n, const struct notify_conn *conn)
{
	(void)n, (void)conn;
}

/* ---- a request --------------------------------------------------------------------------------------------------------------------------- */

static void FORMAT(3, 4)
field_add(struct http_request *rq, const char *name, const char *fmt, ...)
{
	struct field *f = &rq->fields[rq->field_count++];
	va_list ap;

	snprintf(f->name, sizeof f->name, "%s", name);
	va_start(ap, fmt);
	vsnprintf(f->value, sizeof f->value, fmt, ap);
	va_end(ap);
}

static void
head_fill(struct http_request *rq)
{
	const struct request *in = rq->in;

	if (in->token)
		field_add(rq, "authorization", "Bearer %s", in->token);
	if (in->accept)
		field_add(rq, "accept", "%s, application/problem+json", in->accept);
	if (in->type)
		field_add(rq, "content-type", "%s", in->type);
	if (in->key)
		field_add(rq, "idempotency-key", "%s", in->key);
	if (in->ranged)
		field_add(rq, "range", "bytes=%llu-%llu", (unsigned long long)in->first, (unsigned long long)in->last);
}

/* As job.c: an error without an answer is answered by fail(). */
static void
settle(const struct http_service *s, struct http_request *rq, err_code rc, const struct err *err)
{
	if (rc && !rq->answered)
		s->fail(s->ctx, rq, err);
}

static void
stream(const struct http_service *s, struct http_request *rq)
{
	const struct request *in = rq->in;
	struct err err = { 0 };
	err_code rc = ERR_OK;

	for (size_t at = 0; !rc && at < in->body_len; at += PIECE)
		rc = s->body(s->ctx, rq, in->body + at, MIN((size_t)PIECE, in->body_len - at), &err);
	settle(s, rq, rc, &err);
	if (!rq->answered)
		s->end(s->ctx, rq);
}

static void
source_read(struct http_request *rq)
{
	uint8_t buf[16384];
	struct err err;

	while (rq->source.read && rq->body.len < rq->source_len) {
		size_t got = 0;

		if (rq->source.read(rq->source.ctx, buf, MIN(sizeof buf, rq->source_len - rq->body.len), &got, &err))
			fail("I3", "an answer breaks off: %s", err.msg);
		sbuf_addn(&rq->body, (const char *)buf, got);
	}
}

static const char *
said(const struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->said_count; i++)
		if (strcasecmp(rq->said[i].name, name) == 0)
			return rq->said[i].value;
	return "";
}

static void
answer_take(struct http_request *rq, struct answer *out)
{
	*out = (struct answer){ .status = rq->status };
	snprintf(out->type, sizeof out->type, "%s", rq->type);
	snprintf(out->range, sizeof out->range, "%s", said(rq, "Content-Range"));
	out->more = strcmp(said(rq, "Dray-More"), "true") == 0;
	out->retry_after_s = strtol(said(rq, "Retry-After"), NULL, 10);
	out->len = rq->body.len;
	out->body = xcalloc(out->len + 1, 1);
	if (out->len)
		memcpy(out->body, rq->body.s, out->len);
}

void
front_run(const struct http_service *s, const struct request *in, struct answer *out)
{
	struct http_request rq = { .in = in, .body = SBUF(ANSWER_LEN_MAX), .body_max = UINT64_MAX };
	const char *mark = strchr(in->target, '?');
	enum http_next next;
	struct err err = { 0 };

	rq.path = xstrdup(in->target);
	rq.path[mark ? (size_t)(mark - in->target) : strlen(in->target)] = '\0';
	rq.query = mark ? mark + 1 : "";
	rq.arena = arena_new(64 * MIB);
	head_fill(&rq);
	next = s->head(s->ctx, &rq);
	if (next == HTTP_LATER)
		settle(s, &rq, err_set(&err, ERR_UNAVAILABLE, "later"), &err);
	else if (next != HTTP_ANSWERED && in->body_len > rq.body_max)
		settle(s, &rq, err_set(&err, ERR_BODY_TOO_LARGE, "too large"), &err);
	else if (next == HTTP_STREAM)
		stream(s, &rq);
	else if (next == HTTP_WHOLE)
		s->end(s->ctx, &rq);
	if (!rq.answered)
		fail("sim", "%s %s has no answer", in->method, in->target);
	source_read(&rq);
	answer_take(&rq, out);
	if (rq.source.close)
		rq.source.close(rq.source.ctx);
	s->done(s->ctx, &rq);
	sbuf_fini(&rq.body);
	arena_free(rq.arena);
	free(rq.path);
}
