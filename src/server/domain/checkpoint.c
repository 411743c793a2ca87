#include "server/domain/checkpoint.h"

#include "base/clock.h"
#include "server/domain/domain_internal.h"

err_code
checkpoint_get(struct domain *d, const struct id *project, const struct id *device, struct arena *a, struct checkpoint *out,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct checkpoint c;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = meta_checkpoint_get(tx, project, device, &c, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "this device has not named a place yet");
	if (rc)
		return rc;
	*out = c;
	out->device_name = arena_strdup(a, c.device_name ? c.device_name : "");
	return out->device_name ? ERR_OK : no_memory(err);
}

err_code
checkpoint_put(struct domain *d, const struct id *project, const struct id *device, const struct id *epoch, int64_t clock,
    struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct checkpoint c = { .device = *device, .epoch = *epoch, .clock = clock, .updated_at = clock_wall_us() };
	struct project p;
	err_code rc;

	if (clock < 0)
		return err_set(err, ERR_FIELD_RANGE, "a clock is not negative");
	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (rc)
		return rc;
	if (!id_eq(epoch, &p.epoch) || clock > p.clock)
		return err_set(err, ERR_EPOCH_CHANGED, "the checkpoint is not of this project's present history");
	rc = meta_checkpoint_put(tx, project, &c, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	if (!rc && d->live.place)
		d->live.place(d->live.ctx, project, device, epoch, clock);
	return rc;
}
