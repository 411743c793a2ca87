/*
 * Hashing ahead.  Of a large file nearly every block is where one expects it: behind the one before, as long as the base has it, or on the
 * grid.  So while a stretch of the file is read, piece by piece, a second thread takes the hashes of the blocks that are expected in it, from
 * the front; the reader, when all is there, helps from the back; and the walk finds them where it would have taken them itself.
 *
 * Each takes groups of blocks of one length side by side (hash_each), which is half the work again.
 *
 * A1  A hash ahead is a try like any other: it is paid for, and paid back when it becomes a block's (W2 in align_window.c).
 * A2  Where few of the last ones were of use, because what is there is not what was expected, the next stretch is not hashed ahead.
 * A3  The second thread touches only what has been read and handed to it, and is waited for before the window moves.
 */
#include "chunk/align_internal.h"

#include <assert.h>

#include "base/thread.h"

#define AHEAD_FILE_MIN (8 * MIB) /* below, a thread is not worth its start */

static_assert(ALIGN_AHEAD == ALIGN_GROUPS * HASH_LANES, "groups make the whole");

/* Memos are hashed in groups, side by side; the last group may have fewer. */
static unsigned
group_count(const struct align_ahead *h)
{
	return (h->n + HASH_LANES - 1) / HASH_LANES;
}

static unsigned
group_len(const struct align_ahead *h, unsigned i)
{
	return MIN(HASH_LANES, h->n - i * HASH_LANES);
}

/* Where in the file it ends. */
static uint64_t
group_end(const struct align_ahead *h, unsigned i)
{
	const struct align_memo *last = &h->memo[i * HASH_LANES + group_len(h, i) - 1];

	return last->offset + last->len;
}

static void
hash_group(const struct align *w, unsigned i)
{
	struct align_memo *m = &w->ahead->memo[i * HASH_LANES];
	unsigned n = group_len(w->ahead, i);
	struct slice block[HASH_LANES] = { 0 };
	struct hash hash[HASH_LANES];

	for (unsigned l = 0; l < n; l++)
		block[l] = (struct slice){ align_at(w, m[l].offset), m[l].len };
	hash_each(block, n, hash);
	for (unsigned l = 0; l < n; l++)
		m[l].hash = hash[l];
}

/* Of the groups ${from} … ${to} - 1 those that the other thread has not taken. */
static void
hash_front(void *arg)
{
	const struct ahead_piece *piece = arg;
	struct align_ahead *h = piece->w->ahead;

	for (unsigned i = piece->from; i < piece->to; i++)
		if (!atomic_exchange(&h->taken[i], true))
			hash_group(piece->w, i);
}

/* From the back, until the other thread is met. */
static void
hash_back(const struct align *w)
{
	struct align_ahead *h = w->ahead;

	for (unsigned i = group_count(h); i-- > 0 && !atomic_exchange(&h->taken[i], true);)
		hash_group(w, i);
}

/* What is expected from ${done} to ${end}, in the file's order, as far as it may be paid for. */
static void
expect(struct align *w, uint64_t end)
{
	struct align_ahead *h = w->ahead;
	uint64_t offset = w->done, spent = w->hash_spent;
	uint32_t i = w->line == ALIGN_NONE ? w->next : w->base->count; /* while the line is sought, the grid from here on */

	while (h->n < ALIGN_AHEAD) {
		uint32_t len = i < w->base->count ? w->base->entries[i++].len : (uint32_t)MIN(BLOCK_LEN_MAX, w->size - offset);

		if (len == 0 || offset + len > end || !align_affords(w, spent, len))
			return;
		spent += align_cost(len);
		atomic_store(&h->taken[h->n / HASH_LANES], false);
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
align_ahead_begin(struct align *w, uint64_t end)
{
	struct align_ahead *h = w->ahead;
	bool again = h && last_were_of_use(h);

	if (!h)
		return;
	h->n = h->handed = h->pieces = 0;
	if (again) /* A2 */
		expect(w, end);
}

void
align_ahead_read(struct align *w, uint64_t to)
{
	struct align_ahead *h = w->ahead;
	struct ahead_piece *piece;

	if (!h)
		return;
	assert(h->pieces < ARRAY_LEN(h->piece));
	piece = &h->piece[h->pieces];
	*piece = (struct ahead_piece){ .w = w, .from = h->handed, .to = h->handed };
	while (piece->to < group_count(h) && group_end(h, piece->to) <= to)
		piece->to++;
	if (piece->to == piece->from)
		return;
	h->handed = piece->to;
	h->pieces++;
	workq_push(h->second, hash_front, piece);
}

void
align_ahead_end(struct align *w, bool all)
{
	struct align_ahead *h = w->ahead;

	if (!h)
		return;
	if (all)
		hash_back(w);
	workq_drain(h->second); /* A3 */
	if (!all)
		h->n = 0;
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
