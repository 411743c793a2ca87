/*
 * Cutting on the grid.  The file is read in pieces of 16 blocks: large enough that a system call and a seek cost nothing beside
 * hashing, small enough to stay in the second-level cache between the read and the hash.
 */

#include "chunk/cut.h"

#include <assert.h>
#include <fcntl.h>

#include "base/pathat.h"

#define PIECE_LEN (1 * MIB)
#define PIECE_BLOCKS (PIECE_LEN / BLOCK_LEN_MAX)

static_assert(PIECE_LEN % BLOCK_LEN_MAX == 0, "a piece is whole blocks, so only the file's last block is short");

uint64_t
cut_block_count(uint64_t size)
{
	return size / BLOCK_LEN_MAX + (size % BLOCK_LEN_MAX != 0);
}

uint32_t
cut_block_len(uint64_t size, uint64_t i)
{
	assert(i < cut_block_count(size));
	return (uint32_t)MIN(BLOCK_LEN_MAX, size - i * BLOCK_LEN_MAX);
}

/* Hashes of the blocks of the ${len} bytes at ${p}. */
static void
hash_blocks(const uint8_t *p, size_t len, struct hash out[PIECE_BLOCKS])
{
	struct slice block[PIECE_BLOCKS];
	size_t n = 0;

	for (size_t pos = 0; pos < len; pos += BLOCK_LEN_MAX)
		block[n++] = (struct slice){ p + pos, MIN(BLOCK_LEN_MAX, len - pos) };
	hash_each(block, n, out);
}

/* Cut the ${len} bytes of a piece that lies at ${offset} of the file. */
static err_code
cut_piece(uint64_t offset, const uint8_t *p, size_t len, cut_fn fn, void *ctx, struct err *err)
{
	struct hash hash[PIECE_BLOCKS];

	hash_blocks(p, len, hash);
	for (size_t pos = 0; pos < len; pos += BLOCK_LEN_MAX) {
		err_code rc = fn(ctx, offset + pos, p + pos, (uint32_t)MIN(BLOCK_LEN_MAX, len - pos), &hash[pos / BLOCK_LEN_MAX], err);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

err_code
cut_fd(int fd, uint64_t size, cut_fn fn, void *ctx, struct err *err)
{
	AUTO(freep) uint8_t *buf = NULL;
	err_code rc;

	if (size == 0)
		return ERR_OK;
	if (size > PIECE_LEN)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: nothing depends on it */
	buf = xmalloc(MIN(size, PIECE_LEN));
	for (uint64_t offset = 0; offset < size; offset += PIECE_LEN) {
		size_t len = MIN(size - offset, PIECE_LEN);
		size_t got = 0;

		rc = pread_full(fd, buf, len, offset, &got, err);
		if (rc)
			return rc;
		if (got < len)
			return err_reason(err, ERR_IO, "shrunk", "the file ends at %llu of %llu bytes: it changed while it was read",
			    (unsigned long long)(offset + got), (unsigned long long)size);
		rc = cut_piece(offset, buf, len, fn, ctx, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

struct hashing {
	struct content_hash content;
	const bool *cancel;
};

static err_code
add_block(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct hashing *h = ctx;

	(void)offset;
	(void)p;
	content_hash_add(&h->content, hash, len);
	return flag_is_set(h->cancel) ? err_set(err, ERR_CANCELLED, "stopped on request") : ERR_OK;
}

err_code
cut_hash_fd(int fd, uint64_t size, const bool *cancel, struct hash *out, struct err *err)
{
	struct hashing h = { .cancel = cancel };
	err_code rc;

	content_hash_init(&h.content);
	rc = cut_fd(fd, size, add_block, &h, err);
	if (rc) {
		content_hash_fini(&h.content);
		return rc;
	}
	*out = content_hash_final(&h.content);
	return ERR_OK;
}
