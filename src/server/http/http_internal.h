#pragma once
/**
 * What the files of this folder share.
 *
 * Who owns what (H1…H5 are cited in the code):
 * H1  The loop thread owns every connection, every wait list and all of struct http_server that is not said to be otherwise.
 * H2  struct http_request is held by one thread at a time: the loop, or, while conn.busy, the worker that runs its job.  It is
 *     handed over through the work queue and comes back through http_server.back, whose mutexes order the accesses.
 * H3  While a worker holds a request, the loop may read the socket into the connection's buffers (struct body, inbuf behind the
 *     head) and only the worker writes to the socket.  The descriptor is closed by the loop, never while busy.
 * H4  The head's text is not changed or moved from the request's birth until request_free().
 * H5  A connection runs one request at a time; the next one's bytes wait in its buffer and then in the kernel.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "base/thread.h"
#include "server/http/admit.h"
#include "server/http/chunked.h"
#include "server/http/head.h"
#include "server/http/http.h"

#define HTTP_IN_LEN (HTTP_HEAD_MAX + 4 * KIB) /* a head, and room to read chunked framing behind the largest one */
#define HTTP_PIECE_LEN (128 * KIB)            /* of streamed bodies; two a connection, so 32 uploads stay below 10 MiB */
#define HTTP_SEND_TURN (4 * MIB)              /* sent by one job before another request gets the worker */
#define HTTP_NOTES_MAX 8
#define HTTP_LATER_MS 20                      /* between calls of head() that said HTTP_LATER */
#define HTTP_PER_PEER_MAX 64                  /* connections of one address, loopback excepted */

/* ---- requests ------------------------------------------------------------------------------------------------------ */

/** What arrived and is not done with: the head of the running request, then bytes of its body or of the next requests. */
struct inbuf {
	struct head head;
	size_t len;
	char data[HTTP_IN_LEN];
};

struct piece {
	size_t len;
	uint8_t data[HTTP_PIECE_LEN];
};

/** What a worker shall do with a request. */
enum job {
	JOB_HEAD,    /* call head(), and end() if there is no body */
	JOB_PIECE,   /* call body(), and end() if it was the last piece */
	JOB_END,     /* the whole body is there: call end() */
	JOB_FAIL,    /* answer rq->err */
	JOB_SEND,    /* go on sending */
	JOB_ABANDON, /* the peer is gone or too slow: no answer */
};

/** What became of it. */
enum outcome {
	OUT_SENT,    /* answered and over */
	OUT_LOST,    /* over without a complete answer */
	OUT_BLOCKED, /* the socket takes no more now */
	OUT_TURN,    /* more to send, but others wait for the worker */
	OUT_BODY,    /* the service wants the body */
	OUT_MORE,    /* this piece is done with */
	OUT_LATER,   /* call head() again */
	OUT_TAKEN,   /* the service takes the connection */
};

enum answer_kind { ANSWER_NONE, ANSWER_BYTES, ANSWER_FD, ANSWER_SOURCE, ANSWER_TAKE };

/** Who takes the connection. */
struct take {
	void (*fn)(void *ctx, const struct http_taken *t); /* NULL: nobody, or it has been called */
	void *ctx;
};

struct answer {
	enum answer_kind kind;
	int status;
	bool has_cache_control;
	bool started;             /* bytes may be on their way: it cannot be replaced any more */
	uint64_t len;             /* of the body, as declared */
	char type[96];            /* of the body; "" for none */
	struct sbuf fields;       /* the service's header lines */
	char *bytes;
	int fd;
	uint64_t off;
	struct http_source source;
	struct take take;

	/* sending */
	struct sbuf head;
	size_t head_sent;
	uint64_t body_len;        /* what is really sent: 0 for HEAD */
	uint64_t body_sent;
	struct piece *piece;      /* of a source */
	size_t piece_sent;
};

struct note {
	const char *key;
	char *value;
};

