#pragma once
/** dray status --follow: what happens in a project, on a screen that is redrawn in place, or line by line. */

#include "base/err.h"

/**
 * follow_run(path, json, err): of the linked folder at ${path}, until it is interrupted: then ERR_OK.  Takes no lock.
 * Errors     NOT_LINKED, TOKEN_*, NOT_FOUND, …: what no waiting helps against; IO: nobody reads the output any more.
 */
err_code follow_run(const char *path, bool json, struct err *err);
