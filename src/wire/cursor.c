#include "base/clock.h"
#include "base/num.h"
#include "wire/wire.h"

char *
cursor_format(const struct cursor *c, char out[static CURSOR_MAX])
{
	char hex[ID_HEX_LEN + 1];

	id_hex(&c->epoch, hex);
	if (c->began > c->clock)
		snprintf(out, CURSOR_MAX, "%lld.%lld.%s", (long long)(c->clock & INT64_MAX), (long long)c->began, hex);
	else
		snprintf(out, CURSOR_MAX, "%lld.%s", (long long)(c->clock & INT64_MAX), hex);
	return out;
}

/** Times before 1970 are before every change.  Rounding is downwards: a change may come twice, never not at all (I7). */
static err_code
parse_time(const char *s, size_t len, struct cursor *out, struct err *err)
{
	int64_t ns;

	if (rfc3339_parse_ns(s, len, &ns, err))
		return err_set(err, ERR_CURSOR_INVALID, "neither a cursor nor an RFC 3339 time");
	*out = (struct cursor){ .clock = ns > 0 ? ns / 1000 : 0 };
	return ERR_OK;
}

/** "<µs>" or "<µs>.<began µs>", the second larger: one spelling for each. */
static bool
parse_clocks(const char *s, size_t len, int64_t *clock, int64_t *began)
{
	const char *dot = memchr(s, '.', len);
	size_t first = dot ? (size_t)(dot - s) : len;
	uint64_t a, b = 0;

	if (!parse_u64(s, first, INT64_MAX, &a))
		return false;
	if (dot && (!parse_u64(dot + 1, len - first - 1, INT64_MAX, &b) || b <= a))
		return false;
	*clock = (int64_t)a;
	*began = (int64_t)b;
	return true;
}

err_code
cursor_parse(const char *s, size_t len, struct cursor *out, struct err *err)
{
	const char *dot = len > ID_HEX_LEN ? s + len - ID_HEX_LEN - 1 : NULL;
	struct cursor c = { .has_epoch = true };

	if (dot == NULL || *dot != '.' || memchr(s, '-', len))
		return parse_time(s, len, out, err);
	if (!parse_clocks(s, (size_t)(dot - s), &c.clock, &c.began) || id_parse(dot + 1, ID_HEX_LEN, &c.epoch, err))
		return err_set(err, ERR_CURSOR_INVALID, "a cursor is MICROSECONDS.EPOCH");
	*out = c;
	return ERR_OK;
}
