/*
 * Forgetting everything when full costs one extra write for each id that is still active, once in a great many ids: cheaper
 * than any order of eviction.
 */
#include "base/clock.h"
#include "server/domain/domain_internal.h"

#define RECENT_MAX 16384 /* ids: about 1.5 MiB */

struct recent {
	struct mutex mu; /* RANK_LEAF; guards ${last} */
	struct map *last; /* struct id -> int64_t, monotonic milliseconds */
	int64_t every_ms;
};

struct recent *
recent_new(int64_t every_ms)
{
	struct recent *r = xcalloc(1, sizeof *r);

	mutex_init(&r->mu, RANK_LEAF);
	r->last = map_new();
	r->every_ms = every_ms;
	return r;
}

static void
forget_all(struct recent *r)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(r->last, &pos, &key, &len, &value))
		free(value);
	map_free(r->last);
	r->last = NULL;
}

void
recent_free(struct recent *r)
{
	if (!r)
		return;
	forget_all(r);
	mutex_fini(&r->mu);
	free(r);
}

bool
recent_due(struct recent *r, const struct id *id)
{
	int64_t now = clock_mono_ms();
	int64_t *last;
	bool due = true;

	mutex_lock(&r->mu);
	last = map_get(r->last, id, sizeof *id);
	if (last) {
		due = now - *last >= r->every_ms;
		if (due)
			*last = now;
	} else {
		if (map_count(r->last) >= RECENT_MAX) {
			forget_all(r);
			r->last = map_new();
		}
		last = xmalloc(sizeof *last);
		*last = now;
		map_put(r->last, id, sizeof *id, last);
	}
	mutex_unlock(&r->mu);
	return due;
}

void
recent_forget(struct recent *r, const struct id *id)
{
	mutex_lock(&r->mu);
	free(map_remove(r->last, id, sizeof *id));
	mutex_unlock(&r->mu);
}
