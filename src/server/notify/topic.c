/*
 * A project that somebody listens to.  At most one worker reads its log at a time, from where the ring ends; what commits meanwhile is
 * seen when it comes back.
 */
#include "server/notify/notify_internal.h"

#include <assert.h>

#include "base/fault.h"
#include "base/log.h"

#define RETRY_MS 1000

struct topic *
topic_find(struct notify *n, const struct id *project)
{
	return map_get(n->topics, project, sizeof *project);
}

/* Hear of its commits from now on. */
static void
watch(struct topic *t)
{
	struct notify *n = t->n;
	struct watch *w = xcalloc(1, sizeof *w);

	w->project = t->project;
	mutex_lock(&n->mu);
	map_put(n->watches, &t->project, sizeof t->project, w);
	mutex_unlock(&n->mu);
}

static void
start_fill(struct topic *t)
{
	struct job *j = job_new(t->n, JOB_FILL);

	j->project = t->project;
	j->since = (struct cursor){ .clock = t->ring.to, .epoch = t->epoch, .has_epoch = true };
	j->upto = INT64_MAX;
	t->filling = true;
	t->filling_for = t->clock;
	job_push(j);
}

struct topic *
topic_get(struct notify *n, const struct id *project, const struct notify_at *at)
{
	struct topic *t = topic_find(n, project);

	if (t)
		return t;
	t = xcalloc(1, sizeof *t);
	t->n = n;
	t->project = *project;
	t->epoch = at->epoch;
	t->clock = at->clock;
	ring_init(&t->ring, at->clock, n->ring_max);
	map_put(n->topics, project, sizeof *project, t);
	watch(t);
	start_fill(t); /* what was committed after ${at} was read and before we heard of commits */
	return t;
}

static void
fill(struct topic *t)
{
	if (!t->filling && t->clock > t->ring.to && t->n->now_ms >= t->again_ms)
		start_fill(t);
}

void
topic_moved(struct topic *t, int64_t clock)
{
	t->clock = MAX(t->clock, clock);
	fill(t);
}

static void
each_stream(struct topic *t, void (*fn)(struct stream *s))
{
	for (struct subscription *next, *sub = t->subs; sub; sub = next) {
		next = sub->next;
		fn(sub->stream);
	}
}

static void
start_again(struct stream *s)
{
	stream_close(s, WS_TRY_LATER, "the project's history has changed: connect again");
}

static void
fill_failed(struct topic *t, const struct err *err)
{
	t->again_ms = t->n->now_ms + RETRY_MS;
	if (err->code == ERR_EPOCH_CHANGED || err->code == ERR_CURSOR_EXPIRED)
		each_stream(t, start_again); /* each comes back with its cursor, which is then judged by itself */
	else if (err->code != ERR_NOT_FOUND) /* a project that has gone: the next look at who may listen says so to each */
		log_error(err, "the changes of a project could not be read for those who listen");
}

void
topic_filled(struct job *j)
{
	struct topic *t = topic_find(j->n, &j->project);

	if (!t || !t->filling || t->ring.to != j->since.clock)
		return; /* of a topic that has gone, and has perhaps begun anew */
	t->filling = false;
	if (j->err.code) {
		fill_failed(t, &j->err);
		return;
	}
	if (j->page.to <= t->ring.to) {
		if (t->clock == t->filling_for)
			t->clock = t->ring.to; /* there is nothing, so there is nothing to ask for again */
		fill(t);
		return;
	}
	ring_push(&t->ring, frame_new(t->ring.to, j->page.to, sbuf_str(&j->page.text), j->page.text.len));
	topic_moved(t, j->page.to + (j->page.has_more ? 1 : 0));
	each_stream(t, send_flush);
}

static void
topic_free(struct topic *t)
{
	struct notify *n = t->n;
	struct watch *w, **at;

	mutex_lock(&n->mu);
	w = map_remove(n->watches, &t->project, sizeof t->project);
	for (at = &n->changed; w && w->listed && *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			break;
		}
	}
	mutex_unlock(&n->mu);
	if (w)
		live_notes_free(w->notes);
	free(w);
	map_remove(n->topics, &t->project, sizeof t->project);
	live_free(t);
	ring_fini(&t->ring);
	free(t);
}

/* One that is empty, or NULL. */
static struct topic *
empty_topic(struct notify *n)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(n->topics, &pos, &key, &len, &value)) {
		struct topic *t = value;

		if (!t->subs && !t->filling)
			return t;
	}
	return NULL;
}

void
topic_tidy(struct notify *n)
{
	for (struct topic *t; (t = empty_topic(n));)
		topic_free(t);
}

void
topics_tick(struct notify *n)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(n->topics, &pos, &key, &len, &value)) {
		fill(value);
		live_tick(value);
	}
}

void
topics_turn(struct notify *n)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	if (n->now_ms < n->live_at_ms)
		return;
	n->live_at_ms = INT64_MAX;
	while (map_next(n->topics, &pos, &key, &len, &value))
		live_turn(value);
}
