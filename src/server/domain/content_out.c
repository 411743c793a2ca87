/*
 * A file's plain bytes.  Blocks may have any length, so where a byte lies is found by adding lengths up, page by page; whoever
 * reads on from where he was pays nothing for that, and a jump costs a walk over the pages between (2.4 KB for each 4 MiB).
 *
 * Blocks that follow each other in a chunk are read from the store at once, up to RUN_MAX.  Each is decoded and verified before a
 * byte of it is handed out (I3); damage is logged here, where it is found.
 */
#include <assert.h>

#include "base/log.h"
#include "server/domain/content.h"
#include "server/domain/domain_internal.h"

#define RUN_MAX (1 * MIB)
#define PAGE_ARENA_MAX (64 * KIB) /* 64 blocks of 36 bytes, at most as many extents of 40, and rounding */
#define SKIP_PAGES 1024           /* pages walked over in one transaction */

struct content_out {
	struct domain *d;
	struct id project, file, list;
	uint64_t size;
	struct codec *codec;
	/* the page at hand */
	struct arena *arena;
	struct blocklist page;
	uint32_t page_no;
	uint64_t page_at, page_len; /* its first byte in the file, its bytes; page_len 0: none is at hand */
	/* the block that was decoded last */
	uint64_t block_at;
	size_t block_len;           /* 0: none */
	uint8_t block[BLOCK_LEN_MAX];
};

/* A place in the page at hand: block ${k} begins at byte ${at} of the file and is block ${index} of extent ${e}'s chunk. */
struct spot {
	uint32_t k, e, index;
	uint64_t at;
};

err_code
content_open(struct domain *d, const struct id *project, const struct file *file, struct content_out **out, struct err *err)
{
	struct content_out *c;

	if (file->kind != KIND_FILE)
		return err_set(err, ERR_NOT_FOUND, "only files have content");
	c = xcalloc(1, sizeof *c);
	c->d = d;
	c->project = *project;
	c->file = file->id;
	c->list = file->list;
	c->size = (uint64_t)file->size;
	c->codec = codec_new();
	c->arena = arena_new(PAGE_ARENA_MAX);
	*out = c;
	return ERR_OK;
}

void
content_close(struct content_out *c)
{
	if (!c)
		return;
	codec_free(c->codec);
	arena_free(c->arena);
	free(c);
}

static err_code
damaged(const struct content_out *c, const char *what, const struct hash *chunk, struct err *err)
{
	char file[ID_HEX_LEN + 1], hex[HASH_HEX_LEN + 1] = "";

	if (chunk)
		hash_hex(chunk, hex);
	log_event(LOG_ERROR, "stored content is damaged", LOG_STR("what", what), LOG_STR("file", id_hex(&c->file, file)),
	    LOG_STR("chunk", hex));
	return err_set(err, ERR_CORRUPT, "%s", what);
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static err_code
page_bytes(struct content_out *c, struct meta_tx *tx, uint32_t n, const uint8_t **packed, size_t *len, struct err *err)
{
	err_code rc = meta_blocks_get(tx, &c->project, &c->list, n, packed, len, err);

	return rc == ERR_NOT_FOUND ? damaged(c, "a page of the block list is missing", NULL, err) : rc;
}

/* The bytes of the file that a packed page stands for, without unpacking it. */
static uint64_t
page_sum(const uint8_t *packed, size_t len)
{
	uint32_t blocks = get_u32le(packed + 8);
	uint64_t sum = 0;

	assert(len >= blocks * (size_t)BLOCKLIST_BLOCK_LEN);
	for (uint32_t i = 0; i < blocks; i++)
		sum += get_u32le(packed + len - (blocks - i) * (size_t)BLOCKLIST_BLOCK_LEN + sizeof(struct hash));
	return sum;
}

static err_code
page_take(struct content_out *c, const uint8_t *packed, size_t len, uint32_t n, uint64_t at, struct err *err)
{
	err_code rc;

	c->page_len = 0;
	arena_reset(c->arena);
	rc = blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, c->arena, &c->page, err);
	if (rc)
		return damaged(c, "a page of the block list is malformed", NULL, err);
	c->page_no = n;
	c->page_at = at;
	c->page_len = blocklist_bytes(&c->page);
	return ERR_OK;
}

