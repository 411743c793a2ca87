/* Problem documents: what the server writes, the client reads back; what others write is told apart. */

#include "wire_test.h"

static char *
write_problem(const struct err *err)
{
	struct sbuf sb = SBUF(16 * KIB);
	struct jw jw = JW(&sb);

	problem_write(&jw, err, "0011223344556677");
	jw_end_object(&jw);
	return sbuf_take(&sb);
}

static err_code
read_problem(int status, const char *s, struct err *err)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, strlen(s));

	return problem_read(status, b.p, b.len, err);
}

static void
every_code_round_trips(void **state)
{
	(void)state;
	for (int code = 1; code < ERR_CODE_COUNT; code++) {
		struct err err = { 0 }, back = { 0 };
		AUTO(freep) char *text = NULL;

		assert_int_equal(err_set(&err, (err_code)code, "about %s", "this"), code);
		text = write_problem(&err);
		assert_int_equal(read_problem(err_info((err_code)code)->status, text, &back), code);
		if (problem_is_callers((err_code)code))
			assert_string_equal(back.msg, "about this");
		else
			assert_null(strstr(text, "about this")); /* what fails inside is not the caller's to know */
	}
}

static void
hostile_messages_stay_json(void **state)
{
	struct err err = { 0 };
	char full[600];
	AUTO(freep) char *text = NULL;
	AUTO(freep) char *cut = NULL;
	AUTO(jdoc_freep) json_t *doc = NULL;

	(void)state;
	(void)err_reason(&err, ERR_PATH_INVALID, "nul", "%s", "\"}\x01\n\xff\xc3 \xed\xa0\x80\xc3\xa9");
	text = write_problem(&err);
	assert_int_equal(json_in_parse((const uint8_t *)text, strlen(text), &doc, NULL), ERR_OK);
	assert_string_equal(json_string_value(json_object_get(doc, "detail")), "\"}\x01\n?? ???\xc3\xa9");
	assert_string_equal(json_string_value(json_object_get(doc, "reason")), "nul");

	memset(full, 'a', sizeof full);
	for (size_t i = 401; i + 1 < sizeof full; i += 2)
		memcpy(full + i, "\xc3\xa9", 2);
	full[sizeof full - 1] = 0;
	(void)err_set(&err, ERR_NOT_FOUND, "%s", full); /* the message is cut in the middle of a character */
	cut = write_problem(&err);
	jdoc_freep(&doc);
	assert_int_equal(json_in_parse((const uint8_t *)cut, strlen(cut), &doc, NULL), ERR_OK);
}

static void
what_is_not_a_problem(void **state)
{
	static const struct {
		int status;
		const char *body;
		err_code code;
	} rows[] = {
		{ 502, "<html>Bad Gateway</html>", ERR_UNAVAILABLE },
		{ 503, "", ERR_UNAVAILABLE },
		{ 504, "{}", ERR_UNAVAILABLE },
		{ 429, "slow down", ERR_TOO_MANY_REQUESTS },
		{ 404, "<html>", ERR_PROTOCOL },
		{ 500, "{\"code\":5}", ERR_PROTOCOL },
		{ 409, "{\"code\":\"code_of_tomorrow\",\"title\":\"x\"}", ERR_INTERNAL },
		{ 409, "{\"code\":\"ok\"}", ERR_INTERNAL },
		{ 404, "{\"code\":\"not_found\"}", ERR_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };

		assert_row(rows[i].body, read_problem(rows[i].status, rows[i].body, &err), rows[i].code, &err);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_round_trips),
		cmocka_unit_test(hostile_messages_stay_json),
		cmocka_unit_test(what_is_not_a_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
