/*
 * routes.def as data.  A handler is reachable only through its row, and a row has an access level, so none can be forgotten.
 */
#include "server/route/route_internal.h"

#define RUN_NONE(h) .run = h
#define RUN_JSON(h) .run = h
#define RUN_BATCH(h) .run = h
#define RUN_BLOCKS(h) .run = h
#define RUN_STREAM(h) .stream = &h

static const struct row rows[] = {
#define ROUTE(method_, path_, who_, body_, handler_) \
	{ .method = #method_, .path = path_, .need = ACCESS_##who_, .body = BODY_##body_, RUN_##body_(route_##handler_) },
#include "wire/routes.def"
#undef ROUTE
};

static void
allow_add(char allow[static ALLOW_MAX], const char *method)
{
	size_t len = strlen(allow);

	snprintf(allow + len, ALLOW_MAX - len, "%s%s", len ? ", " : "", method);
}

const struct row *
table_find(const char *method, struct target *t, char allow[static ALLOW_MAX])
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method; /* http/ leaves the body out */
	const char *path = NULL;

	allow[0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* The first pattern that fits is the resource: "files/changes" stands before "files/:file". */
		if (path ? strcmp(path, rows[i].path) != 0 : !target_match(t, rows[i].path))
			continue;
		path = rows[i].path;
		if (strcmp(rows[i].method, wanted) == 0)
			return &rows[i];
		allow_add(allow, rows[i].method);
		if (strcmp(rows[i].method, "GET") == 0)
			allow_add(allow, "HEAD");
	}
	return NULL;
}
