/*
 * The client's side of HTTP without a line: a twin of client/remote/http.c, by link.  A request is lost before the server sees it, or its answer is
 * lost, or it comes twice, or the line is down for a while, as the plan has it; what comes back is judged as exchange.c does.
 */
#include "sim.h"

#include <strings.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"
#include "client/remote/http.h"

#define MS INT64_C(1000000)
#define ATTEMPTS_MAX 4
#define REQUEST_MS 3

struct http {
	char *token;
	const bool *cancel;
	struct remote_stats stats;
};

static struct dice dice;
static struct line_plan plans[DEVICES];
static uint64_t requests[DEVICES], attempts[DEVICES];

void
line_start(struct dice d)
{
	dice = d;
}

void
line_plan(int device, const struct line_plan *plan)
{
	plans[device] = *plan;
	requests[device] = attempts[device] = 0;
}

uint64_t
line_requests(int device)
{
	return requests[device];
}

err_code
http_open(const struct remote_opts *opts, struct http **out, struct err *err)
{
	struct http *h = xcalloc(1, sizeof *h);

	(void)err;
	h->token = xstrdup(opts->token);
	h->cancel = opts->cancel;
	*out = h;
	return ERR_OK;
}

void
http_free(struct http *h)
{
	if (!h)
		return;
	free(h->token);
	free(h);
}

void
http_stats(struct http *h, struct remote_stats *out)
{
	*out = h->stats;
}

/* ---- what came back -------------------------------------------------------------------------------------------------------------- */

static err_code
body_take(struct http_call *c, const struct answer *a, struct err *err)
{
	if (c->accept && strncasecmp(a->type, c->accept, strlen(c->accept)) != 0)
		return err_set(err, ERR_PROTOCOL, "the answer is %s and not %s", a->type, c->accept);
	if (c->text) {
		sbuf_addn(c->text, (const char *)a->body, a->len);
		c->too_large = c->text->failed;
	} else if (c->buf && a->len <= c->cap) {
		memcpy(c->buf, a->body, a->len);
		c->got = a->len;
	} else if (c->buf) {
		c->too_large = true;
	}
	return c->too_large ? err_set(err, ERR_PROTOCOL, "the answer is too large") : ERR_OK;
}

static err_code
range_take(struct http_call *c, const struct answer *a, struct err *err)
{
	uint64_t first, last;

	if (!c->ranged)
		return ERR_OK;
	if (a->status != 206 || !content_range_parse(a->range, strlen(a->range), &first, &last, &c->total) ||
	    first != c->range_off || last - first + 1 != c->got)
		return err_set(err, ERR_PROTOCOL, "a range was asked for and something else answered");
	return ERR_OK;
}

static err_code
judge(struct http_call *c, const struct answer *a, bool *again, struct err *err)
{
	err_code rc;

	c->status = a->status;
	c->more = a->more;
	if (a->status >= 300) {
		sbuf_addn(&c->problem, (const char *)a->body, a->len);
		rc = answer_error(a->status, strncmp(a->type, "application/problem+json", 24) == 0, a->body, a->len, err);
		*again = answer_again(a->status, rc);
		return rc;
	}
	rc = body_take(c, a, err);
	return rc ? rc : range_take(c, a, err);
}

/* ---- one attempt -------------------------------------------------------------------------------------------------------------------- */

static err_code
no_line(bool *again, struct err *err)
{
	*again = true;
	return err_set(err, ERR_NETWORK, "the line is down");
}

static void
trace_request(const struct http_call *c, int status)
{
	struct hash h = hash_of(c->body ? c->body : "", c->body_len);
	uint64_t body;

	memcpy(&body, h.b, sizeof body);
	trace_text(c->method, c->path);
	trace("request", body, (uint64_t)status);
	if (trace_is_shown() && c->body && c->type && strcmp(c->type, TYPE_JSON) == 0)
		fprintf(stderr, "   %.*s\n", (int)c->body_len, (const char *)c->body);
}

static void
maybe_kill(int device, bool now)
{
	if (!now)
		return;
	trace("kill at request", (uint64_t)device, requests[device]);
	sched_kill(device);
}

static err_code
attempt(struct http *h, struct http_call *c, const char *key, bool *again, int64_t *after_ms, struct err *err)
{
	struct request rq = { .method = c->method, .target = c->path, .token = h->token, .accept = c->accept, .type = c->body ? c->type : NULL,
		.key = c->keyed ? key : NULL, .ranged = c->ranged, .first = c->range_off, .last = c->range_off + c->cap - 1,
		.body = c->body, .body_len = c->body_len };
	int device = sched_device();
	const struct line_plan *p = &plans[device];
	uint64_t n = ++attempts[device];
	struct answer a;
	err_code rc;

	answer_reset(c);
	*again = false;
	time_pass(REQUEST_MS * MS);
	h->stats.requests++;
	if ((p->down_count && n >= p->down_from && n < p->down_from + p->down_count) || dice_one_in(&dice, p->lose_request)) {
		trace("lost", n, 0);
		return no_line(again, err);
	}
	server_call(device, &rq, &a);
	trace_request(c, a.status);
	if (dice_one_in(&dice, p->repeat)) {
		trace("repeated", n, 0);
		free(a.body);
		server_call(device, &rq, &a);
	}
	if (dice_one_in(&dice, p->lose_answer)) {
		trace("answer lost", n, 0);
		free(a.body);
		return no_line(again, err);
	}
	rc = judge(c, &a, again, err);
	*after_ms = a.retry_after_s * 1000;
	free(a.body);
	return rc;
}

err_code
http_run(struct http *h, struct http_call *c, struct err *err)
{
	char key[2 * 16 + 1];
	uint8_t random[16];
	int device = sched_device();
	uint64_t n = ++requests[device];
	err_code rc = ERR_OK;
	bool again = true;

	rng_bytes(random, sizeof random);
	hex_encode(random, sizeof random, key);
	sched_point();
	maybe_kill(device, n == plans[device].kill_before);
	if (n == plans[device].act_at)
		user_act(device);
	for (unsigned i = 0; again && i < ATTEMPTS_MAX; i++) {
		int64_t after_ms = 0;

		if (flag_is_set(h->cancel))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		rc = attempt(h, c, key, &again, &after_ms, err);
		again &= rc != ERR_OK && !c->aside;
		if (again)
			time_pass((after_ms + 100) * MS);
		sched_point();
	}
	maybe_kill(device, n == plans[device].kill_after);
	return rc;
}
