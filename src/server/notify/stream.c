/* A connection's life: reading, deadlines, the end. */
#include "server/notify/notify_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct stream *
stream_find(struct notify *n, uint64_t serial)
{
	return map_get(n->serials, &serial, sizeof serial);
}

/* ---- the end ---------------------------------------------------------------------------------------------------------- */

void
stream_drop(struct stream *s)
{
	struct notify *n = s->n;

	if (s->state == STREAM_DEAD)
		return;
	s->state = STREAM_DEAD;
	while (s->sub_count > 0)
		subscription_end(s->subs[s->sub_count - 1]);
	epoll_ctl(n->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	notify_leave(n, &s->device);
	s->release(s->release_ctx);
	map_remove(n->serials, &s->serial, sizeof s->serial);
	if (s->prev)
		s->prev->next = s->next;
	else
		n->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	ws_fini(&s->ws);
	free(s->input);
	sbuf_fini(&s->out);
	sbuf_fini(&s->after);
	frame_unref(s->frame);
	frame_unref(s->fetched);
	s->next = n->dead; /* freed when no event of this turn can name it any more */
	n->dead = s;
}

void
stream_close(struct stream *s, unsigned code, const char *why)
{
	uint8_t payload[WS_CONTROL_MAX] = { (uint8_t)(code >> 8), (uint8_t)code };
	size_t len = MIN(strlen(why), sizeof payload - 2);

	if (s->state != STREAM_OPEN)
		return;
	while (s->sub_count > 0)
		subscription_end(s->subs[s->sub_count - 1]);
	memcpy(payload + 2, why, len);
	if (s->kind == NOTIFY_WEBSOCKET)
		send_control(s, WS_OP_CLOSE, payload, len + 2);
	if (s->state != STREAM_OPEN)
		return; /* there was no room even for that */
	s->state = STREAM_CLOSING;
	s->close_by_ms = s->n->now_ms + s->n->close_ms;
	send_flush(s);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

/* Control frames cost an answer each, so there are not too many of them. */
static bool
control_allowed(struct stream *s)
{
	int64_t second = s->n->now_ms / 1000;

	if (second != s->control_s) {
		s->control_s = second;
		s->control_count = 0;
	}
	if (++s->control_count <= EVENTS_PINGS_MAX)
		return true;
	stream_close(s, WS_POLICY, "more than 10 pings or pongs in a second");
	return false;
}

static void
got_one(struct stream *s, const struct ws_got *got)
{
	switch (got->what) {
	case WS_NOTHING:
		break;
	case WS_TEXT:
		subscribe_message(s, got->p, got->len);
		break;
	case WS_PING:
		if (control_allowed(s)) {
			send_control(s, WS_OP_PONG, got->p, got->len);
			send_flush(s);
		}
		break;
	case WS_PONG:
		if (control_allowed(s))
			s->pong_ms = s->n->now_ms;
		break;
	case WS_CLOSED:
		stream_close(s, got->code, "");
		break;
	case WS_BROKEN:
		stream_close(s, got->code, got->why);
		break;
	}
}

/* While a worker looks at what the client wants, the rest waits: a question at a time is what one stream may cost. */
static void
got_bytes(struct stream *s, const uint8_t *p, size_t len)
{
	struct ws_got got = { .what = WS_TEXT };

	if (s->kind == NOTIFY_SSE)
		return; /* nothing that comes has a meaning */
	while (s->state == STREAM_OPEN && !s->asking && got.what != WS_NOTHING) {
		ws_read(&s->ws, &p, &len, &got);
		got_one(s, &got);
	}
	if (s->state == STREAM_OPEN && len > 0) {
		s->input = xmalloc(len); /* at most what one read brought */
		s->input_len = len;
		memcpy(s->input, p, len);
	}
}

void
stream_resume(struct stream *s)
{
	AUTO(freep) uint8_t *input = TAKE(s->input);

	if (s->state == STREAM_OPEN && input)
		got_bytes(s, input, s->input_len);
}

static void
read_socket(struct stream *s)
{
	ssize_t n;

	n = recv(s->fd, s->n->scratch, sizeof s->n->scratch, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		stream_drop(s);
	else if (s->state == STREAM_OPEN)
		got_bytes(s, s->n->scratch, (size_t)n);
}

/* ---- events and deadlines --------------------------------------------------------------------------------------------- */

void
stream_event(struct stream *s, uint32_t events)
{
	if (s->state == STREAM_DEAD)
		return;
	if (events & EPOLLERR) {
		stream_drop(s);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP) && (!s->asking || s->state == STREAM_CLOSING))
		read_socket(s);
	else if (events & EPOLLHUP)
		stream_drop(s);
	if (s->state != STREAM_DEAD && events & EPOLLOUT) {
		s->blocked = false;
		send_flush(s);
	}
}

void
stream_tick(struct stream *s)
{
	int64_t now = s->n->now_ms;

	if (s->state == STREAM_CLOSING && now >= s->close_by_ms) {
		stream_drop(s);
		return;
	}
	if (s->state != STREAM_OPEN)
		return;
	if (s->kind == NOTIFY_WEBSOCKET && now - s->pong_ms >= s->n->pong_ms) {
		stream_close(s, WS_POLICY, "no pong came");
		return;
	}
	if (now - s->beat_ms >= s->n->heartbeat_ms) {
		s->beat_ms = now;
		send_heartbeat(s);
	}
	if (s->state == STREAM_OPEN)
		send_flush(s); /* a reading that failed is tried again */
}

/* ---- the beginning ---------------------------------------------------------------------------------------------------- */

static struct stream *
stream_new(struct notify *n, const struct notify_conn *conn)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->n = n;
	s->serial = ++n->last_serial;
	s->kind = conn->kind;
	s->fd = conn->fd;
	s->release = conn->release;
	s->release_ctx = conn->release_ctx;
	s->device = conn->device;
	s->only = conn->only;
	s->events = EPOLLIN;
	s->out = SBUF(EVENTS_QUEUE_MAX);
	s->after = SBUF(EVENTS_QUEUE_MAX);
	s->beat_ms = s->pong_ms = n->now_ms;
	ws_init(&s->ws);
	s->next = n->streams;
	if (s->next)
		s->next->prev = s;
	n->streams = s;
	map_put(n->serials, &s->serial, sizeof s->serial, s);
	return s;
}

/* A peer that is gone without a word, while something is on its way to it. */
static void
limit_silence(struct stream *s)
{
	const unsigned ms = (unsigned)s->n->pong_ms;

	setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void
stream_open(struct notify *n, const struct notify_conn *conn)
{
	struct stream *s = stream_new(n, conn);
	struct epoll_event ev = { .events = s->events, .data.ptr = s };

	limit_silence(s);
	if (epoll_ctl(n->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev)) {
		stream_drop(s); /* out of watches */
		return;
	}
	sbuf_addn(&s->out, conn->head, conn->head_len);
	if (conn->ask_count > 0)
		subscribe_ask(s, conn->asks, conn->ask_count);
	send_flush(s);
	if (s->state != STREAM_OPEN)
		return;
	if (!s->asking) {
		got_bytes(s, conn->rest, conn->rest_len);
	} else if (conn->rest_len > 0 && s->kind == NOTIFY_WEBSOCKET) {
		s->input = xmalloc(conn->rest_len);
		s->input_len = conn->rest_len;
		memcpy(s->input, conn->rest, conn->rest_len);
	}
}
