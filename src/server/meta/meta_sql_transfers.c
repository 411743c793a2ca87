/* Transfers over SQL. */
#include "server/meta/meta_sql_internal.h"

static void
read_transfer(struct row *r, void *out)
{
	struct transfer *t = out;

	row_id(r, &t->id);
	row_id(r, &t->device);
	t->state = (enum transfer_state)row_i64(r);
	t->path = row_text(r);
	t->size = row_i64(r);
	t->chunk_count = (uint32_t)row_i64(r);
	t->bytes_done = row_i64(r);
	t->created_at = row_i64(r);
	t->expires_at = row_i64(r);
}

err_code
sql_transfer_add(struct meta_tx *tx, const struct id *project, const struct transfer *t, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO file_transfers"
	    " (project_id, id, device_id, state, path, size, chunk_count, bytes_done, created_at, expires_at, ended_at)"
	    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING";
	int64_t added, ended = t->state == TRANSFER_OPEN ? 0 : t->created_at;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(project), DB_ID(&t->id), DB_ID(&t->device), DB_I64(t->state), DB_TEXT(t->path),
	    DB_I64(t->size), DB_I64(t->chunk_count), DB_I64(t->bytes_done), DB_I64(t->created_at), DB_I64(t->expires_at), DB_I64(ended));
	if (rc || added)
		return rc;
	return err_set(err, ERR_EXISTS, "the transfer exists");
}

err_code
sql_transfer_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct transfer *out, struct err *err)
{
	static const char sql[] = "SELECT id, device_id, state, path, size, chunk_count, bytes_done, created_at, expires_at"
				  " FROM file_transfers WHERE id = $2 AND project_id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(id));
	return rc ? rc : sql_one(tx, st, read_transfer, out, "transfer", err);
}

/* ---- ends ---------------------------------------------------------------------------------------------------------------- */

/* What only a running transfer has. */
static err_code
running_drop(struct meta_tx *tx, const struct id *id, struct err *err)
{
	static const char chunks[] = "DELETE FROM file_transfer_chunks WHERE transfer_id = $1";
	static const char blocks[] = "DELETE FROM file_transfer_blocks WHERE transfer_id = $1";
	static const char progress[] = "DELETE FROM file_transfer_progress WHERE transfer_id = $1";
	err_code rc;

	rc = sql_send(tx, err, chunks, DB_ID(id));
	if (!rc)
		rc = sql_send(tx, err, blocks, DB_ID(id));
	return rc ? rc : sql_send(tx, err, progress, DB_ID(id));
}

err_code
sql_transfer_end(struct meta_tx *tx, const struct id *project, const struct id *id, enum transfer_state state, int64_t now_us,
    struct err *err)
{
	static const char sql[] = "UPDATE file_transfers SET state = $3, ended_at = $4"
				  " WHERE id = $2 AND project_id = $1 AND state = 0";
	struct transfer t;
	int64_t n;
	err_code rc;

	rc = sql_run(tx, &n, err, sql, DB_ID(project), DB_ID(id), DB_I64(state), DB_I64(now_us));
	if (rc)
		return rc;
	return n ? running_drop(tx, id, err) : sql_transfer_get(tx, project, id, &t, err);
}

static void
read_count(struct row *r, void *out)
{
	*(unsigned *)out = (unsigned)row_i64(r);
}

err_code
sql_transfer_open_count(struct meta_tx *tx, const struct id *device, unsigned *n, struct err *err)
{
	static const char sql[] = "SELECT count(*) FROM file_transfers WHERE device_id = $1 AND state = 0";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(device));
	return rc ? rc : sql_one(tx, st, read_count, n, "count", err);
}

struct expired {
	struct id id, project;
};

static void
read_expired(struct row *r, void *out)
{
	struct expired *e = out;

	row_id(r, &e->id);
	row_id(r, &e->project);
}

static err_code
expired_ids(struct meta_tx *tx, int64_t now_us, struct expired **ids, size_t *n, struct err *err)
{
	static const char sql[] = "UPDATE file_transfers SET state = 3, ended_at = $1"
				  " WHERE state = 0 AND expires_at <= $1 RETURNING id, project_id";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	_Static_assert(TRANSFER_EXPIRED == 3, "the statement has it as a number");
	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_I64(now_us));
	if (!rc)
		rc = sql_all(tx, st, read_expired, sizeof **ids, &array, n, err);
	*ids = array;
	return rc;
}

err_code
sql_transfer_expire(struct meta_tx *tx, int64_t now_us, unsigned *n, struct err *err)
{
	struct expired *ids;
	size_t count;
	err_code rc;

	rc = expired_ids(tx, now_us, &ids, &count, err);
	for (size_t i = 0; !rc && i < count; i++) {
		rc = running_drop(tx, &ids[i].id, err);
		if (!rc)
			rc = sql_transfer_event(tx, &ids[i].project, &ids[i].id, "expired", now_us, err);
	}
	*n = (unsigned)count;
	return rc;
}

/* ---- what a transfer brings -------------------------------------------------------------------------------------------- */

/* Number ${c->n} is taken: by this chunk, which is fine, or by another. */
static err_code
same_chunk(struct meta_tx *tx, const struct id *transfer, const struct transfer_chunk *c, struct err *err)
{
	static const char sql[] = "SELECT 1 FROM file_transfer_chunks WHERE transfer_id = $1 AND n = $2 AND chunk_id = $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool same;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(transfer), DB_I64(c->n), DB_HASH(&c->chunk));
	if (!rc)
		rc = sql_any(st, &same, err);
	if (rc || same)
		return rc;
	return err_set(err, ERR_EXISTS, "number %u holds another chunk", c->n);
}

