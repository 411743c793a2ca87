#pragma once
/**
 * The cursor of a view that is not in clock order: a place, and a sum over it and over ${scope}, the hash of what it is a place in.  So
 * what was cut short or changed, or is of another listing, is told from a cursor; nothing is kept secret by it.
 */

#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"
#include "server/domain/view.h"

#define PLACE_TEXT_MAX PATH_LEN_MAX
#define PLACE_LEN_MAX (8 + 1 + 8 + PLACE_TEXT_MAX)
#define PLACE_CODED_MAX ((PLACE_LEN_MAX * 4 + 2) / 3)

/** place_write(p, scope, out): the cursor's text.  p->text has at most PLACE_TEXT_MAX bytes.  Returns ${out}. */
char *place_write(const struct view_place *p, const struct hash *scope, char out[static PLACE_CODED_MAX + 1]);

/** place_read(s, len, scope, a, out, err): CURSOR_INVALID unless place_write made it for that scope.  Whether the text is a name, or a path, is the caller's. */
err_code place_read(const char *s, size_t len, const struct hash *scope, struct arena *a, struct view_place *out, struct err *err);
