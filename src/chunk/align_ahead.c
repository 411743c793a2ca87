/*
 * Hashing ahead.  Of a large file nearly every block is where one expects it: behind the one before, as long as the base has it, or on the
 * grid.  So when a piece of the file has been read, the hashes of the blocks that are expected in it are taken at once, half of them by a
 * second thread, and the walk finds them where it would have taken them itself.
 *
 * A1  A hash ahead is a try like any other: it is paid for, and paid back when it becomes a block's (W2 in align_window.c).
 * A2  Where few of the last ones were of use, because what is there is not what was expected, the next piece is not hashed ahead.
 * A3  The second thread touches only what it was given, and is waited for before the window moves.
 */
#include "chunk/align_internal.h"

#include "base/thread.h"

#define AHEAD_FILE_MIN (8 * MIB) /* below, a thread is not worth its start */

static void
hash_range(const struct align *w, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct align_memo *m = &w->ahead->memo[i];

		m->hash = hash_of(align_at(w, m->offset), m->len);
	}
}

static void
second_half(void *arg)
{
	const struct align *w = arg;

	hash_range(w, w->ahead->n / 2, w->ahead->n);
}

/* What is expected from ${done} to ${to}, in the file's order, as far as it may be paid for. */
static void
expect(struct align *w)
{
	struct align_ahead *h = w->ahead;
	uint64_t offset = w->done, spent = w->hash_spent;
	uint32_t i = w->line == ALIGN_NONE ? w->next : w->base->count; /* while the line is sought, the grid from here on */

	h->n = 0;
	while (h->n < ALIGN_AHEAD) {
		uint32_t len = i < w->base->count ? w->base->entries[i++].len : (uint32_t)MIN(BLOCK_LEN_MAX, w->size - offset);

		if (len == 0 || offset + len > w->to || !align_affords(w, spent, len))
			return;
		spent += align_cost(len);
		h->memo[h->n++] = (struct align_memo){ .offset = offset, .len = len };
		offset += len;
	}
}

static bool
last_were_of_use(const struct align_ahead *h)
{
	unsigned left = 0;

	for (unsigned i = 0; i < h->n; i++)
		left += h->memo[i].len > 0;
	return 4 * left <= h->n;
}

void
align_ahead_init(struct align *w)
{
	if (w->size < AHEAD_FILE_MIN)
		return;
	w->ahead = xcalloc(1, sizeof *w->ahead);
	w->ahead->second = workq_new("align", 1, 0);
}

void
align_ahead_fini(struct align *w)
{
	if (!w->ahead)
		return;
	workq_free(w->ahead->second);
	free(w->ahead);
}

void
align_ahead(struct align *w)
{
	struct align_ahead *h = w->ahead;

	if (!h)
		return;
	if (!last_were_of_use(h)) { /* A2 */
		h->n = 0;
		return;
	}
	expect(w);
	if (h->n < 2) {
		h->n = 0;
		return;
	}
	workq_push(h->second, second_half, w);
	hash_range(w, 0, h->n / 2);
	workq_drain(h->second); /* A3 */
	for (unsigned i = 0; i < h->n; i++) {
		w->counts.hashes++;
		w->counts.hashed += h->memo[i].len;
		align_spend(w, h->memo[i].len);
	}
}

struct align_memo *
align_ahead_find(struct align *w, uint64_t offset, uint32_t len)
{
	struct align_ahead *h = w->ahead;

	for (unsigned i = 0; h && i < h->n; i++)
		if (h->memo[i].offset == offset && h->memo[i].len == len)
			return &h->memo[i];
	return NULL;
}
