/*
 * A bucket a device, written as the one time at which it will be full again: each charge moves that by an interval, and the bucket is
 * empty when it lies a whole burst ahead.  Nothing is to be done as time goes by.
 *
 * The buckets lie in a ring: a new device takes the place of the one that has been there for longest.
 */
#include "server/route/pace.h"

#include "base/limits.h"
#include "base/map.h"
#include "base/thread.h"

struct bucket {
	struct id device;
	int64_t full_us;
};

struct pace {
	struct mutex mu; /* RANK_LEAF; guards all below */
	struct map *by_device; /* device id -> its bucket in ${ring} */
	unsigned next, used;
	struct bucket ring[POLL_DEVICES_MAX];
};

struct pace *
pace_new(void)
{
	struct pace *p = xcalloc(1, sizeof *p);

	mutex_init(&p->mu, RANK_LEAF);
	p->by_device = map_new();
	return p;
}

void
pace_free(struct pace *p)
{
	if (p == NULL)
		return;
	map_free(p->by_device);
	mutex_fini(&p->mu);
	free(p);
}

bool
pace_ready(struct pace *p, const struct id *device, int64_t now_us)
{
	const struct bucket *b;
	bool ready;

	mutex_lock(&p->mu);
	b = map_get(p->by_device, device, sizeof *device);
	ready = b == NULL || b->full_us - now_us <= (POLL_BURST - 1) * POLL_INTERVAL_US;
	mutex_unlock(&p->mu);
	return ready;
}

static struct bucket *
add_bucket(struct pace *p, const struct id *device)
{
	struct bucket *b = &p->ring[p->next];

	p->next = (p->next + 1) % POLL_DEVICES_MAX;
	if (p->used == POLL_DEVICES_MAX)
		(void)map_remove(p->by_device, &b->device, sizeof b->device);
	else
		p->used++;
	*b = (struct bucket){ .device = *device };
	(void)map_put(p->by_device, device, sizeof *device, b);
	return b;
}

/* Requests that run at once may all have been ready: what they take beyond the burst is not held against them. */
void
pace_charge(struct pace *p, const struct id *device, int64_t now_us)
{
	struct bucket *b;

	mutex_lock(&p->mu);
	b = map_get(p->by_device, device, sizeof *device);
	if (b == NULL)
		b = add_bucket(p, device);
	b->full_us = MIN(MAX(b->full_us, now_us) + POLL_INTERVAL_US, now_us + POLL_BURST * POLL_INTERVAL_US);
	mutex_unlock(&p->mu);
}
