/*
 * The journal of uploads.  A handful of rows: as many as large files were being sent when a run ended, so none needs an index.
 */
#include <assert.h>

#include "client/state/state_internal.h"

#define COLUMNS "transfer, path, dev, ino, size, mtime_ns, ctime_ns, base, started_at"

static err_code
upload_row(struct db_stmt *st, struct arena *a, struct state_upload *out, struct err *err)
{
	*out = (struct state_upload){
		.path = arena_strdup(a, db_text(st, 1, NULL)),
		.dev = (uint64_t)db_i64(st, 2),
		.ino = (uint64_t)db_i64(st, 3),
		.size = db_i64(st, 4),
		.mtime_ns = db_i64(st, 5),
		.ctime_ns = db_i64(st, 6),
		.started_at = db_i64(st, 8),
	};
	if (!out->path)
		return err_set(err, ERR_NO_MEM, "no room for an upload");
	if (!column_fixed(st, 0, out->transfer.b, sizeof out->transfer.b) || !column_fixed(st, 7, out->base.b, sizeof out->base.b))
		return column_damaged(err, "uploads");
	return ERR_OK;
}

err_code
state_upload_put(struct state *s, const struct state_upload *u, struct err *err)
{
	assert(!id_is_zero(&u->transfer));
	return db_run(state_writer(s), NULL, err,
	    "INSERT INTO uploads (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	    " ON CONFLICT (transfer) DO UPDATE SET path = excluded.path, dev = excluded.dev, ino = excluded.ino, size = excluded.size,"
	    " mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, base = excluded.base, started_at = excluded.started_at",
	    DB_ID(&u->transfer), DB_TEXT(u->path), DB_I64(u->dev), DB_I64(u->ino), DB_I64(u->size), DB_I64(u->mtime_ns),
	    DB_I64(u->ctime_ns), DB_HASH(&u->base), DB_I64(u->started_at));
}

err_code
state_upload_remove(struct state *s, const struct id *transfer, struct err *err)
{
	return db_run(state_writer(s), NULL, err, "DELETE FROM uploads WHERE transfer = $1", DB_ID(transfer));
}

static err_code
uploads_read(struct view *v, struct arena *a, struct state_upload *out, size_t max, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM uploads ORDER BY started_at DESC, transfer LIMIT $1",
	    DB_I64(max));

	while (!rc && !(rc = db_step(st, &row, err)) && row)
		rc = upload_row(st, a, &out[(*n)++], err);
	return rc;
}

err_code
state_upload_list(struct state *s, struct arena *a, struct state_upload *out, size_t max, size_t *n, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	*n = 0;
	if (rc)
		return rc;
	rc = uploads_read(&v, a, out, max, n, err);
	view_end(&v);
	return rc;
}
