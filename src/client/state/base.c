/*
 * The base tree.  Directories and names are stored as bytes, so that the table's own order is path_cmp's.
 *
 * Sums are changed by each row that goes, as it was, and by what is put in its place, so they hold for any order of calls, also where
 * two rows become one (the same path, and the same id from another path).
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

/* Where a row lies, as the database has it. */
struct place_of {
	const char *dir, *name;
	size_t dir_len, name_len;
};

static struct place_of
place_of(const char *path)
{
	struct place_of at = { .dir = path };

	at.name = path_split(path, &at.dir_len);
	at.name_len = strlen(at.name);
	return at;
}

#define DB_PLACE(at) DB_BYTES((at).dir, (at).dir_len), DB_BYTES((at).name, (at).name_len)

/* The row of a query that yields one at most, taken out of the sums.  *found says whether there was one. */
static err_code
subtract_row(struct state *s, struct db_stmt *st, char path[static PATH_LEN_MAX + 1], struct id *id, bool *found, struct err *err)
{
	struct entry gone;
	err_code rc = db_step(st, found, err);

	if (rc || !*found)
		return rc;
	rc = row_entry(st, path, &gone, err);
	if (rc)
		return rc;
	totals_sub(s, &gone);
	*id = gone.id;
	return gone.kind == ENTRY_FILE && gone.size > 0 ? blocks_unnamed(state_writer(s), &gone.content, err) : ERR_OK;
}

static err_code
subtract_path(struct state *s, struct db_tx *tx, const char *path, struct id *id, bool *found, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	char buf[PATH_LEN_MAX + 1];
	struct place_of at = place_of(path);
	err_code rc = db_query(tx, &st, err, "SELECT " COLUMNS " FROM base WHERE dir = $1 AND name = $2", DB_PLACE(at));

	return rc ? rc : subtract_row(s, st, buf, id, found, err);
}

static err_code
delete_path(struct db_tx *tx, const char *path, struct err *err)
{
	struct place_of at = place_of(path);

	return db_run(tx, NULL, err, "DELETE FROM base WHERE dir = $1 AND name = $2", DB_PLACE(at));
}

/* The row that has the id at another path goes: what it spoke of is at the new path now. */
static err_code
remove_id(struct state *s, struct db_tx *tx, const struct id *id, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	char path[PATH_LEN_MAX + 1];
	struct id same;
	bool found = false;
	err_code rc = db_query(tx, &st, err, "SELECT " COLUMNS " FROM base WHERE id = $1", DB_ID(id));

	if (!rc)
		rc = subtract_row(s, st, path, &same, &found, err);
	db_resetp(&st);
	return rc || !found ? rc : delete_path(tx, path, err);
}

/*
 * Look-ups and a plain upsert.  One DELETE … RETURNING would say the same, and costs ten times as much: SQLite makes a temporary
 * table for what it returns.
 */
err_code
state_base_put(struct state *s, const struct entry *e, struct err *err)
{
	static const char put[] =
	    "INSERT INTO base (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
	    " ON CONFLICT (dir, name) DO UPDATE SET kind = excluded.kind, size = excluded.size, mode = excluded.mode,"
	    " mtime_ns = excluded.mtime_ns, content = excluded.content, target = excluded.target, id = excluded.id,"
	    " version = excluded.version, dev = excluded.dev, ino = excluded.ino, ctime_ns = excluded.ctime_ns";
	struct db_tx *tx = state_writer(s);
	struct place_of at = place_of(e->path);
	struct id id;
	bool found = false;
	err_code rc;

	assert(e->content_known && !id_is_zero(&e->id) && e->version > 0); /* a base row is what both sides agreed on */
	rc = subtract_path(s, tx, e->path, &id, &found, err);
	if (rc == ERR_OK && found && !id_eq(&id, &e->id))
		rc = state_pending_remove_from(s, &id, e->path, err);
	if (rc == ERR_OK && !(found && id_eq(&id, &e->id)))
		rc = remove_id(s, tx, &e->id, err);
	if (rc)
		return rc;
	totals_add(s, e);
	if (e->kind == ENTRY_FILE) {
		mutex_lock(&s->lock);
		seen_add(&s->seen, &e->content); /* S4 */
		mutex_unlock(&s->lock);
	}
	return db_run(tx, NULL, err, put, DB_PLACE(at), DB_I64(e->kind), DB_I64(e->size), DB_I64(e->mode), DB_I64(e->mtime_ns),
	    DB_HASH(&e->content), DB_TEXT(e->target ? e->target : ""), DB_ID(&e->id), DB_I64(e->version), DB_I64(e->dev),
	    DB_I64(e->ino), DB_I64(e->ctime_ns));
}

err_code
state_base_remove(struct state *s, const char *path, struct err *err)
{
	struct db_tx *tx = state_writer(s);
	struct id id;
	bool found = false;
	err_code rc = subtract_path(s, tx, path, &id, &found, err);

	return rc || !found ? rc : delete_path(tx, path, err);
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
	struct place_of at = place_of(path);
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM base WHERE dir = $1 AND name = $2", DB_PLACE(at));

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

static err_code
get_by_content(struct view *v, const struct hash *content, struct arena *a, struct entry *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = db_query(v->tx, &st, err, "SELECT " COLUMNS " FROM base WHERE content = $1 AND kind = 0 LIMIT 1", DB_HASH(content));

	return rc ? rc : one_row(st, "such a content", a, out, err);
}

err_code
state_base_by_content(struct state *s, const struct hash *content, struct arena *a, struct entry *out, struct err *err)
{
	struct view v;
	bool maybe;
	err_code rc;

	mutex_lock(&s->lock);
	maybe = seen_maybe(&s->seen, content);
	mutex_unlock(&s->lock);
	if (!maybe)
		return err_set(err, ERR_NOT_FOUND, "such a content is not in the base tree");
	rc = view_begin(s, &v, err);
	if (rc)
		return rc;
	rc = get_by_content(&v, content, a, out, err);
	view_end(&v);
	return rc;
}

static err_code
contents_of_size(struct view *v, int64_t size, struct hash *out, size_t max, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query(v->tx, &st, err, "SELECT content FROM base WHERE size = $1 AND kind = 0 AND size > 65536 LIMIT $2",
	    DB_I64(size), DB_I64(max));

	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		if (!column_fixed(st, 0, out[*n].b, sizeof out[*n].b))
			return column_damaged(err, "base");
		++*n;
	}
	return rc;
}

err_code
state_base_by_size(struct state *s, int64_t size, struct hash *out, size_t max, size_t *n, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	*n = 0;
	if (rc)
		return rc;
	rc = contents_of_size(&v, size, out, max, n, err);
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
		return ERR_OK;
	}
	rc = row_entry(w->st, w->path, &w->entry, err);
	if (!rc)
		*e = &w->entry;
	return rc;
}

err_code
state_base_verify(struct state *s, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *walk = NULL;
	struct state_totals totals;
	struct hash sum = { 0 };
	const struct entry *e;
	err_code rc = state_base_walk(s, &walk, err);

	if (rc == ERR_OK)
		rc = totals_of(s, &walk->view, &totals, err);
	while (rc == ERR_OK && (rc = state_walk_next(walk, &e, err)) == ERR_OK && e) {
		struct hash h = entry_digest(e);

		digest_add(&sum, &h);
	}
	if (rc == ERR_OK && !hash_eq(&sum, &totals.digest))
		return column_damaged(err, "the sum of the agreed tree is another one");
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
