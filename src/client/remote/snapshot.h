#pragma once
/**
 * The server's snapshot of the tree, as pages like those of the change feed: every live entry of one moment, some minutes ago at most.  Over the line it takes
 * a sixth of what those pages take, and the server makes it once for all who ask.
 *
 * Threads    one at a time.
 * Memory     a part of 4 MiB, zstd's window of at most 8, and a page, however large the tree is.
 */

#include "client/remote/remote.h"

struct snapshot_reader;

/** Nothing is asked for yet. */
struct snapshot_reader *snapshot_reader_open(struct remote *remote);
void snapshot_reader_free(struct snapshot_reader *s);

/**
 * snapshot_reader_next(s, a, out, err): the next page, of at most 1,000 files with their extents, in ${a}; it may be empty.  Cursor and digest are those of the whole, in each page;
 * has_more is false in the last, after which all that was announced has come, and the changes since the cursor lead on.
 * Errors     those of remote_snapshot_part; PROTOCOL: it is not what it should be, or not whole.
 */
err_code snapshot_reader_next(struct snapshot_reader *s, struct arena *a, struct wire_page *out, struct err *err);
