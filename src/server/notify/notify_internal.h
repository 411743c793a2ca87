#pragma once
/**
 * What the files of this folder share.
 *
 * N1  The loop thread owns streams, subscriptions, topics and their rings; nothing of them needs a lock.
 * N2  A worker has a job and nothing else: copies of what it needs, and names (a stream's number, a project's id) for finding again, on
 *     the loop, whom its result is for.  Who is gone by then is not found.
 * N3  notify_changed() and notify_add() leave things under ${mu} and wake the loop.
 * N4  A subscription's ${at} is what its stream was told, or is being sent: it moves when a message becomes the stream's current one.
 */

#include <pthread.h>

#include "base/map.h"
#include "base/thread.h"
#include "server/notify/notify.h"
#include "server/notify/ring.h"
#include "server/notify/ws.h"

struct stream;

/** Which device or transfer; as bytes it is a map's key, so it is filled from zero. */
enum live_kind { LIVE_DEVICE, LIVE_UP, LIVE_DOWN };
struct live_key {
	struct id device, transfer;
	enum live_kind kind;
};

/** What is told of it: only ever its latest state (live.c). */
struct live {
	struct topic *topic;
	struct live *prev, *next;      /* of the topic; what was told last is last */
	struct live_key key;
	struct wire_status status;     /* of a device */
	struct wire_progress progress; /* of a transfer; its path is ours */
	struct frame *text;            /* as it was told, NULL: not yet */
	uint64_t seq;                  /* in the topic's count of what it has told, 0: not yet */
	bool dirty;                    /* it has changed since */
	bool told_in_sync;
	int64_t since_ms, heard_ms, told_ms;
	int64_t behind_ms, behind_of;  /* since when it is behind (0: it is not), and of which clock */
};

/** A project that somebody listens to. */
struct topic {
	struct notify *n;
	struct id project, epoch;
	struct ring ring;
	int64_t clock;            /* the newest that is known */
	bool filling;             /* a worker reads on from ring.to */
	int64_t filling_for;      /* ${clock} when it began */
	int64_t again_ms;         /* not before: the last reading failed */
	struct subscription *subs;
	unsigned sub_count;
	struct map *live;         /* struct live_key -> struct live; NULL until there is one */
	struct live *live_first, *live_last;
	unsigned live_count[2];   /* devices, transfers */
	uint64_t live_seq;
};

struct subscription {
	struct topic *topic;
	struct stream *stream;
	struct cursor at;         /* N4 */
	unsigned behind;          /* files that were read for it alone since it last met the ring */
	uint64_t live, live_began; /* of the topic's live_seq: what it has been told of; where it began */
	struct subscription *prev, *next; /* of the topic */
};

enum stream_state {
	STREAM_OPEN,
	STREAM_CLOSING, /* our last words are on their way; then the peer's end is waited for */
	STREAM_DEAD,
};

/** A connection. */
struct stream {
	struct notify *n;
	uint64_t serial;
	enum notify_kind kind;
	enum stream_state state;
	int fd;
	void (*release)(void *ctx);
	void *release_ctx;
	struct id device;
	struct id only;           /* project; zero: any */
	uint32_t events;          /* that epoll waits for */

	/* reading */
	struct ws ws;
	uint8_t *input;           /* what was read but has to wait until ${asking} ends */
	size_t input_len;
	bool asking;              /* a worker looks at what the client wants to subscribe to */

	/* sending, in this order */
	struct sbuf out;
	struct frame *frame;      /* of a change */
	struct sbuf after;
	size_t sent;              /* of the three together */
	bool blocked;             /* the socket takes no more; epoll says when it does */
	bool shut;                /* all was said, and our side is closed */

	struct subscription *subs[EVENTS_PROJECTS_MAX];
	unsigned sub_count, turn;
	bool reading;             /* a worker reads behind the ring */
	int64_t read_again_ms;
	struct frame *fetched;    /* what it has read, for ${fetched_for} */
	struct id fetched_for;

	int64_t beat_ms, pong_ms, close_by_ms;
	int64_t control_s;        /* the second in which control frames are counted */
	unsigned control_count;
	struct stream *prev, *next;
};

enum job_kind { JOB_SUBSCRIBE, JOB_FILL, JOB_READ, JOB_RECHECK };

/** One question about one project, and what was answered. */
struct question {
	uint64_t stream;
	struct id device, project;
	bool has_project;
	bool has_since;
	struct cursor since;
	struct notify_at at;
	bool has_place;  /* the device's own, looked up when it subscribes */
	struct cursor place;
	err_code code;   /* OK: yes */
	struct err *err; /* what else, where that is not yes: a look at all is many questions */
};

struct job {
	struct notify *n;
	struct job *next;
	enum job_kind kind;
	uint64_t stream;             /* SUBSCRIBE, READ */
	struct question *questions;  /* SUBSCRIBE, RECHECK */
	size_t question_count;
	struct id project;           /* FILL, READ */
	struct cursor since;
	int64_t upto;
	struct notify_page page;
	struct err err;
};

/** What others leave for the loop about a project that is listened to. */
struct watch {
	struct id project;
	int64_t clock;
	struct map *notes; /* live.c's; NULL: none */
	bool listed;
	struct watch *next;
};

struct arrival;

struct notify {
	struct notify_source source;
	int64_t heartbeat_ms, pong_ms, recheck_ms, close_ms, lag_ms, silence_ms;
	size_t ring_max;
	unsigned streams_max;
	struct workq *readers, *checker; /* a long look at all devices does not hold up those who read */
	pthread_t thread;
	bool running;
	int epoll_fd, wake_fd;

