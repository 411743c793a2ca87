#pragma once
/**
 * What a linked folder is, beside its state: .dray/link has whom it is linked to, so that a state that was lost or damaged can be begun anew, and which
 * directory on which disk it was, so that a copy of it is known for one.
 */

#include "client/state/state.h"

/** Who a directory is: what a rename, a mount or a restart leaves as it is, and a copy does not have. */
struct mark_id {
	uint64_t ino;
	int64_t born_ns; /* 0: the file system does not tell */
};

/** mark_here(root, out, err): of .dray as it is now. */
err_code mark_here(int root, struct mark_id *out, struct err *err);

/** mark_same(a, b): whether they are one directory. */
bool mark_same(const struct mark_id *a, const struct mark_id *b);

/** mark_write(root, link, id, err): durable. */
err_code mark_write(int root, const struct state_link *link, const struct mark_id *id, struct err *err);

/** mark_read(root, a, link, id, err): text in ${a}.  NOT_FOUND; STATE_DAMAGED. */
err_code mark_read(int root, struct arena *a, struct state_link *link, struct mark_id *id, struct err *err);
