/*
 * One block's compression.  Input: two bytes raw_len - 1, then a frame.
 *
 * A frame that is taken yields what zstd's own decoder makes of it, in a buffer of exactly raw_len; and whatever the bytes are,
 * packing and unpacking them gives them back.
 */

#include "fuzz.h"

#include <assert.h>
#include <zstd.h>

#include "chunk/codec.h"

static void
unpack(struct codec *c, const uint8_t *p, size_t len, size_t raw_len)
{
	AUTO(freep) uint8_t *out = xmalloc(raw_len);
	AUTO(freep) uint8_t *want = NULL;

	if (codec_unpack(c, p, len, out, raw_len, NULL))
		return;
	want = xmalloc(raw_len);
	assert(ZSTD_getFrameContentSize(p, len) == raw_len);
	assert(ZSTD_decompress(want, raw_len, p, len) == raw_len);
	assert(memcmp(out, want, raw_len) == 0);
}

static void
round_trip(struct codec *c, const uint8_t *p, size_t len)
{
	AUTO(freep) uint8_t *packed = xmalloc(len);
	AUTO(freep) uint8_t *back = xmalloc(len);
	size_t packed_len = 0;
	err_code rc;

	if (!codec_pack(c, p, len, packed, &packed_len))
		return;
	assert(packed_len * 16 <= len * 15);
	rc = codec_unpack(c, packed, packed_len, back, len, NULL);
	assert(rc == ERR_OK);
	assert(memcmp(back, p, len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct codec *c; /* kept, as a worker keeps its own: what one frame leaves behind must not reach the next */

	if (len < 2)
		return 0;
	if (!c)
		c = codec_new();
	unpack(c, p + 2, len - 2, (size_t)get_u16le(p) + 1);
	if (len > 2 && len - 2 <= BLOCK_LEN_MAX)
		round_trip(c, p + 2, len - 2);
	return 0;
}
