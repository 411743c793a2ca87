/* A request object: what the service may ask about it. */
#include "server/http/http_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "server/http/upgrade.h"

#define ARENA_MAX (64 * MIB)
#define NOTE_LEN_MAX 200

/* Ids need to differ, not to be secret: a counter sent through a bijection (splitmix64), so neighbours look unlike. */
static uint64_t
next_id(struct http_server *s)
{
	uint64_t z = s->id_seed + atomic_fetch_add_explicit(&s->id_count, 1, memory_order_relaxed) * 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

struct http_request *
request_new(struct conn *c)
{
	struct http_request *rq = xcalloc(1, sizeof *rq);
	const struct head *h = &c->in->head;

	rq->server = c->server;
	rq->conn = c;
	rq->in = c->in;
	rq->fd = c->fd;
	rq->start_us = clock_mono_us();
	rq->body_max = JSON_BODY_MAX;
	rq->query = "";
	snprintf(rq->id, sizeof rq->id, "%016llx", (unsigned long long)next_id(c->server));
	answer_init(&rq->answer);
	rq->understood = h->in_fields;
	if (rq->understood) {
		const char *target = c->in->data + h->target, *mark = strchr(target, '?');
		size_t len = mark ? (size_t)(mark - target) : h->target_len;

		rq->path = xcalloc(1, len + 1);
		memcpy(rq->path, target, len);
		rq->query = mark ? mark + 1 : "";
		rq->has_body = rq->body_unread = h->framing != FRAMING_NONE;
	}
	return rq;
}

void
request_free(struct http_request *rq)
{
	if (!rq)
		return;
	answer_fini(&rq->answer);
	for (unsigned i = 0; i < rq->note_count; i++)
		free(rq->notes[i].value);
	arena_free(rq->arena);
	free(rq->take_head);
	free(rq->piece);
	free(rq->body);
	free(rq->path);
	free(rq);
}

void
request_log(const struct http_request *rq)
{
	struct log_field f[9 + HTTP_NOTES_MAX];
	size_t n = 0;

	if (!rq->server->access_log)
		return;
	f[n++] = LOG_STR("id", rq->id);
	f[n++] = LOG_STR("method", http_method(rq));
	f[n++] = LOG_STR("path", http_path(rq)); /* without the query, which may carry what does not belong in a log */
	f[n++] = LOG_I64("status", rq->answer.status);
	f[n++] = LOG_U64("in", rq->body_taken);
	f[n++] = LOG_U64("out", rq->answer.body_sent);
	f[n++] = LOG_I64("ms", (clock_mono_us() - rq->start_us) / 1000);
	f[n++] = LOG_STR("peer", http_peer(rq));
	if (rq->outcome == OUT_LOST)
		f[n++] = LOG_STR("end", "lost");
	for (unsigned i = 0; i < rq->note_count; i++)
		f[n++] = LOG_STR(rq->notes[i].key, rq->notes[i].value);
	log_write(LOG_INFO, "request", f, n);
}

const char *
http_method(const struct http_request *rq)
{
	return rq->understood ? rq->in->data : "";
}

const char *
http_target(const struct http_request *rq)
{
	return rq->understood ? rq->in->data + rq->in->head.target : "";
}

const char *
http_path(const struct http_request *rq)
{
	return rq->understood ? rq->path : "";
}

const char *
http_query(const struct http_request *rq)
{
	return rq->query;
}

const char *
http_header(const struct http_request *rq, const char *name)
{
	return head_value(&rq->in->head, rq->in->data, name);
}

unsigned
http_header_count(const struct http_request *rq, const char *name)
{
	return head_count(&rq->in->head, rq->in->data, name);
}

bool
http_has_body(const struct http_request *rq)
{
	return rq->has_body;
}

int64_t
http_body_len(const struct http_request *rq)
{
	const struct head *h = &rq->in->head;

	if (!rq->has_body)
		return 0;
	return h->framing == FRAMING_CHUNKED ? -1 : (int64_t)h->length;
}

const uint8_t *
http_body(const struct http_request *rq, size_t *len)
{
	*len = rq->body_len;
	return rq->body ? rq->body : (const uint8_t *)"";
}

void
http_set_body_max(struct http_request *rq, uint64_t max)
{
	rq->body_max = max;
}

err_code
http_websocket(struct http_request *rq, char accept[static HTTP_ACCEPT_LEN + 1], struct err *err)
{
	err_code rc = upgrade_check(&rq->in->head, rq->in->data, accept, err);

	if (rc && http_header(rq, "upgrade"))
		rq->must_close = true; /* what comes behind may be frames */
	return rc;
}

struct arena *
http_arena(struct http_request *rq)
{
	if (!rq->arena)
		rq->arena = arena_new(ARENA_MAX);
	return rq->arena;
}

const char *
http_request_id(const struct http_request *rq)
{
	return rq->id;
}

const char *
http_peer(const struct http_request *rq)
{
	return rq->conn->peer_text; /* fixed since accept */
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

/* A copy, cut where the log would get too long. */
static char *
note_value(const char *value)
{
	size_t len = MIN(strlen(value), NOTE_LEN_MAX);
	char *copy = xcalloc(1, len + 1);

	memcpy(copy, value, len);
	return copy;
}

void
http_note(struct http_request *rq, const char *key, const char *value)
{
	if (rq->note_count == HTTP_NOTES_MAX)
		return;
	rq->notes[rq->note_count++] = (struct note){ .key = key, .value = note_value(value ? value : "") };
}
