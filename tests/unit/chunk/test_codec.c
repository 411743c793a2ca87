/* The codec: round trips, what pays, and frames that a stranger might send. */

#include "gen.h"

#include <zstd.h>

#include "chunk/codec.h"

static void
round_trips(void **state)
{
	struct gen g = gen_new("round_trips");
	AUTO(codec_freep) struct codec *c = codec_new();
	AUTO(freep) uint8_t *raw = xmalloc(BLOCK_LEN_MAX);
	AUTO(freep) uint8_t *back = xmalloc(BLOCK_LEN_MAX);
	unsigned packed = 0;

	(void)state;
	for (int i = 0; i < 400; i++) {
		size_t len = i % 4 ? gen_range(&g, 1, 600) : gen_range(&g, 1, BLOCK_LEN_MAX);
		AUTO(freep) uint8_t *out = xmalloc(len); /* exactly the room that is asked for, so that ASan sees more */
		size_t out_len = 0;

		gen_bytes(&g, raw, len);
		if (!codec_pack(c, raw, len, out, &out_len))
			continue;
		packed++;
		assert_true(out_len * 16 <= len * 15);
		assert_int_equal(codec_unpack(c, out, out_len, back, len, NULL), ERR_OK);
		assert_memory_equal(back, raw, len);
	}
	assert_true(packed > 0 && packed < 400);
}

static void
noise_and_single_bytes_are_not_packed(void **state)
{
	AUTO(codec_freep) struct codec *c = codec_new();
	AUTO(freep) uint8_t *raw = xmalloc(BLOCK_LEN_MAX);
	AUTO(freep) uint8_t *out = xmalloc(BLOCK_LEN_MAX);
	size_t out_len;

	(void)state;
	rng_bytes(raw, BLOCK_LEN_MAX);
	assert_false(codec_pack(c, raw, BLOCK_LEN_MAX, out, &out_len));
	assert_false(codec_pack(c, raw, 1, out, &out_len));
	memset(raw, 0, BLOCK_LEN_MAX);
	assert_true(codec_pack(c, raw, BLOCK_LEN_MAX, out, &out_len));
	assert_true(out_len < 64);
}

/* One frame of ${raw}, made as ${set} wants. */
static size_t
frame_with(const uint8_t *raw, size_t len, uint8_t *out, size_t cap, ZSTD_cParameter param, int value)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();
	size_t n;

	assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(z, param, value)));
	n = ZSTD_compress2(z, out, cap, raw, len);
	assert_false(ZSTD_isError(n));
	ZSTD_freeCCtx(z);
	return n;
}

struct fixture {
	struct codec *c;
	uint8_t raw[1000];
	uint8_t frame[4096];
	size_t len;
	uint8_t out[1000];
};

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->c = codec_new();
	for (size_t i = 0; i < sizeof f->raw; i++)
		f->raw[i] = (uint8_t)("a plain text, again and again "[i % 30]);
	f->len = frame_with(f->raw, sizeof f->raw, f->frame, sizeof f->frame, ZSTD_c_compressionLevel, 19);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	codec_free(f->c);
	free(f);
	return 0;
}

static void
assert_refused(struct fixture *f, const char *reason)
{
	struct err err = { 0 };

	assert_int_equal(codec_unpack(f->c, f->frame, f->len, f->out, sizeof f->out, &err), ERR_ENCODING_INVALID);
	assert_non_null(err.reason);
	assert_string_equal(err.reason, reason);
}

static void
other_levels_and_checksums_are_taken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(codec_unpack(f->c, f->frame, f->len, f->out, sizeof f->out, NULL), ERR_OK);
	assert_memory_equal(f->out, f->raw, sizeof f->raw);
	f->len = frame_with(f->raw, sizeof f->raw, f->frame, sizeof f->frame, ZSTD_c_checksumFlag, 1);
	assert_int_equal(codec_unpack(f->c, f->frame, f->len, f->out, sizeof f->out, NULL), ERR_OK);
	f->frame[f->len - 1] ^= 1;
	assert_refused(f, "frame");
}

static void
a_frame_cut_short_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t whole = f->len;

	for (f->len = 0; f->len < whole; f->len++) {
		AUTO(freep) uint8_t *exact = xmalloc(f->len ? f->len : 1);

		memcpy(exact, f->frame, f->len);
		assert_int_equal(codec_unpack(f->c, exact, f->len, f->out, sizeof f->out, NULL), ERR_ENCODING_INVALID);
	}
}

static void
trailing_bytes_are_refused(void **state)
{
	struct fixture *f = *state;

	f->frame[f->len++] = 0;
	assert_refused(f, "trailing");
}

static void
two_frames_are_refused(void **state)
{
	struct fixture *f = *state;

	/* An empty second frame would leave the content as it is. */
	f->len += frame_with(f->raw, 0, f->frame + f->len, sizeof f->frame - f->len, ZSTD_c_compressionLevel, 1);
	assert_refused(f, "trailing");
}

