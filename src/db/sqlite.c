/*
 * SQLite.  The rules that this driver keeps:
 *
 * D1  One connection writes, and only it checkpoints.  Readers neither checkpoint nor write.  Besides keeping fsync off the readers'
 *     path this avoids the WAL-reset race of SQLite before 3.51.3, which needs two connections that write or checkpoint.
 * D2  synchronous=FULL: a commit that has been acknowledged is on disk.
 * D3  After a failed fsync nothing is written until restart: the kernel may have dropped pages and calls them clean (I6).
 * D4  Memory is bounded: one writer's cache and readers_max readers' caches, no memory mapping (mapped pages count as ours).
 * D5  Who opens a file to leave it untouched writes nothing at all: a file without a log is immutable to SQLite, and a log beside it is read with
 *     its index in memory, which needs the file for oneself.  Nothing is recovered, checkpointed or removed.
 */
#include "db/sqlite_internal.h"

#include "base/log.h"
#include "base/sbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READERS_MAX 8
#define WRITER_CACHE_KIB (32 * 1024)    /* what a commit of thousands changes: pages that do not fit are written twice, and read back */
#define READER_CACHE_KIB 2048
#define WAIT_MS 30000
#define LOG_LEN_MAX (64 * 1024 * 1024)  /* the log file is cut back to this when it starts over */

/* ---- errors ------------------------------------------------------------------------------------------------------------ */

static err_code
io_code(int rc, int sys)
{
	if (sys == ENOSPC || sys == EDQUOT)
		return ERR_NO_SPACE;
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		return ERR_READ_ONLY;
	return rc == SQLITE_IOERR_NOMEM ? ERR_NO_MEM : ERR_IO;
}

static err_code
constraint_code(int rc)
{
	switch (rc) {
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return ERR_EXISTS;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
		return ERR_NOT_FOUND;
	default:
		return ERR_DB;
	}
}

/* ${rc} is SQLite's extended code, ${sys} the errno behind it. */
static err_code
code_of(int rc, int sys)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return ERR_NO_SPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_UNAVAILABLE;
	case SQLITE_CONSTRAINT:
		return constraint_code(rc);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return io_code(rc, sys);
	case SQLITE_READONLY:
		return ERR_READ_ONLY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_DENIED;
	case SQLITE_NOMEM:
		return ERR_NO_MEM;
	case SQLITE_INTERRUPT:
		return ERR_CANCELLED;
	default:
		return ERR_DB;
	}
}

err_code
sqlite_fail(struct conn *c, const char *what, struct err *err)
{
	int rc = sqlite3_extended_errcode(c->h), sys = sqlite3_system_errno(c->h);
	struct err own;
	err_code code = code_of(rc, sys);

	(void)err_set(&own, code, "%s: %s (SQLite %d, errno %d)", what, sqlite3_errmsg(c->h), rc, sys);
	own.sys = sys;
	if (code == ERR_CORRUPT)
		log_error(&own, "the database is damaged");
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		writer_stop(&c->db->writer); /* D3 */
	return db_tx_fail(&c->base, &own, err);
}

/* ---- connections --------------------------------------------------------------------------------------------------------- */

/* greatest(a, b, …) of integers, as PostgreSQL has it: NULLs do not count. */
static void
fn_greatest(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	int best = -1;

	for (int i = 0; i < n; i++) {
		if (sqlite3_value_type(v[i]) == SQLITE_NULL)
			continue;
		if (best < 0 || sqlite3_value_int64(v[i]) > sqlite3_value_int64(v[best]))
			best = i;
	}
	if (best >= 0)
		sqlite3_result_value(ctx, v[best]);
}

/* After each commit: how long the log has become.  sqlite_tx.c checkpoints when the commit has been acknowledged. */
static int
on_commit(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct conn *c = arg;

	(void)h;
	(void)name;
	c->log_pages = pages;
	return SQLITE_OK;
}

