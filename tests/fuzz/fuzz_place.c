/*
 * The cursors of views: whatever the text, it is refused or is the one spelling of a place; and any place comes back as it was, in its own
 * scope and in no other.
 */
#include <assert.h>

#include "fuzz.h"
#include "server/route/place.h"

static void
check_there_and_back(const uint8_t *data, size_t len, struct arena *a)
{
	struct hash scope = hash_of(data, len), other = hash_of("", 0);
	struct view_place p = { .files = len % 2, .text = arena_strndup(a, (const char *)data, MIN(len, (size_t)PLACE_TEXT_MAX)) }, back;
	char text[PLACE_CODED_MAX + 1];

	memcpy(&p.key, data, MIN(len, sizeof p.key));
	place_write(&p, &scope, text);
	assert(place_read(text, strlen(text), &scope, a, &back, NULL) == ERR_OK);
	assert(back.files == p.files && back.key == p.key && strcmp(back.text, p.text) == 0);
	if (!hash_eq(&scope, &other))
		assert(place_read(text, strlen(text), &other, a, &back, NULL) == ERR_CURSOR_INVALID);
	for (size_t i = 0; i < MIN(strlen(text), (size_t)64); i++)
		assert(place_read(text, i, &scope, a, &back, NULL) == ERR_CURSOR_INVALID);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	char text[PLACE_CODED_MAX + 1];
	struct hash scope = { 0 };
	struct view_place p;

	if (len > HTTP_URI_MAX) /* http/ refuses more */
		return 0;
	if (place_read((const char *)data, len, &scope, a, &p, NULL) == ERR_OK)
		assert(strlen(place_write(&p, &scope, text)) == len && memcmp(text, data, len) == 0);
	check_there_and_back(data, len, a);
	return 0;
}
