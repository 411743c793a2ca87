/*
 * The front: hands each call to the back-end, after checking that nobody writes in a transaction that only reads.
 */
#include "server/meta/meta_internal.h"

#include <assert.h>

void
meta_free(struct meta *m)
{
	if (m)
		m->ops->free(m);
}

err_code
meta_begin(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err)
{
	*tx = NULL;
	return m->ops->begin(m, mode, tx, err);
}

err_code
meta_commit(struct meta_tx **tx, struct err *err)
{
	struct meta_tx *t = TAKE(*tx);

	return t->meta->ops->commit(t, err);
}

void
meta_abort(struct meta_tx **tx)
{
	struct meta_tx *t = TAKE(*tx);

	if (t)
		t->meta->ops->abort(t);
}

struct arena *
meta_arena(struct meta_tx *tx)
{
	return tx->arena;
}

void
meta_tx_trim(struct meta_tx *tx)
{
	arena_reset(tx->arena);
}

err_code
meta_ping(struct meta *m, struct err *err)
{
	return m->ops->ping(m, err);
}

size_t
meta_path_max(const struct meta *m)
{
	return m->path_max;
}

void
meta_tx_init(struct meta_tx *tx, struct meta *m, enum meta_mode mode, size_t arena_max)
{
	*tx = (struct meta_tx){ .meta = m, .mode = mode, .arena = arena_new(arena_max) };
}

void
meta_tx_fini(struct meta_tx *tx)
{
	arena_free(tx->arena);
}

const char *
beneath_first(const char *dir, char out[static BENEATH_MAX])
{
	size_t len = strlen(dir);

	assert(len <= PATH_LEN_MAX);
	memcpy(out, dir, len);
	out[len] = '/';
	out[len + 1] = '\0';
	return out;
}

bool
beneath_within(const char *first, const char *d)
{
	return strncmp(d, first, strlen(first)) == 0;
}

static void
mode_check(const struct meta_tx *tx, enum meta_mode needed)
{
	assert(needed == META_READ || tx->mode == META_WRITE);
}

#define METHOD(mode, name, params, args) \
	err_code meta_##name params \
	{ \
		mode_check(tx, META_##mode); \
		return tx->meta->ops->name args; \
	}
#include "server/meta/methods.def"
#undef METHOD
