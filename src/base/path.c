/*
 * Paths as dray stores them.  A path is refused, never repaired: two spellings of one path would split a file's history, and
 * a repaired name is not the user's.
 *
 * Names that some device cannot hold are accepted all the same, since refusing a legal Linux name means that the file is not
 * backed up; path_unportable() only marks them.
 */
#include "base/path.h"

#include <strings.h>

#include "base/limits.h"
#include "base/utf8.h"

/* ---- what is refused ------------------------------------------------------------------------------------------------ */

static err_code
empty_component(size_t len, size_t at, struct err *err)
{
	if (at == 0 && len > 0)
		return err_reason(err, ERR_PATH_INVALID, "absolute", "the path starts with '/'");
	if (at == len && len > 0)
		return err_reason(err, ERR_PATH_INVALID, "trailing_slash", "the path ends with '/'");
	return err_reason(err, ERR_PATH_INVALID, "empty_component", "the path has an empty component");
}

static err_code
component_check(const char *s, size_t len, struct err *err)
{
	if (len == 1 && s[0] == '.')
		return err_reason(err, ERR_PATH_INVALID, "dot", "the path has a component \".\"");
	if (len == 2 && s[0] == '.' && s[1] == '.')
		return err_reason(err, ERR_PATH_INVALID, "traversal", "the path has a component \"..\"");
	if (len > NAME_LEN_MAX)
		return err_set(err, ERR_NAME_TOO_LONG, "a component has %zu bytes; %d are the most", len, NAME_LEN_MAX);
	if (len == 5 && memcmp(s, ".dray", 5) == 0)
		return err_set(err, ERR_NAME_RESERVED, "the path has a component \".dray\"");
	return ERR_OK;
}

err_code
name_check(const char *p, size_t len, struct err *err)
{
	if (len == 0)
		return empty_component(len, 0, err);
	if (memchr(p, '\0', len))
		return err_reason(err, ERR_PATH_INVALID, "nul", "the name has a NUL byte");
	if (memchr(p, '/', len))
		return err_reason(err, ERR_PATH_INVALID, "separator", "the name has a '/'");
	if (!utf8_valid(p, len))
		return err_set(err, ERR_NAME_NOT_UTF8, "the name is not UTF-8");
	return component_check(p, len, err);
}

err_code
path_check(const char *p, size_t len, struct err *err)
{
	size_t depth = 0;

	if (len && memchr(p, '\0', len))
		return err_reason(err, ERR_PATH_INVALID, "nul", "the path has a NUL byte");
	if (!utf8_valid(p, len))
		return err_set(err, ERR_NAME_NOT_UTF8, "the path is not UTF-8");
	for (size_t at = 0; at <= len;) {
		const char *slash = at < len ? memchr(p + at, '/', len - at) : NULL;
		size_t n = slash ? (size_t)(slash - p) - at : len - at;
		err_code rc;

		rc = n ? component_check(p + at, n, err) : empty_component(len, at, err);
		if (rc)
			return rc;
		depth++;
		at += n + 1;
	}
	if (len > PATH_LEN_MAX)
		return err_set(err, ERR_PATH_TOO_LONG, "the path has %zu bytes; %d are the most", len, PATH_LEN_MAX);
	if (depth > PATH_DEPTH_MAX)
		return err_set(err, ERR_PATH_TOO_LONG, "the path has %zu levels; %d are the most", depth, PATH_DEPTH_MAX);
	return ERR_OK;
}

const char *
path_split(const char *path, size_t *dir_len)
{
	const char *slash = strrchr(path, '/');

	*dir_len = slash ? (size_t)(slash - path) : 0;
	return slash ? slash + 1 : path;
}

