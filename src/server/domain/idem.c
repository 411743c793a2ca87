/*
 * Idempotency keys (I5).  Two requests with one key can run side by side only where writers do not exclude each other; the
 * second to write its answer then meets the first's row and is told to come again, when it will find the answer.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/fault.h"
#include "server/domain/domain_internal.h"

/* Room for the longest answer: 10,000 results that each carry a file with a long path. */
#define IDEM_ANSWER_MAX (64 * MIB)

err_code
idem_find(struct meta_tx *tx, struct idem *idem, struct arena *a, struct err *err)
{
	struct idempotent kept;
	struct hash key_hash;
	err_code rc;

	if (!idem || FAULT("domain.no_idem")) /* M34 */
		return ERR_OK;
	key_hash = hash_of(idem->key, strlen(idem->key));
	rc = meta_idempotent_get(tx, &idem->device, &key_hash, &kept, err);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc)
		return err_wrap(err, "look up the idempotency key");
	if (!hash_eq(&kept.request_hash, &idem->request_hash))
		return err_set(err, ERR_IDEMPOTENCY_MISMATCH, "this idempotency key was used for another request");
	idem->body = arena_memdup(a, kept.body, kept.body_len);
	if (!idem->body)
		return no_memory(err);
	idem->body_len = kept.body_len;
	idem->status = kept.status;
	idem->replayed = true;
	return ERR_OK;
}

err_code
idem_keep(struct meta_tx *tx, struct idem *idem, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf answer = SBUF(IDEM_ANSWER_MAX);
	struct idempotent kept;
	err_code rc;

	if (!idem)
		return ERR_OK;
	assert(!idem->replayed); /* I5: an effect that is remembered does not happen again */
	rc = idem->encode(idem->ctx, &answer, &idem->status, err);
	if (!rc)
		rc = sbuf_done(&answer, err);
	if (rc)
		return err_wrap(err, "encode the answer");
	kept = (struct idempotent){ .device = idem->device, .key_hash = hash_of(idem->key, strlen(idem->key)),
		.request_hash = idem->request_hash, .status = idem->status, .body = (const uint8_t *)sbuf_str(&answer),
		.body_len = answer.len, .created_at = clock_wall_us() };
	rc = meta_idempotent_add(tx, &kept, err);
	if (rc == ERR_EXISTS)
		return err_set(err, ERR_IDEMPOTENCY_RUNNING, "a request with this idempotency key is running");
	return rc;
}
