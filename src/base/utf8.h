#pragma once
/** UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */

#include "base/base.h"

bool utf8_valid(const char *s, size_t len);

/** utf8_cut(s, len, max): the largest n ≤ max that does not split a character of ${s}. */
size_t utf8_cut(const char *s, size_t len, size_t max);
