/*
 * What the server has changed and is not yet here.
 */
#include "client/state/state_internal.h"

#define COLUMNS "id, path, kind, size, mode, mtime_ns, content, target, version, deleted, extra"

/* ---- pending -------------------------------------------------------------------------------------------------------------------- */

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
	err_code rc = db_run(state_writer(s), &gone, err, "DELETE FROM pending WHERE id = $1", DB_ID(id));

	removed(s, gone);
	return rc;
}

err_code
state_pending_remove_from(struct state *s, const struct id *id, const char *path, struct err *err)
{
	int64_t gone = 0;
	err_code rc = db_run(state_writer(s), &gone, err, "DELETE FROM pending WHERE id = $1 AND (deleted = 1 OR path = $2)",
	    DB_ID(id), DB_TEXT(path));

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
	s->totals.pending = 0;
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
tell_rows(struct db_stmt *st, uint64_t *told, pending_fn fn, void *ctx, struct err *err)
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
		++*told;
	}
	return rc;
}

#define IS_NEW "deleted = 0 AND kind <> 1 AND NOT EXISTS (SELECT 1 FROM base WHERE base.id = pending.id)"

static err_code
tell_known(struct view *v, uint64_t *told, pending_fn fn, void *ctx, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query_values(v->tx, &st, err, "SELECT " COLUMNS " FROM pending WHERE NOT (" IS_NEW ") ORDER BY id", NULL, 0);

	return rc ? rc : tell_rows(st, told, fn, ctx, err);
}

static err_code
tell_new(struct view *v, uint64_t max, uint64_t *told, pending_fn fn, void *ctx, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM pending WHERE " IS_NEW " ORDER BY id LIMIT $1",
	    DB_I64(MIN(max, (uint64_t)INT64_MAX)));

	return rc ? rc : tell_rows(st, told, fn, ctx, err);
}

err_code
state_pending_each(struct state *s, uint64_t new_max, uint64_t *left, pending_fn fn, void *ctx, struct err *err)
{
	struct state_totals totals;
	uint64_t told = 0;
	struct view v;
	err_code rc = view_begin(s, &v, err);

	*left = 0;
	if (rc)
		return rc;
	rc = totals_of(s, &v, &totals, err);
	if (rc == ERR_OK)
		rc = tell_known(&v, &told, fn, ctx, err);
	if (rc == ERR_OK)
		rc = tell_new(&v, new_max, &told, fn, ctx, err);
	if (rc == ERR_OK)
		*left = totals.pending - MIN(told, totals.pending);
	view_end(&v);
	return rc;
}
