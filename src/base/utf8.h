#pragma once
/** UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */

#include "base/base.h"

bool utf8_valid(const char *s, size_t len);

/** utf8_char(s, len, cp): the length of the character that ${s} begins with, its code point in *cp; 0 when there is none. */
size_t utf8_char(const char *s, size_t len, uint32_t *cp);

/** utf8_cut(s, len, max): the largest n ≤ max that does not split a character of ${s}. */
size_t utf8_cut(const char *s, size_t len, size_t max);
