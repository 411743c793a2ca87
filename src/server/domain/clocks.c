/*
 * One number a project, so that a thousand waiting clients cost a thousand look-ups here and none in the database.  What is
 * published is never ahead of what is durable: commits publish after they have returned, readers what they have read, and what other
 * processes have committed is heard of when it is visible.
 */
#include "server/domain/domain_internal.h"

struct clocks {
	struct mutex mu;    /* RANK_LEAF; guards ${newest} */
	struct map *newest; /* struct id -> int64_t */
};

struct clocks *
clocks_new(void)
{
	struct clocks *c = xcalloc(1, sizeof *c);

	mutex_init(&c->mu, RANK_LEAF);
	c->newest = map_new();
	return c;
}

static void
free_map(struct map *newest)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(newest, &pos, &key, &len, &value))
		free(value);
	map_free(newest);
}

void
clocks_free(struct clocks *c)
{
	if (!c)
		return;
	free_map(c->newest);
	mutex_fini(&c->mu);
	free(c);
}

void
clocks_publish(struct clocks *c, const struct id *project, int64_t clock)
{
	int64_t *newest;

	mutex_lock(&c->mu);
	newest = map_get(c->newest, project, sizeof *project);
	if (!newest) {
		newest = xmalloc(sizeof *newest);
		*newest = clock;
		map_put(c->newest, project, sizeof *project, newest);
	} else if (clock > *newest) {
		*newest = clock;
	}
	mutex_unlock(&c->mu);
}

void
clocks_forget(struct clocks *c, const struct id *project)
{
	mutex_lock(&c->mu);
	free(map_remove(c->newest, project, sizeof *project));
	mutex_unlock(&c->mu);
}

void
clocks_forget_all(struct clocks *c)
{
	struct map *before, *empty = map_new();

	mutex_lock(&c->mu);
	before = c->newest;
	c->newest = empty;
	mutex_unlock(&c->mu);
	free_map(before);
}

bool
clocks_past(struct clocks *c, const struct id *project, int64_t since)
{
	const int64_t *newest;
	bool past;

	mutex_lock(&c->mu);
	newest = map_get(c->newest, project, sizeof *project);
	past = !newest || *newest > since;
	mutex_unlock(&c->mu);
	return past;
}
