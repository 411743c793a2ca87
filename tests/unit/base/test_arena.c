#include "unit.h"

#include "base/arena.h"

static bool out_of_memory;
void *__real_malloc(size_t len);
void *__wrap_malloc(size_t len);

void *
__wrap_malloc(size_t len)
{
	return out_of_memory ? NULL : __real_malloc(len);
}

static void
all_sizes_are_aligned_zeroed_and_apart(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	uint8_t *p[600];

	(void)state;
	for (size_t round = 0; round < 2; round++, arena_reset(a)) {
		for (size_t i = 0; i < ARRAY_LEN(p); i++) {
			size_t len = i * i / 10; /* 0 to 36 KB: across block ends, and into blocks of their own */

			p[i] = arena_alloc(a, len);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
			for (size_t k = 0; k < len; k++)
				assert_int_equal(p[i][k], 0); /* in the second round: zeroed again */
			memset(p[i], (int)(i % 251 + 1), len);
		}
		for (size_t i = 0; i < ARRAY_LEN(p); i++)
			for (size_t k = 0; k < i * i / 10; k++)
				assert_int_equal(p[i][k], i % 251 + 1);
	}
}

static void
ceiling_holds_on_both_sides(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(100);

	(void)state;
	assert_null(arena_alloc(a, 101));
	assert_int_equal(arena_used(a), 0);
	assert_non_null(arena_alloc(a, 100));
	assert_int_equal(arena_used(a), 100);
	assert_null(arena_alloc(a, 1));
	assert_null(arena_strdup(a, ""));
	arena_reset(a);
	assert_int_equal(arena_used(a), 0);
	assert_non_null(arena_strndup(a, "x", 1)); /* 2 bytes; the next begins at 16 */
	assert_null(arena_alloc(a, 85));
	assert_non_null(arena_alloc(a, 84));
	assert_int_equal(arena_used(a), 100);
}

static void
sizes_that_overflow_are_refused(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(SIZE_MAX);

	(void)state;
	assert_non_null(arena_alloc(a, 1));
	assert_null(arena_array(a, SIZE_MAX / 8 + 1, 8));
	assert_null(arena_strndup(a, "x", SIZE_MAX));
	assert_non_null(arena_array(a, 3, 8));
	assert_non_null(arena_array(a, 0, 8));
}

static void
copies(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	const uint8_t bytes[] = { 1, 0, 2 };
	char *text;

	(void)state;
	assert_string_equal(arena_strdup(a, "text"), "text");
	assert_string_equal(arena_strndup(a, "text", 2), "te");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_memory_equal(arena_memdup(a, bytes, sizeof bytes), bytes, sizeof bytes);
	text = arena_printf(a, "%s-%05d", "a", 42);
	assert_string_equal(text, "a-00042");
	assert_null(arena_printf(a, "%*d", (int)(64 * KIB), 1));
}

static void
memory_that_runs_out_is_an_answer(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	size_t used;

	(void)state;
	assert_non_null(arena_alloc(a, 16));
	used = arena_used(a);
	out_of_memory = true;
	assert_null(arena_alloc(a, 10 * KIB)); /* not in the first block */
	assert_null(arena_strndup(a, "", 0) ? NULL : a); /* this is, still */
	out_of_memory = false;
	assert_int_equal(arena_used(a), used + 1);
	assert_non_null(arena_alloc(a, 10 * KIB));
}

static void
must_fail(void *arg)
{
	arena_must(arg, 101);
}

static void
must_stops_the_process(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(100);

	(void)state;
	assert_non_null(arena_must(a, 10));
	assert_aborts(must_fail, a);
}

static void
one_huge_request_is_not_kept(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);

	(void)state;
	assert_non_null(arena_alloc(a, 5 * MIB));
	arena_reset(a);
	out_of_memory = true;
	assert_null(arena_alloc(a, 1)); /* its block is gone */
	out_of_memory = false;
	assert_non_null(arena_alloc(a, 1));
	arena_reset(a);
	out_of_memory = true;
	assert_non_null(arena_alloc(a, 1)); /* an ordinary one was kept */
	out_of_memory = false;
	arena_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sizes_are_aligned_zeroed_and_apart),
		cmocka_unit_test(ceiling_holds_on_both_sides),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(copies),
		cmocka_unit_test(memory_that_runs_out_is_an_answer),
		cmocka_unit_test(must_stops_the_process),
		cmocka_unit_test(one_huge_request_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
