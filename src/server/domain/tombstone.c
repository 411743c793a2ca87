/*
 * Tombstones are what tells a device that a file is to go.  One leaves the tree when
 *
 *   - it is TOMBSTONE_LIFE_US old, and
 *   - every live checkpoint has passed it: of the project's present epoch, of a device that is not revoked, may still read the project and
 *     has been heard of within DEVICE_AWAY_US.
 *
 * A device that never named a place holds nothing: it starts with a listing.  One that comes back after a longer time, or reads without
 * a checkpoint, finds its cursor before the horizon and is told to list and take the server's word (cursor_check, CURSOR_EXPIRED); so nothing
 * depends on the rule but how often that happens.  The horizon is the newest tombstone that has gone, in the transaction in which it
 * goes, so a reader sees either the tombstone or the horizon past it (I7).
 *
 * The file's versions are the history's (prune.c): a deleted file can be restored for as long as the policy keeps it.
 */
#include "base/fault.h"
#include "base/log.h"
#include "server/domain/domain_internal.h"
#include "server/domain/tree.h"

#define TX_ROWS 500    /* in one transaction: a few milliseconds of the one writer's time */
#define TICK_ROWS 20000 /* of one project in one call */

/* Tombstones up to *upto may go; *due: there is one. */
static err_code
find_bound(struct domain *d, const struct id *project, int64_t now_us, int64_t *upto, bool *due, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t first = INT64_MAX, slowest = INT64_MAX;
	err_code rc = meta_begin(d->meta, META_READ, &tx, err);

	*upto = FAULT("domain.tombstones_early") ? now_us : now_us - TOMBSTONE_LIFE_US;
	if (!rc)
		rc = meta_tombstone_first(tx, project, &first, err);
	if (!rc && first <= *upto)
		rc = meta_checkpoint_slowest(tx, project, now_us - DEVICE_AWAY_US, &slowest, err);
	if (!FAULT("domain.tombstones_unpassed"))
		*upto = MIN(*upto, slowest);
	*due = !rc && first <= *upto;
	return rc;
}

/* The bound is found again: a device may have started anew, further back, since. */
static err_code
prune_some(struct domain *d, const struct id *project, int64_t now_us, int64_t upto, unsigned *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t slowest = INT64_MAX;
	err_code rc = meta_begin(d->meta, META_WRITE, &tx, err);

	*n = 0;
	if (!rc && !FAULT("domain.tombstones_unpassed"))
		rc = meta_checkpoint_slowest(tx, project, now_us - DEVICE_AWAY_US, &slowest, err);
	if (!rc)
		rc = meta_tombstone_prune(tx, project, MIN(upto, slowest), TX_ROWS, n, err);
	return rc ? rc : meta_commit(&tx, err);
}

err_code
tombstones_expire(struct domain *d, const struct id *project, int64_t now_us, struct err *err)
{
	unsigned n = TX_ROWS, gone = 0;
	int64_t upto;
	bool due;
	err_code rc = find_bound(d, project, now_us, &upto, &due, err);

	if (rc || !due)
		return rc;
	for (; !rc && n == TX_ROWS && gone < TICK_ROWS; gone += n)
		rc = prune_some(d, project, now_us, upto, &n, err);
	if (gone > 0)
		log_event(LOG_INFO, "tombstones have gone", LOG_U64("count", gone));
	return rc;
}
