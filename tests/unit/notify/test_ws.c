/* Frames: each row whole, and split at every byte, so that no answer depends on how bytes arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/notify/ws.h"

/** What a client would send: masked, with FIN and RSV from ${first}. */
static size_t
put_frame(uint8_t *out, uint8_t first, const void *payload, size_t len)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	size_t n = ws_head(out, WS_OP_TEXT, len);

	out[0] = first;
	out[1] |= 0x80;
	memcpy(out + n, mask, 4);
	for (size_t i = 0; i < len; i++)
		out[n + 4 + i] = ((const uint8_t *)payload)[i] ^ mask[i & 3];
	return n + 4 + len;
}

/** Feeds in pieces of ${step}; what happens is written down: "text:hello ping:x closed:1000 broken:1002". */
static void
run(const uint8_t *p, size_t len, size_t step, char *out, size_t cap)
{
	struct ws w;
	struct ws_got got = { .what = WS_NOTHING };
	size_t n = 0;

	ws_init(&w);
	out[0] = '\0';
	for (size_t at = 0; at < len && got.what < WS_CLOSED; at += step) {
		uint8_t *piece = xmalloc(MIN(step, len - at)); /* its end is the end of an allocation */
		const uint8_t *q = piece;
		size_t left = MIN(step, len - at);

		memcpy(piece, p + at, left);
		do {
			ws_read(&w, &q, &left, &got);
			if (got.what == WS_TEXT)
				n += (size_t)snprintf(out + n, cap - n, "text:%.*s ", (int)MIN(got.len, 20), (const char *)got.p);
			else if (got.what == WS_PING || got.what == WS_PONG)
				n += (size_t)snprintf(out + n, cap - n, "%s:%.*s ", got.what == WS_PING ? "ping" : "pong", (int)MIN(got.len, 20),
				    (const char *)got.p);
			else if (got.what == WS_CLOSED || got.what == WS_BROKEN)
				n += (size_t)snprintf(out + n, cap - n, "%s:%u ", got.what == WS_CLOSED ? "closed" : "broken", got.code);
		} while (got.what != WS_NOTHING && got.what < WS_CLOSED);
		free(piece);
	}
	ws_fini(&w);
}

static void
check(const uint8_t *p, size_t len, const char *want)
{
	char out[400];

	for (size_t step = 1; step <= len; step = step < 16 ? step + 1 : step * 7) {
		run(p, len, step, out, sizeof out);
		if (strcmp(out, want) != 0)
			fail_msg("in pieces of %zu: %s, not %s", step, out, want);
	}
	run(p, len, len, out, sizeof out);
	assert_string_equal(out, want);
}

static void
messages(void **state)
{
	static uint8_t buf[80000];
	static char text[EVENTS_MESSAGE_MAX + 1];
	size_t n;

	(void)state;
	n = put_frame(buf, 0x81, "hello", 5);
	n += put_frame(buf + n, 0x01, "a", 1);
	n += put_frame(buf + n, 0x89, "p", 1); /* between the fragments of a message */
	n += put_frame(buf + n, 0x00, "", 0);
	n += put_frame(buf + n, 0x80, "b", 1);
	n += put_frame(buf + n, 0x8a, "", 0);
	n += put_frame(buf + n, 0x81, "", 0);
	n += put_frame(buf + n, 0x88, "\x03\xe8", 2);
	check(buf, n, "text:hello ping:p text:ab pong: text: closed:1000 ");
	memset(text, ' ', sizeof text);
	check(buf, put_frame(buf, 0x81, text, 125), "text:                     ");
	check(buf, put_frame(buf, 0x81, text, 126), "text:                     ");
	check(buf, put_frame(buf, 0x81, text, 65535), "text:                     ");
	check(buf, put_frame(buf, 0x81, text, 65536), "text:                     ");
	check(buf, put_frame(buf, 0x81, text, 65537), "broken:1009 ");
	check(buf, put_frame(buf, 0x81, "\xe2\x82\xac", 3), "text:\xe2\x82\xac ");
	n = put_frame(buf, 0x01, "\xe2\x82", 2); /* a character may be split between frames */
	check(buf, n + put_frame(buf + n, 0x80, "\xac", 1), "text:\xe2\x82\xac ");
}

