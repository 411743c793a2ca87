/*
 * What a stream is told.  On its way are, in this order, ${out}, a change's text and ${after}; the text is the ring's own, so a slow reader
 * holds one message and a reference.  Only when all of that is with the kernel is the next change looked for, and only when there is none,
 * what is told as it is now (live.c).
 */
#include "server/notify/notify_internal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fault.h"
#include "base/log.h"

#define LAST_WORDS 256 /* of the queue, for a close frame */
#define RETRY_MS 1000

/* ---- the queue -------------------------------------------------------------------------------------------------------- */

static struct sbuf *
queue(struct stream *s)
{
	return s->frame ? &s->after : &s->out;
}

static bool
has_room(struct stream *s, size_t len)
{
	if (s->state != STREAM_OPEN)
		return false;
	if (s->out.len + s->after.len + len <= EVENTS_QUEUE_MAX - LAST_WORDS)
		return true;
	stream_close(s, WS_TRY_LATER, "the queue is full: read faster");
	return false;
}

/* Where this stream has come, for Last-Event-ID: a cursor, or one of each project. */
static void
add_id(const struct stream *s, struct sbuf *sb)
{
	char text[CURSOR_MAX];

	sbuf_add(sb, "id: ");
	for (unsigned i = 0; i < s->sub_count; i++)
		sbuf_addf(sb, "%s%s", i ? "," : "", cursor_format(&s->subs[i]->at, text));
	sbuf_addc(sb, '\n');
}

static void
add_ws_head(struct sbuf *sb, enum ws_opcode opcode, size_t len)
{
	uint8_t head[WS_HEAD_MAX];

	sbuf_addn(sb, head, ws_head(head, opcode, len));
}

void
send_text(struct stream *s, const char *type, const struct sbuf *text)
{
	struct sbuf *q = queue(s);

	if (!has_room(s, text->len + WS_HEAD_MAX + strlen(type) + s->sub_count * CURSOR_MAX + 32))
		return;
	if (s->kind == NOTIFY_WEBSOCKET) {
		add_ws_head(q, WS_OP_TEXT, text->len);
		sbuf_addn(q, sbuf_str(text), text->len);
		return;
	}
	sbuf_addf(q, "event: %s\n", type);
	add_id(s, q);
	sbuf_addf(q, "data: %s\n\n", sbuf_str(text));
}

void
send_state(struct stream *s, const char *type, const struct frame *text)
{
	if (s->kind == NOTIFY_WEBSOCKET) {
		add_ws_head(&s->out, WS_OP_TEXT, text->len);
		sbuf_addn(&s->out, text->text, text->len);
		return;
	}
	sbuf_addf(&s->out, "event: %s\ndata: ", type); /* without an id: who comes back goes on from the last change */
	sbuf_addn(&s->out, text->text, text->len);
	sbuf_add(&s->out, "\n\n");
}

void
send_control(struct stream *s, enum ws_opcode opcode, const uint8_t *p, size_t len)
{
	struct sbuf *q = queue(s);

	if (opcode != WS_OP_CLOSE && !has_room(s, len + WS_HEAD_MAX))
		return;
	add_ws_head(q, opcode, len);
	sbuf_addn(q, p, len);
	if (q->failed)
		stream_drop(s);
}

/* ---- the socket ------------------------------------------------------------------------------------------------------- */

void
send_events(struct stream *s)
{
	uint32_t want = (!s->asking || s->state == STREAM_CLOSING ? EPOLLIN : 0U) | (s->blocked ? EPOLLOUT : 0U);
	struct epoll_event ev = { .events = want, .data.ptr = s };

	if (want == s->events || s->state == STREAM_DEAD)
		return;
	s->events = want;
	epoll_ctl(s->n->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
}

/* What is left of the three parts. */
static int
parts_left(struct stream *s, struct iovec iov[3])
{
	const struct iovec parts[3] = {
		{ s->out.s, s->out.len },
		{ s->frame ? s->frame->text : NULL, s->frame ? s->frame->len : 0 },
		{ s->after.s, s->after.len },
	};
	size_t skip = s->sent;
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t over = MIN(skip, parts[i].iov_len);

		skip -= over;
		if (over < parts[i].iov_len)
			iov[n++] = (struct iovec){ (char *)parts[i].iov_base + over, parts[i].iov_len - over };
	}
	return n;
}

/* All of it is with the kernel: an idle stream keeps no buffers. */
static void
all_sent(struct stream *s)
{
	sbuf_fini(&s->out);
	sbuf_fini(&s->after);
	s->out = SBUF(EVENTS_QUEUE_MAX);
	s->after = SBUF(EVENTS_QUEUE_MAX);
	frame_unref(TAKE(s->frame));
	s->sent = 0;
}

/* False when the socket takes no more, or is broken. */
static bool
push(struct stream *s)
{
	struct iovec iov[3];
	int n;

	while ((n = parts_left(s, iov)) > 0) {
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n };
		ssize_t sent = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			s->blocked = true;
			return false;
		}
		if (sent < 0) {
			stream_drop(s);
			return false;
		}
		s->sent += (size_t)sent;
	}
	all_sent(s);
	return true;
}

