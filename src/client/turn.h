#pragma once
/** Commands beside an agent: what it says about itself, and the folder's lock when its pass has ended. */

#include "client/folder.h"

/** turn_agent(path, status, err): the agent's status, a line of JSON.  NOT_FOUND: none runs on the folder; NETWORK: it does not answer. */
err_code turn_agent(const char *path, struct sbuf *status, struct err *err);

/**
 * turn_open(path, patience_ms, cancel, out, err): as folder_open; where an agent works on the folder, wait for the end of its pass, at most
 * ${patience_ms}; 0: as long as it takes.
 * Errors     as folder_open; ROOT_IN_USE: another command works there, or the agent is still at it; CANCELLED.
 */
err_code turn_open(const char *path, int64_t patience_ms, const bool *cancel, struct folder **out, struct err *err);
