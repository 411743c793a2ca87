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
	p = (struct project){ .id = id_new(), .name = name, .epoch = id_new(), .clock = clock_wall_us(),
		.policy = { .keep_versions = KEEP_VERSIONS_DEFAULT } };
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

static err_code
change_check(const struct project_change *c, struct err *err)
{
	if (c->keep_versions < -1 || c->keep_versions > KEEP_VERSIONS_MAX)
		return err_set(err, ERR_FIELD_RANGE, "keep_versions: 0 (all) to %d", KEEP_VERSIONS_MAX);
	if (c->keep_days < -1 || c->keep_days > KEEP_DAYS_MAX)
		return err_set(err, ERR_FIELD_RANGE, "keep_days: 0 (without limit) to %d", KEEP_DAYS_MAX);
	if (c->quota_bytes < -1)
		return err_set(err, ERR_FIELD_RANGE, "quota_bytes: not negative");
	return c->name ? title_check(c->name, strlen(c->name), "name", err) : ERR_OK;
}

/* Another idea of what to keep starts a walk over all that is there. */
static err_code
policy_write(struct meta_tx *tx, const struct project *p, const struct policy *now, struct err *err)
{
	bool walk = now->keep_versions != p->policy.keep_versions || now->keep_days != p->policy.keep_days;
	err_code rc = meta_project_policy(tx, &p->id, now, err);

	return rc || !walk ? rc : meta_history_walk_put(tx, &p->id, &(struct history_walk){ .ended_at = 0 }, err);
}

static err_code
change_write(struct meta_tx *tx, struct project *p, const struct project_change *c, struct err *err)
{
	struct policy now = p->policy;
	err_code rc = c->name ? meta_project_rename(tx, &p->id, c->name, err) : ERR_OK;

	if (c->name)
		p->name = c->name;
	if (c->keep_versions >= 0)
		now.keep_versions = c->keep_versions;
	if (c->keep_days >= 0)
		now.keep_days = c->keep_days;
	if (c->quota_bytes >= 0)
		now.quota_bytes = c->quota_bytes;
	if (!rc)
		rc = policy_write(tx, p, &now, err);
	p->policy = now;
	return rc;
}

err_code
project_update(struct domain *d, const struct id *id, const struct project_change *change, struct arena *a, struct project *out,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = change_check(change, err);
	if (!rc)
		rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = project_in(tx, id, &p, err);
	if (!rc)
		rc = change_write(tx, &p, change, err);
	if (!rc)
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