err_code
sql_transfer_chunk_add(struct meta_tx *tx, const struct id *transfer, const struct transfer_chunk *c, int64_t stored_len,
    struct err *err)
{
	static const char add[] = "INSERT INTO file_transfer_chunks (transfer_id, n, chunk_id) VALUES ($1, $2, $3)"
				  " ON CONFLICT (transfer_id, n) DO NOTHING";
	static const char count[] = "UPDATE file_transfers SET chunk_count = chunk_count + 1, bytes_done = bytes_done + $2"
				    " WHERE id = $1";
	int64_t added;
	err_code rc;

	rc = sql_run(tx, &added, err, add, DB_ID(transfer), DB_I64(c->n), DB_HASH(&c->chunk));
	if (rc)
		return rc;
	if (!added)
		return same_chunk(tx, transfer, c, err);
	return sql_send(tx, err, count, DB_ID(transfer), DB_I64(stored_len));
}

static void
read_transfer_chunk(struct row *r, void *out)
{
	struct transfer_chunk *c = out;

	c->n = (uint32_t)row_i64(r);
	row_hash(r, &c->chunk);
}

err_code
sql_transfer_chunk_list(struct meta_tx *tx, const struct id *transfer, uint32_t from, unsigned limit,
    struct transfer_chunk **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT n, chunk_id FROM file_transfer_chunks WHERE transfer_id = $1 AND n >= $2 ORDER BY n LIMIT $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(transfer), DB_I64(from), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_transfer_chunk, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_transfer_blocks_put(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
    uint32_t block_count, struct err *err)
{
	static const char sql[] = "INSERT INTO file_transfer_blocks (transfer_id, first_block, block_count, packed)"
				  " VALUES ($1, $2, $3, $4) ON CONFLICT (transfer_id, first_block)"
				  " DO UPDATE SET block_count = excluded.block_count, packed = excluded.packed";

	return sql_run(tx, NULL, err, sql, DB_ID(transfer), DB_I64(first), DB_I64(block_count), DB_BYTES(packed, len));
}

err_code
sql_transfer_blocks_get(struct meta_tx *tx, const struct id *transfer, uint64_t first, const uint8_t **packed, size_t *len,
    struct err *err)
{
	static const char sql[] = "SELECT packed FROM file_transfer_blocks WHERE transfer_id = $1 AND first_block = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct sql_bytes b;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(transfer), DB_I64(first));
	if (!rc)
		rc = sql_one(tx, st, sql_read_bytes, &b, "page at that block", err);
	if (rc)
		return rc;
	*packed = b.p;
	*len = b.len;
	return ERR_OK;
}

/* ---- progress and milestones ------------------------------------------------------------------------------------------- */

err_code
sql_transfer_progress(struct meta_tx *tx, const struct id *transfer, int64_t bytes_done, int64_t now_us, struct err *err)
{
	static const char sql[] = "INSERT INTO file_transfer_progress (transfer_id, bytes_done, updated_at) VALUES ($1, $2, $3)"
				  " ON CONFLICT (transfer_id)"
				  " DO UPDATE SET bytes_done = excluded.bytes_done, updated_at = excluded.updated_at";

	return sql_run(tx, NULL, err, sql, DB_ID(transfer), DB_I64(bytes_done), DB_I64(now_us));
}

static void
read_progress(struct row *r, void *out)
{
	struct transfer_progress *p = out;

	p->bytes_done = row_i64(r);
	p->updated_at = row_i64(r);
}

err_code
sql_transfer_progress_get(struct meta_tx *tx, const struct id *transfer, struct transfer_progress *out, struct err *err)
{
	static const char sql[] = "SELECT bytes_done, updated_at FROM file_transfer_progress WHERE transfer_id = $1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(transfer));
	return rc ? rc : sql_one(tx, st, read_progress, out, "progress", err);
}

err_code
sql_transfer_event(struct meta_tx *tx, const struct id *project, const struct id *transfer, const char *event, int64_t now_us,
    struct err *err)
{
	static const char sql[] =
	    "INSERT INTO transfer_events (transfer_id, n, event, at)"
	    " SELECT t.id, (SELECT coalesce(max(e.n), 0) + 1 FROM transfer_events e WHERE e.transfer_id = $2), $3, $4"
	    " FROM file_transfers t WHERE t.id = $2 AND t.project_id = $1";
	int64_t n = 0;
	err_code rc = sql_run(tx, &n, err, sql, DB_ID(project), DB_ID(transfer), DB_TEXT(event), DB_I64(now_us));

	return sql_found(rc, n, "transfer", err);
}

static void
read_event(struct row *r, void *out)
{
	struct transfer_event *e = out;

	e->event = row_text(r);
	e->at = row_i64(r);
}

err_code
sql_transfer_event_list(struct meta_tx *tx, const struct id *transfer, unsigned limit, struct transfer_event **out, size_t *n,
    struct err *err)
{
	static const char sql[] = "SELECT event, at FROM transfer_events WHERE transfer_id = $1 ORDER BY n LIMIT $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(transfer), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_event, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_transfer_event_expire(struct meta_tx *tx, int64_t before_us, struct err *err)
{
	static const char sql[] = "DELETE FROM transfer_events WHERE at < $1";

	return sql_run(tx, NULL, err, sql, DB_I64(before_us));
}
