/* Who listens to what, and whether he may: asked when he comes, and again every few seconds. */
#include "server/notify/notify_internal.h"

#include "base/fault.h"
#include "base/log.h"

#define MESSAGE_ARENA (2 * MIB)
#define TEXT_MAX (16 * KIB)

/* ---- subscriptions ---------------------------------------------------------------------------------------------------- */

struct subscription *
subscription_find(struct stream *s, const struct id *project)
{
	for (unsigned i = 0; i < s->sub_count; i++)
		if (id_eq(&s->subs[i]->topic->project, project))
			return s->subs[i];
	return NULL;
}

static void
subscription_begin(struct stream *s, struct topic *t, const struct cursor *at)
{
	struct subscription *sub = xcalloc(1, sizeof *sub);

	sub->topic = t;
	sub->stream = s;
	sub->at = *at;
	sub->next = t->subs;
	if (sub->next)
		sub->next->prev = sub;
	t->subs = sub;
	t->sub_count++;
	s->subs[s->sub_count++] = sub;
	live_begin(sub);
	presence_came(sub);
}

void
subscription_end(struct subscription *sub)
{
	struct stream *s = sub->stream;

	presence_went(sub);
	sub->topic->sub_count--;
	for (unsigned i = 0; i < s->sub_count; i++) {
		if (s->subs[i] != sub)
			continue;
		s->subs[i] = s->subs[--s->sub_count];
		break;
	}
	if (sub->prev)
		sub->prev->next = sub->next;
	else
		sub->topic->subs = sub->next;
	if (sub->next)
		sub->next->prev = sub->prev;
	free(sub);
}

static void
tell_error(struct stream *s, const struct id *project, const struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	struct jw jw = JW(&sb);

	if (!problem_is_callers(err->code))
		log_error(err, "a subscription failed");
	wire_event_error_write(&jw, project, err);
	send_text(s, "error", &sb);
}

static void
tell_resync(struct subscription *sub, err_code why)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	struct jw jw = JW(&sb);

	wire_resync_write(&jw, &sub->topic->project, &sub->at, why);
	send_text(sub->stream, "resync", &sb);
}

void
subscription_resync(struct subscription *sub, err_code why)
{
	sub->at = (struct cursor){ .clock = sub->topic->ring.to, .epoch = sub->topic->epoch, .has_epoch = true };
	sub->behind = 0;
	tell_resync(sub, why);
}

/* ---- what a client asks for ------------------------------------------------------------------------------------------- */

void
subscribe_ask(struct stream *s, const struct wire_ask *asks, size_t n)
{
	struct job *j = job_new(s->n, JOB_SUBSCRIBE);

	j->stream = s->serial;
	j->questions = xcalloc(n, sizeof *j->questions);
	j->question_count = n;
	for (size_t i = 0; i < n; i++) {
		struct question *q = &j->questions[i];

		q->device = s->device;
		q->project = asks[i].project;
		q->has_project = true;
		q->has_since = asks[i].has_since;
		q->since = asks[i].since;
	}
	s->asking = true;
	job_push(j);
}

static bool
too_many(struct stream *s, const struct wire_asks *asks)
{
	size_t more = 0;

	for (size_t i = 0; i < asks->subscribe_n; i++)
		more += !subscription_find(s, &asks->subscribe[i].project);
	return s->sub_count + more > EVENTS_PROJECTS_MAX || asks->subscribe_n > EVENTS_PROJECTS_MAX;
}

/* What a stream of one project may not ask for is answered as what the device may not. */
static void
drop_others(struct stream *s, struct wire_asks *asks)
{
	size_t n = 0;
	struct err err;

	for (size_t i = 0; i < asks->subscribe_n; i++) {
		const struct wire_ask *ask = &asks->subscribe[i];

		if (id_eq(&ask->project, &s->only)) {
			asks->subscribe[n++] = *ask;
			continue;
		}
		(void)err_set(&err, ERR_NOT_FOUND, "there is no such project here");
		tell_error(s, &ask->project, &err);
	}
	asks->subscribe_n = n;
}

void
subscribe_message(struct stream *s, const uint8_t *p, size_t len)
{
	AUTO(arena_freep) struct arena *a = arena_new(MESSAGE_ARENA);
	struct wire_asks asks;
	struct err err;

	if (wire_asks_read(p, len, a, &asks, &err)) {
		tell_error(s, NULL, &err);
		send_flush(s);
		return;
	}
	for (size_t i = 0; i < asks.unsubscribe_n; i++) {
		struct subscription *sub = subscription_find(s, &asks.unsubscribe[i]);

		if (sub)
			subscription_end(sub);
	}
	if (!id_is_zero(&s->only))
		drop_others(s, &asks);
	if (too_many(s, &asks))
		stream_close(s, WS_POLICY, "more than 64 projects");
	else if (asks.subscribe_n > 0)
		subscribe_ask(s, asks.subscribe, asks.subscribe_n);
	send_flush(s);
}

