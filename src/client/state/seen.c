/*
 * Which contents the base tree may have, in memory.
 *
 * Of each file of a first sync one asks whether another one has its bytes, and nearly always none has: a million look-ups in an index that
 * lies in no order, each in a reading of its own.  So a state that began without files keeps what it has been told since: the first bytes
 * of each content, in an open table.  What is not in it is not in the base tree; what is in it may be, and is looked up.
 *
 * A state that began with files does not know all of them, and looks everything up.  So does one that has become too large (SEEN_MAX).
 *
 * Memory     8 bytes in a table that is at least a quarter full, at most half: 16 to 32 bytes a file.
 */
#include "client/state/state_internal.h"

#define SEEN_FIRST 1024
#define SEEN_MAX (8 * 1024 * 1024) /* slots: 64 MiB, 4 million files */

/* Never 0, which is a free slot. */
static uint64_t
key_of(const struct hash *content)
{
	uint64_t key = get_u64le(content->b);

	return key ? key : 1;
}

static uint64_t *
slot_of(const struct seen *s, uint64_t key)
{
	size_t at = key & s->mask;

	while (s->slots[at] && s->slots[at] != key)
		at = (at + 1) & s->mask;
	return &s->slots[at];
}

static void
grow(struct seen *s)
{
	struct seen old = *s;
	size_t slots = 2 * (old.mask + 1);

	s->slots = xcalloc(slots, sizeof *s->slots);
	s->mask = slots - 1;
	for (size_t i = 0; i <= old.mask; i++)
		if (old.slots[i])
			*slot_of(s, old.slots[i]) = old.slots[i];
	free(old.slots);
}

void
seen_init(struct seen *s)
{
	*s = (struct seen){ .slots = xcalloc(SEEN_FIRST, sizeof *s->slots), .mask = SEEN_FIRST - 1 };
}

void
seen_fini(struct seen *s)
{
	free(s->slots);
	*s = (struct seen){ 0 };
}

void
seen_add(struct seen *s, const struct hash *content)
{
	uint64_t key = key_of(content), *slot;

	if (!s->slots)
		return;
	if (2 * (s->n + 1) > s->mask + 1) {
		if (s->mask + 1 >= SEEN_MAX) {
			seen_fini(s);
			return;
		}
		grow(s);
	}
	slot = slot_of(s, key);
	s->n += *slot == 0;
	*slot = key;
}

bool
seen_maybe(const struct seen *s, const struct hash *content)
{
	return !s->slots || *slot_of(s, key_of(content)) != 0;
}
