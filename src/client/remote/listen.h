#pragma once
/**
 * A project's event stream (docs/protocol/events.md), as the sign that there is something to pull.  What the messages hold is not looked at:
 * the truth stays with remote_changes, so a server cannot put anything into the tree by this way.  Who only shows what happens may ask for all of it.
 */

#include "client/remote/remote.h"

struct listener;

/** What was heard: the subscription is in place, or there is news; ${at} is how far the project has come. */
struct heard {
	bool hello;
	bool has_at;
	struct cursor at;
	const char *text; /* with listener_keep, of a message of any type: its JSON; "" when it is longer than that.  Lent */
	size_t len;
};

/** listener_open(opts, out, err): nothing is sent yet.  ${opts} as for remote_open; patience, rate and cancel are not looked at. */
err_code listener_open(const struct remote_opts *opts, struct listener **out, struct err *err);
void listener_free(struct listener *l);

/**
 * listener_run(l, fn, ctx, err): connect, and call ${fn} for each message, in this thread, until the line ends.  Waits without waking up.
 * Errors     never ERR_OK.  NETWORK: it ended, could not be made, or was silent for WATCH_SILENCE_MS; CANCELLED: listener_stop; TOKEN_*,
 *            NOT_FOUND, … as the server answers; PROTOCOL: what answers is not an event stream of dray.
 */
err_code listener_run(struct listener *l, void (*fn)(void *ctx, const struct heard *h), void *ctx, struct err *err);

/** listener_keep(l, max): from now on every message is heard, with its text of up to ${max} bytes.  Before the first run. */
void listener_keep(struct listener *l, size_t max);

/** From any thread.  listener_stop: this and every later run ends.  listener_drop: this run ends as if the line had been cut. */
void listener_stop(struct listener *l);
void listener_drop(struct listener *l);

/** listener_pause_ms(attempts): how long to wait after so many runs in a row that heard nothing: up to a second, doubled to a minute, by lot. */
int64_t listener_pause_ms(unsigned attempts);
