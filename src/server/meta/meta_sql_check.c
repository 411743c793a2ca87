/* What drayd fsck asks.  None of it is asked while somebody waits: some of these walk a project's transfers. */
#include "server/meta/check.h"
#include "server/meta/meta_sql_internal.h"

#include <assert.h>

#define LIMIT " LIMIT 1000"

static const char *const wrong[WRONG_COUNT] = {
	[WRONG_TRANSFER_CHUNK] = "SELECT t.id FROM file_transfers t WHERE t.project_id = $1 AND t.state = 0 AND EXISTS"
				 " (SELECT 1 FROM file_transfer_chunks c WHERE c.transfer_id = t.id AND NOT EXISTS"
				 " (SELECT 1 FROM chunks k WHERE k.project_id = t.project_id AND k.id = c.chunk_id))" LIMIT,
	[WRONG_TRANSFER_COUNT] = "SELECT t.id FROM file_transfers t WHERE t.project_id = $1 AND t.state = 0 AND t.chunk_count <>"
				 " (SELECT count(*) FROM file_transfer_chunks c WHERE c.transfer_id = t.id)" LIMIT,
	[WRONG_TRANSFER_LEFT] = "SELECT t.id FROM file_transfers t WHERE t.project_id = $1 AND t.state <> 0 AND"
				" (EXISTS (SELECT 1 FROM file_transfer_chunks c WHERE c.transfer_id = t.id)"
				" OR EXISTS (SELECT 1 FROM file_transfer_blocks b WHERE b.transfer_id = t.id)"
				" OR EXISTS (SELECT 1 FROM file_transfer_progress p WHERE p.transfer_id = t.id))" LIMIT,
	[WRONG_CHECKPOINT] = "SELECT s.device_id FROM sync_checkpoints s JOIN projects p ON p.id = s.project_id"
			     " WHERE s.project_id = $1 AND s.epoch = p.epoch AND s.clock > p.clock" LIMIT,
};

err_code
meta_check_wrong(struct meta_tx *tx, const struct id *project, enum meta_wrong which, struct id **ids, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	assert(which < WRONG_COUNT);
	*n = 0;
	rc = sql_query(tx, &st, err, wrong[which], DB_ID(project));
	if (!rc)
		rc = sql_all(tx, st, sql_read_id, sizeof **ids, &array, n, err);
	*ids = array;
	return rc;
}

static void
read_said(struct row *r, void *out)
{
	struct meta_said *s = out;

	s->path = row_text(r);
	row_hash(r, &s->content);
	s->size = row_i64(r);
}

err_code
meta_check_said(struct meta_tx *tx, const struct id *project, const struct id *list, struct meta_said **said, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT DISTINCT path, content, size FROM file_versions WHERE project_id = $1 AND list = $2 AND kind = 0"
				  " AND deleted = 0 ORDER BY path" LIMIT;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(list));
	if (!rc)
		rc = sql_all(tx, st, read_said, sizeof **said, &array, n, err);
	*said = array;
	return rc;
}

static void
read_snapshot(struct row *r, void *out)
{
	struct snapshot *s = out;

	*s = (struct snapshot){ .clock = 0 };
	row_id(r, &s->id);
	s->clock = row_i64(r);
	row_id(r, &s->epoch);
	row_hash(r, &s->object);
	s->stored_len = row_i64(r);
}

err_code
meta_check_snapshots(struct meta_tx *tx, const struct id *project, struct snapshot **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT id, clock, epoch, object, stored_len FROM project_snapshots WHERE project_id = $1" LIMIT;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project));
	if (!rc)
		rc = sql_all(tx, st, read_snapshot, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}
