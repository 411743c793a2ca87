#pragma once
/** Showing plans and what remains, for people and as JSON. */

#include "base/jw.h"
#include "client/sync.h"

/** plan_show(sb, plan, max, later): a line an operation, at most ${max}, then how many more, with ${later} that are not in the plan yet. */
void plan_show(struct sbuf *sb, const struct plan *plan, size_t max, uint64_t later);
void plan_json(struct jw *jw, const struct plan *plan);

/** problems_show(sb, problems, n, max): a line each: path and why. */
void problems_show(struct sbuf *sb, const struct problem *problems, size_t n, size_t max);
void problems_json(struct jw *jw, const struct problem *problems, size_t n);

/** names_show, names_json: a list of paths, the same way. */
void names_show(struct sbuf *sb, const char *const *names, size_t n, size_t max);
void names_json(struct jw *jw, const char *const *names, size_t n);

/** jw_path(jw, key, path): a path as a JSON string, of an array with NULL; bytes that are not UTF-8 are shown escaped. */
void jw_path(struct jw *jw, const char *key, const char *path);
