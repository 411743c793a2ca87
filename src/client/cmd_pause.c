/*
 * Words to the agent of a folder: pause and resume.
 */
#include "base/limits.h"
#include "client/cli.h"
#include "client/folder.h"
#include "client/watch/control.h"

static err_code
tell(const struct command_line *line, const char *word, const char *done, struct err *err)
{
	AUTO(freep) char *path = NULL;
	struct sbuf answer = SBUF(CONTROL_ANSWER_MAX), text = SBUF(64 * KIB);
	err_code rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);

	if (rc == ERR_OK)
		rc = control_ask(path, word, &answer, err);
	if (rc) {
		sbuf_fini(&answer);
		return rc;
	}
	if (command_has(line, 'j')) {
		sbuf_addc(&answer, '\n');
		cli_print(&answer);
		return ERR_OK;
	}
	sbuf_fini(&answer);
	if (!command_has(line, 'q')) {
		sbuf_addf(&text, "%s ", done);
		sbuf_add_visible(&text, path);
		sbuf_add(&text, ".\n");
	}
	cli_print(&text);
	return ERR_OK;
}

static int
run_pause(const struct command_line *line)
{
	struct err err = { 0 };

	return tell(line, "pause", "Paused", &err) ? command_fail(line, &err) : EXIT_IN_SYNC;
}

static int
run_resume(const struct command_line *line)
{
	struct err err = { 0 };

	return tell(line, "resume", "Resumed", &err) ? command_fail(line, &err) : EXIT_IN_SYNC;
}

const struct command COMMAND_PAUSE = {
	.name = "pause",
	.args = "[DIR]",
	.summary = "Have the folder's dray watch do nothing until it is resumed",
	.options = "jq",
	.args_min = 0,
	.args_max = 1,
	.run = run_pause,
	.help = "What is being transferred is stopped, and goes on from there when resumed.  The pause outlives\n"
	        "the agent.  dray sync syncs all the same.  With --json the agent's status is printed.\n",
};

const struct command COMMAND_RESUME = {
	.name = "resume",
	.args = "[DIR]",
	.summary = "Have the folder's dray watch go on",
	.options = "jq",
	.args_min = 0,
	.args_max = 1,
	.run = run_resume,
	.help = "With --json the agent's status is printed.\n",
};
