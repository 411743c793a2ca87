/* Chunked framing: decoded at once, and in pieces whose sizes the input chooses; the bytes and the end must be the same. */
#include <assert.h>

#include "base/base.h"
#include "fuzz.h"
#include "server/http/chunked.h"

struct result {
	err_code rc;
	bool done;
	size_t used, len;
	uint8_t *bytes;
};

static struct result
decode(const uint8_t *data, size_t len, size_t step, size_t cap)
{
	struct result r = { .bytes = malloc(len + 1) };
	struct chunked d;
	struct err err;
	size_t end = MIN(step, len);

	assert(r.bytes);
	chunked_init(&d);
	for (;;) {
		size_t used, got;

		r.rc = chunked_feed(&d, data + r.used, end - r.used, &used, r.bytes + r.len, MIN(cap, len - r.len), &got, &err);
		assert(used <= end - r.used && got <= used);
		r.used += used;
		r.len += got;
		if (r.rc || chunked_done(&d) || r.used == len)
			break;
		if (r.used == end)
			end = MIN(end + step, len);
		else
			assert(used > 0); /* there was input and room */
	}
	r.done = chunked_done(&d);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct result whole, pieces;

	if (len < 3)
		return 0;
	whole = decode(data + 2, len - 2, len, len);
	pieces = decode(data + 2, len - 2, 1 + data[0] % 32, 1 + data[1] % 32);
	assert(whole.rc == pieces.rc && whole.done == pieces.done && whole.used == pieces.used && whole.len == pieces.len);
	assert(memcmp(whole.bytes, pieces.bytes, whole.len) == 0);
	free(whole.bytes);
	free(pieces.bytes);
	return 0;
}
