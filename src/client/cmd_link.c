#include <errno.h>
#include <sys/stat.h>

#include "base/jw.h"
#include "client/cli.h"
#include "client/session.h"

static err_code
who_am_i(const char *url, const char *token, const struct id *project, struct arena *a, struct remote_self *self, struct err *err)
{
	struct remote_opts opts = { .url = url, .token = token, .project = *project, .cancel = cli_cancel() };
	struct remote *remote;
	err_code rc = remote_open(&opts, &remote, err);

	if (rc)
		return rc;
	rc = remote_self(remote, a, self, err);
	remote_free(remote);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "%s has no such project, or this token is not for it", url);
	return rc;
}

static void
show(const struct command_line *line, const char *dir, const struct state_link *link, bool writer)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	if (command_has(line, 'j')) {
		jw_object(&jw);
		jw_kstr(&jw, "folder", dir);
		jw_kstr(&jw, "server", link->url);
		jw_kid(&jw, "project", &link->project);
		jw_kstr(&jw, "project_name", link->project_name);
		jw_kid(&jw, "device", &link->device);
		jw_kstr(&jw, "device_name", link->device_name);
		jw_kstr(&jw, "role", writer ? "writer" : "reader");
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	} else if (!command_has(line, 'q')) {
		sbuf_add(&sb, "Linked ");
		sbuf_add_visible(&sb, dir);
		sbuf_add(&sb, " to project \"");
		sbuf_add_visible(&sb, link->project_name);
		sbuf_addf(&sb, "\" on %s as device \"", link->url);
		sbuf_add_visible(&sb, link->device_name);
		sbuf_addf(&sb, "\"%s.\n", writer ? "" : " (reader: nothing is sent from here)");
		sbuf_add(&sb, "Next: dray sync ");
		sbuf_add_visible(&sb, dir);
		sbuf_addc(&sb, '\n');
	}
	cli_print(&sb);
}

static err_code
link_folder(const struct command_line *line, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(1 * MIB);
	const char *dir = line->arg_count > 1 ? line->args[1] : ".";
	char typed[TOKEN_LEN + 64], url[1024];
	struct state_link link = { .url = url };
	struct remote_self self;
	const char *token;
	err_code rc;

	rc = project_parse(command_value(line, 'p'), &link.project, err);
	if (rc == ERR_OK)
		rc = url_clean(line->args[0], url, sizeof url, err);
	if (rc == ERR_OK)
		rc = token_find(line, typed, sizeof typed, &token, err);
	if (rc)
		return rc;
	rc = who_am_i(url, token, &link.project, a, &self, err);
	if (rc)
		return rc;
	link.device = self.device;
	link.device_name = self.device_name;
	link.project_name = self.project_name;
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return err_errno(err, "%s", dir);
	rc = folder_create(dir, &link, token, err);
	if (rc == ERR_OK)
		show(line, dir, &link, self.writer);
	return rc;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, link_folder);
}

const struct command COMMAND_LINK = {
	.name = "link",
	.args = "URL [DIR]",
	.summary = "Connect a folder (default: this one) with a project on a server",
	.options = "ptjq",
	.args_min = 1,
	.args_max = 2,
	.run = run,
	.help = "Nothing is sent or fetched yet; dray sync does that.  When both sides have files, the\n"
	        "first sync unites them.  The link lives in DIR/.dray, which is never synced.\n\n"
	        "Example:\n"
	        "  DRAY_TOKEN=dray_... dray link http://127.0.0.1:8080 --project 0190... ~/film\n",
};
