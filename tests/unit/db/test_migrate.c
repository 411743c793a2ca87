/* Migrations: once each, all or nothing each, and refused where the database and the program do not belong together. */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"

#define SET(...) \
	((struct db_migrations){ .list = (const struct db_migration[]){ __VA_ARGS__ }, \
	    .n = ARRAY_LEN(((const struct db_migration[]){ __VA_ARGS__ })) })

#define ONE { "20261122_010_one", "CREATE TABLE one (a @int@, b @bytes@, c @text@ NOT NULL PRIMARY KEY) @clustered@;\n" }
#define TWO { "20261122_020_two", "CREATE TABLE two (a @int@) @rows@;\nINSERT INTO two VALUES (1); INSERT INTO two VALUES (2);" }
#define BAD { "20261122_020_two", "CREATE TABLE two (a @int@); INSERT INTO two VALUES (1); CREATE TABEL three;" }

/* The number that ${sql} selects; -1 when there is no such table or row. */
static int64_t
number(struct fixture *f, const char *sql)
{
	AUTO(db_abort) struct db_tx *tx = begin(f, DB_READ);
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;

	if (db_query_values(tx, &st, NULL, sql, NULL, 0))
		return -1;
	ok(db_step(st, &row, ERR));
	return row ? db_i64(st, 0) : -1;
}

static const char rows_of_two[] = "SELECT count(*) FROM two", records[] = "SELECT count(*) FROM schema_migrations",
		  first_at[] = "SELECT applied_at FROM schema_migrations ORDER BY name LIMIT 1";

static void
once(void **state)
{
	struct db_migrations set = SET(ONE, TWO);

	ok(db_migrate(((struct fixture *)*state)->db, &set, 100, ERR));
	ok(db_migrate(((struct fixture *)*state)->db, &set, 200, ERR));
	assert_int_equal(number(*state, rows_of_two), 2);
	assert_int_equal(number(*state, records), 2);
	assert_int_equal(number(*state, first_at), 100);
}

static void
grows(void **state)
{
	struct db_migrations before = SET(ONE), after = SET(ONE, TWO);

	ok(db_migrate(((struct fixture *)*state)->db, &before, 100, ERR));
	assert_int_equal(number(*state, rows_of_two), -1);
	ok(db_migrate(((struct fixture *)*state)->db, &after, 200, ERR));
	assert_int_equal(number(*state, rows_of_two), 2);
	assert_int_equal(number(*state, first_at), 100);
}

/* What fails midway is not begun, nor what came with it; the schema stays what it was; the repaired one is applied. */
static void
half(void **state)
{
	struct db_migrations one = SET(ONE), bad = SET(ONE, BAD), good = SET(ONE, TWO);

	for (int i = 0; i < 3; i++) {
		answers(db_migrate(((struct fixture *)*state)->db, &bad, 100, ERR), ERR_DB);
		assert_non_null(strstr(unit_err.msg, "20261122_020_two"));
		assert_int_equal(number(*state, rows_of_two), -1);
		assert_int_equal(number(*state, records), i < 2 ? 0 : 1);
		assert_int_equal(number(*state, "SELECT count(*) FROM one"), i < 2 ? -1 : 0);
		if (i == 1)
			ok(db_migrate(((struct fixture *)*state)->db, &one, 100, ERR));
	}
	ok(db_migrate(((struct fixture *)*state)->db, &good, 200, ERR));
	assert_int_equal(number(*state, rows_of_two), 2);
	assert_int_equal(number(*state, records), 2);
}

static void
refused(void **state)
{
	struct db_migrations full = SET(ONE, TWO), older = SET(ONE),
			     changed = SET({ "20261122_010_one", "CREATE TABLE one (a @int@);" }, TWO,
				 { "20261122_030_more", "CREATE TABLE more (a @int@);" });
	struct db *db = ((struct fixture *)*state)->db;

	ok(db_migrate(db, &full, 100, ERR));
	answers(db_migrate(db, &older, 200, ERR), ERR_DB);
	assert_string_equal(unit_err.reason, "newer_schema");
	assert_non_null(strstr(unit_err.msg, "20261122_020_two"));
	answers(db_migrate(db, &changed, 200, ERR), ERR_DB);
	assert_string_equal(unit_err.reason, "changed_migration");
	assert_int_equal(number(*state, "SELECT count(*) FROM more"), -1); /* refused before anything is changed */
	assert_int_equal(number(*state, records), 2);
}

