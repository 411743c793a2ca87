#include "unit.h"

#include <pthread.h>

#include "base/map.h"
#include "base/rng.h"

/* Not a test of the kernel's randomness, but of ours: no byte left as it was, none handed out twice. */
static void
every_byte_is_written(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 300; len++) {
		uint8_t b[302], moved[302] = { 0 };

		for (int round = 0; round < 8; round++) {
			memset(b, 0xA5, sizeof b);
			rng_bytes(b, len);
			for (size_t i = 0; i < sizeof b; i++)
				moved[i] |= b[i] ^ 0xA5;
		}
		for (size_t i = 0; i < sizeof b; i++)
			assert_int_equal(moved[i] != 0, i < len); /* by chance once in 2^64 */
	}
}

#define PER_THREAD 20000

static void *
draw(void *arg)
{
	uint64_t *v = arg;

	for (size_t i = 0; i < PER_THREAD; i++)
		v[i] = rng_u64();
	return NULL;
}

static void
numbers_do_not_repeat_across_threads(void **state)
{
	static uint64_t v[4][PER_THREAD];
	AUTO(map_freep) struct map *seen = map_new();
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, draw, v[i]), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < 4; i++)
		for (size_t k = 0; k < PER_THREAD; k++)
			assert_null(map_put(seen, &v[i][k], sizeof v[i][k], seen));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_written),
		cmocka_unit_test(numbers_do_not_repeat_across_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
