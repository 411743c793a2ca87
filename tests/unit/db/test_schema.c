/* The server's migrations on a database that holds something already. */
#include "unit.h"

#include "base/id.h"
#include "base/limits.h"

#define LISTING "20261125_080_listing"

enum { PROJECTS = 2, TOP = 5 * PROJECTS, ROWS = 400 };

struct entry {
	int64_t project, kind, size, deleted, files, dirs, bytes;
	char dir[200], name[16];
};

/* The migrations before ${name}. */
static struct db_migrations
before(const char *name)
{
	struct db_migrations set = { .list = db_server_migrations.list };

	while (strcmp(set.list[set.n].name, name) != 0)
		set.n++;
	return set;
}

static struct id
id_no(int64_t n)
{
	struct id id = { { 1 } };

	memcpy(id.b + 8, &n, sizeof n);
	return id;
}

/* Names that sort around '/': what lies beneath "a" must not be mixed up with "a-b" or "a0". */
static void
plant(struct fixture *f, struct entry *e)
{
	static const char *const names[] = { "a", "a-b", "a0", "b", "\xc3\xa9" };
	struct db_tx *tx = begin(f, DB_WRITE);
	uint8_t zero[32] = { 0 };

	for (int64_t p = 0; p < PROJECTS; p++) {
		struct id id = id_no(p);

		ok(db_run(tx, NULL, ERR,
		    "INSERT INTO projects (id, name, epoch, clock, horizon, digest, file_count, total_bytes, created_at)"
		    " VALUES ($1, 'p', $1, 1, 0, $2, 0, 0, 0)",
		    DB_ID(&id), DB_BYTES(zero, sizeof zero)));
	}
	for (size_t i = 0, up = 0; i < ROWS; i++) {
		struct id id = id_no(1000 + (int64_t)i), project;

		e[i] = (struct entry){ .project = (int64_t)(i % PROJECTS), .kind = i < TOP || i % 3 == 0 ? 1 : 0,
			.deleted = i >= TOP && i % 7 == 5 };
		e[i].size = e[i].kind ? 0 : (int64_t)(i * i);
		if (i >= TOP) { /* beneath a directory of the same project */
			for (up = (i * 31) % i; e[up].kind != 1 || e[up].deleted || e[up].project != e[i].project; up = up ? up - 1 : i - 1)
				;
			(void)snprintf(e[i].dir, sizeof e[i].dir, "%.150s%s%s", e[up].dir, *e[up].dir ? "/" : "", e[up].name);
		}
		(void)snprintf(e[i].name, sizeof e[i].name, i < TOP ? "%s" : "%s%zu", names[i / PROJECTS % ARRAY_LEN(names)], i);
		project = id_no(e[i].project);
		ok(db_run(tx, NULL, ERR,
		    "INSERT INTO file_index (project_id, id, dir, name, kind, version, size, mode, mtime_ns, content, target, created_at,"
		    " changed_by, deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 420, 0, $8, '', 1, $1, $9)",
		    DB_ID(&project), DB_ID(&id), DB_TEXT(e[i].dir), DB_TEXT(e[i].name), DB_I64(e[i].kind), DB_I64(i + 1), DB_I64(e[i].size),
		    DB_BYTES(zero, sizeof zero), DB_I64(e[i].deleted ? i + 1 : 0)));
	}
	commit(tx);
}

static void
count(struct entry *e)
{
	for (size_t i = 0; i < ROWS; i++) {
		char path[256];
		int len = snprintf(path, sizeof path, "%s%s%s", e[i].dir, *e[i].dir ? "/" : "", e[i].name);

		for (size_t k = 0; k < ROWS && e[i].kind == 1 && !e[i].deleted; k++) {
			if (e[k].deleted || e[k].project != e[i].project || strncmp(e[k].dir, path, (size_t)len) != 0 ||
			    (e[k].dir[len] != '\0' && e[k].dir[len] != '/'))
				continue;
			e[i].files += e[k].kind != 1;
			e[i].dirs += e[k].kind == 1;
			e[i].bytes += e[k].size;
		}
	}
}

static void
directories_are_counted(void **state)
{
	static struct entry e[ROWS];
	struct fixture *f = *state;
	struct db_migrations old = before(LISTING);
	int64_t most = 0;

	ok(db_migrate(f->db, &old, 1, ERR));
	plant(f, e);
	ok(db_migrate(f->db, &db_server_migrations, 2, ERR));
	count(e);
	for (size_t i = 0; i < ROWS; i++) {
		AUTO(db_abort) struct db_tx *tx = begin(f, DB_READ);
		AUTO(db_resetp) struct db_stmt *st = NULL;
		struct id project = id_no(e[i].project), id = id_no(1000 + (int64_t)i);
		bool row;

		ok(db_query(tx, &st, ERR, "SELECT files_beneath, dirs_beneath, bytes_beneath FROM file_index WHERE project_id = $1 AND id = $2",
		    DB_ID(&project), DB_ID(&id)));
		ok(db_step(st, &row, ERR));
		assert_true(row);
		if (db_i64(st, 0) != e[i].files || db_i64(st, 1) != e[i].dirs || db_i64(st, 2) != e[i].bytes)
			fail_msg("%s/%s: %lld %lld %lld, not %lld %lld %lld", e[i].dir, e[i].name, (long long)db_i64(st, 0), (long long)db_i64(st, 1),
			    (long long)db_i64(st, 2), (long long)e[i].files, (long long)e[i].dirs, (long long)e[i].bytes);
		most = MAX(most, e[i].files);
	}
	assert_true(most > 50); /* or the test has shown little */
}

int
main(void)
{
	const struct CMUnitTest tests[] = { T(directories_are_counted) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
