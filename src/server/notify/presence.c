/*
 * Which devices listen to a project, however many streams each has: told as everything that is told as it is now (live.c), and known to
 * whoever asks from outside.
 */
#include "server/notify/notify_internal.h"

/** Of a project and a device. */
struct place {
	struct id project, device;
};

static struct place
place_of(const struct subscription *sub)
{
	return (struct place){ sub->topic->project, sub->stream->device };
}

/* Returns whether it is the device's first stream of the project. */
static bool
count_up(struct notify *n, const struct place *key)
{
	unsigned *count = map_get(n->present, key, sizeof *key);

	if (!count) {
		count = xcalloc(1, sizeof *count);
		map_put(n->present, key, sizeof *key, count);
	}
	return (*count)++ == 0;
}

/* Returns whether it was the last one. */
static bool
count_down(struct notify *n, const struct place *key)
{
	unsigned *count = map_get(n->present, key, sizeof *key);

	if (--*count > 0)
		return false;
	free(map_remove(n->present, key, sizeof *key));
	return true;
}

void
presence_came(struct subscription *sub)
{
	struct notify *n = sub->topic->n;
	struct place key = place_of(sub);
	bool first;

	mutex_lock(&n->mu);
	first = count_up(n, &key);
	mutex_unlock(&n->mu);
	if (first)
		live_online(sub->topic, &key.device, true);
}

void
presence_went(struct subscription *sub)
{
	struct notify *n = sub->topic->n;
	struct place key = place_of(sub);
	bool last;

	mutex_lock(&n->mu);
	last = count_down(n, &key);
	mutex_unlock(&n->mu);
	if (last)
		live_online(sub->topic, &key.device, false);
}

bool
notify_present(struct notify *n, const struct id *project, const struct id *device)
{
	const struct place key = { *project, *device };
	bool present;

	mutex_lock(&n->mu);
	present = map_get(n->present, &key, sizeof key) != NULL;
	mutex_unlock(&n->mu);
	return present;
}
