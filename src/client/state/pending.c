/*
 * What the server has changed and is not yet here.
 */
#include "client/state/state_internal.h"

#define COLUMNS "id, path, kind, size, mode, mtime_ns, content, target, version, deleted, extra"

/* ---- pending -------------------------------------------------------------------------------------------------------------------- */

static err_code pending_entry(struct db_stmt *st, struct entry *e, struct err *err);

/* A row of which the mark goes, or comes: it counts on the other side now (S5). */
static void
marked(struct state *s, const struct entry *e, bool left_out)
{
	struct hash h = entry_digest(e);

	if (left_out)
		digest_add(&s->totals.left_out_digest, &h);
	else
		digest_sub(&s->totals.left_out_digest, &h);
	s->totals.left_out += left_out ? 1 : UINT64_MAX;
	s->totals.pending += left_out ? UINT64_MAX : 1;
	s->totals_changed = true;
}

/* Before the row goes, its mark does; then removing it is the same for all. */
static err_code
unmark(struct state *s, const struct id *id, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct entry e;
	bool row = false;
	err_code rc;

	if (s->totals.left_out == 0)
		return ERR_OK;
	rc = db_query(state_writer(s), &st, err, "SELECT " COLUMNS " FROM pending WHERE id = $1 AND left_out = 1", DB_ID(id));
	if (!rc)
		rc = db_step(st, &row, err);
	if (!rc && row)
		rc = pending_entry(st, &e, err);
	if (!rc && row)
		marked(s, &e, false);
	return rc;
}

static void
removed(struct state *s, int64_t gone)
{
	if (gone > 0) {
		s->totals.pending -= (uint64_t)gone;
		s->totals_changed = true;
	}
}

err_code
state_pending_remove(struct state *s, const struct id *id, struct err *err)
{
	int64_t gone = 0;
	err_code rc = unmark(s, id, err);

	if (rc == ERR_OK)
		rc = db_run(state_writer(s), &gone, err, "DELETE FROM pending WHERE id = $1", DB_ID(id));
	removed(s, gone);
	return rc;
}

err_code
state_pending_remove_from(struct state *s, const struct id *id, const char *path, struct err *err)
{
	int64_t gone = 0;
	/* What is left out is under a name that base has not. */
	err_code rc = db_run(state_writer(s), &gone, err,
	    "DELETE FROM pending WHERE id = $1 AND left_out = 0 AND (deleted = 1 OR path = $2)", DB_ID(id), DB_TEXT(path));

	removed(s, gone);
	return rc;
}

err_code
state_pending_put(struct state *s, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO pending (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
	err_code rc = state_pending_remove(s, &e->id, err);

	if (rc)
		return rc;
	s->totals.pending++;
	s->totals_changed = true;
	return db_run(state_writer(s), NULL, err, sql, DB_ID(&e->id), DB_TEXT(e->path), DB_I64(e->kind), DB_I64(e->size),
	    DB_I64(e->mode), DB_I64(e->mtime_ns), DB_HASH(&e->content), DB_TEXT(e->target ? e->target : ""), DB_I64(e->version),
	    DB_I64(deleted), DB_BYTES(extra_len > 0 ? extra : (const uint8_t *)"", extra_len));
}

err_code
state_pending_clear(struct state *s, struct err *err)
{
	s->totals.pending = s->totals.left_out = 0;
	s->totals.left_out_digest = (struct hash){ 0 };
	s->totals_changed = true;
	return db_run_values(state_writer(s), NULL, err, "DELETE FROM pending", NULL, 0);
}

static err_code
pending_entry(struct db_stmt *st, struct entry *e, struct err *err)
{
	*e = (struct entry){
		.path = db_text(st, 1, NULL),
		.kind = (enum entry_kind)db_i64(st, 2),
		.size = db_i64(st, 3),
		.mode = (uint32_t)db_i64(st, 4),
		.mtime_ns = db_i64(st, 5),
		.content_known = true,
		.target = db_text(st, 7, NULL),
		.version = db_i64(st, 8),
	};
	if (!column_fixed(st, 0, e->id.b, sizeof e->id.b) || !column_fixed(st, 6, e->content.b, sizeof e->content.b))
		return column_damaged(err, "pending");
	return ERR_OK;
}

typedef err_code (*pending_fn)(void *ctx, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *err);

static err_code
tell_rows(struct db_stmt *st, struct entry_sum *told, pending_fn fn, void *ctx, struct err *err)
{
	err_code rc = ERR_OK;
	bool row = false;

	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		struct entry e;
		const uint8_t *extra;
		size_t extra_len;

		rc = pending_entry(st, &e, err);
		extra = db_bytes(st, 10, &extra_len);
		if (!rc)
			rc = fn(ctx, &e, db_i64(st, 9) != 0, extra, extra_len, err);
		entry_sum_add(told, &e);
	}
	return rc;
}

