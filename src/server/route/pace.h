#pragma once
/**
 * How often a device may be told that there is nothing new: POLL_BURST times at once, and once more every POLL_INTERVAL_US.
 *
 * Time       is the caller's, on a clock that never goes back.
 * Memory     POLL_DEVICES_MAX devices; beyond them the one that came first is forgotten, and may begin anew.
 * Threads    any.
 */

#include "base/id.h"

struct pace;

struct pace *pace_new(void);
void pace_free(struct pace *p); /* NULL is fine */

/** pace_ready(p, device, now_us): false while the device has had all that it may have. */
bool pace_ready(struct pace *p, const struct id *device, int64_t now_us);

/** pace_charge(p, device, now_us): it was told once. */
void pace_charge(struct pace *p, const struct id *device, int64_t now_us);
