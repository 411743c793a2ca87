#pragma once
/**
 * Cutting new content on the 64 KiB grid and hashing it.
 */

#include "chunk/blocklist.h"

/** A block as the cutter found it; ${p} is lent for the duration of the call. */
typedef err_code (*cut_fn)(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash,
    struct err *err);

/**
 * cut_fd(fd, size, fn, ctx, err): read ${size} bytes of ${fd} from offset 0 and hand every block to ${fn}, in order.
 * Errors     IO (also when the file ends early: reason "shrunk"), and whatever ${fn} answers.   Threads  any; blocks on disk.
 */
err_code cut_fd(int fd, uint64_t size, cut_fn fn, void *ctx, struct err *err);

/** cut_block_count(size): blocks of ${size} bytes on the grid.  cut_block_len(size, i): length of block i. */
uint64_t cut_block_count(uint64_t size);
uint32_t cut_block_len(uint64_t size, uint64_t i);

/** cut_hash_fd(fd, size, cancel, out, err): the content hash of a file's first ${size} bytes.  CANCELLED soon after *cancel; NULL: never. */
err_code cut_hash_fd(int fd, uint64_t size, const bool *cancel, struct hash *out, struct err *err);
