/* The JSON reader against what a stranger may send (BAD-INPUT part C), and its typed getters. */

#include "wire_test.h"

static err_code
parse(const char *s, size_t len, struct err *err)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, len);
	AUTO(jdoc_freep) json_t *doc = NULL;

	return json_in_parse(b.p, b.len, &doc, err);
}

#define T(text, code) { text, sizeof(text) - 1, code }

static const struct {
	const char *s;
	size_t len;
	err_code code;
} documents[] = {
	T("{}", ERR_OK),
	T(" {\"a\" : 1}\r\n\t", ERR_OK),
	T("", ERR_JSON_INVALID),
	T(" ", ERR_JSON_INVALID),
	T("hello", ERR_JSON_INVALID),
	T("{\"a\":1", ERR_JSON_INVALID),
	T("{\"a\":1}x", ERR_JSON_INVALID),
	T("{}{}", ERR_JSON_INVALID),
	T("{} {}", ERR_JSON_INVALID),
	T("{}\0", ERR_JSON_INVALID),
	T("\xef\xbb\xbf{}", ERR_JSON_INVALID),
	T("{a:1}", ERR_JSON_INVALID),
	T("{'a':1}", ERR_JSON_INVALID),
	T("{\"a\":1,}", ERR_JSON_INVALID),
	T("[1,]", ERR_JSON_INVALID),
	T("{\"a\":1 /* c */}", ERR_JSON_INVALID),
	T("{\"a\":1,\"a\":2}", ERR_JSON_DUPLICATE_KEY),
	T("{\"a\":1,\"\\u0061\":2}", ERR_JSON_DUPLICATE_KEY),
	T("{\"b\":{\"a\":1,\"a\":1}}", ERR_JSON_DUPLICATE_KEY),
	T("{\"a\":9223372036854775807}", ERR_OK),
	T("{\"a\":9223372036854775808}", ERR_FIELD_RANGE),
	T("{\"a\":-9223372036854775809}", ERR_FIELD_RANGE),
	T("{\"a\":1e400}", ERR_FIELD_RANGE),
	T("{\"a\":0x10}", ERR_JSON_INVALID),
	T("{\"a\":007}", ERR_JSON_INVALID),
	T("{\"a\":+1}", ERR_JSON_INVALID),
	T("{\"a\":.5}", ERR_JSON_INVALID),
	T("{\"a\":NaN}", ERR_JSON_INVALID),
	T("{\"a\":\"\\ud800\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\\udc00\\ud800\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\\ud83d\\ude00\"}", ERR_OK),
	T("{\"a\":\"\\x\"}", ERR_JSON_INVALID),
	T("{\"a\":\"a\nb\"}", ERR_JSON_INVALID),
	T("{\"a\":\"a\0b\"}", ERR_JSON_INVALID),
	T("{\"a\\u0000b\":1}", ERR_JSON_INVALID),
	T("{\"a\":\"\xff\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\xc0\xaf\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\xed\xa0\x80\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\xf4\x90\x80\x80\"}", ERR_JSON_INVALID),
	T("{\"a\":\"\xc3\"}", ERR_JSON_INVALID),
	T("\"unterminated", ERR_JSON_INVALID),
	T("\"unterminated\\", ERR_JSON_INVALID),
};

static void
documents_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
		struct err err = { 0 };

		assert_row(documents[i].s, parse(documents[i].s, documents[i].len, &err), documents[i].code, &err);
	}
}

/** Cut anywhere, a document is invalid and never read past its end. */
static void
every_prefix_is_refused(void **state)
{
	static const char doc[] = "{\"a\":[1,2,{\"b\":\"x\\u00e9\\n\"}],\"c\":true,\"d\":\"\xf0\x9f\x98\x80\"}";

	(void)state;
	for (size_t len = 0; len < sizeof doc - 1; len++)
		assert_int_equal(parse(doc, len, NULL), ERR_JSON_INVALID);
	assert_int_equal(parse(doc, sizeof doc - 1, NULL), ERR_OK);
}

static char *
repeat(const char *head, const char *part, size_t n, const char *tail)
{
	struct sbuf sb = SBUF(16 * MIB);

	sbuf_add(&sb, head);
	for (size_t i = 0; i < n; i++) {
		const char *mark = strchr(part, '#'); /* stands for the number */

		if (mark)
			sbuf_addf(&sb, "%.*s%zu%s", (int)(mark - part), part, i, mark + 1);
		else
			sbuf_add(&sb, part);
	}
	sbuf_add(&sb, tail);
	return sbuf_take(&sb);
}

