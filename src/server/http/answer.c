/* What the service answers, and the head that we put before it. */
#include "server/http/http_internal.h"

#include <assert.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jw.h"
#include "server/http/token.h"

#define FIELDS_MAX (16 * KIB)
#define PROBLEM_MAX (4 * KIB)

void
answer_init(struct answer *a)
{
	*a = (struct answer){ .fd = -1, .fields = SBUF(FIELDS_MAX), .head = SBUF(FIELDS_MAX + KIB) };
}

/* Release the body of an answer that is sent, or replaced by another. */
static void
release_body(struct answer *a)
{
	free(a->bytes);
	closep(&a->fd);
	if (a->kind == ANSWER_SOURCE && a->source.close)
		a->source.close(a->source.ctx);
	if (a->take.fn)
		a->take.fn(a->take.ctx, NULL);
	free(a->piece);
	a->take.fn = NULL;
	a->bytes = NULL;
	a->fd = -1;
	a->piece = NULL;
	a->kind = ANSWER_NONE;
}

void
answer_fini(struct answer *a)
{
	release_body(a);
	sbuf_fini(&a->fields);
	sbuf_fini(&a->head);
}

/* ---- what the service calls ---- */

static bool
is_field_text(const char *s)
{
	for (; *s; s++)
		if (!http_is_value((unsigned char)*s))
			return false;
	return true;
}

void
http_add_header(struct http_request *rq, const char *name, const char *value)
{
	assert(is_field_text(name) && is_field_text(value)); /* else a value could forge a header */
	assert(!rq->answer.started);
	if (strcasecmp(name, "cache-control") == 0)
		rq->answer.has_cache_control = true;
	sbuf_addf(&rq->answer.fields, "%s: %s\r\n", name, value);
}

static struct answer *
set_answer(struct http_request *rq, enum answer_kind kind, int status, const char *type, uint64_t len)
{
	struct answer *a = &rq->answer;

	assert((status >= 200 || kind == ANSWER_TAKE) && status <= 599 && !a->started);
	release_body(a); /* a later answer replaces one that was not sent yet */
	a->kind = kind;
	a->status = status;
	a->len = len;
	assert(!type || (is_field_text(type) && strlen(type) < sizeof a->type));
	snprintf(a->type, sizeof a->type, "%s", type ? type : "");
	return a;
}

void
http_answer(struct http_request *rq, int status, const char *type, const void *p, size_t len)
{
	struct answer *a = set_answer(rq, ANSWER_BYTES, status, type, len);

	if (len > 0) {
		a->bytes = xmalloc(len);
		memcpy(a->bytes, p, len);
	}
}

void
http_answer_sbuf(struct http_request *rq, int status, const char *type, struct sbuf *sb)
{
	size_t len = sb->len;
	struct answer *a = set_answer(rq, ANSWER_BYTES, status, type, len);

	a->bytes = sbuf_take(sb);
}

void
http_answer_fd(struct http_request *rq, int status, const char *type, int fd, uint64_t off, uint64_t len)
{
	struct answer *a = set_answer(rq, ANSWER_FD, status, type, len);

	a->fd = fd;
	a->off = off;
}

void
http_answer_source(struct http_request *rq, int status, const char *type, uint64_t len, struct http_source src)
{
	struct answer *a = set_answer(rq, ANSWER_SOURCE, status, type, len);

	a->source = src;
}

void
http_take(struct http_request *rq, int status, void (*fn)(void *ctx, const struct http_taken *t), void *ctx)
{
	struct answer *a = set_answer(rq, ANSWER_TAKE, status, NULL, 0);

	a->take = (struct take){ fn, ctx };
}

bool
http_answered(const struct http_request *rq)
{
	return rq->answer.kind != ANSWER_NONE;
}

/* ---- the head ---- */

static const char *
reason_phrase(int status)
{
	static const struct {
		int status;
		const char *text;
	} phrases[] = {
		{ 101, "Switching Protocols" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" },
		{ 304, "Not Modified" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" }, { 409, "Conflict" },
		{ 410, "Gone" }, { 411, "Length Required" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" },
		{ 414, "URI Too Long" }, { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
		{ 417, "Expectation Failed" }, { 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
		{ 426, "Upgrade Required" }, { 428, "Precondition Required" }, { 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
		{ 503, "Service Unavailable" }, { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	return "Status";
}

static void
add_date(struct sbuf *sb)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct tm tm;

	gmtime_r(&now, &tm);
	sbuf_addf(sb, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday, tm.tm_mday,
	    months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
answer_start(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	bool bodiless = a->status == 204 || a->status == 304 || a->kind == ANSWER_TAKE;
	struct sbuf *sb = &a->head;

	rq->keep = rq->in->head.keep_alive && a->kind != ANSWER_TAKE && !rq->must_close && !rq->body_unread &&
	    !atomic_load_explicit(&rq->server->stopping, memory_order_relaxed);
	a->body_len = bodiless || rq->in->head.method == METHOD_HEAD ? 0 : a->len;
	sbuf_addf(sb, "HTTP/1.1 %d %s\r\n", a->status, reason_phrase(a->status));
	add_date(sb);
	sbuf_addf(sb, "Server: drayd\r\nDray-Request-Id: %s\r\nX-Content-Type-Options: nosniff\r\n", rq->id);
	if (!a->has_cache_control)
		sbuf_add(sb, "Cache-Control: no-store\r\n");
	if (a->status == 101)
		sbuf_add(sb, "Connection: Upgrade\r\n");
	else if (!rq->keep)
		sbuf_add(sb, "Connection: close\r\n");
	if (!bodiless)
		sbuf_addf(sb, "Content-Length: %llu\r\n", (unsigned long long)a->len);
	if (a->type[0])
		sbuf_addf(sb, "Content-Type: %s\r\n", a->type);
	sbuf_addn(sb, sbuf_str(&a->fields), a->fields.len);
	sbuf_add(sb, "\r\n");
	a->started = true;
}

/* ---- problems of our own ---- */

static void
write_problem(struct sbuf *sb, const struct err *err, const char *request_id)
{
	const struct err_info *info = err_info(err->code);
	struct jw jw = JW(sb);
	char type[96];

	snprintf(type, sizeof type, "urn:dray:error:%s", info->code); /* as wire/problem.c has it, which is not for us to include */
	jw_object(&jw);
	jw_kstr(&jw, "type", type);
	jw_kstr(&jw, "title", info->text);
	jw_ki64(&jw, "status", info->status);
	jw_kstr(&jw, "code", info->code);
	jw_kstr(&jw, "detail", info->status < 500 && err->msg[0] ? err->msg : info->hint); /* our own troubles are for the log */
	jw_kbool(&jw, "retryable", info->retryable);
	if (request_id)
		jw_kstr(&jw, "request_id", request_id);
	jw_end_object(&jw);
}

void
answer_problem(struct http_request *rq, const struct err *err)
{
	struct sbuf sb = SBUF(PROBLEM_MAX);

	write_problem(&sb, err, rq->id);
	http_answer_sbuf(rq, err_info(err->code)->status, "application/problem+json", &sb);
}

size_t
answer_busy(char *buf, size_t cap)
{
	const struct err err = { .code = ERR_UNAVAILABLE };
	AUTO(sbuf_fini) struct sbuf sb = SBUF(PROBLEM_MAX);
	int n;

	write_problem(&sb, &err, NULL);
	n = snprintf(buf, cap, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
	    "Content-Length: %zu\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", sb.len, sbuf_str(&sb));
	assert(n > 0 && (size_t)n < cap);
	return (size_t)n;
}
