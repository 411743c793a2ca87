#pragma once
/**
 * Reproducible random input for property tests.  Every test prints its seed; DRAY_SEED=n runs it again with that one.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

struct gen {
	uint64_t state;
};

static inline struct gen
gen_new(const char *test)
{
	const char *env = getenv("DRAY_SEED");
	struct gen g = { .state = env ? strtoull(env, NULL, 10) : rng_u64() };

	printf("%s: DRAY_SEED=%llu\n", test, (unsigned long long)g.state);
	return g;
}

/* splitmix64: any seed will do, zero included. */
static inline uint64_t
gen_u64(struct gen *g)
{
	uint64_t z = g->state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* A number in ${least} … ${most}. */
static inline size_t
gen_range(struct gen *g, size_t least, size_t most)
{
	return least + gen_u64(g) % (most - least + 1);
}

/* Bytes of one of four tempers: noise, text-like, one byte over and over, and half noise half zeros. */
static inline void
gen_bytes(struct gen *g, uint8_t *p, size_t len)
{
	unsigned temper = (unsigned)gen_range(g, 0, 3);
	uint8_t same = (uint8_t)gen_u64(g);

	for (size_t i = 0; i < len; i++) {
		switch (temper) {
		case 0:
			p[i] = (uint8_t)gen_u64(g);
			break;
		case 1:
			p[i] = (uint8_t)("etaoin shrdlu\n"[gen_range(g, 0, 13)]);
			break;
		case 2:
			p[i] = same;
			break;
		default:
			p[i] = i < len / 2 ? (uint8_t)gen_u64(g) : 0;
		}
	}
}
