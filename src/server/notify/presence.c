/*
 * Which devices listen to a project.  News is gathered and told at the end of the loop's turn, because telling may close a stream that
 * does not read, and that is news again.  It is the least that a stream is told: who has something to read already does without.
 */
#include "server/notify/notify_internal.h"

#define TEXT_MAX KIB

/* Another stream of the same device listens to the project. */
static bool
is_twin(const struct subscription *sub)
{
	for (const struct subscription *other = sub->topic->subs; other; other = other->next)
		if (other != sub && id_eq(&other->stream->device, &sub->stream->device))
			return true;
	return false;
}

static void
tell(struct stream *s, const struct topic *t, const struct id *device, bool online)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	struct jw jw = JW(&sb);

	if (s->blocked)
		return;
	wire_status_write(&jw, &t->project, device, online);
	send_text(s, "status", &sb);
}

static void
add_news(struct subscription *sub, bool online)
{
	struct topic *t = sub->topic;
	struct presence *p, **end = &t->news;

	if (t->sub_count > EVENTS_PRESENCE_MAX || is_twin(sub))
		return;
	p = xcalloc(1, sizeof *p);
	p->device = sub->stream->device;
	p->online = online;
	while (*end)
		end = &(*end)->next;
	*end = p;
}

/* Of a device's streams the first in the list speaks for it. */
static bool
is_first(const struct subscription *sub)
{
	for (const struct subscription *other = sub->topic->subs; other != sub; other = other->next)
		if (id_eq(&other->stream->device, &sub->stream->device))
			return false;
	return true;
}

void
presence_came(struct subscription *sub)
{
	struct topic *t = sub->topic;
	struct stream *s = sub->stream;

	if (t->sub_count > EVENTS_PRESENCE_MAX)
		return;
	for (const struct subscription *other = t->subs; other && s->state == STREAM_OPEN; other = other->next)
		if (!id_eq(&other->stream->device, &s->device) && is_first(other))
			tell(s, t, &other->stream->device, true);
	if (s->state == STREAM_OPEN)
		add_news(sub, true);
}

void
presence_went(struct subscription *sub)
{
	add_news(sub, false);
}

void
presence_tell(struct topic *t)
{
	struct presence *news = TAKE(t->news);

	for (struct subscription *next, *sub = t->subs; sub; sub = next) {
		struct stream *s = sub->stream;

		next = sub->next;
		for (const struct presence *p = news; p && s->state == STREAM_OPEN; p = p->next)
			if (!id_eq(&p->device, &s->device))
				tell(s, t, &p->device, p->online);
		send_flush(s);
	}
	for (struct presence *p; (p = news);) {
		news = p->next;
		free(p);
	}
}

void
presence_forget(struct topic *t)
{
	for (struct presence *p; (p = t->news);) {
		t->news = p->next;
		free(p);
	}
}
