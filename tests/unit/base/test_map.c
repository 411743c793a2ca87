#include "unit.h"

#include "base/map.h"

static void *
value(size_t i)
{
	return (void *)(uintptr_t)(i + 1);
}

static void
put_get_remove(void **state)
{
	AUTO(map_freep) struct map *m = map_new();
	int a, b;

	(void)state;
	assert_null(map_get(m, "k", 1));
	assert_null(map_remove(m, "k", 1));
	assert_null(map_put(m, "k", 1, &a));
	assert_ptr_equal(map_put(m, "k", 1, &b), &a);
	assert_int_equal(map_count(m), 1);
	assert_ptr_equal(map_get(m, "k", 1), &b);
	assert_null(map_get(m, "K", 1));
	assert_null(map_get(m, "kk", 2));
	assert_ptr_equal(map_remove(m, "k", 1), &b);
	assert_null(map_remove(m, "k", 1));
	assert_int_equal(map_count(m), 0);
}

static void
keys_are_bytes(void **state)
{
	AUTO(map_freep) struct map *m = map_new();
	int a, b, c;
	char key[] = "key";

	(void)state;
	assert_null(map_put(m, "", 0, &a));
	assert_null(map_put(m, "\0", 1, &b));
	assert_null(map_put(m, key, 3, &c));
	key[0] = 'K'; /* keys are copied */
	assert_ptr_equal(map_get(m, NULL, 0), &a);
	assert_ptr_equal(map_get(m, "\0", 1), &b);
	assert_ptr_equal(map_get(m, "key", 3), &c);
	assert_null(map_get(m, "Key", 3));
	map_free(NULL);
}

static void
many_keys(void **state)
{
	enum { N = 100000 };
	AUTO(map_freep) struct map *m = map_new();
	AUTO(freep) bool *seen = xcalloc(N, sizeof *seen);
	const void *key;
	size_t len, pos = 0, n = 0;
	void *v;

	(void)state;
	for (size_t i = 0; i < N; i++)
		assert_null(map_put(m, &i, sizeof i, value(i)));
	assert_int_equal(map_count(m), N);
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(map_get(m, &i, sizeof i), value(i));
	for (size_t i = 0; i < N; i += 2)
		assert_ptr_equal(map_remove(m, &i, sizeof i), value(i));
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(map_get(m, &i, sizeof i), i % 2 ? value(i) : NULL);
	while (map_next(m, &pos, &key, &len, &v)) {
		size_t i;

		assert_int_equal(len, sizeof i);
		memcpy(&i, key, sizeof i);
		assert_true(i < N && i % 2 == 1 && !seen[i]);
		assert_ptr_equal(v, value(i));
		seen[i] = true;
		n++;
	}
	assert_int_equal(n, N / 2);
}

/* However many keys there are, a slot stays empty, or a search for what is not there would never end. */
static void
absent_keys_are_absent_at_every_count(void **state)
{
	AUTO(map_freep) struct map *m = map_new();
	size_t absent = SIZE_MAX;

	(void)state;
	for (size_t i = 0; i < 5000; i++) {
		assert_null(map_put(m, &i, sizeof i, value(i)));
		assert_null(map_get(m, &absent, sizeof absent));
		assert_null(map_remove(m, &absent, sizeof absent));
	}
}

/* Against a plain array, over a small set of keys so that runs of slots are long, wrap around, and are often mended. */
static void
behaves_like_an_array(void **state)
{
	enum { KEYS = 40 };
	AUTO(map_freep) struct map *m = map_new();
	void *model[KEYS] = { 0 };
	size_t count = 0;

	(void)state;
	for (size_t step = 0; step < 300000; step++) {
		size_t k = test_random() % KEYS;

		if (test_random() % 2) {
			count += !model[k];
			assert_ptr_equal(map_put(m, &k, sizeof k, value(step)), model[k]);
			model[k] = value(step);
		} else {
			count -= !!model[k];
			assert_ptr_equal(map_remove(m, &k, sizeof k), model[k]);
			model[k] = NULL;
		}
		assert_int_equal(map_count(m), count);
		k = test_random() % KEYS;
		assert_ptr_equal(map_get(m, &k, sizeof k), model[k]);
	}
}

static void
put_null(void *arg)
{
	map_put(arg, "k", 1, NULL);
}

static void
null_values_are_refused(void **state)
{
	AUTO(map_freep) struct map *m = map_new();

	(void)state;
	assert_aborts(put_null, m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_get_remove),
		cmocka_unit_test(keys_are_bytes),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(absent_keys_are_absent_at_every_count),
		cmocka_unit_test(behaves_like_an_array),
		cmocka_unit_test(null_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
