/*
 * What the garbage collector asks and removes, over SQL.  Every listing is a range of an index in its order, so that a walk over
 * a whole project is many small transactions and costs the same however often it stops.
 */
#include "server/meta/meta_sql_internal.h"

/* ---- chunks ------------------------------------------------------------------------------------------------------------ */

err_code
sql_chunk_touch(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t used_at, struct err *err)
{
	static const char sql[] = "UPDATE chunks SET used_at = $3 WHERE project_id = $1 AND id = $2";

	return sql_send(tx, err, sql, DB_ID(project), DB_HASH(id), DB_I64(used_at));
}

err_code
sql_chunk_list(struct meta_tx *tx, const struct id *project, const struct hash *after, unsigned limit, struct chunk **out,
    size_t *n, struct err *err)
{
	static const char sql[] = "SELECT " SQL_CHUNK_COLUMNS " FROM chunks WHERE project_id = $1 AND id > $2 ORDER BY id LIMIT $3";
	size_t len = after ? sizeof after->b : 0; /* no bytes sort before all others */
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_BYTES(after ? after->b : (const uint8_t *)"", len), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, sql_read_chunk, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

static void
read_len(struct row *r, void *out)
{
	*(int64_t *)out = row_i64(r);
}

err_code
sql_chunk_sweep(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t before_us, bool *gone, struct err *err)
{
	static const char sql[] = "DELETE FROM chunks WHERE project_id = $1 AND id = $2 AND used_at < $3 RETURNING stored_len";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	int64_t len = 0;
	err_code rc;

	*gone = false;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_HASH(id), DB_I64(before_us));
	if (!rc)
		rc = sql_one(tx, st, read_len, &len, "chunk", err);
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	db_resetp(&st);
	*gone = true;
	return sql_project_stored(tx, project, -len, err);
}

/* ---- block lists ------------------------------------------------------------------------------------------------------- */

err_code
sql_list_named(struct meta_tx *tx, const struct id *project, const struct id *list, bool *named, struct err *err)
{
	static const char sql[] = "SELECT 1 FROM file_versions WHERE project_id = $1 AND list = $2 AND kind = 0 AND deleted = 0 LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(list));

	return rc ? rc : sql_any(st, named, err);
}

err_code
sql_list_after(struct meta_tx *tx, const struct id *project, const struct id *after, struct id *out, struct err *err)
{
	static const char sql[] = "SELECT list FROM file_blocks WHERE project_id = $1 AND list > $2 ORDER BY list LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(
	    tx, &st, err, sql, DB_ID(project), DB_BYTES(after ? after->b : (const uint8_t *)"", after ? sizeof after->b : 0));
	return rc ? rc : sql_one(tx, st, sql_read_id, out, "block list", err);
}

static void
read_blocks_row(struct row *r, void *out)
{
	struct blocks_row *b = out;

	row_id(r, &b->list);
	b->page = (uint32_t)row_i64(r);
	b->packed = row_bytes(r, &b->len);
}

err_code
sql_blocks_list(struct meta_tx *tx, const struct id *project, const struct id *list, int64_t page, unsigned limit,
    struct blocks_row **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT list, page, packed FROM file_blocks"
				  " WHERE project_id = $1 AND (list, page) > ($2, $3) ORDER BY list, page LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(list), DB_I64(page), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_blocks_row, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_blocks_replace(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t *packed,
    size_t len, struct err *err)
{
	static const char sql[] = "UPDATE file_blocks SET packed = $4 WHERE project_id = $1 AND list = $2 AND page = $3";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(project), DB_ID(list), DB_I64(page), DB_BYTES(packed, len));

	return sql_found(rc, n, "page of a block list", err);
}

err_code
sql_blocks_drop(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t last, struct err *err)
{
	static const char sql[] = "DELETE FROM file_blocks WHERE project_id = $1 AND list = $2 AND page <= $3";

	return sql_run(tx, NULL, err, sql, DB_ID(project), DB_ID(list), DB_I64(last));
}

/* ---- transfers --------------------------------------------------------------------------------------------------------- */

err_code
sql_transfer_open_list(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit, struct id **out,
    size_t *n, struct err *err)
{
	static const char sql[] =
	    "SELECT id FROM file_transfers WHERE project_id = $1 AND state = 0 AND id > $2 ORDER BY id LIMIT $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project),
	    DB_BYTES(after ? after->b : (const uint8_t *)"", after ? sizeof after->b : 0), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, sql_read_id, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

static void
read_page(struct row *r, void *out)
{
	struct transfer_page *p = out;

	p->first = row_i64(r);
	p->packed = row_bytes(r, &p->len);
}

err_code
sql_transfer_blocks_list(struct meta_tx *tx, const struct id *transfer, int64_t after, unsigned limit, struct transfer_page **out,
    size_t *n, struct err *err)
{
	static const char sql[] = "SELECT first_block, packed FROM file_transfer_blocks WHERE transfer_id = $1 AND first_block > $2"
				  " ORDER BY first_block LIMIT $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(transfer), DB_I64(after), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_page, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_transfer_forget(struct meta_tx *tx, int64_t before_us, unsigned limit, unsigned *n, struct err *err)
{
	static const char sql[] = "DELETE FROM file_transfers WHERE id IN"
				  " (SELECT id FROM file_transfers WHERE state <> 0 AND ended_at < $1 ORDER BY ended_at LIMIT $2)";
	int64_t gone = 0;
	err_code rc = sql_run(tx, &gone, err, sql, DB_I64(before_us), DB_I64(limit));

	*n = (unsigned)gone;
	return rc;
}

/* ---- objects ----------------------------------------------------------------------------------------------------------- */

err_code
sql_object_named(struct meta_tx *tx, const struct id *project, const struct hash *object, bool *named, struct err *err)
{
	static const char chunks[] = "SELECT 1 FROM chunks WHERE project_id = $1 AND id = $2";
	static const char snapshots[] = "SELECT 1 FROM project_snapshots WHERE project_id = $1 AND object = $2 LIMIT 1";
	AUTO(db_resetp) struct db_stmt *c = NULL;
	AUTO(db_resetp) struct db_stmt *s = NULL;
	err_code rc;

	rc = sql_query(tx, &c, err, chunks, DB_ID(project), DB_HASH(object));
	if (!rc)
		rc = sql_any(c, named, err);
	if (rc || *named)
		return rc;
	rc = sql_query(tx, &s, err, snapshots, DB_ID(project), DB_HASH(object));
	return rc ? rc : sql_any(s, named, err);
}