/* Where to begin: behind what the client has, if that was asked for and can be told. */
static struct cursor
beginning(const struct question *q)
{
	struct cursor at = { .clock = q->at.clock, .epoch = q->at.epoch, .has_epoch = true };

	if (!q->has_since || q->code)
		return at;
	at.clock = MIN(q->since.clock, q->at.clock);
	at.began = at.clock == 0 ? q->at.clock : q->since.began;
	return at;
}

static void
subscribed(struct stream *s, const struct question *q)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	struct jw jw = JW(&sb);
	struct cursor now = { .clock = q->at.clock, .epoch = q->at.epoch, .has_epoch = true };
	struct cursor at = beginning(q);
	struct topic *t = topic_get(s->n, &q->project, &q->at);
	struct subscription *before = subscription_find(s, &q->project);

	if (before)
		subscription_end(before);
	subscription_begin(s, t, &at);
	if (q->has_place)
		live_place(t, &s->device, &q->place);
	topic_moved(t, q->at.clock);
	wire_hello_write(&jw, &q->project, &now, &q->at.digest);
	send_text(s, "hello", &sb);
	if (q->code && s->state == STREAM_OPEN)
		tell_resync(subscription_find(s, &q->project), q->code);
}

static bool
is_about_since(err_code code)
{
	return code == ERR_EPOCH_CHANGED || code == ERR_CURSOR_EXPIRED || code == ERR_CURSOR_INVALID;
}

static bool
is_revoked(const struct question *q)
{
	if (FAULT("notify.keeps_revoked")) /* M26 */
		return false;
	return q->code == ERR_TOKEN_REVOKED || q->code == ERR_TOKEN_INVALID || (q->code == ERR_NOT_FOUND && !q->has_project);
}

void
subscribe_answered(struct stream *s, struct job *j)
{
	s->asking = false;
	for (size_t i = 0; i < j->question_count && s->state == STREAM_OPEN; i++) {
		const struct question *q = &j->questions[i];

		if (is_revoked(q))
			stream_close(s, WS_POLICY, "the device was revoked");
		else if (q->code && !is_about_since(q->code))
			tell_error(s, &q->project, q->err);
		else
			subscribed(s, q);
	}
	send_flush(s);
	stream_resume(s);
}

/* ---- again and again -------------------------------------------------------------------------------------------------- */

static size_t
count_questions(const struct notify *n)
{
	size_t count = 0;

	for (const struct stream *s = n->streams; s; s = s->next)
		count += MAX(s->sub_count, 1);
	return count;
}

void
recheck_start(struct notify *n)
{
	struct job *j = job_new(n, JOB_RECHECK);

	j->questions = xcalloc(count_questions(n), sizeof *j->questions);
	for (const struct stream *s = n->streams; s; s = s->next) {
		for (unsigned i = 0; i < MAX(s->sub_count, 1); i++) {
			struct question *q = &j->questions[j->question_count++];

			q->stream = s->serial;
			q->device = s->device;
			q->has_project = i < s->sub_count;
			if (q->has_project)
				q->project = s->subs[i]->topic->project;
		}
	}
	n->rechecking = true;
	n->recheck_due = false;
	job_push(j);
}

static void
rechecked(struct stream *s, const struct question *q)
{
	struct subscription *sub = q->has_project ? subscription_find(s, &q->project) : NULL;

	if (is_revoked(q)) {
		stream_close(s, WS_POLICY, "the device was revoked");
	} else if (q->code == ERR_NOT_FOUND && sub) {
		tell_error(s, &q->project, q->err);
		subscription_end(sub);
		send_flush(s);
	} else if (q->code && q->code != ERR_NOT_FOUND) { /* who cannot be asked about is not served */
		log_error(q->err, "whether a device may still listen could not be found out");
		stream_close(s, WS_TRY_LATER, "connect again");
	} else if (sub && !id_eq(&sub->topic->epoch, &q->at.epoch)) {
		stream_close(s, WS_TRY_LATER, "the project's history has begun anew: connect again");
	} else if (sub) {
		topic_moved(sub->topic, q->at.clock); /* heals a hint that was lost */
	}
}

void
recheck_done(struct job *j)
{
	struct notify *n = j->n;

	n->rechecking = false;
	n->recheck_at_ms = n->now_ms + n->recheck_ms;
	for (size_t i = 0; i < j->question_count; i++) {
		struct stream *s = stream_find(n, j->questions[i].stream);

		if (s && s->state == STREAM_OPEN)
			rechecked(s, &j->questions[i]);
	}
}
