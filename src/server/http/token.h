#pragma once
/** The byte classes of RFC 9110 and 9112.  Locale-free, and false for every byte that is not named. */

#include "base/base.h"

static inline bool
http_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
http_is_lower(unsigned char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool
http_is_alnum(unsigned char c)
{
	return http_is_digit(c) || http_is_lower(c) || (c >= 'A' && c <= 'Z');
}

/** A byte of a token: field names, methods. */
static inline bool
http_is_tchar(unsigned char c)
{
	return http_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/** A byte of a field value: anything visible, space, tab, and the upper half. */
static inline bool
http_is_value(unsigned char c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static inline unsigned char
http_to_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}
