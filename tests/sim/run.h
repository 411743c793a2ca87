#pragma once
#include "base/base.h"

/* Under a sanitizer memory is malloc's, as it looks after that. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/** run_seed(seed, dir): in a process of its own, in an empty directory of a file system in memory.  The hash of what happened; does not return on failure. */
uint64_t run_seed(uint64_t seed, const char *dir);
/** memory_start(): before it, of a process that runs a seed. */
void memory_start(void);
