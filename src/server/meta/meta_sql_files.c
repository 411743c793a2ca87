/* Files, versions, block lists and chunks over SQL.  Every listing is a range of one index, in its order. */
#include <assert.h>

#include "server/meta/meta_sql_internal.h"

/* ---- files ------------------------------------------------------------------------------------------------------------- */

#define FROM_FILES "SELECT " SQL_FILE_COLUMNS ", " SQL_BENEATH_COLUMNS " FROM file_index"

static void
read_state(struct row *r, struct file *f)
{
	row_id(r, &f->id);
	f->dir = row_text(r);
	f->name = row_text(r);
	f->kind = (enum kind)row_i64(r);
	f->version = row_i64(r);
	f->size = row_i64(r);
	f->mode = (uint32_t)row_i64(r);
	f->mtime_ns = row_i64(r);
	row_hash(r, &f->content);
}

void
sql_read_file(struct row *r, void *out)
{
	struct file *f = out;

	read_state(r, f);
	row_id_or_none(r, &f->list);
	f->target = row_text(r);
	f->created_at = row_i64(r);
	row_id(r, &f->changed_by);
	f->deleted_at = row_i64(r);
	f->beneath.files = row_i64(r);
	f->beneath.dirs = row_i64(r);
	f->beneath.bytes = row_i64(r);
}

err_code
sql_file_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct file *out, struct err *err)
{
	static const char sql[] = FROM_FILES " WHERE project_id = $1 AND id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(id));
	return rc ? rc : sql_one(tx, st, sql_read_file, out, "file", err);
}

err_code
sql_file_at(struct meta_tx *tx, const struct id *project, const char *path, struct file *out, struct err *err)
{
	static const char sql[] = FROM_FILES " WHERE project_id = $1 AND dir = $2 AND name = $3 AND deleted_at = 0";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXTN(path, dir_len), DB_TEXT(name));
	return rc ? rc : sql_one(tx, st, sql_read_file, out, "path", err);
}

err_code
sql_file_put(struct meta_tx *tx, const struct id *project, const struct file *f, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO file_index (project_id, " SQL_FILE_COLUMNS ")"
	    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
	    " ON CONFLICT (project_id, id) DO UPDATE SET dir = excluded.dir, name = excluded.name, kind = excluded.kind,"
	    " version = excluded.version, size = excluded.size, mode = excluded.mode, mtime_ns = excluded.mtime_ns,"
	    " content = excluded.content, list = excluded.list, target = excluded.target, created_at = excluded.created_at,"
	    " changed_by = excluded.changed_by, deleted_at = excluded.deleted_at,"
	    " files_beneath = CASE WHEN excluded.deleted_at = 0 THEN file_index.files_beneath ELSE 0 END,"
	    " dirs_beneath = CASE WHEN excluded.deleted_at = 0 THEN file_index.dirs_beneath ELSE 0 END,"
	    " bytes_beneath = CASE WHEN excluded.deleted_at = 0 THEN file_index.bytes_beneath ELSE 0 END";

	return sql_send(tx, err, sql, DB_ID(project), DB_ID(&f->id), DB_TEXT(f->dir), DB_TEXT(f->name), DB_I64(f->kind),
	    DB_I64(f->version), DB_I64(f->size), DB_I64(f->mode), DB_I64(f->mtime_ns), DB_HASH(&f->content),
	    DB_ID_OR_NULL(&f->list), DB_TEXT(f->target), DB_I64(f->created_at), DB_ID(&f->changed_by), DB_I64(f->deleted_at));
}

err_code
sql_file_counts(struct meta_tx *tx, const struct id *project, const char *path, const struct beneath *delta, struct err *err)
{
	static const char sql[] =
	    "UPDATE file_index SET files_beneath = files_beneath + $4, dirs_beneath = dirs_beneath + $5, bytes_beneath = bytes_beneath + $6"
	    " WHERE project_id = $1 AND dir = $2 AND name = $3 AND kind = 1 AND deleted_at = 0";
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	int64_t affected = 0;
	err_code rc;

	rc = sql_run(tx, &affected, err, sql, DB_ID(project), DB_TEXTN(path, dir_len), DB_TEXT(name), DB_I64(delta->files),
	    DB_I64(delta->dirs), DB_I64(delta->bytes));
	return sql_found(rc, affected, "directory", err);
}

