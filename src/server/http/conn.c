/*
 * A connection, one function a state.  Each function does what can be done without waiting and returns true when the state has
 * changed and the next function can go on at once.
 *
 *        bytes          head complete         body wanted        last piece handed over
 *   IDLE -----> HEAD ----------------> WORK --------------> BODY -----------------------> WORK
 *    ^                                 |  ^  LATER (head() again)                           |
 *    |        answered, keep-alive     |  '----'                                            |
 *    '---------------------------------+----------------------------------------------------'
 *                                      |   socket full: WRITE, then WORK again
 *                                      '-> DRAIN -> closed      when the connection does not go on
 *
 * A connection that the service takes leaves from WORK: it is TAKEN until http_release() hands it back for closing.
 *
 * Memory follows the state: an idle connection is this struct; the input buffer exists from a request's first byte on, pieces
 * of 128 KiB only while a body is streamed.
 */
#include "server/http/http_internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn *
conn_new(struct http_server *s, int fd, struct peer *peer, const char *peer_text)
{
	struct conn *c = xcalloc(1, sizeof *c);

	c->server = s;
	c->fd = fd;
	c->peer = peer;
	snprintf(c->peer_text, sizeof c->peer_text, "%s", peer_text);
	c->next = s->conns;
	if (s->conns)
		s->conns->prev = c;
	s->conns = c;
	s->conn_count++;
	wait_for(c, &s->idle);
	return c;
}

static void
conn_close(struct conn *c)
{
	struct http_server *s = c->server;

	assert(!c->busy && !c->rq); /* H3 */
	wait_stop(c);
	close(c->fd);
	body_fini(c);
	free(c->in);
	free(c->pending);
	c->in = NULL;
	c->pending = NULL;
	listen_forget(s, c->peer);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->conn_count--;
	s->taken_count -= c->state == CONN_TAKEN;
	c->state = CONN_DEAD; /* the loop frees it when no event of this turn can name it any more */
	c->next = s->dead;
	s->dead = c;
}

