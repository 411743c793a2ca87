/*
 * How many requests each device has running.  A device is in the map only while it has one, so the map is as small as the server is
 * busy.
 */
#include <assert.h>

#include "base/map.h"
#include "base/thread.h"
#include "server/route/route_internal.h"

struct inflight {
	struct mutex mu; /* RANK_LEAF; guards ${counts} */
	struct map *counts; /* device id -> unsigned, allocated */
};

struct inflight *
inflight_new(void)
{
	struct inflight *f = xcalloc(1, sizeof *f);

	mutex_init(&f->mu, RANK_LEAF);
	f->counts = map_new();
	return f;
}

void
inflight_free(struct inflight *f)
{
	if (f == NULL)
		return;
	assert(map_count(f->counts) == 0); /* every request is over */
	map_free(f->counts);
	mutex_fini(&f->mu);
	free(f);
}

bool
inflight_enter(struct inflight *f, const struct id *device, unsigned max)
{
	unsigned *count;
	bool ok;

	mutex_lock(&f->mu);
	count = map_get(f->counts, device, sizeof *device);
	if (count == NULL) {
		count = xcalloc(1, sizeof *count);
		map_put(f->counts, device, sizeof *device, count);
	}
	ok = *count < max;
	if (ok)
		(*count)++;
	mutex_unlock(&f->mu);
	return ok;
}

void
inflight_leave(struct inflight *f, const struct id *device)
{
	unsigned *count;

	mutex_lock(&f->mu);
	count = map_get(f->counts, device, sizeof *device);
	assert(count != NULL && *count > 0);
	if (--*count == 0)
		free(map_remove(f->counts, device, sizeof *device));
	mutex_unlock(&f->mu);
}
