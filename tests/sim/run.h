#pragma once
#include "base/base.h"

/** run_seed(seed, dir): in a process of its own, in an empty directory of a file system in memory.  The hash of what happened; does not return on failure. */
uint64_t run_seed(uint64_t seed, const char *dir);
