#pragma once
/**
 * What the commands of dray share: exit codes, output, and being interrupted.
 */

#include "base/command.h"
#include "base/err.h"
#include "base/sbuf.h"

/* Exit codes; dray(1) lists them. */
enum exit_code {
	EXIT_IN_SYNC = 0,
	EXIT_ERROR = COMMAND_ERROR,
	EXIT_USAGE = COMMAND_USAGE,
	EXIT_REMAINS = 3, /* finished, but conflicts or unsynced entries remain */
};

extern const struct command COMMAND_LINK, COMMAND_SYNC, COMMAND_STATUS, COMMAND_UNLINK;

/** cli_print(sb): write to standard output and release; a closed pipe ends the output, not the program. */
void cli_print(struct sbuf *sb);

/** cli_cancel(): becomes true on the first SIGINT or SIGTERM; the second kills. */
bool *cli_cancel(void);

/** cli_main(argc, argv): the program. */
int cli_main(int argc, char **argv);
