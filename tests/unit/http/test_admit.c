/* admit.c: which hosts, origins and bodies are let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http/admit.h"

static err_code
ask(const struct admit *a, const char *text)
{
	char *buf = xstrdup(text);
	struct head h;
	struct err err;
	bool done;
	err_code rc;

	head_init(&h);
	rc = head_feed(&h, buf, strlen(buf), &done, &err);
	assert_int_equal(rc, ERR_OK);
	assert_true(done);
	rc = admit_check(a, &h, buf, &err);
	free(buf);
	return rc;
}

static err_code
ask_host(const struct admit *a, const char *host)
{
	char text[200];

	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	return ask(a, text);
}

static void
test_hosts(void **state)
{
	static const char *const extra[] = { "dray.example", "[2001:db8::7]:443", NULL };
	struct admit a;

	(void)state;
	admit_init(&a, "192.0.2.1", false, extra);
	assert_int_equal(ask_host(&a, "localhost"), ERR_OK);
	assert_int_equal(ask_host(&a, "LOCALHOST:9"), ERR_OK);
	assert_int_equal(ask_host(&a, "127.0.0.1:8080"), ERR_OK);
	assert_int_equal(ask_host(&a, "[::1]:8080"), ERR_OK);
	assert_int_equal(ask_host(&a, "192.0.2.1:1"), ERR_OK);
	assert_int_equal(ask_host(&a, "Dray.Example"), ERR_OK);
	assert_int_equal(ask_host(&a, "[2001:db8::7]"), ERR_OK);
	assert_int_equal(ask_host(&a, "evil.example"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "dray.example.evil"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "localhos"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "192.0.2.2"), ERR_MISDIRECTED);
	assert_int_equal(ask(&a, "GET / HTTP/1.0\r\n\r\n"), ERR_OK);
	admit_fini(&a);
}

static void
test_wildcard_takes_addresses_but_not_names(void **state)
{
	struct admit a;

	(void)state;
	admit_init(&a, "0.0.0.0", true, NULL);
	assert_int_equal(ask_host(&a, "192.0.2.2:8080"), ERR_OK);
	assert_int_equal(ask_host(&a, "[2001:db8::1]:8080"), ERR_OK);
	assert_int_equal(ask_host(&a, "localhost"), ERR_OK);
	assert_int_equal(ask_host(&a, "evil.example"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "1.2.3"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "1.2.3.4.evil.example"), ERR_MISDIRECTED);
	assert_int_equal(ask_host(&a, "[:::]"), ERR_MISDIRECTED);
	admit_fini(&a);
}

#define HEAD(method, more) method " / HTTP/1.1\r\nHost: localhost:8\r\n" more "\r\n"

static const struct {
	const char *text;
	err_code want;
} rows[] = {
	{ HEAD("GET", "Origin: http://localhost:8\r\n"), ERR_OK },
	{ HEAD("GET", "Origin: https://LOCALHOST:8\r\n"), ERR_OK },
	{ HEAD("GET", "Origin: http://localhost\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Origin: http://evil.example\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Origin: null\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Origin:\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Origin: ws://localhost:8\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Origin: http://localhost:8\r\nOrigin: http://evil\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ HEAD("OPTIONS", "Origin: http://evil\r\nAccess-Control-Request-Method: PUT\r\n"), ERR_ORIGIN_FORBIDDEN },
	{ "GET / HTTP/1.0\r\nOrigin: http://x\r\n\r\n", ERR_ORIGIN_FORBIDDEN },
	{ HEAD("GET", "Content-Length: 0\r\n"), ERR_OK },
	{ HEAD("GET", "Content-Length: 1\r\n"), ERR_BODY_NOT_ALLOWED },
	{ HEAD("HEAD", "Transfer-Encoding: chunked\r\n"), ERR_BODY_NOT_ALLOWED },
	{ HEAD("DELETE", "Content-Length: 1\r\n"), ERR_OK },
	{ HEAD("DELETE", ""), ERR_OK },
	{ HEAD("PUT", ""), ERR_LENGTH_REQUIRED },
	{ HEAD("POST", ""), ERR_LENGTH_REQUIRED },
	{ HEAD("PATCH", ""), ERR_LENGTH_REQUIRED },
	{ HEAD("PUT", "Content-Length: 0\r\n"), ERR_OK },
	{ HEAD("PUT", "Transfer-Encoding: chunked\r\n"), ERR_OK },
	{ HEAD("PUT", "Content-Length: 1\r\nContent-Encoding: gzip\r\n"), ERR_ENCODING_UNSUPPORTED },
	{ HEAD("GET", "X-HTTP-Method-Override: DELETE\r\nX-Forwarded-Host: evil\r\nUpgrade: h2c\r\n"), ERR_OK },
};

static void
test_rows(void **state)
{
	struct admit a;

	(void)state;
	admit_init(&a, "127.0.0.1", false, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (ask(&a, rows[i].text) != rows[i].want)
			fail_msg("%s", rows[i].text);
	admit_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_wildcard_takes_addresses_but_not_names),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
