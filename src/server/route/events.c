/*
 * Event streams: the last that HTTP does for a connection is to say yes.  Who is calling, and what for, has been decided as for every
 * request; the hub (notify/) then asks again every few seconds.
 */
#include "server/route/route_internal.h"

#include "server/notify/notify.h"
#include "server/route/handshake.h"

/** What is handed to the hub with the connection. */
struct arrival {
	struct notify *hub;
	enum notify_kind kind;
	struct id device;
	struct id only; /* zero: whatever the device may read */
	size_t n;
	struct wire_ask asks[EVENTS_PROJECTS_MAX];
};

static void
release(void *conn)
{
	http_release(conn);
}

/* On the loop of http/: nothing here blocks. */
static void
taken(void *ctx, const struct http_taken *t)
{
	AUTO(freep) struct arrival *a = ctx;

	if (t == NULL) {
		notify_leave(a->hub, &a->device);
		return;
	}
	notify_add(a->hub, &(struct notify_conn){
		.kind = a->kind,
		.fd = t->fd,
		.release = release,
		.release_ctx = t->conn,
		.head = t->head,
		.head_len = t->head_len,
		.rest = t->rest,
		.rest_len = t->rest_len,
		.device = a->device,
		.only = a->only,
		.asks = a->asks,
		.ask_count = a->n,
	});
}

/* ---- which kind --------------------------------------------------------------------------------------------------------- */

static bool
wants_sse(const struct call *c)
{
	const char *accept = http_header(c->rq, "accept");

	return http_header(c->rq, "upgrade") == NULL && accept != NULL && strstr(accept, "text/event-stream") != NULL;
}

static err_code
enter(struct call *c, struct arrival *a, struct err *err)
{
	a->hub = c->route->hub;
	a->device = c->caller.device.id;
	a->only = c->ticket_for;
	return notify_enter(a->hub, &a->device, err);
}

static err_code
take_websocket(struct call *c, const struct arrival *asked, struct err *err)
{
	char accept[HTTP_ACCEPT_LEN + 1];
	AUTO(freep) struct arrival *a = xmalloc(sizeof *a);
	bool named = false;
	err_code rc = http_websocket(c->rq, accept, err);

	*a = *asked;
	a->kind = NOTIFY_WEBSOCKET;
	if (!rc)
		rc = handshake_protocol(c, &named, err);
	if (!rc)
		rc = enter(c, a, err);
	if (rc)
		return rc;
	if (named)
		http_add_header(c->rq, "Sec-WebSocket-Protocol", EVENTS_PROTOCOL);
	http_add_header(c->rq, "Upgrade", "websocket");
	http_add_header(c->rq, "Sec-WebSocket-Accept", accept);
	http_take(c->rq, 101, taken, TAKE(a));
	return ERR_OK;
}

static err_code
take_sse(struct call *c, const struct arrival *asked, struct err *err)
{
	AUTO(freep) struct arrival *a = xmalloc(sizeof *a);
	err_code rc;

	if (strcmp(http_method(c->rq), "HEAD") == 0) {
		http_answer(c->rq, 200, "text/event-stream", NULL, 0);
		return ERR_OK;
	}
	*a = *asked;
	a->kind = NOTIFY_SSE;
	rc = enter(c, a, err);
	if (rc)
		return rc;
	http_add_header(c->rq, "Content-Type", "text/event-stream");
	http_add_header(c->rq, "X-Accel-Buffering", "no"); /* nginx would keep events until it has a bufferful */
	http_take(c->rq, 200, taken, TAKE(a));
	return ERR_OK;
}

/* ---- one project -------------------------------------------------------------------------------------------------------- */

err_code
route_events_project(struct call *c, struct err *err)
{
	AUTO(freep) struct arrival *a = xcalloc(1, sizeof *a);
	const char *last = wants_sse(c) ? http_header(c->rq, "last-event-id") : NULL;
	size_t len = 0;
	const char *since = query_text(c, "since", &len);
	err_code rc = query_end(c, err);

	if (last != NULL && *last != 0) { /* a reader that comes back asks with the target that it began with */
		since = last;
		len = strlen(last);
	}
	a->n = 1;
	a->asks[0].project = c->project;
	a->asks[0].has_since = since != NULL;
	if (!rc && since != NULL)
		rc = cursor_parse(since, len, &a->asks[0].since, err);
	if (rc)
		return rc;
	return wants_sse(c) ? take_sse(c, a, err) : take_websocket(c, a, err);
}

/* ---- all projects --------------------------------------------------------------------------------------------------------- */

static struct wire_ask *
ask_of_epoch(struct arrival *a, const struct project *projects, const struct id *epoch)
{
	for (size_t i = 0; i < a->n; i++)
		if (id_eq(&projects[i].epoch, epoch))
			return &a->asks[i];
	return NULL;
}

/**
 * "CURSOR,CURSOR,…": each is its project's by its epoch.  A project that is not among them is new to the reader, or has begun its history
 * anew, and is told from the beginning.
 */
static err_code
read_last_ids(struct arrival *a, const struct project *projects, const char *last, struct err *err)
{
	for (size_t i = 0; i < a->n; i++)
		a->asks[i].has_since = true;
	while (*last) {
		size_t len = strcspn(last, ",");
		struct cursor cursor;
		struct wire_ask *ask;
		err_code rc = cursor_parse(last, len, &cursor, err);

		if (rc)
			return rc;
		ask = ask_of_epoch(a, projects, &cursor.epoch);
		if (ask != NULL)
			ask->since = cursor;
		last += len + (last[len] == ',');
	}
	return ERR_OK;
}

static err_code
ask_for_all(struct call *c, struct arrival *a, struct err *err)
{
	const char *last = http_header(c->rq, "last-event-id");
	const struct id *device = c->caller.device.kind == DEVICE_OWNER ? NULL : &c->caller.device.id;
	struct project *projects;
	err_code rc = project_list(c->d, device, NULL, EVENTS_PROJECTS_MAX + 1, c->a, &projects, &a->n, err);

	if (rc)
		return rc;
	if (a->n > EVENTS_PROJECTS_MAX)
		return err_set(err, ERR_FIELD_RANGE, "one stream tells of %d projects; open streams of single ones", EVENTS_PROJECTS_MAX);
	for (size_t i = 0; i < a->n; i++)
		a->asks[i].project = projects[i].id;
	return last != NULL && *last != 0 ? read_last_ids(a, projects, last, err) : ERR_OK;
}

err_code
route_events_all(struct call *c, struct err *err)
{
	AUTO(freep) struct arrival *a = xcalloc(1, sizeof *a);
	err_code rc = query_end(c, err);

	if (rc)
		return rc;
	if (!wants_sse(c))
		return take_websocket(c, a, err); /* the client says which */
	rc = ask_for_all(c, a, err);
	return rc ? rc : take_sse(c, a, err);
}
