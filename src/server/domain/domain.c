/*
 * Putting the parts together, and what all of them need.
 */
#include "base/clock.h"
#include "base/log.h"
#include "server/domain/domain_internal.h"
#include "server/domain/history.h"
#include "server/domain/tree.h"

#define HEADERS_MAX (4 * MIB)      /* a few hundred headers of full chunks */
#define SEEN_EVERY_MS (5 * 60 * 1000)
#define PROGRESS_EVERY_MS 1000

struct domain *
domain_open(struct meta *meta, struct store *store)
{
	struct domain *d = xcalloc(1, sizeof *d);

	d->meta = meta;
	d->store = store;
	d->opened_at = clock_wall_us();
	d->headers = headers_new(HEADERS_MAX);
	d->leases = leases_new();
	d->registrar = registrar_new();
	d->snapshots = snapshots_new();
	d->clocks = clocks_new();
	d->seen = recent_new(SEEN_EVERY_MS);
	d->progress = recent_new(PROGRESS_EVERY_MS);
	d->underways = underways_new();
	return d;
}

void
domain_free(struct domain *d)
{
	if (!d)
		return;
	headers_free(d->headers);
	leases_free(d->leases);
	registrar_free(d->registrar);
	snapshots_free(d->snapshots);
	clocks_free(d->clocks);
	recent_free(d->seen);
	recent_free(d->progress);
	underways_free(d->underways);
	free(d);
}

void
domain_on_change(struct domain *d, void (*fn)(void *ctx, const struct id *project, int64_t clock), void *ctx)
{
	d->on_change = fn;
	d->on_change_ctx = ctx;
}

void
domain_on_live(struct domain *d, const struct domain_live *live)
{
	d->live = *live;
}

void
domain_changed(struct domain *d, const struct id *project, int64_t clock)
{
	clocks_publish(d->clocks, project, clock);
	if (d->on_change)
		d->on_change(d->on_change_ctx, project, clock);
}

void
domain_heard(struct domain *d, const struct id *project, int64_t clock)
{
	domain_changed(d, project, clock);
}

void
domain_missed(struct domain *d)
{
	clocks_forget_all(d->clocks);
}

err_code
domain_ready(struct domain *d, struct err *err)
{
	err_code rc = meta_ping(d->meta, err);

	if (rc)
		return err_wrap(err, "metadata");
	rc = store_check(d->store, err);
	return rc ? err_wrap(err, "store") : ERR_OK;
}

/* ---- expiry ------------------------------------------------------------------------------------------------------ */

static err_code
expire_rows(struct domain *d, int64_t now_us, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	unsigned n = 0, forgotten = 0;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = meta_transfer_expire(tx, now_us, &n, err);
	if (!rc)
		rc = meta_idempotent_expire(tx, now_us - IDEMPOTENCY_LIFE_US, err);
	if (!rc)
		rc = meta_transfer_event_expire(tx, now_us - MILESTONES_LIFE_US, err);
	if (!rc)
		rc = meta_transfer_forget(tx, now_us - MILESTONES_LIFE_US, ROWS_PAGE, &forgotten, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	if (!rc && n > 0)
		log_event(LOG_INFO, "transfers have expired", LOG_U64("count", n));
	return rc;
}

/* Copied, because each is then visited in transactions of its own. */
err_code
project_ids(struct domain *d, const struct id *after, struct id ids[ROWS_PAGE], size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project *page;
	err_code rc;

	*n = 0;
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_project_list(tx, NULL, after, ROWS_PAGE, &page, n, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < *n; i++)
		ids[i] = page[i].id;
	return ERR_OK;
}

static err_code
project_expire(struct domain *d, const struct id *project, int64_t now_us, struct err *err)
{
	err_code rc = snapshot_expire(d, project, now_us, err);

	return rc ? rc : tombstones_expire(d, project, now_us, err);
}

err_code
domain_expire(struct domain *d, struct err *err)
{
	int64_t now_us = clock_wall_us();
	AUTO(freep) struct id *ids = xcalloc(ROWS_PAGE, sizeof *ids);
	struct id after;
	size_t n = 0;
	err_code rc = expire_rows(d, now_us, err);

	for (bool first = true; !rc && (first || n == ROWS_PAGE); first = false) {
		rc = project_ids(d, first ? NULL : &after, ids, &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			rc = project_expire(d, &ids[i], now_us, err);
		if (n > 0)
			after = ids[n - 1];
	}
	if (!rc)
		rc = history_prune(d, now_us, err);
	return rc ? err_wrap(err, "expire") : ERR_OK;
}

/* ---- what all files need ----------------------------------------------------------------------------------------- */

err_code
no_memory(struct err *err)
{
	return err_set(err, ERR_NO_MEM, "the answer needs more memory than one request may use");
}

err_code
no_project(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no such project here");
}

err_code
project_in(struct meta_tx *tx, const struct id *id, struct project *out, struct err *err)
{
	err_code rc = meta_project_get(tx, id, out, err);

	return rc == ERR_NOT_FOUND ? no_project(err) : rc;
}

err_code
project_copy(struct arena *a, const struct project *in, struct project *out, struct err *err)
{
	char *name = arena_strdup(a, in->name);

	if (!name)
		return no_memory(err);
	*out = *in;
	out->name = name;
	return ERR_OK;
}

err_code
file_copy(struct arena *a, const struct file *in, struct file *out, struct err *err)
{
	char *dir = arena_strdup(a, in->dir);
	char *name = arena_strdup(a, in->name);
	char *target = arena_strdup(a, in->target);

	if (!dir || !name || !target)
		return no_memory(err);
	*out = *in;
	out->dir = dir;
	out->name = name;
	out->target = target;
	return ERR_OK;
}

err_code
limit_check(unsigned limit, struct err *err)
{
	if (limit < 1 || limit > PAGE_LIMIT_MAX)
		return err_set(err, ERR_FIELD_RANGE, "limit: 1 to %d", PAGE_LIMIT_MAX);
	return ERR_OK;
}
