#pragma once
/**
 * A thread that keeps a project's event stream open, connects again after a random pause when it ends, and wakes the agent when there is
 * something to look at.
 */

#include "client/remote/listen.h"

struct events;

/** What has been heard so far. */
struct events_seen {
	bool online;          /* the stream is open, and the server has greeted */
	int64_t since_us;     /* wall time: of the last change of ${online} */
	uint64_t news;        /* counts up with each word of the server that there may be something to pull, a greeting too */
	bool has_at;
	struct cursor at;     /* how far the project has come, by the last of these */
	err_code code;        /* why it is not online, with what the error says; OK before the first attempt has ended */
	char why[256];
};

/**
 * events_start(line, wake, out, err): ${wake} is an eventfd that outlives this.
 * Errors     those of listener_open; NO_MEM.
 */
err_code events_start(const struct remote_opts *line, int wake, struct events **out, struct err *err);

/** events_free(ev): ends the thread, soon. */
void events_free(struct events *ev);

void events_look(struct events *ev, struct events_seen *out);

/** events_again(ev): do not trust the line, nor wait: connect anew now. */
void events_again(struct events *ev);
