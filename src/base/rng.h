#pragma once
/** Random bytes from the kernel (getrandom); never fails after boot, so failure stops the process. */

#include "base/base.h"

void rng_bytes(void *p, size_t len);
uint64_t rng_u64(void);
