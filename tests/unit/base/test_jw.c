#include "unit.h"

#include <jansson.h>

#include "base/jw.h"

static void
writes_all_kinds(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(4 * KIB);
	struct jw jw = JW(&sb);
	struct hash h = { { 0xAB } };
	struct id id = { { 0xCD } };

	(void)state;
	jw_object(&jw);
	jw_kstr(&jw, "s", "text");
	jw_kstr(&jw, "none", NULL);
	jw_ku64(&jw, "u", UINT64_MAX);
	jw_ki64(&jw, "least", INT64_MIN);
	jw_ki64(&jw, "zero", 0);
	jw_kbool(&jw, "yes", true);
	jw_kbool(&jw, "no", false);
	jw_key(&jw, "list");
	jw_array(&jw);
	jw_i64(&jw, -1);
	jw_null(&jw);
	jw_array(&jw);
	jw_end_array(&jw);
	jw_object(&jw);
	jw_end_object(&jw);
	jw_raw(&jw, "[1, 2]", 6);
	jw_strn(&jw, "cut here", 3);
	jw_end_array(&jw);
	jw_ktime_us(&jw, "t", 1);
	jw_ktime_ns(&jw, "n", -1);
	jw_end_object(&jw);
	assert_string_equal(sbuf_str(&sb),
	    "{\"s\":\"text\",\"none\":null,\"u\":18446744073709551615,\"least\":-9223372036854775808,\"zero\":0,"
	    "\"yes\":true,\"no\":false,\"list\":[-1,null,[],{},[1, 2],\"cut\"],"
	    "\"t\":\"1970-01-01T00:00:00.000001Z\",\"n\":\"1969-12-31T23:59:59.999999999Z\"}");

	sbuf_reset(&sb);
	jw_array(&jw);
	jw_hash(&jw, &h);
	jw_id(&jw, &id);
	jw_end_array(&jw);
	assert_string_equal(sbuf_str(&sb), "[\"ab00000000000000000000000000000000000000000000000000000000000000\","
	    "\"cd000000000000000000000000000000\"]");
}

static void
escapes(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(4 * KIB);
	struct jw jw = JW(&sb);

	(void)state;
	jw_strn(&jw, "\"\\/\b\f\n\r\t\x01\x1F\x7F\0\xC3\xA4", 14);
	assert_string_equal(sbuf_str(&sb), "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\\u0000\xC3\xA4\"");
	sbuf_reset(&sb);
	jw_str(&jw, "a\xFF\xC3z\xED\xA0\x80\xE2\x82");
	assert_string_equal(sbuf_str(&sb), "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
	    "\xEF\xBF\xBD\xEF\xBF\xBD\"");
	sbuf_reset(&sb);
	jw_object(&jw);
	jw_ku64(&jw, "k\"\n", 1);
	jw_end_object(&jw);
	assert_string_equal(sbuf_str(&sb), "{\"k\\\"\\n\":1}");
	sbuf_reset(&sb);
	jw_strn(&jw, NULL, 0);
	assert_string_equal(sbuf_str(&sb), "\"\"");
}

/* Whatever the bytes, a strict parser reads the output; where they were UTF-8, it reads the very same bytes. */
static void
any_bytes_parse(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(4 * KIB);
		struct jw jw = JW(&sb);
		char s[16];
		size_t len = test_random() % sizeof s;
		bool ascii = round % 2;
		json_error_t why;
		json_t *v;

		for (size_t i = 0; i < len; i++)
			s[i] = (char)(test_random() & (ascii ? 0x7F : 0xFF));
		jw_strn(&jw, s, len);
		v = json_loadb(sbuf_str(&sb), sb.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
		if (!v)
			fail_msg("%s: %s", sbuf_str(&sb), why.text);
		if (ascii) {
			assert_int_equal(json_string_length(v), len);
			assert_memory_equal(json_string_value(v), s, len);
		}
		json_decref(v);
	}
}

static void
lines_need_no_new_writer(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
	struct jw jw = JW(&sb);

	(void)state;
	for (int i = 0; i < 2; i++) {
		jw_object(&jw);
		jw_ki64(&jw, "i", i);
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	}
	assert_string_equal(sbuf_str(&sb), "{\"i\":0}\n{\"i\":1}\n");
}

static void
one_deeper(void *jw)
{
	jw_array(jw);
}

static void
depth_holds_on_both_sides(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
	struct jw jw = JW(&sb);

	(void)state;
	for (int i = 0; i < JW_DEPTH_MAX; i++)
		jw_array(&jw);
	assert_aborts(one_deeper, &jw);
	for (int i = 0; i < JW_DEPTH_MAX; i++)
		jw_end_array(&jw);
	assert_string_equal(sbuf_str(&sb), "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]");
}

static void
misuse(void *arg)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
	struct jw jw = JW(&sb);

	switch (*(const int *)arg) {
	case 0: /* a value without a key */
		jw_object(&jw);
		jw_u64(&jw, 1);
		break;
	case 1: /* a key in an array */
		jw_array(&jw);
		jw_key(&jw, "k");
		break;
	case 2: /* the wrong bracket */
		jw_array(&jw);
		jw_end_object(&jw);
		break;
	case 3: /* one bracket too many */
		jw_end_array(&jw);
		break;
	case 4: /* a key without a value */
		jw_object(&jw);
		jw_key(&jw, "k");
		jw_end_object(&jw);
		break;
	case 5: /* two keys */
		jw_object(&jw);
		jw_key(&jw, "k");
		jw_key(&jw, "l");
		break;
	case 6: /* a key outside */
		jw_key(&jw, "k");
		break;
	default:
		break;
	}
}

static void
wrong_nesting_stops_the_process(void **state)
{
	(void)state;
	for (int i = 0; i < 7; i++)
		assert_aborts(misuse, &i);
}

static void
ceiling_is_the_sbufs(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(10);
	struct jw jw = JW(&sb);
	struct err err;

	(void)state;
	jw_array(&jw);
	for (int i = 0; i < 100; i++)
		jw_u64(&jw, 12345);
	jw_end_array(&jw);
	assert_code(sbuf_done(&sb, &err), ERR_BODY_TOO_LARGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_all_kinds),
		cmocka_unit_test(escapes),
		cmocka_unit_test(any_bytes_parse),
		cmocka_unit_test(lines_need_no_new_writer),
		cmocka_unit_test(depth_holds_on_both_sides),
		cmocka_unit_test(wrong_nesting_stops_the_process),
		cmocka_unit_test(ceiling_is_the_sbufs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
