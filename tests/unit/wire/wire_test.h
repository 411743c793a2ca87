#pragma once
/** What the wire tests share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

/** Text as bytes whose end is the end of an allocation, so that ASan sees a reader that goes past it. */
struct bytes {
	uint8_t *p;
	size_t len;
};

static inline void
bytes_fini(struct bytes *b)
{
	free(b->p);
}

static inline struct bytes
bytes_of(const void *s, size_t len)
{
	struct bytes b = { .p = xmalloc(len ? len : 1), .len = len };

	if (len)
		memcpy(b.p, s, len);
	return b;
}

/** assert_code(rc, want, err): a failure that names both codes; assert_row says which row of a table it was. */
#define assert_code(rc, want, err) assert_row("", rc, want, err)
#define assert_row(row, rc, want, err) \
	do { \
		err_code rc_ = (rc), want_ = (want); \
		if (rc_ != want_) \
			fail_msg("%s: got %s, want %s: %s", row, rc_ ? err_info(rc_)->code : "ok", \
			    want_ ? err_info(want_)->code : "ok", rc_ ? (err)->msg : ""); \
	} while (0)