static void
assert_repeat(const char *head, const char *part, size_t n, const char *tail, err_code want)
{
	AUTO(freep) char *s = repeat(head, part, n, tail);
	struct err err = { 0 };

	assert_code(parse(s, strlen(s), &err), want, &err);
}

static void
depth_is_limited_before_parsing(void **state)
{
	char closing[64];

	(void)state;
	memset(closing, ']', sizeof closing);
	closing[JSON_DEPTH_MAX] = 0;
	assert_repeat("", "[", JSON_DEPTH_MAX, closing, ERR_OK);
	closing[JSON_DEPTH_MAX] = ']';
	closing[JSON_DEPTH_MAX + 1] = 0;
	assert_repeat("", "[", JSON_DEPTH_MAX + 1, closing, ERR_JSON_TOO_DEEP);
	assert_repeat("", "[", 10000, "", ERR_JSON_TOO_DEEP);
	assert_repeat("", "{\"a\":", 1000000, "", ERR_JSON_TOO_DEEP);
	assert_repeat("\"", "[", 10000, "\"", ERR_OK); /* brackets in a string are text */
	assert_repeat("[", "[],", 10000, "[]]", ERR_OK); /* wide is not deep */
}

static void
keys_and_values_are_limited(void **state)
{
	(void)state;
	assert_repeat("{", "\"k#\":0,", JSON_KEYS_MAX - 1, "\"z\":0}", ERR_OK);
	assert_repeat("{", "\"k#\":0,", JSON_KEYS_MAX, "\"z\":0}", ERR_FIELD_RANGE);
	assert_repeat("[", "{\"a\":0,\"b\":0},", 1000, "{}]", ERR_OK); /* per object, not per document */
	assert_repeat("[", "1,", JSON_VALUES_MAX - 1, "1]", ERR_OK);
	assert_repeat("[", "1,", JSON_VALUES_MAX, "1]", ERR_BODY_TOO_LARGE);
	assert_repeat("[", "{},", 1000000, "{}]", ERR_BODY_TOO_LARGE);
}

/* ---- getters -------------------------------------------------------------------------------------------------------------- */

/** What reading {"size": VALUE} as an integer in 0…100 answers. */
static err_code
read_size(const char *value, bool need, int64_t *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	char text[128];
	err_code rc;

	snprintf(text, sizeof text, "{\"size\":%s}", value);
	rc = json_in_parse((const uint8_t *)text, strlen(text), &doc, err);
	if (!rc)
		rc = json_in_object(doc, "", false, &in, err);
	if (!rc)
		rc = need ? json_need_i64(&in, "size", 0, 100, out, err) : json_get_i64(&in, "size", 0, 100, out, err);
	return rc ? rc : json_in_end(&in, err);
}

static void
integers_are_integers(void **state)
{
	static const struct {
		const char *value;
		err_code code;
	} rows[] = {
		{ "0", ERR_OK }, { "-0", ERR_OK }, { "100", ERR_OK }, { "101", ERR_FIELD_RANGE }, { "-1", ERR_FIELD_RANGE },
		{ "9007199254740992", ERR_FIELD_RANGE }, { "9223372036854775808", ERR_FIELD_RANGE }, { "\"12\"", ERR_FIELD_TYPE },
		{ "1.0", ERR_FIELD_TYPE }, { "1e1", ERR_FIELD_TYPE }, { "true", ERR_FIELD_TYPE }, { "null", ERR_FIELD_TYPE },
		{ "[1]", ERR_FIELD_TYPE }, { "{}", ERR_FIELD_TYPE },
	};
	int64_t v = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };

		assert_row(rows[i].value, read_size(rows[i].value, true, &v, &err), rows[i].code, &err);
	}
	v = 7;
	assert_int_equal(read_size("null", false, &v, NULL), ERR_OK); /* null is absent where absent is allowed */
	assert_int_equal(v, 7);
}

