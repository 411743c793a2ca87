#pragma once
/**
 * Whether what is here is the server's already: a version that this device sent, or was given, and died before it could note that.  Meanwhile
 * others have gone on from it, and it would be taken for an edit beside theirs.
 */

#include "client/diff/diff.h"
#include "client/layout.h"

struct origin_env {
	struct layout_env layout; /* remote is not NULL */
	struct arena *a;          /* owns what is found */
};

/**
 * origin_find(env, item, here, out, found): the newest version newer than what was agreed on that had the bytes or the target of ${here}, which is
 * item->local with its content known, at this path.  Then *out is it, as a base of ${here}.  Looks at ORIGIN_VERSIONS_MAX.
 * Errors     those of the line, CANCELLED.
 */
err_code origin_find(const struct origin_env *env, const struct diff_item *item, const struct entry *here, struct entry *out,
    bool *found, struct err *err);
