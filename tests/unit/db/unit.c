#include "unit.h"

#include <ftw.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/log.h"

struct err unit_err;

/* ---- the disk ------------------------------------------------------------------------------------------------------------ */

_Atomic bool fault_sync, fault_full;
_Atomic unsigned sync_count;

static sqlite3_vfs *real_vfs, faulty_vfs;
static int (*real_sync)(sqlite3_file *f, int flags);
static int (*real_write)(sqlite3_file *f, const void *p, int len, sqlite3_int64 at);

static int
faulty_sync(sqlite3_file *f, int flags)
{
	int rc;

	if (atomic_load(&fault_sync))
		return SQLITE_IOERR_FSYNC;
	rc = real_sync(f, flags);
	atomic_fetch_add(&sync_count, rc == SQLITE_OK);
	return rc;
}

static int
faulty_write(sqlite3_file *f, const void *p, int len, sqlite3_int64 at)
{
	return atomic_load(&fault_full) ? SQLITE_FULL : real_write(f, p, len, at);
}

/* Databases and logs have tables of their own, which differ in locking and closing, and share xSync and xWrite. */
static const sqlite3_io_methods *
faulty_methods(const sqlite3_io_methods *real)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		const sqlite3_io_methods *real;
		sqlite3_io_methods faulty;
	} known[4];
	size_t i = 0;

	pthread_mutex_lock(&lock);
	while (known[i].real && known[i].real != real)
		assert_true(++i < ARRAY_LEN(known));
	if (!known[i].real) {
		known[i].faulty = *real;
		known[i].faulty.xSync = faulty_sync;
		known[i].faulty.xWrite = faulty_write;
		real_sync = real->xSync;
		real_write = real->xWrite;
		known[i].real = real;
	}
	pthread_mutex_unlock(&lock);
	return &known[i].faulty;
}

static int
faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
	int rc = real_vfs->xOpen(real_vfs, name, f, flags, out);

	(void)vfs;
	if (rc == SQLITE_OK)
		f->pMethods = faulty_methods(f->pMethods);
	return rc;
}

void
faults_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	faulty_vfs = *real_vfs;
	faulty_vfs.zName = "faulty";
	faulty_vfs.xOpen = faulty_open;
	assert_int_equal(sqlite3_vfs_register(&faulty_vfs, 1), SQLITE_OK);
}

/* ---- databases ----------------------------------------------------------------------------------------------------------- */

static err_code
open_sqlite(const struct fixture *f, const struct open_opts *o, struct db **out, struct err *err)
{
	return db_sqlite_open(&(struct db_sqlite_opts){ .path = f->path, .wait_ms = o->wait_ms, .readers_max = o->readers_max }, out, err);
}

static unsigned
syncs_of_disk(struct fixture *f)
{
	(void)f;
	return atomic_load(&sync_count);
}

static err_code
open_postgres(const struct fixture *f, const struct open_opts *o, struct db **out, struct err *err)
{
	return db_postgres_open(&(struct db_postgres_opts){ .url = f->schema.url, .wait_ms = o->wait_ms, .readers_max = o->readers_max }, out,
	    err);
}

/* Each row knows the outer transaction that it came with. */
static unsigned
syncs_of_rows(struct fixture *f)
{
	char n[32];

	schema_sql(&f->schema, "SELECT count(DISTINCT x) FROM t", n, sizeof n);
	return (unsigned)strtoul(n, NULL, 10);
}

static const struct engine engines[] = {
	{ "sqlite", "INTEGER", true, open_sqlite, syncs_of_disk },
	{ "postgres", "BIGINT", false, open_postgres, syncs_of_rows },
};
const struct engine *engine = &engines[0];

bool
engine_choose(void)
{
	const char *name = getenv("DRAY_TEST_DB");

	log_setup(LOG_ERROR, false); /* that the test's server has fsync=off is known */
	if (name && strcmp(name, "postgres") == 0)
		engine = &engines[1];
	return engine->file || schema_server();
}

void
open_db(struct fixture *f, struct open_opts opts)
{
	ok(engine->open(f, &opts, &f->db, ERR));
}

int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	const char *tmp = getenv("TMPDIR");
	struct db_tx *tx;

	atomic_store(&fault_sync, false);
	atomic_store(&fault_full, false);
	(void)snprintf(f->dir, sizeof f->dir, "%s/dray-db-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof f->path, "%s/test.db", f->dir);
	if (!engine->file)
		schema_make(&f->schema);
	open_db(f, (struct open_opts){ .wait_ms = 0 });
	tx = begin(f, DB_WRITE);
	ok(db_script(tx,
	    "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v INTEGER CHECK (v >= 0), UNIQUE (v));"
	    "CREATE TABLE child (id INTEGER REFERENCES t (id));",
	    ERR));
	if (!engine->file)
		ok(db_script(tx, "ALTER TABLE t ADD COLUMN x TEXT DEFAULT pg_current_xact_id()::text", ERR));
	commit(tx);
	*state = f;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int
teardown(void **state)
{
	struct fixture *f = *state;

	db_free(f->db);
	if (!engine->file)
		schema_drop(&f->schema);
	(void)nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

struct db_tx *
begin(struct fixture *f, enum db_mode mode)
{
	struct db_tx *tx;

	ok(db_begin(f->db, mode, &tx, ERR));
	return tx;
}

void
commit(struct db_tx *tx)
{
	ok(db_commit(&tx, ERR));
	assert_null(tx);
}

err_code
put(struct db_tx *tx, int64_t id, int64_t v, struct err *err)
{
	static const char sql[] = "INSERT INTO t (id, v) VALUES ($1, $2)";

	return db_run(tx, NULL, err, sql, DB_I64(id), DB_I64(v));
}

int64_t
look(struct fixture *f, int64_t id)
{
	static const char sql[] = "SELECT v FROM t WHERE id = $1";
	AUTO(db_abort) struct db_tx *tx = begin(f, DB_READ);
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;

	ok(db_query(tx, &st, ERR, sql, DB_I64(id)));
	ok(db_step(st, &row, ERR));
	return row ? db_i64(st, 0) : -1;
}
