#include <signal.h>

#include "client/cli.h"

static bool cancelled;

bool *
cli_cancel(void)
{
	return &cancelled;
}

void
cli_print(struct sbuf *sb)
{
	fwrite(sbuf_str(sb), 1, sb->len, stdout);
	fflush(stdout);
	sbuf_fini(sb);
}

static void
on_signal(int sig)
{
	cancelled = true;
	signal(sig, SIG_DFL); /* a second one kills */
}

static const struct command *const COMMANDS[] = { &COMMAND_LINK, &COMMAND_SYNC, &COMMAND_STATUS, &COMMAND_UNLINK, NULL };

static const struct command_option OPTIONS[] = {
	{ 'p', "project", "ID", "the project, as drayd project create prints it" },
	{ 't', "token", "TOKEN", "this device's token; better in DRAY_TOKEN or typed when asked" },
	{ 'n', "dry-run", NULL, "show what would be done, change nothing" },
	{ 'P', "parallel", "N", "requests at once, 1 to 32 (default 8)" },
	{ 'T', "timeout", "S", "seconds to keep trying a server that does not answer (default 30)" },
	{ 'D', "allow-mass-delete", NULL, "delete also more than 100 entries and a quarter of the tree" },
	{ 'j', "json", NULL, "print the result as one JSON object" },
	{ 'q', "quiet", NULL, "print errors only" },
	{ 'v', "verbose", NULL, "list every entry" },
	{ 0 },
};

static const struct program DRAY = {
	.name = "dray",
	.summary = "Keep a folder the same as a project on a dray server.",
	.outro = "Exit status: 0 in sync, 1 error, 2 wrong usage, 3 finished but conflicts or\n"
	         "unsynced entries remain.\n",
	.commands = COMMANDS,
	.options = OPTIONS,
};

int
cli_main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	return command_main(&DRAY, argc, argv);
}
