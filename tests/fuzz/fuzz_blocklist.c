/*
 * A packed page of a block list, or of its extents only.  Input: the page.
 *
 * There is one way to write a list: what is taken is packed again to the same bytes.  Lengths and slots add up.
 */

#include "fuzz.h"

#include <assert.h>

#include "chunk/blocklist.h"

static void
check_list(const struct blocklist *l, const uint8_t *p, size_t len)
{
	AUTO(freep) uint8_t *again = xmalloc(len);
	uint64_t slots = 0;

	assert(blocklist_packed_len(l) == len);
	blocklist_pack(l, again);
	assert(memcmp(again, p, len) == 0);
	for (uint32_t i = 0; i < l->extent_count; i++) {
		assert(l->extents[i].first + l->extents[i].count <= CHUNK_BLOCKS_MAX);
		slots += l->extents[i].count;
	}
	assert(slots == l->block_count);
	assert(blocklist_bytes(l) >= l->block_count && blocklist_bytes(l) <= l->block_count * BLOCK_LEN_MAX);
}

static void
check_extents(const struct blocklist *l, const uint8_t *p, size_t len)
{
	AUTO(freep) uint8_t *again = xmalloc(len);
	uint64_t slots = 0;

	assert(blocklist_extents_len(l) == len);
	blocklist_extents_pack(l, again);
	assert(memcmp(again, p, len) == 0 && l->blocks == NULL);
	for (uint32_t i = 0; i < l->extent_count; i++)
		slots += l->extents[i].count;
	assert(slots == l->block_count);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const uint32_t limits[] = { BLOCKLIST_PAGE_BLOCKS, BLOCKLIST_UPLOAD_MAX, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);
		struct blocklist l = { 0 };

		if (blocklist_unpack(p, len, limits[i], a, &l, NULL) == ERR_OK)
			check_list(&l, p, len);
		if (blocklist_extents_unpack(p, len, limits[i], a, &l, NULL) == ERR_OK)
			check_extents(&l, p, len);
	}
	return 0;
}
