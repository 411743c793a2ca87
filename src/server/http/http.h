#pragma once
/**
 * HTTP/1.1, the server's side.  This folder knows bytes, limits and deadlines; it knows no users, files or rules.
 *
 * One event-loop thread accepts, reads heads and bodies and writes answers; it never waits on disk, database or hash.  A bounded
 * pool of workers runs the service's callbacks; while one runs, its connection is not read (backpressure), so memory is
 * connections × a small buffer + workers × what a callback uses.
 *
 * Every byte is parsed strictly before anything acts on it (one reading): CRLF only, no folding, exactly one framing, known
 * coding.  A request whose framing is not canonical is answered once and its connection closed.  Errors made here carry the same
 * problem bodies as all others, through the service's fail().
 */

#include "base/arena.h"
#include "base/err.h"
#include "base/sbuf.h"

struct http_server;
struct http_request; /* one request, from its head until its answer is sent */

/** What a service decides about a request's body when it has seen the head. */
enum http_next {
	HTTP_ANSWERED, /* the answer is set; an unread body is dealt with here (drain a little, then close) */
	HTTP_WHOLE,    /* collect the body, at most body_max bytes, then call end() */
	HTTP_STREAM,   /* call body() with each piece, at most body_max bytes in all, then end() */
	HTTP_LATER,    /* no room now: call head() again in 20 ms (at most until the idle deadline, then fail() with UNAVAILABLE) */
};

/**
 * The application behind the server.  All callbacks of one request run on worker threads, one at a time, in this order:
 * head, body*, end; then done, exactly once, on whatever path the request ended (answered, aborted, timed out, shutdown).
 * A request that was refused here sees fail and done only.  A connection that ends before its request's head is complete, and
 * one that is turned away when it is accepted, is no request and is not heard of.
 */
struct http_service {
	void *ctx;

	/** The head is whole and valid.  A request without a body gets end() right after when head() says HTTP_WHOLE or HTTP_STREAM. */
	enum http_next (*head)(void *ctx, struct http_request *rq);

	/** The next piece of a streamed body (decoded from chunked framing).  Set an answer and return an error code to stop early. */
	err_code (*body)(void *ctx, struct http_request *rq, const uint8_t *p, size_t len, struct err *err);

	/** The body is complete: must set an answer. */
	void (*end)(void *ctx, struct http_request *rq);

	/** The request is over; release what http_set_user() attached.  May be called while the answer was never sent. */
	void (*done)(void *ctx, struct http_request *rq);

	/**
	 * Write an error's answer (http_answer_*).  Also for requests that never reached head(): ${rq} then may have no method or
	 * target.  NULL, or no answer set: a plain problem body is sent.  405 for a refused method has its Allow header already.
	 */
	void (*fail)(void *ctx, struct http_request *rq, const struct err *err);
};

/* ---- reading a request ------------------------------------------------------------------------------------------------ */

/** All text is lent until done(). */
const char *http_method(const struct http_request *rq); /* "GET"; "" when the request line was not understood */
const char *http_target(const struct http_request *rq); /* raw, as sent: "/projects?limit=5" */
const char *http_path(const struct http_request *rq);   /* the part before '?', still escaped */
const char *http_query(const struct http_request *rq);  /* after '?', or "" */

/** http_header(rq, "if-match"): the value, outer space trimmed, or NULL.  Name in lower case.  The first of several. */
const char *http_header(const struct http_request *rq, const char *name);
/** http_header_count: how often the field occurs. */
unsigned http_header_count(const struct http_request *rq, const char *name);

bool http_has_body(const struct http_request *rq);
/** http_body_len: the Content-Length, or -1 for chunked framing; 0 without a body. */
int64_t http_body_len(const struct http_request *rq);

/** http_body(rq, len): the collected body (HTTP_WHOLE), from end() on. */
const uint8_t *http_body(const struct http_request *rq, size_t *len);

/** http_set_body_max(rq, max): the ceiling for HTTP_WHOLE and HTTP_STREAM; set in head().  Past it: BODY_TOO_LARGE. */
void http_set_body_max(struct http_request *rq, uint64_t max);

/** http_arena(rq): dies with the request; ceiling 64 MiB. */
struct arena *http_arena(struct http_request *rq);

/** http_request_id(rq): 16 hex digits, in the log and in every answer's Dray-Request-Id. */
const char *http_request_id(const struct http_request *rq);

/** http_peer(rq): the client's address as text, without a port: "127.0.0.1", "::1", "192.0.2.7" (also of a dual-stack socket). */
const char *http_peer(const struct http_request *rq);

void http_set_user(struct http_request *rq, void *user);
void *http_user(const struct http_request *rq);

/** http_note(rq, key, value): add one of 8 fields to the request's line in the access log; ${key} is static, ${value} copied. */
void http_note(struct http_request *rq, const char *key, const char *value);

/* ---- answering ---------------------------------------------------------------------------------------------------------- */

/**
 * http_add_header(rq, name, value): before or after one of the answers below, until the callback returns.  Values with control
 * bytes are refused (asserted).  Date, Content-Length, Connection and Dray-Request-Id are ours; Cache-Control is no-store
 * unless set here.
 */
