#include "base/sbuf.h"
#include "base/utf8.h"

#define CAP_LEAST 64

void
sbuf_fini(struct sbuf *sb)
{
	free(sb->s);
	*sb = SBUF(sb->max);
}

void
sbuf_reset(struct sbuf *sb)
{
	sb->len = 0;
	sb->failed = sb->no_mem = false;
	if (sb->s)
		sb->s[0] = '\0';
}

static bool
more_room(struct sbuf *sb, size_t more)
{
	size_t cap;
	char *s;

	if (more > sb->max - sb->len) {
		sb->failed = true;
		return false;
	}
	/* Doubling, but never past the ceiling: a builder with a small one costs no more than that. */
	cap = MAX(sb->len + more + 1, MAX(2 * sb->cap, CAP_LEAST));
	cap = MIN(cap, sb->max + 1);
	s = realloc(sb->s, cap);
	if (!s) {
		sb->failed = sb->no_mem = true;
		return false;
	}
	sb->s = s;
	sb->cap = cap;
	return true;
}

/* Make room for ${more} bytes and the NUL; false, for good, when that passes the ceiling, which ${cap} never does by more than the NUL. */
static inline bool
room(struct sbuf *sb, size_t more)
{
	if (sb->failed)
		return false;
	return more < sb->cap - sb->len || more_room(sb, more);
}

void
sbuf_add(struct sbuf *sb, const char *s)
{
	sbuf_addn(sb, s, strlen(s));
}

char *
sbuf_grow(struct sbuf *sb, size_t len)
{
	char *p;

	if (!room(sb, len))
		return NULL;
	p = sb->s + sb->len;
	sb->len += len;
	sb->s[sb->len] = '\0';
	return p;
}

void
sbuf_addn(struct sbuf *sb, const void *p, size_t len)
{
	char *to = sbuf_grow(sb, len);

	if (to && len)
		memcpy(to, p, len);
}

void
sbuf_addc(struct sbuf *sb, char c)
{
	char *to = sbuf_grow(sb, 1);

	if (to)
		*to = c;
}

void
sbuf_addf(struct sbuf *sb, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	sbuf_addvf(sb, fmt, ap);
	va_end(ap);
}

void
sbuf_addvf(struct sbuf *sb, const char *fmt, va_list ap)
{
	va_list again;
	size_t spare;
	int n;

	if (!room(sb, 0))
		return;
	va_copy(again, ap);
	spare = sb->cap - sb->len;
	n = vsnprintf(sb->s + sb->len, spare, fmt, ap);
	if (n >= 0 && (size_t)n >= spare && room(sb, (size_t)n))
		n = vsnprintf(sb->s + sb->len, sb->cap - sb->len, fmt, again);
	va_end(again);
	if (n < 0)
		sb->failed = true;
	if (!sb->failed)
		sb->len += (size_t)n;
	sb->s[sb->len] = '\0'; /* also where a first try left a part behind */
}

const char *
sbuf_str(const struct sbuf *sb)
{
	return sb->s ? sb->s : "";
}

char *
sbuf_take(struct sbuf *sb)
{
	char *s = sb->s ? sb->s : xstrdup("");

	*sb = SBUF(sb->max);
	return s;
}

err_code
sbuf_done(const struct sbuf *sb, struct err *err)
{
	if (!sb->failed)
		return ERR_OK;
	if (sb->no_mem)
		return err_set(err, ERR_NO_MEM, "out of memory after %zu bytes of text", sb->len);
	return err_set(err, ERR_BODY_TOO_LARGE, "the text does not fit in %zu bytes", sb->max);
}

void
sbuf_add_visible(struct sbuf *sb, const char *s)
{
	bool valid = utf8_valid(s, strlen(s));

	for (const char *p = s; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c == '\\')
			sbuf_add(sb, "\\\\");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !valid))
			sbuf_addf(sb, "\\x%02x", c);
		else
			sbuf_addc(sb, (char)c);
	}
}
