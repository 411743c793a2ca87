/*
 * Building a container in memory.
 *
 *   0                                CHUNK_HEADER_MAX                                        buf_len
 *   |        …unused…  | header      | payload grows this way →                              |
 *
 * The header's length is known last, so the payload begins where the longest header would end, and the header is put right
 * before it: the container is then one run of bytes, and nothing is moved.
 *
 * B1  payload_len ≤ raw_sum ≤ CHUNK_RAW_MAX, so a block that fits by its raw length also fits the buffer.
 */

#include "chunk/container.h"

#include <assert.h>

struct chunk_builder {
	struct codec *codec;
	uint8_t *buf; /* CHUNK_HEADER_MAX + CHUNK_RAW_MAX bytes */
	uint32_t count;
	uint32_t raw_sum;
	uint32_t payload_len;
	struct chunk_block blocks[CHUNK_BLOCKS_MAX];
};

struct chunk_builder *
chunk_builder_new(void)
{
	struct chunk_builder *b = xcalloc(1, sizeof *b);

	b->codec = codec_new();
	b->buf = xmalloc(CHUNK_HEADER_MAX + CHUNK_RAW_MAX);
	return b;
}

void
chunk_builder_free(struct chunk_builder *b)
{
	if (!b)
		return;
	codec_free(b->codec);
	free(b->buf);
	free(b);
}

void
chunk_builder_freep(struct chunk_builder **b)
{
	chunk_builder_free(*b);
	*b = NULL;
}

void
chunk_builder_reset(struct chunk_builder *b)
{
	b->count = 0;
	b->raw_sum = 0;
	b->payload_len = 0;
}

bool
chunk_builder_fits(const struct chunk_builder *b, size_t raw_len)
{
	return b->count < CHUNK_BLOCKS_MAX && raw_len <= CHUNK_RAW_MAX - b->raw_sum;
}

uint32_t
chunk_builder_count(const struct chunk_builder *b)
{
	return b->count;
}

uint32_t
chunk_builder_add(struct chunk_builder *b, const uint8_t *raw, size_t len, const struct hash *hash)
{
	uint8_t *out = b->buf + CHUNK_HEADER_MAX + b->payload_len;
	struct chunk_block *e;
	size_t stored = len;

	assert(len >= 1 && len <= BLOCK_LEN_MAX && chunk_builder_fits(b, len)); /* B1 */
	e = &b->blocks[b->count];
	*e = (struct chunk_block){ .hash = *hash, .raw_len = (uint32_t)len };
	e->packed = codec_pack(b->codec, raw, len, out, &stored);
	if (!e->packed)
		memcpy(out, raw, len);
	e->stored_len = (uint32_t)(e->packed ? stored : len);
	b->payload_len += e->stored_len;
	b->raw_sum += e->raw_len;
	return b->count++;
}

const uint8_t *
chunk_builder_finish(struct chunk_builder *b, struct hash *id, size_t *len)
{
	size_t header_len = CHUNK_FIXED_LEN + (size_t)b->count * CHUNK_ENTRY_LEN;
	uint8_t *start = b->buf + CHUNK_HEADER_MAX - header_len;

	assert(b->count >= 1);
	*id = chunk_header_write(b->blocks, b->count, start);
	*len = header_len + b->payload_len;
	return start;
}
