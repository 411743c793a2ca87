#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "chunk/blocklist.h"
#include "chunk/codec.h"
#include "chunk/container.h"
#include "client/stream.h"

#define LIST_MEMORY (4 * MIB)
#define HEADER_MEMORY (256 * KIB)
#define POLL_MS 100
#define PIECE 4096 /* what a pipe that can be written to is sure to take without waiting */
#define TRIES_MAX 3

struct stream {
	struct remote *remote;
	const struct wire_file *f;
	const bool *cancel;
	uint64_t *done;
	struct arena *arena;    /* of a chunk's header */
	struct codec *codec;
	uint8_t *chunk;
	uint8_t *room;          /* CHUNK_OPEN_MAX blocks, unpacked */
};

/* In pieces that do not block, so that it notices when it is called off. */
static err_code
write_out(struct stream *s, const uint8_t *p, size_t len, struct err *err)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (len > 0) {
		ssize_t n;

		if (flag_is_set(s->cancel))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		if (poll(&out, 1, POLL_MS) <= 0)
			continue;
		n = write(STDOUT_FILENO, p, MIN(len, PIECE));
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_errno(err, "standard output");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			*s->done += (uint64_t)n;
		}
	}
	return ERR_OK;
}

static err_code
page_get(struct stream *s, uint64_t from, struct arena *a, struct blocklist *page, struct err *err)
{
	const uint8_t *packed;
	struct err why;
	size_t len;
	bool more;
	err_code rc = remote_blocks(s->remote, &s->f->id, 0, from, a, &packed, &len, &more, err);

	if (rc)
		return rc;
	if (blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, page, &why))
		return err_set(err, ERR_PROTOCOL, "block list: %s", why.msg);
	if (page->block_count == 0)
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile; run it again", s->f->path);
	return ERR_OK;
}

typedef err_code (*page_fn)(struct stream *s, const struct blocklist *page, struct content_hash *content, struct err *err);

/* Every page of the list, which must make the content; ${fn} sees each. */
static err_code
walk(struct stream *s, page_fn fn, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(LIST_MEMORY);
	uint64_t index = 0, bytes = 0;
	struct content_hash c;
	struct hash content;
	err_code rc = ERR_OK;

	content_hash_init(&c);
	while (rc == ERR_OK && bytes < (uint64_t)s->f->size) {
		struct blocklist page;

		arena_reset(a);
		rc = page_get(s, index, a, &page, err);
		if (rc == ERR_OK)
			rc = fn(s, &page, &c, err);
		if (rc)
			break;
		index += page.block_count;
		bytes += blocklist_bytes(&page);
	}
	content = content_hash_final(&c);
	if (rc == ERR_OK && s->f->size > 0 && !hash_eq(&content, &s->f->content))
		rc = err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile; run it again", s->f->path);
	return rc;
}

static err_code
only_hash(struct stream *s, const struct blocklist *page, struct content_hash *content, struct err *err)
{
	(void)s, (void)err;
	for (uint32_t i = 0; i < page->block_count; i++)
		content_hash_add(content, &page->blocks[i].hash, page->blocks[i].len);
	return ERR_OK;
}

/* The chunk of a run, which has the blocks that the list names. */
static err_code
run_get(struct stream *s, const struct extent *run, const struct block *blocks, struct chunk_header *h, struct err *err)
{
	size_t len = 0;
	err_code rc = remote_chunk_get_all(s->remote, &run->chunk, s->chunk, &len, err);

	if (rc)
		return rc;
	arena_reset(s->arena);
	rc = chunk_header_parse(s->chunk, len, s->arena, h, err);
	if (rc)
		return rc;
	if (!hash_eq(&h->id, &run->chunk) || h->total_len != len || (uint64_t)run->first + run->count > h->count)
		return err_set(err, ERR_CORRUPT, "%s: a chunk is not the one that was asked for", s->f->path);
	for (uint32_t i = 0; i < run->count; i++) {
		const struct chunk_block *b = &h->blocks[run->first + i];

		if (!hash_eq(&b->hash, &blocks[i].hash) || b->raw_len != blocks[i].len)
			return err_set(err, ERR_CORRUPT, "%s: a chunk does not hold the block that the list names", s->f->path);
	}
	return ERR_OK;
}

/* Verified, and only then written. */
static err_code
blocks_write(struct stream *s, const struct chunk_block *b, uint32_t n, struct err *err)
{
	struct slice raw[CHUNK_OPEN_MAX];
	err_code rc = chunk_blocks_open(s->codec, b, n, s->chunk, s->room, raw, err);

	for (uint32_t i = 0; rc == ERR_OK && i < n; i++)
		rc = write_out(s, raw[i].p, raw[i].len, err);
	return rc;
}

/* Bytes that a line has garbled are worth asking for again; what was written before them stays so. */
static err_code
run_write(struct stream *s, const struct extent *run, const struct block *blocks, struct err *err)
{
	uint32_t at = 0;
	err_code rc = ERR_OK;

	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct chunk_header h;

		rc = run_get(s, run, blocks, &h, err);
		while (rc == ERR_OK && at < run->count) {
			uint32_t n = MIN(run->count - at, CHUNK_OPEN_MAX);

			rc = blocks_write(s, &h.blocks[run->first + at], n, err);
			at += rc ? 0 : n;
		}
		if (rc != ERR_CORRUPT && rc != ERR_CHUNK_INVALID && rc != ERR_HASH_MISMATCH && rc != ERR_ENCODING_INVALID)
			break;
	}
	return rc;
}

static err_code
write_page(struct stream *s, const struct blocklist *page, struct content_hash *content, struct err *err)
{
	const struct block *b = page->blocks;
	err_code rc = only_hash(s, page, content, err);

	for (uint32_t x = 0; rc == ERR_OK && x < page->extent_count; x++) {
		rc = run_write(s, &page->extents[x], b, err);
		b += page->extents[x].count;
	}
	return rc;
}

err_code
stream_file(struct remote *remote, const struct wire_file *f, const bool *cancel, uint64_t *done, struct err *err)
{
	struct stream s = { .remote = remote, .f = f, .cancel = cancel, .done = done };
	err_code rc;

	*done = 0;
	s.arena = arena_new(HEADER_MEMORY);
	s.codec = codec_new();
	s.chunk = xmalloc(CHUNK_LEN_MAX);
	s.room = xmalloc(CHUNK_OPEN_MAX * BLOCK_LEN_MAX);
	rc = walk(&s, only_hash, err);
	if (rc == ERR_OK)
		rc = walk(&s, write_page, err);
	free(s.room);
	free(s.chunk);
	codec_free(s.codec);
	arena_free(s.arena);
	return rc;
}
