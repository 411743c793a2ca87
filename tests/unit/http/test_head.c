/* head.c and framing.c: every row is parsed whole, byte by byte and split in two at every place; the result must be one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sbuf.h"
#include "server/http/head.h"

#define START "GET / HTTP/1.1\r\nHost: a\r\n"
#define PUT "PUT /x HTTP/1.1\r\nHost: a\r\n"

/* What a parse found, as text, so that two parses can be compared. */
static void
describe(struct sbuf *sb, const struct head *h, const char *buf, err_code rc, bool done)
{
	if (rc || !done) {
		sbuf_addf(sb, "%s at %zu", rc ? err_info(rc)->code : "more", h->pos);
		return;
	}
	sbuf_addf(sb, "method %d target %s (%u) minor %u len %zu framing %d length %llu given %d keep %d expect %d", (int)h->method,
	    buf + h->target, h->target_len, h->minor, h->len, (int)h->framing, (unsigned long long)h->length, h->length_given,
	    h->keep_alive, h->expect_continue);
	for (size_t i = 0; i < h->field_count; i++)
		sbuf_addf(sb, " %s=%s", buf + h->fields[i].name, buf + h->fields[i].value);
}

/* Parse ${text}, first ${split} bytes of it, then ${step} more at a time. */
static err_code
parse(const char *text, size_t len, size_t split, size_t step, struct head *h, char **buf_out, struct sbuf *sb)
{
	char *buf = malloc(len + !len); /* no byte more: a sanitizer sees every read past the end */
	struct err err = { 0 };
	bool done = false;
	err_code rc = ERR_OK;

	assert_non_null(buf);
	memcpy(buf, text, len);
	head_init(h);
	for (size_t at = split; !rc && !done; at = MIN(at + step, len)) {
		rc = head_feed(h, buf, at, &done, &err);
		if (at == len)
			break;
	}
	if (rc)
		assert_true(err.code == rc && err.msg[0] != '\0');
	describe(sb, h, buf, rc, done);
	if (buf_out)
		*buf_out = buf;
	else
		free(buf);
	return rc;
}

/* The result of the whole text, after checking that every split gives the same. */
static err_code
parse_all_ways(const char *text, size_t len, struct head *h, char **buf)
{
	AUTO(sbuf_fini) struct sbuf whole = SBUF(64 * KIB);
	err_code rc = parse(text, len, len, len, h, buf, &whole), other;
	size_t stride = len > 1000 ? 97 : 1; /* the long rows would take minutes */

	for (size_t split = 0; split <= len; split += stride) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		struct head again;

		other = parse(text, len, split, split == 0 ? 1 : len, &again, NULL, &sb);
		assert_string_equal(sbuf_str(&sb), sbuf_str(&whole));
		assert_int_equal(other, rc);
	}
	return rc;
}

static void
expect(const char *text, size_t len, err_code want)
{
	struct head h;
	char *buf;
	err_code rc = parse_all_ways(text, len, &h, &buf);

	free(buf);
	if (rc != want)
		fail_msg("%.60s: %s, not %s", text, rc ? err_info(rc)->code : "accepted", want ? err_info(want)->code : "accepted");
}

#define ROW(text, want) { text, sizeof(text) - 1, want }

