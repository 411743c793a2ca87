#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

struct report {
	struct report_opts opts;
	struct mutex mu;           /* guards what follows, and standard error */
	struct cond wake;
	bool running;
	pthread_t thread;
	const char *verb;
	struct transfer_progress *progress;
	int64_t started_ms, last_ms;
	uint64_t window[RATE_WINDOW];
	unsigned painted;          /* paints since the start */
	bool dirty;                /* a bar is on the screen */
};

struct report *
report_new(const struct report_opts *opts)
{
	struct report *r = xcalloc(1, sizeof *r);

	r->opts = *opts;
	r->last_ms = opts->bar ? 0 : clock_mono_ms();
	mutex_init(&r->mu, RANK_LEAF);
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

/* One line, cut to the screen; the caller holds the mutex.  A line that cannot be written is not worth an error. */
static void
put_line(struct report *r, const char *text, bool bar)
{
	struct sbuf sb = SBUF(1 * KIB);
	size_t width = columns() - 1;

	if (bar)
		sbuf_addf(&sb, "\r\033[K%.*s", (int)width, text);
	else
		sbuf_addf(&sb, "%s\n", text);
	if (write(STDERR_FILENO, sbuf_str(&sb), sb.len) < 0)
		r->opts.quiet = true;
	r->dirty = bar;
	sbuf_fini(&sb);
}

static void
clear(struct report *r)
{
	if (r->dirty)
		put_line(r, "", true);
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
report_scanned(struct report *r, uint64_t entries)
{
	int64_t now = clock_mono_ms();
	char text[64];

	mutex_lock(&r->mu);
	if (!r->opts.quiet && now - r->last_ms >= (r->opts.bar ? PAINT_MS : LINE_MS)) {
		r->last_ms = now;
		snprintf(text, sizeof text, "Scanning %'" PRIu64 " entries", entries);
		put_line(r, text, r->opts.bar);
	}
	mutex_unlock(&r->mu);
}

/* Bytes a second over the window, or since the start while that is shorter. */
static uint64_t
rate(const struct report *r, uint64_t done)
{
	unsigned back = MIN(r->painted, RATE_WINDOW - 1);
	uint64_t then = r->painted >= RATE_WINDOW ? r->window[(r->painted + 1) % RATE_WINDOW] : 0;
	int64_t ms = r->painted >= RATE_WINDOW ? (int64_t)back * PAINT_MS : clock_mono_ms() - r->started_ms;

	return ms > 0 && done > then ? (done - then) * 1000 / (uint64_t)ms : 0;
}

static void
add_eta(struct sbuf *sb, uint64_t left, uint64_t per_second)
{
	uint64_t s = per_second ? (left + per_second - 1) / per_second : 0;

	if (per_second == 0 || s > 100 * 3600)
		sbuf_add(sb, "  --:--");
	else if (s >= 3600)
		sbuf_addf(sb, "  %" PRIu64 ":%02u:%02u", s / 3600, (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		sbuf_addf(sb, "  %u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

/* What is left of the line after everything else, within reason. */
static void
add_bar(struct sbuf *sb, unsigned percent, size_t used)
{
	size_t free = columns() > used + 4 ? columns() - used - 4 : 0, width = MIN(free, BAR_MAX);

	if (width < BAR_MIN)
		return;
	sbuf_addc(sb, '[');
	for (size_t i = 0; i < width; i++)
		sbuf_addc(sb, i < percent * width / 100 ? '=' : i == percent * width / 100 ? '>' : ' ');
	sbuf_add(sb, "] ");
}

static void
paint(struct report *r)
{
	struct sbuf line = SBUF(512), rest = SBUF(256);
	struct transfer_counts c;
	char done[SIZE_HUMAN_MAX], total[SIZE_HUMAN_MAX], speed[SIZE_HUMAN_MAX];
	uint64_t per_second;
	unsigned percent;

	transfer_progress_read(r->progress, &c);
	per_second = rate(r, c.bytes_done);
	r->window[r->painted++ % RATE_WINDOW] = c.bytes_done;
	percent = c.bytes_total ? (unsigned)(c.bytes_done * 100 / c.bytes_total)
	                        : (unsigned)(c.files_total ? c.files_done * 100 / c.files_total : 100);
	percent = MIN(percent, 100);

	sbuf_addf(&rest, "%3u%%  %s/%s  %" PRIu64 "/%" PRIu64 " files  %s/s", percent, size_human(c.bytes_done, done),
	    size_human(c.bytes_total, total), c.files_done, c.files_total, size_human(per_second, speed));
	add_eta(&rest, c.bytes_total > c.bytes_done ? c.bytes_total - c.bytes_done : 0, per_second);
	sbuf_addf(&line, "%s ", r->verb);
	if (r->opts.bar)
		add_bar(&line, percent, line.len + rest.len);
	sbuf_add(&line, sbuf_str(&rest));
	put_line(r, sbuf_str(&line), r->opts.bar);
	sbuf_fini(&line);
	sbuf_fini(&rest);
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
	struct err err;

	if (r->opts.quiet)
		return;
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
