#pragma once
/**
 * SipHash by Aumasson and Bernstein: a keyed hash of short strings, so that whoever chooses the strings cannot choose the
 * collisions.  It is here on its own so that a test can hold it against the published values of SipHash-2-4; hash tables
 * use SipHash-1-3, which is enough where the outputs are never shown.
 */

#include "base/base.h"

#define SIPHASH_ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline void
siphash_rounds(uint64_t v[static 4], unsigned n)
{
	while (n--) {
		v[0] += v[1], v[1] = SIPHASH_ROTL(v[1], 13), v[1] ^= v[0], v[0] = SIPHASH_ROTL(v[0], 32);
		v[2] += v[3], v[3] = SIPHASH_ROTL(v[3], 16), v[3] ^= v[2];
		v[0] += v[3], v[3] = SIPHASH_ROTL(v[3], 21), v[3] ^= v[0];
		v[2] += v[1], v[1] = SIPHASH_ROTL(v[1], 17), v[1] ^= v[2], v[2] = SIPHASH_ROTL(v[2], 32);
	}
}

/** siphash(key, p, len, c, d): ${c} rounds a word and ${d} at the end; constants, so the compiler unrolls them. */
static inline uint64_t
siphash(const uint8_t key[static 16], const void *p, size_t len, unsigned c, unsigned d)
{
	const uint8_t *s = p;
	uint64_t k0 = get_u64le(key), k1 = get_u64le(key + 8);
	uint64_t v[4] = {
		k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
		k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t w;
	size_t left;

	for (left = len; left >= 8; left -= 8, s += 8) {
		w = get_u64le(s);
		v[3] ^= w;
		siphash_rounds(v, c);
		v[0] ^= w;
	}
	w = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		w |= (uint64_t)s[i] << (8 * i);
	v[3] ^= w;
	siphash_rounds(v, c);
	v[0] ^= w;
	v[2] ^= 0xff;
	siphash_rounds(v, d);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
