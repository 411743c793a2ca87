/*
 * Strings are skipped by their quotes and backslashes alone, so brackets inside of them do not count.  In malformed text the scan
 * and the parser may disagree about where a string ends; that is harmless, because the parser has the last word and never nests
 * deeper than the brackets that the scan has counted: each level costs one bracket outside of what *it* takes for a string, and
 * jansson reads strings by the same rule.
 */
#include "wire/scan.h"

#include "base/limits.h"

static const uint8_t *
string_end(const uint8_t *p, const uint8_t *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\\')
			p++;
	}
	return NULL;
}

err_code
json_scan_limits(const uint8_t *p, size_t len, struct err *err)
{
	const uint8_t *end = p + len;
	unsigned keys[JSON_DEPTH_MAX + 1] = { 0 };
	unsigned depth = 0;

	while (p < end) {
		switch (*p++) {
		case '"':
			p = string_end(p - 1, end);
			if (p == NULL)
				return ERR_OK; /* unterminated: the parser says so */
			break;
		case '{':
		case '[':
			if (depth == JSON_DEPTH_MAX)
				return err_set(err, ERR_JSON_TOO_DEEP, "more than %d levels", JSON_DEPTH_MAX);
			keys[++depth] = 0;
			break;
		case '}':
		case ']':
			if (depth > 0)
				depth--;
			break;
		case ':':
			if (++keys[depth] > JSON_KEYS_MAX)
				return err_set(err, ERR_FIELD_RANGE, "an object has more than %d keys", JSON_KEYS_MAX);
			break;
		default:
			break;
		}
	}
	return ERR_OK;
}

size_t
json_scan_values(const uint8_t *p, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += p[i] == ',';
	return n;
}

const uint8_t *
json_scan_space(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static const uint8_t *
bracket_end(const uint8_t *p, const uint8_t *end)
{
	unsigned depth = 0;

	while (p < end) {
		switch (*p++) {
		case '"':
			p = string_end(p - 1, end);
			if (p == NULL)
				return NULL;
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return p;
			break;
		default:
			break;
		}
	}
	return NULL;
}

const uint8_t *
json_scan_value(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = p;

	if (p == end)
		return NULL;
	if (*p == '"')
		return string_end(p, end);
	if (*p == '{' || *p == '[')
		return bracket_end(p, end);
	while (q < end && *q != ',' && *q != ']' && *q != '}')
		q++;
	return q > p ? q : NULL;
}
