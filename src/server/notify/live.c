/*
 * What is told as it is now, not as it became: how far each transfer is, and where each device is.
 *
 * L1  A topic has one text of each, made when it has changed and is due: at most five times a second, for all who listen together.
 * L2  They are in the order in which they were told last, and a subscription remembers how far along that order it is.  So nothing is queued:
 *     who could not be sent three states of a transfer is sent the fourth, once he takes something again.
 * L3  A stream is sent these only when there is no change for it and its socket takes more.
 * L4  What has ended stays for a while, so that it is told; to who comes later it is not.
 */
#include "server/notify/notify_internal.h"

#include "base/fault.h"

#define BATCH (16 * KIB)   /* of one sending */
#define TEXT_MAX (32 * KIB) /* a path of 4,096 control characters, escaped */
#define NOTES_MAX (EVENTS_DEVICES_MAX + PROGRESS_MAX) /* of a project, between two turns of the loop */

/* ---- from others (N3) ------------------------------------------------------------------------------------------------- */

/** What was said of a device or a transfer since the loop looked last. */
struct note {
	struct live_key key;
	struct cursor at;
	struct wire_progress progress; /* its path is the note's */
};

static void
note_free(struct note *note)
{
	if (!note)
		return;
	free((void *)(uintptr_t)note->progress.path);
	free(note);
}

/* With ${mu}: in the place of what was said before.  Returns what is left to be freed. */
static struct note *
note_put(struct notify *n, const struct id *project, struct note *note, bool *wake)
{
	struct watch *w = map_get(n->watches, project, sizeof *project);

	if (!w)
		return note; /* nobody listens */
	if (!w->notes)
		w->notes = map_new();
	if (map_count(w->notes) >= NOTES_MAX && !map_get(w->notes, &note->key, sizeof note->key))
		return note;
	*wake = watch_list(n, w);
	return map_put(w->notes, &note->key, sizeof note->key, note);
}

static void
note_leave(struct notify *n, const struct id *project, struct note *note)
{
	bool wake = false;

	mutex_lock(&n->mu);
	note = note_put(n, project, note, &wake);
	mutex_unlock(&n->mu);
	note_free(note);
	if (wake)
		notify_wake(n);
}

void
notify_progress(struct notify *n, const struct id *project, const struct wire_progress *p)
{
	struct note *note = xcalloc(1, sizeof *note);

	note->key = (struct live_key){ .device = p->device, .transfer = p->transfer, .kind = p->up ? LIVE_UP : LIVE_DOWN };
	note->progress = *p;
	note->progress.path = xstrdup(p->path);
	note_leave(n, project, note);
}

void
notify_place(struct notify *n, const struct id *project, const struct id *device, const struct cursor *at)
{
	struct note *note = xcalloc(1, sizeof *note);

	note->key = (struct live_key){ .device = *device, .kind = LIVE_DEVICE };
	note->at = *at;
	note_leave(n, project, note);
}

void
live_notes_free(struct map *notes)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (notes && map_next(notes, &pos, &key, &len, &value))
		note_free(value);
	map_free(notes);
}

/* ---- the topic's ------------------------------------------------------------------------------------------------------ */

static void
unlink_live(struct live *l)
{
	struct topic *t = l->topic;

	if (l->prev)
		l->prev->next = l->next;
	else
		t->live_first = l->next;
	if (l->next)
		l->next->prev = l->prev;
	else
		t->live_last = l->prev;
}

static void
append_live(struct live *l)
{
	struct topic *t = l->topic;

	l->prev = t->live_last;
	l->next = NULL;
	if (l->prev)
		l->prev->next = l;
	else
		t->live_first = l;
	t->live_last = l;
}

static void
live_forget(struct live *l)
{
	struct topic *t = l->topic;

	unlink_live(l);
	map_remove(t->live, &l->key, sizeof l->key);
	t->live_count[l->key.kind == LIVE_DEVICE ? 0 : 1]--;
	frame_unref(l->text);
	free((void *)(uintptr_t)l->progress.path);
	free(l);
}

void
live_free(struct topic *t)
{
	while (t->live_first)
		live_forget(t->live_first);
	map_free(t->live);
}

static bool
has_ended(const struct live *l)
{
	return l->key.kind == LIVE_DEVICE ? !l->status.online : l->progress.state != WIRE_RUNNING;
}

/* One that has ended makes room; false: there is none. */
static bool
make_room(struct topic *t, bool device)
{
	for (struct live *l = t->live_first; l; l = l->next) {
		if ((l->key.kind == LIVE_DEVICE) == device && has_ended(l) && !l->dirty) {
			live_forget(l);
			return true;
		}
	}
	return false;
}

static void
touch(struct live *l)
{
	l->dirty = true;
	l->topic->n->live_at_ms = 0; /* look in this turn, or the next */
}

