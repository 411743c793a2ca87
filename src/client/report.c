#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/sbuf.h"
#include "base/thread.h"
#include "client/report.h"

#define PAINT_MS 100      /* fast enough to look alive, slow enough to cost nothing */
#define LINE_MS 10000     /* without a terminal */
#define RATE_WINDOW 30    /* paints: the rate is over the last three seconds */
#define COLUMNS_DEFAULT 80
#define BAR_MIN 4         /* narrower ones tell nothing */
#define BAR_MAX 30
#define NAME_AFTER_MS 1000 /* a file that takes longer is named */
#define NARROW 60          /* columns: below, what matters least is left out */

struct report {
	struct report_opts opts;
	struct mutex mu;           /* guards what follows, and standard error */
	struct cond wake;
	bool running;
	pthread_t thread;
	const char *verb;
	struct transfer_progress *progress;
	int64_t started_ms, last_ms;
	uint64_t started_bytes;    /* done then */
	uint64_t window[RATE_WINDOW];
	unsigned painted;          /* paints since the start */
	bool dirty;                /* a bar is on the screen */
	bool named;                /* and a name below it */
};

struct report *
report_new(const struct report_opts *opts)
{
	struct report *r = xcalloc(1, sizeof *r);

	r->opts = *opts;
	r->last_ms = opts->bar ? 0 : clock_mono_ms();
	mutex_init(&r->mu, RANK_POOL); /* painting looks at the progress, which has a lock of its own */
	cond_init(&r->wake);
	return r;
}

void
report_free(struct report *r)
{
	if (!r)
		return;
	report_clear(r);
	mutex_fini(&r->mu);
	cond_fini(&r->wake);
	free(r);
}

static size_t
columns(void)
{
	struct winsize ws;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : COLUMNS_DEFAULT;
}

bool
report_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

/* Characters are as wide as the terminal shows them, whatever the user's language. */
static size_t
char_width(const char *s, size_t *bytes)
{
	mbstate_t state = { 0 };
	wchar_t wc;
	size_t n = mbrtowc(&wc, s, MB_LEN_MAX, &state);
	int width;

	*bytes = n == 0 || n > MB_LEN_MAX ? 1 : n;
	width = n == 0 || n > MB_LEN_MAX ? 1 : wcwidth(wc);
	return width < 0 ? 1 : (size_t)width;
}

static size_t
text_width(const char *s)
{
	size_t width = 0, bytes;

	for (; *s; s += bytes)
		width += char_width(s, &bytes);
	return width;
}

size_t
report_fit(struct sbuf *sb, const char *text, size_t width)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0), before = utf8 ? uselocale(utf8) : 0;
	struct sbuf visible = SBUF(64 * KIB);
	const char *s;
	size_t all, bytes;

	sbuf_add_visible(&visible, text);
	s = sbuf_str(&visible);
	all = text_width(s);
	if (all > width) {
		for (; *s && all + 3 > width; s += bytes) /* the end of a path tells more than its beginning */
			all -= char_width(s, &bytes);
		sbuf_add(sb, width >= 3 ? "..." : "");
		all += width >= 3 ? 3 : 0;
	}
	sbuf_add(sb, s);
	sbuf_fini(&visible);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return all;
}

void
report_pad(struct sbuf *sb, const char *text, size_t width)
{
	for (size_t used = report_fit(sb, text, width); used < width; used++)
		sbuf_addc(sb, ' ');
}

static void
put(struct report *r, const struct sbuf *sb)
{
	if (write(STDERR_FILENO, sbuf_str(sb), sb->len) < 0)
		r->opts.quiet = true; /* not worth an error */
}

/*
 * One line, and on a terminal a name below it when ${name} is not NULL; the cursor stays on the first.  ${text} is ours and ASCII; it is
 * cut to the screen, ${name} fits.  The caller holds the mutex.
 */
static void
put_line(struct report *r, const char *text, const char *name, bool bar)
{
	struct sbuf sb = SBUF(64 * KIB);

	if (bar) {
		sbuf_addf(&sb, "\r\033[K%.*s", (int)(columns() - 1), text);
		if (name || r->named)
			sbuf_addf(&sb, "\n\033[K%s\033[A\r", name ? name : "");
		r->named = name != NULL;
	} else {
		sbuf_addf(&sb, "%s%s%s\n", text, name ? "  " : "", name ? name : "");
	}
	put(r, &sb);
	r->dirty = bar;
	sbuf_fini(&sb);
}

static void
clear(struct report *r)
{
	if (r->dirty)
		put_line(r, "", NULL, true);
	r->dirty = false;
}

void
report_clear(struct report *r)
{
	mutex_lock(&r->mu);
	clear(r);
	mutex_unlock(&r->mu);
}

void
report_count(struct report *r, const char *verb, uint64_t entries)
{
	int64_t now = clock_mono_ms();
	char text[64];

	mutex_lock(&r->mu);
	if (!r->opts.quiet && now - r->last_ms >= (r->opts.bar ? PAINT_MS : LINE_MS)) {
		r->last_ms = now;
		snprintf(text, sizeof text, "%s %'" PRIu64 " entries", verb, entries);
		put_line(r, text, NULL, r->opts.bar);
	}
	mutex_unlock(&r->mu);
}

/* Bytes a second over the window, or since the start while that is shorter. */
static uint64_t
rate(const struct report *r, uint64_t done)
{
	unsigned back = MIN(r->painted, RATE_WINDOW - 1);
	uint64_t then = r->painted >= RATE_WINDOW ? r->window[(r->painted + 1) % RATE_WINDOW] : r->started_bytes;
	int64_t ms = r->painted >= RATE_WINDOW ? (int64_t)back * PAINT_MS : clock_mono_ms() - r->started_ms;

	return ms > 0 && done > then ? (done - then) * 1000 / (uint64_t)ms : 0;
}

