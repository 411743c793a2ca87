/*
 * Several hashes at once.  A round of SHA-256 waits for the one before it, four cycles on the CPUs that have instructions for it, which could have
 * begun others meanwhile.  So the rounds of HASH_LANES strings go side by side: 1.5 GB/s for one string, 2.3 for two, 2.9 for four (AMD Zen 5).
 * The order of the instructions within a lane is that of Intel's "New Instructions Supporting the Secure Hash Algorithm" (2013).
 */
#include "base/hash.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

#define STEP 64 /* bytes that SHA-256 takes at once */
#define CPUID_SHA (1u << 29)

#define LANES(i) _Pragma("GCC unroll 4") for (size_t i = 0; i < HASH_LANES; i++)
#define WITH_SHA __attribute__((target("sha,avx")))
/* Sanitizers would keep the registers in memory; libcrypto's assembly is not looked into either.  What is read, ${steps} × 64 bytes, is the caller's. */
#define UNSANITIZED __attribute__((no_sanitize("address"), no_sanitize("undefined"), no_sanitize("thread")))

static const uint32_t FIRST[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

static const uint32_t ROUND[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
	0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
	0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The state as the instructions want it: a, b, e, f in one register, c, d, g, h in the other, the first of them on top. */
struct lane {
	__m128i abef, cdgh;
};

/* Asked once: in a virtual machine the question costs more than a hash. */
static bool
cpu_has_sha(void)
{
	static atomic_int known; /* 0: not asked yet, 1: no, 2: yes */
	int k = atomic_load_explicit(&known, memory_order_relaxed);
	unsigned a, b, c, d;

	if (k == 0) {
		bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & CPUID_SHA) && __builtin_cpu_supports("avx");

		k = has ? 2 : 1;
		atomic_store_explicit(&known, k, memory_order_relaxed);
	}
	return k == 2;
}

/* ${steps} × 64 bytes of each lane. */
WITH_SHA UNSANITIZED static void
add_steps(struct lane lane[HASH_LANES], const uint8_t *const p[HASH_LANES], size_t steps)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203); /* words are big-endian */

	for (size_t at = 0; at < steps * STEP; at += STEP) {
		__m128i word[HASH_LANES][4], abef[HASH_LANES], cdgh[HASH_LANES];

		LANES(l) {
			abef[l] = lane[l].abef;
			cdgh[l] = lane[l].cdgh;
			for (size_t i = 0; i < 4; i++)
				word[l][i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p[l] + at + 16 * i)), swap);
		}
		/* Four rounds each.  Of the four registers of words number r is used, r + 1 gets completed, and r + 3, used before, begun anew. */
#pragma GCC unroll 16
		for (size_t r = 0; r < 16; r++) {
			const __m128i k = _mm_load_si128((const __m128i *)&ROUND[4 * r]);

			LANES(l) {
				__m128i *w = word[l], *now = &w[r % 4], *next = &w[(r + 1) % 4], *last = &w[(r + 3) % 4];
				__m128i sum = _mm_add_epi32(*now, k);

				if (r >= 3 && r < 15) {
					*next = _mm_add_epi32(*next, _mm_alignr_epi8(*now, *last, 4));
					*next = _mm_sha256msg2_epu32(*next, *now);
				}
				cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], sum);
				abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(sum, 0x0e));
				if (r >= 1 && r < 13)
					*last = _mm_sha256msg1_epu32(*last, *now);
			}
		}
		LANES(l) {
			lane[l].abef = _mm_add_epi32(lane[l].abef, abef[l]);
			lane[l].cdgh = _mm_add_epi32(lane[l].cdgh, cdgh[l]);
		}
	}
}

/* What is left of ${p}, then a one, zeros, and the number of bits, to the end of a step.  Returns how many steps that is. */
static size_t
pad(const uint8_t *p, size_t len, uint8_t out[2 * STEP])
{
	size_t left = len % STEP, steps = left + 9 <= STEP ? 1 : 2;

	memset(out, 0, 2 * STEP);
	memcpy(out, p + len - left, left);
	out[left] = 0x80;
	for (size_t i = 0; i < 8; i++)
		out[steps * STEP - 1 - i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
	return steps;
}

WITH_SHA static void
hash_side_by_side(const struct slice v[HASH_LANES], struct hash out[HASH_LANES])
{
	const __m128i low = _mm_loadu_si128((const __m128i *)&FIRST[0]), high = _mm_loadu_si128((const __m128i *)&FIRST[4]);
	const __m128i badc = _mm_shuffle_epi32(low, 0xb1), efgh = _mm_shuffle_epi32(high, 0x1b);
	const __m128i bytes = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	uint8_t tail[HASH_LANES][2 * STEP];
	const uint8_t *p[HASH_LANES], *tails[HASH_LANES];
	struct lane lane[HASH_LANES];
	size_t len = v[0].len, steps = 0;

	for (size_t l = 0; l < HASH_LANES; l++) {
		lane[l] = (struct lane){ _mm_alignr_epi8(badc, efgh, 8), _mm_blend_epi16(efgh, badc, 0xf0) };
		p[l] = v[l].p;
		steps = pad(p[l], len, tail[l]);
		tails[l] = tail[l];
	}
	add_steps(lane, p, len / STEP);
	add_steps(lane, tails, steps);
	for (size_t l = 0; l < HASH_LANES; l++) {
		const __m128i feba = _mm_shuffle_epi32(lane[l].abef, 0x1b), dchg = _mm_shuffle_epi32(lane[l].cdgh, 0xb1);

		_mm_storeu_si128((__m128i *)&out[l].b[0], _mm_shuffle_epi8(_mm_blend_epi16(feba, dchg, 0xf0), bytes));
		_mm_storeu_si128((__m128i *)&out[l].b[16], _mm_shuffle_epi8(_mm_alignr_epi8(dchg, feba, 8), bytes));
	}
}

#else

static bool
cpu_has_sha(void)
{
	return false;
}

static void
hash_side_by_side(const struct slice v[HASH_LANES], struct hash out[HASH_LANES])
{
	(void)v, (void)out;
	abort(); /* cpu_has_sha said so */
}

#endif

/* Whether HASH_LANES of the ${n} strings from ${v} on have one length. */
static bool
in_lanes(const struct slice *v, size_t n)
{
	if (n < HASH_LANES)
		return false;
	for (size_t l = 1; l < HASH_LANES; l++)
		if (v[l].len != v[0].len)
			return false;
	return true;
}

void
hash_each(const struct slice *v, size_t n, struct hash *out)
{
	bool lanes = cpu_has_sha();

	for (size_t i = 0; i < n;) {
		if (lanes && in_lanes(v + i, n - i)) {
			hash_side_by_side(v + i, out + i);
			i += HASH_LANES;
		} else {
			out[i] = hash_of(v[i].p, v[i].len);
			i++;
		}
	}
}
