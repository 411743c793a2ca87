/*
 * Ignore rules: the first line is a name, the rest is a file of rules.  Whatever they are, the answer comes soon, a name in an ignored directory is
 * ignored, rules that speak of nothing change nothing, and a line that ignores all, or nothing, has the last word.
 */
#include <assert.h>
#include <string.h>

#include "base/path.h"
#include "client/ignore/ignore.h"
#include "fuzz.h"

static void
check_beneath(const struct ignore *ig, const char *path, bool ignored)
{
	char above[PATH_LEN_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(above, path, (size_t)(slash - path));
		above[slash - path] = '\0';
		if (ignore_path(ig, above, true)) {
			assert(ignored);
			return;
		}
		assert(!ignore_name(ig, above, true));
	}
	assert(ignored == ignore_name(ig, path, false));
}

/* The same rules with one more line, which is the last. */
static void
check_last_word(const char *rules, size_t len, const char *path, bool ignored)
{
	static const struct {
		const char *line;
		bool ignores, changes;
	} ends[] = { { "\n*\n", true, true }, { "\n/*\n", true, true }, { "\n# x\n\n", false, false }, { "\n[\n", false, false } };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO(ignore_freep) struct ignore *ig = ignore_new();
		size_t end_len = strlen(ends[i].line);
		AUTO(freep) char *text = xmalloc(len + end_len);

		memcpy(text, rules, len);
		memcpy(text + len, ends[i].line, end_len);
		if (!ignore_put(ig, "", text, len + end_len))
			assert(ignore_path(ig, path, false) == (ends[i].changes ? ends[i].ignores : ignored));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO(ignore_freep) struct ignore *ig = ignore_new();
	const uint8_t *newline = len ? memchr(data, '\n', len) : NULL;
	size_t path_len = newline ? (size_t)(newline - data) : len;
	const char *rules = (const char *)data + path_len + (newline != NULL);
	char path[PATH_LEN_MAX + 1];
	bool ignored;

	if (path_check((const char *)data, path_len, NULL))
		return 0;
	memcpy(path, data, path_len);
	path[path_len] = '\0';
	len -= path_len + (newline != NULL);
	if (ignore_put(ig, "", rules, len))
		return 0;
	ignored = ignore_path(ig, path, false);
	check_beneath(ig, path, ignored);
	check_last_word(rules, len, path, ignored);
	return 0;
}
