#pragma once
/**
 * Ids of projects, devices, files and transfers: 128 bits, shown as 32 lower-case hex digits.  The first 48 bits are the
 * time of creation in milliseconds (as in UUIDv7), so fresh rows land side by side in an index; the other 80 are random,
 * so an id cannot be guessed.  An id grants nothing by itself.
 */

#include "base/err.h"

#define ID_HEX_LEN 32

struct id {
	uint8_t b[16];
};

struct id id_new(void);
char *id_hex(const struct id *id, char out[static ID_HEX_LEN + 1]);

/** id_parse(s, len, out, err): exactly 32 lower-case hex digits, else ID_INVALID. */
err_code id_parse(const char *s, size_t len, struct id *out, struct err *err);

static inline bool
id_eq(const struct id *a, const struct id *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool id_is_zero(const struct id *id);
