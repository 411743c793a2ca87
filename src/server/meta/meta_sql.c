/* Transactions over db/, and how rows become structs. */
#include "server/meta/meta_sql_internal.h"

#include "base/limits.h"

/* What the widest index has beside directory and name: the project's id and a number. */
#define KEY_BESIDE_PATH (sizeof(struct id) + sizeof(int64_t))

struct sql {
	struct meta base;
	struct db *db;
};

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

err_code
sql_found(err_code rc, int64_t affected, const char *what, struct err *err)
{
	if (rc || affected)
		return rc;
	return err_set(err, ERR_NOT_FOUND, "no such %s", what);
}

static void
row_fail(struct row *r, err_code code)
{
	if (!r->code)
		r->code = code;
}

int64_t
row_i64(struct row *r)
{
	return db_i64(r->st, r->col++);
}

static void
row_fixed(struct row *r, uint8_t *out, size_t len)
{
	size_t got;
	const uint8_t *p = db_bytes(r->st, r->col++, &got);

	if (got == len)
		memcpy(out, p, len);
	else
		row_fail(r, ERR_CORRUPT);
}

void
row_id(struct row *r, struct id *out)
{
	row_fixed(r, out->b, sizeof out->b);
}

bool
row_null(const struct row *r)
{
	return db_column(r->st, r->col).kind == DB_VALUE_NULL;
}

void
row_id_or_none(struct row *r, struct id *out)
{
	if (!row_null(r)) {
		row_id(r, out);
		return;
	}
	*out = (struct id){ { 0 } };
	r->col++;
}

void
row_hash(struct row *r, struct hash *out)
{
	row_fixed(r, out->b, sizeof out->b);
}

const char *
row_text(struct row *r)
{
	size_t len;
	const char *s = db_text(r->st, r->col++, &len), *copy;

	copy = arena_strndup(r->tx->arena, s, len);
	if (!copy)
		row_fail(r, ERR_NO_MEM);
	return copy;
}

const uint8_t *
row_bytes(struct row *r, size_t *len)
{
	const uint8_t *p = db_bytes(r->st, r->col++, len), *copy;

	copy = arena_memdup(r->tx->arena, p, *len);
	if (!copy)
		row_fail(r, ERR_NO_MEM);
	return copy;
}

err_code
row_done(const struct row *r, struct err *err)
{
	if (r->code == ERR_CORRUPT)
		return err_set(err, ERR_CORRUPT, "an id or a hash in the database has the wrong length");
	if (r->code)
		return err_set(err, r->code, "the transaction hands out more than %zu bytes", META_ARENA_MAX);
	return ERR_OK;
}

void
sql_read_bytes(struct row *r, void *out)
{
	struct sql_bytes *b = out;

	b->p = row_bytes(r, &b->len);
}

void
sql_read_id(struct row *r, void *out)
{
	row_id(r, out);
}

err_code
sql_one(struct meta_tx *tx, struct db_stmt *st, sql_read_fn *read, void *out, const char *what, struct err *err)
{
	struct row r = { .tx = tx, .st = st };
	bool row;
	err_code rc;

	rc = db_step(st, &row, err);
	if (rc)
		return rc;
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such %s", what);
	read(&r, out);
	return row_done(&r, err);
}

#define ROWS_FIRST 8

/* Room doubles, so a page that turns out empty costs nothing and a full one is copied once on average. */
static void *
grow(struct meta_tx *tx, void *array, size_t n, size_t size)
{
	void *grown;

	if (n != 0 && (n < ROWS_FIRST || (n & (n - 1))))
		return array;
	grown = arena_array(tx->arena, MAX(2 * n, (size_t)ROWS_FIRST), size);
	if (grown && n)
		memcpy(grown, array, n * size);
	return grown;
}

err_code
sql_all(struct meta_tx *tx, struct db_stmt *st, sql_read_fn *read, size_t size, void **array, size_t *n, struct err *err)
{
	bool row = true;
	err_code rc = ERR_OK;

	while (!rc && row) {
		struct row r = { .tx = tx, .st = st };

		rc = db_step(st, &row, err);
		if (rc || !row)
			break;
		*array = grow(tx, *array, *n, size);
		if (*array)
			read(&r, (char *)*array + *n * size);
		else
			row_fail(&r, ERR_NO_MEM);
		rc = row_done(&r, err);
		++*n;
	}
	return rc;
}

err_code
sql_any(struct db_stmt *st, bool *any, struct err *err)
{
	return db_step(st, any, err);
}

/* ---- transactions --------------------------------------------------------------------------------------------------------- */

static err_code
sql_begin(struct meta *meta, enum meta_mode mode, struct meta_tx **tx, struct err *err)
{
	static const enum db_mode DB_MODE[] = { [META_READ] = DB_READ, [META_READ_ONE] = DB_READ_ONE, [META_WRITE] = DB_WRITE };
	struct sql *m = (struct sql *)meta;
	struct db_tx *db;
	struct sql_tx *t;
	err_code rc;

	rc = db_begin(m->db, DB_MODE[mode], &db, err);
	if (rc)
		return rc;
	t = xcalloc(1, sizeof *t);
	meta_tx_init(&t->base, meta, mode, META_ARENA_MAX);
	t->db = db;
	*tx = &t->base;
	return ERR_OK;
}

static void
sql_release(struct sql_tx *t)
{
	meta_tx_fini(&t->base);
	free(t);
}

static err_code
sql_commit(struct meta_tx *tx, struct err *err)
{
	struct sql_tx *t = (struct sql_tx *)tx;
	err_code rc = db_commit(&t->db, err);

	sql_release(t);
	return rc;
}

static void
sql_abort(struct meta_tx *tx)
{
	struct sql_tx *t = (struct sql_tx *)tx;

	db_abort(&t->db);
	sql_release(t);
}

/* A reader's transaction starts with a read. */
static err_code
sql_ping(struct meta *meta, struct err *err)
{
	struct db_tx *tx;
	err_code rc;

	rc = db_begin(((struct sql *)meta)->db, DB_READ, &tx, err);
	return rc ? rc : db_commit(&tx, err);
}

static void
sql_free(struct meta *meta)
{
	db_free(((struct sql *)meta)->db);
	free(meta);
}

static const struct meta_ops sql_ops = {
	.begin = sql_begin,
	.commit = sql_commit,
	.abort = sql_abort,
	.ping = sql_ping,
	.free = sql_free,
#define METHOD(mode, name, params, args) .name = sql_##name,
#include "server/meta/methods.def"
#undef METHOD
};

err_code
meta_sql_open(struct db *db, struct meta **out, struct err *err)
{
	struct sql *m = xcalloc(1, sizeof *m);

	(void)err;
	m->base.ops = &sql_ops;
	m->base.path_max = MIN((size_t)PATH_LEN_MAX, db_key_max(db) - KEY_BESIDE_PATH);
	m->db = db;
	*out = &m->base;
	return ERR_OK;
}
