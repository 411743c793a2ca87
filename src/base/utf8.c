#include "base/utf8.h"

static bool
is_tail(char c)
{
	return ((uint8_t)c & 0xC0) == 0x80;
}

size_t
utf8_char(const char *s, size_t len, uint32_t *cp)
{
	uint8_t c = len ? (uint8_t)s[0] : 0xFF;
	uint32_t least, v;
	size_t n;

	if (c < 0x80) {
		*cp = c;
		return 1;
	}
	if (c >= 0xC2 && c <= 0xDF) {
		n = 2, v = c & 0x1F, least = 0x80;
	} else if (c >= 0xE0 && c <= 0xEF) {
		n = 3, v = c & 0x0F, least = 0x800;
	} else if (c >= 0xF0 && c <= 0xF4) {
		n = 4, v = c & 0x07, least = 0x10000;
	} else {
		return 0;
	}
	if (len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (!is_tail(s[i]))
			return 0;
		v = v << 6 | ((uint8_t)s[i] & 0x3F);
	}
	if (v < least || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
		return 0;
	*cp = v;
	return n;
}

bool
utf8_valid(const char *s, size_t len)
{
	uint32_t cp;

	while (len) {
		size_t n = (uint8_t)s[0] < 0x80 ? 1 : utf8_char(s, len, &cp);

		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

size_t
utf8_cut(const char *s, size_t len, size_t max)
{
	if (len <= max)
		return len;
	/* A character has at most three tail bytes; more of them in a row are not UTF-8, and any cut is as good. */
	for (size_t back = 0; back <= 3 && back <= max; back++)
		if (!is_tail(s[max - back]))
			return max - back;
	return max;
}
