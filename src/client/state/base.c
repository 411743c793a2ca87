/*
 * The base tree.  Directories and names are stored as bytes, so that the table's own order is path_cmp's.
 *
 * Sums are changed by what a statement says it took away and by what is put in its place, so they hold for any order of calls,
 * also for two rows that become one (the same path and the same id, from different rows).
 */
#include <assert.h>

#include "base/path.h"
#include "client/state/state_internal.h"

#define COLUMNS "dir, name, kind, size, mode, mtime_ns, content, target, id, version, dev, ino, ctime_ns"

struct state_walk {
	struct view view;
	struct db_stmt *st;
	struct entry entry;
	char path[PATH_LEN_MAX + 1];
};

/* ---- rows --------------------------------------------------------------------------------------------------------------------- */

static bool
row_path(struct db_stmt *st, char path[static PATH_LEN_MAX + 1])
{
	size_t dir_len, name_len;
	const uint8_t *dir = db_bytes(st, 0, &dir_len);
	const uint8_t *name = db_bytes(st, 1, &name_len);
	size_t slash = dir_len > 0;

	if (name_len == 0 || dir_len + slash + name_len > PATH_LEN_MAX)
		return false;
	if (dir_len > 0) {
		memcpy(path, dir, dir_len);
		path[dir_len] = '/';
	}
	memcpy(path + dir_len + slash, name, name_len);
	path[dir_len + slash + name_len] = '\0';
	return true;
}

/* The row as an entry whose target is lent and whose path is in ${path}. */
static err_code
row_entry(struct db_stmt *st, char path[static PATH_LEN_MAX + 1], struct entry *e, struct err *err)
{
	*e = (struct entry){
		.path = path,
		.kind = (enum entry_kind)db_i64(st, 2),
		.size = db_i64(st, 3),
		.mode = (uint32_t)db_i64(st, 4),
		.mtime_ns = db_i64(st, 5),
		.content_known = true,
		.target = db_text(st, 7, NULL),
		.version = db_i64(st, 9),
		.dev = (uint64_t)db_i64(st, 10),
		.ino = (uint64_t)db_i64(st, 11),
		.ctime_ns = db_i64(st, 12),
	};
	if (!row_path(st, path) || !column_fixed(st, 6, e->content.b, sizeof e->content.b) ||
	    !column_fixed(st, 8, e->id.b, sizeof e->id.b))
		return column_damaged(err, "base");
	return ERR_OK;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

static void
totals_add(struct state *s, const struct entry *e)
{
	struct hash h = entry_digest(e);

	digest_add(&s->totals.digest, &h);
	s->totals.entries++;
	if (e->kind == ENTRY_FILE) {
		s->totals.files++;
		s->totals.bytes += (uint64_t)e->size;
	}
	s->totals_changed = true;
}

static void
totals_sub(struct state *s, const struct entry *e)
{
	struct hash h = entry_digest(e);

	digest_sub(&s->totals.digest, &h);
	s->totals.entries--;
	if (e->kind == ENTRY_FILE) {
		s->totals.files--;
		s->totals.bytes -= (uint64_t)e->size;
	}
	s->totals_changed = true;
}

/* Step through the rows that a DELETE … RETURNING took away. */
static err_code
subtract_rows(struct state *s, struct db_stmt *st, struct err *err)
{
	char path[PATH_LEN_MAX + 1];
	struct entry gone;
	bool row;

	for (;;) {
		err_code rc = db_step(st, &row, err);

		if (rc || !row)
			return rc;
		rc = row_entry(st, path, &gone, err);
		if (rc)
			return rc;
		totals_sub(s, &gone);
	}
}

err_code
state_base_put(struct state *s, const struct entry *e, struct err *err)
{
	static const char take[] = "DELETE FROM base WHERE (dir = $1 AND name = $2) OR id = $3 RETURNING " COLUMNS;
	static const char put[] =
	    "INSERT INTO base (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct db_tx *tx = state_writer(s);
	size_t dir_len;
	const char *name = path_split(e->path, &dir_len);
	err_code rc;

	assert(e->content_known && !id_is_zero(&e->id) && e->version > 0); /* a base row is what both sides agreed on */
	rc = db_query(tx, &st, err, take, DB_BYTES(e->path, dir_len), DB_BYTES(name, strlen(name)), DB_ID(&e->id));
	if (!rc)
		rc = subtract_rows(s, st, err);
	if (rc)
		return rc;
	totals_add(s, e);
	return db_run(tx, NULL, err, put, DB_BYTES(e->path, dir_len), DB_BYTES(name, strlen(name)), DB_I64(e->kind), DB_I64(e->size),
	    DB_I64(e->mode), DB_I64(e->mtime_ns), DB_HASH(&e->content), DB_TEXT(e->target ? e->target : ""), DB_ID(&e->id),
	    DB_I64(e->version), DB_I64(e->dev), DB_I64(e->ino), DB_I64(e->ctime_ns));
}

err_code
state_base_remove(struct state *s, const char *path, struct err *err)
{
	static const char sql[] = "DELETE FROM base WHERE dir = $1 AND name = $2 RETURNING " COLUMNS;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	err_code rc = db_query(state_writer(s), &st, err, sql, DB_BYTES(path, dir_len), DB_BYTES(name, strlen(name)));

	return rc ? rc : subtract_rows(s, st, err);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

static err_code
one_row(struct db_stmt *st, const char *what, struct arena *a, struct entry *out, struct err *err)
{
	char path[PATH_LEN_MAX + 1];
	bool row;
	err_code rc = db_step(st, &row, err);

	if (rc)
		return rc;
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "%s is not in the base tree", what);
	rc = row_entry(st, path, out, err);
	if (rc)
		return rc;
	out->path = arena_strdup(a, path);
	out->target = arena_strdup(a, out->target);
	if (!out->path || !out->target)
		return err_set(err, ERR_NO_MEM, "no room for an entry");
	return ERR_OK;
}

static err_code
get_by_path(struct view *v, const char *path, struct arena *a, struct entry *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM base WHERE dir = $1 AND name = $2",
	    DB_BYTES(path, dir_len), DB_BYTES(name, strlen(name)));

	return rc ? rc : one_row(st, path, a, out, err);
}

