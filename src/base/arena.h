#pragma once
/**
 * Memory that lives as long as one request (or one pass) and is released at once.  Not thread-safe: one owner at a time.
 */

#include "base/err.h"

struct arena;

/**
 * arena_new(max): an arena that hands out at most ${max} bytes in all, gaps for alignment included.  Free with arena_free
 * (NULL is fine).
 */
struct arena *arena_new(size_t max);
void arena_free(struct arena *a);
void arena_freep(struct arena **a);

/** arena_reset(a): forget everything handed out; keeps one block for reuse. */
void arena_reset(struct arena *a);

/** arena_used(a): bytes handed out so far. */
size_t arena_used(const struct arena *a);

/**
 * arena_alloc(a, len): ${len} zeroed bytes, aligned for any type; lives until reset or free.  NULL when the ceiling is
 * passed: check it where a peer sizes the request; arena_must aborts instead, for sizes we chose.
 */
void *arena_alloc(struct arena *a, size_t len);
void *arena_must(struct arena *a, size_t len);

/** arena_array(a, n, size): as arena_alloc for n × size with overflow check. */
void *arena_array(struct arena *a, size_t n, size_t size);

/** Copies; NULL past the ceiling.  arena_strndup terminates with NUL. */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_strdup(struct arena *a, const char *s);
void *arena_memdup(struct arena *a, const void *p, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) FORMAT(2, 3);
