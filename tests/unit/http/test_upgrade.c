/* upgrade.c: which heads are a WebSocket handshake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/http/upgrade.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455, 1.3 */

static err_code
ask(const char *line, const char *fields, char accept[static HTTP_ACCEPT_LEN + 1])
{
	char text[2000];
	struct head h;
	struct err err;
	bool done;

	snprintf(text, sizeof text, "%s\r\nHost: localhost\r\n%s\r\n", line, fields);
	head_init(&h);
	assert_int_equal(head_feed(&h, text, strlen(text), &done, &err), ERR_OK);
	assert_true(done);
	return upgrade_check(&h, text, accept, &err);
}

static void
the_example_of_the_rfc(void **state)
{
	char accept[HTTP_ACCEPT_LEN + 1];

	(void)state;
	assert_int_equal(ask("GET /events HTTP/1.1", "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: " KEY
	    "\r\nSec-WebSocket-Version: 13\r\n", accept), ERR_OK);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#define UP "Upgrade: websocket\r\n"
#define CON "Connection: Upgrade\r\n"
#define K "Sec-WebSocket-Key: " KEY "\r\n"
#define V "Sec-WebSocket-Version: 13\r\n"

static void
what_is_none(void **state)
{
	static const struct {
		const char *line, *fields;
		err_code want;
	} rows[] = {
		{ "GET / HTTP/1.1", "", ERR_UPGRADE_REQUIRED },
		{ "HEAD / HTTP/1.1", "", ERR_UPGRADE_REQUIRED },
		{ "GET / HTTP/1.1", CON K V, ERR_UPGRADE_REQUIRED },
		{ "GET / HTTP/1.1", UP CON K, ERR_UPGRADE_REQUIRED },
		{ "GET / HTTP/1.1", UP CON K "Sec-WebSocket-Version: 8\r\n", ERR_UPGRADE_REQUIRED },
		{ "GET / HTTP/1.1", UP CON K "Sec-WebSocket-Version: 13, 8\r\n", ERR_UPGRADE_REQUIRED },
		{ "GET / HTTP/1.0", UP CON K V, ERR_UPGRADE_INVALID },
		{ "HEAD / HTTP/1.1", UP CON K V, ERR_UPGRADE_INVALID },
		{ "POST / HTTP/1.1", UP CON K V "Content-Length: 0\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON K V "Content-Length: 5\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP "Connection: upgraded\r\n" K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON CON K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP UP CON K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", "Upgrade: h2c\r\n" CON K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON K K V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON K V V, ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: \r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: dGhl-HNhbXBsZSBub25jZQ==\r\n", ERR_UPGRADE_INVALID },
		{ "GET / HTTP/1.1", UP CON V "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBtb3JlIQ==\r\n", ERR_UPGRADE_INVALID },
	};
	char accept[HTTP_ACCEPT_LEN + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_code rc = ask(rows[i].line, rows[i].fields, accept);

		if (rc != rows[i].want)
			fail_msg("row %zu: %d", i, rc);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_example_of_the_rfc), cmocka_unit_test(what_is_none) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
