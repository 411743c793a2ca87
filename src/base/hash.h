#pragma once
/**
 * SHA-256, the one hash of dray, as a value.  libcrypto does the work with the CPU's instructions (about 1.5 GB/s a core).
 */

#include "base/err.h"

#define HASH_HEX_LEN 64

struct hash {
	uint8_t b[32];
};

/** hash_of(p, len): SHA-256 of the bytes.  p may be NULL when len is 0.  Any thread. */
struct hash hash_of(const void *p, size_t len);

/**
 * hash_each(v, n, out): SHA-256 of each of ${n} strings.  HASH_LANES neighbours of one length take half the time of one after the other where the CPU
 * has instructions for SHA-256 (hash_lanes.c), and the same elsewhere.  Any thread.
 */
#define HASH_LANES 4
void hash_each(const struct slice *v, size_t n, struct hash *out);

/** A running hash.  sha_init … sha_add* … sha_final; sha_fini only when abandoned.  One thread at a time. */
struct sha {
	void *ctx;
};
void sha_init(struct sha *sha);
void sha_add(struct sha *sha, const void *p, size_t len);
struct hash sha_final(struct sha *sha); /* also releases */
void sha_fini(struct sha *sha);

static inline bool
hash_eq(const struct hash *a, const struct hash *b)
{
	return memcmp(a->b, b->b, sizeof a->b) == 0;
}

bool hash_is_zero(const struct hash *h);

/** hash_hex(h, out): 64 lower-case digits and NUL.  Returns ${out}. */
char *hash_hex(const struct hash *h, char out[static HASH_HEX_LEN + 1]);

/** hash_parse(s, len, out, err): exactly 64 lower-case hex digits, else HASH_INVALID. */
err_code hash_parse(const char *s, size_t len, struct hash *out, struct err *err);

/** hex_encode(p, len, out): 2 × len lower-case digits and NUL.  hex_decode: false unless exactly 2 × len such digits. */
char *hex_encode(const uint8_t *p, size_t len, char *out);
bool hex_decode(const char *s, size_t s_len, uint8_t *out, size_t len);

/**
 * digest_add(sum, h), digest_sub(sum, h): sum ± h mod 2^256, both read as little-endian numbers.  A project's digest is such
 * a sum over its live files, so adding and removing commute.
 */
void digest_add(struct hash *sum, const struct hash *h);
void digest_sub(struct hash *sum, const struct hash *h);
