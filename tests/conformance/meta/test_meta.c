/*
 * What every metadata back-end must do, run on every back-end: SQL over SQLite, and memory.  A test asks the back-end's table whether it
 * has what only some have; it never asks which one it is.
 *
 * At the end, every statement that the suite made the database prepare is asked for its plan: none may scan a table or sort.
 */
#include "suite.h"

#include <ftw.h>
#include <sqlite3.h>
#include <unistd.h>

/* ---- statements that were used ------------------------------------------------------------------------------------------------- */

static const char *used[256];
static size_t used_n;

static void
note_sql(void *arg, const char *sql)
{
	(void)arg;
	for (size_t i = 0; i < used_n; i++) {
		if (strcmp(used[i], sql) == 0)
			return;
	}
	assert_true(used_n < ARRAY_LEN(used));
	used[used_n++] = sql;
}

/* ---- back-ends -------------------------------------------------------------------------------------------------------------------- */

static void
open_sql(struct fixture *f)
{
	char path[300];

	(void)snprintf(path, sizeof path, "%s/meta.db", f->dir);
	ok(db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &f->db, ERR));
	ok(db_migrate(f->db, &db_server_migrations, 1, ERR));
	ok(meta_sql_open(f->db, &f->m, ERR));
}

static void
open_mem(struct fixture *f)
{
	f->m = meta_mem_new();
}

static const struct backend backends[] = {
	{ "sql", open_sql, .reopens = true, .bounded = true },
	{ "mem", open_mem },
};
static const struct backend *running; /* of the group: cmocka's set-ups know nothing else */

static void
shut(struct fixture *f)
{
	if (f->db)
		db_each_sql(f->db, note_sql, NULL);
	meta_free(f->m);
	f->m = NULL;
	f->db = NULL;
}

void
fixture_reopen(struct fixture *f)
{
	shut(f);
	f->be->open(f);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	const char *tmp = getenv("TMPDIR");

	f->be = running;
	(void)snprintf(f->dir, sizeof f->dir, "%s/dray-meta-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	f->be->open(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	shut(f);
	(void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static int
run(const struct backend *be, const struct group *g)
{
	struct CMUnitTest tests[32];

	running = be;
	for (size_t i = 0; i < g->n; i++) {
		tests[i] = g->tests[i];
		tests[i].setup_func = setup;
		tests[i].teardown_func = teardown;
	}
	return _cmocka_run_group_tests(be->name, tests, g->n, NULL, NULL);
}

/* ---- plans -------------------------------------------------------------------------------------------------------------------------- */

static bool
is_control(const char *sql)
{
	static const char *const words[] = { "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SELECT 1 FROM sqlite_schema" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strncmp(sql, words[i], strlen(words[i])) == 0)
			return true;
	}
	return strstr(sql, "schema_migrations") != NULL; /* once a start, a handful of rows */
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

		if (strncmp(detail, "SCAN ", 5) == 0 || strstr(detail, "TEMP B-TREE") || strstr(detail, "AUTOMATIC"))
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
		if (is_control(used[i]))
			continue;
		check_plan(h, used[i]);
		checked++;
	}
	assert_int_equal(checked, 93); /* every statement of meta_sql*.c: one that no test has used is not checked */
	check_seek(h, "version > $2 AND deleted_at = 0", "INDEX file_index_live (project_id=? AND version>?)");
	check_seek(h, "WHERE project_id = $1 AND version > $2 ORDER", "INDEX file_index_changes (project_id=? AND version>?)");
	check_seek(h, "dir = $2 AND name > $3", "INDEX file_index_path (project_id=? AND dir=? AND name>?)");
	check_seek(h, "(dir, name) > ($2, $3)", "INDEX file_index_path (project_id=? AND (dir,name)>(?,?))");
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
	check_seek(h, "deleted_at <> 0", "INDEX file_index_gone (project_id=? AND dir=? AND name=?)");
	check_seek(h, "n >= $2", "PRIMARY KEY (transfer_id=? AND n>?)");
	check_seek(h, "AND version < $3 ORDER BY version DESC", "PRIMARY KEY (project_id=? AND file_id=? AND version<?)");
	check_seek(h, "GROUP BY file_id", "PRIMARY KEY (project_id=? AND file_id>?)");
	sqlite3_close(h);
}

static const struct CMUnitTest plan_tests[] = { cmocka_unit_test(plans) };
static const struct group group_plans = { plan_tests, ARRAY_LEN(plan_tests) };

int
main(void)
{
	static const struct group *const groups[] = { &group_projects, &group_files, &group_listings, &group_views, &group_transfers,
		&group_sync, &group_history, &group_garbage, &group_tx };
	int failed = 0;

	for (size_t b = 0; b < ARRAY_LEN(backends); b++) {
		for (size_t g = 0; g < ARRAY_LEN(groups); g++)
			failed += run(&backends[b], groups[g]);
	}
	failed += run(&backends[0], &group_plans);
	return failed != 0;
}
