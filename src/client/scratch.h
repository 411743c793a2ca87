#pragma once
/**
 * A state for transfers without a linked folder: block lists, and the journal of uploads that were cut short.  It is kept under
 * $XDG_CACHE_HOME/dray (~/.cache/dray) while there is something to go on with, else it goes with the command.
 */

#include "client/state/state.h"

struct scratch {
	char *dir;           /* absolute */
	int fd;              /* of it */
	bool kept;           /* another run may find it again */
	struct state *state;
};

/**
 * scratch_open(key, out, err): ${key} names what is transferred, so that the same command finds the same state again; NULL, or where another
 * command is using it: a new one that nobody finds.
 */
err_code scratch_open(const struct hash *key, struct scratch **out, struct err *err);

/** scratch_free(s, keep): ${keep}: what was begun may be gone on with. */
void scratch_free(struct scratch *s, bool keep);