static err_code
pragma(struct conn *c, const char *name, long long value, struct err *err)
{
	char sql[128];

	(void)snprintf(sql, sizeof sql, "PRAGMA %s = %lld", name, value);
	return sqlite3_exec(c->h, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : sqlite_fail(c, sql, err);
}

static err_code
configure_all(struct conn *c, struct err *err)
{
	const struct db_sqlite_opts *o = &c->db->opts;
	int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	err_code rc;

	sqlite3_extended_result_codes(c->h, 1);
	sqlite3_busy_timeout(c->h, SQLITE_BUSY_WAIT_MS);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	if (sqlite3_create_function(c->h, "greatest", -1, flags, NULL, fn_greatest, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(c, "register greatest", err);
	rc = pragma(c, "mmap_size", 0, err);
	if (!rc)
		rc = pragma(c, "cell_size_check", 1, err); /* a damaged page is an error, not a wild read */
	if (!rc && o->temp_in_memory)
		rc = pragma(c, "temp_store", 2, err);
	if (!rc) {
		unsigned kib = c->base.mode == DB_WRITE ? o->writer_cache_kib : o->reader_cache_kib;

		rc = pragma(c, "cache_size", -(long long)kib, err); /* negative: KiB */
	}
	return rc;
}

static err_code
configure_writer(struct conn *c, struct err *err)
{
	err_code rc;

	if (sqlite3_exec(c->h, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(c, "switch to a write-ahead log", err);
	rc = pragma(c, "synchronous", 2, err); /* FULL */
	if (!rc)
		rc = pragma(c, "foreign_keys", 1, err);
	if (!rc)
		rc = pragma(c, "journal_size_limit", LOG_LEN_MAX, err);
	sqlite3_wal_hook(c->h, on_commit, c);
	return rc;
}

static err_code
configure_reader(struct conn *c, struct err *err)
{
	sqlite3_db_config(c->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_wal_autocheckpoint(c->h, 0);
	return pragma(c, "query_only", 1, err);
}

/* D5 */
static bool
has_log(const char *path)
{
	AUTO(sbuf_fini) struct sbuf log = SBUF(64 * KIB);

	sbuf_addf(&log, "%s-wal", path);
	return access(sbuf_str(&log), F_OK) == 0;
}

/* "file:PATH?immutable=1" */
static char *
immutable_uri(const char *path)
{
	struct sbuf uri = SBUF(64 * KIB);

	sbuf_add(&uri, "file:");
	for (const char *p = path; *p; p++) {
		if (strchr("%?#", *p))
			sbuf_addf(&uri, "%%%02x", (unsigned)*p);
		else
			sbuf_addc(&uri, *p);
	}
	sbuf_add(&uri, "?immutable=1");
	return sbuf_take(&uri);
}

static int
open_handle(struct conn *c, int flags)
{
	const char *path = c->db->opts.path;
	AUTO(freep) char *uri = NULL;

	if (!c->db->opts.untouched || has_log(path))
		return sqlite3_open_v2(path, &c->h, flags | SQLITE_OPEN_READWRITE, NULL);
	uri = immutable_uri(path);
	return sqlite3_open_v2(uri, &c->h, flags | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
}

static err_code
connect(struct conn *c, struct err *err)
{
	const char *path = c->db->opts.path;
	err_code rc = ERR_OK;

	if (open_handle(c, SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE) != SQLITE_OK) {
		if (!c->h)
			return err_set(err, ERR_NO_MEM, "open %s: out of memory", path);
		return sqlite_fail(c, "open the database", err);
	}
	if (c->db->opts.untouched && sqlite3_exec(c->h, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK)
		rc = sqlite_fail(c, "have the file for oneself", err);
	if (!rc)
		rc = configure_all(c, err);
	if (!rc)
		rc = c->base.mode == DB_WRITE ? configure_writer(c, err) : configure_reader(c, err);
	return rc ? err_wrap(err, "%s", path) : ERR_OK;
}

err_code
conn_open(struct sqlite *db, enum db_mode mode, struct conn **out, struct err *err)
{
	struct conn *c = xcalloc(1, sizeof *c);
	struct err own;
	err_code rc;

	c->base = (struct db_tx){ .ops = db->base.ops, .db = &db->base, .mode = mode };
	c->db = db;
	rc = connect(c, &own);
	if (rc) {
		conn_free(c);
		if (err)
			*err = own;
		return rc;
	}
	*out = c;
	return ERR_OK;
}

void
conn_free(struct conn *c)
{
	if (!c)
		return;
	stmts_free(c);
	sqlite3_close_v2(c->h);
	free(c);
}

/* ---- the database ---------------------------------------------------------------------------------------------------------- */

static const char *
sqlite_token(const char *name, size_t len)
{
	static const struct {
		const char *name, *text;
	} tokens[] = {
		{ "bytes", "BLOB" },
		{ "text", "TEXT" }, /* compares bytes already */
		{ "int", "INTEGER" },
		{ "rows", "STRICT" },
		{ "clustered", "STRICT, WITHOUT ROWID" },
	};

	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		if (strlen(tokens[i].name) == len && memcmp(tokens[i].name, name, len) == 0)
			return tokens[i].text;
	}
	return NULL;
}

struct each {
	void (*fn)(void *arg, const char *sql);
	void *arg;
};

static void
conn_each_sql(struct pool_item *item, void *arg)
{
	struct conn *c = conn_of_item(item);
	struct each *each = arg;

	for (size_t i = 0; i < STMT_SLOTS; i++) {
		if (c->stmts[i])
			each->fn(each->arg, c->stmts[i]->sql);
	}
}

static void
sqlite_each_sql(struct db *base, void (*fn)(void *arg, const char *sql), void *arg)
{
	struct sqlite *db = (struct sqlite *)base;
	struct each each = { fn, arg };

	if (db->writer.tx)
		conn_each_sql(&conn_of(db->writer.tx)->item, &each);
	pool_each(&db->readers, conn_each_sql, &each);
}

/* The writer last: closing it checkpoints and removes the log. */
static void
sqlite_free(struct db *base)
{
	struct sqlite *db = (struct sqlite *)base;
	struct pool_item *item;

	while ((item = pool_pop(&db->readers)))
		conn_free(conn_of_item(item));
	if (db->writer.tx)
		conn_free(conn_of(db->writer.tx));
	writer_fini(&db->writer);
	pool_fini(&db->readers);
	freep(&db->opts.path);
	free(db);
}

static const struct db_ops sqlite_ops = {
	.free = sqlite_free,
	.checkpoint = sqlite_checkpoint,
	.read_begin = sqlite_read_begin,
	.read_end = sqlite_read_end,
	.query = sqlite_query,
	.step = sqlite_step,
	.affected = sqlite_affected,
	.i64 = sqlite_i64,
	.text = sqlite_text,
	.bytes = sqlite_bytes,
	.columns = sqlite_columns,
	.column = sqlite_column,
	.reset = sqlite_reset,
	.script = sqlite_script,
	.token = sqlite_token,
	.each_sql = sqlite_each_sql,
	.check = sqlite_check,
	.key_max = SIZE_MAX,
};

/* SQLite would make the file with the umask's mode; it holds hashes of tokens.  The log and its index take the file's mode. */
static err_code
make_file(const char *path, struct err *err)
{
	AUTO(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(err, "open %s", path) : ERR_OK;
}

/* Allocation statistics take a lock that all connections share; nothing here reads them. */
static void
configure_library(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* refused, harmlessly, when the library is in use already */
}

static struct db_sqlite_opts
with_defaults(const struct db_sqlite_opts *o)
{
	return (struct db_sqlite_opts){
		.path = xstrdup(o->path),
		.readers_max = o->untouched ? 1 : o->readers_max ? o->readers_max : READERS_MAX,
		.writer_cache_kib = o->writer_cache_kib ? o->writer_cache_kib : WRITER_CACHE_KIB,
		.reader_cache_kib = o->reader_cache_kib ? o->reader_cache_kib : READER_CACHE_KIB,
		.wait_ms = o->wait_ms ? o->wait_ms : WAIT_MS,
		.temp_in_memory = o->temp_in_memory,
		.read_only = o->read_only,
		.untouched = o->untouched,
	};
}

err_code
db_sqlite_open(const struct db_sqlite_opts *opts, struct db **out, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct conn *w = NULL;
	struct sqlite *db;
	err_code rc;

	(void)pthread_once(&once, configure_library);
	rc = opts->read_only ? ERR_OK : make_file(opts->path, err);
	if (rc)
		return rc;
	db = xcalloc(1, sizeof *db);
	db->base = (struct db){ .ops = &sqlite_ops, .writer = &db->writer };
	db->opts = with_defaults(opts);
	pool_init(&db->readers, db->opts.readers_max, db->opts.wait_ms);
	writer_init(&db->writer, &sqlite_writer, NULL, db->opts.wait_ms);
	rc = opts->read_only ? ERR_OK : conn_open(db, DB_WRITE, &w, err);
	db->writer.tx = w ? &w->base : NULL;
	if (rc) {
		sqlite_free(&db->base);
		return rc;
	}
	*out = &db->base;
	return ERR_OK;
}
