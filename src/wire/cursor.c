#include "base/clock.h"
#include "base/num.h"
#include "wire/wire.h"

char *
cursor_format(const struct cursor *c, char out[static CURSOR_MAX])
{
	char hex[ID_HEX_LEN + 1];

	snprintf(out, CURSOR_MAX, "%lld.%s", (long long)(c->clock & INT64_MAX), id_hex(&c->epoch, hex));
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

err_code
cursor_parse(const char *s, size_t len, struct cursor *out, struct err *err)
{
	const char *dot = len > ID_HEX_LEN ? s + len - ID_HEX_LEN - 1 : NULL;
	struct id epoch;
	uint64_t us;

	if (dot == NULL || *dot != '.' || memchr(s, '-', len))
		return parse_time(s, len, out, err);
	if (!parse_u64(s, (size_t)(dot - s), INT64_MAX, &us) || id_parse(dot + 1, ID_HEX_LEN, &epoch, err))
		return err_set(err, ERR_CURSOR_INVALID, "a cursor is MICROSECONDS.EPOCH");
	*out = (struct cursor){ .clock = (int64_t)us, .epoch = epoch, .has_epoch = true };
	return ERR_OK;
}
