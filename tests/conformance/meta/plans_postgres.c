/*
 * The plans of PostgreSQL, as the driver makes them: once, for any value, with what it tells the planner (postgres_conn.c).  The
 * tables are filled and analysed before, so that nothing is an index scan for want of rows; the settings alone would prefer an
 * index to a scan of the table, but cannot make an index that is not there, or lend its order.
 */
#include "plans.h"

#include <libpq-fe.h>

static void
sql(PGconn *pg, const char *text)
{
	PGresult *res = PQexec(pg, text);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(pg));
	PQclear(res);
}

/* Projects of very different size, so that an index by project alone is not enough. */
static void
fill(PGconn *pg)
{
	sql(pg, "INSERT INTO projects (id, name, epoch, clock, horizon, digest, file_count, total_bytes, created_at)"
	        " SELECT decode(md5('p' || n), 'hex'), 'p', decode(md5('e'), 'hex'), 1, 0, sha256(''), 0, 0, 1 FROM generate_series(1, 50) n");
	sql(pg, "INSERT INTO devices (id, name, kind, token_hash, created_at, last_seen_at, revoked_at)"
	        " SELECT decode(md5('d' || n), 'hex'), 'd', 0, sha256(('d' || n)::bytea), 1, 1, 0 FROM generate_series(1, 500) n");
	sql(pg, "INSERT INTO device_grants (device_id, project_id, role) SELECT d.id, p.id, 1 FROM devices d, projects p");
	sql(pg, "INSERT INTO sync_checkpoints (project_id, device_id, epoch, clock, updated_at)"
	        " SELECT project_id, device_id, decode(md5('e'), 'hex'), 1, 1 FROM device_grants");
	sql(pg, "INSERT INTO file_index (project_id, id, dir, name, kind, version, size, mode, mtime_ns, content, list, target, created_at, changed_by,"
	        " deleted_at) SELECT decode(md5('p' || (1 + n % 2)), 'hex'), decode(md5('f' || n), 'hex'), 'dir' || n / 100, 'file' || n, 0, n, 1,"
	        " 0, 1, sha256(n::text::bytea), decode(md5('l' || n), 'hex'), '', 1, decode(md5('d1'), 'hex'), CASE n % 10 WHEN 0 THEN n ELSE 0 END FROM"
	        " generate_series(1, 20000) n");
	sql(pg, "INSERT INTO file_versions (project_id, file_id, version, path, kind, size, mode, mtime_ns, content, list, target, changed_by, deleted)"
	        " SELECT project_id, id, version + v, dir || '/' || name, kind, size, mode, mtime_ns, content, list, '', changed_by, 0"
	        " FROM file_index, generate_series(0, 1) v");
	sql(pg, "INSERT INTO file_blocks (project_id, list, page, packed)"
	        " SELECT project_id, list, page, 'x' FROM file_index, generate_series(0, 1) page");
	sql(pg, "INSERT INTO chunks (project_id, id, stored_len, raw_len, block_count, created_at) SELECT project_id, content, 1, 1, 1, 1"
	        " FROM file_index");
	sql(pg, "INSERT INTO file_transfers (id, project_id, device_id, state, path, size, chunk_count, bytes_done, created_at, expires_at, ended_at)"
	        " SELECT id, project_id, changed_by, CASE n % 2 WHEN 0 THEN 0 ELSE 1 END, '', 0, 0, 0, n, n, n % 2"
	        " FROM (SELECT *, row_number() OVER () n FROM file_index LIMIT 5000) f");
	sql(pg, "INSERT INTO file_transfer_chunks (transfer_id, n, chunk_id) SELECT id, n, sha256('') FROM file_transfers,"
	        " generate_series(0, 3) n");
	sql(pg, "INSERT INTO file_transfer_blocks (transfer_id, first_block, block_count, packed) SELECT id, n, 1, 'x' FROM file_transfers,"
	        " generate_series(0, 3) n");
	sql(pg, "INSERT INTO file_transfer_progress (transfer_id, bytes_done, updated_at) SELECT id, 1, 1 FROM file_transfers");
	sql(pg, "INSERT INTO transfer_events (transfer_id, n, event, at) SELECT id, n, 'started', n FROM file_transfers,"
	        " generate_series(0, 3) n");
	sql(pg, "INSERT INTO idempotency (device_id, key_hash, request_hash, status, body, created_at)"
	        " SELECT decode(md5('d' || n % 50), 'hex'), sha256(n::text::bytea), sha256(''), 200, '', n FROM generate_series(1, 5000) n");
	sql(pg, "INSERT INTO project_snapshots (project_id, id, format, clock, epoch, digest, object, stored_len, raw_len, file_count, total_bytes,"
	        " created_at, expires_at) SELECT p.id, decode(md5('s' || n), 'hex'), 0, n, p.epoch, p.digest, sha256(''), 1, 1, 1, 1, n, n FROM"
	        " projects p, generate_series(1, 20) n");
	sql(pg, "ANALYZE");
}

