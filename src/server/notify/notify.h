#pragma once
/**
 * The event hub: tells those who listen what has changed, over sockets of its own.
 *
 * A listener is a cursor on the change log, not a queue.  Commits only say "this project has come to that clock"; the hub then reads the
 * log, once for all who listen, and each gets what comes next for him as fast as he takes it.  So a hint that is lost, doubled or
 * late can delay a change and cannot lose one; and who does not read costs the memory of one message.
 *
 * Threads    one loop owns the sockets and all that is known of them; workers ask the source.  What is declared here may be called from any
 *            thread, and does not block, but for open, stop and free.
 */

#include "wire/event.h"

struct notify;

/** Where a project is. */
struct notify_at {
	struct id epoch;
	int64_t clock;
	struct hash digest;
};

/** A page of the change log as one message. */
struct notify_page {
	struct sbuf text; /* the source's to fill, the hub's to free */
	int64_t to;       /* what it leads to */
	unsigned n;       /* files */
	bool has_more;
};

/** What the hub asks the rules.  Called on workers, concurrently; may block. */
struct notify_source {
	void *ctx;
	/**
	 * May the device read the project, and where is that?  ${project} NULL: is the device still good?  ${since} (NULL: not asked) is judged as
	 * …/files/changes does; *at is filled also when only that is refused.
	 * Errors     NOT_FOUND, TOKEN_REVOKED; EPOCH_CHANGED, CURSOR_EXPIRED, CURSOR_INVALID for ${since}.
	 */
	err_code (*open)(void *ctx, const struct id *device, const struct id *project, const struct cursor *since, struct notify_at *at,
	    struct err *err);
	/**
	 * The changes after ${since} and up to ${upto} (INT64_MAX: all), in clock order, some EVENTS_CHANGE_LEN of them.  At the end page->to is
	 * ${upto}, or the project's clock.
	 * Errors     NOT_FOUND, EPOCH_CHANGED, CURSOR_EXPIRED.
	 */
	err_code (*read)(void *ctx, const struct id *project, const struct cursor *since, int64_t upto, struct notify_page *page,
	    struct err *err);
	/** How far along the device is; NULL: never known.  Any error: it is not known. */
	err_code (*place)(void *ctx, const struct id *project, const struct id *device, struct cursor *at, struct err *err);
};

/** 0: as limits.h has them.  Tests shorten them. */
struct notify_opts {
	struct notify_source source;
	int64_t heartbeat_ms, pong_ms, recheck_ms, close_ms, lag_ms, silence_ms;
	size_t ring_max;
	unsigned streams_max;
};

err_code notify_open(const struct notify_opts *opts, struct notify **out, struct err *err);

/** notify_changed(n, project, clock): a commit is durable.  Never fails; of many calls for a project the largest clock counts. */
void notify_changed(struct notify *n, const struct id *project, int64_t clock);

/** notify_missed(n): commits may have gone unheard: all projects that somebody listens to are looked at now. */
void notify_missed(struct notify *n);

/**
 * The state of a transfer, or of a device, is now this; all of it is copied.  Never fails, and costs next to nothing where nobody listens: what is
 * told, at most five times a second, is what was said last.  A transfer of which nothing is said for PROGRESS_SILENCE_MS is told as gone.
 */
void notify_progress(struct notify *n, const struct id *project, const struct wire_progress *p);
void notify_place(struct notify *n, const struct id *project, const struct id *device, const struct cursor *at);

/** notify_present(n, project, device): whether the device has a stream that tells of the project. */
bool notify_present(struct notify *n, const struct id *project, const struct id *device);

/**
 * notify_enter(n, device, err): one more stream of the device.  The place goes to notify_add(), or back with notify_leave().
 * Errors     TOO_MANY_REQUESTS: the device has EVENTS_PER_DEVICE_MAX; UNAVAILABLE: there are as many as there may be in all.
 */
err_code notify_enter(struct notify *n, const struct id *device, struct err *err);
void notify_leave(struct notify *n, const struct id *device);

enum notify_kind { NOTIFY_WEBSOCKET, NOTIFY_SSE };

/** A connection whose handshake was accepted.  All of it is copied. */
struct notify_conn {
	enum notify_kind kind;
	int fd;                      /* non-blocking; the hub's until release() */
	void (*release)(void *ctx);  /* once, when the hub is done with it; closes ${fd} */
	void *release_ctx;
	const char *head;            /* to be sent first */
	size_t head_len;
	const uint8_t *rest;         /* read from it already */
	size_t rest_len;
	struct id device;            /* entered */
	struct id only;              /* the one project that may be subscribed to; zero: whatever the device may read */
	const struct wire_ask *asks; /* to subscribe to at once: at most EVENTS_PROJECTS_MAX */
	size_t ask_count;
};
void notify_add(struct notify *n, const struct notify_conn *conn);

/** notify_stop(n): say goodbye to all (1001), and for a moment wait for theirs.  Later connections are released at once. */
void notify_stop(struct notify *n);
/** notify_free(n): NULL is fine. */
void notify_free(struct notify *n);
