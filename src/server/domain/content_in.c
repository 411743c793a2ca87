/*
 * Plain bytes on their way in.  They are cut on the 64 KiB grid, and since the size is known, so is how many blocks the chunk at
 * hand will have, hence how long its header is: that many zeros are written first, blocks follow as they come, and the header is
 * put in their place when the last hash is known.
 *
 * Memory: two blocks, one header, and 40 bytes for each chunk of up to 4 MiB (10 MB for 1 TiB), which become the extents of an
 * ordinary commit.  Rows of chunks are written sixteen at a time, with one fsync; what is not committed in the end is garbage
 * that the collector finds.
 */
#include <assert.h>

#include "base/clock.h"
#include "chunk/cut.h"
#include "server/domain/content_internal.h"

#define ATTEMPTS_MAX 8 /* of last writer wins, when other writers are as fast */
#define ROWS_HELD 16   /* chunks whose rows are still to be written */

struct content_in {
	struct domain *d;
	struct id project;
	struct content_put put;
	char path[FILE_PATH_MAX];
	uint64_t fed;
	struct content_hash hash;
	struct codec *codec;
	/* the block at hand */
	uint8_t block[BLOCK_LEN_MAX], packed[BLOCK_LEN_MAX];
	size_t block_len;
	/* the chunk at hand */
	struct store_writer *writer;
	struct chunk_block blocks[BLOCKLIST_PAGE_BLOCKS];
	uint32_t block_count, block_total; /* there; that it will have */
	uint32_t chunk_len, chunk_raw;
	/* the chunks before it */
	struct extent *extents;
	uint32_t extent_count, extent_cap;
	struct chunk rows[ROWS_HELD];
	struct publishing publishing[ROWS_HELD]; /* of each row held */
	unsigned rows_held;
	struct upload upload;
};

/* A caller whose bytes cannot be stored is told before they come. */
static err_code
room_check(struct domain *d, const struct id *project, int64_t size, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	if (size == 0)
		return ERR_OK;
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	return rc ? rc : quota_left(&p, err);
}

err_code
content_in_open(struct domain *d, const struct id *project, const struct content_put *put, struct content_in **out,
    struct err *err)
{
	struct content_in *c;
	bool exists;
	int64_t base;
	err_code rc = path_check(put->path, strlen(put->path), err);

	if (rc)
		return rc;
	if (put->size < 0)
		return err_set(err, ERR_FIELD_RANGE, "size: not negative");
	if ((uint64_t)put->size > FILE_SIZE_MAX)
		return err_set(err, ERR_FILE_TOO_LARGE, "a file has at most 16 TiB");
	rc = content_look(d, project, put->path, put->condition, put->version, true, &exists, &base, err);
	if (!rc)
		rc = room_check(d, project, put->size, err);
	if (rc)
		return rc;
	c = xcalloc(1, sizeof *c);
	c->d = d;
	c->project = *project;
	c->put = *put;
	memcpy(c->path, put->path, strlen(put->path) + 1);
	c->put.path = c->path;
	c->codec = codec_new();
	content_hash_init(&c->hash);
	content_upload_begin(d, &c->upload); /* G6 */
	*out = c;
	return ERR_OK;
}

void
content_in_free(struct content_in *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < ROWS_HELD; i++)
		publish_end(c->d, &c->publishing[i]);
	content_upload_end(c->d, &c->upload);
	store_abandon(&c->writer);
	content_hash_fini(&c->hash);
	codec_free(c->codec);
	free(c->extents);
	free(c);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static void
rows_release(struct content_in *c)
{
	for (unsigned i = 0; i < ROWS_HELD; i++)
		publish_end(c->d, &c->publishing[i]);
	c->rows_held = 0;
}

static err_code
rows_write(struct content_in *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc;

	if (c->rows_held == 0)
		return ERR_OK;
	rc = meta_begin(c->d->meta, META_WRITE, &tx, err);
	for (unsigned i = 0; !rc && i < c->rows_held; i++) {
		rc = quota_check(tx, &c->project, &c->rows[i], err);
		c->rows[i].used_at = lease_now(c->d); /* G2: inside the transaction */
		if (!rc)
			rc = meta_chunk_add(tx, &c->project, &c->rows[i], err);
	}
	if (!rc)
		rc = meta_commit(&tx, err);
	if (!rc)
		rows_release(c);
	return rc;
}

/* Opens the chunk that the next block goes to: as many blocks as a page of the list, or as are left. */
static err_code
chunk_begin(struct content_in *c, struct err *err)
{
	static const uint8_t ZEROS[CHUNK_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * CHUNK_ENTRY_LEN];
	uint64_t left = (uint64_t)c->put.size - (uint64_t)c->extent_count * BLOCKLIST_PAGE_BLOCKS * BLOCK_LEN_MAX;
	err_code rc = store_open_writer(c->d->store, &c->writer, err);

	if (rc)
		return rc;
	c->block_count = 0;
	c->block_total = (uint32_t)MIN(cut_block_count(left), BLOCKLIST_PAGE_BLOCKS);
	c->chunk_len = (uint32_t)(CHUNK_FIXED_LEN + c->block_total * CHUNK_ENTRY_LEN);
	c->chunk_raw = 0;
	return store_write(c->writer, ZEROS, c->chunk_len, err);
}

