/*
 * Open addressing with linear probing.
 *
 * M1  cap is 0 or a power of two, and at most 3/4 of the slots are taken, so every probe ends at an empty one.
 * M2  between the home slot of a key (hash mod cap) and the slot it is in, no slot is empty.  A removal restores this by moving
 *     later keys back, so there are no tombstones and a table that is filled and emptied for ever does not slow down.
 */
#include "base/map.h"

#include <assert.h>
#include <pthread.h>

#include "base/rng.h"
#include "base/siphash.h"

#define CAP_LEAST 16

struct slot {
	uint32_t hash; /* compared before the key, and enough to find the home slot again */
	uint32_t len;
	uint8_t *key;
	void *value; /* NULL marks an empty slot */
};

struct map {
	struct slot *slots;
	size_t cap, count;
};

static uint8_t secret[16];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void
secret_make(void)
{
	rng_bytes(secret, sizeof secret);
}

struct map *
map_new(void)
{
	pthread_once(&secret_once, secret_make);
	return xcalloc(1, sizeof(struct map));
}

void
map_free(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			free(m->slots[i].key);
	free(m->slots);
	free(m);
}

void
map_freep(struct map **m)
{
	map_free(*m);
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

static uint32_t
hash_key(const void *key, size_t len)
{
	return (uint32_t)siphash(secret, key, len, 1, 3);
}

/* The slot that holds the key, or the empty one where it belongs.  Needs cap > 0. */
static size_t
find(const struct map *m, uint32_t hash, const void *key, size_t len)
{
	size_t i = hash & (m->cap - 1);

	for (; m->slots[i].value; i = (i + 1) & (m->cap - 1)) {
		const struct slot *s = &m->slots[i];

		if (s->hash == hash && s->len == len && (len == 0 || memcmp(s->key, key, len) == 0))
			break;
	}
	return i;
}

static void
grow(struct map *m)
{
	struct slot *old = m->slots;
	size_t old_cap = m->cap;

	m->cap = MAX(2 * old_cap, CAP_LEAST);
	assert(m->cap <= (size_t)UINT32_MAX + 1); /* 32 bits of hash reach no further */
	m->slots = xcalloc(m->cap, sizeof *m->slots);
	for (size_t i = 0; i < old_cap; i++) {
		size_t to = old[i].hash & (m->cap - 1);

		if (!old[i].value)
			continue;
		while (m->slots[to].value) /* keys differ: no need to compare them */
			to = (to + 1) & (m->cap - 1);
		m->slots[to] = old[i];
	}
	free(old);
}

void *
map_put(struct map *m, const void *key, size_t len, void *value)
{
	uint32_t hash = hash_key(key, len);
	struct slot *s;

	assert(value && len <= UINT32_MAX);
	if (4 * (m->count + 1) > 3 * m->cap) /* M1 */
		grow(m);
	s = &m->slots[find(m, hash, key, len)];
	if (s->value) {
		void *was = s->value;

		s->value = value;
		return was;
	}
	*s = (struct slot){ .hash = hash, .len = (uint32_t)len, .key = xmalloc(len), .value = value };
	if (len)
		memcpy(s->key, key, len);
	m->count++;
	return NULL;
}

void *
map_get(const struct map *m, const void *key, size_t len)
{
	return m->count ? m->slots[find(m, hash_key(key, len), key, len)].value : NULL;
}

void *
map_remove(struct map *m, const void *key, size_t len)
{
	size_t mask = m->cap - 1, hole, i;
	void *value;

	if (m->count == 0)
		return NULL;
	hole = find(m, hash_key(key, len), key, len);
	value = m->slots[hole].value;
	if (!value)
		return NULL;
	free(m->slots[hole].key);
	m->count--;
	for (i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;

		/* M2: the key at i may move to the hole unless its home lies after the hole, on the way to i. */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct slot){ .value = NULL };
	return value;
}

bool
map_next(const struct map *m, size_t *pos, const void **key, size_t *len, void **value)
{
	while (*pos < m->cap) {
		const struct slot *s = &m->slots[(*pos)++];

		if (s->value) {
			*key = s->key;
			*len = s->len;
			*value = s->value;
			return true;
		}
	}
	return false;
}
