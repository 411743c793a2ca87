#pragma once
/**
 * What a sync that died has put in place and could not record.
 *
 * Its base row still tells of the version before.  When the server's next word on such a file is read over that of the version that is here,
 * a version of the server's looks like an edit of somebody's, and becomes a conflict, or survives a deletion.
 */

#include "client/folder.h"

/**
 * recover_installed(f, remote, cancel, err): record what is here as the server's pending version of it: kind, size, time and content, or
 * target.  To be called before the feed is read on; costs nothing when nothing is pending.
 * Errors     CANCELLED, DB, those of the line (${remote} is asked for lists of blocks).
 */
err_code recover_installed(struct folder *f, struct remote *remote, const bool *cancel, struct err *err);
