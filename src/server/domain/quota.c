/*
 * A project's quota bounds the stored bytes of its chunks: containers as they lie in the store, each once, however many files
 * share it.  What is metadata alone (a delete, a rename, a copy, a restore) therefore never meets it.
 *
 * The check that counts is quota_check, in the transaction that writes the chunk's row: meta has one writer at a time, so no two
 * uploads can both take the last room (P7).  Those before it only spare a caller his bytes and the store its garbage.
 */
#include "base/fault.h"
#include "server/domain/domain_internal.h"

static err_code
exceeded(const struct project *p, int64_t more, struct err *err)
{
	return err_set(err, ERR_QUOTA, "the project stores %jd of at most %jd bytes; this is %jd more", (intmax_t)p->stored_bytes,
	    (intmax_t)p->policy.quota_bytes, (intmax_t)more);
}

/* Whether ${more} bytes fit; sums stay far from 2^63, but a quota may be near it. */
static bool
fits(const struct project *p, int64_t more)
{
	int64_t quota = p->policy.quota_bytes;

	return quota == 0 || (p->stored_bytes <= quota && more <= quota - p->stored_bytes);
}

err_code
quota_left(const struct project *p, struct err *err)
{
	return fits(p, 1) ? ERR_OK : exceeded(p, 1, err);
}

/* A chunk whose row is there costs nothing: repeating an upload has the effect of one (I5). */
static err_code
chunk_fits(struct meta_tx *tx, const struct id *project, const struct hash *chunk, int64_t more, struct err *err)
{
	struct project p;
	struct chunk row;
	err_code rc = project_in(tx, project, &p, err);

	if (rc || fits(&p, more))
		return rc;
	rc = meta_chunk_get(tx, project, chunk, &row, err);
	return rc == ERR_NOT_FOUND ? exceeded(&p, more, err) : rc;
}

err_code
quota_check(struct meta_tx *tx, const struct id *project, const struct chunk *chunk, struct err *err)
{
	struct project p;

	if (FAULT("domain.quota_not_atomic")) /* M36: what was seen before is believed */
		return project_in(tx, project, &p, err);
	return chunk_fits(tx, project, &chunk->id, chunk->stored_len, err);
}

err_code
quota_foresee(struct domain *d, const struct id *project, const struct hash *chunk, int64_t more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = meta_begin(d->meta, META_READ, &tx, err);

	return rc ? rc : chunk_fits(tx, project, chunk, more, err);
}
