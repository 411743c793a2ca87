#pragma once
/** Shared by the files of scan/ only. */

#include <sys/stat.h>

#include "client/scan/scan.h"

/**
 * scan_entry(dir, name, st, now_ns, target, out): fill ${out} but for its path from the stat of ${name} in directory ${dir}.  NULL, or
 * the static reason why it cannot be synced.  Of a link, the target goes to ${target}.
 */
const char *scan_entry(int dir, const char *name, const struct stat *st, int64_t now_ns, char target[static LINK_TARGET_MAX + 1],
    struct entry *out);
