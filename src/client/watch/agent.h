#pragma once
/**
 * Keeps one linked folder the same as its project for as long as it runs: decides when a pass is due, and has it carried out.
 *
 * Three threads: the front, which waits for what happens on disk, on the server's event stream, on the clock and on the control socket, and
 * owns all of that; a worker that runs passes, one at a time; and the stream's.  So the agent answers, and goes on reading events,
 * while a pass takes hours.
 */

#include "base/map.h"
#include "client/watch/events.h"

struct agent;

/** What a pass is asked for. */
struct agent_pass {
	const struct map *held; /* paths that are being written: left alone */
	bool verify;            /* read every file */
	const bool *cancel;     /* end soon when it becomes true; the same one for all passes */
};

/** What came of it. */
struct agent_done {
	bool has_at;
	struct cursor at;       /* up to where the server's changes are here */
	bool identical;
	bool again;             /* something is left that another pass can settle */
	int64_t synced_at;      /* wall time µs of the last pass that proved both sides equal, 0: never */
	uint64_t unsynced;      /* entries that stay so: problems, and deletions that are held back */
};

struct agent_opts {
	const char *path;       /* of the linked folder, absolute, without links */
	struct remote_opts line; /* of the event stream */
	/** Run one pass, in the worker.  ROOT_IN_USE: another dray works on the folder; NOT_LINKED: it is not linked any more. */
	err_code (*pass)(void *ctx, const struct agent_pass *p, struct agent_done *out, struct err *err);
	void *ctx;
	int ended;              /* an eventfd that is written to when the agent has ended by itself; outlives it */
};

/**
 * agent_start(opts, out, err): text in ${opts} outlives the agent.
 * Errors     ROOT_IN_USE: another agent is on the folder; NOT_LINKED, NOT_FOUND, IO, NO_MEM.
 */
err_code agent_start(const struct agent_opts *opts, struct agent **out, struct err *err);

/** agent_stop(a): begin to end: a pass is cancelled.  agent_free(a): wait until it has. */
void agent_stop(struct agent *a);
void agent_free(struct agent *a);

/** agent_ended(a): whether it has ended by itself, since the folder is not linked any more. */
bool agent_ended(struct agent *a);
