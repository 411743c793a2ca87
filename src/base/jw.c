#include "base/jw.h"

#include <assert.h>

#include "base/clock.h"
#include "base/utf8.h"

/* What goes before a value: nothing after a key, else the comma between members of an array. */
static void
before_value(struct jw *jw)
{
	if (jw->keyed) {
		jw->keyed = false;
		return;
	}
	if (jw->depth == 0)
		return;
	assert(!jw->object[jw->depth - 1]); /* in an object each value has a key */
	if (jw->comma[jw->depth - 1])
		sbuf_addc(jw->sb, ',');
	jw->comma[jw->depth - 1] = true;
}

static void
begin(struct jw *jw, bool object)
{
	before_value(jw);
	assert(jw->depth < JW_DEPTH_MAX);
	sbuf_addc(jw->sb, object ? '{' : '[');
	jw->comma[jw->depth] = false;
	jw->object[jw->depth] = object;
	jw->depth++;
}

static void
end(struct jw *jw, bool object)
{
	assert(jw->depth > 0 && jw->object[jw->depth - 1] == object && !jw->keyed);
	jw->depth--;
	sbuf_addc(jw->sb, object ? '}' : ']');
}

void
jw_object(struct jw *jw)
{
	begin(jw, true);
}

void
jw_end_object(struct jw *jw)
{
	end(jw, true);
}

void
jw_array(struct jw *jw)
{
	begin(jw, false);
}

void
jw_end_array(struct jw *jw)
{
	end(jw, false);
}

static void
add_escape(struct sbuf *sb, uint8_t c)
{
	/* The letter of each two-character escape; 0 where only \u00XX will do. */
	static const char LETTER[0x20] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
	char esc[] = { '\\', (char)c };

	if (c >= 0x80) {
		sbuf_addn(sb, "\xEF\xBF\xBD", 3); /* not UTF-8 */
		return;
	}
	if (c < 0x20)
		esc[1] = LETTER[c];
	if (esc[1])
		sbuf_addn(sb, esc, sizeof esc);
	else
		sbuf_addf(sb, "\\u%04x", c);
}

/* Without a way out of the middle, so that compilers look at sixteen bytes at once: almost every string is plain to its end. */
static bool
is_plain(const char *s, size_t len)
{
	unsigned special = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		special |= (c < 0x20) | (c >= 0x7f) | (c == '"') | (c == '\\');
	}
	return !special;
}

static void
add_quoted(struct sbuf *sb, const char *s, size_t len)
{
	char *p = sbuf_grow(sb, len + 2);

	if (!p)
		return;
	p[0] = '"';
	if (len)
		memcpy(p + 1, s, len);
	p[len + 1] = '"';
}

/* How many bytes at ${s} can stand as they are; 0: the first of them cannot. */
static size_t
as_it_is(const char *s, size_t len)
{
	uint8_t c = (uint8_t)s[0];
	uint32_t cp;

	return c < 0x80 ? c >= 0x20 && c != '"' && c != '\\' : utf8_char(s, len, &cp);
}

static void
add_string(struct sbuf *sb, const char *s, size_t len)
{
	size_t from = 0, i = 0;

	if (is_plain(s, len)) {
		add_quoted(sb, s, len);
		return;
	}
	sbuf_addc(sb, '"');
	while (i < len) {
		size_t n = as_it_is(s + i, len - i);

		if (n) {
			i += n;
			continue;
		}
		sbuf_addn(sb, s + from, i - from);
		add_escape(sb, (uint8_t)s[i]);
		from = ++i;
	}
	sbuf_addn(sb, s + from, i - from);
	sbuf_addc(sb, '"');
}

void
jw_key(struct jw *jw, const char *key)
{
	assert(jw->depth > 0 && jw->object[jw->depth - 1] && !jw->keyed);
	if (jw->comma[jw->depth - 1])
		sbuf_addc(jw->sb, ',');
	jw->comma[jw->depth - 1] = true;
	add_string(jw->sb, key, strlen(key));
	sbuf_addc(jw->sb, ':');
	jw->keyed = true;
}

void
jw_raw(struct jw *jw, const char *json, size_t len)
{
	before_value(jw);
	sbuf_addn(jw->sb, json, len);
}

void
jw_str(struct jw *jw, const char *s)
{
	if (s)
		jw_strn(jw, s, strlen(s));
	else
		jw_null(jw);
}

void
jw_strn(struct jw *jw, const char *s, size_t len)
{
	before_value(jw);
	add_string(jw->sb, s ? s : "", len);
}

static void
add_number(struct jw *jw, bool negative, uint64_t v)
{
	char text[24], *p = text + sizeof text;

	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	if (negative)
		*--p = '-';
	jw_raw(jw, p, (size_t)(text + sizeof text - p));
}

void
jw_u64(struct jw *jw, uint64_t v)
{
	add_number(jw, false, v);
}

void
jw_i64(struct jw *jw, int64_t v)
{
	add_number(jw, v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void
jw_bool(struct jw *jw, bool v)
{
	jw_raw(jw, v ? "true" : "false", v ? 4 : 5);
}

void
jw_null(struct jw *jw)
{
	jw_raw(jw, "null", 4);
}

/* Text that is known to need no escape. */
static void
add_plain(struct jw *jw, const char *s, size_t len)
{
	before_value(jw);
	add_quoted(jw->sb, s, len);
}

void
jw_hash(struct jw *jw, const struct hash *h)
{
	char hex[HASH_HEX_LEN + 1];

	add_plain(jw, hash_hex(h, hex), HASH_HEX_LEN);
}

void
jw_id(struct jw *jw, const struct id *id)
{
	char hex[ID_HEX_LEN + 1];

	add_plain(jw, id_hex(id, hex), ID_HEX_LEN);
}

void
jw_kstr(struct jw *jw, const char *key, const char *s)
{
	jw_key(jw, key);
	jw_str(jw, s);
}

void
jw_ku64(struct jw *jw, const char *key, uint64_t v)
{
	jw_key(jw, key);
	jw_u64(jw, v);
}

void
jw_ki64(struct jw *jw, const char *key, int64_t v)
{
	jw_key(jw, key);
	jw_i64(jw, v);
}

void
jw_kbool(struct jw *jw, const char *key, bool v)
{
	jw_key(jw, key);
	jw_bool(jw, v);
}

void
jw_khash(struct jw *jw, const char *key, const struct hash *h)
{
	jw_key(jw, key);
	jw_hash(jw, h);
}

void
jw_kid(struct jw *jw, const char *key, const struct id *id)
{
	jw_key(jw, key);
	jw_id(jw, id);
}

void
jw_ktime_us(struct jw *jw, const char *key, int64_t us)
{
	char text[RFC3339_MAX];

	jw_key(jw, key);
	rfc3339_us(us, text);
	add_plain(jw, text, strlen(text));
}

void
jw_kopt_i64(struct jw *jw, const char *key, bool known, int64_t v)
{
	if (known)
		jw_ki64(jw, key, v);
	else
		jw_kstr(jw, key, NULL);
}

void
jw_kopt_time_us(struct jw *jw, const char *key, bool known, int64_t us)
{
	if (known)
		jw_ktime_us(jw, key, us);
	else
		jw_kstr(jw, key, NULL);
}

void
jw_ktime_ns(struct jw *jw, const char *key, int64_t ns)
{
	char text[RFC3339_MAX];

	jw_key(jw, key);
	rfc3339_ns(ns, text);
	add_plain(jw, text, strlen(text));
}
