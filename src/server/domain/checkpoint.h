#pragma once
/**
 * How far along each device has come.  A device names its own place; the server keeps it and shows the lag.
 */

#include "server/domain/domain.h"

/** NOT_FOUND while the device has not named a place. */
err_code checkpoint_get(struct domain *d, const struct id *project, const struct id *device, struct arena *a,
    struct checkpoint *out, struct err *err);
/** EPOCH_CHANGED for another epoch or a clock from the future; a place further back is fine (a device may start anew). */
err_code checkpoint_put(struct domain *d, const struct id *project, const struct id *device, const struct id *epoch,
    int64_t clock, struct err *err);
