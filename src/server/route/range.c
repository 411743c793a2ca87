#include "server/route/range.h"

#include <strings.h>

#include "base/num.h"

/** Digits of any length; what does not fit is the largest number there is. */
static bool
number(const char *s, size_t len, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n)) {
			*out = UINT64_MAX;
			return strspn(s, "0123456789") >= len;
		}
	}
	*out = n;
	return len > 0;
}

static enum range_kind
suffix(const char *s, size_t len, uint64_t size, uint64_t *first, uint64_t *last)
{
	uint64_t n;

	if (!number(s, len, &n))
		return RANGE_WHOLE;
	if (n == 0 || size == 0)
		return RANGE_NONE;
	*first = n < size ? size - n : 0;
	*last = size - 1;
	return RANGE_PART;
}

static enum range_kind
one_part(const char *s, size_t len, uint64_t size, uint64_t *first, uint64_t *last)
{
	const char *dash = memchr(s, '-', len);
	size_t head = dash ? (size_t)(dash - s) : 0, tail = dash ? len - head - 1 : 0;

	if (dash == NULL)
		return RANGE_WHOLE;
	if (head == 0)
		return suffix(dash + 1, tail, size, first, last);
	*last = UINT64_MAX;
	if (!number(s, head, first) || (tail > 0 && !number(dash + 1, tail, last)))
		return RANGE_WHOLE;
	if (*first > *last || *first >= size)
		return RANGE_NONE;
	if (*last >= size)
		*last = size - 1;
	return RANGE_PART;
}

enum range_kind
range_parse(const char *value, uint64_t size, uint64_t *first, uint64_t *last)
{
	if (value == NULL || strncasecmp(value, "bytes=", 6) != 0)
		return RANGE_WHOLE;
	value += 6;
	if (strchr(value, ','))
		return RANGE_MANY;
	return one_part(value, strlen(value), size, first, last);
}

/* ---- entity tags -------------------------------------------------------------------------------------------------------------- */

/** The tag at *s, quotes included; *s goes behind it. */
static bool
next_tag(const char **s, bool *is_weak, const char **tag, size_t *len)
{
	const char *p = *s, *end;

	*is_weak = p[0] == 'W' && p[1] == '/';
	if (*is_weak)
		p += 2;
	if (*p != '"')
		return false;
	for (end = p + 1; *end && *end != '"'; end++) {
		if ((unsigned char)*end <= 0x20 || *end == 0x7f)
			return false;
	}
	if (*end != '"')
		return false;
	*tag = p;
	*len = (size_t)(end + 1 - p);
	*s = end + 1;
	return true;
}

static const char *
skip_space(const char *s)
{
	return s + strspn(s, " \t");
}

err_code
etag_list_match(const char *value, const char *etag, bool weak, bool *match, struct err *err)
{
	const char *s = skip_space(value), *tag;
	bool is_weak;
	size_t len;

	*match = strcmp(s, "*") == 0 && etag != NULL;
	if (strcmp(s, "*") == 0)
		return ERR_OK;
	for (;;) {
		if (!next_tag(&s, &is_weak, &tag, &len))
			return err_set(err, ERR_ETAG_INVALID, "an entity tag is text in quotes");
		if (is_weak && !weak)
			return err_set(err, ERR_ETAG_INVALID, "a weak entity tag matches nothing here");
		if (etag != NULL && strlen(etag) == len && memcmp(etag, tag, len) == 0)
			*match = true;
		s = skip_space(s);
		if (*s == 0)
			return ERR_OK;
		if (*s != ',')
			return err_set(err, ERR_ETAG_INVALID, "entity tags are separated by commas");
		s = skip_space(s + 1);
	}
}

err_code
etag_version(const char *value, int64_t *version, struct err *err)
{
	const char *s = skip_space(value), *tag, *dot;
	bool is_weak;
	uint64_t n;
	size_t len;

	*version = -1;
	if (strcmp(s, "*") == 0)
		return ERR_OK;
	if (!next_tag(&s, &is_weak, &tag, &len) || is_weak || *skip_space(s) != 0)
		return err_set(err, ERR_ETAG_INVALID, "one strong entity tag in quotes, or *");
	dot = memrchr(tag, '.', len);
	*version = 0;
	if (dot != NULL && parse_u64(dot + 1, len - (size_t)(dot - tag) - 2, INT64_MAX, &n))
		*version = (int64_t)n;
	return ERR_OK;
}
