/*
 * Sweeping: rows first, and when their going is durable, objects (G5).  Each row is looked at again in the transaction that removes it
 * (G2), so what was put or named since it was marked stays.
 */
#include "base/fault.h"
#include "server/job/gc_internal.h"

#define SWEEP_ROWS 200 /* in one transaction: a few milliseconds of the one writer's time */

static bool
is_garbage(const struct mark *m)
{
	return m->live_blocks == 0 && !m->leased;
}

/* Before which a row must have been used to go. */
static int64_t
horizon_of(const struct collection *c)
{
	return FAULT("job.gc_no_grace") ? INT64_MAX : c->horizon;
}

static void
count_kept(struct collection *c, const struct mark *m)
{
	c->report->chunks_kept++;
	c->report->bytes_kept += (uint64_t)m->stored_len;
}

static void
count_waiting(struct collection *c, const struct mark *m)
{
	c->report->chunks_waiting++;
	c->report->bytes_waiting += (uint64_t)m->stored_len;
}

static void
count_removed(struct collection *c, const struct mark *m)
{
	c->report->chunks_removed++;
	c->report->bytes_removed += (uint64_t)m->stored_len;
}

/* The rows of some marks; gone[i]: it went. */
static err_code
rows_remove(struct collection *c, struct mark *const *some, size_t n, bool *gone, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = meta_begin(c->meta, META_WRITE, &tx, err);

	for (size_t i = 0; !rc && i < n; i++)
		rc = meta_chunk_sweep(tx, &c->project, &some[i]->id, horizon_of(c), &gone[i], err);
	return rc ? rc : meta_commit(&tx, err);
}

static err_code
remove_some(struct collection *c, struct mark *const *some, size_t n, struct err *err)
{
	bool gone[SWEEP_ROWS] = { false }, deleted;
	err_code rc = n ? rows_remove(c, some, n, gone, err) : ERR_OK;

	for (size_t i = 0; !rc && i < n; i++) {
		struct store_key key = { .project = c->project, .hash = some[i]->id };

		if (!gone[i]) {
			count_waiting(c, some[i]);
			continue;
		}
		count_removed(c, some[i]);
		rc = object_collect(c->d, &key, &deleted, err); /* one that is being put again stays */
	}
	return rc ? rc : rest(c, err);
}

err_code
sweep(struct collection *c, struct err *err)
{
	struct mark *some[SWEEP_ROWS];
	size_t n = 0;
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < c->marks.n; i++) {
		struct mark *m = &c->marks.a[i];

		if (!is_garbage(m))
			count_kept(c, m);
		else if (m->used_at >= horizon_of(c))
			count_waiting(c, m);
		else if (c->report->dry_run)
			count_removed(c, m);
		else
			some[n++] = m;
		if (n == SWEEP_ROWS) {
			rc = remove_some(c, some, n, err);
			n = 0;
		}
	}
	return rc ? rc : remove_some(c, some, n, err);
}
