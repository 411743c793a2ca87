#pragma once
/**
 * Bytes on their way in: transfers, the chunks that belong to them, and chunks on their way out.
 */

#include "chunk/container.h"
#include "server/domain/domain.h"

struct transfer_start {
	struct id device;
	const char *path;     /* "" or what it is for */
	int64_t size;         /* 0: not known */
};
/** TOO_MANY_UPLOADS past TRANSFERS_PER_DEVICE_MAX; FILE_TOO_LARGE; QUOTA when nothing more can be stored. */
err_code transfer_create(struct domain *d, const struct id *project, const struct transfer_start *s, struct idem *idem,
    struct arena *a, struct transfer *out, struct err *err);

/** A transfer is seen only by the device that made it (NOT_FOUND).  chunks: numbers and ids from ${from} on, ≤ limit. */
err_code transfer_get(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer,
    uint32_t from, unsigned limit, struct arena *a, struct transfer *out, struct transfer_chunk **chunks, size_t *n,
    struct err *err);
/** Ends an open transfer; ending it again is fine. */
err_code transfer_abandon(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer,
    struct err *err);

/** A page of the block list, the first block being number ${first} of the file. */
err_code transfer_put_blocks(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer,
    uint64_t first, const uint8_t *packed, size_t len, struct arena *a, struct err *err);

/**
 * A chunk that arrives in pieces: verified as it comes, written as it comes, durable when chunk_in_finish returns (I1), and only
 * then known to the transfer.  Memory ≤ 512 KiB whatever its size.
 *
 * Errors     TRANSFER_GONE, NOT_FOUND, CHUNK_INVALID, HASH_MISMATCH, ENCODING_INVALID, CHUNK_CONFLICT (n holds another chunk), FIELD_RANGE,
 *            QUOTA (a chunk that is here already needs no room).
 */
struct chunk_in;
err_code chunk_in_open(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer, uint32_t n,
    struct chunk_in **out, struct err *err);
err_code chunk_in_feed(struct chunk_in *c, const uint8_t *p, size_t len, struct err *err);
err_code chunk_in_finish(struct chunk_in *c, struct hash *id, struct err *err);
void chunk_in_free(struct chunk_in *c); /* whatever was not finished leaves nothing */

/** chunk_size(d, project, id, size, err): the size of a chunk's container.  NOT_FOUND unless it is this project's; CORRUPT when
 * the store has lost it. */
err_code chunk_size(struct domain *d, const struct id *project, const struct hash *id, uint64_t *size, struct err *err);
/** Bytes of a container as they are stored; the receiver verifies them. */
err_code chunk_read(struct domain *d, const struct id *project, const struct hash *id, uint64_t off, uint8_t *buf, size_t len,
    size_t *got, struct err *err);
/** A descriptor to send it from, the caller's to close; NOT_IMPLEMENTED: use chunk_read. */
err_code chunk_fd(struct domain *d, const struct id *project, const struct hash *id, int *fd, uint64_t *size, struct err *err);