/* How many values the text takes: the highest $n. */
static unsigned
count_params(const char *text)
{
	unsigned most = 0;

	for (const char *p = strchr(text, '$'); p; p = strchr(p + 1, '$'))
		most = MAX(most, (unsigned)strtoul(p + 1, NULL, 10));
	return most;
}

/* The plan of ${text}, as it is made for any value. */
static void
plan_of(PGconn *pg, const char *text, char *plan, size_t cap)
{
	char query[4096];
	unsigned n = count_params(text);
	size_t len = 0;
	PGresult *res;

	/* The driver says what each value is; here PostgreSQL infers it, and would take the other substr. */
	(void)snprintf(query, sizeof query, "PREPARE q %s AS %s", strstr(text, "substr($2") ? "(bytea, bytea, bigint)" : "", text);
	sql(pg, query);
	(void)snprintf(query, sizeof query, "EXPLAIN (COSTS OFF) EXECUTE q%s", n ? "(" : "");
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(query + strlen(query), sizeof query - strlen(query), "%sNULL%s", i ? ", " : "", i + 1 == n ? ")" : "");
	res = PQexec(pg, query);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", query, PQerrorMessage(pg));
	plan[0] = '\0';
	for (int i = 0; i < PQntuples(res) && len < cap; i++)
		len += (size_t)snprintf(plan + len, cap - len, "%s\n", PQgetvalue(res, i, 0));
	PQclear(res);
	sql(pg, "DEALLOCATE q");
}

/* A line of a plan that says "Index Scan" or "Index Only Scan", from ${p} on; NULL: none is left. */
static const char *
index_scan(const char *p)
{
	const char *plain = strstr(p, "Index Scan"), *only = strstr(p, "Index Only Scan");

	return !plain || (only && only < plain) ? only : plain;
}

/* What of the plan is not a range of an index, in its order; NULL: nothing. */
static const char *
wrong_with(const char *plan)
{
	static const char *const never[] = { "Seq Scan", "Bitmap", "Sort", "Materialize", "Hash Join" };

	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		if (strstr(plan, never[i]))
			return never[i];
	}
	for (const char *p = index_scan(plan); p; p = index_scan(p + 1)) {
		const char *next = strchr(p, '\n') + 1;

		if (strncmp(next + strspn(next, " "), "Index Cond", 10) != 0)
			return "a whole index";
	}
	return NULL;
}

static bool
plan_is_good(PGconn *pg, const char *text)
{
	char plan[8192];
	const char *wrong;

	plan_of(pg, text, plan, sizeof plan);
	wrong = wrong_with(plan);
	if (wrong)
		print_error("%s\n  plan (%s):\n%s\n", text, wrong, plan);
	return !wrong;
}

/* The listings must also seek as far into their index as they can, not only to the project's first row. */
static void
check_seek(PGconn *pg, const char *start, const char *index, const char *cond)
{
	char plan[8192];

	for (size_t i = 0; i < used_n; i++) {
		if (!strstr(used[i], start))
			continue;
		plan_of(pg, used[i], plan, sizeof plan);
		if (!strstr(plan, index) || !strstr(plan, cond))
			fail_msg("%s\n  plan:\n%s\n  not: %s, %s", used[i], plan, index, cond);
		return;
	}
	fail_msg("no statement has \"%s\"", start);
}

