#pragma once
/**
 * Blocks on their way out, whichever chunks they lie in: what a device that has most of a file already asks for.
 */

#include "chunk/blocklist.h"
#include "server/domain/domain.h"

/**
 * A chunk container (docs/format/chunk.md) of exactly the named blocks, in the order named, their stored bytes as they lie in the
 * store.  All that it will hold is known, and found to be there, before a byte of it is given; the bytes themselves are the
 * receiver's to verify, block by block, as those of any chunk.  One thread at a time.  About 90 KiB while open.
 */
struct blocks_out;

/**
 * blocks_open(d, project, extents, n, out, len, err): *len: of the container.  A block may be named more than once.
 * Errors     FIELD_RANGE (none; more than BLOCKS_FETCH_MAX blocks, or BLOCKS_FETCH_RAW_MAX raw bytes); NOT_FOUND (a chunk that is not
 *            this project's, or a block that its chunk does not have); CORRUPT (the store has lost a chunk, or part of it).
 */
err_code blocks_open(struct domain *d, const struct id *project, const struct extent *extents, uint32_t n, struct blocks_out **out,
    uint64_t *len, struct err *err);
/** The next bytes, ${cap} ≥ 1 of them or as many as there are; *got 0: the end.  CORRUPT. */
err_code blocks_read(struct blocks_out *b, uint8_t *buf, size_t cap, size_t *got, struct err *err);
void blocks_close(struct blocks_out *b);
