/*
 * The cursor of people's views, base64url (RFC 4648, without padding) of
 *
 *   sum[8]     the first bytes of SHA-256(scope, all that follows)
 *   files[1]   0 or 1
 *   key[8]     little-endian
 *   text       up to PLACE_TEXT_MAX bytes
 */
#include "server/route/place.h"

#include <assert.h>

#define SUM_LEN 8
#define TEXT_AT (SUM_LEN + 1 + 8)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(const uint8_t *p, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | p[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = digits[bits >> (have - 6) & 63];
	}
	if (have)
		*out++ = digits[bits << (6 - have) & 63];
	*out = '\0';
}

/* False unless it is what encode() makes of some bytes: one place has one spelling. */
static bool
decode(const char *s, size_t len, uint8_t *out, size_t *out_len)
{
	uint32_t bits = 0;
	unsigned have = 0;

	*out_len = 0;
	for (size_t i = 0; i < len; i++) {
		const char *d = s[i] ? strchr(digits, s[i]) : NULL;

		if (!d)
			return false;
		bits = bits << 6 | (uint32_t)(d - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[(*out_len)++] = (uint8_t)(bits >> have);
		}
	}
	return have < 6 && (bits & ((1U << have) - 1)) == 0;
}

static void
sum_of(const struct hash *scope, const uint8_t *place, size_t len, uint8_t sum[static SUM_LEN])
{
	uint8_t text[sizeof scope->b + PLACE_LEN_MAX];
	struct hash h;

	memcpy(text, scope->b, sizeof scope->b);
	memcpy(text + sizeof scope->b, place + SUM_LEN, len - SUM_LEN);
	h = hash_of(text, sizeof scope->b + len - SUM_LEN);
	memcpy(sum, h.b, SUM_LEN);
}

char *
place_write(const struct view_place *p, const struct hash *scope, char out[static PLACE_CODED_MAX + 1])
{
	uint8_t place[PLACE_LEN_MAX];
	size_t len = strlen(p->text);

	assert(len <= PLACE_TEXT_MAX); /* path_check has let it in */
	place[SUM_LEN] = p->files;
	for (size_t i = 0; i < 8; i++)
		place[SUM_LEN + 1 + i] = (uint8_t)((uint64_t)p->key >> (8 * i));
	memcpy(place + TEXT_AT, p->text, len);
	sum_of(scope, place, TEXT_AT + len, place);
	encode(place, TEXT_AT + len, out);
	return out;
}

static bool
is_whole(const uint8_t *place, size_t len, const struct hash *scope)
{
	uint8_t sum[SUM_LEN];

	if (len < TEXT_AT || len > PLACE_LEN_MAX)
		return false;
	sum_of(scope, place, len, sum);
	return memcmp(sum, place, SUM_LEN) == 0 && place[SUM_LEN] <= 1 && !memchr(place + TEXT_AT, '\0', len - TEXT_AT);
}

err_code
place_read(const char *s, size_t len, const struct hash *scope, struct arena *a, struct view_place *out, struct err *err)
{
	uint8_t place[PLACE_LEN_MAX + 3];
	uint64_t key = 0;
	size_t n = 0;

	if (len > PLACE_CODED_MAX || !decode(s, len, place, &n) || !is_whole(place, n, scope))
		return err_set(err, ERR_CURSOR_INVALID, "the cursor is not one of this listing");
	for (size_t i = 8; i-- > 0;)
		key = key << 8 | place[SUM_LEN + 1 + i];
	*out = (struct view_place){ .files = place[SUM_LEN], .key = (int64_t)key };
	out->text = arena_strndup(a, (const char *)place + TEXT_AT, n - TEXT_AT);
	return out->text ? ERR_OK : err_set(err, ERR_NO_MEM, "a cursor");
}
