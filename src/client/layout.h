#pragma once
/**
 * One content may be cut in several ways (DESIGN 2.2), and each has a content hash of its own.  Before the bytes here are called different
 * from what was agreed or what the server has, they are cut by the other's lengths.
 */

#include "client/model/entry.h"
#include "client/remote/remote.h"
#include "client/state/state.h"

/** Where the other's list of blocks is looked for: in the state, then, unless NULL, with the server. */
struct layout_env {
	int root;
	struct state *state;
	struct remote *remote;
	const bool *cancel; /* may be NULL */
};

/**
 * layout_same(env, here, other, same): whether the file that ${here} tells of has the bytes of ${other}, which has its size and another content
 * hash.  False also where the file has changed since, or cannot be read, and where nobody can be asked.
 * Errors     VERSION_CONFLICT: the server does not have that version of ${other} any more; CANCELLED; those of the state and of the line: an
 *            answer that did not come says nothing about the file.
 */
err_code layout_same(
    const struct layout_env *env, const struct entry *here, const struct entry *other, bool *same, struct err *err);

/** layout_known(env, other): whether the state has the whole list of ${other}; else only the server can say how its bytes were cut. */
bool layout_known(const struct layout_env *env, const struct entry *other);