#define IS_NEW "deleted = 0 AND kind <> 1 AND NOT EXISTS (SELECT 1 FROM base WHERE base.id = pending.id)"

static err_code
tell_known(struct view *v, struct entry_sum *told, pending_fn fn, void *ctx, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query_values(v->tx, &st, err, "SELECT " COLUMNS " FROM pending WHERE left_out = 0 AND NOT (" IS_NEW ") ORDER BY id", NULL, 0);

	return rc ? rc : tell_rows(st, told, fn, ctx, err);
}

static err_code
tell_new(struct view *v, uint64_t max, struct entry_sum *told, pending_fn fn, void *ctx, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM pending WHERE left_out = 0 AND " IS_NEW " ORDER BY id LIMIT $1",
	    DB_I64(MIN(max, (uint64_t)INT64_MAX)));

	return rc ? rc : tell_rows(st, told, fn, ctx, err);
}

/* All that is new, less what of it was told. */
static err_code
sum_left(struct view *v, uint64_t entries, const struct entry_sum *told, struct entry_sum *left, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = ERR_OK;

	*left = (struct entry_sum){ .entries = entries };
	if (entries == 0)
		return ERR_OK;
	rc = db_query_values(v->tx, &st, err, "SELECT count(*), sum(size) FROM pending WHERE left_out = 0 AND kind = 0 AND " IS_NEW, NULL, 0);
	if (!rc)
		rc = db_step(st, &row, err);
	if (rc || !row)
		return rc;
	left->files = (uint64_t)db_i64(st, 0) - told->files;
	left->bytes = (uint64_t)db_i64(st, 1) - told->bytes;
	return ERR_OK;
}

err_code
state_pending_each(struct state *s, uint64_t new_max, struct entry_sum *left, pending_fn fn, void *ctx, struct err *err)
{
	struct entry_sum known = { 0 }, told = { 0 };
	struct state_totals totals;
	struct view v;
	err_code rc = view_begin(s, &v, err);

	*left = (struct entry_sum){ 0 };
	if (rc)
		return rc;
	rc = totals_of(s, &v, &totals, err);
	if (rc == ERR_OK)
		rc = tell_known(&v, &known, fn, ctx, err);
	if (rc == ERR_OK)
		rc = tell_new(&v, new_max, &told, fn, ctx, err);
	if (rc == ERR_OK)
		rc = sum_left(&v, totals.pending - MIN(known.entries + told.entries, totals.pending), &told, left, err);
	view_end(&v);
	return rc;
}

/* ---- what is left out -------------------------------------------------------------------------------------------------------------- */

/* What the server has said of the file: nothing new, that it lives, or that it is gone. */
static err_code
pending_word(struct state *s, const struct id *id, bool *said, bool *deleted, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(state_writer(s), &st, err, "SELECT deleted FROM pending WHERE id = $1", DB_ID(id));

	if (!rc)
		rc = db_step(st, said, err);
	*deleted = !rc && *said && db_i64(st, 0) != 0;
	return rc;
}

err_code
state_leave(struct state *s, const struct entry *e, struct err *err)
{
	bool said = false, deleted = false;
	err_code rc = pending_word(s, &e->id, &said, &deleted, err);

	if (rc == ERR_OK)
		rc = state_base_remove(s, e->path, err);
	if (rc == ERR_OK && deleted)
		rc = state_pending_remove(s, &e->id, err);
	if (rc == ERR_OK && !said)
		rc = state_pending_put(s, e, false, NULL, 0, err);
	return rc;
}

err_code
state_left_out_put(struct state *s, const struct entry *e, bool left_out, struct err *err)
{
	int64_t changed = 0;
	err_code rc = db_run(state_writer(s), &changed, err,
	    "UPDATE pending SET left_out = $2 WHERE id = $1 AND left_out <> $2 AND deleted = 0", DB_ID(&e->id), DB_I64(left_out));

	if (rc == ERR_OK && changed)
		marked(s, e, left_out);
	return rc;
}

err_code
state_left_out_each(struct state *s, err_code (*fn)(void *ctx, const struct entry *e, struct err *err), void *ctx, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct view v;
	bool row = false;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = db_query_values(v.tx, &st, err, "SELECT " COLUMNS " FROM pending WHERE left_out = 1 ORDER BY id", NULL, 0);
	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		struct entry e;

		rc = pending_entry(st, &e, err);
		if (!rc)
			rc = fn(ctx, &e, err);
	}
	db_resetp(&st);
	view_end(&v);
	return rc;
}
