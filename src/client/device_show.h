#pragma once
/** A project's devices for people's eyes. */

#include "base/sbuf.h"
#include "wire/wire.h"

/** ago_add(sb, us): a span of time in words: "3 s", "12 min", "5 h", "8 days". */
void ago_add(struct sbuf *sb, int64_t us);

/** device_place_add(sb, d, now_us): where the device is: "in sync", "3 changes behind for 5 min", "never synced", … */
void device_place_add(struct sbuf *sb, const struct wire_device *d, int64_t now_us);

/** device_json(jw, d): as one object. */
void device_json(struct jw *jw, const struct wire_device *d);