/* Tell this session's planner what the driver tells its own. */
static void
same_planner(struct fixture *f, PGconn *pg)
{
	static const char ask[] = "SELECT string_agg('SET ' || name || ' = ' || setting, '; ') FROM pg_settings WHERE source = 'client'"
				  " AND (name LIKE 'enable%' OR name IN ('jit', 'plan_cache_mode'))";
	AUTO(db_abort) struct db_tx *tx = NULL;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;

	ok(db_begin(f->db, DB_READ, &tx, ERR));
	ok(db_query_values(tx, &st, ERR, ask, NULL, 0));
	ok(db_step(st, &row, ERR));
	assert_non_null(strstr(db_text(st, 0, NULL), "plan_cache_mode = force_generic_plan"));
	sql(pg, db_text(st, 0, NULL));
}

static void
plans(void **state)
{
	struct fixture *f = *state;
	PGconn *pg = PQconnectdb(f->schema.url);
	size_t checked = 0, good = 0;

	assert_int_equal(PQstatus(pg), CONNECTION_OK);
	fill(pg);
	same_planner(f, pg);
	for (size_t i = 0; i < used_n; i++) {
		if (plans_is_control(used[i]))
			continue;
		good += plan_is_good(pg, used[i]);
		checked++;
	}
	assert_int_equal(good, checked);
	assert_int_equal(checked, PLANS_STATEMENTS);
	check_seek(pg, "version > $2 AND deleted_at = 0", "file_index_live", "((project_id = $1) AND (version > $2))");
	check_seek(pg, "WHERE project_id = $1 AND version > $2 ORDER", "file_index_changes", "((project_id = $1) AND (version > $2))");
	check_seek(pg, "dir = $2 AND name > $3", "file_index_path", "((project_id = $1) AND (dir = $2) AND (name > $3))");
	check_seek(pg, "(dir, name) > ($2, $3)", "file_index_path", "((project_id = $1) AND (ROW(dir, name) > ROW($2, $3)))");
	check_seek(pg, "size BETWEEN 1 AND $2", "file_index_path", "(project_id = $1)");
	check_seek(pg, "size BETWEEN 1 AND $2", "file_blocks_list", "((project_id = file_index.project_id) AND (list = file_index.list) AND (page = 0))");
	check_seek(pg, "name = $3 AND deleted_at = 0", "file_index_path", "((project_id = $1) AND (dir = $2) AND (name = $3))");
	check_seek(pg, "(dir, name) >= ($2, $3)", "file_index_path", "((project_id = $1) AND (ROW(dir, name) >= ROW($2, $3)))");
	check_seek(pg, "kind = 1 AND name > $3", "file_index_dirs", "((project_id = $1) AND (dir = $2) AND (name > $3))");
	check_seek(pg, "kind = 1 AND name < $3", "file_index_dirs", "((project_id = $1) AND (dir = $2) AND (name < $3))");
	check_seek(pg, "(size, name) > ($3, $4)", "file_index_size", "((project_id = $1) AND (dir = $2) AND (ROW(size, name) > ROW($3, $4)))");
	check_seek(pg, "(size, name) < ($3, $4)", "file_index_size", "((project_id = $1) AND (dir = $2) AND (ROW(size, name) < ROW($3, $4)))");
	check_seek(pg, "(mtime_ns, name) > ($3, $4)", "file_index_mtime",
	    "((project_id = $1) AND (dir = $2) AND (ROW(mtime_ns, name) > ROW($3, $4)))");
	check_seek(pg, "kind <> 1 AND version > $3", "file_index_changed", "((project_id = $1) AND (dir = $2) AND (version > $3))");
	check_seek(pg, "deleted_at <> 0 ORDER BY version LIMIT 1", "file_index_tombstones", "(project_id = $1)");
	check_seek(pg, "path = $2 AND deleted = 1", "file_versions_gone", "((project_id = $1) AND (path = $2))");
	check_seek(pg, "n >= $2", "file_transfer_chunks_pkey", "((transfer_id = $1) AND (n >= $2))");
	check_seek(pg, "AND version < $3 ORDER BY version DESC", "file_versions_pkey", "((project_id = $1) AND (file_id = $2) AND (version < $3))");
	check_seek(pg, "GROUP BY file_id", "file_versions_pkey", "((project_id = $1) AND (file_id > $2))");
	check_seek(pg, "GROUP BY file_id", "GroupAggregate", "");
	check_seek(pg, "DELETE FROM file_transfers WHERE id IN", "file_transfers_pkey", "(id = ");
	PQfinish(pg);
}

static const struct CMUnitTest tests[] = { cmocka_unit_test(plans) };
const struct group group_plans_postgres = { tests, ARRAY_LEN(tests) };
