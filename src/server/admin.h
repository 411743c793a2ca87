#pragma once
/**
 * One request to the server of a data directory, as its owner: to the one that runs, or else to one that is started for this request
 * on a loopback port.  So every command goes through the same API, and the database has one writer.
 */

#include "base/arena.h"
#include "server/data.h"

struct admin_answer {
	int status;
	const uint8_t *body; /* in the arena */
	size_t len;
};

/**
 * admin_call(data_dir, begin, db_url, method, path, body, a, out, err): ${body} is JSON or NULL; ${begin}: a data directory that is not there,
 * or where no server has ever been, becomes one; ${db_url} as in struct service_opts, for when nobody serves.
 * Errors     NOT_FOUND: there is no such data directory; a problem answered by the server is an error here, with its code; NETWORK; BUSY.
 */
err_code admin_call(const char *data_dir, bool begin, const char *db_url, const char *method, const char *path, const char *body,
    struct arena *a, struct admin_answer *out, struct err *err);
