/*
 * Statements on PostgreSQL: prepared once a connection, found again by the address of their text and the kinds of their values, which
 * are the types of its parameters.  Values and columns travel in binary: numbers as int8, text and bytes as they are.
 *
 * A result is taken whole.  The statements above are bounded by their LIMIT, so that is some thousand rows at most, which go into the
 * transaction's arena anyway; those that are not are streams.
 */
#include "db/postgres_internal.h"

#include <assert.h>
#include <endian.h>

/* Of pg_type: numbers that never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25 };

static struct pg_stmt *
stmt_of(struct db_stmt *st)
{
	return (struct pg_stmt *)st;
}

/* ---- the cache ----------------------------------------------------------------------------------------------------------- */

static bool
is_same(const struct pg_stmt *s, const char *sql, const struct db_value *values, size_t n)
{
	if (s->sql != sql || s->n != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->kinds[i] != values[i].kind)
			return false;
	}
	return true;
}

/* The slot of ${sql} with values of these kinds, or the free one where it belongs. */
static struct pg_stmt **
slot_of(struct pg_conn *c, const char *sql, const struct db_value *values, size_t n)
{
	size_t i = (size_t)(((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % PG_STMT_SLOTS;

	while (c->stmts[i] && !is_same(c->stmts[i], sql, values, n))
		i = (i + 1) % PG_STMT_SLOTS;
	return &c->stmts[i];
}

static void
name_of(const struct pg_stmt *s, char name[static 16])
{
	(void)snprintf(name, 16, "s%u", s->number);
}

void
pg_types(const struct pg_stmt *s, Oid types[static DB_PARAMS_MAX])
{
	static const Oid of[] = { [DB_VALUE_NULL] = 0, [DB_VALUE_I64] = OID_INT8, [DB_VALUE_TEXT] = OID_TEXT, [DB_VALUE_BYTES] = OID_BYTEA };

	for (unsigned i = 0; i < s->n; i++)
		types[i] = of[s->kinds[i]];
}

static err_code
prepare(struct pg_conn *c, struct pg_stmt *s, struct err *err)
{
	Oid types[DB_PARAMS_MAX];
	PGresult *res;
	char name[16];
	err_code rc = pg_await(c, err);

	if (rc)
		return rc;
	name_of(s, name);
	pg_types(s, types);
	res = PQprepare(c->pg, name, s->sql, (int)s->n, types);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		return pg_fail(c, s->sql, res, err);
	PQclear(res);
	return ERR_OK;
}

static err_code
stmt_new(struct pg_conn *c, const char *sql, const struct db_value *values, size_t n, struct pg_stmt **out, struct err *err)
{
	struct pg_stmt *s;
	err_code rc;

	assert(c->stmt_count < PG_STMT_SLOTS / 2); /* texts are static: db_script runs what is not */
	s = xcalloc(1, sizeof *s);
	*s = (struct pg_stmt){ .base.ops = c->base.ops, .conn = c, .sql = sql, .number = c->stmt_count, .n = (unsigned)n };
	for (size_t i = 0; i < n; i++)
		s->kinds[i] = (uint8_t)values[i].kind;
	rc = prepare(c, s, err);
	if (rc) {
		free(s);
		return rc;
	}
	c->stmt_count++;
	*out = s;
	return ERR_OK;
}

void
pg_stmts_free(struct pg_conn *c)
{
	for (size_t i = 0; i < PG_STMT_SLOTS; i++) {
		assert(!c->stmts[i] || !c->stmts[i]->busy);
		free(c->stmts[i]);
		c->stmts[i] = NULL;
	}
	c->stmt_count = 0;
}

/*
 * A planner without statistics takes any index of a table for as good as another, and the server analyses a table a minute after it has grown
 * at the soonest: a first sync writes a hundred thousand rows before that, each of them slower than the last.  So the writer looks now and
 * then, less and less often, for tables that have become four times as large as when they were analysed last, and analyses those.  That makes
 * every connection plan anew.
 */
static err_code
growth_analyse(struct pg_conn *c, struct err *err)
{
	static const char look[] =
	    "DO $$DECLARE t regclass; BEGIN FOR t IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r'"
	    " AND relnamespace = current_schema()::regnamespace"
	    " AND pg_relation_size(oid) > 4 * current_setting('block_size')::bigint * greatest(relpages, 2)"
	    " LOOP EXECUTE format('ANALYZE %s', t); END LOOP; END$$";

	err_code rc;

	if (c->base.mode == DB_READ || ++c->runs < c->look_at)
		return ERR_OK;
	rc = pg_await(c, err);
	if (rc || PQtransactionStatus(c->pg) != PQTRANS_INTRANS)
		return rc;
	c->runs = 0;
	c->look_at = MIN(2 * c->look_at, PG_LOOK_LAST);
	return pg_exec(c, look, err);
}

/* ---- run ----------------------------------------------------------------------------------------------------------------- */

err_code
pg_query(struct db_tx *tx, const char *sql, const struct db_value *values, size_t n, struct db_stmt **st, struct err *err)
{
	struct pg_conn *c = pg_conn_of(tx);
	struct pg_stmt **slot = slot_of(c, sql, values, n), *s;
	err_code rc;

	assert(n <= DB_PARAMS_MAX);
	rc = growth_analyse(c, err);
	if (!rc && !*slot)
		rc = stmt_new(c, sql, values, n, slot, err);
	if (rc)
		return rc;
	s = *slot;
	assert(!s->busy);
	for (size_t i = 0; i < n; i++)
		s->values[i] = values[i];
	s->row = -1;
	s->affected = 0;
	s->busy = true;
	c->base.busy++;
	*st = &s->base;
	return ERR_OK;
}

/* A column of a type that db_i64, db_text and db_bytes do not know is a mistake in the statement: sum() needs a CAST, for one. */
err_code
pg_check_columns(struct pg_stmt *s, struct err *err)
{
	struct err own;

	for (int i = 0; i < PQnfields(s->res); i++) {
		switch (PQftype(s->res, i)) {
		case OID_BOOL:
		case OID_BYTEA:
		case OID_INT8:
		case OID_INT2:
		case OID_INT4:
		case OID_TEXT:
			break;
		default:
			(void)err_set(&own, ERR_DB, "%.200s: column %d has a type without meaning here (%u)", s->sql, i, PQftype(s->res, i));
			return db_tx_fail(&s->conn->base, &own, err);
		}
	}
	return ERR_OK;
}

static int64_t
count_of(const char *digits)
{
	int64_t n = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		n = n * 10 + (*digits - '0');
	return n;
}

void
pg_bind(const struct pg_stmt *s, struct pg_bound *b)
{
	b->n = (int)s->n;
	name_of(s, b->name);
	for (unsigned i = 0; i < s->n; i++) {
		const struct db_value *v = &s->values[i];

		b->value[i] = NULL;
		b->len[i] = 0;
		b->binary[i] = 1;
		if (v->kind == DB_VALUE_I64) {
			b->number[i] = htobe64((uint64_t)v->i64);
			b->value[i] = (const char *)&b->number[i];
			b->len[i] = sizeof b->number[i];
		} else if (v->kind != DB_VALUE_NULL) {
			assert(v->len <= INT32_MAX);
			b->value[i] = v->len ? v->p : ""; /* no bytes are not NULL */
			b->len[i] = (int)v->len;
		}
	}
}

static err_code
execute(struct pg_stmt *s, struct err *err)
{
	ExecStatusType status;
	struct pg_bound b;
	err_code rc;

	pg_bind(s, &b);
	rc = pg_run(s->conn, &b, &s->res, err);
	if (rc)
		return rc;
	status = PQresultStatus(s->res);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		return pg_fail(s->conn, s->sql, TAKE(s->res), err);
	s->affected = count_of(PQcmdTuples(s->res));
	return pg_check_columns(s, err);
}

err_code
pg_step(struct db_stmt *st, bool *row, struct err *err)
{
	struct pg_stmt *s = stmt_of(st);
	err_code rc = ERR_OK;

	if (s->stream)
		return pg_stream_step(s, row, err);
	*row = false;
	if (!s->res)
		rc = execute(s, err);
	if (rc)
		return rc;
	*row = ++s->row < PQntuples(s->res);
	return ERR_OK;
}

err_code
pg_send(struct db_stmt *st, struct err *err)
{
	struct pg_stmt *s = stmt_of(st);
	struct pg_bound b;

	pg_bind(s, &b);
	return pg_ahead(s->conn, s->sql, &b, err);
}

int64_t
pg_affected(struct db_stmt *st)
{
	return stmt_of(st)->affected;
}

void
pg_reset(struct db_stmt *st)
{
	struct pg_stmt *s = stmt_of(st);

	assert(s->busy);
	if (s->stream)
		pg_stream_end(s);
	PQclear(TAKE(s->res));
	s->busy = false;
	s->conn->base.busy--;
}

err_code
pg_script(struct db_tx *tx, const char *sql, struct err *err)
{
	return pg_exec(pg_conn_of(tx), sql, err);
}

/* ---- columns --------------------------------------------------------------------------------------------------------------- */

/* Numbers come in network order, in as many bytes as their type has. */
int64_t
pg_i64(struct db_stmt *st, int col)
{
	struct pg_stmt *s = stmt_of(st);
	const uint8_t *p = (const uint8_t *)PQgetvalue(s->res, s->row, col);
	int len = PQgetlength(s->res, s->row, col);
	uint64_t n;

	if (len < 1 || len > 8)
		return 0; /* NULL */
	n = p[0] & 0x80 && PQftype(s->res, col) != OID_BOOL ? UINT64_MAX : 0;
	for (int i = 0; i < len; i++)
		n = n << 8 | p[i];
	return (int64_t)n;
}

const char *
pg_text(struct db_stmt *st, int col, size_t *len)
{
	struct pg_stmt *s = stmt_of(st);

	if (len)
		*len = (size_t)PQgetlength(s->res, s->row, col);
	return PQgetvalue(s->res, s->row, col); /* libpq ends it with a NUL; NULL is "" */
}

const uint8_t *
pg_bytes(struct db_stmt *st, int col, size_t *len)
{
	return (const uint8_t *)pg_text(st, col, len);
}

unsigned
pg_columns(struct db_stmt *st)
{
	return (unsigned)PQnfields(stmt_of(st)->res);
}

struct db_value
pg_column(struct db_stmt *st, int col)
{
	struct pg_stmt *s = stmt_of(st);
	size_t len;
	const void *p = pg_text(st, col, &len);

	if (PQgetisnull(s->res, s->row, col))
		return (struct db_value){ .kind = DB_VALUE_NULL };
	switch (PQftype(s->res, col)) {
	case OID_TEXT:
		return DB_TEXTN(p, len);
	case OID_BYTEA:
		return DB_BYTES(p, len);
	default:
		return DB_I64(pg_i64(st, col)); /* check_columns has let nothing else pass */
	}
}
