#pragma once
/**
 * The server's change feed into the state's pending rows.
 */

#include "client/remote/remote.h"
#include "client/state/state.h"

struct feed_opts {
	bool allow_shrink; /* as much as it may be: no SERVER_SHRUNK */
	void (*progress)(void *ctx, uint64_t entries); /* so many have been told and there are more; NULL: nobody wants to know */
	void *ctx;
};

/**
 * feed_pull(state, remote, opts, err): read the feed to its end.  Each page and the cursor behind it are stored in one transaction,
 * so a crash repeats a page and loses none (I7).
 *
 * A cursor that the server no longer takes starts over: after a restore of the server (EPOCH_CHANGED) with an empty base, so that
 * the two sides are united and nothing is deleted; after a long absence (CURSOR_EXPIRED) with the whole listing, in which what
 * is missing has been deleted.
 * Errors     SERVER_SHRUNK when such a listing lacks more than a quarter of what is known here; PROTOCOL.
 */
err_code feed_pull(struct state *state, struct remote *remote, const struct feed_opts *opts, struct err *err);

/** feed_entry(f): a file of the server as a remote entry; text is lent from ${f}. */
struct entry feed_entry(const struct wire_file *f);

/** A small file's extents, as the feed has told them. */
struct entry_extents {
	uint32_t count;
	struct wire_extent x[];
};

/** A file's extents as they are kept with a pending row, and back (${a} owns the result); NULL: there are none. */
uint8_t *extents_pack(struct arena *a, const struct wire_extent *x, uint32_t n, size_t *len);
struct entry_extents *extents_unpack(struct arena *a, const uint8_t *p, size_t len);
