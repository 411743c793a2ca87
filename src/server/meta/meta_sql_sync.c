/* Snapshots, checkpoints and remembered answers over SQL: what lets a device go on from where it was. */
#include "server/meta/meta_sql_internal.h"

/* ---- snapshots --------------------------------------------------------------------------------------------------------- */

#define SNAPSHOT_COLUMNS \
	"id, format, clock, epoch, digest, object, stored_len, raw_len, file_count, total_bytes, created_at, expires_at"

static void
read_snapshot(struct row *r, void *out)
{
	struct snapshot *s = out;

	row_id(r, &s->id);
	s->format = (int)row_i64(r);
	s->clock = row_i64(r);
	row_id(r, &s->epoch);
	row_hash(r, &s->digest);
	row_hash(r, &s->object);
	s->stored_len = row_i64(r);
	s->raw_len = row_i64(r);
	s->file_count = row_i64(r);
	s->total_bytes = row_i64(r);
	s->created_at = row_i64(r);
	s->expires_at = row_i64(r);
}

err_code
sql_snapshot_add(struct meta_tx *tx, const struct id *project, const struct snapshot *s, struct err *err)
{
	static const char sql[] = "INSERT INTO project_snapshots (project_id, " SNAPSHOT_COLUMNS ")"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
				  " ON CONFLICT (project_id, id) DO NOTHING";
	int64_t added;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(project), DB_ID(&s->id), DB_I64(s->format), DB_I64(s->clock), DB_ID(&s->epoch),
	    DB_HASH(&s->digest), DB_HASH(&s->object), DB_I64(s->stored_len), DB_I64(s->raw_len), DB_I64(s->file_count),
	    DB_I64(s->total_bytes), DB_I64(s->created_at), DB_I64(s->expires_at));
	if (rc || added)
		return rc;
	return err_set(err, ERR_EXISTS, "the snapshot exists");
}

err_code
sql_snapshot_latest(struct meta_tx *tx, const struct id *project, int format, int64_t now_us, struct snapshot *out,
    struct err *err)
{
	static const char sql[] = "SELECT " SNAPSHOT_COLUMNS " FROM project_snapshots"
				  " WHERE project_id = $1 AND format = $2 AND expires_at > $3 ORDER BY clock DESC, id DESC LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(format), DB_I64(now_us));
	return rc ? rc : sql_one(tx, st, read_snapshot, out, "snapshot", err);
}

err_code
sql_snapshot_named(struct meta_tx *tx, const struct id *project, int format, const struct hash *object, int64_t now_us,
    struct snapshot *out, struct err *err)
{
	static const char sql[] = "SELECT " SNAPSHOT_COLUMNS " FROM project_snapshots WHERE project_id = $1 AND format = $2"
				  " AND object = $3 AND expires_at > $4 ORDER BY clock DESC, id DESC LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(format), DB_HASH(object), DB_I64(now_us));
	return rc ? rc : sql_one(tx, st, read_snapshot, out, "snapshot", err);
}

err_code
sql_snapshot_expire(struct meta_tx *tx, const struct id *project, int64_t now_us, struct snapshot **out, size_t *n,
    struct err *err)
{
	static const char sql[] = "DELETE FROM project_snapshots WHERE project_id = $1 AND expires_at <= $2"
				  " RETURNING " SNAPSHOT_COLUMNS;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(now_us));
	if (!rc)
		rc = sql_all(tx, st, read_snapshot, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------- */

err_code
sql_checkpoint_put(struct meta_tx *tx, const struct id *project, const struct checkpoint *c, struct err *err)
{
	static const char sql[] = "INSERT INTO sync_checkpoints (project_id, device_id, epoch, clock, updated_at)"
				  " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project_id, device_id)"
				  " DO UPDATE SET epoch = excluded.epoch, clock = excluded.clock, updated_at = excluded.updated_at";

	return sql_run(tx, NULL, err, sql, DB_ID(project), DB_ID(&c->device), DB_ID(&c->epoch), DB_I64(c->clock),
	    DB_I64(c->updated_at));
}

static void
read_checkpoint(struct row *r, void *out)
{
	struct checkpoint *c = out;

	row_id(r, &c->device);
	c->device_name = row_text(r);
	row_id(r, &c->epoch);
	c->clock = row_i64(r);
	c->updated_at = row_i64(r);
}

err_code
sql_checkpoint_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct checkpoint *out,
    struct err *err)
{
	static const char sql[] = "SELECT d.id, d.name, c.epoch, c.clock, c.updated_at"
				  " FROM sync_checkpoints c JOIN devices d ON d.id = c.device_id"
				  " WHERE c.project_id = $1 AND c.device_id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(device));
	return rc ? rc : sql_one(tx, st, read_checkpoint, out, "checkpoint", err);
}

/* ---- deletions within an hour ------------------------------------------------------------------------------------------ */

err_code
sql_delete_hour_put(struct meta_tx *tx, const struct id *project, const struct id *device, const struct delete_hour *h, struct err *err)
{
	static const char sql[] = "INSERT INTO delete_hours (project_id, device_id, began_at, clock, entries, deleted, held_at)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, device_id)"
				  " DO UPDATE SET began_at = excluded.began_at, clock = excluded.clock, entries = excluded.entries,"
				  " deleted = excluded.deleted, held_at = excluded.held_at";

	return sql_run(tx, NULL, err, sql, DB_ID(project), DB_ID(device), DB_I64(h->began_at), DB_I64(h->clock), DB_I64(h->entries),
	    DB_I64(h->deleted), DB_I64(h->held_at));
}

