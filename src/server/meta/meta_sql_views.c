/*
 * The tree as people look at it, over SQL.  Each order of a directory is an index of its own, read from either end; the start of a walk
 * is a value that lies before, or after, all that there can be.
 */
#include "server/meta/meta_sql_internal.h"

#define FROM_FILES "SELECT " SQL_FILE_COLUMNS ", " SQL_BENEATH_COLUMNS " FROM file_index"
#define IN_DIR " WHERE project_id = $1 AND dir = $2 AND deleted_at = 0"

/* After every name: 64 times U+10FFFF, the last character there is, which makes 256 bytes where a name has 255. */
#define LAST_CHAR_4 "\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf"
#define LAST_CHAR_16 LAST_CHAR_4 LAST_CHAR_4 LAST_CHAR_4 LAST_CHAR_4
#define PAST_ALL_NAMES LAST_CHAR_16 LAST_CHAR_16 LAST_CHAR_16 LAST_CHAR_16

static err_code
by_name(struct meta_tx *tx, const char *sql, const struct id *project, const char *dir, const char *name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXT(dir), DB_TEXT(name), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, sql_read_file, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}

err_code
sql_file_dirs(struct meta_tx *tx, const struct id *project, const char *dir, bool desc, const char *after_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	static const char up[] = FROM_FILES IN_DIR " AND kind = 1 AND name > $3 ORDER BY name LIMIT $4";
	static const char down[] = FROM_FILES IN_DIR " AND kind = 1 AND name < $3 ORDER BY name DESC LIMIT $4";
	const char *start = desc ? PAST_ALL_NAMES : "";

	return by_name(tx, desc ? down : up, project, dir, after_name ? after_name : start, limit, out, n, err);
}

err_code
sql_file_dir_back(struct meta_tx *tx, const struct id *project, const char *dir, const char *before_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	static const char sql[] = FROM_FILES IN_DIR " AND name < $3 ORDER BY name DESC LIMIT $4";

	return by_name(tx, sql, project, dir, before_name ? before_name : PAST_ALL_NAMES, limit, out, n, err);
}

/* Versions are unique, so a place among them needs no name. */
static err_code
by_version(struct meta_tx *tx, const struct id *project, const char *dir, bool desc, const struct file_place *after, unsigned limit,
    void **array, size_t *n, struct err *err)
{
	static const char up[] = FROM_FILES IN_DIR " AND kind <> 1 AND version > $3 ORDER BY version LIMIT $4";
	static const char down[] = FROM_FILES IN_DIR " AND kind <> 1 AND version < $3 ORDER BY version DESC LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc = sql_query(tx, &st, err, desc ? down : up, DB_ID(project), DB_TEXT(dir), DB_I64(after->key), DB_I64(limit));

	return rc ? rc : sql_all(tx, st, sql_read_file, sizeof(struct file), array, n, err);
}

static err_code
by_key(struct meta_tx *tx, const struct id *project, const char *dir, enum file_key key, bool desc, const struct file_place *after,
    unsigned limit, void **array, size_t *n, struct err *err)
{
	static const char *const sql[2][2] = {
		[FILE_SIZE] = { FROM_FILES IN_DIR " AND kind <> 1 AND (size, name) > ($3, $4) ORDER BY size, name LIMIT $5",
		    FROM_FILES IN_DIR " AND kind <> 1 AND (size, name) < ($3, $4) ORDER BY size DESC, name DESC LIMIT $5" },
		[FILE_MTIME] = { FROM_FILES IN_DIR " AND kind <> 1 AND (mtime_ns, name) > ($3, $4) ORDER BY mtime_ns, name LIMIT $5",
		    FROM_FILES IN_DIR " AND kind <> 1 AND (mtime_ns, name) < ($3, $4) ORDER BY mtime_ns DESC, name DESC LIMIT $5" },
	};
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	rc = sql_query(tx, &st, err, sql[key][desc], DB_ID(project), DB_TEXT(dir), DB_I64(after->key), DB_TEXT(after->name),
	    DB_I64(limit));
	return rc ? rc : sql_all(tx, st, sql_read_file, sizeof(struct file), array, n, err);
}

err_code
sql_file_sorted(struct meta_tx *tx, const struct id *project, const char *dir, enum file_key key, bool desc,
    const struct file_place *after, unsigned limit, struct file **out, size_t *n, struct err *err)
{
	struct file_place start = desc ? (struct file_place){ INT64_MAX, PAST_ALL_NAMES } : (struct file_place){ INT64_MIN, "" };
	void *array = NULL;
	err_code rc;

	if (!after)
		after = &start;
	*n = 0;
	rc = key == FILE_VERSION ? by_version(tx, project, dir, desc, after, limit, &array, n, err) :
				   by_key(tx, project, dir, key, desc, after, limit, &array, n, err);
	*out = array;
	return rc;
}

static void
read_name(struct row *r, void *out)
{
	struct file_name *f = out;

	row_id(r, &f->id);
	f->dir = row_text(r);
	f->name = row_text(r);
}

err_code
sql_file_names(struct meta_tx *tx, const struct id *project, const char *dir, const char *name, unsigned limit,
    struct file_name **out, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT id, dir, name FROM file_index"
				  " WHERE project_id = $1 AND (dir, name) >= ($2, $3) AND deleted_at = 0 ORDER BY dir, name LIMIT $4";
	AUTO(db_resetp) struct db_stmt *st = NULL;
	void *array = NULL;
	err_code rc;

	*n = 0;
	rc = sql_query(tx, &st, err, sql, DB_ID(project), DB_TEXT(dir), DB_TEXT(name), DB_I64(limit));
	if (!rc)
		rc = sql_all(tx, st, read_name, sizeof **out, &array, n, err);
	*out = array;
	return rc;
}
