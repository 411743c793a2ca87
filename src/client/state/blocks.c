/*
 * The block lists of known contents: pages as they are packed, their rolling sums, and the index by first blocks.
 */
#include <assert.h>

#include "base/clock.h"
#include "chunk/blocklist.h"
#include "client/state/state_internal.h"

#define WEAK_LEN 4 /* bytes of a rolling sum, little-endian */

/* ---- what a packed page says of itself ------------------------------------------------------------------------------------------ */

static uint32_t
page_blocks(const uint8_t *packed)
{
	return get_u32le(packed + 8);
}

static const uint8_t *
page_first(const uint8_t *packed)
{
	return packed + BLOCKLIST_FIXED_LEN + (size_t)get_u32le(packed + 12) * BLOCKLIST_EXTENT_LEN;
}

static bool
page_sound(const uint8_t *packed, size_t len)
{
	if (len < BLOCKLIST_FIXED_LEN || page_blocks(packed) < 1 || page_blocks(packed) > BLOCKLIST_PAGE_BLOCKS)
		return false;
	return len == BLOCKLIST_FIXED_LEN + (size_t)get_u32le(packed + 12) * BLOCKLIST_EXTENT_LEN +
	    (size_t)page_blocks(packed) * BLOCKLIST_BLOCK_LEN;
}

/* What is kept beside a page, so that one that rotted is noticed. */
static struct hash
page_sum(const struct hash *content, int64_t page, const uint8_t *packed, size_t len, const uint8_t *weak, size_t weak_len)
{
	uint8_t head[3 * 8];
	struct sha sha;

	put_u64le(head, (uint64_t)page);
	put_u64le(head + 8, len);
	put_u64le(head + 16, weak_len);
	sha_init(&sha);
	sha_add(&sha, content->b, sizeof content->b);
	sha_add(&sha, head, sizeof head);
	sha_add(&sha, packed, len);
	sha_add(&sha, weak, weak_len);
	return sha_final(&sha);
}

