/*
 * The prefix lets scanners find leaked tokens, the checksum tells a typo from a revoked token without a look-up.
 */
#include "base/rng.h"
#include "wire/wire.h"

#define PREFIX "dray_"
#define PREFIX_LEN 5
#define SECRET_LEN 43 /* 62^43 > 2^256 */
#define SUM_LEN 6     /* 62^6 > 2^32 */

static const char digits62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool
is_digit62(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/** CRC-32 as in zlib, bit by bit: 43 bytes at a time need no table. */
static uint32_t
crc32_of(const char *s, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (uint8_t)s[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/** The number ${b} (most significant byte first, destroyed) in ${len} digits of base 62. */
static void
base62(uint8_t *b, size_t b_len, char *out, size_t len)
{
	for (size_t i = len; i-- > 0;) {
		unsigned rest = 0;

		for (size_t k = 0; k < b_len; k++) {
			unsigned v = rest << 8 | b[k];

			b[k] = (uint8_t)(v / 62);
			rest = v % 62;
		}
		out[i] = digits62[rest];
	}
}

static void
checksum(const char *secret, char out[static SUM_LEN])
{
	uint32_t crc = crc32_of(secret, SECRET_LEN);
	uint8_t b[4] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc };

	base62(b, sizeof b, out, SUM_LEN);
}

void
token_new(char out[static TOKEN_LEN + 1])
{
	uint8_t b[32];

	rng_bytes(b, sizeof b);
	memcpy(out, PREFIX, PREFIX_LEN);
	base62(b, sizeof b, out + PREFIX_LEN, SECRET_LEN);
	out[PREFIX_LEN + SECRET_LEN] = '_';
	checksum(out + PREFIX_LEN, out + PREFIX_LEN + SECRET_LEN + 1);
	out[TOKEN_LEN] = 0;
}

bool
token_check(const char *s, size_t len)
{
	char sum[SUM_LEN];

	if (len != TOKEN_LEN || memcmp(s, PREFIX, PREFIX_LEN) != 0 || s[PREFIX_LEN + SECRET_LEN] != '_')
		return false;
	for (size_t i = 0; i < SECRET_LEN; i++) {
		if (!is_digit62(s[PREFIX_LEN + i]))
			return false;
	}
	checksum(s + PREFIX_LEN, sum);
	return memcmp(s + TOKEN_LEN - SUM_LEN, sum, SUM_LEN) == 0;
}
