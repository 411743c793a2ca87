/* What SQLite finds wrong with its own file.  It reads every page, and writes none. */
#include "db/sqlite_internal.h"

#include "base/sbuf.h"

#define FINDINGS "1000"

struct check {
	struct db_tx *tx;
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

err_code
sqlite_check(struct db *db, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err)
{
	struct check c = { .fn = fn, .ctx = ctx };
	err_code rc = db_begin(db, DB_READ, &c.tx, err);

	if (!rc)
		rc = pages(&c, err);
	if (!rc)
		rc = references(&c, err);
	db_abort(&c.tx);
	return rc;
}
