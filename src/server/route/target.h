#pragma once
/**
 * A request's target taken apart: path segments and query parameters, each percent-escape decoded exactly once.  Nothing is
 * normalised: what could be read in two ways is refused, so a proxy in front and we always mean the same resource.
 */

#include "base/arena.h"
#include "base/limits.h"

#define TARGET_PARAMS_MAX 4
#define TARGET_QUERY_MAX 16

struct target_text {
	const char *name; /* of the parameter */
	const char *s;    /* NUL-terminated; may hold NUL bytes of its own, so mind the length */
	size_t len;
	bool used;        /* a query parameter that somebody asked for */
};

struct target {
	const char *path; /* as sent */
	struct target_text params[TARGET_PARAMS_MAX]; /* of the pattern, in order */
	unsigned param_count;
	struct target_text query[TARGET_QUERY_MAX];
	unsigned query_count;
	struct arena *a;
};

/**
 * target_parse(path, query, a, out, err): ${path} and ${query} as they came.
 * Errors     URL_INVALID: an escape that is none, a raw ';', "//", "/./" or "/../" in the path, an empty or nameless query parameter,
 *            more than TARGET_QUERY_MAX; TOKEN_IN_URL; FIELD_RANGE: a query parameter is given twice.
 */
err_code target_parse(const char *path, const char *query, struct arena *a, struct target *out, struct err *err);

/**
 * target_match(t, pattern): whether the path is one of ${pattern}'s; fills t->params.  In a pattern ":name" takes one segment that
 * is not empty, "*name" the rest of the path.
 */
bool target_match(struct target *t, const char *pattern);

/** target_param(t, name): a parameter of the pattern that has matched; asserted to be there. */
const struct target_text *target_param(const struct target *t, const char *name);

/** target_query(t, name): a query parameter, or NULL; marked as used. */
const struct target_text *target_query(struct target *t, const char *name);
