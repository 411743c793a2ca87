/*
 * The front of the store: argument checks and what is the same for every back-end.
 *
 * W1  A writer that has failed to write never becomes an object: its bytes are not what was given.
 * W2  A writer is released exactly once, by store_finish or store_abandon, and its pointer is NULL from then on.
 */

#include "server/store/store_internal.h"

#include <assert.h>

void
store_free(struct store *s)
{
	if (s)
		s->ops->free(s);
}

err_code
store_open_writer(struct store *s, struct store_writer **w, struct err *err)
{
	*w = NULL;
	return s->ops->open_writer(s, w, err);
}

/* Both kinds of write: the bytes, and the memory of a failure (W1). */
static err_code
write_bytes(struct store_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	err_code rc;

	if (w->failed)
		return err_set(err, w->failed, "an earlier write of this object failed");
	if (len == 0)
		return ERR_OK;
	rc = w->store->ops->write(w, off, p, len, err);
	if (rc)
		w->failed = rc;
	return rc;
}

err_code
store_write(struct store_writer *w, const uint8_t *p, size_t len, struct err *err)
{
	err_code rc;

	assert(len <= UINT64_MAX - w->len);
	rc = write_bytes(w, w->len, p, len, err);
	if (rc)
		return rc;
	w->len += len;
	return ERR_OK;
}

err_code
store_write_at(struct store_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	assert(off <= w->len && len <= w->len - off); /* store_write_at never appends */
	return write_bytes(w, off, p, len, err);
}

err_code
store_finish(struct store_writer **w, const struct store_key *key, struct err *err)
{
	struct store_writer *taken = TAKE(*w); /* W2 */
	err_code failed = taken->failed;

	if (failed) {
		taken->store->ops->abandon(taken);
		return err_set(err, failed, "an earlier write of this object failed"); /* W1 */
	}
	return taken->store->ops->finish(taken, key, err);
}

void
store_abandon(struct store_writer **w)
{
	struct store_writer *taken = TAKE(*w); /* W2 */

	if (taken)
		taken->store->ops->abandon(taken);
}

err_code
store_put(struct store *s, const struct store_key *key, const uint8_t *p, size_t len, struct err *err)
{
	AUTO(store_abandon) struct store_writer *w = NULL;
	err_code rc;

	rc = store_open_writer(s, &w, err);
	if (rc)
		return rc;
	rc = store_write(w, p, len, err);
	if (rc)
		return rc;
	return store_finish(&w, key, err);
}

err_code
store_read(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got,
    struct err *err)
{
	*got = 0;
	return s->ops->read(s, key, off, buf, len, got, err);
}

err_code
store_size(struct store *s, const struct store_key *key, uint64_t *size, struct err *err)
{
	return s->ops->size(s, key, size, err);
}

err_code
store_age(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err)
{
	*age_us = 0;
	return s->ops->age(s, key, age_us, err);
}

err_code
store_open_fd(struct store *s, const struct store_key *key, int *fd, uint64_t *size, struct err *err)
{
	*fd = -1;
	if (!s->ops->open_fd)
		return err_set(err, ERR_NOT_IMPLEMENTED, "this store has no files");
	return s->ops->open_fd(s, key, fd, size, err);
}

err_code
store_delete(struct store *s, const struct store_key *key, struct err *err)
{
	return s->ops->delete(s, key, err);
}

err_code
store_list(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx,
    struct err *err)
{
	return s->ops->list(s, fn, ctx, err);
}

err_code
store_check(struct store *s, struct err *err)
{
	return s->ops->check(s, err);
}
