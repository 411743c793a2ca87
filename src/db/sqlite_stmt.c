/* Statements: prepared once a connection, found again by the address of their text. */
#include "db/sqlite_internal.h"

#include <assert.h>

static struct stmt *
stmt_of(struct db_stmt *st)
{
	return (struct stmt *)st;
}

/* ---- the cache ----------------------------------------------------------------------------------------------------------- */

/* The slot of ${sql}, or the free one where it belongs. */
static struct stmt **
slot_of(struct conn *c, const char *sql)
{
	size_t i = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % STMT_SLOTS;

	while (c->stmts[i] && c->stmts[i]->sql != sql)
		i = (i + 1) % STMT_SLOTS;
	return &c->stmts[i];
}

static void
number_params(struct stmt *s)
{
	for (unsigned i = 1; i <= DB_PARAMS_MAX; i++) {
		char name[8];

		(void)snprintf(name, sizeof name, "$%u", i);
		s->param[i] = (uint8_t)sqlite3_bind_parameter_index(s->h, name);
	}
}

static err_code
prepare(struct conn *c, const char *sql, struct stmt **slot, struct err *err)
{
	sqlite3_stmt *h;
	struct stmt *s;

	assert(c->stmt_count < STMT_SLOTS / 2); /* texts are static: db_script runs what is not */
	if (sqlite3_prepare_v3(c->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &h, NULL) != SQLITE_OK)
		return sqlite_fail(c, sql, err);
	s = xcalloc(1, sizeof *s);
	*s = (struct stmt){ .base.ops = c->base.ops, .conn = c, .sql = sql, .h = h };
	number_params(s);
	c->stmt_count++;
	*slot = s;
	return ERR_OK;
}

void
stmts_free(struct conn *c)
{
	for (size_t i = 0; i < STMT_SLOTS; i++) {
		if (c->stmts[i])
			sqlite3_finalize(c->stmts[i]->h);
		free(c->stmts[i]);
	}
}

/* ---- run ----------------------------------------------------------------------------------------------------------------- */

static int
bind(sqlite3_stmt *h, int at, const struct db_value *v)
{
	switch (v->kind) {
	case DB_VALUE_I64:
		return sqlite3_bind_int64(h, at, v->i64);
	case DB_VALUE_TEXT:
		return sqlite3_bind_text64(h, at, v->p, v->len, SQLITE_STATIC, SQLITE_UTF8);
	case DB_VALUE_BYTES: /* no bytes are not NULL */
		return sqlite3_bind_blob64(h, at, v->len ? v->p : "", v->len, SQLITE_STATIC);
	case DB_VALUE_NULL:
		break;
	}
	return sqlite3_bind_null(h, at);
}

err_code
sqlite_query(struct db_tx *tx, const char *sql, const struct db_value *values, size_t n, struct db_stmt **st, struct err *err)
{
	struct conn *c = conn_of(tx);
	struct stmt **slot = slot_of(c, sql), *s;
	err_code rc;

	if (!*slot) {
		rc = prepare(c, sql, slot, err);
		if (rc)
			return rc;
	}
	s = *slot;
	assert(!s->busy && n <= DB_PARAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		assert(s->param[i + 1]); /* the text has a place for every value */
		if (bind(s->h, s->param[i + 1], &values[i]) != SQLITE_OK)
			return sqlite_fail(c, "bind a value", err);
	}
	s->busy = true;
	c->base.busy++;
	*st = &s->base;
	return ERR_OK;
}

err_code
sqlite_step(struct db_stmt *st, bool *row, struct err *err)
{
	struct stmt *s = stmt_of(st);
	int rc = sqlite3_step(s->h);

	*row = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		return ERR_OK;
	if (rc != SQLITE_DONE)
		return sqlite_fail(s->conn, "run a statement", err);
	s->affected = sqlite3_changes64(s->conn->h);
	return ERR_OK;
}

int64_t
sqlite_affected(struct db_stmt *st)
{
	return stmt_of(st)->affected;
}

void
sqlite_reset(struct db_stmt *st)
{
	struct stmt *s = stmt_of(st);

	assert(s->busy);
	sqlite3_reset(s->h); /* repeats the error of step, which has been answered */
	sqlite3_clear_bindings(s->h); /* they were lent */
	s->busy = false;
	s->conn->base.busy--;
}

err_code
conn_exec(struct conn *c, const char *sql, struct err *err)
{
	struct db_stmt *st;
	bool row;
	err_code rc;

	rc = sqlite_query(&c->base, sql, NULL, 0, &st, err);
	if (rc)
		return rc;
	do
		rc = sqlite_step(st, &row, err);
	while (!rc && row);
	sqlite_reset(st);
	return rc;
}

err_code
sqlite_script(struct db_tx *tx, const char *sql, struct err *err)
{
	struct conn *c = conn_of(tx);

	return sqlite3_exec(c->h, sql, NULL, NULL, NULL) == SQLITE_OK ? ERR_OK : sqlite_fail(c, "run a script", err);
}

/* ---- columns --------------------------------------------------------------------------------------------------------------- */

int64_t
sqlite_i64(struct db_stmt *st, int col)
{
	return sqlite3_column_int64(stmt_of(st)->h, col);
}

const char *
sqlite_text(struct db_stmt *st, int col, size_t *len)
{
	const char *s = (const char *)sqlite3_column_text(stmt_of(st)->h, col);

	if (len)
		*len = (size_t)sqlite3_column_bytes(stmt_of(st)->h, col);
	return s ? s : ""; /* NULL, or no memory for the conversion: neither is in a STRICT text column */
}

const uint8_t *
sqlite_bytes(struct db_stmt *st, int col, size_t *len)
{
	const uint8_t *p = sqlite3_column_blob(stmt_of(st)->h, col);

	*len = (size_t)sqlite3_column_bytes(stmt_of(st)->h, col);
	return p ? p : (const uint8_t *)"";
}

unsigned
sqlite_columns(struct db_stmt *st)
{
	return (unsigned)sqlite3_column_count(stmt_of(st)->h);
}

struct db_value
sqlite_column(struct db_stmt *st, int col)
{
	size_t len;
	const void *p;

	switch (sqlite3_column_type(stmt_of(st)->h, col)) {
	case SQLITE_INTEGER:
		return DB_I64(sqlite_i64(st, col));
	case SQLITE_TEXT:
		p = sqlite_text(st, col, &len);
		return DB_TEXTN(p, len);
	case SQLITE_BLOB:
		p = sqlite_bytes(st, col, &len);
		return DB_BYTES(p, len);
	default:
		return (struct db_value){ .kind = DB_VALUE_NULL }; /* tables are STRICT and have no reals */
	}
}