static void
what_closes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
	} rows[] = {
#define ROW(bytes, want) { bytes, sizeof bytes - 1, want }
		ROW("\x81\x00", "broken:1002 "),                         /* not masked */
		ROW("\xc1", "broken:1002 "), ROW("\xa1", "broken:1002 "), ROW("\x91", "broken:1002 "), /* RSV */
		ROW("\x83", "broken:1002 "), ROW("\x87", "broken:1002 "), ROW("\x8b", "broken:1002 "), ROW("\x8f", "broken:1002 "),
		ROW("\x82", "broken:1003 "),                             /* binary */
		ROW("\x80", "broken:1002 "), ROW("\x00", "broken:1002 "), /* a continuation of nothing */
		ROW("\x08", "broken:1002 "), ROW("\x09", "broken:1002 "), ROW("\x0a", "broken:1002 "), /* fragmented control frames */
		ROW("\x89\xfe", "broken:1002 "),                         /* a ping of 126 bytes */
		ROW("\x81\xfe\x00\x7d", "broken:1002 "),                 /* 125 in two bytes */
		ROW("\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", "broken:1002 "), /* 65,535 in eight */
		ROW("\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00", "broken:1002 "), /* 2^63 */
		ROW("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", "broken:1009 "),
		ROW("\x88\x81\0\0\0\0\x03", "broken:1002 "),             /* a close of one byte */
		ROW("\x88\x80\0\0\0\0", "closed:1000 "),
		ROW("\x88\x83\0\0\0\0\x03\xe8\xff", "broken:1002 "),     /* a reason that is not UTF-8 */
		ROW("\x81\x81\0\0\0\0\xff", "broken:1007 "),
		ROW("\x01\x81\0\0\0\0{\x81\x81\0\0\0\0}", "broken:1002 "),
		ROW("\x01\x81\0\0\0\0{\x82\x81\0\0\0\0}", "broken:1002 "),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char out[100];

		for (size_t step = 1; step <= rows[i].len; step++) {
			run((const uint8_t *)rows[i].bytes, rows[i].len, step, out, sizeof out);
			if (strcmp(out, rows[i].want) != 0)
				fail_msg("row %zu in pieces of %zu: %s", i, step, out);
		}
	}
}

static void
close_codes(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 65536; code++) {
		const uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
		bool good = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code < 5000);
		uint8_t buf[20];
		char out[100], want[40];

		run(buf, put_frame(buf, 0x88, payload, 2), 20, out, sizeof out);
		snprintf(want, sizeof want, good ? "closed:%u " : "broken:1002 ", code);
		assert_string_equal(out, want);
	}
}

static void
fragments(void **state)
{
	uint8_t buf[4000];
	size_t n;
	char out[100];

	(void)state;
	n = put_frame(buf, 0x01, "a", 1);
	for (int i = 0; i < EVENTS_FRAGMENTS_MAX - 2; i++)
		n += put_frame(buf + n, 0x00, "", 0);
	n += put_frame(buf + n, 0x80, "b", 1);
	run(buf, n, n, out, sizeof out);
	assert_string_equal(out, "text:ab ");
	n = put_frame(buf, 0x01, "", 0);
	for (int i = 0; i < EVENTS_FRAGMENTS_MAX; i++)
		n += put_frame(buf + n, 0x00, "", 0);
	run(buf, n, n, out, sizeof out);
	assert_string_equal(out, "broken:1008 ");
}

static void
heads(void **state)
{
	uint8_t out[WS_HEAD_MAX];

	(void)state;
	assert_int_equal(ws_head(out, WS_OP_TEXT, 125), 2);
	assert_memory_equal(out, "\x81\x7d", 2);
	assert_int_equal(ws_head(out, WS_OP_TEXT, 126), 4);
	assert_memory_equal(out, "\x81\x7e\x00\x7e", 4);
	assert_int_equal(ws_head(out, WS_OP_PING, 65535), 4);
	assert_memory_equal(out, "\x89\x7e\xff\xff", 4);
	assert_int_equal(ws_head(out, WS_OP_TEXT, 65536), 10);
	assert_memory_equal(out, "\x81\x7f\0\0\0\0\0\1\0\0", 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(what_closes),
		cmocka_unit_test(close_codes),
		cmocka_unit_test(fragments),
		cmocka_unit_test(heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
