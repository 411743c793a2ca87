#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/device_show.h"
#include "client/follow_view.h"
#include "client/report.h"

#define ENDED_MS 4000    /* a transfer that has ended is shown for so long */
#define SILENT_MS 60000  /* one of which nothing is heard is not shown any more */
#define SAY_MS 10000     /* between two lines on a transfer */
#define RATE_MS 2000
#define NAME_WIDTH 16
#define BAR_WIDTH 12
#define WIDE 64          /* columns: below, bars are left out */
#define TEXT_MAX (64 * KIB)

void
follow_init(struct follow_view *v)
{
	*v = (struct follow_view){ .project = "", .url = "", .own_name = "", .want_devices = true };
	snprintf(v->why, sizeof v->why, "connecting");
}

void
follow_fini(struct follow_view *v)
{
	for (size_t i = 0; i < v->transfer_count; i++)
		free(v->transfers[i].path);
	for (size_t i = 0; i < v->change_count; i++)
		free(v->changes[i].path);
	arena_free(v->devices_arena);
}

static struct wire_device *
find_device(struct follow_view *v, const struct id *id)
{
	for (size_t i = 0; i < v->device_count; i++)
		if (id_eq(&v->devices[i].id, id))
			return &v->devices[i];
	return NULL;
}

static const char *
name_of(struct follow_view *v, const struct id *id)
{
	const struct wire_device *d = find_device(v, id);

	return d ? d->name : id_eq(id, &v->own) ? v->own_name : "another device";
}

bool
follow_connected(struct follow_view *v, const char *why)
{
	bool news = v->connected != (why == NULL) || (why && strcmp(v->why, why) != 0);

	v->connected = why == NULL;
	snprintf(v->why, sizeof v->why, "%.255s", why ? why : "");
	return news;
}

void
follow_stamp(struct sbuf *sb, int64_t us)
{
	char at[RFC3339_MAX];

	sbuf_addf(sb, "%.8s  ", rfc3339_us(us, at) + 11);
}

/* ---- devices -------------------------------------------------------------------------------------------------------------------- */

static void
say_device(struct sbuf *lines, const char *name, const char *what, int64_t now_us)
{
	if (!lines)
		return;
	follow_stamp(lines, now_us);
	sbuf_add_visible(lines, name);
	sbuf_addf(lines, " %s\n", what);
}

void
follow_devices(struct follow_view *v, struct arena *a, struct wire_device *list, size_t n, unsigned heard, int64_t now_us, struct sbuf *lines)
{
	for (size_t i = 0; i < n; i++) {
		const struct wire_device *was = find_device(v, &list[i].id);
		if (was && v->heard != heard)
			list[i].connected = was->connected;
		else if (was && list[i].connected != was->connected)
			say_device(lines, list[i].name, list[i].connected ? "is connected" : "has gone", now_us);
	}
	arena_free(v->devices_arena);
	v->devices_arena = a;
	v->devices = list;
	v->device_count = n;
	v->want_devices = false;
}

/* ---- messages ------------------------------------------------------------------------------------------------------------------- */

static void
on_status(struct follow_view *v, const struct wire_status *s, int64_t now_us, struct sbuf *lines)
{
	struct wire_device *d = find_device(v, &s->device);
	bool was_online = d && d->connected, was_in_sync = d && d->lag_us == 0;
	const char *what = NULL;

	v->heard++;
	v->want_devices |= !d || !s->in_sync;
	if (!d || d->connected != s->online)
		what = s->online ? "is connected" : "has gone";
	else if (s->in_sync != was_in_sync)
		what = s->in_sync ? "is in sync" : "is behind";
	if (d) {
		d->connected = s->online;
		d->has_at = s->has_at;
		d->at = s->at;
		d->lag_us = s->lag_us;
		if (s->in_sync)
			d->lag_changes = d->behind_since = 0;
		if (was_online && !s->online)
			d->last_seen_at = now_us;
	}
	if (what)
		say_device(lines, name_of(v, &s->device), what, now_us);
}

