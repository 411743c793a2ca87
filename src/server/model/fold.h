#pragma once
/** Names as a search compares them: without regard to case, code point by code point (Unicode's simple folding; no normal forms). */

#include "base/base.h"

/** The longest folding of ${len} bytes: what takes two bytes may take three. */
#define FOLD_MAX(len) ((len) + (len) / 2 + 1)

/** fold_text(s, len, out): the folding of ${s} into ${out}, FOLD_MAX(len) bytes; its length.  What is no UTF-8 stays as it is. */
size_t fold_text(const char *s, size_t len, char *out);