static void
read_delete_hour(struct row *r, void *out)
{
	struct delete_hour *h = out;

	h->began_at = row_i64(r);
	h->clock = row_i64(r);
	h->entries = row_i64(r);
	h->deleted = row_i64(r);
	h->held_at = row_i64(r);
}

err_code
sql_delete_hour_get(struct meta_tx *tx, const struct id *project, const struct id *device, struct delete_hour *out, struct err *err)
{
	static const char sql[] = "SELECT began_at, clock, entries, deleted, held_at FROM delete_hours"
				  " WHERE project_id = $1 AND device_id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	*out = (struct delete_hour){ .began_at = 0 };
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(device));
	if (!rc)
		rc = sql_one(tx, st, read_delete_hour, out, "deletions", err);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* ---- how long tombstones are needed ------------------------------------------------------------------------------------ */

static void
read_number(struct row *r, void *out)
{
	*(int64_t *)out = row_i64(r);
}

/* Devices of kind 1, owners, may read every project. */
err_code
sql_checkpoint_slowest(struct meta_tx *tx, const struct id *project, int64_t seen_us, int64_t *clock, struct err *err)
{
	static const char sql[] =
	    "SELECT coalesce(min(c.clock), 9223372036854775807) FROM sync_checkpoints c"
	    " JOIN projects p ON p.id = c.project_id AND p.epoch = c.epoch JOIN devices d ON d.id = c.device_id"
	    " WHERE c.project_id = $1 AND d.revoked_at = 0 AND greatest(d.last_seen_at, c.updated_at) >= $2 AND (d.kind = 1 OR EXISTS"
	    " (SELECT 1 FROM device_grants g WHERE g.device_id = c.device_id AND g.project_id = c.project_id))";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(seen_us));
	return rc ? rc : sql_one(tx, st, read_number, clock, "checkpoint", err);
}

err_code
sql_tombstone_first(struct meta_tx *tx, const struct id *project, int64_t *version, struct err *err)
{
	static const char sql[] =
	    "SELECT version FROM file_index WHERE project_id = $1 AND deleted_at <> 0 ORDER BY version LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project));
	if (!rc)
		rc = sql_one(tx, st, read_number, version, "tombstone", err);
	if (rc == ERR_NOT_FOUND)
		*version = INT64_MAX;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* RETURNING comes in no order. */
static err_code
prune_rows(struct meta_tx *tx, const struct id *project, int64_t upto, unsigned limit, unsigned *n, int64_t *last, struct err *err)
{
	static const char sql[] =
	    "DELETE FROM file_index WHERE project_id = $1 AND id IN (SELECT id FROM file_index"
	    " WHERE project_id = $1 AND deleted_at <> 0 AND version <= $2 ORDER BY version LIMIT $3) RETURNING version";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = true;
	err_code rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(upto), DB_I64(limit));

	*n = 0;
	*last = 0;
	while (!rc && row) {
		rc = db_step(st, &row, err);
		if (rc || !row)
			break;
		*last = MAX(*last, db_i64(st, 0));
		++*n;
	}
	return rc;
}

err_code
sql_tombstone_prune(struct meta_tx *tx, const struct id *project, int64_t upto, unsigned limit, unsigned *n, struct err *err)
{
	static const char sql[] = "UPDATE projects SET horizon = greatest(horizon, $2) WHERE id = $1";
	int64_t last;
	err_code rc = prune_rows(tx, project, upto, limit, n, &last, err);

	return rc || *n == 0 ? rc : sql_run(tx, NULL, err, sql, DB_ID(project), DB_I64(last));
}

/* ---- remembered answers ------------------------------------------------------------------------------------------------ */

err_code
sql_idempotent_add(struct meta_tx *tx, const struct idempotent *i, struct err *err)
{
	static const char sql[] = "INSERT INTO idempotency (device_id, key_hash, request_hash, status, body, created_at)"
				  " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, key_hash) DO NOTHING";
	int64_t added;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(&i->device), DB_HASH(&i->key_hash), DB_HASH(&i->request_hash), DB_I64(i->status),
	    DB_BYTES(i->body, i->body_len), DB_I64(i->created_at));
	if (rc || added)
		return rc;
	return err_set(err, ERR_EXISTS, "the idempotency key is taken");
}

static void
read_idempotent(struct row *r, void *out)
{
	struct idempotent *i = out;

	row_id(r, &i->device);
	row_hash(r, &i->key_hash);
	row_hash(r, &i->request_hash);
	i->status = (int)row_i64(r);
	i->body = row_bytes(r, &i->body_len);
	i->created_at = row_i64(r);
}

err_code
sql_idempotent_get(struct meta_tx *tx, const struct id *device, const struct hash *key_hash, struct idempotent *out,
    struct err *err)
{
	static const char sql[] = "SELECT device_id, key_hash, request_hash, status, body, created_at FROM idempotency"
				  " WHERE device_id = $1 AND key_hash = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(device), DB_HASH(key_hash));
	return rc ? rc : sql_one(tx, st, read_idempotent, out, "remembered answer", err);
}

err_code
sql_idempotent_expire(struct meta_tx *tx, int64_t before_us, struct err *err)
{
	static const char sql[] = "DELETE FROM idempotency WHERE created_at < $1";

	return sql_run(tx, NULL, err, sql, DB_I64(before_us));
}