bool
path_within(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* ---- what is marked ------------------------------------------------------------------------------------------------- */

/*
 * Characters that cannot be seen, or that turn the text around them: a prefix of UTF-8 bytes and the range of the last one.
 * U+0080..9F controls, U+061C, U+200B..200F, U+202A..202E, U+2060..2064, U+2066..206F, U+FEFF.
 */
static const struct invisible {
	const char *prefix;
	uint8_t lo, hi;
} invisibles[] = {
	{ "\xc2", 0x80, 0x9f },
	{ "\xd8", 0x9c, 0x9c },
	{ "\xe2\x80", 0x8b, 0x8f },
	{ "\xe2\x80", 0xaa, 0xae },
	{ "\xe2\x81", 0xa0, 0xa4 },
	{ "\xe2\x81", 0xa6, 0xaf },
	{ "\xef\xbb", 0xbf, 0xbf },
};

static bool
is_invisible(const char *s, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(invisibles); i++) {
		const struct invisible *v = &invisibles[i];
		size_t n = strlen(v->prefix);

		if (len > n && memcmp(s, v->prefix, n) == 0 && (uint8_t)s[n] >= v->lo && (uint8_t)s[n] <= v->hi)
			return true;
	}
	return false;
}

/* What Windows keeps for itself. */
static bool
is_reserved(uint8_t c)
{
	switch (c) {
	case '<':
	case '>':
	case ':':
	case '"':
	case '|':
	case '?':
	case '*':
	case '\\':
	case 0x7f:
		return true;
	default:
		return c < 0x20;
	}
}

static bool
has_bad_char(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		if (is_reserved(c))
			return true;
		if (c >= 0x80 && is_invisible(s + i, len - i))
			return true;
	}
	return false;
}

/* Windows drops trailing spaces and dots; a no-break space looks like the space that it would have dropped. */
static bool
has_bad_end(const char *s, size_t len)
{
	return s[len - 1] == ' ' || s[len - 1] == '.' || (len >= 2 && memcmp(s + len - 2, "\xc2\xa0", 2) == 0);
}

static bool
is_word(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

/* COM1, LPT¹: a port is one of two words and one digit, which may be a superscript 1, 2 or 3. */
static bool
is_port(const char *s, size_t len)
{
	if ((len != 4 && len != 5) || (strncasecmp(s, "com", 3) != 0 && strncasecmp(s, "lpt", 3) != 0))
		return false;
	if (len == 4)
		return s[3] >= '0' && s[3] <= '9';
	return memcmp(s + 3, "\xc2\xb9", 2) == 0 || memcmp(s + 3, "\xc2\xb2", 2) == 0 || memcmp(s + 3, "\xc2\xb3", 2) == 0;
}

/* Devices of Windows keep their meaning with any extension, and with spaces before it. */
static bool
is_device(const char *s, size_t len)
{
	static const char *const words[] = { "con", "prn", "aux", "nul", "conin$", "conout$", "clock$" };
	const char *dot = memchr(s, '.', len);

	if (dot)
		len = (size_t)(dot - s);
	while (len && s[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (is_word(s, len, words[i]))
			return true;
	}
	return is_port(s, len);
}

/* GIT~1, PROGRA~1.EXE: the short name that Windows may have given to another file.  At most 8 and 3 characters. */
static bool
is_short_alias(const char *s, size_t len)
{
	const char *dot = memchr(s, '.', len);
	size_t stem = dot ? (size_t)(dot - s) : len;
	size_t digits = 0;

	if (stem > 8 || (dot && len - stem - 1 > 3))
		return false;
	while (digits < stem && s[stem - 1 - digits] >= '0' && s[stem - 1 - digits] <= '9')
		digits++;
	return digits > 0 && stem > digits + 1 && s[stem - 1 - digits] == '~';
}

static bool
name_unportable(const char *s, size_t len)
{
	return len > 0 && (has_bad_char(s, len) || has_bad_end(s, len) || is_device(s, len) || is_short_alias(s, len) ||
			      is_word(s, len, ".dray")); /* where case does not matter, .DRAY is our own folder */
}

bool
path_unportable(const char *p)
{
	for (;;) {
		size_t n = strcspn(p, "/");

		if (name_unportable(p, n))
			return true;
		if (!p[n])
			return false;
		p += n + 1;
	}
}
