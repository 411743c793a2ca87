#pragma once
/**
 * A pass of the agent: one sync of one folder, whose lock is held for no longer, and a line in the log about what came of it.  The
 * connections to the server stay open between passes.
 */

#include "client/sync.h"
#include "client/watch/agent.h"

struct watch_folder;

struct watch_opts {
	unsigned parallel; /* 0: the default */
	uint64_t rate;     /* bytes a second in each direction, 0: no limit */
};

/** watch_folder_open(path, opts, out, err): ${path} as folder_find gave it.  Errors of folder_peek. */
err_code watch_folder_open(const char *path, const struct watch_opts *opts, struct watch_folder **out, struct err *err);
void watch_folder_free(struct watch_folder *w);

/** watch_folder_agent(w, out): what an agent needs to know about the folder; lent from ${w}. */
void watch_folder_agent(struct watch_folder *w, struct agent_opts *out);