static void
fields_are_asked_for_by_name(void **state)
{
	static const char doc[] = "{\"a\":\"x\",\"n\":\"p\\u0000q\",\"extra\":1}";
	AUTO(jdoc_freep) json_t *value = NULL;
	struct json_in in;
	struct err err;
	const char *s = NULL;
	size_t len;

	(void)state;
	assert_int_equal(json_in_parse((const uint8_t *)doc, sizeof doc - 1, &value, NULL), ERR_OK);
	assert_int_equal(json_in_object(value, "operations[3]", false, &in, NULL), ERR_OK);
	assert_int_equal(json_need_str(&in, "a", &s, &len, NULL), ERR_OK);
	assert_string_equal(s, "x");
	assert_int_equal(json_need_str(&in, "b", &s, &len, &err), ERR_FIELD_MISSING);
	assert_non_null(strstr(err.msg, "operations[3].b"));
	assert_int_equal(json_need_str(&in, "n", &s, &len, NULL), ERR_JSON_INVALID);

	assert_int_equal(json_in_object(value, "", false, &in, NULL), ERR_OK);
	assert_int_equal(json_need_path(&in, "n", &s, &len, NULL), ERR_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(s, "p\0q", 3);
	assert_int_equal(json_get_str(&in, "a", &s, &len, NULL), ERR_OK);
	assert_int_equal(json_in_end(&in, &err), ERR_UNKNOWN_FIELD);
	assert_non_null(strstr(err.msg, "extra"));
	in.lax = true;
	assert_int_equal(json_in_end(&in, NULL), ERR_OK);
}

static void
times_and_modes(void **state)
{
	static const char doc[] = "{\"t\":\"2026-11-22T14:00:00.123456789Z\",\"early\":\"1969-12-31T23:59:59.9999999Z\","
	    "\"m\":\"0644\",\"m2\":\"644\",\"m3\":\"0a44\",\"m4\":420}";
	AUTO(jdoc_freep) json_t *value = NULL;
	struct json_in in;
	int64_t us, ns;
	uint32_t mode;
	bool present;

	(void)state;
	assert_int_equal(json_in_parse((const uint8_t *)doc, sizeof doc - 1, &value, NULL), ERR_OK);
	assert_int_equal(json_in_object(value, "", false, &in, NULL), ERR_OK);
	assert_int_equal(json_get_time_us(&in, "t", &us, NULL), ERR_OK);
	assert_int_equal(us, 1795356000123456);
	assert_int_equal(json_get_time_ns(&in, "t", &ns, &present, NULL), ERR_OK);
	assert_int_equal(ns, 1795356000123456789);
	assert_int_equal(json_get_time_us(&in, "early", &us, NULL), ERR_OK);
	assert_int_equal(us, -1); /* the microsecond before, not the one after */
	assert_int_equal(json_get_mode(&in, "m", &mode, &present, NULL), ERR_OK);
	assert_int_equal(mode, 0644);
	assert_int_equal(json_get_mode(&in, "m2", &mode, &present, NULL), ERR_FIELD_RANGE);
	assert_int_equal(json_get_mode(&in, "m3", &mode, &present, NULL), ERR_FIELD_RANGE);
	assert_int_equal(json_get_mode(&in, "m4", &mode, &present, NULL), ERR_FIELD_TYPE);
	assert_int_equal(json_get_mode(&in, "none", &mode, &present, NULL), ERR_OK);
	assert_false(present);
}

/* ---- documents whose arrays are read an element at a time -------------------------------------------------------------------- */

static err_code
collect(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	AUTO(freep) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	if (json_is_false(value))
		return err_set(err, ERR_CANCELLED, "stopped");
	sbuf_addf(ctx, "%zu.%zu=%s ", key, i, text);
	return ERR_OK;
}

static err_code
parse_each(const char *s, size_t len, struct sbuf *got, json_t **rest, struct err *err)
{
	static const char *const keys[] = { "xs", "ys", NULL };
	AUTO(bytes_fini) struct bytes b = bytes_of(s, len);
	struct json_each each = { .keys = keys, .max = 5, .fn = collect, .ctx = got };
	unsigned seen;

	return json_in_parse_each(b.p, b.len, &each, rest, &seen, err);
}

static const struct {
	const char *s;
	size_t len;
	err_code code;
} splits[] = {
	T("{}", ERR_OK),
	T("{\"xs\":[]}", ERR_OK),
	T("{\"xs\":[ ]}", ERR_OK),
	T("{\"x\\u0073\":[1]}", ERR_OK),
	T("{\"xs\":[1,2,3,4,5]}", ERR_OK),
	T("{\"xs\":[1,2,3,4,5,6]}", ERR_FIELD_RANGE),
	T("{\"xs\":[1,2,3],\"ys\":[4,5,6]}", ERR_FIELD_RANGE),
	T("{\"xs\":[1],\"xs\":[2]}", ERR_JSON_DUPLICATE_KEY),
	T("{\"o\":1,\"o\":[2]}", ERR_JSON_DUPLICATE_KEY),
	T("{\"xs\":{}}", ERR_FIELD_TYPE),
	T("{\"xs\":null}", ERR_FIELD_TYPE),
	T("[]", ERR_FIELD_TYPE),
	T("\"xs\"", ERR_FIELD_TYPE),
	T("", ERR_JSON_INVALID),
	T("{\"xs\"", ERR_JSON_INVALID),
	T("{\"xs\":", ERR_JSON_INVALID),
	T("{\"xs\":[", ERR_JSON_INVALID),
	T("{\"xs\":[1", ERR_JSON_INVALID),
	T("{\"xs\":[1,", ERR_JSON_INVALID),
	T("{\"xs\":[1,]}", ERR_JSON_INVALID),
	T("{\"xs\":[,1]}", ERR_JSON_INVALID),
	T("{\"xs\":[1 2]}", ERR_JSON_INVALID),
	T("{\"xs\":[1}", ERR_JSON_INVALID),
	T("{\"xs\":[1]]", ERR_JSON_INVALID),
	T("{\"xs\":[{]}]}", ERR_JSON_INVALID),
	T("{\"xs\":[{},]}", ERR_JSON_INVALID),
	T("{\"xs\":[\"]\"]}", ERR_OK),
	T("{\"xs\":[\"\\\"]\"]}", ERR_OK),
	T("{\"xs\":[[\"]\",{\"]\":\"[\"}]]}", ERR_OK),
	T("{\"xs\":[1]}}", ERR_JSON_INVALID),
	T("{\"xs\":[1]}{}", ERR_JSON_INVALID),
	T("{\"xs\":[1],}", ERR_JSON_INVALID),
	T("{,\"xs\":[1]}", ERR_JSON_INVALID),
	T("{\"xs\" [1]}", ERR_JSON_INVALID),
	T("{xs:[1]}", ERR_JSON_INVALID),
	T("{\"xs\":[{\"a\":1,\"a\":1}]}", ERR_JSON_DUPLICATE_KEY),
	T("{\"o\\u0000\":1}", ERR_JSON_INVALID),
	T("{\"xs\":[1,false,2]}", ERR_CANCELLED),
	T("\xef\xbb\xbf{}", ERR_JSON_INVALID),
};

static void
splits_are_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
		AUTO(sbuf_fini) struct sbuf got = SBUF(4096);
		AUTO(jdoc_freep) json_t *rest = NULL;
		struct err err = { 0 };

		assert_row(splits[i].s, parse_each(splits[i].s, splits[i].len, &got, &rest, &err), splits[i].code, &err);
		assert_true((rest != NULL) == (splits[i].code == ERR_OK));
	}
}

