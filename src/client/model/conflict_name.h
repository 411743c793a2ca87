#pragma once
/** What a conflict copy is called.  Pure. */

#include "base/limits.h"

#define CONFLICT_NAME_MAX (PATH_LEN_MAX + 256)

/**
 * conflict_name(path, device, time_us, attempt, out): "dir/name (conflict DEVICE 2026-11-22 14.00.00).ext", UTC, cut at a character
 * to fit 255 bytes (and where possible 4,096 in all) with suffix and extension kept; ${attempt} > 0 appends a number.  The copy of
 * a copy replaces the suffix, so names do not grow.  Returns ${out} (CONFLICT_NAME_MAX bytes).
 */
char *conflict_name(const char *path, const char *device, int64_t time_us, unsigned attempt, char *out);

/** conflict_name_is(path): whether its last component looks like one; people may call a file so too. */
bool conflict_name_is(const char *path);