static const struct {
	const char *text;
	size_t len;
	err_code want;
} rows[] = {
	/* request lines */
	ROW(START "\r\n", ERR_OK),
	ROW("OPTIONS /a?b=c%20d HTTP/1.1\r\nHost: a\r\n\r\n", ERR_OK),
	ROW("GET / HTTP/1.0\r\n\r\n", ERR_OK),
	ROW("GET  / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET /  HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1 \r\n", ERR_FRAMING),
	ROW(" GET / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET\t/ HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET /\tx HTTP/1.1\r\n", ERR_FRAMING),
	ROW("\r\nGET / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("\nGET / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET /\r\n", ERR_FRAMING),
	ROW("GET / \r\n", ERR_FRAMING),
	ROW("GET HTTP/1.1\r\n", ERR_FRAMING),
	ROW(" / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("get / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("Get / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("G\"T / HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET / http/1.1\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.2\r\n", ERR_FRAMING),
	ROW("GET / HTTP/0.9\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.10\r\n", ERR_FRAMING),
	ROW("GET / HTTP/11\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1\r\n", ERR_FRAMING),
	ROW("GET / XTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET / HTTP/2.0\r\n", ERR_VERSION_NOT_SUPPORTED),
	ROW("GET / HTTP/3.0\r\n", ERR_VERSION_NOT_SUPPORTED),
	ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_VERSION_NOT_SUPPORTED),
	ROW("BREW / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED),
	ROW("M-SEARCH / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED),
	ROW("GETT / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED),
	ROW("GE / HTTP/1.1\r\n", ERR_NOT_IMPLEMENTED),
	ROW("TRACE / HTTP/1.1\r\n", ERR_METHOD_NOT_ALLOWED),
	ROW("TRACK / HTTP/1.1\r\n", ERR_METHOD_NOT_ALLOWED),
	ROW("DEBUG / HTTP/1.1\r\n", ERR_METHOD_NOT_ALLOWED),
	ROW("CONNECT a:80 HTTP/1.1\r\n", ERR_METHOD_NOT_ALLOWED),
	ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", ERR_FRAMING),
	ROW("\x16\x03\x01\x02\x00\x01", ERR_FRAMING), /* TLS to the plain port */

	/* targets */
	ROW("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_OK),
	ROW("GET HTTPS://A:1/b?c HTTP/1.1\r\nHost: a:1\r\n\r\n", ERR_OK),
	ROW("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("GET * HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("GET x HTTP/1.1\r\nHost: a\r\n\r\n", ERR_URL_INVALID),
	ROW("GET /a#b HTTP/1.1\r\n", ERR_URL_INVALID),
	ROW("GET /\xc3\xa9 HTTP/1.1\r\n", ERR_URL_INVALID),
	ROW("GET /\x7f HTTP/1.1\r\n", ERR_FRAMING),
	ROW("GET /\0 HTTP/1.1\r\n", ERR_FRAMING),

	/* lines and fields */
	ROW("GET / HTTP/1.1\nHost: a\n\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a\r\n\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\rHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\rb\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\r\n b\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\r\n\tb\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost : a\r\n\r\n", ERR_FRAMING),
	ROW(START "X\r\n\r\n", ERR_FRAMING),
	ROW(START ": x\r\n\r\n", ERR_FRAMING),
	ROW(START "X(: x\r\n\r\n", ERR_FRAMING),
	ROW(START "X\xe9: x\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\0b\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\x01\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\x7f\r\n\r\n", ERR_FRAMING),
	ROW(START "X: a\x0b\r\n\r\n", ERR_FRAMING),
	ROW(START "X:\r\nY:  \xc3\xa9\tb \r\n\r\n", ERR_OK),

	/* Host */
	ROW("GET / HTTP/1.1\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a:080\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n", ERR_OK),
	ROW("GET / HTTP/1.1\r\nHost: a:8:8\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ERR_OK),
	ROW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", ERR_FRAMING),
	ROW("GET / HTTP/1.1\r\nHost: []\r\n\r\n", ERR_FRAMING),

	/* framing */
	ROW(PUT "Content-Length: 0\r\n\r\n", ERR_OK),
	ROW(PUT "Content-Length:5\r\n\r\n", ERR_OK),
	ROW(PUT "Content-Length: 9223372036854775807\r\n\r\n", ERR_OK),
	ROW(PUT "Content-Length: 9223372036854775808\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 18446744073709551621\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: +5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: -1\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 0x5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 05\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 00\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5e1\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5 \r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length:  5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length:\t5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: \r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length:\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5, 5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked\r\n\r\n", ERR_OK),
	ROW(PUT "Transfer-Encoding:\tchunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: \x0b" "chunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked \r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked, chunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked, identity\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: chunked;q=1\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding:\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Transfer-Encoding: xchunked\r\n\r\n", ERR_NOT_IMPLEMENTED),
	ROW(PUT "Transfer-Encoding: Chunked\r\n\r\n", ERR_NOT_IMPLEMENTED),
	ROW(PUT "Transfer-Encoding: identity\r\n\r\n", ERR_NOT_IMPLEMENTED),
	ROW("PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_FRAMING),

	/* the rest */
	ROW(PUT "Authorization: a\r\nAuthorization: a\r\n\r\n", ERR_FRAMING),
	ROW(PUT "Expect: 100-continue\r\n\r\n", ERR_OK),
	ROW(PUT "Expect: 100-Continue\r\n\r\n", ERR_OK),
	ROW(PUT "Expect: 200-ok\r\n\r\n", ERR_EXPECTATION_FAILED),
	ROW(PUT "Expect: 100-continue\r\nExpect: x\r\n\r\n", ERR_EXPECTATION_FAILED),
	ROW(PUT "Expect:\r\n\r\n", ERR_EXPECTATION_FAILED),
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].text, rows[i].len, rows[i].want);
}

/* ${count} times ${c}, between ${before} and ${after}. */
static void
expect_filled(const char *before, char c, size_t count, const char *after, err_code want)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);

	sbuf_add(&sb, before);
	for (size_t i = 0; i < count; i++)
		sbuf_addc(&sb, c);
	sbuf_add(&sb, after);
	expect(sbuf_str(&sb), sb.len, want);
}

static void
test_both_sides_of_each_limit(void **state)
{
	static const char rest[] = " HTTP/1.1\r\nHost: a\r\n\r\n", before[] = START "X: ";
	size_t fill = HTTP_HEAD_MAX - (sizeof before - 1) - 4;

	(void)state;
	expect_filled("GET /", 'x', HTTP_URI_MAX - 1, rest, ERR_OK);
	expect_filled("GET /", 'x', HTTP_URI_MAX, rest, ERR_URI_TOO_LONG);
	expect_filled("GET /", 'x', HTTP_URI_MAX, "", ERR_URI_TOO_LONG); /* without waiting for the line's end */
	expect_filled(before, 'x', fill, "\r\n\r\n", ERR_OK);
	expect_filled(before, 'x', fill + 1, "\r\n\r\n", ERR_HEADERS_TOO_LARGE);
	expect_filled(before, 'x', HTTP_HEAD_MAX, "", ERR_HEADERS_TOO_LARGE);
}

static void
test_field_count(void **state)
{
	(void)state;
	for (unsigned n = HTTP_FIELDS_MAX - 1; n <= HTTP_FIELDS_MAX; n++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);

		sbuf_add(&sb, START);
		for (unsigned i = 0; i < n; i++)
			sbuf_add(&sb, "X: y\r\n");
		sbuf_add(&sb, "\r\n");
		expect(sbuf_str(&sb), sb.len, n == HTTP_FIELDS_MAX ? ERR_HEADERS_TOO_LARGE : ERR_OK);
	}
}

static void
test_what_a_head_says(void **state)
{
	static const char text[] = "PUT http://A:80/p?q HTTP/1.1\r\nHOST: a:80\r\nX-One:  two words \r\nx-one: b\r\n"
	                           "Content-Length: 12\r\nExpect: 100-continue\r\nConnection: foo, Close\r\n\r\nbody";
	struct head h;
	char *buf;

	(void)state;
	assert_int_equal(parse_all_ways(text, sizeof text - 1, &h, &buf), ERR_OK);
	assert_int_equal(h.method, METHOD_PUT);
	assert_string_equal(buf, "PUT");
	assert_string_equal(buf + h.target, "/p?q");
	assert_int_equal(h.target_len, 4);
	assert_int_equal(h.len, sizeof text - 1 - 4);
	assert_string_equal(head_value(&h, buf, "x-one"), "two words");
	assert_int_equal(head_count(&h, buf, "x-one"), 2);
	assert_null(head_value(&h, buf, "x-two"));
	assert_int_equal(h.framing, FRAMING_LENGTH);
	assert_int_equal(h.length, 12);
	assert_true(h.expect_continue);
	assert_false(h.keep_alive);
	free(buf);
}

static void
test_absolute_form_without_a_path(void **state)
{
	static const char text[] = "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n";
	struct head h;
	char *buf;

	(void)state;
	assert_int_equal(parse_all_ways(text, sizeof text - 1, &h, &buf), ERR_OK);
	assert_string_equal(buf + h.target, "/");
	assert_int_equal(h.target_len, 1);
	assert_string_equal(head_value(&h, buf, "host"), "a");
	assert_true(h.keep_alive);
	free(buf);
}

static void
test_http10_closes(void **state)
{
	static const char text[] = "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n";
	struct head h;
	char *buf;

	(void)state;
	assert_int_equal(parse_all_ways(text, sizeof text - 1, &h, &buf), ERR_OK);
	assert_false(h.keep_alive);
	assert_false(h.expect_continue); /* RFC 9110 10.1.1: not in HTTP/1.0 */
	free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_both_sides_of_each_limit),
		cmocka_unit_test(test_field_count),
		cmocka_unit_test(test_what_a_head_says),
		cmocka_unit_test(test_absolute_form_without_a_path),
		cmocka_unit_test(test_http10_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
