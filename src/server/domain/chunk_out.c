/*
 * Chunks on their way out, as they are stored.  The chunk's row is asked first: it says whose the chunk is (I12); the store's key
 * says it again.
 */
#include "base/fault.h"
#include "base/log.h"
#include "server/domain/domain_internal.h"
#include "server/domain/transfer.h"

static err_code
chunk_known(struct domain *d, const struct store_key *key, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct chunk row;
	err_code rc;

	if (FAULT("domain.chunk_unasked")) /* M25 */
		return ERR_OK;
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_chunk_get(tx, &key->project, &key->hash, &row, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no such chunk here");
	return rc;
}

/* A row without its object is damage, not absence: say so here, where it is found.  Unless both went between the two looks. */
static err_code
settle(struct domain *d, const struct store_key *key, err_code rc, struct err *err)
{
	char hex[HASH_HEX_LEN + 1];

	if (rc == ERR_NOT_FOUND)
		rc = chunk_known(d, key, err);
	else
		return rc;
	if (rc)
		return rc;
	log_event(LOG_ERROR, "a chunk is missing from the store", LOG_STR("chunk", hash_hex(&key->hash, hex)));
	return err_set(err, ERR_CORRUPT, "chunk %s is missing from the store", hex);
}

err_code
chunk_size(struct domain *d, const struct id *project, const struct hash *id, uint64_t *size, struct err *err)
{
	struct store_key key = { .project = *project, .hash = *id };
	err_code rc = chunk_known(d, &key, err);

	return rc ? rc : settle(d, &key, store_size(d->store, &key, size, err), err);
}

err_code
chunk_read(struct domain *d, const struct id *project, const struct hash *id, uint64_t off, uint8_t *buf, size_t len,
    size_t *got, struct err *err)
{
	struct store_key key = { .project = *project, .hash = *id };
	err_code rc = chunk_known(d, &key, err);

	return rc ? rc : settle(d, &key, store_read(d->store, &key, off, buf, len, got, err), err);
}

err_code
chunk_fd(struct domain *d, const struct id *project, const struct hash *id, int *fd, uint64_t *size, struct err *err)
{
	struct store_key key = { .project = *project, .hash = *id };
	err_code rc = chunk_known(d, &key, err);

	return rc ? rc : settle(d, &key, store_open_fd(d->store, &key, fd, size, err), err);
}