static struct follow_transfer *
find_transfer(struct follow_view *v, const struct wire_progress *p)
{
	for (size_t i = 0; i < v->transfer_count; i++) {
		struct follow_transfer *t = &v->transfers[i];

		if (t->up == p->up && id_eq(&t->transfer, &p->transfer) && id_eq(&t->device, &p->device))
			return t;
	}
	return NULL;
}

static void
forget_old(struct follow_view *v, int64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < v->transfer_count; i++) {
		struct follow_transfer *t = &v->transfers[i];

		if (now_ms - t->heard_ms < (t->state == WIRE_RUNNING ? SILENT_MS : ENDED_MS))
			v->transfers[kept++] = *t;
		else
			free(t->path);
	}
	v->transfer_count = kept;
}

static unsigned
percent_of(const struct follow_transfer *t)
{
	return t->total > 0 ? (unsigned)(100.0 * (double)MIN(t->done, t->total) / (double)t->total) : 0;
}

static void
say_transfer(struct follow_view *v, struct follow_transfer *t, int64_t now_ms, int64_t now_us, struct sbuf *lines)
{
	static const char *const ends[] = { [WIRE_DONE] = "done", [WIRE_GONE] = "gone" };
	char size[SIZE_HUMAN_MAX];

	if (!lines || (t->state == WIRE_RUNNING && t->said_ms && now_ms - t->said_ms < SAY_MS))
		return;
	t->said_ms = now_ms;
	follow_stamp(lines, now_us);
	sbuf_add(lines, t->up ? "up    " : "down  ");
	sbuf_add_visible(lines, name_of(v, &t->device));
	sbuf_add(lines, "  ");
	sbuf_add_visible(lines, t->path[0] ? t->path : "many files");
	if (t->state != WIRE_RUNNING)
		sbuf_addf(lines, "  %s\n", ends[t->state]);
	else if (t->total > 0)
		sbuf_addf(lines, "  %u%% of %s\n", percent_of(t), size_human((uint64_t)t->total, size));
	else
		sbuf_addf(lines, "  %s\n", size_human((uint64_t)t->done, size));
}

static void
on_progress(struct follow_view *v, const struct wire_progress *p, int64_t now_ms, int64_t now_us, struct sbuf *lines)
{
	struct follow_transfer *t;

	forget_old(v, now_ms);
	t = find_transfer(v, p);
	if (!t && v->transfer_count == FOLLOW_TRANSFERS_MAX)
		return;
	if (!t) {
		t = &v->transfers[v->transfer_count++];
		*t = (struct follow_transfer){ .transfer = p->transfer, .device = p->device, .up = p->up,
			.old_ms = now_ms, .old_done = p->done, .mid_ms = now_ms, .mid_done = p->done };
	}
	free(t->path);
	t->path = xstrdup(p->path);
	t->done = p->done;
	t->total = p->total;
	t->state = p->state;
	t->heard_ms = now_ms;
	if (now_ms - t->mid_ms >= RATE_MS) {
		t->old_ms = t->mid_ms;
		t->old_done = t->mid_done;
		t->mid_ms = now_ms;
		t->mid_done = p->done;
	}
	v->want_devices |= !find_device(v, &p->device);
	say_transfer(v, t, now_ms, now_us, lines);
}

static void
on_change(struct follow_view *v, const struct wire_event *e, struct sbuf *lines)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct wire_file *f = &e->files[i];
		struct follow_change c = { .at_us = f->version,
			.what = i < e->added ? "added" : i < e->added + e->modified ? "modified" : "deleted" };

		if (v->change_count == FOLLOW_CHANGES_MAX)
			free(v->changes[--v->change_count].path);
		memmove(v->changes + 1, v->changes, v->change_count * sizeof *v->changes);
		c.path = xstrdup(f->path);
		v->changes[0] = c;
		v->change_count++;
		if (!lines)
			continue;
		follow_stamp(lines, c.at_us);
		sbuf_addf(lines, "%s  ", c.what);
		sbuf_add_visible(lines, c.path);
		sbuf_addc(lines, '\n');
	}
	v->want_devices |= e->n > 0;
}

