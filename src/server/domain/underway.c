/*
 * Uploads whose bytes are on their way just now: an entry lives as long as a chunk of its transfer is arriving, so there are as many as
 * requests at most.  What the tables know is what was there before; what arrives is added as it comes.
 */
#include "base/clock.h"
#include "server/domain/domain_internal.h"

#define TELL_EVERY_MS 200 /* who listens is told no more often either */

struct underway {
	struct id project, transfer, device;
	char *path;
	int64_t size, done, moving; /* bytes: of the file; that have arrived; of chunks that are arriving */
	int64_t told_ms;
	unsigned refs;
};

struct underways {
	struct mutex mu; /* RANK_DOMAIN: held while telling, so that states come in their order */
	struct map *all; /* struct id -> struct underway */
};

struct underways *
underways_new(void)
{
	struct underways *us = xcalloc(1, sizeof *us);

	mutex_init(&us->mu, RANK_DOMAIN);
	us->all = map_new();
	return us;
}

void
underways_free(struct underways *us)
{
	if (!us)
		return;
	map_free(us->all);
	mutex_fini(&us->mu);
	free(us);
}

/* With the lock. */
static void
tell(struct domain *d, struct underway *u)
{
	int64_t now = clock_mono_ms(), done = u->done + u->moving;

	if (!d->live.transfer || now - u->told_ms < TELL_EVERY_MS)
		return;
	u->told_ms = now;
	d->live.transfer(d->live.ctx, &u->project,
	    &(struct transfer_news){
	        .transfer = u->transfer,
	        .device = u->device,
	        .path = u->path,
	        .done = u->size > 0 ? MIN(done, u->size) : done,
	        .size = u->size,
	    });
}

struct underway *
underway_begin(struct domain *d, const struct id *project, const struct transfer *t)
{
	struct underways *us = d->underways;
	struct underway *u;

	mutex_lock(&us->mu);
	u = map_get(us->all, &t->id, sizeof t->id);
	if (!u) {
		u = xcalloc(1, sizeof *u);
		u->project = *project;
		u->transfer = t->id;
		u->device = t->device;
		u->path = xstrdup(t->path);
		u->size = t->size;
		u->done = t->bytes_done;
		map_put(us->all, &t->id, sizeof t->id, u);
	}
	u->refs++;
	tell(d, u);
	mutex_unlock(&us->mu);
	return u;
}

void
underway_moved(struct domain *d, struct underway *u, size_t len)
{
	mutex_lock(&d->underways->mu);
	u->moving += (int64_t)len;
	tell(d, u);
	mutex_unlock(&d->underways->mu);
}

void
underway_end(struct domain *d, struct underway *u, uint64_t len, bool arrived)
{
	if (!u)
		return;
	mutex_lock(&d->underways->mu);
	u->moving -= (int64_t)len;
	if (arrived)
		u->done += (int64_t)len;
	if (--u->refs > 0)
		u = NULL;
	else
		map_remove(d->underways->all, &u->transfer, sizeof u->transfer);
	mutex_unlock(&d->underways->mu);
	if (u)
		free(u->path);
	free(u);
}

void
underway_over(struct domain *d, const struct id *project, const struct id *device, const struct id *transfer, bool done)
{
	if (d->live.transfer)
		d->live.transfer(d->live.ctx, project,
		    &(struct transfer_news){ .transfer = *transfer, .device = *device, .path = "", .over = true, .completed = done });
}