/* The one with this key, or a new one; NULL when there are too many. */
static struct live *
live_get(struct topic *t, const struct live_key *key)
{
	bool device = key->kind == LIVE_DEVICE;
	struct live *l;

	if (!t->live)
		t->live = map_new();
	l = map_get(t->live, key, sizeof *key);
	if (l)
		return l;
	if (t->live_count[device ? 0 : 1] >= (device ? EVENTS_DEVICES_MAX : PROGRESS_MAX) && !make_room(t, device))
		return NULL;
	l = xcalloc(1, sizeof *l);
	l->topic = t;
	l->key = *key;
	l->status.device = key->device;
	l->progress.path = xstrdup("");
	l->since_ms = t->n->now_ms;
	map_put(t->live, key, sizeof *key, l);
	t->live_count[device ? 0 : 1]++;
	append_live(l);
	return l;
}

/* ---- devices ------------------------------------------------------------------------------------------------------------ */

static bool
is_in_sync(const struct live *l)
{
	const struct wire_status *s = &l->status;

	return s->has_at && id_eq(&s->at.epoch, &l->topic->epoch) && s->at.clock >= l->topic->clock;
}

void
live_place(struct topic *t, const struct id *device, const struct cursor *at)
{
	struct live *l = live_get(t, &(struct live_key){ .device = *device, .kind = LIVE_DEVICE });

	if (!l)
		return;
	l->status.has_at = true;
	l->status.at = *at;
	if (at->clock >= l->behind_of)
		l->behind_ms = 0;
	if (is_in_sync(l) || !l->told_in_sync) /* else it is perhaps behind for a moment only, which live_tick sees */
		touch(l);
}

void
live_online(struct topic *t, const struct id *device, bool online)
{
	struct live *l = live_get(t, &(struct live_key){ .device = *device, .kind = LIVE_DEVICE });

	if (FAULT("notify.forgets_gone") && !online)
		return;
	if (l) {
		l->status.online = online;
		touch(l);
	}
	for (l = t->live_first; l && !online; l = l->next) {
		if (l->key.kind == LIVE_DEVICE || !id_eq(&l->key.device, device) || has_ended(l))
			continue;
		l->progress.state = WIRE_GONE; /* should it go on all the same, its next word says so */
		touch(l);
	}
}

/* A project moves on with each commit, and all are behind it for a moment. */
static void
look_behind(struct live *l)
{
	int64_t now = l->topic->n->now_ms;

	if (!l->status.online || !l->told_in_sync || is_in_sync(l))
		return;
	if (l->behind_ms == 0) {
		l->behind_ms = now;
		l->behind_of = l->topic->clock;
	}
	if (now - l->behind_ms >= l->topic->n->lag_ms)
		touch(l);
}

/* ---- transfers ---------------------------------------------------------------------------------------------------------- */

static unsigned
downloads_of(const struct topic *t, const struct id *device)
{
	unsigned n = 0;

	for (const struct live *l = t->live_first; l; l = l->next)
		n += l->key.kind == LIVE_DOWN && id_eq(&l->key.device, device) && !has_ended(l);
	return n;
}

static void
take_progress(struct topic *t, struct note *note)
{
	struct wire_progress *p = &note->progress;
	struct live *l = t->live ? map_get(t->live, &note->key, sizeof note->key) : NULL;

	if (p->state != WIRE_RUNNING && (!l || has_ended(l)))
		return; /* the end of what was not told, or has been told */
	if (!l && note->key.kind == LIVE_DOWN && downloads_of(t, &note->key.device) >= PROGRESS_PER_DEVICE_MAX)
		return;
	if (!l)
		l = live_get(t, &note->key);
	if (!l)
		return;
	if (p->state != WIRE_RUNNING) { /* how it ended is all that is new */
		l->progress.state = p->state;
	} else {
		free((void *)(uintptr_t)l->progress.path);
		l->progress = *p;
		l->progress.path = TAKE(p->path);
	}
	if (p->state == WIRE_DONE && l->progress.total > 0)
		l->progress.done = l->progress.total;
	l->heard_ms = t->n->now_ms;
	touch(l);
}

void
live_take(struct topic *t, struct map *notes)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (notes && map_next(notes, &pos, &key, &len, &value)) {
		struct note *note = value;

		if (note->key.kind == LIVE_DEVICE)
			live_place(t, &note->key.device, &note->at);
		else
			take_progress(t, note);
	}
}

static void
look_at_transfer(struct live *l)
{
	int64_t now = l->topic->n->now_ms;

	if (!has_ended(l) && now - l->heard_ms >= l->topic->n->silence_ms) {
		l->progress.state = WIRE_GONE;
		touch(l);
	} else if (has_ended(l) && !l->dirty && now - l->told_ms >= PROGRESS_KEEP_MS) {
		live_forget(l);
	}
}

