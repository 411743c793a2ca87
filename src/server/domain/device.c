/*
 * Devices and their grants.  A device that is revoked keeps its row: history names it, and its token must go on being known as
 * revoked rather than as nothing.
 */
#include <assert.h>

#include "base/clock.h"
#include "server/domain/access.h"
#include "server/domain/domain_internal.h"

static err_code
device_add(struct meta_tx *tx, const struct device *dev, const struct id *project, enum role role, struct err *err)
{
	struct grant g = { .device = dev->id, .role = role };
	struct project p;
	err_code rc;

	if (!project)
		return meta_device_add(tx, dev, err);
	g.project = *project;
	rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = meta_device_add(tx, dev, err);
	return rc ? rc : meta_grant_set(tx, &g, err);
}

err_code
device_create(struct domain *d, const char *name, enum device_kind kind, const struct id *project, enum role role,
    const struct hash *token_hash, struct idem *idem, struct arena *a, struct device *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct device dev = { .name = name, .kind = kind, .token_hash = *token_hash, .created_at = clock_wall_us() };
	err_code rc;

	assert((kind == DEVICE_OWNER) == !project); /* I12: an owner needs no grant, anyone else is nothing without */
	assert(!project || role != ROLE_NONE);
	rc = title_check(name, strlen(name), "name", err);
	if (!rc)
		rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = idem_find(tx, idem, a, err);
	if (rc || (idem && idem->replayed))
		return rc;
	dev.id = id_new();
	rc = device_add(tx, &dev, project, role, err);
	if (rc)
		return rc;
	*out = dev;
	out->name = arena_strdup(a, name);
	if (!out->name)
		return no_memory(err);
	rc = idem_keep(tx, idem, err);
	return rc ? rc : meta_commit(&tx, err);
}

static err_code
row_copy(struct arena *a, const struct device_row *in, struct device_row *out, struct err *err)
{
	char *name = arena_strdup(a, in->device.name);

	if (!name)
		return no_memory(err);
	*out = *in;
	out->device.name = name;
	out->checkpoint.device_name = name;
	return ERR_OK;
}

/* *left: rows that may still be looked at. */
static err_code
lag_of(struct meta_tx *tx, const struct project *p, const struct checkpoint *at, unsigned *left, struct device_lag *out, struct err *err)
{
	struct file *rows;
	size_t n = 0;
	err_code rc = ERR_OK;

	*out = (struct device_lag){ 0 };
	if (at->clock == 0 || !id_eq(&at->epoch, &p->epoch) || (at->clock < p->clock && *left < LAG_CHANGES_MAX))
		return ERR_OK;
	if (at->clock < p->clock)
		rc = meta_file_changes(tx, &p->id, at->clock, LAG_CHANGES_MAX, &rows, &n, err);
	if (rc)
		return rc;
	*left -= (unsigned)n;
	*out = (struct device_lag){ .known = true, .changes = (unsigned)n, .since = n > 0 ? rows[0].version : 0 };
	meta_tx_trim(tx);
	return ERR_OK;
}

static err_code
lags_of(struct meta_tx *tx, const struct project *p, const struct device_row *rows, size_t n, struct arena *a, struct device_lag **out,
    struct err *err)
{
	unsigned left = LAG_ROWS_MAX;
	err_code rc = ERR_OK;

	*out = arena_array(a, n, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = lag_of(tx, p, &rows[i].checkpoint, &left, &(*out)[i], err);
	return rc;
}

err_code
device_list(struct domain *d, const struct id *project, struct arena *a, struct device_row **out, struct device_lag **lags, size_t *n,
    struct project *project_out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct device_row *rows;
	struct project p;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = meta_device_list(tx, project, &rows, n, err);
	if (!rc)
		rc = project_copy(a, &p, project_out, err);
	if (rc)
		return rc;
	*out = arena_array(a, *n, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (size_t i = 0; !rc && i < *n; i++)
		rc = row_copy(a, &rows[i], &(*out)[i], err);
	return rc || !lags ? rc : lags_of(tx, project_out, *out, *n, a, lags, err);
}

err_code
device_revoke(struct domain *d, const struct id *project, const struct id *device, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct device dev;
	enum role role;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = meta_grant_get(tx, device, project, &role, err);
	if (rc)
		return rc;
	if (role == ROLE_NONE)
		return err_set(err, ERR_NOT_FOUND, "there is no such device in this project");
	rc = meta_device_get(tx, device, &dev, err);
	if (rc || dev.revoked_at) /* revoking again is fine, and keeps the first time */
		return rc;
	rc = meta_device_revoke(tx, device, clock_wall_us(), err);
	return rc ? rc : meta_commit(&tx, err);
}