enum io
conn_recv(struct conn *c, void *p, size_t cap, size_t *got)
{
	ssize_t n;

	*got = 0;
	if (!c->can_read)
		return IO_AGAIN;
	do {
		n = recv(c->fd, p, cap, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		c->can_read = false;
		return IO_AGAIN;
	}
	if (n <= 0)
		return IO_END;
	*got = (size_t)n;
	/* A short read has emptied the socket and the next bytes are a new edge; but behind a FIN no edge comes. */
	if ((size_t)n < cap && !c->fin)
		c->can_read = false;
	return IO_OK;
}

/* ---- to and from the workers ---- */

static bool
submit(struct conn *c, enum job job, enum conn_state state)
{
	struct http_request *rq = c->rq;

	assert(!c->busy && rq); /* H2 */
	if (state != CONN_BODY && state != CONN_WRITE)
		wait_stop(c);
	rq->job = job;
	rq->body_taken = c->body.taken;
	rq->progress = false;
	rq->more_input = c->can_read || c->in->len > c->body.in_pos;
	c->can_write = false;
	c->busy = true;
	c->state = state;
	c->server->busy_count++;
	workq_push(c->server->workers, job_run, rq);
	return false;
}

static bool
fail(struct conn *c, const struct err *err)
{
	c->rq->err = *err;
	c->rq->must_close = true;
	return submit(c, JOB_FAIL, CONN_WORK);
}

/* No answer makes sense any more; the service still has to hear that the request is over. */
static bool
give_up(struct conn *c)
{
	if (!c->rq) {
		conn_close(c);
		return false;
	}
	return submit(c, JOB_ABANDON, CONN_WORK);
}

/* ---- between requests, and the head ---- */

static bool
begin_head(struct conn *c)
{
	head_init(&c->in->head);
	wait_for(c, &c->server->head);
	c->state = CONN_HEAD;
	return true;
}

static bool
at_idle(struct conn *c)
{
	size_t got;

	if (c->in && c->in->len > 0)
		return begin_head(c); /* pipelined */
	if (c->can_read && !c->in) {
		c->in = malloc(sizeof *c->in);
		if (!c->in) {
			conn_close(c);
			return false;
		}
		c->in->len = 0;
	}
	switch (c->can_read ? conn_recv(c, c->in->data, sizeof c->in->data, &got) : IO_AGAIN) {
	case IO_OK:
		c->in->len = got;
		return begin_head(c);
	case IO_END:
		conn_close(c);
		return false;
	case IO_AGAIN:
		break;
	}
	free(c->in);
	c->in = NULL;
	if (c->list != &c->server->idle)
		wait_for(c, &c->server->idle);
	return false;
}

static bool
refuse_head(struct conn *c, const struct err *err)
{
	c->rq = request_new(c);
	return fail(c, err);
}

static bool
accept_head(struct conn *c)
{
	struct inbuf *in = c->in;
	struct err err;

	c->rq = request_new(c);
	c->body.in_pos = in->head.len;
	c->later_until = 0;
	if (admit_check(&c->server->admit, &in->head, in->data, &err))
		return fail(c, &err);
	return submit(c, JOB_HEAD, CONN_WORK);
}

static bool
at_head(struct conn *c)
{
	struct inbuf *in = c->in;
	struct err err;
	bool done;
	size_t got;

	if (head_feed(&in->head, in->data, in->len, &done, &err))
		return refuse_head(c, &err);
	if (done)
		return accept_head(c);
	switch (conn_recv(c, in->data + in->len, sizeof in->data - in->len, &got)) {
	case IO_OK:
		in->len += got;
		return true;
	case IO_END:
		conn_close(c);
		return false;
	case IO_AGAIN:
		break;
	}
	return false;
}

/* ---- the body ---- */

static bool
say_continue(struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* The answer before is with the kernel, so its buffer has room for a line; if not, the peer is not reading. */
	return send(c->fd, text, sizeof text - 1, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof text - 1;
}

static bool
begin_body(struct conn *c)
{
	const struct inbuf *in = c->in;
	struct err err;

	if (body_begin(c, &err))
		return fail(c, &err);
	if (in->head.expect_continue && in->len == in->head.len && !say_continue(c))
		return give_up(c);
	c->body.window_start = 0;
	wait_for(c, &c->server->body);
	c->state = CONN_BODY;
	return true;
}

/* The body cannot be finished.  A worker that still has a piece of it is waited for. */
static bool
body_failed(struct conn *c, const struct err *err)
{
	if (!c->busy)
		return err ? fail(c, err) : give_up(c);
	wait_stop(c);
	c->state = CONN_WORK;
	if (err) {
		c->pending = xmalloc(sizeof *c->pending);
		*c->pending = *err;
	} else {
		c->lost = true;
	}
	return false;
}

/* Give the filled piece to a worker and go on reading into the other one. */
static bool
hand_over_piece(struct conn *c)
{
	struct body *b = &c->body;

	c->rq->piece = TAKE(b->fill);
	c->rq->body_unread = !b->complete;
	submit(c, JOB_PIECE, b->complete ? CONN_WORK : CONN_BODY);
	if (b->complete)
		wait_stop(c);
	return true;
}

static bool
at_body(struct conn *c)
{
	struct body *b = &c->body;
	enum body_step step;
	struct err err;

	step = b->complete ? BODY_COMPLETE : body_read(c, &err);
	if (step == BODY_GONE)
		return body_failed(c, NULL);
	if (step == BODY_BAD)
		return body_failed(c, &err);
	/* The clock runs while we read; when there is no room for more, the time is ours and not the peer's. */
	if (step == BODY_AGAIN && c->list != &c->server->body) {
		b->window_start = b->received;
		wait_for(c, &c->server->body);
	} else if (step != BODY_AGAIN) {
		wait_stop(c);
	}
	if (c->busy)
		return false;
	if (c->rq->next == HTTP_WHOLE) {
		if (step != BODY_COMPLETE)
			return false;
		c->rq->body_unread = false;
		return submit(c, JOB_END, CONN_WORK);
	}
	if (b->complete || (b->fill && b->fill->len > 0))
		return hand_over_piece(c);
	return false;
}

/* The rate window is over: did enough arrive in it? */
static void
body_expired(struct conn *c)
{
	struct body *b = &c->body;
	uint64_t least = HTTP_BODY_RATE_MIN * (uint64_t)c->server->body.span_ms / 1000;
	struct err err;

	if (b->received - b->window_start >= least) {
		b->window_start = b->received;
		wait_for(c, &c->server->body);
		return;
	}
	(void)!err_set(&err, ERR_TIMEOUT, "the body arrives slower than %zu bytes a second", HTTP_BODY_RATE_MIN);
	body_failed(c, &err);
}

/* ---- the answer ---- */

static bool
at_write(struct conn *c)
{
	if (c->busy)
		return false;
	if (c->can_write)
		return submit(c, JOB_SEND, CONN_WRITE);
	if (c->list != &c->server->write)
		wait_for(c, &c->server->write);
	return false;
}

static bool
at_drain(struct conn *c)
{
	struct http_server *s = c->server;
	size_t got;
	enum io io;

	while ((io = conn_recv(c, s->scratch, sizeof s->scratch, &got)) == IO_OK) {
		c->drained += got;
		if (c->drained > HTTP_DRAIN_MAX)
			break;
	}
	if (io != IO_AGAIN)
		conn_close(c);
	return false;
}

/* The answer is with the kernel.  Go on with what is behind the request, or half close and let the peer read. */
static void
answered(struct conn *c)
{
	bool keep = c->rq->keep;
	size_t rest = c->in->len - c->body.in_pos;

	request_free(TAKE(c->rq));
	wait_stop(c);
	if (keep) {
		memmove(c->in->data, c->in->data + c->body.in_pos, rest);
		c->in->len = rest;
		body_fini(c);
		c->state = CONN_IDLE;
		return;
	}
	body_fini(c);
	free(TAKE(c->in));
	shutdown(c->fd, SHUT_WR);
	c->drained = rest;
	c->state = CONN_DRAIN;
	wait_for(c, &c->server->drain);
}

/* Out of our epoll first: its events are another's from here on. */
static void
hand_over(struct conn *c)
{
	struct http_request *rq = TAKE(c->rq);
	const struct http_taken t = {
		.fd = c->fd,
		.conn = c,
		.head = rq->take_head,
		.head_len = rq->take_head_len,
		.rest = (const uint8_t *)c->in->data + c->body.in_pos,
		.rest_len = c->in->len - c->body.in_pos,
	};

	wait_stop(c);
	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->state = CONN_TAKEN;
	c->server->taken_count++;
	rq->take.fn(rq->take.ctx, &t);
	request_free(rq);
	body_fini(c);
	free(TAKE(c->in));
}

void
http_release(struct conn *c)
{
	loop_hand_back(c, true);
}

/* ---- what happens to a connection ---- */

static bool
at_rest(struct conn *c)
{
	(void)c;
	return false;
}

static bool (*const states[CONN_STATE_COUNT])(struct conn *) = {
	[CONN_IDLE] = at_idle,
	[CONN_HEAD] = at_head,
	[CONN_WORK] = at_rest,
	[CONN_LATER] = at_rest,
	[CONN_BODY] = at_body,
	[CONN_WRITE] = at_write,
	[CONN_TAKEN] = at_rest,
	[CONN_DRAIN] = at_drain,
	[CONN_DEAD] = at_rest,
};

static void
go_on(struct conn *c)
{
	while (states[c->state](c))
		;
}

/* A worker has the request: it shall wake the loop when it is done. */
static void
want_back(struct conn *c)
{
	mutex_lock(&c->server->mu);
	c->eager = true;
	mutex_unlock(&c->server->mu);
}

void
conn_event(struct conn *c, uint32_t events)
{
	if (c->state == CONN_TAKEN)
		return; /* of the turn in which it was handed over */
	if (events & (EPOLLIN | EPOLLRDHUP))
		c->can_read = true;
	if (events & EPOLLRDHUP)
		c->fin = true;
	if (events & EPOLLOUT)
		c->can_write = true;
	if (events & (EPOLLHUP | EPOLLERR))
		c->lost = true;
	if (c->busy)
		want_back(c);
	else if (c->lost && c->state != CONN_DEAD)
		give_up(c);
	go_on(c);
}

static void
blocked(struct conn *c)
{
	if (c->rq->progress || c->state != CONN_WRITE)
		wait_for(c, &c->server->write); /* a stall counts from the last byte that the peer took */
	c->state = CONN_WRITE;
}

static void
later(struct conn *c)
{
	struct http_server *s = c->server;
	struct err err;

	if (c->later_until == 0)
		c->later_until = s->now_ms + s->idle.span_ms;
	if (s->now_ms >= c->later_until) {
		(void)!err_set(&err, ERR_UNAVAILABLE, "there was no room for the request in time");
		fail(c, &err);
		return;
	}
	c->state = CONN_LATER;
	wait_for(c, &s->later);
}

/* A piece is done with: reuse it, and see what happened meanwhile. */
static void
piece_back(struct conn *c)
{
	free(c->body.spare);
	c->body.spare = TAKE(c->rq->piece);
	if (c->pending)
		fail(c, c->pending);
}

void
conn_back(struct conn *c)
{
	if (c->state == CONN_TAKEN) {
		conn_close(c);
		return;
	}
	c->busy = false;
	c->server->busy_count--;
	switch (c->rq->outcome) {
	case OUT_SENT:
		answered(c);
		break;
	case OUT_LOST:
		request_free(TAKE(c->rq));
		conn_close(c);
		return;
	case OUT_BLOCKED:
	case OUT_TURN:
		blocked(c);
		break;
	case OUT_BODY:
		if (!c->lost)
			begin_body(c);
		break;
	case OUT_MORE:
		piece_back(c);
		break;
	case OUT_LATER:
		later(c);
		break;
	case OUT_TAKEN:
		hand_over(c);
		return;
	}
	if (c->lost && !c->busy)
		give_up(c);
	go_on(c);
}

void
conn_expired(struct conn *c)
{
	struct err err;

	switch (c->state) {
	case CONN_HEAD:
		(void)!err_set(&err, ERR_TIMEOUT, "the head of the request did not arrive in time");
		refuse_head(c, &err);
		break;
	case CONN_BODY:
		body_expired(c);
		break;
	case CONN_LATER:
		submit(c, JOB_HEAD, CONN_WORK);
		break;
	case CONN_WRITE:
		if (c->busy)
			wait_for(c, &c->server->write); /* a worker reads the answer's next part: our time */
		else
			give_up(c);
		break;
	default:
		conn_close(c);
	}
}

void
conn_stop(struct conn *c)
{
	if (c->state == CONN_IDLE || c->state == CONN_HEAD)
		conn_close(c);
	else if (c->busy)
		want_back(c);
}

void
conn_cut(struct conn *c)
{
	c->lost = true;
	shutdown(c->fd, SHUT_RDWR); /* a worker that is sending notices, and so does who has taken it */
	if (!c->busy && c->state != CONN_TAKEN)
		give_up(c);
}
