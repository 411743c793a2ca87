#include "unit.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/map.h"

static void
ids_begin_with_the_time(void **state)
{
	int64_t before = clock_wall_us() / 1000, after;
	struct id id = id_new();
	int64_t ms = 0;

	(void)state;
	after = clock_wall_us() / 1000;
	for (size_t i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	assert_true(ms >= before && ms <= after);
}

static void
ids_do_not_repeat(void **state)
{
	AUTO(map_freep) struct map *seen = map_new();
	uint8_t ones[10] = { 0 }, zeros[10] = { 0 };

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct id id = id_new();

		assert_null(map_put(seen, id.b, sizeof id.b, seen));
		for (size_t k = 0; k < 10; k++) {
			ones[k] |= id.b[6 + k];
			zeros[k] |= (uint8_t)~id.b[6 + k];
		}
	}
	for (size_t k = 0; k < 10; k++) { /* all 80 bits move */
		assert_int_equal(ones[k], 0xFF);
		assert_int_equal(zeros[k], 0xFF);
	}
}

static void
text_both_ways(void **state)
{
	struct id id = id_new(), got;
	char text[ID_HEX_LEN + 2];
	struct err err;

	(void)state;
	assert_int_equal(strlen(id_hex(&id, text)), ID_HEX_LEN);
	assert_ok(id_parse(text, ID_HEX_LEN, &got, &err));
	assert_true(id_eq(&id, &got));
	assert_code(id_parse(text, ID_HEX_LEN - 1, &got, &err), ERR_ID_INVALID);
	text[ID_HEX_LEN] = '0';
	text[ID_HEX_LEN + 1] = '\0';
	assert_code(id_parse(text, ID_HEX_LEN + 1, &got, &err), ERR_ID_INVALID);
	text[31] = 'A';
	assert_code(id_parse(text, ID_HEX_LEN, &got, &err), ERR_ID_INVALID);
	assert_code(id_parse("", 0, &got, &err), ERR_ID_INVALID);
}

static void
zero(void **state)
{
	(void)state;
	assert_true(id_is_zero(&(struct id){ { 0 } }));
	assert_false(id_is_zero(&(struct id){ .b[0] = 1 }));
	assert_false(id_is_zero(&(struct id){ .b[15] = 1 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_begin_with_the_time),
		cmocka_unit_test(ids_do_not_repeat),
		cmocka_unit_test(text_both_ways),
		cmocka_unit_test(zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
