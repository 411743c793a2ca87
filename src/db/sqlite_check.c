/* What SQLite finds wrong with its own file, and what in its schema nobody wrote.  It reads every page, and writes none. */
#include "db/sqlite_internal.h"

#include "base/sbuf.h"

#define FINDINGS "1000"

struct check {
	struct db_tx *tx;
	sqlite3 *twin; /* an empty database, in memory, with the schema as it is made */
	void (*fn)(void *ctx, const char *finding);
	void *ctx;
};

/* "ok", or a row a finding: pages, indexes, NOT NULL, CHECK, the types of columns. */
static err_code
pages(struct check *c, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc = db_query_values(c->tx, &st, err, "PRAGMA integrity_check(" FINDINGS ")", NULL, 0);

	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		const char *said = db_text(st, 0, NULL);

		if (strcmp(said, "ok") != 0)
			c->fn(c->ctx, said);
	}
	return rc;
}

/* A row a finding: table, row, the table that it refers to. */
static err_code
references(struct check *c, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc = db_query_values(c->tx, &st, err, "PRAGMA foreign_key_check", NULL, 0);

	while (!rc && !(rc = db_step(st, &row, err)) && row) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(4 * KIB);

		sbuf_addf(&sb, "a row of %s refers to one that is not in ", db_text(st, 0, NULL));
		sbuf_add(&sb, db_text(st, 2, NULL));
		c->fn(c->ctx, sbuf_str(&sb));
	}
	return rc;
}

/* ---- the schema ------------------------------------------------------------------------------------------------------------------ */

/* Without what SQLite keeps of its own accord.  The text of a table includes its constraints, which nothing else would miss. */
static const char objects[] = "SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_schema"
			      " WHERE substr(name, 1, 11) <> 'sqlite_stat' ORDER BY name, type";

static err_code
twin_fails(struct check *c, struct err *err)
{
	return err_set(err, ERR_DB, "a schema to compare with: %s", sqlite3_errmsg(c->twin));
}

static err_code
twin_run(void *ctx, const char *sql, struct err *err)
{
	struct check *c = ctx;

	return sqlite3_exec(c->twin, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : twin_fails(c, err);
}

static bool
same_object(struct db_stmt *is, sqlite3_stmt *due)
{
	for (int i = 0; i < 4; i++) {
		const char *text = (const char *)sqlite3_column_text(due, i);

		if (!text || strcmp(db_text(is, i, NULL), text) != 0)
			return false;
	}
	return true;
}

/* Both are in one order: the first that differs is enough to be told. */
static err_code
compare(struct check *c, sqlite3_stmt *due, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *is = NULL;
	AUTO(sbuf_fini) struct sbuf sb = SBUF(4 * KIB);
	bool row;
	err_code rc = db_query_values(c->tx, &is, err, objects, NULL, 0);

	while (!rc) {
		int stepped = sqlite3_step(due);

		if (stepped != SQLITE_ROW && stepped != SQLITE_DONE)
			return twin_fails(c, err);
		rc = db_step(is, &row, err);
		if (rc || (!row && stepped == SQLITE_DONE))
			return rc;
		if (row && stepped == SQLITE_ROW && same_object(is, due))
			continue;
		sbuf_add(&sb, "its schema is not the one that was made, beginning with ");
		sbuf_add_visible(&sb, stepped == SQLITE_ROW ? (const char *)sqlite3_column_text(due, 0) : db_text(is, 0, NULL));
		c->fn(c->ctx, sbuf_str(&sb));
		return ERR_OK;
	}
	return rc;
}

static err_code
schema(struct check *c, struct db *db, const struct db_migrations *set, struct err *err)
{
	sqlite3_stmt *due = NULL;
	err_code rc = ERR_OK;

	if (sqlite3_open_v2(":memory:", &c->twin, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		rc = err_set(err, ERR_NO_MEM, "no room for a schema to compare with");
	if (!rc)
		rc = db_schema_each(db, set, twin_run, c, err);
	if (!rc && sqlite3_prepare_v2(c->twin, objects, -1, &due, NULL) != SQLITE_OK)
		rc = twin_fails(c, err);
	if (!rc)
		rc = compare(c, due, err);
	sqlite3_finalize(due);
	sqlite3_close(c->twin);
	return rc;
}

err_code
sqlite_check(struct db *db, const struct db_migrations *set, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err)
{
	struct check c = { .fn = fn, .ctx = ctx };
	err_code rc = db_begin(db, DB_READ, &c.tx, err);

	if (!rc)
		rc = pages(&c, err);
	if (!rc)
		rc = references(&c, err);
	if (!rc)
		rc = schema(&c, db, set, err);
	db_abort(&c.tx);
	return rc;
}
