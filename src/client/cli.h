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

extern const struct command COMMAND_LINK, COMMAND_SYNC, COMMAND_STATUS, COMMAND_UNLINK, COMMAND_LS, COMMAND_GET, COMMAND_PUT, COMMAND_LOG,
    COMMAND_RESTORE, COMMAND_CONFLICTS, COMMAND_WATCH, COMMAND_PAUSE, COMMAND_RESUME, COMMAND_INSTALL_SERVICE, COMMAND_DEVICES, COMMAND_SELECT,
    COMMAND_FSCK;

/** cli_run(line, fn): the exit status of a command that either does what it is asked or fails: EXIT_IN_SYNC, or the error has been shown. */
int cli_run(const struct command_line *line, err_code (*fn)(const struct command_line *line, struct err *err));

/** cli_print(sb): write to standard output and release; a closed pipe ends the output, not the program. */
void cli_print(struct sbuf *sb);

/** cli_cancel(): becomes true on the first SIGINT or SIGTERM; the second kills. */
bool *cli_cancel(void);

/** cli_parallel, cli_timeout, cli_rate(line, out, err): the options that several commands take; 0 when not given.  USAGE. */
err_code cli_parallel(const struct command_line *line, unsigned *out, struct err *err);
err_code cli_timeout(const struct command_line *line, int64_t *retry_ms, struct err *err);
err_code cli_rate(const struct command_line *line, uint64_t *bytes_per_s, struct err *err);

/** rate_parse(s, out): "500K", "1.5M", "10MiB", "2g", bytes; false when it is none, or too little for a server to wait for. */
bool rate_parse(const char *s, uint64_t *out);

/** cli_main(argc, argv): the program. */
int cli_main(int argc, char **argv);
