/*
 * What was renamed aside and is not sent yet.  A row is written before the rename and gets the new name after it, so whichever of the
 * two a crash leaves behind, the copy is found: by its name, or by its inode, which a rename keeps.
 */
#include <assert.h>

#include "client/state/state_internal.h"

#define COLUMNS "dev, ino, file, version, path"

err_code
state_aside_put(struct state *s, const struct state_aside *a, struct err *err)
{
	assert(a->version > 0);
	return db_run(state_writer(s), NULL, err,
	    "INSERT INTO asides (" COLUMNS ") VALUES ($1, $2, $3, $4, $5)"
	    " ON CONFLICT (dev, ino) DO UPDATE SET file = excluded.file, version = excluded.version, path = excluded.path",
	    DB_I64(a->dev), DB_I64(a->ino), DB_ID(&a->file), DB_I64(a->version), DB_TEXT(a->path));
}

/* An inode is given to other files when its own is gone, so it counts only while the name is not known, or for the same name. */
#define IS_IT "path = $1 OR (dev = $2 AND ino = $3 AND path = '')"

err_code
state_aside_remove(struct state *s, const char *path, uint64_t dev, uint64_t ino, struct err *err)
{
	return db_run(state_writer(s), NULL, err, "DELETE FROM asides WHERE " IS_IT, DB_TEXT(path), DB_I64(dev), DB_I64(ino));
}

err_code
state_aside_clear(struct state *s, struct err *err)
{
	return db_run(state_writer(s), NULL, err, "DELETE FROM asides WHERE version > $1", DB_I64(0));
}

static err_code
aside_row(struct view *v, const char *path, uint64_t dev, uint64_t ino, struct state_aside *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM asides WHERE " IS_IT " ORDER BY path DESC LIMIT 1", DB_TEXT(path),
	    DB_I64(dev), DB_I64(ino));

	if (!rc)
		rc = db_step(st, &row, err);
	if (!rc && !row)
		rc = err_set(err, ERR_NOT_FOUND, "it was not renamed aside");
	if (rc)
		return rc;
	*out = (struct state_aside){ .dev = (uint64_t)db_i64(st, 0), .ino = (uint64_t)db_i64(st, 1), .version = db_i64(st, 3), .path = path };
	return column_fixed(st, 2, out->file.b, sizeof out->file.b) ? ERR_OK : column_damaged(err, "asides");
}

err_code
state_aside_get(struct state *s, const char *path, uint64_t dev, uint64_t ino, struct state_aside *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = aside_row(&v, path, dev, ino, out, err);
	view_end(&v);
	return rc;
}
