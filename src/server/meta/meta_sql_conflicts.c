/* Conflicts, over SQL. */
#include "server/meta/meta_sql_internal.h"

#define COLUMNS "copy_id, file_id, file_version, device_id, created_at, resolved_at, resolved_by, resolution"

static void
read_conflict(struct row *r, void *out)
{
	struct conflict *c = out;

	row_id(r, &c->copy);
	row_id(r, &c->file);
	c->file_version = row_i64(r);
	row_id(r, &c->device);
	c->created_at = row_i64(r);
	c->resolved_at = row_i64(r);
	row_id(r, &c->resolved_by);
	c->resolution = (enum resolution)row_i64(r);
}

err_code
sql_conflict_add(struct meta_tx *tx, const struct id *project, const struct conflict *c, struct err *err)
{
	static const char sql[] = "INSERT INTO conflicts (project_id, " COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 0)"
				  " ON CONFLICT (project_id, copy_id) DO NOTHING";
	static const struct id nobody;

	return sql_run(tx, NULL, err, sql, DB_ID(project), DB_ID(&c->copy), DB_ID(&c->file), DB_I64(c->file_version),
	    DB_ID(&c->device), DB_I64(c->created_at), DB_ID(&nobody));
}

err_code
sql_conflict_get(struct meta_tx *tx, const struct id *project, const struct id *copy, struct conflict *out, struct err *err)
{
	static const char sql[] = "SELECT " COLUMNS " FROM conflicts WHERE project_id = $1 AND copy_id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(copy));

	return rc ? rc : sql_one(tx, st, read_conflict, out, "conflict", err);
}

err_code
sql_conflict_end(struct meta_tx *tx, const struct id *project, const struct conflict *c, bool *ended, struct err *err)
{
	static const char sql[] = "UPDATE conflicts SET resolved_at = $3, resolved_by = $4, resolution = $5"
				  " WHERE project_id = $1 AND copy_id = $2 AND resolved_at = 0";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(project), DB_ID(&c->copy), DB_I64(c->resolved_at), DB_ID(&c->resolved_by),
	    DB_I64(c->resolution));

	*ended = n > 0;
	return rc;
}

/* The condition stands in the text: an engine takes an index over a part of the rows only where it sees that part named. */
#define PAGE(which) \
	"SELECT " COLUMNS " FROM conflicts WHERE project_id = $1 AND created_at > $2" which " ORDER BY created_at LIMIT $3"
static const char *const list_sql[] = {
	[CONFLICTS_ALL] = PAGE(""),
	[CONFLICTS_OPEN] = PAGE(" AND resolved_at = 0"),
	[CONFLICTS_RESOLVED] = PAGE(" AND resolved_at > 0"),
};

err_code
sql_conflict_list(struct meta_tx *tx, const struct id *project, enum conflict_which which, int64_t after, unsigned limit,
    struct conflict **out, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, list_sql[which], DB_ID(project), DB_I64(after), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_conflict, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}
