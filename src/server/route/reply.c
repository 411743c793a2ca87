#include "server/route/route_internal.h"

#include <stdarg.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"

#define PROBLEM_MAX (2 * MIB) /* 8,192 missing chunks are 550 KB */

/** Codes that the tools meet locally have no meaning to a caller over the network. */
static err_code
public_code(err_code code)
{
	switch (code) {
	case ERR_NO_MEM:
	case ERR_BUSY:
	case ERR_CANCELLED:
	case ERR_NETWORK:
		return ERR_UNAVAILABLE;
	case ERR_EXISTS:
		return ERR_NAME_EXISTS;
	default:
		return code >= ERR_USAGE ? ERR_INTERNAL : code;
	}
}

/** Here the error stops travelling: what is the server's own trouble goes to the log with its place. */
static void
log_trouble(struct http_request *rq, const struct err *err)
{
	if (problem_is_callers(err->code) || err->code == ERR_NOT_IMPLEMENTED || err->code == ERR_VERSION_NOT_SUPPORTED)
		return;
	log_event(LOG_ERROR, "a request failed", LOG_STR("request", http_request_id(rq)), LOG_STR("code", err_info(err->code)->code),
	    LOG_STR("error", err->msg), LOG_I64("errno", err->sys), LOG_STR("file", err->file), LOG_I64("line", err->line));
}

void
reply_header_f(struct http_request *rq, const char *name, const char *fmt, ...)
{
	char value[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	http_add_header(rq, name, value);
}

static unsigned
retry_after_s(const struct err *err)
{
	bool polling = err->reason != NULL && strcmp(err->reason, REASON_POLLING) == 0;

	return polling ? 1 + (unsigned)(rng_u64() % POLL_RETRY_MAX_S) : 1;
}

struct jw
reply_problem_open(struct http_request *rq, struct sbuf *sb, const struct err *err)
{
	struct err shown = *err;
	struct jw jw;

	shown.code = public_code(err->code);
	*sb = SBUF(PROBLEM_MAX);
	jw = JW(sb);
	problem_write(&jw, &shown, http_request_id(rq));
	return jw;
}

void
reply_problem_close(struct http_request *rq, struct jw *jw, const struct err *err)
{
	const struct err_info *info = err_info(public_code(err->code));

	jw_end_object(jw);
	log_trouble(rq, err);
	http_note(rq, "code", info->code);
	if (info->status == 401)
		http_add_header(rq, "WWW-Authenticate", "Bearer");
	if ((info->status == 503 || info->status == 429) && info->retryable)
		reply_header_f(rq, "Retry-After", "%u", retry_after_s(err));
	if (info->status == 426) {
		http_add_header(rq, "Upgrade", "websocket");
		http_add_header(rq, "Sec-WebSocket-Version", "13");
	}
	http_answer_sbuf(rq, info->status, "application/problem+json", jw->sb);
}

void
reply_problem(struct http_request *rq, const struct err *err)
{
	struct sbuf sb;
	struct jw jw = reply_problem_open(rq, &sb, err);

	reply_problem_close(rq, &jw, err);
}

err_code
reply_json(struct call *c, int status, struct sbuf *sb, struct err *err)
{
	err_code rc = sbuf_done(sb, err);

	if (rc) {
		sbuf_fini(sb);
		return err_set(err, ERR_INTERNAL, "an answer passed its ceiling of %zu bytes", sb->max);
	}
	http_answer_sbuf(c->rq, status, "application/json", sb);
	return ERR_OK;
}

void
reply_cursor(struct jw *jw, const char *key, int64_t clock, const struct id *epoch)
{
	struct cursor cursor = { .clock = clock, .epoch = *epoch, .has_epoch = true };
	char text[CURSOR_MAX];

	jw_kstr(jw, key, cursor_format(&cursor, text));
}

/* ---- bytes, whole or in part --------------------------------------------------------------------------------------------------- */

/** RFC 9110, 13.2.2: If-Match before If-None-Match.  *same: the caller has this already. */
static err_code
conditions(struct call *c, const char *etag, bool *same, struct err *err)
{
	const char *if_match = http_header(c->rq, "if-match"), *if_none = http_header(c->rq, "if-none-match");
	bool match;
	err_code rc;

	*same = false;
	if (if_match != NULL) {
		rc = etag_list_match(if_match, etag, false, &match, err);
		if (rc)
			return rc;
		if (!match)
			return err_set(err, ERR_PRECONDITION_FAILED, "it is %s now", etag);
	}
	return if_none ? etag_list_match(if_none, etag, true, same, err) : ERR_OK;
}

/** A Range holds only for the representation that If-Range names; dates are not used here, so one never matches. */
static const char *
valid_range(struct call *c, const char *etag)
{
	const char *if_range = http_header(c->rq, "if-range");

	if (http_header_count(c->rq, "range") != 1 || (if_range != NULL && strcmp(if_range, etag) != 0))
		return NULL;
	return http_header(c->rq, "range");
}

static err_code
send_body(struct call *c, struct body *b, int status, uint64_t off, uint64_t len, struct err *err)
{
	struct http_source src;
	err_code rc;

	if (b->fd >= 0) {
		http_answer_fd(c->rq, status, b->type, b->fd, off, len);
		b->fd = -1;
		return ERR_OK;
	}
	if (len == 0) {
		http_answer(c->rq, status, b->type, "", 0);
		return ERR_OK;
	}
	rc = b->source(c, b->ctx, off, len, &src, err);
	if (!rc)
		http_answer_source(c->rq, status, b->type, len, src);
	return rc;
}

static err_code
send_range(struct call *c, struct body *b, struct err *err)
{
	uint64_t first, last;
	err_code rc;

	switch (range_parse(valid_range(c, b->etag), b->size, &first, &last)) {
	case RANGE_PART:
		rc = send_body(c, b, 206, first, last - first + 1, err);
		if (!rc)
			reply_header_f(c->rq, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)first,
			    (unsigned long long)last, (unsigned long long)b->size);
		return rc;
	case RANGE_NONE:
		reply_header_f(c->rq, "Content-Range", "bytes */%llu", (unsigned long long)b->size);
		return err_set(err, ERR_RANGE_UNSATISFIABLE, "there are %llu bytes", (unsigned long long)b->size);
	case RANGE_MANY:
		reply_header_f(c->rq, "Content-Range", "bytes */%llu", (unsigned long long)b->size);
		return err_reason(err, ERR_RANGE_UNSATISFIABLE, "too_many_ranges", "one range at a time");
	case RANGE_WHOLE:
	default:
		return send_body(c, b, 200, 0, b->size, err);
	}
}

err_code
reply_body(struct call *c, struct body *b, struct err *err)
{
	bool same;
	err_code rc = conditions(c, b->etag, &same, err);

	if (!rc && same)
		http_answer(c->rq, 304, NULL, "", 0);
	if (!rc && !same)
		rc = send_range(c, b, err);
	closep(&b->fd);
	b->fd = -1;
	if (!rc) {
		http_add_header(c->rq, "ETag", b->etag);
		http_add_header(c->rq, "Accept-Ranges", "bytes");
	}
	return rc;
}
