#pragma once
/** A file of the server to standard output, from its beginning to its end. */

#include "client/remote/remote.h"

/**
 * stream_file(remote, f, cancel, done, err): *done counts bytes.  The block list is proven to be the content that the tree names before a byte
 * goes out, and each block to be the list's (I3), so what went out is right however it ends.
 * Errors     CANCELLED; VERSION_CONFLICT: the file changed meanwhile; CORRUPT; IO: nobody reads.
 */
err_code stream_file(struct remote *remote, const struct wire_file *f, const bool *cancel, uint64_t *done, struct err *err);
