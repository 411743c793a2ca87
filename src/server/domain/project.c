/*
 * Projects.  Deleting one takes its rows only: listing the whole store for its objects would hold the caller for as long as
 * the store is large, and the garbage collector meets them anyway, since no row names them any more.
 */
#include "base/clock.h"
#include "server/domain/domain_internal.h"

err_code
project_create(struct domain *d, const char *name, struct idem *idem, struct arena *a, struct project *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = title_check(name, strlen(name), "name", err);
	if (!rc)
		rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = idem_find(tx, idem, a, err);
	if (rc || (idem && idem->replayed))
		return rc;
	p = (struct project){ .id = id_new(), .name = name, .epoch = id_new(), .clock = clock_wall_us() };
	p.created_at = p.clock;
	rc = meta_project_add(tx, &p, err);
	if (!rc)
		rc = project_copy(a, &p, out, err);
	if (!rc)
		rc = idem_keep(tx, idem, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	if (!rc)
		clocks_publish(d->clocks, &p.id, p.clock);
	return rc;
}

err_code
project_get(struct domain *d, const struct id *id, struct arena *a, struct project *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, id, &p, err);
	return rc ? rc : project_copy(a, &p, out, err);
}

err_code
project_list(struct domain *d, const struct id *device, const struct id *after, unsigned limit, struct arena *a,
    struct project **out, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project *rows;
	err_code rc;

	rc = limit_check(limit, err);
	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_project_list(tx, device, after, limit, &rows, n, err);
	if (rc)
		return rc;
	*out = arena_array(a, *n, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (size_t i = 0; !rc && i < *n; i++)
		rc = project_copy(a, &rows[i], &(*out)[i], err);
	return rc;
}

err_code
project_rename(struct domain *d, const struct id *id, const char *name, struct arena *a, struct project *out,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = title_check(name, strlen(name), "name", err);
	if (!rc)
		rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = project_in(tx, id, &p, err);
	if (!rc)
		rc = meta_project_rename(tx, id, name, err);
	if (rc)
		return rc;
	p.name = name;
	rc = project_copy(a, &p, out, err);
	return rc ? rc : meta_commit(&tx, err);
}

err_code
project_delete(struct domain *d, const struct id *id, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = project_in(tx, id, &p, err);
	if (!rc)
		rc = meta_project_delete(tx, id, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	if (!rc) {
		clocks_forget(d->clocks, id); /* who waits for a change looks, and finds it gone */
		if (d->on_change)
			d->on_change(d->on_change_ctx, id, p.clock);
	}
	return rc;
}
