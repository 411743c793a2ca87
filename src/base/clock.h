#pragma once
/**
 * Time.  Wall time is for people and for the project clock, in microseconds since 1970 UTC; deadlines use the monotonic
 * clock, which no one can set.
 */

#include "base/err.h"

int64_t clock_wall_us(void);
int64_t clock_wall_ns(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

#define RFC3339_MAX 40 /* "2026-11-22T14:00:00.123456789Z" and NUL, with room to spare */

/**
 * rfc3339_us(us, out), rfc3339_ns(ns, out): "2026-11-22T14:00:00.123456Z" with six, or nine, digits.  Returns ${out}.
 * Microseconds outside the years 0000…9999 are clamped to that range; nanoseconds reach from 1677 to 2262 only.
 */
char *rfc3339_us(int64_t us, char out[static RFC3339_MAX]);
char *rfc3339_ns(int64_t ns, char out[static RFC3339_MAX]);

/**
 * rfc3339_parse_ns(s, len, out, err): an RFC 3339 date-time with up to nine digits of fraction and Z or an offset, as
 * nanoseconds since 1970.  FIELD_RANGE when it is malformed or outside what 64 bits of nanoseconds hold (1677…2262).  A
 * leap second (…:60) is refused: time since 1970 has no number for it, and another time would be a guess.
 */
err_code rfc3339_parse_ns(const char *s, size_t len, int64_t *out, struct err *err);
