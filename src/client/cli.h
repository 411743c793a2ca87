#pragma once
/**
 * The command line of dray: commands, options, exit codes, and how results and errors are shown.
 */

#include "base/err.h"
#include "base/sbuf.h"

/* Exit codes; dray(1) lists them. */
enum exit_code {
	EXIT_IN_SYNC = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_REMAINS = 3, /* finished, but conflicts or unsynced entries remain */
};

/** Options; each command names those that it takes.  Absent: NULL, 0, false. */
struct cli {
	const char *command;
	const char *project, *token; /* --project, --token */
	bool json, quiet, verbose, dry_run, allow_mass_delete;
	unsigned parallel;
	char **args;                 /* what is no option */
	int arg_count;
};

struct command {
	const char *name;
	const char *args;    /* for the usage line: "[DIR]" */
	const char *summary; /* one line */
	const char *options; /* letters of option_table that it takes */
	const char *help;    /* paragraphs after the options */
	int args_min, args_max;
	enum exit_code (*run)(const struct cli *cli);
};

extern const struct command COMMAND_LINK, COMMAND_SYNC, COMMAND_STATUS, COMMAND_UNLINK;

/** cli_main(argc, argv): parse and run. */
enum exit_code cli_main(int argc, char **argv);

/** cli_fail(cli, err): show an error where it stops travelling, and what to do about it.  Returns EXIT_ERROR (EXIT_USAGE for USAGE). */
enum exit_code cli_fail(const struct cli *cli, const struct err *err);

/** cli_print(sb): write to standard output and release; a closed pipe ends the output, not the program. */
void cli_print(struct sbuf *sb);

/** cli_escape(sb, path): a path for people: control characters and invalid UTF-8 shown as escapes, never sent to the terminal. */
void cli_escape(struct sbuf *sb, const char *path);

/** cli_cancel(): becomes true on the first SIGINT or SIGTERM; the second kills. */
bool *cli_cancel(void);