/* Walks on from page *n, which begins at byte *at, until a page holds ${off} or SKIP_PAGES have been seen. */
static err_code
skip_pages(struct content_out *c, uint64_t off, uint32_t *n, uint64_t *at, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	const uint8_t *packed;
	size_t len;
	err_code rc = meta_begin(c->d->meta, META_READ, &tx, err);

	for (unsigned i = 0; !rc && i < SKIP_PAGES; i++) {
		uint64_t sum;

		rc = page_bytes(c, tx, *n, &packed, &len, err);
		if (rc)
			return rc;
		sum = page_sum(packed, len);
		if (off < *at + sum)
			return page_take(c, packed, len, *n, *at, err);
		*at += sum;
		(*n)++;
	}
	return rc;
}

static bool
page_holds(const struct content_out *c, uint64_t off)
{
	return c->page_len > 0 && off >= c->page_at && off - c->page_at < c->page_len;
}

static err_code
page_seek(struct content_out *c, uint64_t off, struct err *err)
{
	bool onward = c->page_len > 0 && off >= c->page_at + c->page_len;
	uint32_t n = onward ? c->page_no + 1 : 0;
	uint64_t at = onward ? c->page_at + c->page_len : 0;
	err_code rc = ERR_OK;

	while (!rc && !page_holds(c, off))
		rc = skip_pages(c, off, &n, &at, err);
	return rc;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static struct spot
spot_of(const struct content_out *c, uint64_t off)
{
	struct spot s = { .at = c->page_at, .index = c->page.extents[0].first };

	while (off >= s.at + c->page.blocks[s.k].len) {
		s.at += c->page.blocks[s.k].len;
		s.k++;
		s.index++;
		if (s.index == c->page.extents[s.e].first + c->page.extents[s.e].count) {
			s.e++;
			s.index = c->page.extents[s.e].first;
		}
	}
	return s;
}

/* How many blocks from ${s} on to read at once: they follow each other in the chunk, and the caller wants bytes up to ${end}. */
static uint32_t
run_blocks(const struct content_out *c, const struct spot *s, const struct chunk_header *h, uint64_t end)
{
	uint32_t left = c->page.extents[s->e].first + c->page.extents[s->e].count - s->index;
	uint64_t at = s->at;
	size_t stored = 0;
	uint32_t n = 0;

	while (n < left && at < end) {
		stored += h->blocks[s->index + n].stored_len;
		if (stored > RUN_MAX)
			break;
		at += c->page.blocks[s->k + n].len;
		n++;
	}
	return n;
}

/* The stored bytes of ${n} blocks from ${s} on, at *stored, the caller's to free: a reader that waits holds no such buffer. */
static err_code
run_read(struct content_out *c, const struct spot *s, const struct header *h, uint32_t n, uint8_t **stored, struct err *err)
{
	const struct chunk_block *first = &h->h.blocks[s->index], *last = first + n - 1;
	size_t want = last->offset + last->stored_len - first->offset, got = 0;
	err_code rc;

	*stored = xmalloc(want);
	rc = store_read(c->d->store, &h->key, first->offset, *stored, want, &got, err);
	if (!rc && got < want)
		return damaged(c, "a chunk is cut short", &h->h.id, err);
	return rc;
}

/* Decodes the block of ${s}, whose stored bytes are at ${stored}, into ${out}; verified against both chunk and block list. */
static err_code
block_decode(struct content_out *c, const struct spot *s, const struct header *h, const uint8_t *stored, uint8_t *out,
    struct err *err)
{
	const struct chunk_block *b = &h->h.blocks[s->index];
	const struct block *listed = &c->page.blocks[s->k];

	if (b->raw_len != listed->len || !hash_eq(&b->hash, &listed->hash))
		return damaged(c, "the block list and its chunk disagree", &h->h.id, err);
	if (chunk_block_open(c->codec, b, stored, out, NULL))
		return damaged(c, "a block is not what was stored", &h->h.id, err);
	return ERR_OK;
}

/* Hands out what the decoded block has of [off, off + len). */
static size_t
block_give(const struct content_out *c, uint64_t off, uint8_t *buf, size_t len)
{
	size_t skip = (size_t)(off - c->block_at);
	size_t n = MIN(len, c->block_len - skip);

	memcpy(buf, c->block + skip, n);
	return n;
}

/* Decodes the ${n} blocks that run_read has read, straight into ${buf} where one is wanted whole. */
static err_code
run_decode(struct content_out *c, struct spot s, const struct header *h, uint32_t n, const uint8_t *stored, uint64_t off,
    uint8_t *buf, size_t len, size_t *given, struct err *err)
{
	uint32_t base = h->h.blocks[s.index].offset;

	*given = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct chunk_block *b = &h->h.blocks[s.index];
		bool whole = s.at == off + *given && b->raw_len <= len - *given;
		uint8_t *out = whole ? buf + *given : c->block;
		err_code rc;

		if (!whole)
			c->block_len = 0;
		rc = block_decode(c, &s, h, stored + (b->offset - base), out, err);
		if (rc)
			return rc;
		if (whole) {
			*given += b->raw_len;
		} else {
			c->block_at = s.at;
			c->block_len = b->raw_len;
			*given += block_give(c, off + *given, buf + *given, len - *given);
		}
		s.at += b->raw_len;
		s.k++;
		s.index++;
	}
	return ERR_OK;
}

