#include "client/watch/quiet.h"

#include <string.h>

#include "base/fault.h"
#include "base/limits.h"
#include "base/path.h"

/** A file that is being written. */
struct hold {
	int64_t since_ms; /* held */
	int64_t last_ms;  /* written to */
	int64_t rest_ms;  /* after which it counts as done */
	int64_t look_ms;  /* when to look whether somebody has it open */
	char path[];
};

struct quiet {
	bool dirty;
	int64_t first_ms, last_ms; /* of the changes since the last pass */
	struct map *held;          /* path -> struct hold */
	bool (*writing)(void *ctx, const char *path);
	void *ctx;
};

struct quiet *
quiet_new(bool (*writing)(void *ctx, const char *path), void *ctx)
{
	struct quiet *q = xcalloc(1, sizeof *q);

	q->writing = writing;
	q->ctx = ctx;
	q->held = map_new();
	return q;
}

static void
clear(struct quiet *q)
{
	size_t pos = 0, len;
	const void *key;
	void *hold;

	while (map_next(q->held, &pos, &key, &len, &hold))
		free(hold);
	map_free(q->held);
	q->held = NULL;
}

void
quiet_free(struct quiet *q)
{
	if (!q)
		return;
	clear(q);
	free(q);
}

void
quiet_dirty(struct quiet *q, int64_t now_ms)
{
	if (!q->dirty)
		q->first_ms = now_ms;
	q->dirty = true;
	q->last_ms = now_ms;
}

/* ---- holds -------------------------------------------------------------------------------------------------------------------- */

static void
put(struct quiet *q, const char *path, struct hold like)
{
	size_t len = strlen(path);
	struct hold *hold = xmalloc(sizeof *hold + len + 1);

	*hold = like;
	memcpy(hold->path, path, len + 1);
	free(map_put(q->held, path, len, hold));
}

static struct hold *
find(struct quiet *q, const char *path)
{
	return map_get(q->held, path, strlen(path));
}

/* A file is being written from now on, unless it is known to be.  False: there is no room for one more. */
static bool
hold(struct quiet *q, const char *path, int64_t rest_ms, int64_t now_ms)
{
	struct hold *known = find(q, path);

	if (FAULT("watch.no_hold"))
		return false;
	if (!known && map_count(q->held) >= WATCH_HELD_MAX)
		return false;
	if (!known) {
		put(q, path, (struct hold){ .since_ms = now_ms, .rest_ms = rest_ms });
		known = find(q, path);
	}
	known->last_ms = now_ms;
	known->look_ms = now_ms + WATCH_HOLD_LOOK_MS;
	known->rest_ms = MAX(rest_ms, known->rest_ms);
	return true;
}

void
quiet_made(struct quiet *q, const char *path, int64_t now_ms)
{
	if (!hold(q, path, WATCH_HOLD_MADE_MS, now_ms))
		quiet_dirty(q, now_ms);
}

void
quiet_written(struct quiet *q, const char *path, int64_t now_ms)
{
	if (!hold(q, path, WATCH_HOLD_REST_MS, now_ms))
		quiet_dirty(q, now_ms);
}

void
quiet_closed(struct quiet *q, const char *path, int64_t now_ms)
{
	free(map_remove(q->held, path, strlen(path)));
	quiet_dirty(q, now_ms);
}

/* One of the holds on ${dir}, or beneath it; NULL: there is none. */
static struct hold *
any_beneath(struct quiet *q, const char *dir)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(q->held, &pos, &key, &len, &value)) {
		struct hold *h = value;
		if (path_within(h->path, dir))
			return h;
	}
	return NULL;
}

void
quiet_gone(struct quiet *q, const char *path, int64_t now_ms)
{
	struct hold *h;

	while ((h = any_beneath(q, path))) {
		map_remove(q->held, h->path, strlen(h->path));
		free(h);
	}
	quiet_dirty(q, now_ms);
}

void
quiet_moved(struct quiet *q, const char *from, const char *to, int64_t now_ms)
{
	struct hold *h;

	/* What was at ${to} has been replaced.  A directory that moves into itself cannot be, so this ends. */
	quiet_gone(q, to, now_ms);
	while ((h = any_beneath(q, from))) {
		size_t tail = strlen(h->path) - strlen(from);
		char *path = xmalloc(strlen(to) + tail + 1);

		memcpy(path, to, strlen(to));
		memcpy(path + strlen(to), h->path + strlen(from), tail + 1);
		map_remove(q->held, h->path, strlen(h->path));
		put(q, path, *h);
		free(path);
		free(h);
	}
}

void
quiet_forget(struct quiet *q, int64_t now_ms)
{
	clear(q);
	q->held = map_new();
	quiet_dirty(q, now_ms);
}

/* ---- time --------------------------------------------------------------------------------------------------------------------- */

static int64_t
hold_end(const struct hold *h)
{
	return MIN(h->last_ms + h->rest_ms, h->since_ms + WATCH_HOLD_MAX_MS);
}

/* Looks become rarer the longer nothing is written. */
static bool
has_ended(struct quiet *q, struct hold *h, int64_t now_ms)
{
	if (hold_end(h) <= now_ms)
		return true;
	if (h->look_ms > now_ms)
		return false;
	h->look_ms = now_ms + MAX(WATCH_HOLD_LOOK_MS, now_ms - h->last_ms);
	return !q->writing(q->ctx, h->path);
}

/* When there is something to do about the first of the holds; those that have by now are removed, and are a change. */
static int64_t
next_end(struct quiet *q, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(q->held, &pos, &key, &len, &value)) {
		struct hold *h = value;
		if (has_ended(q, h, now_ms)) {
			map_remove(q->held, h->path, strlen(h->path));
			free(h);
			quiet_dirty(q, now_ms);
			pos = 0; /* the walk is over when the map changes */
			next = INT64_MAX;
			continue;
		}
		next = MIN(next, MIN(hold_end(h), h->look_ms));
	}
	return next;
}

int64_t
quiet_wait_ms(struct quiet *q, int64_t now_ms)
{
	int64_t next = next_end(q, now_ms), due;

	if (!q->dirty)
		return next == INT64_MAX ? -1 : next - now_ms;
	due = MIN(q->last_ms + WATCH_CALM_MS, q->first_ms + WATCH_CALM_MAX_MS);
	return due <= now_ms ? 0 : MIN(due, next) - now_ms;
}

struct map *
quiet_take(struct quiet *q, int64_t now_ms)
{
	struct map *set = map_new();
	size_t pos = 0, len;
	const void *key;
	void *value;

	(void)next_end(q, now_ms);
	q->dirty = false;
	while (map_next(q->held, &pos, &key, &len, &value))
		map_put(set, key, len, set);
	return set;
}

size_t
quiet_held(const struct quiet *q)
{
	return map_count(q->held);
}

bool
quiet_each(const struct quiet *q, size_t *pos, const char **path)
{
	const void *key;
	size_t len;
	void *value;

	if (!map_next(q->held, pos, &key, &len, &value))
		return false;
	*path = ((struct hold *)value)->path;
	return true;
}
