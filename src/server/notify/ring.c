#include "server/notify/ring.h"

#include <assert.h>

struct frame *
frame_new(int64_t since, int64_t to, const char *text, size_t len)
{
	struct frame *f = xmalloc(sizeof *f + len + 1);

	*f = (struct frame){ .refs = 1, .since = since, .to = to, .len = len };
	memcpy(f->text, text, len);
	f->text[len] = '\0';
	return f;
}

struct frame *
frame_ref(struct frame *f)
{
	f->refs++;
	return f;
}

void
frame_unref(struct frame *f)
{
	if (f && --f->refs == 0)
		free(f);
}

void
ring_init(struct ring *r, int64_t clock, size_t bytes_max)
{
	*r = (struct ring){ .to = clock, .bytes_max = bytes_max };
}

/* Where the ${i}-th oldest lies. */
static unsigned
slot(const struct ring *r, unsigned i)
{
	return (r->first + i) % RING_FRAMES;
}

static void
drop_oldest(struct ring *r)
{
	struct frame *f = r->frames[slot(r, 0)];

	r->bytes -= f->len;
	r->first = (r->first + 1) % RING_FRAMES;
	r->n--;
	frame_unref(f);
}

void
ring_fini(struct ring *r)
{
	while (r->n > 0)
		drop_oldest(r);
}

void
ring_push(struct ring *r, struct frame *f)
{
	assert(f->since == r->to && f->to > f->since);
	if (r->n == RING_FRAMES)
		drop_oldest(r);
	r->frames[slot(r, r->n)] = f;
	r->n++;
	r->bytes += f->len;
	r->to = f->to;
	while (r->n > 1 && r->bytes > r->bytes_max)
		drop_oldest(r);
}

enum ring_has
ring_find(const struct ring *r, int64_t clock, struct frame **out)
{
	unsigned low = 0, high = r->n;

	if (clock >= r->to)
		return RING_NONE;
	while (low < high) { /* the first whose since is not before ${clock} */
		unsigned mid = low + (high - low) / 2;

		if (r->frames[slot(r, mid)]->since < clock)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == r->n || r->frames[slot(r, low)]->since != clock)
		return RING_PASSED;
	*out = r->frames[slot(r, low)];
	return RING_NEXT;
}
