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

#define RFC3339_MAX 40 /* "-292277022399-…" never; years -9999…9999 with nine digits of fraction fit */

/**
 * rfc3339_us(us, out), rfc3339_ns(ns, out): "2026-11-22T14:00:00.123456Z" with six, or nine, digits.  Returns ${out}.
 * Years outside 0000…9999 are clamped to that range.
 */
char *rfc3339_us(int64_t us, char out[static RFC3339_MAX]);
char *rfc3339_ns(int64_t ns, char out[static RFC3339_MAX]);

/**
 * rfc3339_parse_ns(s, len, out, err): an RFC 3339 date-time with up to nine digits of fraction and Z or an offset, as
 * nanoseconds since 1970.  FIELD_RANGE when it is malformed or outside what 64 bits of nanoseconds hold (1677…2262).
 */
err_code rfc3339_parse_ns(const char *s, size_t len, int64_t *out, struct err *err);
