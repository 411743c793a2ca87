/* The front: hands each call to the driver. */
#include "db/writer.h"

#include <assert.h>

void
db_free(struct db *db)
{
	if (db)
		db->ops->free(db);
}

err_code
db_checkpoint(struct db *db, bool truncate, struct err *err)
{
	return db->ops->checkpoint(db, truncate, err);
}

err_code
db_begin(struct db *db, enum db_mode mode, struct db_tx **tx, struct err *err)
{
	err_code rc;

	*tx = NULL;
	if (mode == DB_WRITE) {
		rc = writer_begin(db->writer, err);
		if (!rc)
			*tx = db->writer->tx;
	} else {
		rc = db->ops->read_begin(db, mode == DB_READ_ONE, tx, err);
	}
	if (!rc) {
		(*tx)->one = mode == DB_READ_ONE;
		(*tx)->asked = false;
	}
	return rc;
}

err_code
db_commit(struct db_tx **tx, struct err *err)
{
	struct db_tx *t = TAKE(*tx);

	assert(t->busy == 0); /* every statement has been reset */
	if (t->mode == DB_WRITE)
		return writer_commit(t->db->writer, err);
	t->ops->read_end(t);
	return ERR_OK;
}

void
db_abort(struct db_tx **tx)
{
	struct db_tx *t = TAKE(*tx);

	if (!t)
		return;
	assert(t->busy == 0);
	if (t->mode == DB_WRITE)
		writer_abort(t->db->writer);
	else
		t->ops->read_end(t);
}

err_code
db_query_values(struct db_tx *tx, struct db_stmt **st, struct err *err, const char *sql, const struct db_value *values, size_t n)
{
	assert(!tx->one || !tx->asked);
	tx->asked = true;
	return tx->ops->query(tx, sql, values, n, st, err);
}

err_code
db_stream_values(struct db_tx *tx, struct db_stmt **st, struct err *err, const char *sql, const struct db_value *values, size_t n)
{
	err_code rc;

	assert(tx->mode == DB_READ && !tx->one && tx->busy == 0);
	rc = db_query_values(tx, st, err, sql, values, n);
	if (!rc && tx->ops->stream)
		tx->ops->stream(*st);
	return rc;
}

err_code
db_step(struct db_stmt *st, bool *row, struct err *err)
{
	return st->ops->step(st, row, err);
}

err_code
db_run_values(struct db_tx *tx, int64_t *affected, struct err *err, const char *sql, const struct db_value *values, size_t n)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = true;
	err_code rc;

	rc = db_query_values(tx, &st, err, sql, values, n);
	while (!rc && row)
		rc = db_step(st, &row, err);
	if (!rc && affected)
		*affected = st->ops->affected(st);
	return rc;
}

err_code
db_send_values(struct db_tx *tx, struct err *err, const char *sql, const struct db_value *values, size_t n)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	err_code rc;

	assert(tx->mode == DB_WRITE);
	if (!tx->ops->send)
		return db_run_values(tx, NULL, err, sql, values, n);
	rc = tx->ops->query(tx, sql, values, n, &st, err);
	return rc ? rc : tx->ops->send(st, err);
}

int64_t
db_i64(struct db_stmt *st, int col)
{
	return st->ops->i64(st, col);
}

const char *
db_text(struct db_stmt *st, int col, size_t *len)
{
	return st->ops->text(st, col, len);
}

const uint8_t *
db_bytes(struct db_stmt *st, int col, size_t *len)
{
	return st->ops->bytes(st, col, len);
}

unsigned
db_columns(struct db_stmt *st)
{
	return st->ops->columns(st);
}

struct db_value
db_column(struct db_stmt *st, int col)
{
	return st->ops->column(st, col);
}

void
db_reset(struct db_stmt *st)
{
	st->ops->reset(st);
}

void
db_resetp(struct db_stmt **st)
{
	if (*st)
		db_reset(TAKE(*st));
}

err_code
db_script(struct db_tx *tx, const char *sql, struct err *err)
{
	return tx->ops->script(tx, sql, err);
}

void
db_each_sql(struct db *db, void (*fn)(void *arg, const char *sql), void *arg)
{
	db->ops->each_sql(db, fn, arg);
}

err_code
db_check(struct db *db, const struct db_migrations *set, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err)
{
	return db->ops->check ? db->ops->check(db, set, fn, ctx, err) : ERR_OK;
}

size_t
db_key_max(const struct db *db)
{
	return db->ops->key_max;
}

void
db_tell(struct db_tx *tx, const struct id *about, int64_t number)
{
	assert(tx->mode == DB_WRITE);
	if (tx->ops->tell)
		tx->ops->tell(tx, about, number);
}

err_code
db_listen(struct db *db, const struct db_ears *ears, struct db_listener **out, struct err *err)
{
	*out = NULL;
	return db->ops->listen ? db->ops->listen(db, ears, out, err) : ERR_OK;
}

void
db_listener_free(struct db_listener *l)
{
	if (l)
		l->ops->unlisten(l);
}

/* ---- for drivers ----------------------------------------------------------------------------------------------------------- */

err_code
db_tx_fail(struct db_tx *tx, const struct err *own, struct err *err)
{
	if (!tx->failure.code)
		tx->failure = *own;
	if (err)
		*err = *own;
	return own->code;
}
