/*
 * Two threads: the stream's, which takes in what it hears; and the caller's, which draws, asks for the list of devices when something
 * is not known of them, and asks the agent of the folder.  What is known is the view, and that and the output are under the lock.
 */
#include "client/follow.h"

#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "client/cli.h"
#include "client/device_show.h"
#include "client/folder.h"
#include "client/follow_view.h"
#include "client/remote/listen.h"
#include "client/turn.h"

#define DRAW_MS 200
#define DEVICES_MS 2000   /* at least between two lists */
#define BEHIND_MS 10000   /* while somebody is behind: of oneself nothing is told */
#define AGENT_MS 2000
#define ASK_RETRY_MS 1000
#define MEMORY (32 * MIB)
#define MESSAGE_MAX (1 * MIB) /* EVENTS_CHANGE_LEN and the longest file beyond */
#define OUTPUT_MAX (16 * MIB)
#define ENTER "\033[?1049h\033[?25l" /* the other screen, without a cursor */
#define LEAVE "\033[?25h\033[?1049l"

struct follow {
	const char *path;
	bool json, screen;
	struct arena *arena;        /* of link and token */
	struct state_link link;
	struct remote *remote;
	struct listener *listener;
	pthread_t thread;
	struct mutex mu;            /* RANK_ENGINE; guards what follows, and standard output */
	struct cond wake;
	struct follow_view view;
	bool stop, over, listed;    /* ${over}: there is nothing more to hear, for ${why} */
	struct err why;
	struct sbuf drawn;          /* the frame that is on the screen */
	size_t columns, rows;

	/* the caller's */
	int64_t devices_ms, agent_ms;
};

/* ---- output: with the lock ------------------------------------------------------------------------------------------------------ */

static void
print(struct follow *f, const struct sbuf *sb)
{
	if (sb->len == 0)
		return;
	fwrite(sbuf_str(sb), 1, sb->len, stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return;
	f->over = true;
	(void)!err_set(&f->why, ERR_IO, "standard output cannot be written to");
}

/* Ours, of the kinds that the server does not say. */
static void
say(struct follow *f, const char *type, const char *key, const char *text)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	if (f->screen)
		return;
	if (f->json) {
		jw_object(&jw);
		jw_kstr(&jw, "type", type);
		if (key)
			jw_kstr(&jw, key, text);
		jw_end_object(&jw);
	} else {
		follow_stamp(&sb, clock_wall_us());
		sbuf_add(&sb, type);
		sbuf_add(&sb, key ? ": " : "");
		sbuf_add_visible(&sb, key ? text : "");
	}
	sbuf_addc(&sb, '\n');
	print(f, &sb);
}

static void
say_devices(struct follow *f)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);
	int64_t now = clock_wall_us();

	if (f->json) {
		jw_object(&jw);
		jw_kstr(&jw, "type", "devices");
		jw_key(&jw, "devices");
		jw_array(&jw);
	}
	for (size_t i = 0; i < f->view.device_count; i++) {
		const struct wire_device *d = &f->view.devices[i];

		if (f->json) {
			device_json(&jw, d);
			continue;
		}
		follow_stamp(&sb, now);
		sbuf_add_visible(&sb, d->name);
		sbuf_add(&sb, d->connected ? " is connected, " : " is not connected, ");
		device_place_add(&sb, d, now);
		sbuf_addc(&sb, '\n');
	}
	if (f->json) {
		jw_end_array(&jw);
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	}
	if (!f->screen && (f->json || !f->listed))
		print(f, &sb);
	f->listed = true;
}

static void
look_at_size(struct follow *f)
{
	struct winsize ws;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 && ws.ws_row > 0;
	size_t columns = known ? ws.ws_col : 80, rows = known ? ws.ws_row : 24;

	if (columns != f->columns || rows != f->rows)
		sbuf_reset(&f->drawn); /* whatever is there is torn */
	f->columns = columns;
	f->rows = rows;
}

/* From the top left, each row to its end, and what is below: nothing flickers, and nothing scrolls. */
static void
draw(struct follow *f)
{
	AUTO(sbuf_fini) struct sbuf frame = SBUF(OUTPUT_MAX), out = SBUF(OUTPUT_MAX);

	look_at_size(f);
	follow_screen(&f->view, f->columns, f->rows, clock_mono_ms(), clock_wall_us(), &frame);
	if (f->drawn.len == frame.len && memcmp(sbuf_str(&f->drawn), sbuf_str(&frame), frame.len) == 0)
		return;
	sbuf_add(&out, "\033[H");
	for (const char *s = sbuf_str(&frame); *s; s++) {
		if (*s == '\n')
			sbuf_add(&out, "\033[K\r\n");
		else
			sbuf_addc(&out, *s);
	}
	sbuf_add(&out, "\033[K\033[J");
	print(f, &out);
	sbuf_reset(&f->drawn);
	sbuf_add(&f->drawn, sbuf_str(&frame));
}