void http_add_header(struct http_request *rq, const char *name, const char *value);

/**
 * http_answer(rq, status, type, p, len): bytes, copied.  ${type} NULL: no body type.  HEAD sends the length only; 204 and 304
 * send no body.  A second answer replaces the first; its added headers stay.
 */
void http_answer(struct http_request *rq, int status, const char *type, const void *p, size_t len);

/** http_answer_sbuf(rq, status, type, sb): takes the builder's text without copying. */
void http_answer_sbuf(struct http_request *rq, int status, const char *type, struct sbuf *sb);

/** http_answer_fd(rq, status, type, fd, off, len): sendfile; takes ${fd}. */
void http_answer_fd(struct http_request *rq, int status, const char *type, int fd, uint64_t off, uint64_t len);

/** A body that is produced piece by piece on worker threads. */
struct http_source {
	void *ctx;
	/** Fill ${buf} with 1..cap bytes.  An error aborts the connection before the declared length is reached, so the peer sees it. */
	err_code (*read)(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err);
	void (*close)(void *ctx); /* exactly once */
};

/** http_answer_source(rq, status, type, len, src): ${len} bytes from ${src}; the source is closed here when the request ends. */
void http_answer_source(struct http_request *rq, int status, const char *type, uint64_t len, struct http_source src);

/* ---- connections that become something else ---------------------------------------------------------------------------- */

struct conn;

/** A connection that is the service's now.  ${head} and ${rest} are lent until the callback returns. */
struct http_taken {
	int fd;              /* non-blocking; lent until http_release(), which closes it */
	struct conn *conn;   /* for http_release() */
	const char *head;    /* the answer's head: to be sent before anything else */
	size_t head_len;
	const uint8_t *rest; /* what the peer has sent behind the request's head */
	size_t rest_len;
};

/**
 * http_websocket(rq, accept, err): is the request a WebSocket handshake of version 13 (RFC 6455, 4.2.1)?  ${accept} is the value that
 * Sec-WebSocket-Accept has to have.  Origin and body have been looked at before.  After a handshake that is
 * refused the connection is closed: what comes behind it is not a request.
 * Errors     UPGRADE_REQUIRED (no handshake, or of another version), UPGRADE_INVALID.
 */
#define HTTP_ACCEPT_LEN 28
err_code http_websocket(struct http_request *rq, char accept[static HTTP_ACCEPT_LEN + 1], struct err *err);

/**
 * http_take(rq, status, fn, ctx): an answer without an end: the connection leaves this server, which sends nothing of it, after done().
 * ${fn} is called once, on the loop thread, so it may not block; ${t} is NULL when it has come to nothing.  The connection counts
 * as one of its address until http_release(t->conn), which any thread may call once; http_stop() waits for that.
 */
void http_take(struct http_request *rq, int status, void (*fn)(void *ctx, const struct http_taken *t), void *ctx);
void http_release(struct conn *conn);

/** http_answered(rq): whether an answer has been set. */
bool http_answered(const struct http_request *rq);

/* ---- the server ------------------------------------------------------------------------------------------------------- */

/**
 * http_connections_that_fit(max, part): ${max}, or that part of the descriptor limit.  A quarter is for requests, half for connections that
 * were taken, and the rest for what requests open.
 */
unsigned http_connections_that_fit(unsigned max, unsigned part);

struct http_opts {
	const char *listen;         /* "HOST:PORT"; "[::1]:8080"; port 0 picks a free one */
	/*
	 * Allowed Host names, NULL-terminated; NULL: none.  Always allowed are the listen host, localhost, 127.0.0.1 and [::1];
	 * on a wildcard address also every IP literal (rebinding needs a name).  Ports are not compared.
	 */
	const char *const *hosts;
	unsigned workers;           /* 0: 8, bound by fsync rather than by cores */
	unsigned connections_max;   /* 0: http_connections_that_fit(4096, 4), those that were taken not counted; 64 of one address
	                             * (IPv6: /64), loopback excepted.  Beyond: 503 and close, with no request read */
	bool access_log;

	/* Deadlines in milliseconds; 0: as limits.h has them.  Tests shorten them. */
	unsigned head_deadline_ms;  /* from a head's first byte to its last */
	unsigned idle_ms;           /* between requests */
	unsigned body_window_ms;    /* HTTP_BODY_RATE_MIN is checked over this span */
	unsigned write_stall_ms;    /* the peer takes nothing of an answer */
	unsigned drain_ms;          /* reading on after an early answer */
};

/** http_start(opts, service, out, err): listen and serve until http_stop.  ${service} is copied; its ctx outlives the server. */
err_code http_start(const struct http_opts *opts, const struct http_service *service, struct http_server **out,
    struct err *err);

/** http_address(s): "127.0.0.1:43211", what it really listens on. */
const char *http_address(const struct http_server *s);

/**
 * http_stop(s, grace_ms): accept no more, let running requests end for up to ${grace_ms}, then cut them.  Frees ${s}.
 * A callback that runs is always waited for: a thread cannot be cut.
 */
void http_stop(struct http_server *s, int64_t grace_ms);
