/* Range and entity tags: what RFC 9110 leaves open is decided here, once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "server/route/range.h"

#define SIZE 100

static void
ranges(void **state)
{
	static const struct {
		const char *value;
		enum range_kind kind;
		uint64_t first, last;
	} rows[] = {
		{ NULL, RANGE_WHOLE, 0, 0 }, { "", RANGE_WHOLE, 0, 0 }, { "bytes", RANGE_WHOLE, 0, 0 }, { "bytes=", RANGE_WHOLE, 0, 0 },
		{ "bytes=-", RANGE_WHOLE, 0, 0 }, { "bytes=5", RANGE_WHOLE, 0, 0 }, { "lines=1-2", RANGE_WHOLE, 0, 0 },
		{ "bytes=a-b", RANGE_WHOLE, 0, 0 }, { "bytes=1-x", RANGE_WHOLE, 0, 0 }, { "bytes= 1-2", RANGE_WHOLE, 0, 0 },
		{ "bytes=1-2 ", RANGE_WHOLE, 0, 0 }, { "bytes=0x1-2", RANGE_WHOLE, 0, 0 }, { "bytes=--1", RANGE_WHOLE, 0, 0 },
		{ "bytes=+1-2", RANGE_WHOLE, 0, 0 }, { "bytes=1-2-3", RANGE_WHOLE, 0, 0 }, { "bytes=99999999999999999999x-", RANGE_WHOLE, 0, 0 },
		{ "bytes=0-0", RANGE_PART, 0, 0 }, { "BYTES=0-0", RANGE_PART, 0, 0 }, { "bytes=99-99", RANGE_PART, 99, 99 },
		{ "bytes=5-", RANGE_PART, 5, 99 }, { "bytes=5-5", RANGE_PART, 5, 5 }, { "bytes=5-1000", RANGE_PART, 5, 99 },
		{ "bytes=-1", RANGE_PART, 99, 99 }, { "bytes=-100", RANGE_PART, 0, 99 }, { "bytes=-101", RANGE_PART, 0, 99 },
		{ "bytes=-99999999999999999999", RANGE_PART, 0, 99 }, { "bytes=0-18446744073709551616", RANGE_PART, 0, 99 },
		{ "bytes=0000000000000000000000000000000000005-5", RANGE_PART, 5, 5 },
		{ "bytes=5-4", RANGE_NONE, 0, 0 }, { "bytes=-0", RANGE_NONE, 0, 0 }, { "bytes=100-", RANGE_NONE, 0, 0 },
		{ "bytes=100-200", RANGE_NONE, 0, 0 }, { "bytes=18446744073709551616-", RANGE_NONE, 0, 0 },
		{ "bytes=18446744073709551615-18446744073709551615", RANGE_NONE, 0, 0 },
		{ "bytes=0-1,2-3", RANGE_MANY, 0, 0 }, { "bytes=0-1, ", RANGE_MANY, 0, 0 }, { "bytes=,", RANGE_MANY, 0, 0 },
	};
	uint64_t first, last;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum range_kind kind = range_parse(rows[i].value, SIZE, &first, &last);

		if (kind != rows[i].kind || (kind == RANGE_PART && (first != rows[i].first || last != rows[i].last)))
			fail_msg("%s", rows[i].value);
	}
	assert_int_equal(range_parse("bytes=0-0", 0, &first, &last), RANGE_NONE);
	assert_int_equal(range_parse("bytes=-1", 0, &first, &last), RANGE_NONE);
	assert_int_equal(range_parse("bytes=0-", UINT64_MAX, &first, &last), RANGE_PART);
	assert_true(first == 0 && last == UINT64_MAX - 1);
}

static void
tags(void **state)
{
	static const struct {
		const char *value;
		bool strong, weak; /* matches "a" */
		err_code strong_code, weak_code;
	} rows[] = {
		{ "\"a\"", true, true, ERR_OK, ERR_OK }, { "*", true, true, ERR_OK, ERR_OK }, { " \"a\" ", true, true, ERR_OK, ERR_OK },
		{ "\"b\"", false, false, ERR_OK, ERR_OK }, { "\"b\", \"a\"", true, true, ERR_OK, ERR_OK }, { "\"a\",\"b\"", true, true, ERR_OK, ERR_OK },
		{ "\"\"", false, false, ERR_OK, ERR_OK }, { "\"a,b\"", false, false, ERR_OK, ERR_OK }, { "\"A\"", false, false, ERR_OK, ERR_OK },
		{ "W/\"a\"", false, true, ERR_ETAG_INVALID, ERR_OK }, { "w/\"a\"", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID },
		{ "", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID }, { "a", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID },
		{ "\"a", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID }, { "a\"", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID },
		{ "\"a\" \"b\"", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID }, { "\"a\",", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID },
		{ "*, \"a\"", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID }, { "\"a b\"", false, false, ERR_ETAG_INVALID, ERR_ETAG_INVALID },
	};
	bool match;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_code strong = etag_list_match(rows[i].value, "\"a\"", false, &match, NULL);

		if (strong != rows[i].strong_code || (!strong && match != rows[i].strong))
			fail_msg("strong %s", rows[i].value);
		if (etag_list_match(rows[i].value, "\"a\"", true, &match, NULL) != rows[i].weak_code ||
		    (!rows[i].weak_code && match != rows[i].weak))
			fail_msg("weak %s", rows[i].value);
	}
	assert_int_equal(etag_list_match("*", NULL, false, &match, NULL), ERR_OK);
	assert_false(match); /* nothing is not even any thing */
}

static void
versions(void **state)
{
	static const struct {
		const char *value;
		err_code code;
		int64_t version;
	} rows[] = {
		{ "*", ERR_OK, -1 }, { "\"0123.77\"", ERR_OK, 77 }, { " \"0123.77\"", ERR_OK, 77 }, { "\"x\"", ERR_OK, 0 },
		{ "\"a.077\"", ERR_OK, 0 }, { "\"a.\"", ERR_OK, 0 }, { "\"a.99999999999999999999\"", ERR_OK, 0 }, { "\".5\"", ERR_OK, 5 },
		{ "W/\"0123.77\"", ERR_ETAG_INVALID, 0 }, { "\"a.1\", \"a.2\"", ERR_ETAG_INVALID, 0 }, { "0123.77", ERR_ETAG_INVALID, 0 },
		{ "", ERR_ETAG_INVALID, 0 },
	};
	int64_t version;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (etag_version(rows[i].value, &version, NULL) != rows[i].code || (!rows[i].code && version != rows[i].version))
			fail_msg("%s", rows[i].value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(tags),
		cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