	struct mutex mu; /* RANK_LEAF: the fields below */
	struct map *watches;  /* struct id -> struct watch */
	struct watch *changed;
	struct map *devices;  /* struct id -> count, as a pointer to unsigned */
	unsigned entered;     /* the sum of those */
	struct map *present;  /* presence.c's: streams of a device by project, as a pointer to unsigned */
	struct arrival *arrivals;
	struct job *done, **done_end;
	bool stopping, closed, missed;

	/* N1 */
	int64_t now_ms, recheck_at_ms, tick_at_ms, stop_by_ms, live_at_ms;
	bool rechecking, recheck_due; /* another one is wanted at once */
	unsigned jobs;
	uint64_t last_serial;
	struct map *topics;  /* struct id -> struct topic */
	struct map *serials; /* uint64_t -> struct stream */
	struct stream *streams, *dead;
	uint8_t scratch[16 * KIB];
};

void notify_wake(struct notify *n);
/** watch_list(n, w): with ${mu}: the loop is to look at it.  Returns whether it has to be woken. */
bool watch_list(struct notify *n, struct watch *w);

/* ---- work.c: what workers do ---------------------------------------------------------------------------------------- */

struct job *job_new(struct notify *n, enum job_kind kind);
void job_free(struct job *j);
/** job_push(j): to the workers; its result comes back to job_done() on the loop. */
void job_push(struct job *j);
void job_done(struct job *j);

/* ---- topic.c -------------------------------------------------------------------------------------------------------- */

/** topic_get(n, project, at): the one that there is, or a new one that begins at ${at} and is subscribed to before the turn ends. */
struct topic *topic_get(struct notify *n, const struct id *project, const struct notify_at *at);
struct topic *topic_find(struct notify *n, const struct id *project);
/** topic_moved(t, clock): read on, if there is something to read. */
void topic_moved(struct topic *t, int64_t clock);
void topic_filled(struct job *j);
/** topic_tidy(n): forget those that nobody listens to. */
void topic_tidy(struct notify *n);
void topics_tick(struct notify *n);
/** topics_turn(n): what is told once a turn. */
void topics_turn(struct notify *n);

/* ---- stream.c: a connection's life ------------------------------------------------------------------------------------ */

void stream_open(struct notify *n, const struct notify_conn *conn);
void stream_event(struct stream *s, uint32_t events);
void stream_tick(struct stream *s);
/** stream_close(s, code, why): last words, and the end. */
void stream_close(struct stream *s, unsigned code, const char *why);
void stream_drop(struct stream *s);
/** stream_resume(s): read on what had to wait. */
void stream_resume(struct stream *s);
struct stream *stream_find(struct notify *n, uint64_t serial);

/* ---- send.c: what a stream is told ------------------------------------------------------------------------------------ */

/** send_text(s, type, text): a message of its own; ${type} is for text/event-stream.  Closes who does not read.  Does not flush. */
void send_text(struct stream *s, const char *type, const struct sbuf *text);
/** send_state(s, type, text): the latest state of something, which is no part of what the stream's cursor counts.  For an empty queue. */
void send_state(struct stream *s, const char *type, const struct frame *text);
/** send_events(s): have epoll wait for what the stream waits for. */
void send_events(struct stream *s);
void send_control(struct stream *s, enum ws_opcode opcode, const uint8_t *p, size_t len);
/** send_flush(s): send until there is nothing more, or the socket takes no more. */
void send_flush(struct stream *s);
/** send_fetched(s, job): a page from behind the ring. */
void send_fetched(struct stream *s, struct job *j);
void send_heartbeat(struct stream *s);

/* ---- presence.c -------------------------------------------------------------------------------------------------------- */

/** presence_came(sub): just begun.  presence_went(sub): about to end. */
void presence_came(struct subscription *sub);
void presence_went(struct subscription *sub);

/* ---- live.c: what is told as it is now ----------------------------------------------------------------------------------- */

/** live_begin(sub): just begun: what has ended before is not for it. */
void live_begin(struct subscription *sub);
void live_online(struct topic *t, const struct id *device, bool online);
void live_place(struct topic *t, const struct id *device, const struct cursor *at);
/** live_take(t, notes): what others have left; live_notes_free(notes) when that is done.  NULL is fine. */
void live_take(struct topic *t, struct map *notes);
void live_notes_free(struct map *notes);
/** live_turn(t): tell what is due, and have live_at_ms say when the next will be.  live_tick(t): what time alone changes. */
void live_turn(struct topic *t);
void live_tick(struct topic *t);
/** live_next(s): what the stream has not been told yet, as far as one sending takes.  False: there is nothing. */
bool live_next(struct stream *s);
void live_free(struct topic *t);

/* ---- subscribe.c ------------------------------------------------------------------------------------------------------ */

/** subscribe_message(s, p, len): what a client has sent. */
void subscribe_message(struct stream *s, const uint8_t *p, size_t len);
void subscribe_ask(struct stream *s, const struct wire_ask *asks, size_t n);
void subscribe_answered(struct stream *s, struct job *j);
struct subscription *subscription_find(struct stream *s, const struct id *project);
void subscription_end(struct subscription *sub);
/** subscription_resync(sub, why): it goes on at the ring's end; what lies before, the client has to pull.  ERR_OK: because it is too much. */
void subscription_resync(struct subscription *sub, err_code why);
/** recheck_start(n), recheck_done(j): are all who listen still allowed to? */
void recheck_start(struct notify *n);
void recheck_done(struct job *j);
