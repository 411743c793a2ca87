/*
 * Transactions in memory.  A transaction starts with a reference to every table as it is; the writer copies a table before its
 * first change to it, and a commit puts the writer's tables in the place of the old ones.  Who began before keeps what it has:
 * a reader sees one instant, and an abort has nothing to undo.
 */
#include "server/meta/meta_mem_internal.h"

#include "base/clock.h"

/* ---- tables of a transaction ------------------------------------------------------------------------------------------ */

const struct mem_table *
mem_table(struct meta_tx *tx, enum mem_which which)
{
	return mem_of(tx)->tables[which];
}

struct mem_table *
mem_writable(struct meta_tx *tx, enum mem_which which)
{
	struct mem_tx *t = mem_of(tx);

	if (!t->own[which]) {
		struct mem_table *copy = mem_table_copy(t->tables[which]);

		mutex_lock(&t->mem->lock);
		mem_table_unref(t->tables[which]);
		mutex_unlock(&t->mem->lock);
		t->tables[which] = copy;
		t->own[which] = true;
	}
	return t->tables[which];
}

const void *
mem_get(struct meta_tx *tx, enum mem_which which, const struct mem_key *k)
{
	return mem_table_get(mem_table(tx, which), k);
}

void
mem_put(struct meta_tx *tx, enum mem_which which, const struct mem_key *k, const void *value)
{
	mem_table_put(mem_writable(tx, which), k, value, mem_of(tx)->mem->rows);
}

void *
mem_keep(struct meta_tx *tx, const void *p, size_t len)
{
	void *copy = arena_must(mem_of(tx)->mem->rows, len);

	if (len)
		memcpy(copy, p, len);
	return copy;
}

const char *
mem_keep_text(struct meta_tx *tx, const char *s)
{
	return mem_keep(tx, s, strlen(s) + 1);
}

const char *
mem_out_text(struct meta_tx *tx, const char *s)
{
	return arena_strdup(tx->arena, s);
}

void *
mem_grow(struct meta_tx *tx, void *array, size_t n, size_t size)
{
	void *grown;

	if (n & (n - 1)) /* room doubles at powers of two */
		return array;
	grown = arena_must(tx->arena, MAX(2 * n, (size_t)1) * size);
	if (n)
		memcpy(grown, array, n * size);
	return grown;
}

void
mem_key_of_id(struct mem_key *k, const struct id *id)
{
	k->len = 0;
	mem_key_id(k, id);
}

void
mem_key_of_ids(struct mem_key *k, const struct id *a, const struct id *b)
{
	mem_key_of_id(k, a);
	mem_key_id(k, b);
}

void
mem_key_of_row(struct mem_key *k, const struct id *a, const struct id *b, int64_t n)
{
	mem_key_of_ids(k, a, b);
	mem_key_i64(k, n);
}

void
mem_key_of_hash(struct mem_key *k, const struct id *id, const struct hash *h)
{
	mem_key_of_id(k, id);
	mem_key_hash(k, h);
}

err_code
mem_need_project(struct meta_tx *tx, const struct id *project, struct err *err)
{
	struct mem_key k;

	mem_key_of_id(&k, project);
	return mem_get(tx, MEM_PROJECT, &k) ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such project");
}

err_code
mem_need_device(struct meta_tx *tx, const struct id *device, struct err *err)
{
	struct mem_key k;

	mem_key_of_id(&k, device);
	return mem_get(tx, MEM_DEVICE, &k) ? ERR_OK : err_set(err, ERR_NOT_FOUND, "no such device");
}

/* ---- begin and end ---------------------------------------------------------------------------------------------------- */

/* With the lock held. */
static err_code
writer_wait(struct mem *m, struct err *err)
{
	int64_t deadline = clock_mono_ms() + META_WRITER_WAIT_MS;

	while (m->writing) {
		if (!cond_wait_until(&m->free_to_write, &m->lock, deadline) && m->writing)
			return err_set(err, ERR_UNAVAILABLE, "another write has not ended");
	}
	m->writing = true;
	return ERR_OK;
}

static err_code
mem_begin(struct meta *meta, enum meta_mode mode, struct meta_tx **tx, struct err *err)
{
	struct mem *m = (struct mem *)meta;
	struct mem_tx *t;
	err_code rc = ERR_OK;

	mutex_lock(&m->lock);
	if (mode == META_WRITE)
		rc = writer_wait(m, err);
	if (rc) {
		mutex_unlock(&m->lock);
		return rc;
	}
	t = xcalloc(1, sizeof *t);
	meta_tx_init(&t->base, meta, mode, SIZE_MAX);
	t->mem = m;
	for (size_t i = 0; i < MEM_TABLES; i++)
		t->tables[i] = mem_table_ref(m->now[i]);
	mutex_unlock(&m->lock);
	*tx = &t->base;
	return ERR_OK;
}

static void
mem_end(struct mem_tx *t, bool keep)
{
	struct mem *m = t->mem;

	mutex_lock(&m->lock);
	for (size_t i = 0; i < MEM_TABLES; i++) {
		if (keep && t->own[i]) {
			mem_table_unref(m->now[i]);
			m->now[i] = t->tables[i];
		} else {
			mem_table_unref(t->tables[i]);
		}
	}
	if (t->base.mode == META_WRITE) {
		m->writing = false;
		cond_signal(&m->free_to_write);
	}
	mutex_unlock(&m->lock);
	meta_tx_fini(&t->base);
	free(t);
}

static err_code
mem_commit(struct meta_tx *tx, struct err *err)
{
	(void)err;
	mem_end(mem_of(tx), true);
	return ERR_OK;
}

static void
mem_abort(struct meta_tx *tx)
{
	mem_end(mem_of(tx), false);
}

static err_code
mem_ping(struct meta *m, struct err *err)
{
	(void)m;
	(void)err;
	return ERR_OK;
}

static void
mem_free(struct meta *meta)
{
	struct mem *m = (struct mem *)meta;

	for (size_t i = 0; i < MEM_TABLES; i++)
		mem_table_unref(m->now[i]);
	arena_free(m->rows);
	cond_fini(&m->free_to_write);
	mutex_fini(&m->lock);
	free(m);
}

static const struct meta_ops mem_ops = {
	.begin = mem_begin,
	.commit = mem_commit,
	.abort = mem_abort,
	.ping = mem_ping,
	.free = mem_free,
#define METHOD(mode, name, params, args) .name = mem_##name,
#include "server/meta/methods.def"
#undef METHOD
};

struct meta *
meta_mem_new(void)
{
	struct mem *m = xcalloc(1, sizeof *m);

	m->base.ops = &mem_ops;
	m->base.path_max = PATH_LEN_MAX;
	mutex_init(&m->lock, RANK_META);
	cond_init(&m->free_to_write);
	m->rows = arena_new(SIZE_MAX);
	for (size_t i = 0; i < MEM_TABLES; i++)
		m->now[i] = mem_table_new();
	return &m->base;
}