/* ---- the stream ----------------------------------------------------------------------------------------------------------------- */

static void
take(struct follow *f, const struct wire_event *e, const char *text, size_t len)
{
	AUTO(sbuf_fini) struct sbuf lines = SBUF(OUTPUT_MAX);

	if (e->type == WIRE_EVENT_HELLO && follow_connected(&f->view, NULL))
		say(f, "connected", NULL, NULL);
	follow_event(&f->view, e, clock_mono_ms(), clock_wall_us(), f->screen || f->json ? NULL : &lines);
	if (f->json) {
		sbuf_addn(&lines, text, len);
		sbuf_addc(&lines, '\n');
	}
	print(f, &lines);
}

static void
on_heard(void *ctx, const struct heard *h)
{
	AUTO(arena_freep) struct arena *a = arena_new(MEMORY);
	struct follow *f = ctx;
	struct wire_event e;
	struct err err;
	bool over;

	if (wire_event_read((const uint8_t *)h->text, h->len, a, &e, &err))
		return; /* not what the protocol has: nothing that could be shown */
	mutex_lock(&f->mu);
	take(f, &e, h->text, h->len);
	over = f->over;
	mutex_unlock(&f->mu);
	if (over)
		listener_stop(f->listener);
}

/* False: never again. */
static bool
pause_after(struct follow *f, err_code rc, const struct err *err, unsigned *attempts)
{
	int64_t until;

	mutex_lock(&f->mu);
	*attempts = f->view.connected ? 0 : *attempts + 1;
	if (!f->stop && !f->over && follow_connected(&f->view, err->msg))
		say(f, "disconnected", "reason", err->msg);
	if (!remote_is_away(rc) && rc != ERR_CANCELLED && !f->over) {
		f->over = true;
		f->why = *err;
	}
	cond_signal(&f->wake);
	until = clock_mono_ms() + listener_pause_ms(*attempts);
	while (!f->stop && !f->over && cond_wait_until(&f->wake, &f->mu, until))
		;
	rc = f->stop || f->over;
	mutex_unlock(&f->mu);
	return !rc;
}

static void *
listen_always(void *arg)
{
	struct follow *f = arg;
	unsigned attempts = 0;
	struct err err;
	err_code rc;

	do
		rc = listener_run(f->listener, on_heard, f, &err);
	while (pause_after(f, rc, &err, &attempts));
	return NULL;
}

/* ---- what is asked for ------------------------------------------------------------------------------------------------------------ */

static bool
anybody_behind(const struct follow_view *v)
{
	for (size_t i = 0; i < v->device_count; i++)
		if (v->devices[i].lag_us > 0)
			return true;
	return false;
}

static void
ask_devices(struct follow *f)
{
	AUTO(sbuf_fini) struct sbuf lines = SBUF(OUTPUT_MAX);
	struct wire_device *list;
	struct arena *a;
	struct cursor at;
	struct err err;
	size_t n;
	int64_t now = clock_mono_ms();
	unsigned heard;
	bool want;

	mutex_lock(&f->mu);
	heard = f->view.heard;
	want = f->view.connected && ((f->view.want_devices && now - f->devices_ms >= DEVICES_MS) ||
	    (anybody_behind(&f->view) && now - f->devices_ms >= BEHIND_MS));
	f->view.want_devices &= !want; /* what is heard meanwhile is a reason to ask again */
	mutex_unlock(&f->mu);
	if (!want)
		return;
	f->devices_ms = now;
	a = arena_new(MEMORY);
	if (remote_devices(f->remote, a, &list, &n, &at, &err)) {
		arena_free(a);
		mutex_lock(&f->mu);
		f->view.want_devices = true;
		mutex_unlock(&f->mu);
		return;
	}
	mutex_lock(&f->mu);
	want = f->view.want_devices;
	follow_devices(&f->view, a, list, n, heard, clock_wall_us(), f->screen || f->json ? NULL : &lines);
	f->view.want_devices = want;
	print(f, &lines);
	say_devices(f);
	mutex_unlock(&f->mu);
}