/* ---- the next change -------------------------------------------------------------------------------------------------- */

static void
read_behind(struct subscription *sub)
{
	struct stream *s = sub->stream;
	struct job *j;

	if (s->reading || s->fetched || s->n->now_ms < s->read_again_ms)
		return;
	if (sub->behind > EVENTS_CATCH_UP_MAX) {
		subscription_resync(sub, ERR_OK);
		return;
	}
	j = job_new(s->n, JOB_READ);
	j->stream = s->serial;
	j->project = sub->topic->project;
	j->since = sub->at;
	j->upto = sub->topic->ring.to;
	s->reading = true;
	job_push(j);
}

/* What comes next for the subscription, as a reference of the caller's; or NULL, and then perhaps a worker looks. */
static struct frame *
next_frame(struct subscription *sub)
{
	struct stream *s = sub->stream;
	struct frame *f;

	if (s->fetched && id_eq(&s->fetched_for, &sub->topic->project)) {
		f = TAKE(s->fetched);
		if (f->since == sub->at.clock)
			return f;
		frame_unref(f);
	}
	switch (ring_find(&sub->topic->ring, sub->at.clock, &f)) {
	case RING_NEXT:
		sub->behind = 0;
		return frame_ref(f);
	case RING_PASSED:
		read_behind(sub);
		return NULL;
	case RING_NONE:
		break;
	}
	return NULL;
}

static void
begin_frame(struct subscription *sub, struct frame *f)
{
	struct stream *s = sub->stream;

	sub->at.clock = f->to;
	if (sub->at.began <= f->to)
		sub->at.began = 0;
	if (FAULT("notify.drops_change")) {
		frame_unref(f);
		return;
	}
	s->frame = f;
	if (s->kind == NOTIFY_WEBSOCKET) {
		add_ws_head(&s->out, WS_OP_TEXT, f->len);
		return;
	}
	sbuf_add(&s->out, "event: change\n");
	add_id(s, &s->out);
	sbuf_add(&s->out, "data: ");
	sbuf_add(&s->after, "\n\n");
}

/* Projects take turns, so that none waits for another's long history.  True when there is something to send. */
static bool
next_change(struct stream *s)
{
	for (unsigned i = 0; i < s->sub_count; i++) {
		unsigned at = (s->turn + i) % s->sub_count;
		struct frame *f = next_frame(s->subs[at]);

		if (!f)
			continue;
		s->turn = at + 1;
		begin_frame(s->subs[at], f);
		return true;
	}
	return s->out.len > 0;
}

void
send_flush(struct stream *s)
{
	if (s->state == STREAM_DEAD || s->blocked)
		return;
	do {
		if (!push(s)) {
			send_events(s);
			return;
		}
	} while (s->state == STREAM_OPEN && (next_change(s) || live_next(s)));
	if (s->state == STREAM_CLOSING && !s->shut) {
		s->shut = true;
		shutdown(s->fd, SHUT_WR); /* the peer reads our last words, and ends its side */
	}
	send_events(s);
}

/* ---- from workers, and by the clock ----------------------------------------------------------------------------------- */

static void
read_failed(struct stream *s, struct subscription *sub, const struct err *err)
{
	if (err->code == ERR_EPOCH_CHANGED || err->code == ERR_CURSOR_EXPIRED) {
		subscription_resync(sub, err->code);
		return;
	}
	s->read_again_ms = s->n->now_ms + RETRY_MS;
	if (err->code != ERR_NOT_FOUND) /* else the project has gone, which the next look at who may listen tells */
		log_error(err, "the changes of a project could not be read for one who is behind");
}

void
send_fetched(struct stream *s, struct job *j)
{
	struct subscription *sub = subscription_find(s, &j->project);

	s->reading = false;
	if (s->state != STREAM_OPEN)
		return;
	if (sub && sub->at.clock == j->since.clock) {
		if (j->err.code) {
			read_failed(s, sub, &j->err);
		} else if (j->page.to > j->since.clock) {
			s->fetched = frame_new(j->since.clock, j->page.to, sbuf_str(&j->page.text), j->page.text.len);
			s->fetched_for = j->project;
			sub->behind += j->page.n;
		}
	}
	send_flush(s);
}

void
send_heartbeat(struct stream *s)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(EVENTS_QUEUE_MAX);
	struct jw jw = JW(&sb);

	if (s->blocked)
		return; /* it has something to read already */
	wire_heartbeat_open(&jw);
	for (unsigned i = 0; i < s->sub_count; i++)
		wire_heartbeat_project(&jw, &s->subs[i]->topic->project, &s->subs[i]->at, s->subs[i]->topic->clock);
	wire_heartbeat_close(&jw);
	if (s->kind == NOTIFY_WEBSOCKET) {
		send_text(s, "heartbeat", &sb);
		send_control(s, WS_OP_PING, NULL, 0);
	} else if (has_room(s, sb.len + 8)) {
		sbuf_addf(queue(s), ": %s\n\n", sbuf_str(&sb)); /* a comment: nothing that a reader of events has to know */
	}
	send_flush(s);
}
