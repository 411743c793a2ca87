#pragma once
/**
 * Carrying out a plan: first what changes the local tree, then what goes to the server.
 */

#include "client/sync.h"

struct carry_env {
	struct folder *folder;
	struct remote *remote;
	const struct sync_opts *opts;
	struct sync_result *result;
	struct map *given_up;  /* paths whose operation failed for good in this run */
	struct transfer_progress *progress; /* of all passes of this run */
};

/**
 * carry_out(env, pass, again, err): *again: something was done that needs another look (a conflict copy, a change that came in between, the
 * second half of a move).
 */
err_code carry_out(const struct carry_env *env, const struct pass *pass, bool *again, struct err *err);