void
follow_event(struct follow_view *v, const struct wire_event *e, int64_t now_ms, int64_t now_us, struct sbuf *lines)
{
	switch (e->type) {
	case WIRE_EVENT_STATUS:
		on_status(v, &e->status, now_us, lines);
		break;
	case WIRE_EVENT_PROGRESS:
		on_progress(v, &e->progress, now_ms, now_us, lines);
		break;
	case WIRE_EVENT_CHANGE:
		on_change(v, e, lines);
		break;
	case WIRE_EVENT_HELLO:
		v->want_devices = true;
		break;
	case WIRE_EVENT_OTHER:
		break;
	}
}

/* ---- the screen ------------------------------------------------------------------------------------------------------------------- */

/** A screen that is being filled: nothing is ever added past its width or its last row. */
struct screen {
	struct sbuf *out;
	size_t width, left, rows, row; /* columns of a row, and of this one; rows, and those that are begun */
};

/* False: the screen is full. */
static bool
next_row(struct screen *s)
{
	if (s->row == s->rows)
		return false;
	if (s->row++ > 0)
		sbuf_addc(s->out, '\n');
	s->left = s->width;
	return true;
}

/* Somebody's text, in exactly ${width} columns, or what is left; SIZE_MAX: as many as it takes. */
static void
put(struct screen *s, const char *text, size_t width)
{
	size_t most = MIN(width, s->left);

	if (width == SIZE_MAX) {
		s->left -= report_fit(s->out, text, most);
	} else {
		report_pad(s->out, text, most);
		s->left -= most;
	}
}

/* Our own, which is ASCII. */
static void
put_ascii(struct screen *s, const char *text)
{
	size_t n = MIN(strlen(text), s->left);

	sbuf_addn(s->out, text, n);
	s->left -= n;
}

/* A name at the top: as wide as it is, up to half of what is left. */
static void
put_name(struct screen *s, const char *name)
{
	AUTO(sbuf_fini) struct sbuf text = SBUF(TEXT_MAX);
	size_t used = report_fit(&text, name, s->left / 2);

	sbuf_add(s->out, sbuf_str(&text));
	s->left -= used;
}

static void
heading(struct screen *s, bool blank, const char *what, size_t n)
{
	char text[64];

	if (blank)
		next_row(s);
	if (!next_row(s))
		return;
	snprintf(text, sizeof text, "%s  %zu", what, n);
	put_ascii(s, n > 0 ? text : what);
}

static void
more_row(struct screen *s, size_t n)
{
	char text[64];

	if (!next_row(s))
		return;
	snprintf(text, sizeof text, "  ... and %zu more", n);
	put_ascii(s, text);
}

static void
device_row(struct screen *s, const struct follow_view *v, const struct wire_device *d, int64_t now_us)
{
	AUTO(sbuf_fini) struct sbuf place = SBUF(KIB);

	if (!next_row(s))
		return;
	put_ascii(s, d->connected ? "* " : "  ");
	put(s, d->name, MIN(NAME_WIDTH * 2, s->left / 2));
	put_ascii(s, "  ");
	device_place_add(&place, d, now_us);
	put_ascii(s, sbuf_str(&place));
	if (id_eq(&d->id, &v->own))
		put_ascii(s, "  (this device)");
}

static void
transfer_end_add(struct sbuf *sb, const struct follow_transfer *t, int64_t now_ms, bool wide)
{
	int64_t ms = now_ms - t->old_ms;
	uint64_t rate = ms > 0 && t->done > t->old_done ? (uint64_t)((double)(t->done - t->old_done) * 1000 / (double)ms) : 0;
	char size[SIZE_HUMAN_MAX];

	if (t->state != WIRE_RUNNING) {
		sbuf_add(sb, t->state == WIRE_DONE ? "  done" : "  gone");
		return;
	}
	sbuf_add(sb, "  ");
	if (wide && t->total > 0) {
		report_bar(sb, percent_of(t), BAR_WIDTH);
		sbuf_addc(sb, ' ');
	}
	if (t->total > 0)
		sbuf_addf(sb, "%3u%%", percent_of(t));
	else
		sbuf_addf(sb, "%10s", size_human((uint64_t)t->done, size));
	if (!wide)
		return;
	sbuf_addf(sb, " %10s/s", size_human(rate, size));
	if (t->total > 0)
		report_eta(sb, (uint64_t)MAX(t->total - t->done, 0), rate);
}

