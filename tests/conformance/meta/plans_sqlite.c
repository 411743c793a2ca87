/* The plans of SQLite. */
#include "plans.h"

#include <sqlite3.h>

bool
plans_is_control(const char *sql)
{
	static const char *const words[] = { "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SELECT 1 FROM sqlite_schema" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strncmp(sql, words[i], strlen(words[i])) == 0)
			return true;
	}
	return strstr(sql, "schema_migrations") != NULL; /* once a start, a handful of rows */
}

/* A table is read from end to end; not one of the numbers that a statement counts to. */
static bool
is_scan(const char *detail)
{
	return strncmp(detail, "SCAN ", 5) == 0 && strcmp(detail, "SCAN CONSTANT ROW") != 0 && strcmp(detail, "SCAN numbers") != 0;
}

static void
check_plan(sqlite3 *h, const char *sql)
{
	char explain[2048];
	sqlite3_stmt *st;

	(void)snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
	if (sqlite3_prepare_v2(h, explain, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(h));
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(st, 3);

		if (is_scan(detail) || strstr(detail, "TEMP B-TREE") || strstr(detail, "AUTOMATIC"))
			fail_msg("%s\n  plan: %s", sql, detail);
	}
	sqlite3_finalize(st);
}

static void
greatest(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	(void)n;
	sqlite3_result_value(ctx, v[0]);
}

/* The listings must also seek as far into their index as they can, not only to the project's first row. */
static void
check_seek(sqlite3 *h, const char *start, const char *seek)
{
	char explain[2048];
	sqlite3_stmt *st;
	bool found = false;

	for (size_t i = 0; i < used_n && !found; i++) {
		if (!strstr(used[i], start))
			continue;
		(void)snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", used[i]);
		assert_int_equal(sqlite3_prepare_v2(h, explain, -1, &st, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(st), SQLITE_ROW);
		if (!strstr((const char *)sqlite3_column_text(st, 3), seek))
			fail_msg("%s\n  plan: %s\n  not: %s", used[i], (const char *)sqlite3_column_text(st, 3), seek);
		sqlite3_finalize(st);
		found = true;
	}
	if (!found)
		fail_msg("no statement has \"%s\"", start);
}

static void
plans(void **state)
{
	struct fixture *f = *state;
	char path[300];
	sqlite3 *h;
	size_t checked = 0;

	(void)snprintf(path, sizeof path, "%s/meta.db", f->dir);
	assert_int_equal(sqlite3_open_v2(path, &h, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_create_function(h, "greatest", -1, SQLITE_UTF8, NULL, greatest, NULL, NULL);
	for (size_t i = 0; i < used_n; i++) {
		if (plans_is_control(used[i]))
			continue;
		check_plan(h, used[i]);
		checked++;
	}
	assert_int_equal(checked, PLANS_STATEMENTS);
	check_seek(h, "version > $2 AND deleted_at = 0", "INDEX file_index_live (project_id=? AND version>?)");
	check_seek(h, "WHERE project_id = $1 AND version > $2 ORDER", "INDEX file_index_changes (project_id=? AND version>?)");
	check_seek(h, "dir = $2 AND name > $3", "INDEX file_index_path (project_id=? AND dir=? AND name>?)");
	check_seek(h, "(dir, name) > ($2, $3)", "INDEX file_index_path (project_id=? AND (dir,name)>(?,?))");
	check_seek(h, "size BETWEEN 1 AND $2", "INDEX file_index_path (project_id=?)");
	check_seek(h, "name = $3 AND deleted_at = 0", "INDEX file_index_path (project_id=? AND dir=? AND name=?");
	check_seek(h, "(dir, name) >= ($2, $3)", "COVERING INDEX file_index_path (project_id=? AND (dir,name)>(?,?))");
	check_seek(h, "name < $3 ORDER BY name DESC", "(project_id=? AND dir=? AND name<?)");
	check_seek(h, "kind = 1 AND name > $3", "INDEX file_index_dirs (project_id=? AND dir=? AND name>?)");
	check_seek(h, "kind = 1 AND name < $3", "INDEX file_index_dirs (project_id=? AND dir=? AND name<?)");
	check_seek(h, "(size, name) > ($3, $4)", "INDEX file_index_size (project_id=? AND dir=? AND (size,name)>(?,?))");
	check_seek(h, "(size, name) < ($3, $4)", "INDEX file_index_size (project_id=? AND dir=? AND (size,name)<(?,?))");
	check_seek(h, "(mtime_ns, name) > ($3, $4)", "INDEX file_index_mtime (project_id=? AND dir=? AND (mtime_ns,name)>(?,?))");
	check_seek(h, "(mtime_ns, name) < ($3, $4)", "INDEX file_index_mtime (project_id=? AND dir=? AND (mtime_ns,name)<(?,?))");
	check_seek(h, "kind <> 1 AND version > $3", "INDEX file_index_changed (project_id=? AND dir=? AND version>?)");
	check_seek(h, "kind <> 1 AND version < $3", "INDEX file_index_changed (project_id=? AND dir=? AND version<?)");
	check_seek(h, "SET files_beneath = files_beneath", "INDEX file_index_path (project_id=? AND dir=? AND name=?");
	check_seek(h, "deleted_at <> 0 ORDER BY version LIMIT 1", "INDEX file_index_tombstones (project_id=?)");
	check_seek(h, "path = $2 AND deleted = 1", "INDEX file_versions_gone (project_id=? AND path=?)");
	check_seek(h, "n >= $2", "PRIMARY KEY (transfer_id=? AND n>?)");
	check_seek(h, "AND version < $3 ORDER BY version DESC", "PRIMARY KEY (project_id=? AND file_id=? AND version<?)");
	check_seek(h, "GROUP BY file_id", "PRIMARY KEY (project_id=? AND file_id>?)");
	check_seek(h, "FROM file_versions WHERE project_id = $1 AND list = $2", "COVERING INDEX file_versions_list (project_id=? AND list=?");
	check_seek(h, "created_at > $2 ORDER", "INDEX conflicts_order (project_id=? AND created_at>?)");
	check_seek(h, "created_at > $2 AND resolved_at = 0 ORDER", "INDEX conflicts_open (project_id=? AND created_at>?)");
	check_seek(h, "FROM delete_hours", "PRIMARY KEY (project_id=? AND device_id=?)");
	sqlite3_close(h);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(plans) };
const struct group group_plans_sqlite = { tests, ARRAY_LEN(tests) };