struct http_request {
	struct http_server *server;
	struct conn *conn;
	struct inbuf *in;         /* H4 */
	int fd;

	/* fixed before the first job */
	bool understood;          /* the request line is valid */
	bool has_body;
	int64_t start_us;
	char id[17];
	char *path;               /* copy of the target without its query */
	const char *query;

	/* set by the loop for a job */
	enum job job;
	bool more_input;          /* bytes behind this request may be here already */
	bool must_close;          /* refused by us: nothing behind it is interpreted */
	bool body_unread;         /* bytes of its body may still come */
	struct err err;           /* JOB_FAIL */
	struct piece *piece;      /* JOB_PIECE */
	uint64_t body_taken;      /* decoded body bytes so far, for the log */

	/* set by the worker */
	enum outcome outcome;
	enum http_next next;
	bool keep;                /* the connection serves another request */
	bool progress;            /* the job has sent something */
	struct take take;         /* OUT_TAKEN: with the head that is to be sent */
	char *take_head;
	size_t take_head_len;

	/* the whole body, filled by the loop between jobs */
	uint8_t *body;
	size_t body_len, body_cap;
	uint64_t body_max;

	void *user;
	struct arena *arena;      /* made when first asked for */
	struct note notes[HTTP_NOTES_MAX];
	unsigned note_count;
	struct answer answer;
};

struct http_request *request_new(struct conn *c);
void request_free(struct http_request *rq);
void request_log(const struct http_request *rq);

/** job_run(rq): run rq->job on this worker and hand the request back to the loop. */
void job_run(void *rq);

void answer_init(struct answer *a);
/** answer_fini(a): close and free what is left of it; the source's close() runs here, so on a worker. */
void answer_fini(struct answer *a);
/** answer_start(rq): write the head; the answer is final now. */
void answer_start(struct http_request *rq);
/** answer_send(rq): send until it is SENT, BLOCKED, LOST, or another's TURN. */
enum outcome answer_send(struct http_request *rq);
/** answer_problem(rq, err): the plain problem body for when the service has none. */
void answer_problem(struct http_request *rq, const struct err *err);
/** answer_busy(buf, cap): a complete 503 for a connection that gets no request object; returns its length. */
size_t answer_busy(char *buf, size_t cap);

/* ---- connections: loop thread only (H1), except where said --------------------------------------------------------- */

/** Connections that wait for the same span of time, so the list is in order of deadline and needs no sorting. */
struct wait_list {
	struct conn *first, *last;
	int64_t span_ms;
};

enum conn_state {
	CONN_IDLE,  /* between requests */
	CONN_HEAD,  /* reading a head */
	CONN_WORK,  /* a worker has the request, and nothing is to be read */
	CONN_LATER, /* the service had no room */
	CONN_BODY,  /* reading a body; a worker may have the piece before */
	CONN_WRITE, /* the socket's buffer is full */
	CONN_TAKEN, /* the service's: only the descriptor's end and the count are ours */
	CONN_DRAIN, /* answered and half closed: let the peer read the answer before it sees a reset */
	CONN_DEAD,
	CONN_STATE_COUNT
};

/** Where the body of the running request stands. */
struct body {
	bool complete;
	uint64_t left;          /* FRAMING_LENGTH: bytes to come */
	struct chunked chunked; /* FRAMING_CHUNKED */
	size_t in_pos;          /* bytes of inbuf before this are head or body */
	uint64_t taken;         /* decoded bytes */
	uint64_t received;      /* bytes from the socket */
	uint64_t window_start;  /* received when the rate window began */
	struct piece *fill;     /* HTTP_STREAM: being filled */
	struct piece *spare;    /* came back from a worker */
};

struct peer {
	unsigned count;
	uint8_t key[16];
	size_t key_len;
};

