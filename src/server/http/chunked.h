#pragma once
/** Chunked framing (RFC 9112 7.1), decoded strictly and incrementally, without I/O. */

#include "base/err.h"
#include "base/limits.h"

struct chunked {
	uint8_t state;
	uint8_t digits;             /* of the size line so far */
	uint64_t left;              /* bytes of this chunk to come; while its size line is read: its size */
	size_t extension_len;       /* bytes of extensions, in all */
	size_t trailer_len;         /* bytes of trailer lines, in all */
	uint8_t name_len;           /* of the trailer line's name */
	char name[24];              /* its beginning, lower case: enough to know the names that are refused */
};

void chunked_init(struct chunked *d);

/**
 * chunked_feed(d, in, len, used, out, cap, got, err):
 * Decode from ${in} into ${out} until one is at its end or the body is.  ${used} bytes of input are done with, ${got} bytes of
 * output are new.  Bytes behind the body are not looked at.  Input and output must not overlap.
 *
 * Errors     FRAMING; final.
 */
err_code chunked_feed(struct chunked *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap, size_t *got,
    struct err *err);

/** chunked_done(d): the last chunk and the trailers have been read. */
bool chunked_done(const struct chunked *d);
