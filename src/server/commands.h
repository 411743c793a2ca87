#pragma once
/** The commands of drayd, and what they share. */

#include "base/command.h"
#include "base/err.h"

#define DATA_DEFAULT "./data"
#define LISTEN_DEFAULT "127.0.0.1:8080"

extern const struct command COMMAND_SERVE, COMMAND_PROJECT_CREATE, COMMAND_PROJECT_LIST, COMMAND_DEVICE_ADD, COMMAND_DEVICE_LIST,
    COMMAND_DEVICE_REVOKE;

/** command_fail(line, err): show an error and its hint.  1, or COMMAND_USAGE for USAGE. */
int command_fail(const struct command_line *line, const struct err *err);