struct conn {
	struct http_server *server;
	int fd;
	enum conn_state state;
	bool busy;      /* a worker holds rq (H2) */
	bool can_read;  /* edge-triggered: since the last EAGAIN something came */
	bool can_write; /* the same; cleared before a job that sends */
	bool fin;       /* the peer sends no more */
	bool lost;      /* the connection is broken */
	struct inbuf *in;
	struct http_request *rq; /* H2 */
	struct body body;
	struct err *pending;     /* what to answer when the worker comes back */
	int64_t later_until;
	size_t drained;

	struct wait_list *list;
	struct conn *wait_prev, *wait_next;
	int64_t deadline;

	struct conn *prev, *next;
	struct peer *peer;
	char peer_text[48];

	/* guarded by server->mu */
	struct conn *back_next;
	bool back;  /* on the list of those that came back */
	bool eager; /* the loop wants to be woken for it */
};

struct http_server {
	/* fixed while the threads run */
	struct http_service service;
	struct admit admit;
	struct workq *workers;
	pthread_t thread;
	int epoll_fd, wake_fd, listen_fd;
	char address[64];
	unsigned connections_max;
	bool access_log;
	uint64_t id_seed;

	_Atomic uint64_t id_count;
	atomic_bool stopping;

	/* loop thread only (H1) */
	int64_t now_ms;
	int reserve_fd;      /* given up to accept and refuse when descriptors are short */
	int64_t accept_again_ms; /* the listener is disarmed until then; 0: armed */
	struct conn *conns, *dead;
	unsigned conn_count, busy_count;
	unsigned taken_count; /* of conn_count, the service's */
	struct map *peers;
	struct wait_list idle, head, body, later, write, drain;
	char scratch[16 * KIB]; /* where drained bytes go */

	struct mutex mu; /* RANK_ENGINE: the fields below, and those of conn that say so */
	struct conn *back_first, *back_last;
	bool sleeping;   /* the loop waits in epoll and nobody has woken it yet */
	int64_t cut_at_ms; /* http_stop: when to cut what still runs; 0 before */
};

struct conn *conn_new(struct http_server *s, int fd, struct peer *peer, const char *peer_text);
void conn_event(struct conn *c, uint32_t events);
void conn_back(struct conn *c);    /* a worker is done with its request */
void conn_expired(struct conn *c); /* its deadline has passed */
void conn_stop(struct conn *c);    /* the server stops: close what is between requests */
void conn_cut(struct conn *c);     /* the grace is over */

enum io { IO_OK, IO_AGAIN, IO_END };
enum io conn_recv(struct conn *c, void *p, size_t cap, size_t *got);

enum body_step { BODY_AGAIN, BODY_FULL, BODY_COMPLETE, BODY_GONE, BODY_BAD };
/** body_begin(c, err): BODY_TOO_LARGE when the declared length already says so. */
err_code body_begin(struct conn *c, struct err *err);
/** body_read(c, err): take what is there, until there is no more (AGAIN), no room (FULL), or the body ends. */
enum body_step body_read(struct conn *c, struct err *err);
void body_fini(struct conn *c);

/** wait_for(c, l): be called back after the list's span, counted from now.  A connection waits on at most one list. */
void wait_for(struct conn *c, struct wait_list *l);
void wait_stop(struct conn *c);
/** wait_next(s): the earliest deadline, or INT64_MAX.  wait_expire(s): run what is due. */
int64_t wait_next(const struct http_server *s);
void wait_expire(struct http_server *s);

err_code listen_open(struct http_server *s, const char *where, const char *const *hosts, struct err *err);
void listen_accept(struct http_server *s);
/** listen_rearm(s): accept again after a shortage of descriptors. */
void listen_rearm(struct http_server *s);
void listen_close(struct http_server *s);
/** listen_forget(s, peer): one connection of ${peer} has ended.  NULL is fine. */
void listen_forget(struct http_server *s, struct peer *peer);

/** loop_hand_back(c, eager): for workers: the request is the loop's again.  Unless ${eager}, it may notice late. */
void loop_hand_back(struct conn *c, bool eager);
void *loop_run(void *server);
void loop_wake(struct http_server *s);
