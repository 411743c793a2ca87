#include "base/jw.h"
#include "client/cli.h"
#include "client/turn.h"

static err_code
unlink_folder(const struct command_line *line, struct err *err)
{
	AUTO(freep) char *path = NULL;
	AUTO(folder_freep) struct folder *f = NULL;
	bool trash_kept;
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	err_code rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);

	if (rc)
		return rc;
	/*
	 * Opening takes the lock, so a running sync is not pulled the ground from under, and an agent's pass is waited for; held until all is gone, no pass begins
	 * in what is half removed.  A damaged link can be forgotten too.
	 */
	rc = turn_open(path, 0, cli_cancel(), &f, err);
	if (rc == ERR_ROOT_IN_USE || rc == ERR_CANCELLED)
		return rc;
	rc = folder_remove(path, &trash_kept, err);
	if (rc)
		return rc;
	if (command_has(line, 'j')) {
		jw_object(&jw);
		jw_kstr(&jw, "folder", path);
		jw_kbool(&jw, "trash_kept", trash_kept);
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	} else if (!command_has(line, 'q')) {
		sbuf_add(&sb, "Unlinked ");
		sbuf_add_visible(&sb, path);
		sbuf_add(&sb, "; its files stay as they are.\n");
		if (trash_kept)
			sbuf_add(&sb, "What syncs replaced or deleted here is still in .dray/trash.\n");
		sbuf_add(&sb, "The device's token stays valid until it is revoked on the server.\n");
	}
	cli_print(&sb);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, unlink_folder);
}

const struct command COMMAND_UNLINK = {
	.name = "unlink",
	.args = "[DIR]",
	.summary = "Forget the link of a folder; its files stay",
	.options = "jq",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "The server keeps the project and the device; drayd device revoke ends its token.\n",
};
