#include <inttypes.h>

#include "base/clock.h"
#include "base/num.h"
#include "client/history.h"
#include "client/session.h"

#define OUTPUT_MAX (256 * MIB)

static void
show_json(const struct session *s, const struct wire_file *f, const struct history *h)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kid(&jw, "project", &s->link.project);
	jw_kstr(&jw, "path", f->path);
	jw_kid(&jw, "id", &f->id);
	jw_kbool(&jw, "deleted", f->deleted);
	jw_key(&jw, "versions");
	jw_array(&jw);
	for (size_t i = 0; i < h->n; i++) {
		const struct wire_version *v = &h->versions[i];

		jw_object(&jw);
		jw_ki64(&jw, "version", v->version);
		jw_ktime_us(&jw, "at", v->version);
		jw_kstr(&jw, "what", history_what(h, i));
		jw_kstr(&jw, "path", v->path);
		jw_ki64(&jw, "size", v->size);
		jw_ktime_ns(&jw, "mtime", v->mtime_ns);
		jw_kid(&jw, "device", &v->changed_by);
		jw_kstr(&jw, "device_name", v->changed_by_name);
		jw_end_object(&jw);
	}
	jw_end_array(&jw);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static void
show_text(const struct wire_file *f, const struct history *h)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	char at[RFC3339_MAX], size[SIZE_HUMAN_MAX];
	int width = 6;

	for (size_t i = 0; i < h->n; i++)
		width = MAX(width, (int)MIN(strlen(h->versions[i].changed_by_name), 24));
	for (size_t i = 0; i < h->n; i++) {
		const struct wire_version *v = &h->versions[i];
		struct sbuf name = SBUF(4 * KIB);

		sbuf_add_visible(&name, *v->changed_by_name ? v->changed_by_name : "?");
		sbuf_addf(&sb, "%" PRId64 "  %.10s %.8s  %-*.24s  %10s  %s", v->version, rfc3339_us(v->version, at), at + 11, width,
		    sbuf_str(&name), v->deleted ? "" : size_human((uint64_t)v->size, size), history_what(h, i));
		sbuf_fini(&name);
		if (history_renamed(h, i)) {
			sbuf_add(&sb, " from ");
			sbuf_add_visible(&sb, h->versions[i + 1].path);
		}
		sbuf_addc(&sb, '\n');
	}
	if (h->pruned)
		sbuf_add(&sb, "Older versions are not kept any more.\n");
	if (f->deleted) {
		sbuf_add(&sb, "Next: dray restore ");
		sbuf_add_visible(&sb, f->path);
		sbuf_addc(&sb, '\n');
	}
	cli_print(&sb);
}

static err_code
run_log(const struct command_line *line, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	struct wire_file f;
	struct history h;
	const char *path;
	err_code rc = session_open(line, line->args[0], &s, err);

	if (rc == ERR_OK)
		rc = session_path(s, line->args[0], &path, err);
	if (rc == ERR_OK)
		rc = history_find(s, path, &f, err);
	if (rc == ERR_OK)
		rc = history_read(s, &f, &h, err);
	if (rc)
		return rc;
	if (command_has(line, 'j'))
		show_json(s, &f, &h);
	else
		show_text(&f, &h);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, run_log);
}

const struct command COMMAND_LOG = {
	.name = "log",
	.args = "PATH",
	.summary = "Show the versions of a file, the newest first, also of a deleted one",
	.options = "uptTj",
	.args_min = 1,
	.args_max = 1,
	.run = run,
	.help = "Each line has the version, when it was made (UTC), by which device, the size, and what\n"
	        "happened: created, edited, renamed, deleted, restored, mode (mode, time or target only).\n"
	        "PATH is as for dray ls.\n",
};
