#include "base/clock.h"
#include "client/cli.h"
#include "client/device_show.h"
#include "client/folder.h"
#include "client/report.h"

#define OUTPUT_MAX (16 * MIB)
#define MEMORY (32 * MIB)
#define NAME_MIN 4   /* the heading's */
#define NAME_MAX 30
#define PLACE_WIDTH 40

static size_t
name_width(const struct wire_device *d, size_t n)
{
	size_t width = NAME_MIN;

	for (size_t i = 0; i < n; i++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);

		width = MAX(width, report_fit(&sb, d[i].name, NAME_MAX));
	}
	return width;
}

static void
show_text(const struct wire_device *d, size_t n, const struct id *own)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	size_t width = name_width(d, n);
	int64_t now = clock_wall_us();

	sbuf_add(&sb, "  ");
	report_pad(&sb, "Name", width);
	sbuf_addf(&sb, "  Role    %-*s  Last seen\n", PLACE_WIDTH, "Place");
	for (size_t i = 0; i < n; i++) {
		AUTO(sbuf_fini) struct sbuf place = SBUF(KIB);

		device_place_add(&place, &d[i], now);
		sbuf_add(&sb, d[i].connected ? "* " : "  ");
		report_pad(&sb, d[i].name, width);
		sbuf_add(&sb, "  ");
		report_pad(&sb, d[i].role, 6);
		sbuf_addf(&sb, "  %-*s  ", PLACE_WIDTH, sbuf_str(&place));
		if (d[i].connected) {
			sbuf_add(&sb, "connected");
		} else if (d[i].last_seen_at) {
			ago_add(&sb, now - d[i].last_seen_at);
			sbuf_add(&sb, " ago");
		} else {
			sbuf_add(&sb, "never");
		}
		sbuf_add(&sb, id_eq(&d[i].id, own) ? " (this device)\n" : "\n");
	}
	cli_print(&sb);
}

static void
show_json(const struct state_link *link, const struct wire_device *d, size_t n, const struct cursor *at)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);
	char cursor[CURSOR_MAX];

	jw_object(&jw);
	jw_kid(&jw, "project", &link->project);
	jw_kstr(&jw, "project_cursor", cursor_format(at, cursor));
	jw_kid(&jw, "device", &link->device);
	jw_key(&jw, "devices");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++)
		device_json(&jw, &d[i]);
	jw_end_array(&jw);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static err_code
list(const struct command_line *line, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(MEMORY);
	AUTO(freep) char *path = NULL;
	struct remote_opts opts = { .cancel = cli_cancel() };
	struct state_link link;
	struct remote *remote;
	struct wire_device *devices;
	struct cursor at;
	size_t n;
	err_code rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);

	if (rc == ERR_OK)
		rc = cli_timeout(line, &opts.retry_ms, err);
	if (rc == ERR_OK)
		rc = folder_peek(path, a, &link, &opts.token, err);
	if (rc)
		return rc;
	opts.url = link.url;
	opts.project = link.project;
	rc = remote_open(&opts, &remote, err);
	if (rc)
		return rc;
	rc = remote_devices(remote, a, &devices, &n, &at, err);
	remote_free(remote);
	if (rc)
		return rc;
	if (command_has(line, 'j'))
		show_json(&link, devices, n, &at);
	else
		show_text(devices, n, &link.device);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, list);
}

const struct command COMMAND_DEVICES = {
	.name = "devices",
	.args = "[DIR]",
	.summary = "List the devices of a linked folder's project",
	.options = "Tj",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "A device that is connected has a star: it hears of each change as it happens, as dray watch does.\n"
	        "Its place is how much of the project it has: in sync, or how many changes it is behind, and for\n"
	        "how long.  When it was last seen is known to a few minutes.\n\n"
	        "Exit status: 0 listed, 1 error, 2 wrong usage.\n",
};
