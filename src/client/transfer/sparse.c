/*
 * Files with holes.  What the file system says is a hole is zeros without looking: it is neither read nor hashed, but handed out as blocks
 * of the grid whose bytes and hashes are known.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pathat.h"
#include "client/transfer/push_internal.h"

static const uint8_t zero_bytes[BLOCK_LEN_MAX];

bool
sparse_is(int fd, uint64_t size)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_blocks * 512 < size;
}

/* The hole that begins at ${offset} or lies around it, in whole blocks of the grid; 0 where there is data, or nobody can say. */
static uint64_t
hole_at(int fd, uint64_t offset, uint64_t size)
{
	off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
	uint64_t end = data < 0 ? (errno == ENXIO ? size : offset) : MIN((uint64_t)data, size);

	return end > offset ? (end - offset) / BLOCK_LEN_MAX : 0;
}

static err_code
hole_blocks(uint64_t *offset, uint64_t *left, align_fn fn, void *ctx, struct err *err)
{
	struct align_piece piece = { .p = zero_bytes, .len = BLOCK_LEN_MAX, .base = -1 };
	err_code rc = ERR_OK;

	piece.hash = hash_of(zero_bytes, BLOCK_LEN_MAX);
	piece.weak = weak_sum(zero_bytes, BLOCK_LEN_MAX);
	for (; rc == ERR_OK && *left > 0; --*left) {
		piece.offset = *offset;
		rc = fn(ctx, &piece, err);
		*offset += BLOCK_LEN_MAX;
	}
	*left = 0;
	return rc;
}

static err_code
data_block(int fd, uint64_t *offset, uint64_t size, uint8_t *buf, align_fn fn, void *ctx, struct err *err)
{
	struct align_piece piece = { .offset = *offset, .p = buf, .len = (uint32_t)MIN(BLOCK_LEN_MAX, size - *offset), .base = -1 };
	size_t got = 0;
	err_code rc = pread_full(fd, buf, piece.len, *offset, &got, err);

	if (rc)
		return rc;
	if (got < piece.len)
		return err_reason(err, ERR_IO, "shrunk", "the file ends early: it changed while it was read");
	piece.hash = hash_of(buf, piece.len);
	piece.weak = weak_sum(buf, piece.len);
	*offset += piece.len;
	return fn(ctx, &piece, err);
}

err_code
sparse_cut(int fd, uint64_t size, uint64_t *hole, align_fn fn, void *ctx, struct err *err)
{
	AUTO(freep) uint8_t *buf = xmalloc(BLOCK_LEN_MAX);
	uint64_t offset = 0;
	err_code rc = ERR_OK;

	while (rc == ERR_OK && offset < size) {
		*hole = hole_at(fd, offset, size);
		if (*hole > 0)
			rc = hole_blocks(&offset, hole, fn, ctx, err);
		else
			rc = data_block(fd, &offset, size, buf, fn, ctx, err);
	}
	return rc;
}
