#pragma once
/**
 * A hash map from byte strings to pointers: open addressing, SipHash-like keyed hashing (random per process), so crafted keys
 * cannot make it slow.  Keys are copied, values are the caller's.  Not thread-safe.
 */

#include "base/base.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m);
void map_freep(struct map **m);

size_t map_count(const struct map *m);

/** map_put(m, key, len, value): the value that was there before, or NULL.  ${value} must not be NULL. */
void *map_put(struct map *m, const void *key, size_t len, void *value);
void *map_get(const struct map *m, const void *key, size_t len); /* NULL when absent */
void *map_remove(struct map *m, const void *key, size_t len);    /* the value, or NULL */

/** map_next(m, &pos, …): walk in no particular order; *pos starts at 0; false at the end.  No changes meanwhile. */
bool map_next(const struct map *m, size_t *pos, const void **key, size_t *len, void **value);
