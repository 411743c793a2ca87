/*
 * What every metadata back-end must do, run on every back-end: SQL over SQLite, memory, and with DRAY_TEST_DB=postgres SQL over PostgreSQL.
 * A test asks the back-end's table whether it has what only some have; it never asks which one it is.
 *
 * At the end, every statement that the suite made the database prepare is asked for its plan: none may scan a table or sort.
 */
#include "plans.h"

#include <ftw.h>
#include <unistd.h>

#include "base/log.h"

/* ---- statements that were used ------------------------------------------------------------------------------------------------- */

const char *used[256];
size_t used_n;

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

/* The first time in a schema of its own; again, in the same. */
static void
open_postgres(struct fixture *f)
{
	if (!f->schema.name[0])
		schema_make(&f->schema);
	ok(db_postgres_open(&(struct db_postgres_opts){ .url = f->schema.url }, &f->db, ERR));
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
	{ "postgres", open_postgres, .reopens = true, .bounded = true },
};
enum { SQLITE, MEM, POSTGRES };
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
	if (f->schema.name[0])
		schema_drop(&f->schema);
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

static int
run_all(const struct backend *be)
{
	static const struct group *const groups[] = { &group_projects, &group_files, &group_listings, &group_views, &group_transfers,
		&group_sync, &group_history, &group_conflicts, &group_garbage, &group_tx };
	int failed = 0;

	for (size_t g = 0; g < ARRAY_LEN(groups); g++)
		failed += run(be, groups[g]);
	return failed;
}

int
main(void)
{
	const char *which = getenv("DRAY_TEST_DB");

	if (which && strcmp(which, "postgres") == 0) {
		if (!schema_server())
			return SCHEMA_SKIP;
		log_setup(LOG_ERROR, false); /* that the test's server has fsync=off is known */
		return (run_all(&backends[POSTGRES]) + run(&backends[POSTGRES], &group_plans_postgres)) != 0;
	}
	return (run_all(&backends[SQLITE]) + run_all(&backends[MEM]) + run(&backends[SQLITE], &group_plans_sqlite)) != 0;
}
