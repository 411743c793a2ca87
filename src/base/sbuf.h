#pragma once
/**
 * A string builder with a ceiling and a sticky error: ten appends need one check, sbuf_done().
 * The text is always NUL-terminated and may also hold NUL bytes; len counts without the terminator.
 */

#include "base/err.h"

struct sbuf {
	char *s;      /* NULL until the first append */
	size_t len;   /* bytes used */
	size_t cap;   /* bytes allocated */
	size_t max;   /* the ceiling: part of the design of each caller */
	bool failed;  /* an append passed the ceiling; the text is then incomplete */
	bool no_mem;  /* with failed: it was memory that ran out, not the ceiling */
};

/** SBUF(max): an empty builder that refuses to grow past ${max} bytes. */
#define SBUF(max_) ((struct sbuf){ .max = (max_) })

void sbuf_fini(struct sbuf *sb);
void sbuf_reset(struct sbuf *sb); /* empty again, memory kept */
void sbuf_add(struct sbuf *sb, const char *s);
void sbuf_addn(struct sbuf *sb, const void *p, size_t len);
void sbuf_addc(struct sbuf *sb, char c);

/** sbuf_grow(sb, len): ${len} more bytes of text for the caller to set at once; NULL, which sticks as any failed append does. */
char *sbuf_grow(struct sbuf *sb, size_t len);

void sbuf_addf(struct sbuf *sb, const char *fmt, ...) FORMAT(2, 3);
void sbuf_addvf(struct sbuf *sb, const char *fmt, va_list ap) FORMAT(2, 0);

/** sbuf_add_visible(sb, s): for people's eyes: control characters, backslashes and bytes that are not UTF-8 as escapes, so that a name
 * cannot steer a terminal. */
void sbuf_add_visible(struct sbuf *sb, const char *s);

/** sbuf_str(sb): the text, lent until the next append; "" when empty. */
const char *sbuf_str(const struct sbuf *sb);

/** sbuf_take(sb): the text, now owned by the caller, who frees it; ${sb} is empty again.  Never NULL. */
char *sbuf_take(struct sbuf *sb);

/** sbuf_done(sb, err): ERR_OK, or ERR_BODY_TOO_LARGE when an append passed the ceiling, or ERR_NO_MEM. */
err_code sbuf_done(const struct sbuf *sb, struct err *err);
