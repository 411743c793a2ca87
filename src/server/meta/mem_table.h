#pragma once
/**
 * An ordered table in memory, for meta_mem: byte-string keys in memcmp order to values that never change.  A table is shared by
 * those who hold a reference and copied by the one who wants to write while others hold it, so a reader keeps its instant.
 *
 * Memory     keys are copied into ${rows}, the arena of all tables; values are the caller's, in the same arena.
 * Threads    one writer of a table; references are taken and dropped under the owner's lock.
 */

#include "base/arena.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"

/** A key is its columns one after the other, each in a form whose bytes sort as the column does. */
#define MEM_KEY_MAX (sizeof(struct id) + PATH_LEN_MAX + 1 + PATH_LEN_MAX + 1 + 64)
struct mem_key {
	size_t len;
	uint8_t b[MEM_KEY_MAX];
};
void mem_key_id(struct mem_key *k, const struct id *id);
void mem_key_hash(struct mem_key *k, const struct hash *h);
void mem_key_i64(struct mem_key *k, int64_t v);
void mem_key_text(struct mem_key *k, const char *s); /* ends with its NUL, so ("a", "b") sorts before ("a-b", "") */

struct mem_row {
	const uint8_t *key;
	size_t key_len;
	const void *value;
};

struct mem_table {
	unsigned refs;
	size_t n, cap;
	struct mem_row *rows;
};

struct mem_table *mem_table_new(void);
struct mem_table *mem_table_ref(struct mem_table *t);
void mem_table_unref(struct mem_table *t);
struct mem_table *mem_table_copy(const struct mem_table *t);

const void *mem_table_get(const struct mem_table *t, const struct mem_key *k); /* NULL when absent */
void mem_table_put(struct mem_table *t, const struct mem_key *k, const void *value, struct arena *rows);
bool mem_table_del(struct mem_table *t, const struct mem_key *k); /* whether it was there */
void mem_table_del_prefix(struct mem_table *t, const struct mem_key *prefix);
void mem_table_del_at(struct mem_table *t, size_t pos);

/** mem_table_seek(t, k), mem_table_after(t, k): position of the first row whose key is ≥ k, or > k. */
size_t mem_table_seek(const struct mem_table *t, const struct mem_key *k);
size_t mem_table_after(const struct mem_table *t, const struct mem_key *k);

/** mem_table_at(t, pos, prefix): the value at ${pos} when its key starts with ${prefix}, else NULL: the walk is over. */
const void *mem_table_at(const struct mem_table *t, size_t pos, const struct mem_key *prefix);
