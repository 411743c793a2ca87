/*
 * Objects in memory, for tests: what a store promises, but for durability.
 *
 * An object never changes once it has its name; readers copy under the lock, so deleting it is free() and nothing else.
 */

#include "server/store/store_internal.h"

#include <assert.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/thread.h"

struct object {
	struct store_key key;
	uint64_t len;
	int64_t put_at; /* wall clock, microseconds */
	uint8_t *bytes; /* NULL when len is 0 */
};

struct store_mem {
	struct store base;
	struct mutex mu;     /* RANK_STORE; guards ${objects} */
	struct map *objects; /* struct store_key -> struct object */
};

struct mem_writer {
	struct store_writer base;
	uint8_t *bytes;
	uint64_t cap;
};

static_assert(sizeof(struct store_key) == sizeof(struct id) + sizeof(struct hash), "a key is its bytes, without padding");

static struct store_mem *
mem_of(struct store *s)
{
	return (struct store_mem *)s;
}

static void
object_free(struct object *o)
{
	if (!o)
		return;
	free(o->bytes);
	free(o);
}

static err_code
not_found(struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "there is no such object");
}

static err_code
mem_open_writer(struct store *s, struct store_writer **out, struct err *err)
{
	struct mem_writer *w = xcalloc(1, sizeof *w);

	(void)err;
	w->base.store = s;
	*out = &w->base;
	return ERR_OK;
}

static err_code
mem_write(struct store_writer *base, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	struct mem_writer *w = (struct mem_writer *)base;

	(void)err;
	if (off + len > w->cap) {
		w->cap = MAX(off + len, w->cap * 2);
		w->bytes = xrealloc(w->bytes, w->cap);
	}
	memcpy(w->bytes + off, p, len);
	return ERR_OK;
}

static void
mem_abandon(struct store_writer *base)
{
	struct mem_writer *w = (struct mem_writer *)base;

	free(w->bytes);
	free(w);
}

static err_code
mem_finish(struct store_writer *base, const struct store_key *key, struct err *err)
{
	struct store_mem *m = mem_of(base->store);
	struct mem_writer *w = (struct mem_writer *)base;
	struct object *o = xcalloc(1, sizeof *o);
	const struct object *old;

	(void)err;
	*o = (struct object){ .key = *key, .len = base->len, .put_at = clock_wall_us(), .bytes = TAKE(w->bytes) };
	mutex_lock(&m->mu);
	old = map_get(m->objects, key, sizeof *key);
	if (!old || old->len != o->len)
		o = map_put(m->objects, key, sizeof *key, o);
	mutex_unlock(&m->mu);
	object_free(o); /* the new one when the old one stays, the old one when it was damaged */
	mem_abandon(base);
	return ERR_OK;
}

static err_code
mem_read(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got, struct err *err)
{
	struct store_mem *m = mem_of(s);
	const struct object *o;

	mutex_lock(&m->mu);
	o = map_get(m->objects, key, sizeof *key);
	if (o && off < o->len) {
		*got = MIN(len, o->len - off);
		memcpy(buf, o->bytes + off, *got);
	}
	mutex_unlock(&m->mu);
	return o ? ERR_OK : not_found(err);
}

static err_code
mem_size(struct store *s, const struct store_key *key, uint64_t *size, struct err *err)
{
	struct store_mem *m = mem_of(s);
	const struct object *o;

	mutex_lock(&m->mu);
	o = map_get(m->objects, key, sizeof *key);
	if (o)
		*size = o->len;
	mutex_unlock(&m->mu);
	return o ? ERR_OK : not_found(err);
}

static err_code
mem_age(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err)
{
	struct store_mem *m = mem_of(s);
	const struct object *o;

	mutex_lock(&m->mu);
	o = map_get(m->objects, key, sizeof *key);
	if (o)
		*age_us = clock_wall_us() - o->put_at;
	mutex_unlock(&m->mu);
	return o ? ERR_OK : not_found(err);
}

static err_code
mem_delete(struct store *s, const struct store_key *key, struct err *err)
{
	struct store_mem *m = mem_of(s);

	(void)err;
	mutex_lock(&m->mu);
	object_free(map_remove(m->objects, key, sizeof *key));
	mutex_unlock(&m->mu);
	return ERR_OK;
}

struct seen {
	struct store_key key;
	uint64_t size;
};

/* All keys, copied under the lock, so that ${fn} may call the store.  The caller frees. */
static struct seen *
mem_copy(struct store_mem *m, size_t *n)
{
	struct seen *all;
	size_t pos = 0;
	const void *key;
	size_t key_len;
	void *value;

	*n = 0;
	mutex_lock(&m->mu);
	all = xcalloc(map_count(m->objects) + 1, sizeof *all);
	while (map_next(m->objects, &pos, &key, &key_len, &value)) {
		const struct object *o = value;

		all[(*n)++] = (struct seen){ .key = o->key, .size = o->len };
	}
	mutex_unlock(&m->mu);
	return all;
}

static err_code
mem_list(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx, struct err *err)
{
	size_t n;
	AUTO(freep) struct seen *all = mem_copy(mem_of(s), &n);

	(void)err;
	for (size_t i = 0; i < n; i++) {
		if (!fn(ctx, &all[i].key, all[i].size))
			break;
	}
	return ERR_OK;
}

static err_code
mem_check(struct store *s, struct err *err)
{
	(void)s;
	(void)err;
	return ERR_OK;
}

static void
mem_free(struct store *s)
{
	struct store_mem *m = mem_of(s);
	size_t pos = 0;
	const void *key;
	size_t key_len;
	void *value;

	while (map_next(m->objects, &pos, &key, &key_len, &value))
		object_free(value);
	map_free(m->objects);
	mutex_fini(&m->mu);
	free(m);
}

static const struct store_ops mem_ops = {
	.free = mem_free,
	.open_writer = mem_open_writer,
	.write = mem_write,
	.finish = mem_finish,
	.abandon = mem_abandon,
	.read = mem_read,
	.size = mem_size,
	.age = mem_age,
	.delete = mem_delete,
	.list = mem_list,
	.check = mem_check,
};

struct store *
store_mem_new(void)
{
	struct store_mem *m = xcalloc(1, sizeof *m);

	m->base.ops = &mem_ops;
	m->objects = map_new();
	mutex_init(&m->mu, RANK_STORE);
	return &m->base;
}