/* Only words between two '@' that the engine knows are replaced. */
static void
tokens(void **state)
{
	struct db_migrations set = SET({ "20261122_010_at",
	    "CREATE TABLE m (a @text@); INSERT INTO m VALUES ('x@y.z @ @int @nothing@ @int@');" });
	struct fixture *f = *state;
	char sql[128];

	(void)snprintf(sql, sizeof sql, "SELECT count(*) FROM m WHERE a = 'x@y.z @ @int @nothing@ %s'", engine->int_type);
	ok(db_migrate(f->db, &set, 100, ERR));
	assert_int_equal(number(f, sql), 1);
}

/* ---- at once, and killed ---------------------------------------------------------------------------------------------------- */

static void *
migrate_too(void *arg)
{
	struct db_migrations set = SET(ONE, TWO);
	struct err err;

	return db_migrate(arg, &set, 300, &err) ? arg : NULL;
}

static void
at_once(void **state)
{
	struct fixture *f = *state;
	struct db *other;
	struct db_migrations set = SET(ONE, TWO);
	pthread_t thread;
	void *failed;

	ok(engine->open(f, &(struct open_opts){ .wait_ms = 0 }, &other, ERR));
	ok(thread_start("migrate", migrate_too, other, &thread, ERR));
	ok(db_migrate(f->db, &set, 100, ERR));
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	db_free(other);
	assert_int_equal(number(f, rows_of_two), 2);
	assert_int_equal(number(f, records), 2);
}

#define SLOW \
	{ "20261122_030_slow", \
	    "CREATE TABLE slow (a @int@); INSERT INTO slow WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 20000)" \
	    " SELECT x FROM c; CREATE TABLE slow2 (a @int@); INSERT INTO slow2 SELECT a FROM slow; CREATE INDEX slow_a ON slow (a);" }

static void
killed_child(const char *path)
{
	struct db_migrations set = SET(ONE, TWO, SLOW);
	struct db *db;

	if (db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, NULL) || db_migrate(db, &set, 100, NULL))
		_exit(1);
	_exit(0);
}

/* Wherever the kill hits, the next start finds all migrations done or none begun, and finishes. */
static void
killed(void **state)
{
	NEEDS_FILE();
	struct db_migrations set = SET(ONE, TWO, SLOW);
	struct fixture *f = *state;

	for (unsigned i = 0; i < 24; i++) {
		struct fixture g = { .db = NULL };
		bool done;
		int status;
		pid_t pid;

		(void)snprintf(g.path, sizeof g.path, "%s/killed-%u.db", f->dir, i);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			killed_child(g.path);
		(void)usleep(i * i * 60);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		open_db(&g, (struct open_opts){ .wait_ms = 0 });
		done = number(&g, records) > 0;
		assert_int_equal(number(&g, rows_of_two), done ? 2 : -1);
		assert_int_equal(number(&g, "SELECT count(*) FROM slow2"), done ? 20000 : -1);
		ok(db_migrate(g.db, &set, 200, ERR));
		assert_int_equal(number(&g, rows_of_two), 2);
		assert_int_equal(number(&g, "SELECT count(*) FROM slow2"), 20000);
		db_free(g.db);
	}
}