void
report_eta(struct sbuf *sb, uint64_t left, uint64_t per_second)
{
	uint64_t s = per_second ? (left + per_second - 1) / per_second : 0;

	if (per_second == 0 || s > 100 * 3600)
		sbuf_add(sb, "  --:--");
	else if (s >= 3600)
		sbuf_addf(sb, "  %" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		sbuf_addf(sb, "  %u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

void
report_bar(struct sbuf *sb, unsigned percent, size_t width)
{
	sbuf_addc(sb, '[');
	for (size_t i = 0; i < width; i++)
		sbuf_addc(sb, i < percent * width / 100 ? '=' : i == percent * width / 100 ? '>' : ' ');
	sbuf_addc(sb, ']');
}

/* What is left of the line after everything else, within reason. */
static void
add_bar(struct sbuf *sb, unsigned percent, size_t used)
{
	size_t free = columns() > used + 4 ? columns() - used - 4 : 0, width = MIN(free, BAR_MAX);

	if (width < BAR_MIN)
		return;
	report_bar(sb, percent, width);
	sbuf_addc(sb, ' ');
}

/* "  shots/010.mov  45% of 12.0 GiB  +2 more"; false when no file takes long. */
static bool
add_name(struct report *r, struct sbuf *sb)
{
	struct transfer_busy busy;
	struct sbuf rest = SBUF(128);
	char size[SIZE_HUMAN_MAX];
	size_t width = r->opts.bar ? columns() - 1 : COLUMNS_DEFAULT;

	if (!transfer_progress_busy(r->progress, NAME_AFTER_MS, &busy))
		return false;
	sbuf_addf(&rest, "  %u%% of %s", (unsigned)(busy.size ? busy.done * 100 / busy.size : 100), size_human(busy.size, size));
	if (busy.others)
		sbuf_addf(&rest, "  +%u more", busy.others);
	sbuf_add(sb, "  ");
	report_fit(sb, busy.path, width > rest.len + 2 ? width - rest.len - 2 : 0);
	if (width > rest.len + 2)
		sbuf_add(sb, sbuf_str(&rest));
	sbuf_fini(&rest);
	return true;
}

static void
add_counts(struct sbuf *sb, const struct transfer_counts *c, unsigned percent, uint64_t per_second)
{
	char done[SIZE_HUMAN_MAX], total[SIZE_HUMAN_MAX], speed[SIZE_HUMAN_MAX];
	bool narrow = columns() < NARROW;

	sbuf_addf(sb, "%3u%%  %s/%s", percent, size_human(c->bytes_done, done), size_human(c->bytes_total, total));
	if (!narrow)
		sbuf_addf(sb, "  %" PRIu64 "/%" PRIu64 " files  %s/s", c->files_done, c->files_total, size_human(per_second, speed));
	report_eta(sb, c->bytes_total > c->bytes_done ? c->bytes_total - c->bytes_done : 0, per_second);
}

static void
paint(struct report *r)
{
	struct sbuf line = SBUF(512), rest = SBUF(256), name = SBUF(64 * KIB);
	struct transfer_counts c;
	uint64_t per_second;
	unsigned percent;
	bool named;

	transfer_progress_read(r->progress, &c);
	per_second = rate(r, c.bytes_done);
	r->window[r->painted++ % RATE_WINDOW] = c.bytes_done;
	percent = c.bytes_total ? (unsigned)(c.bytes_done * 100 / c.bytes_total)
	                        : (unsigned)(c.files_total ? c.files_done * 100 / c.files_total : 100);
	percent = MIN(percent, 100);
	add_counts(&rest, &c, percent, per_second);
	sbuf_addf(&line, "%s ", r->verb);
	if (r->opts.bar)
		add_bar(&line, percent, line.len + rest.len);
	sbuf_add(&line, sbuf_str(&rest));
	named = add_name(r, &name);
	put_line(r, sbuf_str(&line), named ? sbuf_str(&name) : NULL, r->opts.bar);
	sbuf_fini(&line);
	sbuf_fini(&rest);
	sbuf_fini(&name);
}

static void *
painter(void *arg)
{
	struct report *r = arg;
	int64_t next;

	mutex_lock(&r->mu);
	next = clock_mono_ms() + (r->opts.bar ? PAINT_MS : LINE_MS);
	while (r->running) {
		if (cond_wait_until(&r->wake, &r->mu, next))
			continue;
		paint(r);
		next = clock_mono_ms() + (r->opts.bar ? PAINT_MS : LINE_MS);
	}
	mutex_unlock(&r->mu);
	return NULL;
}

void
report_start(struct report *r, const char *verb, struct transfer_progress *progress)
{
	struct transfer_counts c;
	struct err err;

	if (r->opts.quiet)
		return;
	transfer_progress_read(progress, &c);
	r->started_bytes = c.bytes_done;
	r->verb = verb;
	r->progress = progress;
	r->painted = 0;
	r->started_ms = clock_mono_ms();
	r->running = true;
	if (thread_start("report", painter, r, &r->thread, &err)) {
		r->running = false; /* no progress is no reason not to sync */
		return;
	}
}

void
report_stop(struct report *r)
{
	if (!r->running)
		return;
	mutex_lock(&r->mu);
	r->running = false;
	cond_signal(&r->wake);
	mutex_unlock(&r->mu);
	pthread_join(r->thread, NULL);
	mutex_lock(&r->mu);
	clear(r);
	mutex_unlock(&r->mu);
}