/* ---- listings ---------------------------------------------------------------------------------------------------------- */

static err_code
by_clock(struct meta_tx *tx, const char *sql, const struct id *project, int64_t after, unsigned limit, struct file **out,
    size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_I64(after), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, sql_read_file, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_file_page(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out, size_t *n,
    struct err *err)
{
	static const char sql[] = FROM_FILES " WHERE project_id = $1 AND version > $2 AND deleted_at = 0 ORDER BY version LIMIT $3";

	return by_clock(tx, sql, project, after, limit, out, n, err);
}

err_code
sql_file_changes(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out, size_t *n,
    struct err *err)
{
	static const char sql[] = FROM_FILES " WHERE project_id = $1 AND version > $2 ORDER BY version LIMIT $3";

	return by_clock(tx, sql, project, after, limit, out, n, err);
}

/* Adds to the *n rows of *array. */
static err_code
dir_rows(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_name, unsigned limit, void **array,
    size_t *n, struct err *err)
{
	static const char sql[] =
	    FROM_FILES " WHERE project_id = $1 AND dir = $2 AND name > $3 AND deleted_at = 0 ORDER BY name LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXT(dir), DB_TEXT(after_name), DB_I64(limit));
	return rc ? rc : sql_all(tx, st, sql_read_file, sizeof(struct file), array, n, err);
}

static err_code
tree_rows(struct meta_tx *tx, const struct id *project, const char *dir, const char *name, unsigned limit, void **array, size_t *n,
    struct err *err)
{
	static const char sql[] =
	    FROM_FILES " WHERE project_id = $1 AND (dir, name) > ($2, $3) AND deleted_at = 0 ORDER BY dir, name LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXT(dir), DB_TEXT(name), DB_I64(limit));
	return rc ? rc : sql_all(tx, st, sql_read_file, sizeof(struct file), array, n, err);
}

err_code
sql_file_dir(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = dir_rows(tx, project, dir, after_name ? after_name : "", limit, &array, n, err);
	*out = array;
	return rc;
}

/* The second run: an index that ends elsewhere is not worth a statement of its own, so what lies behind the run is cut off. */
static err_code
deeper_rows(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_dir, const char *after_name,
    unsigned limit, void **array, size_t *n, struct err *err)
{
	char first[BENEATH_MAX];
	bool before = strcmp(after_dir, beneath_first(dir, first)) < 0;
	size_t had = *n;
	err_code rc;

	rc = tree_rows(tx, project, before ? first : after_dir, before ? "" : after_name, limit, array, n, err);
	for (size_t i = had; i < *n; i++) {
		if (!beneath_within(first, ((struct file *)*array)[i].dir))
			*n = i;
	}
	return rc;
}

err_code
sql_file_beneath(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_dir, const char *after_name,
    unsigned limit, struct file **out, size_t *n, struct err *err)
{
	const char *from = after_dir ? after_dir : "", *name = after_name ? after_name : "";
	void *array = NULL;
	err_code rc = ERR_OK;
	int side;

	*n = 0;
	side = strcmp(from, dir);
	if (!*dir)
		rc = tree_rows(tx, project, from, name, limit, &array, n, err);
	else if (side <= 0)
		rc = dir_rows(tx, project, dir, side == 0 ? name : "", limit, &array, n, err);
	if (!rc && *dir && *n < limit)
		rc = deeper_rows(tx, project, dir, from, name, limit - (unsigned)*n, &array, n, err);
	*out = array;
	return rc;
}

/* ---- versions ---------------------------------------------------------------------------------------------------------- */

#define VERSION_COLUMNS "file_id, version, path, kind, size, mode, mtime_ns, content, list, target, changed_by, deleted"

static void
read_version(struct row *r, void *out)
{
	struct version *v = out;

	row_id(r, &v->file);
	v->version = row_i64(r);
	v->path = row_text(r);
	v->kind = (enum kind)row_i64(r);
	v->size = row_i64(r);
	v->mode = (uint32_t)row_i64(r);
	v->mtime_ns = row_i64(r);
	row_hash(r, &v->content);
	row_id_or_none(r, &v->list);
	v->target = row_text(r);
	row_id(r, &v->changed_by);
	v->deleted = row_i64(r) != 0;
}

err_code
sql_version_add(struct meta_tx *tx, const struct id *project, const struct version *v, struct err *err)
{
	static const char sql[] = "INSERT INTO file_versions (project_id, " VERSION_COLUMNS ")"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

	return sql_send(tx, err, sql, DB_ID(project), DB_ID(&v->file), DB_I64(v->version), DB_TEXT(v->path), DB_I64(v->kind),
	    DB_I64(v->size), DB_I64(v->mode), DB_I64(v->mtime_ns), DB_HASH(&v->content), DB_ID_OR_NULL(&v->list), DB_TEXT(v->target),
	    DB_ID(&v->changed_by), DB_I64(v->deleted));
}

err_code
sql_version_get(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version, struct version *out,
    struct err *err)
{
	static const char sql[] = "SELECT " VERSION_COLUMNS " FROM file_versions"
				  " WHERE project_id = $1 AND file_id = $2 AND version = $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(file), DB_I64(version));
	return rc ? rc : sql_one(tx, st, read_version, out, "version", err);
}

err_code
sql_version_list(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit,
    struct version **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT " VERSION_COLUMNS " FROM file_versions"
				  " WHERE project_id = $1 AND file_id = $2 AND version < $3 ORDER BY version DESC LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(file), DB_I64(before), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_version, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

/* A tombstone that something newer of the same file follows is of a file that came back. */
err_code
sql_version_gone(struct meta_tx *tx, const struct id *project, const char *path, unsigned limit, struct version **out, size_t *n,
    struct err *err)
{
	static const char sql[] = "SELECT " VERSION_COLUMNS " FROM file_versions v"
				  " WHERE project_id = $1 AND path = $2 AND deleted = 1 AND NOT EXISTS (SELECT 1 FROM file_versions w"
				  " WHERE w.project_id = v.project_id AND w.file_id = v.file_id AND w.version > v.version)"
				  " ORDER BY version DESC LIMIT $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXT(path), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_version, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

/* ---- block lists ------------------------------------------------------------------------------------------------------- */

err_code
sql_blocks_add(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t *packed,
    size_t len, struct err *err)
{
	static const char sql[] = "INSERT INTO file_blocks (project_id, list, page, packed) VALUES ($1, $2, $3, $4)"
				  " ON CONFLICT (project_id, list, page) DO NOTHING";

	return sql_send(tx, err, sql, DB_ID(project), DB_ID(list), DB_I64(page), DB_BYTES(packed, len));
}

err_code
sql_blocks_get(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t **packed,
    size_t *len, struct err *err)
{
	static const char sql[] = "SELECT packed FROM file_blocks WHERE project_id = $1 AND list = $2 AND page = $3";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct sql_bytes b;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(list), DB_I64(page));
	if (!rc)
		rc = sql_one(tx, st, sql_read_bytes, &b, "page of a block list", err);
	if (rc)
		return rc;
	*packed = b.p;
	*len = b.len;
	return ERR_OK;
}

struct first_page {
	int64_t of; /* lists[of] */
	struct packed_page page;
};

static void
read_first_page(struct row *r, void *out)
{
	struct first_page *f = out;

	f->of = row_i64(r);
	f->page.p = row_bytes(r, &f->page.len);
}

/*
 * The ids are one value, which the statement takes apart itself: half of the time that sixteen values in an IN take SQLite, which sorts
 * them into a table of its own first, and one text for any number.
 */

err_code
sql_blocks_first(struct meta_tx *tx, const struct id *project, const struct id *lists, size_t n, struct packed_page *out, struct err *err)
{
	static const char sql[] =
	    "WITH RECURSIVE numbers (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < $3)"
	    " SELECT CAST(i AS BIGINT), packed FROM numbers"
	    " JOIN file_blocks ON project_id = $1 AND page = 0 AND list = substr($2, 1 + 16 * i, 16)";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct first_page *found;
	void *array = NULL;
	size_t found_n = 0;
	err_code rc;

	assert(n > 0 && n <= META_LISTS_MAX);
	for (size_t i = 0; i < n; i++)
		out[i] = (struct packed_page){ .p = NULL };
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_BYTES(lists, n * sizeof *lists), DB_I64(n));
	if (!rc)
		rc = sql_all(tx, st, read_first_page, sizeof *found, &array, &found_n, err);
	found = array;
	for (size_t k = 0; !rc && k < found_n; k++)
		out[found[k].of] = found[k].page;
	return rc;
}

struct each {
	struct file file;
	struct packed_page list;
};

static void
read_each(struct row *r, void *out)
{
	struct each *e = out;
	struct file *f = &e->file;

	*f = (struct file){ .deleted_at = 0 };
	read_state(r, f);
	f->target = row_text(r);
	f->created_at = row_i64(r);
	row_id(r, &f->changed_by);
	e->list.p = row_bytes(r, &e->list.len);
	if (e->list.len == 0)
		e->list.p = NULL;
}

err_code
sql_file_each(struct meta_tx *tx, const struct id *project, int64_t lists_to, file_each_fn *fn, void *ctx, struct err *err)
{
	static const char sql[] =
	    "SELECT id, dir, name, kind, version, size, mode, mtime_ns, content, target, created_at, changed_by,"
	    " CASE WHEN size BETWEEN 1 AND $2 THEN (SELECT packed FROM file_blocks b WHERE b.project_id = file_index.project_id"
	    " AND b.list = file_index.list AND b.page = 0) END"
	    " FROM file_index WHERE project_id = $1 AND deleted_at = 0 ORDER BY dir, name";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = true;
	err_code rc;

	rc = sql_stream(tx, &st, err, sql, DB_ID(project), DB_I64(lists_to));
	while (!rc) {
		struct row r = { .tx = tx, .st = st };
		struct each e;

		meta_tx_trim(tx);
		rc = db_step(st, &row, err);
		if (rc || !row)
			break;
		read_each(&r, &e);
		rc = row_done(&r, err);
		if (!rc)
			rc = fn(ctx, &e.file, &e.list, err);
	}
	return rc;
}

err_code
sql_blocks_has(struct meta_tx *tx, const struct id *project, const struct id *list, bool *has, struct err *err)
{
	static const char sql[] = "SELECT 1 FROM file_blocks WHERE project_id = $1 AND list = $2 AND page = 0";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_ID(list));
	return rc ? rc : sql_any(st, has, err);
}

