/*
 * A request's target and its range and entity tags: the first line is the target, the second a Range or a list of tags.  Whatever it
 * is, parts lie inside of it, and a path that is accepted holds nothing that a proxy could read another way.
 */
#include <assert.h>

#include "fuzz.h"
#include "server/route/range.h"
#include "server/route/target.h"

#define SIZE 1000

static void
check_target(char *line, struct arena *a)
{
	static const char *const patterns[] = { "/projects", "/projects/:project/files/:file", "/projects/:project/content/*path" };
	char *query = strchr(line, '?');
	size_t len = strlen(line);
	struct target t;

	if (query)
		*query++ = 0;
	if (target_parse(line, query ? query : "", a, &t, NULL))
		return;
	assert(line[0] == '/' && !strstr(line, "//") && !strchr(line, ';') && !strstr(line, "/../") && !strstr(line, "/./"));
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		if (!target_match(&t, patterns[i]))
			continue;
		for (unsigned k = 0; k < t.param_count; k++)
			assert(t.params[k].len <= len && t.params[k].s[t.params[k].len] == 0);
	}
}

static void
check_fields(const char *value)
{
	uint64_t first, last;
	int64_t version;
	bool match;

	if (range_parse(value, SIZE, &first, &last) == RANGE_PART)
		assert(first <= last && last < SIZE);
	assert(range_parse(value, 0, &first, &last) != RANGE_PART);
	(void)!etag_list_match(value, "\"x\"", true, &match, NULL);
	if (etag_version(value, &version, NULL) == ERR_OK)
		assert(version >= -1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	char *text, *second;

	if (len > HTTP_URI_MAX) /* http/ refuses more */
		return 0;
	text = arena_strndup(a, (const char *)data, len);
	second = strchr(text, '\n');
	if (second)
		*second++ = 0;
	check_target(text, a);
	check_fields(second ? second : "");
	return 0;
}
