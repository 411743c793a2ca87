/*
 * A sorted array.  Inserting moves what lies behind: fine for the tens of thousands of rows that a test makes, and most inserts
 * are at the end, since ids and clocks grow.
 */
#include "server/meta/mem_table.h"

#include <assert.h>

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static void
key_add(struct mem_key *k, const void *p, size_t len)
{
	assert(len <= sizeof k->b - k->len);
	memcpy(k->b + k->len, p, len);
	k->len += len;
}

void
mem_key_id(struct mem_key *k, const struct id *id)
{
	key_add(k, id->b, sizeof id->b);
}

void
mem_key_hash(struct mem_key *k, const struct hash *h)
{
	key_add(k, h->b, sizeof h->b);
}

/* Big-endian with the sign turned over: the order of the bytes is the order of the numbers. */
void
mem_key_i64(struct mem_key *k, int64_t v)
{
	uint64_t u = __builtin_bswap64((uint64_t)v ^ UINT64_C(1) << 63);

	key_add(k, &u, sizeof u);
}

void
mem_key_text(struct mem_key *k, const char *s)
{
	key_add(k, s, strlen(s) + 1);
}

static int
key_cmp(const struct mem_row *row, const struct mem_key *k)
{
	int c = memcmp(row->key, k->b, MIN(row->key_len, k->len));

	return c ? c : (row->key_len > k->len) - (row->key_len < k->len);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

struct mem_table *
mem_table_new(void)
{
	struct mem_table *t = xcalloc(1, sizeof *t);

	t->refs = 1;
	return t;
}

struct mem_table *
mem_table_ref(struct mem_table *t)
{
	t->refs++;
	return t;
}

void
mem_table_unref(struct mem_table *t)
{
	if (!t || --t->refs > 0)
		return;
	free(t->rows);
	free(t);
}

struct mem_table *
mem_table_copy(const struct mem_table *t)
{
	struct mem_table *copy = mem_table_new();

	copy->n = t->n;
	copy->cap = t->n + t->n / 2 + 16;
	copy->rows = xmalloc(copy->cap * sizeof *copy->rows);
	if (t->n)
		memcpy(copy->rows, t->rows, t->n * sizeof *t->rows);
	return copy;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

size_t
mem_table_seek(const struct mem_table *t, const struct mem_key *k)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (key_cmp(&t->rows[mid], k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t
mem_table_after(const struct mem_table *t, const struct mem_key *k)
{
	size_t pos = mem_table_seek(t, k);

	return pos < t->n && key_cmp(&t->rows[pos], k) == 0 ? pos + 1 : pos;
}

const void *
mem_table_get(const struct mem_table *t, const struct mem_key *k)
{
	size_t pos = mem_table_seek(t, k);

	return pos < t->n && key_cmp(&t->rows[pos], k) == 0 ? t->rows[pos].value : NULL;
}

const void *
mem_table_at(const struct mem_table *t, size_t pos, const struct mem_key *prefix)
{
	const struct mem_row *row;

	if (pos >= t->n)
		return NULL;
	row = &t->rows[pos];
	if (row->key_len < prefix->len || memcmp(row->key, prefix->b, prefix->len) != 0)
		return NULL;
	return row->value;
}

void
mem_table_put(struct mem_table *t, const struct mem_key *k, const void *value, struct arena *rows)
{
	size_t pos = mem_table_seek(t, k);
	uint8_t *key;

	if (pos < t->n && key_cmp(&t->rows[pos], k) == 0) {
		t->rows[pos].value = value;
		return;
	}
	if (t->n == t->cap) {
		t->cap = t->cap + t->cap / 2 + 16;
		t->rows = xrealloc(t->rows, t->cap * sizeof *t->rows);
	}
	key = arena_must(rows, k->len);
	memcpy(key, k->b, k->len);
	memmove(&t->rows[pos + 1], &t->rows[pos], (t->n - pos) * sizeof *t->rows);
	t->rows[pos] = (struct mem_row){ .key = key, .key_len = k->len, .value = value };
	t->n++;
}

void
mem_table_del_at(struct mem_table *t, size_t pos)
{
	assert(pos < t->n);
	memmove(&t->rows[pos], &t->rows[pos + 1], (t->n - pos - 1) * sizeof *t->rows);
	t->n--;
}

bool
mem_table_del(struct mem_table *t, const struct mem_key *k)
{
	size_t pos = mem_table_seek(t, k);

	if (pos == t->n || key_cmp(&t->rows[pos], k) != 0)
		return false;
	mem_table_del_at(t, pos);
	return true;
}

void
mem_table_del_prefix(struct mem_table *t, const struct mem_key *prefix)
{
	size_t from = mem_table_seek(t, prefix), to = from;

	while (mem_table_at(t, to, prefix))
		to++;
	if (to == from)
		return;
	memmove(&t->rows[from], &t->rows[to], (t->n - to) * sizeof *t->rows);
	t->n -= to - from;
}
