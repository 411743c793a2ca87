/* text/event-stream, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "client/remote/sse.h"

struct heard {
	char text[4096];
	size_t len;
};

static void
on_message(void *ctx, const char *event, const char *id)
{
	struct heard *h = ctx;

	h->len += (size_t)snprintf(h->text + h->len, sizeof h->text - h->len, "%s/%s ", event, id);
	assert_true(h->len < sizeof h->text);
}

/* The whole stream, and the same in pieces of ${piece} bytes, 0: of random ones. */
static void
check(const char *stream, size_t len, const char *expected)
{
	for (size_t piece = 0; piece < 20; piece++) {
		struct heard h = { 0 };
		struct sse s = { 0 };

		for (size_t at = 0, n; at < len; at += n) {
			n = piece ? piece : 1 + (size_t)(rng_u64() % 40);
			n = MIN(n, len - at);
			sse_feed(&s, (const uint8_t *)stream + at, n, on_message, &h);
		}
		assert_string_equal(h.text, expected);
	}
}

static void
test_messages(void **state)
{
	static const char stream[] =
	    ": welcome\n\nevent: hello\nid: 12.ab\ndata: {\"type\":\"hello\"}\n\nevent: change\ndata: {}\nid: 13.ab\n\n: beat\n\n"
	    "data: unnamed\n\nid: 14.ab\r\nevent: resync\r\n\r\nevent:tight\rid:15\r\rretry: 5\n\nevent\nid\n\nevent: not ended\n";

	(void)state;
	check(stream, sizeof stream - 1, "hello/12.ab change/13.ab message/ resync/14.ab tight/15 message/ message/ ");
}

static struct sbuf kept;

static void
on_kept(void *ctx, const char *event, const char *id)
{
	struct heard *h = ctx;

	(void)id;
	h->len += (size_t)snprintf(h->text + h->len, sizeof h->text - h->len, "%s=%s ", event, kept.failed ? "too long" : sbuf_str(&kept));
	assert_true(h->len < sizeof h->text);
}

/* What the messages hold, for who wants that, up to a ceiling. */
static void
test_data(void **state)
{
	static const char stream[] = "event: a\ndata: {\"x\": 1}\nid: 1\n\n: data: no\n\nevent: b\n\nevent: c\ndata: 0123456789012345678901\n\n"
				     "data: y\r\nevent: d\r\n\r\n";

	(void)state;
	for (size_t piece = 1; piece < 20; piece++) {
		struct heard h = { 0 };
		struct sse s = { .data = &kept };

		kept = SBUF(20);
		for (size_t at = 0; at < sizeof stream - 1; at += piece)
			sse_feed(&s, (const uint8_t *)stream + at, MIN(piece, sizeof stream - 1 - at), on_kept, &h);
		assert_string_equal(h.text, "a={\"x\": 1} b= c=too long d=y ");
		sbuf_fini(&kept);
	}
}

static void
test_long_lines(void **state)
{
	static char stream[200000];
	size_t n = 0;

	(void)state;
	n += (size_t)snprintf(stream, sizeof stream, "event: change\nid: 1.a\ndata: ");
	memset(stream + n, 'x', 150000);
	n += 150000;
	n += (size_t)snprintf(stream + n, sizeof stream - n, "\n\nevent: change\nid: ");
	memset(stream + n, '9', 1000); /* no cursor of ours */
	n += 1000;
	n += (size_t)snprintf(stream + n, sizeof stream - n, "\n\nevent: hello\nid: 2.b\n\n");
	check(stream, n, "change/1.a change/ hello/2.b ");
}

static void
test_rubbish(void **state)
{
	(void)state;
	for (int run = 0; run < 2000; run++) {
		struct heard h = { 0 };
		struct sse s = { 0 };
		uint8_t bytes[600];

		rng_bytes(bytes, sizeof bytes);
		for (size_t i = 0; i < sizeof bytes; i++)
			if (bytes[i] < 60)
				bytes[i] = (uint8_t)"\n\r: eventid"[bytes[i] % 11];
		for (size_t at = 0; at < sizeof bytes && h.len < 3000; at += 20)
			sse_feed(&s, bytes + at, 20, on_message, &h);
		assert_true(s.len < SSE_KEEP && strlen(s.event) < SSE_KEEP && strlen(s.id) < SSE_KEEP);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
