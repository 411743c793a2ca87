#include "client/model/conflict_name.h"

#include <assert.h>

#include "base/clock.h"
#include "base/path.h"
#include "base/utf8.h"

#define MARK " (conflict "

/* With these the suffix takes at most 11 + 60 + 1 + 19 + 11 + 1 bytes, so half of a name is always left for the stem. */
#define DEVICE_MAX 60
#define EXT_MAX 32
#define SUFFIX_MAX 128

/* How much of the stem is the name proper, without the suffix of an earlier conflict. */
static size_t
stem_len(const char *stem, size_t len)
{
	const size_t mark = sizeof MARK - 1;

	if (len <= mark || stem[len - 1] != ')')
		return len;
	for (size_t at = len - mark; at > 0; at--) {
		if (memcmp(stem + at, MARK, mark) == 0)
			return at;
	}
	return len;
}

/* The extension with its dot; empty for "name", ".name", for what is too long to be one, and for the time in an earlier suffix. */
static const char *
extension(const char *name)
{
	const char *dot = strrchr(name, '.');
	size_t len = strlen(name);

	if (!dot || dot == name || strlen(dot) > EXT_MAX || stem_len(name, len) < len)
		return name + len;
	return dot;
}

/* A device may be called "a/b"; a name may not. */
static void
device_text(const char *device, char out[static DEVICE_MAX + 1])
{
	size_t len = utf8_cut(device, strlen(device), DEVICE_MAX);

	for (size_t i = 0; i < len; i++)
		out[i] = device[i] == '/' || (unsigned char)device[i] < 0x20 ? '-' : device[i];
	out[len] = '\0';
}

/* "2026-11-22 14.00.00": colons would make the name one that Windows cannot hold. */
static void
time_text(int64_t time_us, char out[static RFC3339_MAX])
{
	rfc3339_us(time_us, out);
	out[10] = ' ';
	out[13] = out[16] = '.';
	out[19] = '\0';
}

char *
conflict_name(const char *path, const char *device, int64_t time_us, unsigned attempt, char *out)
{
	char suffix[SUFFIX_MAX], who[DEVICE_MAX + 1], when[RFC3339_MAX];
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	const char *ext = extension(name);
	size_t stem = stem_len(name, (size_t)(ext - name));
	size_t prefix = (size_t)(name - path); /* with its '/' */
	size_t fixed, max = NAME_LEN_MAX;
	int n;

	assert(prefix + strlen(name) <= PATH_LEN_MAX);
	device_text(device, who);
	time_text(time_us, when);
	n = attempt ? snprintf(suffix, sizeof suffix, MARK "%s %s %u)", who, when, attempt) :
	              snprintf(suffix, sizeof suffix, MARK "%s %s)", who, when);
	assert(n > 0 && (size_t)n < sizeof suffix);

	fixed = (size_t)n + strlen(ext);
	if (PATH_LEN_MAX - prefix > fixed) /* else the directory alone is too long for any such name to be synced */
		max = MIN(max, PATH_LEN_MAX - prefix);
	stem = utf8_cut(name, stem, MIN(stem, max - fixed));
	snprintf(out, CONFLICT_NAME_MAX, "%.*s%.*s%s%s", (int)prefix, path, (int)stem, name, suffix, ext);
	return out;
}

bool
conflict_name_is(const char *path)
{
	size_t dir_len;

	return strstr(path_split(path, &dir_len), MARK) != NULL;
}
