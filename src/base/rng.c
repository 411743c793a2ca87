#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

/* Ids and nonces are 8 to 32 bytes: one system call for a few dozen of them.  Not shared with a forked child's copy. */
#define POOL_LEN 256
#define POOL_TAKE_MAX 64

static _Thread_local struct {
	uint8_t b[POOL_LEN];
	size_t left;
} pool;

static void
from_kernel(uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n == 0 || errno != EINTR) {
			fprintf(stderr, "getrandom failed: no ids or tokens can be made\n");
			abort();
		}
	}
}

void
rng_bytes(void *p, size_t len)
{
	if (len > POOL_TAKE_MAX) {
		from_kernel(p, len);
		return;
	}
	if (len == 0)
		return;
	if (pool.left < len) {
		from_kernel(pool.b, sizeof pool.b);
		pool.left = sizeof pool.b;
	}
	pool.left -= len;
	memcpy(p, pool.b + pool.left, len);
	/* What was handed out may become a token; no copy of it stays here. */
	explicit_bzero(pool.b + pool.left, len);
}

uint64_t
rng_u64(void)
{
	uint64_t v;

	rng_bytes(&v, sizeof v);
	return v;
}
