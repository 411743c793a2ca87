/* The id of a server's database: made once, for good. */
#include "db/db.h"

static err_code
find(struct db_tx *tx, struct id *out, bool *found, struct err *err)
{
	static const char sql[] = "SELECT id FROM installation";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	const uint8_t *p;
	size_t len;
	err_code rc;

	rc = db_query_values(tx, &st, err, sql, NULL, 0);
	if (!rc)
		rc = db_step(st, found, err);
	if (rc || !*found)
		return rc;
	p = db_bytes(st, 0, &len);
	if (len != sizeof out->b)
		return err_set(err, ERR_CORRUPT, "the id of the installation has the wrong length");
	memcpy(out->b, p, len);
	return ERR_OK;
}

static err_code
has_devices(struct db_tx *tx, bool *any, struct err *err)
{
	static const char sql[] = "SELECT id FROM devices LIMIT 1";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = db_query_values(tx, &st, err, sql, NULL, 0);
	return rc ? rc : db_step(st, any, err);
}

err_code
db_identity(struct db *db, int64_t now_us, struct id *out, bool *fresh, struct err *err)
{
	static const char sql[] = "INSERT INTO installation (id, created_at) VALUES ($1, $2)";
	AUTO(db_abort) struct db_tx *tx = NULL;
	bool found = false, used = false;
	err_code rc;

	rc = db_begin(db, DB_WRITE, &tx, err);
	if (!rc)
		rc = find(tx, out, &found, err);
	if (!rc)
		rc = has_devices(tx, &used, err);
	*fresh = !used;
	if (rc || found)
		return rc;
	*out = id_new();
	rc = db_run(tx, NULL, err, sql, DB_ID(out), DB_I64(now_us));
	return rc ? rc : db_commit(&tx, err);
}

err_code
db_identity_read(struct db *db, struct id *out, struct err *err)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	bool found = false;
	err_code rc;

	rc = db_begin(db, DB_READ, &tx, err);
	if (!rc)
		rc = find(tx, out, &found, err);
	return rc || found ? rc : err_set(err, ERR_NOT_FOUND, "the database belongs to no installation yet");
}