err_code
state_base_get(struct state *s, const char *path, struct arena *a, struct entry *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = get_by_path(&v, path, a, out, err);
	view_end(&v);
	return rc;
}

static err_code
get_by_id(struct view *v, const struct id *id, struct arena *a, struct entry *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM base WHERE id = $1", DB_ID(id));

	return rc ? rc : one_row(st, "the file", a, out, err);
}

err_code
state_base_by_id(struct state *s, const struct id *id, struct arena *a, struct entry *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = get_by_id(&v, id, a, out, err);
	view_end(&v);
	return rc;
}

/* ---- walking -------------------------------------------------------------------------------------------------------------------- */

err_code
state_base_walk(struct state *s, struct state_walk **out, struct err *err)
{
	struct state_walk *w = xcalloc(1, sizeof *w);
	err_code rc = view_begin(s, &w->view, err);

	if (!rc)
		rc = db_query_values(w->view.tx, &w->st, err, "SELECT " COLUMNS " FROM base ORDER BY dir, name", NULL, 0);
	if (rc) {
		state_walk_free(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

err_code
state_walk_next(struct state_walk *w, const struct entry **e, struct err *err)
{
	bool row = false;
	err_code rc;

	*e = NULL;
	if (!w->st)
		return ERR_OK; /* at the end already */
	rc = db_step(w->st, &row, err);
	if (rc)
		return rc;
	if (!row) {
		db_resetp(&w->st);
		w->st = NULL;
		return ERR_OK;
	}
	rc = row_entry(w->st, w->path, &w->entry, err);
	if (!rc)
		*e = &w->entry;
	return rc;
}

void
state_walk_free(struct state_walk *w)
{
	if (!w)
		return;
	db_resetp(&w->st);
	view_end(&w->view);
	free(w);
}

void
state_walk_freep(struct state_walk **w)
{
	state_walk_free(*w);
}