static void
skippable_frames_are_refused(void **state)
{
	struct fixture *f = *state;
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4 };
	size_t whole = f->len;

	memcpy(f->frame + f->len, skippable, sizeof skippable);
	f->len += sizeof skippable;
	assert_refused(f, "trailing");

	memmove(f->frame + sizeof skippable, f->frame, whole);
	memcpy(f->frame, skippable, sizeof skippable);
	assert_refused(f, "frame");

	f->len = sizeof skippable;
	assert_refused(f, "frame");
}

static void
formats_before_rfc_8878_are_refused(void **state)
{
	struct fixture *f = *state;

	for (uint32_t version = 0x22; version <= 0x27; version++) {
		put_u32le(f->frame, 0xFD2FB500u | version);
		assert_refused(f, "frame");
	}
}

static void
dictionaries_are_refused(void **state)
{
	struct fixture *f = *state;

	for (uint8_t flag = 1; flag <= 3; flag++) {
		f->frame[4] = (uint8_t)((f->frame[4] & ~3) | flag);
		assert_refused(f, "dictionary");
	}
}

static void
reserved_bits_are_refused(void **state)
{
	struct fixture *f = *state;

	f->frame[4] |= 0x08;
	assert_refused(f, "frame");
}

static void
a_frame_without_its_size_is_refused(void **state)
{
	struct fixture *f = *state;

	f->len = frame_with(f->raw, sizeof f->raw, f->frame, sizeof f->frame, ZSTD_c_contentSizeFlag, 0);
	assert_refused(f, "size");
}

static void
another_size_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t big[1001] = { 0 };

	f->len = frame_with(big, 999, f->frame, sizeof f->frame, ZSTD_c_compressionLevel, 1);
	assert_refused(f, "size");
	f->len = frame_with(big, 1001, f->frame, sizeof f->frame, ZSTD_c_compressionLevel, 1);
	assert_refused(f, "size");
}

/* A header that says 1,000 before blocks that yield more, or fewer: the decoder must stop at the end of ${out}. */
static void
a_header_that_lies_about_the_size_is_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t big[2000] = { 0 };
	static const size_t lens[] = { 300, 999, 1001, 2000 };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		AUTO(freep) uint8_t *exact = xmalloc(sizeof f->out);

		f->len = frame_with(big, lens[i], f->frame, sizeof f->frame, ZSTD_c_compressionLevel, 1);
		assert_int_equal(f->frame[4] & 0xe0, 0x60); /* two bytes of size, single segment */
		f->frame[5] = (uint8_t)((1000 - 256) & 255);
		f->frame[6] = (1000 - 256) >> 8;
		assert_int_equal(codec_unpack(f->c, f->frame, f->len, exact, sizeof f->out, NULL), ERR_ENCODING_INVALID);
	}
}

/* The same frame with a window descriptor in front of its size. */
static void
set_window(struct fixture *f, uint8_t descriptor)
{
	assert_int_equal(f->frame[4] & 0xe0, 0x60);
	memmove(f->frame + 6, f->frame + 5, f->len - 5);
	f->frame[4] &= (uint8_t)~0x20;
	f->frame[5] = descriptor;
	f->len++;
}

static void
windows_up_to_a_block_are_taken(void **state)
{
	struct fixture *f = *state;

	set_window(f, 6 << 3); /* 64 KiB */
	assert_int_equal(codec_unpack(f->c, f->frame, f->len, f->out, sizeof f->out, NULL), ERR_OK);
	assert_memory_equal(f->out, f->raw, sizeof f->raw);
	f->frame[5] = 6 << 3 | 1; /* one eighth more */
	assert_refused(f, "window");
	f->frame[5] = 0xff; /* 3.75 TiB */
	assert_refused(f, "window");
}

static void
flipped_bits_never_write_past_the_end(void **state)
{
	struct fixture *f = *state;
	struct gen g = gen_new("flipped_bits_never_write_past_the_end");
	AUTO(freep) uint8_t *out = xmalloc(sizeof f->out);
	uint8_t frame[4096];

	for (int i = 0; i < 20000; i++) {
		size_t flips = gen_range(&g, 1, 4);

		memcpy(frame, f->frame, f->len);
		while (flips--)
			frame[gen_range(&g, 0, f->len - 1)] ^= (uint8_t)(1 << gen_range(&g, 0, 7));
		(void)!codec_unpack(f->c, frame, f->len, out, sizeof f->out, NULL);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(noise_and_single_bytes_are_not_packed),
		CASE(other_levels_and_checksums_are_taken),
		CASE(a_frame_cut_short_is_refused),
		CASE(trailing_bytes_are_refused),
		CASE(two_frames_are_refused),
		CASE(skippable_frames_are_refused),
		CASE(formats_before_rfc_8878_are_refused),
		CASE(dictionaries_are_refused),
		CASE(reserved_bits_are_refused),
		CASE(a_frame_without_its_size_is_refused),
		CASE(another_size_is_refused),
		CASE(a_header_that_lies_about_the_size_is_refused),
		CASE(windows_up_to_a_block_are_taken),
		CASE(flipped_bits_never_write_past_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
