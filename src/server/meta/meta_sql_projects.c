/* Projects, devices and grants over SQL. */
#include "server/meta/meta_sql_internal.h"

#include <assert.h>

/* ---- projects ---------------------------------------------------------------------------------------------------------- */

#define PROJECT_COLUMNS \
	"p.id, p.name, p.epoch, p.clock, p.horizon, p.digest, p.file_count, p.total_bytes, p.created_at," \
	" p.keep_versions, p.keep_days, p.quota_bytes, p.stored_bytes"

static void
read_project(struct row *r, void *out)
{
	struct project *p = out;

	row_id(r, &p->id);
	p->name = row_text(r);
	row_id(r, &p->epoch);
	p->clock = row_i64(r);
	p->horizon = row_i64(r);
	row_hash(r, &p->digest);
	p->file_count = row_i64(r);
	p->total_bytes = row_i64(r);
	p->created_at = row_i64(r);
	p->policy.keep_versions = row_i64(r);
	p->policy.keep_days = row_i64(r);
	p->policy.quota_bytes = row_i64(r);
	p->stored_bytes = row_i64(r);
}

err_code
sql_project_add(struct meta_tx *tx, const struct project *p, struct err *err)
{
	static const char sql[] = "INSERT INTO projects (id, name, epoch, clock, horizon, digest, file_count, total_bytes, created_at,"
				  " keep_versions, keep_days, quota_bytes)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING";
	int64_t added;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(&p->id), DB_TEXT(p->name), DB_ID(&p->epoch), DB_I64(p->clock), DB_I64(p->horizon),
	    DB_HASH(&p->digest), DB_I64(p->file_count), DB_I64(p->total_bytes), DB_I64(p->created_at),
	    DB_I64(p->policy.keep_versions), DB_I64(p->policy.keep_days), DB_I64(p->policy.quota_bytes));
	if (rc || added)
		return rc;
	return err_set(err, ERR_EXISTS, "the project exists");
}

err_code
sql_project_get(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err)
{
	static const char sql[] = "SELECT " PROJECT_COLUMNS " FROM projects p WHERE p.id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(id));
	return rc ? rc : sql_one(tx, st, read_project, out, "project", err);
}

err_code
sql_project_rename(struct meta_tx *tx, const struct id *id, const char *name, struct err *err)
{
	static const char sql[] = "UPDATE projects SET name = $2 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_TEXT(name));

	return sql_found(rc, n, "project", err);
}

err_code
sql_project_epoch(struct meta_tx *tx, const struct id *id, const struct id *epoch, struct err *err)
{
	static const char sql[] = "UPDATE projects SET epoch = $2 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_ID(epoch));

	return sql_found(rc, n, "project", err);
}

/* All that hangs on a project goes with it: every table's foreign key says so. */
err_code
sql_project_delete(struct meta_tx *tx, const struct id *id, struct err *err)
{
	static const char sql[] = "DELETE FROM projects WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id));

	return sql_found(rc, n, "project", err);
}

err_code
sql_project_list(struct meta_tx *tx, const struct id *device, const struct id *after, unsigned limit, struct project **out,
    size_t *n, struct err *err)
{
	static const char all[] = "SELECT " PROJECT_COLUMNS " FROM projects p WHERE p.id > $1 ORDER BY p.id LIMIT $2";
	static const char granted[] = "SELECT " PROJECT_COLUMNS " FROM device_grants g JOIN projects p ON p.id = g.project_id"
				      " WHERE g.device_id = $3 AND g.project_id > $1 ORDER BY g.project_id LIMIT $2";
	struct db_value from = after ? DB_ID(after) : DB_BYTES("", 0); /* before every id */
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	if (device)
		rc = sql_query(tx, &st, err, granted, from, DB_I64(limit), DB_ID(device));
	else
		rc = sql_query(tx, &st, err, all, from, DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_project, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

static void
read_clock(struct row *r, void *out)
{
	*(int64_t *)out = row_i64(r);
}

err_code
sql_clock_take(struct meta_tx *tx, const struct id *project, int64_t now_us, unsigned n, int64_t *last, struct err *err)
{
	static const char sql[] = "UPDATE projects SET clock = greatest($2, clock + $3) WHERE id = $1 RETURNING clock";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc;

	assert(n >= 1);
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(now_us), DB_I64(n));
	if (!rc)
		rc = sql_one(tx, st, read_clock, last, "project", err);
	if (!rc)
		rc = db_step(st, &row, err); /* to its end: only then has the statement taken effect */
	if (!rc)
		db_tell(sql_db(tx), project, *last);
	return rc;
}

err_code
sql_project_total(struct meta_tx *tx, const struct id *project, const struct hash *digest, int64_t file_count,
    int64_t total_bytes, struct err *err)
{
	static const char sql[] = "UPDATE projects SET digest = $2, file_count = $3, total_bytes = $4 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(project), DB_HASH(digest), DB_I64(file_count), DB_I64(total_bytes));

	return sql_found(rc, n, "project", err);
}

/* ---- devices ----------------------------------------------------------------------------------------------------------- */

#define DEVICE_COLUMNS "d.id, d.name, d.kind, d.token_hash, d.created_at, d.last_seen_at, d.revoked_at"

static void
read_device(struct row *r, void *out)
{
	struct device *d = out;

	row_id(r, &d->id);
	d->name = row_text(r);
	d->kind = (enum device_kind)row_i64(r);
	row_hash(r, &d->token_hash);
	d->created_at = row_i64(r);
	d->last_seen_at = row_i64(r);
	d->revoked_at = row_i64(r);
}

err_code
sql_device_add(struct meta_tx *tx, const struct device *d, struct err *err)
{
	static const char sql[] = "INSERT INTO devices (id, name, kind, token_hash, created_at, last_seen_at, revoked_at)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
	int64_t added;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(&d->id), DB_TEXT(d->name), DB_I64(d->kind), DB_HASH(&d->token_hash),
	    DB_I64(d->created_at), DB_I64(d->last_seen_at), DB_I64(d->revoked_at));
	if (rc || added)
		return rc;
	return err_set(err, ERR_EXISTS, "the device exists");
}

