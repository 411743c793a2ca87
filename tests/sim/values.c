/*
 * Contents that say what they are.  A value is a line with its number, and then bytes that follow from a number of its body; an edit is
 * a new value with most of the body of the old one.  So whoever reads bytes knows which value they are, or that nobody ever wrote them.
 */
#include "sim.h"

#include <endian.h>

#define HEAD 32 /* "value 000017 of 0000000123 bytes\n" is longer: the number and the length are enough */
#define PATCHES_MAX 4

struct value {
	size_t size;
	uint64_t body;
	struct patch {
		size_t at, len;
		uint64_t seed;
	} patches[PATCHES_MAX];
	size_t patch_count;
};

static struct value values[VALUES_MAX];
static unsigned last;

static size_t
any_size(struct dice *dice)
{
	switch (dice_below(dice, 16)) {
	case 0:
		return HEAD + 65536 + dice_below(dice, 200000);
	case 1:
	case 2:
		return HEAD + dice_below(dice, 20000);
	default:
		return HEAD + dice_below(dice, 200);
	}
}

unsigned
value_new(struct dice *dice, unsigned from)
{
	struct value *v;

	if (last + 1 >= VALUES_MAX)
		fail("sim", "too many values");
	v = &values[++last];
	if (from == VALUE_NONE || from > last) {
		*v = (struct value){ .size = any_size(dice) };
		v->body = dice_u64(dice);
		return last;
	}
	*v = values[from];
	switch (dice_below(dice, 3)) {
	case 0: /* appended to */
		v->size += dice_below(dice, 300);
		break;
	case 1: /* cut */
		v->size = HEAD + (v->size - HEAD) / 2;
		break;
	default:
		if (v->patch_count < PATCHES_MAX) {
			struct patch *p = &v->patches[v->patch_count++];

			p->at = dice_below(dice, (uint32_t)v->size);
			p->len = 1 + dice_below(dice, 400);
			p->seed = dice_u64(dice);
		}
	}
	return last;
}

unsigned
value_same_size(unsigned from)
{
	if (last + 1 >= VALUES_MAX)
		fail("sim", "too many values");
	values[++last] = values[from];
	return last;
}

unsigned
value_count(void)
{
	return last;
}

size_t
value_size(unsigned v)
{
	return values[v].size;
}

/* A byte for each place, whatever is read before it: eight of them are a number. */
static void
bytes_at(uint64_t seed, size_t at, uint8_t *p, size_t len)
{
	while (len > 0) {
		uint64_t z = (seed + at / 8) * UINT64_C(0x9e3779b97f4a7c15);
		size_t first = at % 8, n = MIN(8 - first, len);

		z = htole64((z ^ z >> 29) * UINT64_C(0xbf58476d1ce4e5b9));
		memcpy(p, (uint8_t *)&z + first, n);
		p += n;
		at += n;
		len -= n;
	}
}

void
value_bytes(unsigned v, uint8_t *p)
{
	const struct value *value = &values[v];
	char head[HEAD + 32];

	bytes_at(value->body, 0, p, value->size);
	for (size_t k = 0; k < value->patch_count; k++) {
		const struct patch *patch = &value->patches[k];

		if (patch->at < value->size)
			bytes_at(patch->seed, patch->at, p + patch->at, MIN(patch->len, value->size - patch->at));
	}
	snprintf(head, sizeof head, "value %010u of %010zu bytes\n", v, value->size);
	memcpy(p, head, MIN(strlen(head), (size_t)HEAD));
}

unsigned
value_of(const uint8_t *p, size_t len)
{
	AUTO(freep) uint8_t *want = NULL;
	unsigned v = 0;

	if (len < HEAD || memcmp(p, "value ", 6) != 0)
		return VALUE_TORN;
	for (size_t i = 6; i < 16; i++)
		v = v * 10 + (unsigned)(p[i] - '0');
	if (v == VALUE_NONE || v > last || values[v].size != len)
		return VALUE_TORN;
	want = xmalloc(len);
	value_bytes(v, want);
	return memcmp(want, p, len) == 0 ? v : VALUE_TORN;
}
