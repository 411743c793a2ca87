#pragma once
/**
 * Names and paths as dray stores them: the rules that server and client must share to the letter, since a name that one side takes
 * and the other refuses could never be in sync.
 */

#include "base/err.h"

/**
 * path_check(p, len, err): is this a path that dray stores?  Relative, '/'-separated, UTF-8, no empty, "." or ".." component, no
 * NUL, ≤ 255 bytes a component, ≤ 4,096 in all, ≤ 256 deep, no component ".dray".
 * Errors     PATH_INVALID (reasons empty_component, dot, traversal, absolute, trailing_slash, nul), NAME_TOO_LONG, PATH_TOO_LONG,
 *            NAME_NOT_UTF8, NAME_RESERVED.
 */
err_code path_check(const char *p, size_t len, struct err *err);

/** name_check(p, len, err): the same for one component; a '/' in it is PATH_INVALID, reason separator. */
err_code name_check(const char *p, size_t len, struct err *err);

/** path_split(path, dir_len): the last component of ${path}; *dir_len the length of what is before its '/', 0 at the top. */
const char *path_split(const char *path, size_t *dir_len);

/** path_within(path, dir): whether ${path} is ${dir}, which is not "", or lies somewhere in it. */
bool path_within(const char *path, const char *dir);

/** path_unportable(p): whether some device could not hold the name as it is (Windows characters and names, trailing space or dot,
 * controls, bidi and zero-width characters). */
bool path_unportable(const char *p);
