#include "unit.h"

#include "base/sbuf.h"

static bool out_of_memory;
void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);

void *
__wrap_realloc(void *p, size_t len)
{
	return out_of_memory ? NULL : __real_realloc(p, len);
}

static void
appends(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
	struct err err;

	(void)state;
	assert_string_equal(sbuf_str(&sb), "");
	sbuf_add(&sb, "a");
	sbuf_addn(&sb, "b\0c", 3);
	sbuf_addc(&sb, 'd');
	sbuf_addf(&sb, "-%03d", 7);
	sbuf_addn(&sb, NULL, 0);
	assert_int_equal(sb.len, 9);
	assert_memory_equal(sbuf_str(&sb), "ab\0cd-007", 10); /* and the NUL */
	assert_ok(sbuf_done(&sb, &err));
	sbuf_reset(&sb);
	assert_int_equal(sb.len, 0);
	assert_string_equal(sbuf_str(&sb), "");
}

static void
ceiling_holds_on_both_sides(void **state)
{
	struct err err;

	(void)state;
	for (size_t max = 0; max < 300; max++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(max);

		for (size_t i = 0; i < max; i++)
			sbuf_addc(&sb, 'x');
		assert_ok(sbuf_done(&sb, &err));
		assert_int_equal(sb.len, max);
		assert_true(sb.cap <= max + 1);
		sbuf_addc(&sb, 'x');
		assert_code(sbuf_done(&sb, &err), ERR_BODY_TOO_LARGE);
		sbuf_add(&sb, ""); /* the error sticks */
		assert_code(sbuf_done(&sb, &err), ERR_BODY_TOO_LARGE);
		assert_int_equal(sb.len, max);
		sbuf_reset(&sb);
		assert_ok(sbuf_done(&sb, &err));
	}
}

static void
formats_of_every_length(void **state)
{
	struct err err;

	(void)state;
	for (int n = 0; n < 300; n++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(200);
		char want[301];

		snprintf(want, sizeof want, "%*s", n, "");
		sbuf_addf(&sb, "%*s", n, "");
		assert_int_equal(sbuf_done(&sb, &err), n <= 200 ? ERR_OK : ERR_BODY_TOO_LARGE);
		assert_string_equal(sbuf_str(&sb), n <= 200 ? want : "");
	}
}

static void
formats_after_text(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(SIZE_MAX - 1);
	size_t len = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		sbuf_addf(&sb, "%d,%s;", i, "some text that makes it grow");
		len = strlen(sb.s);
		assert_int_equal(sb.len, len);
	}
	assert_true(len > 30000);
	assert_memory_equal(sb.s + len - 33, "999,", 4);
}

static void
take_hands_over(void **state)
{
	struct sbuf sb = SBUF(100);
	char *s;

	(void)state;
	s = sbuf_take(&sb);
	assert_string_equal(s, "");
	free(s);
	sbuf_add(&sb, "text");
	s = sbuf_take(&sb);
	assert_string_equal(s, "text");
	free(s);
	assert_int_equal(sb.len, 0);
	assert_int_equal(sb.max, 100);
	sbuf_add(&sb, "more"); /* usable again */
	assert_string_equal(sbuf_str(&sb), "more");
	sbuf_fini(&sb);
}

static void
memory_that_runs_out_is_an_answer(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(MIB);
	struct err err;

	(void)state;
	sbuf_add(&sb, "kept");
	out_of_memory = true;
	sbuf_addf(&sb, "%1000d", 1);
	out_of_memory = false;
	assert_code(sbuf_done(&sb, &err), ERR_NO_MEM);
	sbuf_add(&sb, "late");
	assert_string_equal(sbuf_str(&sb), "kept");
	sbuf_reset(&sb);
	sbuf_add(&sb, "again");
	assert_ok(sbuf_done(&sb, &err));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends),
		cmocka_unit_test(ceiling_holds_on_both_sides),
		cmocka_unit_test(formats_of_every_length),
		cmocka_unit_test(formats_after_text),
		cmocka_unit_test(take_hands_over),
		cmocka_unit_test(memory_that_runs_out_is_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
