/*
 * A container as it arrives.  Input: the container.
 *
 * Fed whole, in two pieces and byte by byte, the answer is the same; one that is taken has a header that the parser takes too,
 * that is written again as it was read, and whose blocks fill the container to its end.  Each input is run a second time
 * without the hash check, since a fuzzer cannot forge SHA-256 and would not get past it.
 */

#include "fuzz.h"

#include <assert.h>

#include "chunk/container.h"

static void
check_header(const struct chunk_header *h, const uint8_t *p, size_t len)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	uint8_t again[CHUNK_HEADER_MAX];
	struct chunk_header parsed = { 0 };
	struct hash id;
	uint64_t end = h->header_len, raw = 0;
	err_code rc = chunk_header_parse(p, len, a, &parsed, NULL);

	assert(rc == ERR_OK && parsed.count == h->count && hash_eq(&parsed.id, &h->id));
	for (uint32_t i = 0; i < h->count; i++) {
		assert(h->blocks[i].offset == end);
		end += h->blocks[i].stored_len;
		raw += h->blocks[i].raw_len;
	}
	assert(end == len && end == h->total_len && len <= CHUNK_LEN_MAX);
	assert(raw == h->raw_len && raw <= CHUNK_RAW_MAX);
	id = chunk_header_write(h->blocks, h->count, again);
	assert(hash_eq(&id, &h->id) && memcmp(again, p, h->header_len) == 0);
}

/* The first ${first} bytes, then pieces of ${piece}. */
static err_code
feed(const uint8_t *p, size_t len, size_t first, size_t piece)
{
	AUTO(chunk_check_freep) struct chunk_check *c = chunk_check_new();
	const struct chunk_header *h = NULL;
	err_code rc = chunk_check_feed(c, p, first, NULL);

	for (size_t pos = first; !rc && pos < len; pos += piece)
		rc = chunk_check_feed(c, p + pos, MIN(piece, len - pos), NULL);
	if (!rc)
		rc = chunk_check_done(c, &h, NULL);
	if (!rc)
		check_header(h, p, len);
	return rc;
}

static void
same_however_it_is_fed(const uint8_t *p, size_t len)
{
	err_code whole = feed(p, len, len, 1);

	/* The place of the cut comes from the input itself, so that the fuzzer can move it. */
	assert(feed(p, len, len ? (size_t)p[len / 2] * len / 256 : 0, len + 1) == whole);
	if (len <= 512)
		assert(feed(p, len, 0, 1) == whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	same_however_it_is_fed(p, len);
	setenv("DRAY_FAULT", "chunk.no_hash", 1);
	same_however_it_is_fed(p, len);
	unsetenv("DRAY_FAULT");
	return 0;
}