/* The server's own: they apply, and the tables of the plan have the names that people look for. */
static void
server_set(void **state)
{
	static const char *const tables[] = { "SELECT count(*) FROM file_index", "SELECT count(*) FROM file_blocks",
		"SELECT count(*) FROM file_transfers", "SELECT count(*) FROM file_transfer_chunks", "SELECT count(*) FROM file_transfer_progress",
		"SELECT count(*) FROM transfer_events", "SELECT count(*) FROM project_snapshots", "SELECT count(*) FROM sync_checkpoints",
		"SELECT count(*) FROM projects", "SELECT count(*) FROM devices", "SELECT count(*) FROM device_grants",
		"SELECT count(*) FROM chunks", "SELECT count(*) FROM file_versions", "SELECT count(*) FROM conflicts",
		"SELECT count(*) FROM idempotency", "SELECT count(*) FROM file_transfer_blocks" };
	struct fixture *f = *state;

	ok(db_migrate(f->db, &db_server_migrations, 100, ERR));
	ok(db_migrate(f->db, &db_server_migrations, 200, ERR));
	for (size_t i = 0; i < ARRAY_LEN(tables); i++)
		assert_int_equal(number(f, tables[i]), 0);
}

#define LISTS_HAVE_IDS 14 /* migrations before that */
#define FILE_ROW(name, size, deleted) \
	"INSERT INTO file_index (project_id, id, dir, name, kind, version, size, mode, mtime_ns, content, target, created_at, changed_by," \
	" deleted_at) VALUES ($1, $3, '', " name ", 0, 3 + length(" name "), " #size ", 420, 1, $2, '', 1, $1, " \
	"CASE " #deleted " WHEN 0 THEN 0 ELSE 3 + length(" name ") END)"

/* A database from before block lists had ids: who has bytes has a list, which is the one of its content. */
static void
lists_get_ids(void **state)
{
	static const char *const old[] = {
		"INSERT INTO projects (id, name, epoch, clock, horizon, digest, file_count, total_bytes, created_at) VALUES ($1, 'p', $1, 9, 0, $2, 0, 0, 1)",
		FILE_ROW("'a'", 5, 0), FILE_ROW("'empty'", 0, 0), FILE_ROW("'gone'", 5, 3),
		"INSERT INTO file_versions (project_id, file_id, version, path, kind, size, mode, mtime_ns, content, target, changed_by, deleted)"
		" SELECT $1, id, version, name, kind, size, mode, mtime_ns, content, '', $1, CASE deleted_at WHEN 0 THEN 0 ELSE 1 END"
		" FROM file_index WHERE content = $2",
		"INSERT INTO file_blocks (project_id, content, page, packed) VALUES ($1, $2, 0, $2)",
	};
	static const char live[] = "SELECT count(*) FROM file_index f JOIN file_versions v ON v.file_id = f.id JOIN file_blocks b ON b.list = v.list"
				   " WHERE v.list = f.list AND v.size = 5 AND v.deleted = 0 AND b.packed = v.content";
	struct db_migrations before = { .list = db_server_migrations.list, .n = LISTS_HAVE_IDS };
	struct id project = id_new(), ids[] = { id_new(), id_new(), id_new() };
	struct hash content = hash_of("x", 1);
	struct fixture *f = *state;
	struct db_tx *tx;

	assert_string_equal(db_server_migrations.list[LISTS_HAVE_IDS].name, "20261127_150_lists");
	ok(db_migrate(f->db, &before, 100, ERR));
	tx = begin(f, DB_WRITE);
	for (size_t i = 0; i < ARRAY_LEN(old); i++) {
		const struct db_value values[] = { DB_ID(&project), DB_HASH(&content), DB_ID(&ids[i % 3]) };

		ok(db_run_values(tx, NULL, ERR, old[i], values, strstr(old[i], "$3") ? 3 : 2));
	}
	ok(db_commit(&tx, ERR));
	ok(db_migrate(f->db, &db_server_migrations, 200, ERR));
	assert_int_equal(number(f, live), 1);
	assert_int_equal(number(f, "SELECT count(*) FROM file_index WHERE list IS NULL"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM file_versions WHERE list IS NULL"), 2);
	assert_int_equal(number(f, "SELECT count(*) FROM file_blocks"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(once),
		T(grows),
		T(half),
		T(refused),
		T(tokens),
		T(at_once),
		T(killed),
		T(server_set),
		T(lists_get_ids),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
