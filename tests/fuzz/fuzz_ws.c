/* WebSocket frames: read at once, and in pieces whose size the input chooses; what happens must be the same. */
#include <assert.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "server/notify/ws.h"

struct result {
	unsigned events;
	struct hash hash; /* over all that was told, chained */
	enum ws_what end;
	unsigned code;
};

static void
tell(struct result *r, const struct ws_got *got)
{
	uint8_t text[sizeof r->hash + sizeof got->code + EVENTS_MESSAGE_MAX];
	size_t n = sizeof r->hash;

	assert(got->len <= EVENTS_MESSAGE_MAX);
	assert(got->what != WS_TEXT || utf8_valid((const char *)got->p, got->len));
	memcpy(text, &r->hash, n);
	text[n++] = (uint8_t)got->what;
	if (got->len > 0)
		memcpy(text + n, got->p, got->len);
	r->hash = hash_of(text, n + got->len);
	r->events++;
	r->end = got->what;
	r->code = got->code;
}

static struct result
read_all(const uint8_t *data, size_t len, size_t step)
{
	struct result r = { 0 };
	struct ws_got got = { .what = WS_NOTHING };
	struct ws w;

	ws_init(&w);
	for (size_t at = 0; at < len && got.what < WS_CLOSED; at += step) {
		const uint8_t *p = data + at;
		size_t left = MIN(step, len - at);

		do {
			ws_read(&w, &p, &left, &got);
			if (got.what != WS_NOTHING)
				tell(&r, &got);
		} while (got.what != WS_NOTHING && got.what < WS_CLOSED);
	}
	ws_fini(&w);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct result whole, pieces;

	if (len < 2)
		return 0;
	whole = read_all(data + 1, len - 1, len);
	pieces = read_all(data + 1, len - 1, 1 + data[0] % 32);
	assert(whole.events == pieces.events && whole.end == pieces.end && whole.code == pieces.code);
	assert(memcmp(&whole.hash, &pieces.hash, sizeof whole.hash) == 0);
	return 0;
}