err_code
sql_device_get(struct meta_tx *tx, const struct id *id, struct device *out, struct err *err)
{
	static const char sql[] = "SELECT " DEVICE_COLUMNS " FROM devices d WHERE d.id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(id));
	return rc ? rc : sql_one(tx, st, read_device, out, "device", err);
}

static void
read_token_row(struct row *r, void *out)
{
	struct token_row *t = out;

	read_device(r, &t->device);
	t->role = (enum role)row_i64(r); /* NULL reads as 0, which is ROLE_NONE */
	t->exists = !row_null(r);
	if (t->exists)
		read_project(r, &t->project);
}

err_code
sql_token_get(struct meta_tx *tx, const struct hash *token_hash, const struct id *project, struct token_row *out, struct err *err)
{
	static const char sql[] = "SELECT " DEVICE_COLUMNS ", g.role, " PROJECT_COLUMNS " FROM devices d"
				  " LEFT JOIN device_grants g ON g.device_id = d.id AND g.project_id = $2"
				  " LEFT JOIN projects p ON p.id = $2 WHERE d.token_hash = $1";
	static const struct id none;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_HASH(token_hash), DB_ID(project ? project : &none));
	return rc ? rc : sql_one(tx, st, read_token_row, out, "device", err);
}

err_code
sql_device_revoke(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err)
{
	static const char sql[] = "UPDATE devices SET revoked_at = CASE revoked_at WHEN 0 THEN $2 ELSE revoked_at END WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_I64(now_us));

	return sql_found(rc, n, "device", err);
}

err_code
sql_device_seen(struct meta_tx *tx, const struct id *id, int64_t now_us, struct err *err)
{
	static const char sql[] = "UPDATE devices SET last_seen_at = $2 WHERE id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(id), DB_I64(now_us));

	return sql_found(rc, n, "device", err);
}

/* ---- grants ------------------------------------------------------------------------------------------------------------ */

err_code
sql_grant_set(struct meta_tx *tx, const struct grant *g, struct err *err)
{
	static const char put[] = "INSERT INTO device_grants (device_id, project_id, role) VALUES ($1, $2, $3)"
				  " ON CONFLICT (device_id, project_id) DO UPDATE SET role = excluded.role";
	static const char take[] = "DELETE FROM device_grants WHERE device_id = $1 AND project_id = $2";

	if (g->role == ROLE_NONE)
		return sql_run(tx, NULL, err, take, DB_ID(&g->device), DB_ID(&g->project));
	return sql_run(tx, NULL, err, put, DB_ID(&g->device), DB_ID(&g->project), DB_I64(g->role));
}

err_code
sql_grant_get(struct meta_tx *tx, const struct id *device, const struct id *project, enum role *out, struct err *err)
{
	static const char sql[] = "SELECT role FROM device_grants WHERE device_id = $1 AND project_id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool any;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(device), DB_ID(project));
	if (!rc)
		rc = sql_any(st, &any, err);
	if (rc)
		return rc;
	*out = any ? (enum role)db_i64(st, 0) : ROLE_NONE;
	return ERR_OK;
}

/* Without a checkpoint its columns are NULL: zeros, which is what "no place yet" looks like. */
static void
read_device_row(struct row *r, void *out)
{
	struct device_row *d = out;
	bool placed;

	*d = (struct device_row){ .role = ROLE_NONE };
	read_device(r, &d->device);
	d->role = (enum role)row_i64(r);
	placed = row_i64(r) != 0;
	if (placed) {
		row_id(r, &d->checkpoint.epoch);
		d->checkpoint.clock = row_i64(r);
		d->checkpoint.updated_at = row_i64(r);
	}
	d->checkpoint.device = d->device.id;
	d->checkpoint.device_name = d->device.name;
}

err_code
sql_device_list(struct meta_tx *tx, const struct id *project, struct device_row **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT " DEVICE_COLUMNS ", g.role, CASE WHEN c.clock IS NULL THEN 0 ELSE 1 END,"
				  " c.epoch, c.clock, c.updated_at"
				  " FROM device_grants g JOIN devices d ON d.id = g.device_id"
				  " LEFT JOIN sync_checkpoints c ON c.project_id = g.project_id AND c.device_id = g.device_id"
				  " WHERE g.project_id = $1 AND d.revoked_at = 0 ORDER BY g.device_id";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project));
	if (!rc)
		rc = sql_all(tx, st, read_device_row, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}
