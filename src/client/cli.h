#pragma once
/**
 * What the commands of dray share: exit codes, and how errors and paths are shown.
 */

#include "base/command.h"
#include "base/err.h"
#include "base/sbuf.h"

/* Exit codes; dray(1) lists them. */
enum exit_code {
	EXIT_IN_SYNC = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = COMMAND_USAGE,
	EXIT_REMAINS = 3, /* finished, but conflicts or unsynced entries remain */
};

extern const struct command COMMAND_LINK, COMMAND_SYNC, COMMAND_STATUS, COMMAND_UNLINK;

/** cli_fail(line, err): show an error where it stops travelling, and what to do about it.  EXIT_ERROR; EXIT_USAGE for USAGE. */
int cli_fail(const struct command_line *line, const struct err *err);

/** cli_print(sb): write to standard output and release; a closed pipe ends the output, not the program. */
void cli_print(struct sbuf *sb);

/** cli_escape(sb, path): a path for people: control characters and invalid UTF-8 shown as escapes, never sent to the terminal. */
void cli_escape(struct sbuf *sb, const char *path);

/** cli_cancel(): becomes true on the first SIGINT or SIGTERM; the second kills. */
bool *cli_cancel(void);

/** cli_main(argc, argv): the program. */
int cli_main(int argc, char **argv);
