/* What a project keeps of its history, over SQL. */
#include "server/meta/meta_sql_internal.h"

#include <assert.h>

/* ---- policy ------------------------------------------------------------------------------------------------------------ */

err_code
sql_project_policy(struct meta_tx *tx, const struct id *id, const struct policy *p, struct err *err)
{
	static const char sql[] = "UPDATE projects SET keep_versions = $2, keep_days = $3, quota_bytes = $4 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_I64(p->keep_versions), DB_I64(p->keep_days), DB_I64(p->quota_bytes));

	return sql_found(rc, n, "project", err);
}

err_code
sql_project_stored(struct meta_tx *tx, const struct id *id, int64_t delta, struct err *err)
{
	static const char sql[] = "UPDATE projects SET stored_bytes = stored_bytes + $2 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_I64(delta));

	return sql_found(rc, n, "project", err);
}

/* ---- versions ---------------------------------------------------------------------------------------------------------- */

static void
read_history_file(struct row *r, void *out)
{
	struct history_file *f = out;

	row_id(r, &f->file);
	f->count = row_i64(r);
	f->oldest = row_i64(r);
}

err_code
sql_history_files(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit, struct history_file **out,
    size_t *n, struct err *err)
{
	static const char sql[] = "SELECT file_id, count(*), min(version) FROM file_versions WHERE project_id = $1 AND file_id > $2"
				  " GROUP BY file_id ORDER BY file_id LIMIT $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(after), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_history_file, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_version_nth(struct meta_tx *tx, const struct id *project, const struct id *file, unsigned nth, int64_t *version,
    struct err *err)
{
	static const char sql[] = "SELECT version FROM file_versions WHERE project_id = $1 AND file_id = $2 AND deleted = 0"
				  " ORDER BY version DESC LIMIT 1 OFFSET $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool any;
	err_code rc;

	assert(nth >= 1);
	*version = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(file), DB_I64(nth - 1));
	if (!rc)
		rc = sql_any(st, &any, err);
	if (!rc && any)
		*version = db_i64(st, 0);
	return rc;
}

err_code
sql_version_prune(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit, unsigned *n,
    struct err *err)
{
	static const char sql[] = "DELETE FROM file_versions WHERE project_id = $1 AND file_id = $2 AND version IN"
				  " (SELECT version FROM file_versions WHERE project_id = $1 AND file_id = $2 AND version < $3"
				  " ORDER BY version LIMIT $4)";
	int64_t gone = 0;
	err_code rc = sql_run(tx, &gone, err, sql, DB_ID(project), DB_ID(file), DB_I64(before), DB_I64(limit));

	*n = (unsigned)gone;
	return rc;
}

/* ---- how far the walk is ----------------------------------------------------------------------------------------------- */

err_code
sql_history_walk_put(struct meta_tx *tx, const struct id *project, const struct history_walk *w, struct err *err)
{
	static const char sql[] = "INSERT INTO history_walks (project_id, file_id, ended_at) VALUES ($1, $2, $3)"
				  " ON CONFLICT (project_id) DO UPDATE SET file_id = excluded.file_id, ended_at = excluded.ended_at";

	return sql_run(tx, NULL, err, sql, DB_ID(project), DB_ID(&w->file), DB_I64(w->ended_at));
}

static void
read_walk(struct row *r, void *out)
{
	struct history_walk *w = out;

	row_id(r, &w->file);
	w->ended_at = row_i64(r);
}

err_code
sql_history_walk_get(struct meta_tx *tx, const struct id *project, struct history_walk *out, struct err *err)
{
	static const char sql[] = "SELECT file_id, ended_at FROM history_walks WHERE project_id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	*out = (struct history_walk){ .ended_at = 0 };
	rc = sql_query(tx, &st, err, sql, DB_ID(project));
	if (rc)
		return rc;
	rc = sql_one(tx, st, read_walk, out, "walk", err);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}