static void
extent_add(struct content_in *c, const struct hash *chunk)
{
	if (c->extent_count == c->extent_cap) {
		c->extent_cap = MAX(64U, c->extent_cap * 2);
		c->extents = xrealloc(c->extents, c->extent_cap * sizeof c->extents[0]);
	}
	c->extents[c->extent_count++] = (struct extent){ .chunk = *chunk, .count = c->block_count };
}

/* Of chunks that are stored and not yet registered. */
static int64_t
held_bytes(const struct content_in *c)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < c->rows_held; i++)
		sum += c->rows[i].stored_len;
	return sum;
}

static err_code
chunk_end(struct content_in *c, struct err *err)
{
	uint8_t header[CHUNK_FIXED_LEN + BLOCKLIST_PAGE_BLOCKS * CHUNK_ENTRY_LEN];
	struct store_key key = { .project = c->project };
	err_code rc;

	assert(c->block_count == c->block_total); /* the header fits the room that was left for it */
	key.hash = chunk_header_write(c->blocks, c->block_count, header);
	rc = quota_foresee(c->d, &c->project, &key.hash, held_bytes(c) + c->chunk_len, err);
	if (rc)
		return rc;
	rc = store_write_at(c->writer, 0, header, CHUNK_FIXED_LEN + c->block_count * (size_t)CHUNK_ENTRY_LEN, err);
	publish_begin(c->d, &c->publishing[c->rows_held], &key);
	if (!rc)
		rc = store_finish(&c->writer, &key, err);
	if (rc)
		return err_wrap(err, "store a chunk");
	extent_add(c, &key.hash);
	c->rows[c->rows_held++] = (struct chunk){ .id = key.hash, .stored_len = c->chunk_len, .raw_len = c->chunk_raw,
		.block_count = c->block_count, .created_at = clock_wall_us() };
	return c->rows_held == ROWS_HELD ? rows_write(c, err) : ERR_OK;
}

static err_code
block_end(struct content_in *c, struct err *err)
{
	struct chunk_block b = { .hash = hash_of(c->block, c->block_len), .raw_len = (uint32_t)c->block_len };
	size_t stored = c->block_len;
	err_code rc = c->writer ? ERR_OK : chunk_begin(c, err);

	if (rc)
		return rc;
	b.packed = codec_pack(c->codec, c->block, c->block_len, c->packed, &stored);
	if (!b.packed)
		stored = c->block_len;
	b.stored_len = (uint32_t)stored;
	rc = store_write(c->writer, b.packed ? c->packed : c->block, stored, err);
	if (rc)
		return rc;
	content_hash_add(&c->hash, &b.hash, b.raw_len);
	c->blocks[c->block_count++] = b;
	c->chunk_len += b.stored_len;
	c->chunk_raw += b.raw_len;
	c->block_len = 0;
	return c->block_count == c->block_total ? chunk_end(c, err) : ERR_OK;
}

err_code
content_in_feed(struct content_in *c, const uint8_t *p, size_t len, struct err *err)
{
	if (len > (uint64_t)c->put.size - c->fed)
		return err_set(err, ERR_SIZE_MISMATCH, "more than the declared %jd bytes", (intmax_t)c->put.size);
	while (len > 0) {
		size_t n = MIN(len, BLOCK_LEN_MAX - c->block_len);
		err_code rc = ERR_OK;

		memcpy(c->block + c->block_len, p, n);
		c->block_len += n;
		c->fed += n;
		p += n;
		len -= n;
		if (c->block_len == BLOCK_LEN_MAX || c->fed == (uint64_t)c->put.size)
			rc = block_end(c, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- the commit -------------------------------------------------------------------------------------------------- */

/* One attempt on the state that is there now. */
static err_code
attempt(struct content_in *c, const struct hash *content, struct arena *a, struct op_result *r, bool *created, struct err *err)
{
	struct op op = { .kind = OP_PUT, .path = c->path, .entry = KIND_FILE, .has_mtime = c->put.has_mtime,
		.mtime_ns = c->put.mtime_ns, .source = CONTENT_EXTENTS, .size = c->put.size, .content = *content,
		.extents = c->extents, .extent_count = c->extent_count, .make_parents = true };
	bool exists;
	err_code rc;

	rc = content_look(c->d, &c->project, c->path, c->put.condition, c->put.version, true, &exists, &op.base, err);
	if (rc)
		return rc;
	op.has_base = exists;
	*created = !exists;
	return content_commit(c->d, &c->project, &c->put.device, &op, false, a, r, err);
}

err_code
content_in_finish(struct content_in *c, struct arena *a, struct file *out, bool *created, struct err *err)
{
	struct op_result r = { .code = ERR_OK };
	struct hash content;
	err_code rc;

	if (c->fed != (uint64_t)c->put.size)
		return err_set(err, ERR_SIZE_MISMATCH, "%ju bytes came of the declared %jd", (uintmax_t)c->fed,
		    (intmax_t)c->put.size);
	assert(!c->writer && c->block_len == 0); /* the last block ended with the last byte */
	rc = rows_write(c, err);
	if (rc)
		return rc;
	content = content_hash_final(&c->hash);
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		rc = attempt(c, &content, a, &r, created, err);
		if (rc || !content_raced(&r))
			break;
	}
	if (!rc)
		rc = content_settle(&r, c->put.condition, err);
	return rc ? rc : tree_file(c->d, &c->project, &r.file, a, out, err);
}
