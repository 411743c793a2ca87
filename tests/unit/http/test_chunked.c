/* chunked.c: every row decoded whole, byte by byte, split at every place, and into outputs of every small size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sbuf.h"
#include "server/http/chunked.h"

/* Decode ${in}: ${split} bytes, then the rest in steps, ${cap} bytes of output at a time.  Says what came of it. */
static err_code
decode(const char *in, size_t len, size_t split, size_t step, size_t cap, struct sbuf *out, bool *done, size_t *used)
{
	uint8_t *piece = malloc(cap), *copy;
	struct chunked d;
	struct err err = { 0 };
	err_code rc = ERR_OK;
	size_t end = split;

	assert_non_null(piece);
	chunked_init(&d);
	*used = 0;
	for (;;) {
		size_t n, got;

		copy = malloc(end - *used + 1); /* exact, so that reads past the end are seen */
		assert_non_null(copy);
		memcpy(copy + 1, in + *used, end - *used);
		rc = chunked_feed(&d, copy + 1, end - *used, &n, piece, cap, &got, &err);
		free(copy);
		assert_true(got <= cap && n <= end - *used);
		*used += n;
		sbuf_addn(out, piece, got);
		if (rc || chunked_done(&d) || (*used == len && end == len))
			break;
		if (*used == end)
			end = MIN(end + step, len);
	}
	free(piece);
	*done = chunked_done(&d);
	if (rc)
		assert_true(err.code == rc && err.msg[0]);
	return rc;
}

static void
expect(const char *in, size_t len, const char *text, size_t rest, err_code want)
{
	for (size_t split = 0; split <= len; split += len > 1000 ? 61 : 1)
		for (size_t cap = 1; cap <= 40; cap += 13) {
			AUTO(sbuf_fini) struct sbuf out = SBUF(64 * KIB);
			bool done;
			size_t used;
			err_code rc = decode(in, len, split, split ? len : 1, cap, &out, &done, &used);

			if (rc != want)
				fail_msg("%.40s: split %zu: %s", in, split, rc ? err_info(rc)->code : "accepted");
			if (rc)
				continue;
			assert_int_equal(done, text != NULL);
			if (!text)
				continue;
			assert_string_equal(sbuf_str(&out), text);
			assert_int_equal(len - used, rest);
		}
}

#define GOOD(in, text, rest) { in, sizeof(in) - 1, text, rest, ERR_OK }
#define MORE(in) { in, sizeof(in) - 1, NULL, 0, ERR_OK }
#define BAD(in) { in, sizeof(in) - 1, NULL, 0, ERR_FRAMING }

static const struct {
	const char *in;
	size_t len;
	const char *text;
	size_t rest;
	err_code want;
} rows[] = {
	GOOD("0\r\n\r\n", "", 0),
	GOOD("5\r\nhello\r\n0\r\n\r\n", "hello", 0),
	GOOD("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello world", 16),
	GOOD("000000000000000A\r\n0123456789\r\n00\r\n\r\n", "0123456789", 0),
	GOOD("a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0),
	GOOD("5;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n", "hello", 0),
	GOOD("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0),
	GOOD("0\r\nX-Sum: 1\r\nY:\r\n\r\n!", "", 1),
	MORE(""),
	MORE("5"),
	MORE("5\r\nhello\r\n0\r\n\r"),
	MORE("7fffffffffffffff\r\n"),
	BAD("0x5\r\n"),
	BAD("+5\r\n"),
	BAD("-5\r\n"),
	BAD("5_0\r\n"),
	BAD(" 5\r\n"),
	BAD("5 \r\n"),
	BAD("5 ;a\r\n"),
	BAD("\r\n"),
	BAD(";a\r\n"),
	BAD("g\r\n"),
	BAD("5\n"),
	BAD("5\r\r\n"),
	BAD("5;\n"),
	BAD("5;a\rb\r\n"),
	BAD("5;a\0\r\n"),
	BAD("5;\x0b\r\n"),
	BAD("00000000000000000\r\n"),
	BAD("8000000000000000\r\n"),
	BAD("ffffffffffffffff\r\n"),
	BAD("10000000000000005\r\n"),
	BAD("5\r\nhello0\r\n"),
	BAD("5\r\nhello\n"),
	BAD("5\r\nhello\r0"),
	BAD("5\r\nhelloX\r\n"),
	BAD("0\r\n\n"),
	BAD("0\r\n\rX"),
	BAD("0\r\nX\r\n\r\n"),
	BAD("0\r\n: x\r\n\r\n"),
	BAD("0\r\nX : y\r\n\r\n"),
	BAD("0\r\n X: y\r\n\r\n"),
	BAD("0\r\nX: y\n\r\n"),
	BAD("0\r\nX: \x01\r\n\r\n"),
	BAD("0\r\nContent-Length: 5\r\n\r\n"),
	BAD("0\r\ntransfer-encoding: x\r\n\r\n"),
	BAD("0\r\nX: y\r\nAuthorization: x\r\n\r\n"),
	BAD("0\r\nHost: x\r\n\r\n"),
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].in, rows[i].len, rows[i].text, rows[i].rest, rows[i].want);
}

static void
expect_filled(const char *before, size_t count, const char *after, const char *text, err_code want)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(128 * KIB);

	sbuf_add(&sb, before);
	for (size_t i = 0; i < count; i++)
		sbuf_addc(&sb, 'x');
	sbuf_add(&sb, after);
	expect(sbuf_str(&sb), sb.len, text, 0, want);
}

static void
test_both_sides_of_each_limit(void **state)
{
	(void)state;
	expect_filled("0;", HTTP_CHUNK_EXT_MAX, "\r\n\r\n", "", ERR_OK);
	expect_filled("0;", HTTP_CHUNK_EXT_MAX + 1, "\r\n\r\n", NULL, ERR_FRAMING);
	expect_filled("1;", 64 * KIB, "", NULL, ERR_FRAMING);
	/* in all, not each */
	expect_filled("1;123456\r\n.\r\n0;", HTTP_CHUNK_EXT_MAX - 6, "\r\n\r\n", ".", ERR_OK);
	expect_filled("1;123456\r\n.\r\n0;", HTTP_CHUNK_EXT_MAX - 5, "\r\n\r\n", NULL, ERR_FRAMING);
	/* "X:", the line's CRLF and the empty line count */
	expect_filled("0\r\nX:", HTTP_TRAILER_MAX - 6, "\r\n\r\n", "", ERR_OK);
	expect_filled("0\r\nX:", HTTP_TRAILER_MAX - 5, "\r\n\r\n", NULL, ERR_FRAMING);
	expect_filled("0\r\n", HTTP_TRAILER_MAX, "", NULL, ERR_OK);
	expect_filled("0\r\n", HTTP_TRAILER_MAX + 1, "", NULL, ERR_FRAMING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_both_sides_of_each_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