bool
blocks_page_holds(const struct hash *content, int64_t page, struct db_stmt *st, int col)
{
	size_t len, weak_len, sum_len;
	const uint8_t *packed = db_bytes(st, col, &len), *weak = db_bytes(st, col + 1, &weak_len), *sum = db_bytes(st, col + 2, &sum_len);
	struct hash is;

	if (sum_len == 0)
		return true; /* from before there were sums */
	is = page_sum(content, page, packed, len, weak, weak_len);
	return sum_len == sizeof is.b && memcmp(sum, is.b, sizeof is.b) == 0;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

/* A list that comes before its file's row may never get one: it is looked at some day (S3). */
static err_code
put_unnamed(struct state *s, const struct hash *content, struct err *err)
{
	return db_run(state_writer(s), NULL, err,
	    "INSERT INTO blocks_stale (content, since) SELECT $1, $2"
	    " WHERE NOT EXISTS (SELECT 1 FROM base WHERE content = $1 AND kind = 0)"
	    " ON CONFLICT (content) DO UPDATE SET since = excluded.since",
	    DB_HASH(content), DB_I64(clock_wall_us()));
}

err_code
state_blocks_put(struct state *s, const struct hash *content, uint32_t page, const uint8_t *packed, size_t len, const uint32_t *weak,
    struct err *err)
{
	uint8_t sums[BLOCKLIST_PAGE_BLOCKS * WEAK_LEN];
	size_t sums_len;
	struct hash sum;
	uint32_t n;
	err_code rc;

	assert(page_sound(packed, len)); /* of our own making, or unpacked before */
	n = page_blocks(packed);
	for (uint32_t i = 0; weak && i < n; i++)
		put_u32le(sums + i * WEAK_LEN, weak[i]);
	sums_len = weak ? n * WEAK_LEN : 0;
	sum = page_sum(content, page, packed, len, sums, sums_len);
	rc = db_run(state_writer(s), NULL, err,
	    "INSERT INTO blocks (content, page, packed, weak, first, page_sum) VALUES ($1, $2, $3, $4, $5, $6)"
	    " ON CONFLICT (content, page) DO UPDATE SET packed = excluded.packed, weak = excluded.weak, first = excluded.first,"
	    " page_sum = excluded.page_sum",
	    DB_HASH(content), DB_I64(page), DB_BYTES(packed, len), DB_BYTES(sums, sums_len),
	    DB_BYTES(page_first(packed), sizeof(struct hash)), DB_HASH(&sum));
	return rc || page > 0 ? rc : put_unnamed(s, content, err);
}

err_code
state_blocks_forget(struct state *s, const struct hash *content, struct err *err)
{
	err_code rc = db_run(state_writer(s), NULL, err, "DELETE FROM blocks WHERE content = $1", DB_HASH(content));

	return rc ? rc : db_run(state_writer(s), NULL, err, "DELETE FROM blocks_stale WHERE content = $1", DB_HASH(content));
}

/* ---- pruning -------------------------------------------------------------------------------------------------------------------- */

err_code
blocks_unnamed(struct db_tx *tx, const struct hash *content, struct err *err)
{
	return db_run(tx, NULL, err,
	    "INSERT INTO blocks_stale (content, since) SELECT content, $2 FROM blocks WHERE content = $1 AND page = 0"
	    " ON CONFLICT (content) DO UPDATE SET since = excluded.since",
	    DB_HASH(content), DB_I64(clock_wall_us()));
}

/* The list that has been unnamed for longest, if before ${before_us}: *found. */
static err_code
stale_next(struct db_tx *tx, int64_t before_us, struct hash *content, bool *found, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(tx, &st, err, "SELECT content FROM blocks_stale WHERE since < $1 ORDER BY since LIMIT 1",
	    DB_I64(before_us));

	if (!rc)
		rc = db_step(st, found, err);
	if (rc || !*found)
		return rc;
	return column_fixed(st, 0, content->b, sizeof content->b) ? ERR_OK : column_damaged(err, "blocks_stale");
}

static err_code
is_named(struct db_tx *tx, const struct hash *content, bool *named, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(tx, &st, err, "SELECT 1 FROM base WHERE content = $1 AND kind = 0 LIMIT 1", DB_HASH(content));

	return rc ? rc : db_step(st, named, err);
}

/* The number of pages up to the last. */
static err_code
page_count(struct db_tx *tx, const struct hash *content, int64_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query(tx, &st, err, "SELECT page FROM blocks WHERE content = $1 ORDER BY page DESC LIMIT 1", DB_HASH(content));

	if (!rc)
		rc = db_step(st, &row, err);
	*n = !rc && row ? db_i64(st, 0) + 1 : 0;
	return rc;
}

/* Take pages off the list's end, up to what is left of the budget; a look costs one.  *done: it is all gone, or stays. */
static err_code
prune_one(struct db_tx *tx, const struct hash *content, uint32_t *pages, bool *done, struct err *err)
{
	bool named = false;
	int64_t n = 0, keep;
	err_code rc = is_named(tx, content, &named, err);

	*done = named;
	if (rc || named) {
		*pages -= 1;
		return rc;
	}
	rc = page_count(tx, content, &n, err);
	if (rc)
		return rc;
	keep = MAX(0, n - (int64_t)*pages);
	*pages -= (uint32_t)MAX(1, n - keep);
	*done = keep == 0;
	return db_run(tx, NULL, err, "DELETE FROM blocks WHERE content = $1 AND page >= $2", DB_HASH(content), DB_I64(keep));
}

err_code
state_blocks_prune(struct state *s, int64_t before_us, uint32_t pages, struct err *err)
{
	struct db_tx *tx = state_writer(s);
	struct hash content;
	bool found = true, done;
	err_code rc = ERR_OK;

	while (!rc && pages > 0) {
		rc = stale_next(tx, before_us, &content, &found, err);
		if (rc || !found)
			break;
		rc = prune_one(tx, &content, &pages, &done, err);
		if (!rc && done)
			rc = db_run(tx, NULL, err, "DELETE FROM blocks_stale WHERE content = $1", DB_HASH(&content));
	}
	return rc;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

static err_code
weak_read(struct db_stmt *st, uint32_t n, struct arena *a, const uint32_t **weak, struct err *err)
{
	size_t len;
	const uint8_t *p = db_bytes(st, 1, &len);
	uint32_t *out;

	*weak = NULL;
	if (len == 0)
		return ERR_OK;
	if (len != (size_t)n * WEAK_LEN)
		return column_damaged(err, "blocks");
	out = arena_array(a, n, sizeof *out);
	if (!out)
		return err_set(err, ERR_NO_MEM, "no room for a block list");
	for (uint32_t i = 0; i < n; i++)
		out[i] = get_u32le(p + (size_t)i * WEAK_LEN);
	*weak = out;
	return ERR_OK;
}

static err_code
blocks_read(struct view *v, const struct hash *content, uint32_t page, struct arena *a, const uint8_t **packed, size_t *len,
    const uint32_t **weak, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	const uint8_t *p;
	bool row = false;
	err_code rc = db_query(v->tx, &st, err, "SELECT packed, weak, page_sum FROM blocks WHERE content = $1 AND page = $2",
	    DB_HASH(content), DB_I64(page));

	if (!rc)
		rc = db_step(st, &row, err);
	if (rc)
		return rc;
	if (!row || !blocks_page_holds(content, page, st, 0))
		return err_set(err, ERR_NOT_FOUND, "the content's block list is not known");
	p = db_bytes(st, 0, len);
	if (!page_sound(p, *len))
		return column_damaged(err, "blocks");
	*packed = arena_memdup(a, p, *len);
	if (!*packed)
		return err_set(err, ERR_NO_MEM, "no room for a block list");
	return weak_read(st, page_blocks(p), a, weak, err);
}

err_code
state_blocks_get(struct state *s, const struct hash *content, uint32_t page, struct arena *a, const uint8_t **packed, size_t *len,
    const uint32_t **weak, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = blocks_read(&v, content, page, a, packed, len, weak, err);
	view_end(&v);
	return rc;
}

static err_code
find_rows(struct view *v, const struct hash *block, struct state_block_at *out, size_t max, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query(v->tx, &st, err, "SELECT content, page FROM blocks WHERE first = $1 LIMIT $2", DB_HASH(block),
	    DB_I64(max));

	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		if (!column_fixed(st, 0, out[*n].content.b, sizeof out[*n].content.b))
			return column_damaged(err, "blocks");
		out[(*n)++].page = (uint32_t)db_i64(st, 1);
	}
	return rc;
}

err_code
state_blocks_find(struct state *s, const struct hash *block, struct state_block_at *out, size_t max, size_t *n, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	*n = 0;
	if (rc)
		return rc;
	rc = find_rows(&v, block, out, max, n, err);
	view_end(&v);
	return rc;
}