static void
elements_come_in_order_and_the_rest_together(void **state)
{
	static const char doc[] = " { \"a\" : [1,{\"b\":2}] , \"ys\":[ {\"k\":\"],\"} , 2 ],\"xs\" :[\"q\\\"\"], \"z\":null } ";
	AUTO(sbuf_fini) struct sbuf got = SBUF(4096);
	AUTO(jdoc_freep) json_t *rest = NULL;
	AUTO(freep) char *text = NULL;

	(void)state;
	assert_int_equal(parse_each(doc, sizeof doc - 1, &got, &rest, NULL), ERR_OK);
	assert_string_equal(sbuf_str(&got), "1.0={\"k\":\"],\"} 1.1=2 0.0=\"q\\\"\" ");
	text = json_dumps(rest, JSON_COMPACT);
	assert_string_equal(text, "{\"a\":[1,{\"b\":2}],\"z\":null}");
	for (size_t len = 0; len < sizeof doc - 2; len++) {
		AUTO(sbuf_fini) struct sbuf some = SBUF(4096);
		AUTO(jdoc_freep) json_t *none = NULL;

		assert_int_equal(parse_each(doc, len, &some, &none, NULL), ERR_JSON_INVALID);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_judged),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(depth_is_limited_before_parsing),
		cmocka_unit_test(keys_and_values_are_limited),
		cmocka_unit_test(integers_are_integers),
		cmocka_unit_test(fields_are_asked_for_by_name),
		cmocka_unit_test(times_and_modes),
		cmocka_unit_test(splits_are_judged),
		cmocka_unit_test(elements_come_in_order_and_the_rest_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
