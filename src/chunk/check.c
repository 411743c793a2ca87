/*
 * Verifying a container as it arrives.
 *
 *   FIXED ──16 bytes──▶ TABLE ──the block table──▶ BLOCKS ──the last block──▶ END
 *
 * Each state wants a known number of bytes (${want}).  What comes is gathered in ${in} until it is complete; a piece that already
 * holds all of it is used where it lies.  The header and the blocks share ${in}, because the header is no longer needed once
 * it was parsed.
 *
 * C1  In FIXED, TABLE and BLOCKS: 0 ≤ have < want ≤ sizeof in.
 * C2  After a refusal the state is FAILED, and nothing that follows can turn it into a success (I3).
 */

#include "chunk/container.h"

#include <assert.h>

enum check_state { CHECK_FIXED, CHECK_TABLE, CHECK_BLOCKS, CHECK_END, CHECK_FAILED };

struct chunk_check {
	enum check_state state;
	size_t want;     /* bytes that the state consumes at once */
	size_t have;     /* of them, gathered in ${in} */
	uint32_t next;   /* BLOCKS: the block that comes */
	struct chunk_header header;
	struct arena *arena; /* header.blocks */
	struct codec *codec;
	uint8_t in[BLOCK_LEN_MAX];
	uint8_t raw[BLOCK_LEN_MAX];
};

static_assert(CHUNK_HEADER_MAX <= BLOCK_LEN_MAX, "C1: a header is gathered where blocks are");

struct chunk_check *
chunk_check_new(void)
{
	struct chunk_check *c = xmalloc(sizeof *c);

	c->state = CHECK_FIXED;
	c->want = CHUNK_FIXED_LEN;
	c->have = 0;
	c->next = 0;
	c->header = (struct chunk_header){ 0 };
	c->arena = arena_new(CHUNK_BLOCKS_MAX * sizeof(struct chunk_block) + KIB);
	c->codec = codec_new();
	return c;
}

void
chunk_check_free(struct chunk_check *c)
{
	if (!c)
		return;
	arena_free(c->arena);
	codec_free(c->codec);
	free(c);
}

void
chunk_check_freep(struct chunk_check **c)
{
	chunk_check_free(*c);
	*c = NULL;
}

static void
await(struct chunk_check *c, enum check_state state, size_t want)
{
	assert(want <= sizeof c->in); /* C1 */
	c->state = state;
	c->want = want;
}

/* The fixed part is complete at ${p}: keep it, since the table is parsed together with it. */
static err_code
take_fixed(struct chunk_check *c, const uint8_t *p, struct err *err)
{
	size_t header_len = 0;
	err_code rc;

	rc = chunk_header_len(p, CHUNK_FIXED_LEN, &header_len, err);
	if (rc)
		return rc;
	memmove(c->in, p, CHUNK_FIXED_LEN);
	c->have = CHUNK_FIXED_LEN;
	await(c, CHECK_TABLE, header_len);
	return ERR_OK;
}

static err_code
take_table(struct chunk_check *c, const uint8_t *p, struct err *err)
{
	err_code rc;

	rc = chunk_header_parse(p, c->want, c->arena, &c->header, err);
	if (rc)
		return rc;
	await(c, CHECK_BLOCKS, c->header.blocks[0].stored_len);
	return ERR_OK;
}

static err_code
take_block(struct chunk_check *c, const uint8_t *p, struct err *err)
{
	err_code rc;

	rc = chunk_block_open(c->codec, &c->header.blocks[c->next], p, c->raw, err);
	if (rc)
		return rc;
	c->next++;
	if (c->next == c->header.count)
		await(c, CHECK_END, 0);
	else
		await(c, CHECK_BLOCKS, c->header.blocks[c->next].stored_len);
	return ERR_OK;
}

/* All that the state wants lies at ${p}. */
static err_code
take(struct chunk_check *c, const uint8_t *p, struct err *err)
{
	c->have = 0;
	switch (c->state) {
	case CHECK_FIXED:
		return take_fixed(c, p, err);
	case CHECK_TABLE:
		return take_table(c, p, err);
	case CHECK_BLOCKS:
		return take_block(c, p, err);
	default:
		return err_reason(err, ERR_CHUNK_INVALID, "trailing", "bytes follow the chunk's last block");
	}
}

/* Consume from ${p} what completes the present want, or all of it; *used says how much. */
static err_code
feed_some(struct chunk_check *c, const uint8_t *p, size_t len, size_t *used, struct err *err)
{
	if (c->have == 0 && len >= c->want) {
		*used = c->want;
		return take(c, p, err);
	}
	*used = MIN(len, c->want - c->have);
	memcpy(c->in + c->have, p, *used);
	c->have += *used;
	return c->have == c->want ? take(c, c->in, err) : ERR_OK;
}

err_code
chunk_check_feed(struct chunk_check *c, const uint8_t *p, size_t len, struct err *err)
{
	if (c->state == CHECK_FAILED)
		return err_set(err, ERR_CHUNK_INVALID, "the chunk was refused already"); /* C2 */
	while (len > 0) {
		size_t used = 0;
		err_code rc = feed_some(c, p, len, &used, err);

		if (rc) {
			c->state = CHECK_FAILED;
			return rc;
		}
		p += used;
		len -= used;
	}
	return ERR_OK;
}

err_code
chunk_check_done(struct chunk_check *c, const struct chunk_header **header, struct err *err)
{
	if (c->state == CHECK_FAILED)
		return err_set(err, ERR_CHUNK_INVALID, "the chunk was refused already"); /* C2 */
	if (c->state != CHECK_END) {
		c->state = CHECK_FAILED;
		return err_reason(err, ERR_CHUNK_INVALID, "truncated", "the chunk ends too early");
	}
	*header = &c->header;
	return ERR_OK;
}
