#include <signal.h>
#include <unistd.h>

#include "client/cli.h"

static bool cancelled;

bool *
cli_cancel(void)
{
	return &cancelled;
}

int
cli_run(const struct command_line *line, err_code (*fn)(const struct command_line *line, struct err *err))
{
	struct err err = { 0 };

	return fn(line, &err) ? command_fail(line, &err) : EXIT_IN_SYNC;
}

void
cli_print(struct sbuf *sb)
{
	fwrite(sbuf_str(sb), 1, sb->len, stdout);
	fflush(stdout);
	sbuf_fini(sb);
}

static volatile sig_atomic_t caught;

static void
on_signal(int sig)
{
	cancelled = true;
	caught = sig;
	signal(sig, SIG_DFL); /* a second one kills */
}

/*
 * Who was interrupted ends by that signal, after all is tidy: only so does a shell know to leave the loop or script that dray was
 * called in.  What had ended well before the signal could stop it ended well.
 */
static int
end(int code)
{
	if (caught && code == EXIT_ERROR) {
		fflush(NULL);
		signal(caught, SIG_DFL);
		raise(caught);
	}
	return code;
}

static const struct command *const COMMANDS[] = { &COMMAND_LINK, &COMMAND_SYNC, &COMMAND_STATUS, &COMMAND_SELECT, &COMMAND_WATCH, &COMMAND_PAUSE,
	&COMMAND_RESUME, &COMMAND_INSTALL_SERVICE, &COMMAND_LOG, &COMMAND_RESTORE, &COMMAND_CONFLICTS, &COMMAND_LS, &COMMAND_GET, &COMMAND_PUT, &COMMAND_DEVICES,
	&COMMAND_FSCK, &COMMAND_UNLINK, NULL };

static const struct command_option OPTIONS[] = {
	{ 'u', "url", "URL", "the server, where no linked folder says it" },
	{ 'p', "project", "ID", "the project, as drayd project create prints it" },
	{ 't', "token", "TOKEN", "this device's token; better in DRAY_TOKEN or typed when asked" },
	{ 'n', "dry-run", NULL, "show what would be done, change nothing" },
	{ 'P', "parallel", "N", "requests at once, 1 to 16 (default 8)" },
	{ 'T', "timeout", "S", "seconds to keep trying a server that does not answer (default 30)" },
	{ 'L', "limit-rate", "RATE", "bytes a second in each direction: 500K, 1.5M, 1G" },
	{ 'r', "version", "N", "the version to bring back, as dray log prints it" },
	{ 'a', "at", "TIME", "the version of that time: 2026-11-22T14:00:00Z" },
	{ 'k', "keep", "WHAT", "what stays of a conflict: current, copy, both or merged" },
	{ 'A', "all", NULL, "all of it; of conflicts, also what is resolved" },
	{ 'O', "only", NULL, "keep PATH here, and of the rest nothing" },
	{ 'd', "add", NULL, "keep PATH here as well" },
	{ 'm', "remove", NULL, "do not keep PATH here any more" },
	{ 'l', "long", NULL, "with mode, size and time" },
	{ 's', "sort", "KEY", "directories first, then files by name, size, time or changed" },
	{ 'b', "reverse", NULL, "sort the other way round" },
	{ 'S', "search", "TEXT", "names that hold TEXT, anywhere beneath; case does not matter" },
	{ 'R', "recursive", NULL, "with all that lies beneath" },
	{ 'f', "force", NULL, "replace files that exist" },
	{ 'D', "allow-mass-delete", NULL, "delete also more than 100 entries and a quarter of the tree" },
	{ 'j', "json", NULL, "print the result as one JSON object" },
	{ 'q', "quiet", NULL, "print errors only" },
	{ 'i', "ignored", NULL, "list what is ignored" },
	{ 'v', "verbose", NULL, "list every entry" },
	{ 'o', "print", NULL, "print it, and write nothing" },
	{ 'F', "follow", NULL, "go on telling what happens, until it is interrupted" },
	{ 'w', "online", NULL, "compare with the server too" },
	{ 'c', "verify", NULL, "read every file, also those that nothing has touched" },
	{ 0 },
};

static const struct program DRAY = {
	.name = "dray",
	.summary = "Keep a folder the same as a project on a dray server.",
	.outro = "Exit status: 0 in sync or done, 1 error, 2 wrong usage, 3 finished but conflicts or\n"
	         "unsynced entries remain; interrupted, it ends by the signal (130 in a shell).\n",
	.commands = COMMANDS,
	.options = OPTIONS,
};

int
cli_main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	return end(command_main(&DRAY, argc, argv));
}