static void
transfer_row(struct screen *s, struct follow_view *v, const struct follow_transfer *t, int64_t now_ms)
{
	AUTO(sbuf_fini) struct sbuf end = SBUF(KIB);
	size_t name = s->width >= WIDE ? NAME_WIDTH : 8;

	if (!next_row(s))
		return;
	transfer_end_add(&end, t, now_ms, s->width >= WIDE);
	put_ascii(s, t->up ? "  up    " : "  down  ");
	put(s, name_of(v, &t->device), name);
	put_ascii(s, "  ");
	put(s, t->path[0] ? t->path : "many files", s->left > end.len ? s->left - end.len : 0);
	put_ascii(s, sbuf_str(&end));
}

static void
change_row(struct screen *s, const struct follow_change *c)
{
	AUTO(sbuf_fini) struct sbuf text = SBUF(KIB);

	if (!next_row(s))
		return;
	sbuf_add(&text, "  ");
	follow_stamp(&text, c->at_us);
	sbuf_addf(&text, "%-8s  ", c->what);
	put_ascii(s, sbuf_str(&text));
	put(s, c->path, SIZE_MAX);
}

static void
head_rows(struct screen *s, const struct follow_view *v)
{
	next_row(s);
	put_ascii(s, "dray  ");
	put_name(s, v->project);
	put_ascii(s, v->connected ? "  connected to " : "  not connected to ");
	put(s, v->url, SIZE_MAX);
	next_row(s);
	put_ascii(s, "      ");
	put_name(s, v->own_name);
	put_ascii(s, "  ");
	put(s, v->connected ? v->agent : v->why, SIZE_MAX);
}

/* How many rows each of the lists gets of ${left}: a third at least of what it can use, and what the others leave. */
static void
share(size_t left, const size_t want[3], size_t got[3])
{
	size_t rest = left;

	for (size_t i = 0; i < 3; i++) {
		got[i] = MIN(want[i], left / 3);
		rest -= got[i];
	}
	for (size_t i = 0; i < 3; i++) {
		size_t more = MIN(want[i] - got[i], rest);

		got[i] += more;
		rest -= more;
	}
}

void
follow_screen(struct follow_view *v, size_t columns, size_t rows, int64_t now_ms, int64_t now_us, struct sbuf *out)
{
	struct screen s = { .out = out, .width = columns > 1 ? columns - 1 : 1, .rows = rows };
	bool blank = rows >= 16;
	size_t fixed = 2 + 3 + (blank ? 3 : 0), got[3];
	size_t want[3];

	forget_old(v, now_ms);
	want[0] = v->device_count;
	want[1] = v->transfer_count;
	want[2] = v->change_count;
	share(rows > fixed ? rows - fixed : 0, want, got);
	head_rows(&s, v);
	heading(&s, blank, "Devices", v->device_count);
	for (size_t i = 0; i < got[0]; i++) {
		if (i + 1 == got[0] && got[0] < want[0])
			more_row(&s, want[0] - i);
		else
			device_row(&s, v, &v->devices[i], now_us);
	}
	heading(&s, blank, "Transfers", v->transfer_count);
	for (size_t i = 0; i < got[1]; i++) {
		if (i + 1 == got[1] && got[1] < want[1])
			more_row(&s, want[1] - i);
		else
			transfer_row(&s, v, &v->transfers[i], now_ms);
	}
	heading(&s, blank, "Changes", 0);
	for (size_t i = 0; i < got[2]; i++)
		change_row(&s, &v->changes[i]);
}