static err_code
read_agent(const struct sbuf *status, char *out, size_t cap, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *state;
	int64_t unsynced = 0;
	bool in_sync = false;
	char left[40] = "";
	err_code rc = json_in_parse((const uint8_t *)sbuf_str(status), status->len, &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", true, &in, err);
	if (!rc)
		rc = json_need_str(&in, "state", &state, NULL, err);
	if (!rc)
		rc = json_get_bool(&in, "in_sync", &in_sync, err);
	if (!rc)
		rc = json_get_i64(&in, "unsynced", 0, INT64_MAX, &unsynced, err);
	if (rc)
		return rc;
	if (unsynced > 0)
		snprintf(left, sizeof left, ", %" PRId64 " unsynced", unsynced);
	snprintf(out, cap, "agent %.40s%s%s", state, in_sync ? ", in sync" : "", left);
	return ERR_OK;
}

static void
ask_agent(struct follow *f)
{
	AUTO(sbuf_fini) struct sbuf status = SBUF(CONTROL_ANSWER_MAX);
	char text[sizeof f->view.agent] = "no agent runs here";
	struct err err;

	if (f->agent_ms && clock_mono_ms() - f->agent_ms < AGENT_MS)
		return;
	f->agent_ms = clock_mono_ms();
	if (turn_agent(f->path, &status, &err) == ERR_OK && read_agent(&status, text, sizeof text, &err))
		snprintf(text, sizeof text, "the agent says what is not understood");
	mutex_lock(&f->mu);
	if (strcmp(f->view.agent, text) != 0) {
		snprintf(f->view.agent, sizeof f->view.agent, "%s", text);
		say(f, "agent", "state", text);
	}
	mutex_unlock(&f->mu);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

static void
look_on(struct follow *f)
{
	mutex_lock(&f->mu);
	while (!flag_is_set(cli_cancel()) && !f->over) {
		mutex_unlock(&f->mu);
		ask_devices(f);
		ask_agent(f);
		mutex_lock(&f->mu);
		if (f->screen)
			draw(f);
		cond_wait_until(&f->wake, &f->mu, clock_mono_ms() + DRAW_MS); /* a signal is seen then */
	}
	f->stop = true;
	cond_broadcast(&f->wake);
	mutex_unlock(&f->mu);
	listener_stop(f->listener);
}

static bool
is_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static void
switch_screen(const struct follow *f, const char *how)
{
	if (!f->screen)
		return;
	fputs(how, stdout);
	fflush(stdout);
}

static err_code
open_lines(struct follow *f, struct err *err)
{
	struct remote_opts opts = { .retry_ms = ASK_RETRY_MS, .cancel = cli_cancel() };
	err_code rc = folder_peek(f->path, f->arena, &f->link, &opts.token, err);

	if (rc)
		return rc;
	opts.url = f->view.url = f->link.url;
	opts.project = f->link.project;
	f->view.own = f->link.device;
	f->view.project = f->link.project_name;
	f->view.own_name = f->link.device_name;
	rc = remote_open(&opts, &f->remote, err);
	if (rc == ERR_OK)
		rc = listener_open(&opts, &f->listener, err);
	if (rc == ERR_OK)
		listener_keep(f->listener, MESSAGE_MAX);
	return rc;
}

static err_code
follow(struct follow *f, struct err *err)
{
	err_code rc = open_lines(f, err);

	if (rc == ERR_OK)
		rc = thread_start("follow", listen_always, f, &f->thread, err);
	if (rc)
		return rc;
	switch_screen(f, ENTER);
	look_on(f);
	pthread_join(f->thread, NULL);
	switch_screen(f, LEAVE);
	if (!f->over || flag_is_set(cli_cancel()))
		return ERR_OK;
	if (err)
		*err = f->why;
	return f->why.code;
}

err_code
follow_run(const char *path, bool json, struct err *err)
{
	struct follow *f = xcalloc(1, sizeof *f);
	err_code rc;

	f->path = path;
	f->json = json;
	f->screen = !json && is_terminal();
	f->devices_ms = -DEVICES_MS;
	f->arena = arena_new(64 * KIB);
	f->drawn = SBUF(OUTPUT_MAX);
	follow_init(&f->view);
	mutex_init(&f->mu, RANK_ENGINE);
	cond_init(&f->wake);
	rc = follow(f, err);
	listener_free(f->listener);
	if (f->remote)
		remote_free(f->remote);
	follow_fini(&f->view);
	sbuf_fini(&f->drawn);
	arena_free(f->arena);
	mutex_fini(&f->mu);
	cond_fini(&f->wake);
	free(f);
	return rc;
}