void
live_tick(struct topic *t)
{
	for (struct live *next, *l = t->live_first; l; l = next) {
		next = l->next;
		if (l->key.kind == LIVE_DEVICE)
			look_behind(l);
		else
			look_at_transfer(l);
	}
}

/* ---- telling ------------------------------------------------------------------------------------------------------------ */

static void
write_live(struct live *l, struct jw *jw)
{
	struct wire_status *s = &l->status;

	if (l->key.kind != LIVE_DEVICE) {
		wire_progress_write(jw, &l->topic->project, &l->progress);
		return;
	}
	s->in_sync = is_in_sync(l);
	s->lag_us = s->has_at && id_eq(&s->at.epoch, &l->topic->epoch) ? MAX(l->topic->clock - s->at.clock, 0) : -1;
	l->told_in_sync = s->in_sync;
	wire_status_write(jw, &l->topic->project, s);
}

/* Returns whether that is another text than the one before. */
static bool
encode(struct live *l)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	struct jw jw = JW(&sb);

	write_live(l, &jw);
	if (sb.failed || (l->text && l->text->len == sb.len && memcmp(l->text->text, sbuf_str(&sb), sb.len) == 0))
		return false;
	frame_unref(l->text);
	l->text = frame_new(0, 0, sbuf_str(&sb), sb.len);
	return true;
}

static int64_t
due_ms(const struct live *l)
{
	int64_t every = LIVE_EVERY_MS * (1 + (int64_t)l->topic->sub_count / LIVE_LISTENERS);

	if (FAULT("notify.live_floods"))
		return 0;
	if (l->seq > 0)
		return l->told_ms + every;
	return l->key.kind == LIVE_DEVICE ? 0 : l->since_ms + every; /* a transfer that is over by then is nobody's business */
}

/* Returns whether there is something new to tell. */
static bool
publish(struct live *l)
{
	struct topic *t = l->topic;

	l->dirty = false;
	if (l->seq == 0 && has_ended(l)) {
		if (l->key.kind != LIVE_DEVICE)
			live_forget(l);
		else
			l->told_in_sync = is_in_sync(l);
		return false;
	}
	if ((l->key.kind == LIVE_DEVICE && t->sub_count > EVENTS_PRESENCE_MAX) || !encode(l))
		return false;
	l->told_ms = t->n->now_ms;
	l->seq = ++t->live_seq;
	unlink_live(l);
	append_live(l); /* L2 */
	return true;
}

/* For the tests: what happens to changes when state is queued for who does not read. */
static void
queue_for_all(struct topic *t)
{
	for (struct subscription *next, *sub = t->subs; sub; sub = next) {
		struct stream *s = sub->stream; /* outlives this turn, unlike its subscriptions */

		next = sub->next;
		for (const struct live *l = t->live_first; l && s->state == STREAM_OPEN; l = l->next) {
			AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);

			sbuf_addn(&sb, l->text ? l->text->text : "", l->text ? l->text->len : 0);
			send_text(s, "progress", &sb);
		}
	}
}

void
live_turn(struct topic *t)
{
	bool news = false;

	for (struct live *next, *l = t->live_first; l; l = next) {
		next = l->next;
		if (!l->dirty)
			continue;
		if (t->n->now_ms >= due_ms(l))
			news |= publish(l);
		else
			t->n->live_at_ms = MIN(t->n->live_at_ms, due_ms(l));
	}
	if (news && FAULT("notify.live_queues"))
		queue_for_all(t);
	for (struct subscription *next, *sub = t->subs; news && sub; sub = next) {
		next = sub->next;
		send_flush(sub->stream);
	}
}

/* The first that was told after ${seq}. */
static const struct live *
after(const struct topic *t, uint64_t seq)
{
	const struct live *found = NULL;

	for (const struct live *l = t->live_last; l && l->seq > seq; l = l->prev)
		found = l;
	return found;
}

static bool
concerns(const struct subscription *sub, const struct live *l)
{
	if (l->seq <= sub->live_began && has_ended(l))
		return false; /* L4 */
	return l->key.kind != LIVE_DEVICE || !id_eq(&l->key.device, &sub->stream->device); /* who listens knows that he does */
}

void
live_begin(struct subscription *sub)
{
	sub->live_began = sub->topic->live_seq;
}

bool
live_next(struct stream *s)
{
	for (unsigned i = 0; i < s->sub_count; i++) {
		struct subscription *sub = s->subs[i];
		const struct live *l = after(sub->topic, sub->live);

		for (; l && s->out.len < BATCH; l = l->next) {
			sub->live = l->seq;
			if (concerns(sub, l))
				send_state(s, l->key.kind == LIVE_DEVICE ? "status" : "progress", l->text);
		}
	}
	return s->out.len > 0;
}