/* Some bytes from ${off} on, at least one: those of one run of blocks.  NOT_FOUND: the page at hand names a chunk that is not there. */
static err_code
read_run(struct content_out *c, uint64_t off, uint8_t *buf, size_t len, size_t *given, struct err *err)
{
	struct store_key key = { .project = c->project };
	const struct header *h = NULL;
	struct spot s = spot_of(c, off);
	const struct extent *e = &c->page.extents[s.e];
	AUTO(freep) uint8_t *stored = NULL;
	uint32_t n;
	err_code rc;

	key.hash = e->chunk;
	rc = header_get(c->d, &key, &h, err);
	if (rc)
		return rc;
	if (e->first + e->count > h->h.count) {
		rc = damaged(c, "the block list names blocks that its chunk does not have", &e->chunk, err);
	} else {
		n = run_blocks(c, &s, &h->h, off + len);
		rc = run_read(c, &s, h, n, &stored, err);
		if (!rc)
			rc = run_decode(c, s, h, n, stored, off, buf, len, given, err);
	}
	header_release(c->d, &h);
	return rc;
}

/* The page was read a grace ago or more, and its blocks have been moved since (job/compact.c): once more from the page as it is now. */
static err_code
read_moved(struct content_out *c, uint64_t off, uint8_t *buf, size_t len, size_t *given, struct err *err)
{
	err_code rc;

	c->page_len = 0;
	rc = page_seek(c, off, err);
	if (!rc)
		rc = read_run(c, off, buf, len, given, err);
	return rc == ERR_NOT_FOUND ? damaged(c, "a chunk is missing", NULL, err) : rc;
}

err_code
content_read(struct content_out *c, uint64_t off, uint8_t *buf, size_t len, size_t *got, struct err *err)
{
	*got = 0;
	if (off >= c->size)
		return ERR_OK;
	len = (size_t)MIN((uint64_t)len, c->size - off);
	while (*got < len) {
		uint64_t at = off + *got;
		size_t given = 0;
		err_code rc = ERR_OK;

		if (c->block_len > 0 && at >= c->block_at && at - c->block_at < c->block_len) {
			given = block_give(c, at, buf + *got, len - *got);
		} else {
			rc = page_seek(c, at, err);
			if (!rc)
				rc = read_run(c, at, buf + *got, len - *got, &given, err);
			if (rc == ERR_NOT_FOUND)
				rc = read_moved(c, at, buf + *got, len - *got, &given, err);
		}
		if (rc)
			return rc;
		*got += given;
	}
	return ERR_OK;
}
