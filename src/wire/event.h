#pragma once
/**
 * What is said over an event stream (docs/protocol/events.md): what a client asks for, and the messages that it is sent.  Each is one JSON
 * object without line breaks, so it is also one line of a text/event-stream.
 */

#include "wire/wire.h"

struct wire_ask {
	struct id project;
	bool has_since;
	struct cursor since;
};

/** A client's message: {"unsubscribe":[{project}, …], "subscribe":[{project, since?}, …]}, in this order whatever the text's. */
struct wire_asks {
	struct wire_ask *subscribe;
	size_t subscribe_n;
	struct id *unsubscribe;
	size_t unsubscribe_n;
};

/**
 * wire_asks_read(p, len, a, out, err): how many are too many is the caller's to say; a message of 64 KiB has some 1,500 at most.
 * Errors     those of json_in.h; ID_INVALID; CURSOR_INVALID.
 */
err_code wire_asks_read(const uint8_t *p, size_t len, struct arena *a, struct wire_asks *out, struct err *err);

/** {type: "hello", project, cursor, clock, epoch, digest}: the subscription is in place; the digest is that of the cursor's clock. */
void wire_hello_write(struct jw *jw, const struct id *project, const struct cursor *at, const struct hash *digest);

/** {type: "resync", project, code, cursor}: what was asked for cannot be told; pull, then go on from here.  ERR_OK: "behind". */
void wire_resync_write(struct jw *jw, const struct id *project, const struct cursor *at, err_code why);

/** A device as it is now: does it listen to the project, and how far has it come? */
struct wire_status {
	struct id device;
	bool online;
	bool has_at;        /* it has named a place */
	struct cursor at;   /* the place: its checkpoint */
	bool in_sync;       /* that is where the project is */
	int64_t lag_us;     /* how far the project's clock is ahead of it; -1: of another history, or no place */
};
/** {type: "status", project, device, online, cursor, in_sync, lag_us}: cursor and lag_us null where they are not known. */
void wire_status_write(struct jw *jw, const struct id *project, const struct wire_status *s);

/** A transfer as it is now. */
enum wire_progress_state { WIRE_RUNNING, WIRE_DONE, WIRE_GONE, WIRE_PROGRESS_STATES };
struct wire_progress {
	struct id transfer, device;
	bool up;            /* to the server */
	const char *path;   /* "": of many files, or not known */
	int64_t done, total; /* bytes; total 0: not known */
	enum wire_progress_state state;
};
/** {type: "progress", project, transfer, device, direction, path, done, total, state}: path and total null where they are not known. */
void wire_progress_write(struct jw *jw, const struct id *project, const struct wire_progress *p);

/**
 * wire_progress_read(doc, a, out, n, err): what a device says of its downloads: {"progress": [{transfer, path?, done, total?, state?}, …]}, in ${a}
 * as the last words of PROGRESS_PER_DEVICE_MAX at most.  device and up are the caller's to fill.
 * Errors     those of json_in.h and path_check; FIELD_RANGE: more entries, a negative number, done past total, or a state that is none.
 */
err_code wire_progress_read(struct json_in *in, struct arena *a, struct wire_progress **out, size_t *n, struct err *err);
/** wire_progress_state_read(in, out, err): the member "state"; *out keeps its value when absent. */
err_code wire_progress_state_read(struct json_in *in, enum wire_progress_state *out, struct err *err);
/** wire_progress_report(jw, p, n): the same, as a device writes it. */
void wire_progress_report(struct jw *jw, const struct wire_progress *p, size_t n);

/** A message as a client reads it.  What it does not know is WIRE_EVENT_OTHER. */
enum wire_event_type { WIRE_EVENT_OTHER, WIRE_EVENT_HELLO, WIRE_EVENT_CHANGE, WIRE_EVENT_STATUS, WIRE_EVENT_PROGRESS };
struct wire_event {
	enum wire_event_type type;
	struct wire_status status;
	struct wire_progress progress;
	struct wire_file *files;   /* of a change: added, then modified, then deleted */
	size_t n, added, modified; /* all of them; of which so many are the first, and the second */
};
/** wire_event_read(p, len, a, out, err): text in ${a}.  Errors: those of json_in.h; FIELD_RANGE. */
err_code wire_event_read(const uint8_t *p, size_t len, struct arena *a, struct wire_event *out, struct err *err);

/** {type: "error", project?, code, detail}: ${project} NULL: about the message as a whole. */
void wire_event_error_write(struct jw *jw, const struct id *project, const struct err *err);

/** {type: "heartbeat", projects: [{project, cursor, clock}, …]}: how far this stream has told each, and how far it has come. */
void wire_heartbeat_open(struct jw *jw);
void wire_heartbeat_project(struct jw *jw, const struct id *project, const struct cursor *told, int64_t clock);
void wire_heartbeat_close(struct jw *jw);

/**
 * {type: "change", project, since, cursor, added, modified, deleted}: the latest state of each file that changed in between, told apart as in
 * …/files/changes.  Files are added in clock order; wire_change_len() lets the caller stop in time.  Do not move it.
 */
enum wire_change_list { WIRE_ADDED, WIRE_MODIFIED, WIRE_DELETED, WIRE_CHANGE_LISTS };
struct wire_change {
	struct sbuf lists[WIRE_CHANGE_LISTS];
	struct jw jw[WIRE_CHANGE_LISTS];
};
void wire_change_init(struct wire_change *c);
void wire_change_fini(struct wire_change *c);
void wire_change_add(struct wire_change *c, enum wire_change_list which, const struct wire_file *f);
size_t wire_change_len(const struct wire_change *c);
/** wire_change_write(c, jw, …): ends the lists: once. */
void wire_change_write(struct wire_change *c, struct jw *jw, const struct id *project, const struct cursor *since,
    const struct cursor *to);