/* ---- chunks ------------------------------------------------------------------------------------------------------------ */

void
sql_read_chunk(struct row *r, void *out)
{
	struct chunk *c = out;

	row_hash(r, &c->id);
	c->stored_len = row_i64(r);
	c->raw_len = row_i64(r);
	c->block_count = (uint32_t)row_i64(r);
	c->created_at = row_i64(r);
	c->used_at = row_i64(r);
}

err_code
sql_chunk_add(struct meta_tx *tx, const struct id *project, const struct chunk *c, struct err *err)
{
	static const char sql[] = "INSERT INTO chunks (project_id, id, stored_len, raw_len, block_count, created_at, used_at)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project_id, id) DO NOTHING";
	int64_t added = 0;
	err_code rc;

	rc = sql_run(tx, &added, err, sql, DB_ID(project), DB_HASH(&c->id), DB_I64(c->stored_len), DB_I64(c->raw_len),
	    DB_I64(c->block_count), DB_I64(c->created_at), DB_I64(c->used_at));
	if (rc)
		return rc;
	return added ? sql_project_stored(tx, project, c->stored_len, err) : sql_chunk_touch(tx, project, &c->id, c->used_at, err);
}

err_code
sql_chunk_get(struct meta_tx *tx, const struct id *project, const struct hash *id, struct chunk *out, struct err *err)
{
	static const char sql[] = "SELECT " SQL_CHUNK_COLUMNS " FROM chunks"
				  " WHERE project_id = $1 AND id = $2";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_HASH(id));
	return rc ? rc : sql_one(tx, st, sql_read_chunk, out, "chunk", err);
}
