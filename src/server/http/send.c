/*
 * Sending an answer, on a worker: reading a file or a source may block, the socket never does.  When the socket is full the
 * request goes back to the loop, which queues the next job when there is room again.
 */
#include "server/http/http_internal.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/log.h"

/* What a send call said: bytes, or why not.  OUT_TURN stands for "go on". */
static enum outcome
sent(struct http_request *rq, ssize_t n)
{
	if (n > 0) {
		rq->progress = true;
		return OUT_TURN;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? OUT_BLOCKED : OUT_LOST;
}

/* The head, and with it the body when that is in memory: small answers leave in one packet. */
static enum outcome
send_memory(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	size_t head_left = a->head.len - a->head_sent;
	bool bytes = a->kind == ANSWER_BYTES;
	struct iovec iov[2] = {
		{ .iov_base = a->head.s + a->head_sent, .iov_len = head_left },
		{ .iov_base = bytes ? a->bytes + a->body_sent : NULL, .iov_len = bytes ? a->body_len - a->body_sent : 0 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = bytes ? 2 : 1 };
	int more = !bytes && a->body_len > 0 ? MSG_MORE : 0;
	ssize_t n = sendmsg(rq->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL | more);

	if (n > 0) {
		size_t of_head = MIN((size_t)n, head_left);

		a->head_sent += of_head;
		a->body_sent += (size_t)n - of_head;
	}
	return sent(rq, n);
}

static enum outcome
send_file(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	off_t off = (off_t)(a->off + a->body_sent);
	ssize_t n = sendfile(rq->fd, a->fd, &off, (size_t)MIN(a->body_len - a->body_sent, (uint64_t)MIB));

	if (n > 0)
		a->body_sent += (uint64_t)n;
	return sent(rq, n); /* 0: the file is shorter than was declared; the peer sees a short body */
}

static enum outcome
fill_piece(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	size_t cap = (size_t)MIN(a->body_len - a->body_sent, (uint64_t)HTTP_PIECE_LEN);
	struct err err = { .code = ERR_INTERNAL };

	if (!a->piece)
		a->piece = malloc(sizeof *a->piece);
	if (!a->piece)
		return OUT_LOST;
	a->piece->len = a->piece_sent = 0;
	if (a->source.read(a->source.ctx, a->piece->data, cap, &a->piece->len, &err)) {
		log_error(&err, "an answer was cut short");
		return OUT_LOST;
	}
	return a->piece->len > 0 && a->piece->len <= cap ? OUT_TURN : OUT_LOST;
}

static enum outcome
send_source(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	ssize_t n;

	if (!a->piece || a->piece_sent == a->piece->len) {
		enum outcome filled = fill_piece(rq);

		if (filled != OUT_TURN)
			return filled;
	}
	n = send(rq->fd, a->piece->data + a->piece_sent, a->piece->len - a->piece_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		a->piece_sent += (size_t)n;
		a->body_sent += (uint64_t)n;
	}
	return sent(rq, n);
}

enum outcome
answer_send(struct http_request *rq)
{
	struct answer *a = &rq->answer;
	uint64_t turn_end = a->body_sent + HTTP_SEND_TURN;
	enum outcome out = OUT_TURN;

	while (out == OUT_TURN) {
		if (a->head_sent == a->head.len && a->body_sent == a->body_len)
			return OUT_SENT;
		if (a->body_sent >= turn_end)
			return OUT_TURN;
		if (a->head_sent < a->head.len || a->kind == ANSWER_BYTES)
			out = send_memory(rq);
		else
			out = a->kind == ANSWER_FD ? send_file(rq) : send_source(rq);
	}
	return out;
}
