#pragma once
/** Numbers from text, strictly: digits only, no sign, space, leading zero, prefix or overflow. */

#include "base/err.h"

/** parse_u64(s, len, max, out): true when ${s} is a canonical decimal number ≤ ${max}. */
bool parse_u64(const char *s, size_t len, uint64_t max, uint64_t *out);

/** size_human(bytes, out): "1.5 GiB" for people; returns ${out}. */
#define SIZE_HUMAN_MAX 16
char *size_human(uint64_t bytes, char out[static SIZE_HUMAN_MAX]);
