#pragma once
/** The versions of a file, and what happened from one to the next. */

#include "client/session.h"

struct history {
	struct wire_version *versions; /* the newest first */
	size_t n;
	bool pruned;                   /* the oldest that is kept is not the first there was */
};

/** history_find(s, path, out, err): what is at ${path}, or what was deleted there last. */
err_code history_find(struct session *s, const char *path, struct wire_file *out, struct err *err);

/** history_read(s, f, out, err): all kept versions, in the session's memory. */
err_code history_read(struct session *s, const struct wire_file *f, struct history *out, struct err *err);

/** history_what(h, i): what made version ${i} of the one before: "created", "edited", "renamed", "deleted", "restored", "mode". */
const char *history_what(const struct history *h, size_t i);

/** history_renamed(h, i): whether it was somewhere else before. */
bool history_renamed(const struct history *h, size_t i);

/**
 * history_choose(h, version, at_us, out, err): what to bring back: version ${version}; or the one of time ${at_us}; or, with both 0, the
 * newest that is not what is there now: other content if there was any, else other mode and time.
 */
err_code history_choose(const struct history *h, int64_t version, int64_t at_us, const struct wire_version **out, struct err *err);
