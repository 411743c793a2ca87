#pragma once
/** The commands of drayd, and what they share. */

#include "base/command.h"
#include "base/err.h"

#define DATA_DEFAULT "./data"
#define LISTEN_DEFAULT "127.0.0.1:8080"

/** The exit status of a check that has done its work and found something. */
#define COMMAND_FINDINGS 3

/** The data directory that a command is about. */
static inline const char *
command_data(const struct command_line *line)
{
	return command_has(line, 'd') ? command_value(line, 'd') : DATA_DEFAULT;
}

extern const struct command COMMAND_SERVE, COMMAND_PROJECT_CREATE, COMMAND_PROJECT_LIST, COMMAND_PROJECT_SET, COMMAND_PROJECT_SHOW,
    COMMAND_DEVICE_ADD, COMMAND_DEVICE_LIST, COMMAND_DEVICE_REVOKE, COMMAND_GC,
    COMMAND_BACKUP, COMMAND_RESTORE, COMMAND_FSCK;
