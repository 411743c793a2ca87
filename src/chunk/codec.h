#pragma once
/**
 * Compression of one block: plain zstd frames, no dictionary, content size in the frame.  Bytes in, bytes out.
 */

#include "base/err.h"
#include "base/limits.h"

/** A reusable compressor and decompressor; one thread at a time.  About 400 KiB once both were used (100 KiB to unpack). */
struct codec;

struct codec *codec_new(void);
void codec_free(struct codec *c);
void codec_freep(struct codec **c);

/**
 * codec_pack(c, raw, len, out, out_len): compress 1 ≤ ${len} ≤ BLOCK_LEN_MAX bytes into ${out}, which has room for ${len} bytes.
 * True when that saved at least 1/16; false when the block is better stored raw (then ${out} is undefined).
 */
bool codec_pack(struct codec *c, const uint8_t *raw, size_t len, uint8_t *out, size_t *out_len);

/**
 * codec_unpack(c, p, len, out, raw_len, err): decode one frame that must yield exactly ${raw_len} ≤ BLOCK_LEN_MAX bytes.
 * Errors     ENCODING_INVALID: not one plain zstd frame that says that size, names no dictionary and needs no window beyond
 *            BLOCK_LEN_MAX; reason "frame", "dictionary", "size", "window" or "trailing".  Never writes past ${raw_len}.
 */
err_code codec_unpack(struct codec *c, const uint8_t *p, size_t len, uint8_t *out, size_t raw_len, struct err *err);
