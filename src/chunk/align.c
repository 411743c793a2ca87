/*
 * The walk.  One step looks at what lies at ${done}, the end of what is settled, and settles at least one block more:
 *
 *   1. the block that is expected: the one after the last that was taken;
 *   2. the block of the line.  The line is the grid that held before a block was found that nobody expected: a block that was moved, or zeroed, in
 *      place does not make what follows it unexpected.  It is given up as soon as what follows the new place goes on;
 *   3. a full block of the base that lies just here;
 *   4. in place: one or two blocks of the line changed, and the one after them is where it was;
 *   5. the search: roll from here on, until a block of the base is met, at any offset, or the line is.  From there look backwards too, for the
 *      short blocks before it.  What lies between is new.
 *
 * S1  The gap is at most GAP_MAX: no block of the base begins in what lies before it, so that is cut off and goes out.
 */
#include "chunk/align_internal.h"

#include <assert.h>
#include <fcntl.h>

#define GAP_MAX (2 * BLOCK_LEN_MAX) /* one is to be cut off; the other may still become short blocks of the base */
#define ROLL_BATCH 256               /* offsets: numbers that fit a byte; their sums fit the first-level cache */
#define IN_PLACE_MAX 2              /* an edit of a block that lies across the grid */

static const struct align_entry *
entry(const struct align *w, uint32_t i)
{
	return &w->base->entries[i];
}

/* ---- the line ---- */

/* Advance the line to ${offset} or beyond it. */
static void
line_reach(struct align *w, uint64_t offset)
{
	while (w->line != ALIGN_NONE && w->line_at < offset) {
		w->line_at += entry(w, w->line)->len;
		if (++w->line >= w->base->count)
			w->line = ALIGN_NONE;
	}
}

static bool
line_here(const struct align *w, uint64_t offset)
{
	return w->line != ALIGN_NONE && w->line_at == offset;
}

static void
line_begin(struct align *w)
{
	line_reach(w, w->done);
	if (w->line == ALIGN_NONE && w->next < w->base->count) {
		w->line = w->next;
		w->line_at = w->done;
	}
}

/* ---- taking ---- */

/* Base block ${i} lies at done, and the walk goes on behind it. */
static err_code
take(struct align *w, uint32_t i, struct err *err)
{
	w->next = i + 1;
	return align_put_base(w, i, err);
}

static err_code
take_in_line(struct align *w, uint32_t i, struct err *err)
{
	w->line = ALIGN_NONE;
	return take(w, i, err);
}

/* ---- in place ---- */

/* How many blocks of the line changed before one that did not: 1 … IN_PLACE_MAX, 0: not that few. */
static uint32_t
in_place_count(struct align *w)
{
	uint64_t offset = w->done;

	if (!line_here(w, offset))
		return 0;
	for (uint32_t k = 0; k < IN_PLACE_MAX && w->line + k < w->base->count; k++) {
		offset += entry(w, w->line + k)->len;
		if (align_matches(w, w->line + k + 1, offset, false))
			return k + 1;
	}
	return 0;
}

static err_code
in_place(struct align *w, uint32_t count, struct err *err)
{
	uint32_t i = w->line;

	for (; count; count--, i++) {
		err_code rc = align_put_new(w, w->done + entry(w, i)->len, err);

		if (rc)
			return rc;
	}
	return take_in_line(w, i, err);
}

/* Nothing can be looked for: every change is taken to be in place. */
static err_code
step_blind(struct align *w, struct err *err)
{
	uint64_t len = MIN(w->size - w->done, BLOCK_LEN_MAX);

	if (line_here(w, w->done)) {
		len = MIN(len, entry(w, w->line)->len);
		w->next = w->line + 1;
		w->line = ALIGN_NONE;
	}
	return align_put_new(w, w->done + len, err);
}

/* ---- the search ---- */

/* Roll over ${n} offsets: the sum at each.  What the filter has of each is asked for meanwhile: that of a large base is not in the cache. */
static void
roll_sums(struct align *w, struct weak_sums *s, uint64_t offset, size_t n, uint32_t *weak)
{
	const struct align_filter f = w->base->filter;
	const uint8_t *p = align_at(w, offset);
	uint64_t a = s->a, b = s->b;

	for (size_t i = 0; i < n; i++) {
		uint64_t in = p[i + BLOCK_LEN_MAX], out = p[i];

		a += in - out;
		b += a - out * BLOCK_LEN_MAX;
		weak[i] = weak_fold(a, b);
		__builtin_prefetch(align_filter_word(&f, weak[i]));
	}
	*s = (struct weak_sums){ a, b };
	w->counts.rolled += n;
}

/* Which of ${n} sums the filter lets pass, counted from 0, and how many.  No branch depends on the bytes, so none is guessed wrong. */
static size_t
pass_filter(const struct align_base *base, const uint32_t *weak, size_t n, uint8_t *maybe)
{
	const struct align_filter f = base->filter;
	size_t once = 0, twice = 0;

	for (size_t i = 0; i < n; i++) {
		maybe[once] = (uint8_t)i;
		once += align_filter_first(&f, weak[i]);
	}
	for (size_t i = 0; i < once; i++) {
		maybe[twice] = maybe[i];
		twice += align_filter_second(&f, weak[maybe[i]]);
	}
	return twice;
}

/* The first of ${n} sums that a full block of the base has, counted from 0, or ROLL_BATCH. */
static size_t
first_in_base(const struct align_base *base, const uint32_t *weak, size_t n)
{
	uint8_t maybe[ROLL_BATCH];
	size_t count = pass_filter(base, weak, n, maybe);

	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(align_base_bucket(base, weak[maybe[i]]));
	for (size_t i = 0; i < count; i++)
		if (align_base_first(base, weak[maybe[i]], BLOCK_LEN_MAX) != ALIGN_NONE)
			return maybe[i];
	return ROLL_BATCH;
}

/*
 * Roll from ${offset} towards ${stop}: to where a block of that weak sum is in the base, or to ${stop}.  A batch twice as long follows one in which nothing was
 * found, and one of a single offset follows what was: so where crafted sums are found at every offset, it is not rolled over 256 each time.  A batch that
 * ends early, and its part that is rolled again, cost at most four times what the one before it got through: 5 × the offsets in all.
 */
static uint64_t
roll(struct align *w, struct weak_sums *s, uint64_t offset, uint64_t stop)
{
	uint32_t weak[ROLL_BATCH];
	size_t n, found = ROLL_BATCH;

	for (; offset < stop && found == ROLL_BATCH; offset += n) {
		struct weak_sums start = *s;

		n = MIN(stop - offset, w->batch);
		roll_sums(w, s, offset, n, weak);
		found = first_in_base(w->base, weak, n);
		w->batch = MIN(2 * w->batch, ROLL_BATCH);
		if (found == ROLL_BATCH)
			continue;
		w->batch = 1;
		if (found + 1 < n) { /* back to where that was */
			n = found + 1;
			*s = start;
			roll_sums(w, s, offset, n, weak);
		}
	}
	return offset;
}

/* Where the search must look after ${offset} at the latest, when nothing is met before. */
static uint64_t
next_stop(const struct align *w, uint64_t offset, uint64_t roll_end)
{
	uint64_t stop = MIN(w->done + GAP_MAX, offset < roll_end ? roll_end : w->size);

	return w->line == ALIGN_NONE ? stop : MIN(stop, w->line_at);
}

/* Base block ${i} lies at ${offset}, behind a gap that may end with the blocks before it. */
static err_code
hit(struct align *w, uint64_t offset, uint32_t i, struct err *err)
{
	uint32_t first = i;
	err_code rc;

	while (first > 0 && entry(w, first - 1)->known && entry(w, first - 1)->len <= offset - w->done &&
	    align_matches(w, first - 1, offset - entry(w, first - 1)->len, false))
		offset -= entry(w, --first)->len;
	rc = align_put_new(w, offset, err);
	for (; rc == ERR_OK && first <= i; first++)
		rc = take(w, first, err);
	return rc;
}

/* Whether the line goes on at ${offset}.  ${s}: the sums of the window there, or NULL: they can say no for a full block. */
static bool
line_matches(struct align *w, uint64_t offset, const struct weak_sums *s)
{
	const struct align_entry *e = entry(w, w->line);

	if (s && e->known && e->len == BLOCK_LEN_MAX && e->weak != weak_fold(s->a, s->b))
		return false;
	return align_matches(w, w->line, offset, false);
}

/* Nothing is at done.  ${s}: the sums of the window there, or NULL when the file ends within it. */
static err_code
search(struct align *w, struct weak_sums *s, struct err *err)
{
	uint64_t offset = w->done, roll_end = s ? w->size - BLOCK_LEN_MAX : 0;
	uint32_t i;
	err_code rc = ERR_OK;

	while (rc == ERR_OK && offset < w->size) {
		bool rolls = offset < roll_end;
		uint64_t stop;

		line_reach(w, offset + 1);
		stop = next_stop(w, offset, roll_end);
		rc = align_load(w, stop + 2 * BLOCK_LEN_MAX, err);
		if (rc)
			return rc;
		offset = rolls ? roll(w, s, offset, stop) : stop;
		if (line_here(w, offset) && line_matches(w, offset, rolls ? s : NULL)) {
			i = w->line;
			w->line = ALIGN_NONE;
			return hit(w, offset, i, err);
		}
		i = rolls ? align_look(w, offset, weak_fold(s->a, s->b)) : ALIGN_NONE;
		if (i != ALIGN_NONE)
			return hit(w, offset, i, err);
		if (offset - w->done >= GAP_MAX) /* S1 */
			rc = align_put_new(w, w->done + BLOCK_LEN_MAX, err);
	}
	return rc ? rc : align_put_new(w, w->size, err);
}

/* ---- the walk ---- */

/* Nobody expected what lies at done. */
static err_code
step_off(struct align *w, struct err *err)
{
	struct weak_sums s;
	bool window = w->size - w->done >= BLOCK_LEN_MAX;
	uint32_t i = ALIGN_NONE, changed;
	err_code rc;

	if (w->base->full == 0)
		return step_blind(w, err);
	rc = align_load(w, w->done + (IN_PLACE_MAX + 1) * BLOCK_LEN_MAX, err);
	if (rc)
		return rc;
	if (window && !align_try_sums(w, w->done, BLOCK_LEN_MAX, &s))
		return step_blind(w, err);
	if (window)
		i = align_look(w, w->done, weak_fold(s.a, s.b));
	if (i != ALIGN_NONE)
		return take(w, i, err);
	changed = in_place_count(w);
	if (changed)
		return in_place(w, changed, err);
	return search(w, window ? &s : NULL, err);
}

static err_code
step(struct align *w, struct err *err)
{
	err_code rc = align_load(w, w->done + BLOCK_LEN_MAX, err);

	if (rc)
		return rc;
	if (align_matches(w, w->next, w->done, true))
		return take_in_line(w, w->next, err);
	line_begin(w);
	if (line_here(w, w->done) && w->line != w->next && align_matches(w, w->line, w->done, false))
		return take_in_line(w, w->line, err);
	return step_off(w, err);
}

static err_code
walk(struct align *w, struct err *err)
{
	err_code rc = ERR_OK;

	while (rc == ERR_OK && w->done < w->size)
		rc = step(w, err);
	return rc ? rc : align_flush(w, err);
}

err_code
align_fd_counted(int fd, uint64_t size, const struct align_base *base, align_fn fn, void *ctx, struct align_counts *counts,
    struct err *err)
{
	struct align w = { .fd = fd, .size = size, .base = base, .fn = fn, .ctx = ctx, .line = ALIGN_NONE, .batch = 1 };
	err_code rc;

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: nothing depends on it */
	align_ahead_init(&w);
	rc = walk(&w, err);
	align_ahead_fini(&w);
	*counts = w.counts;
	return rc;
}

err_code
align_fd(int fd, uint64_t size, const struct align_base *base, align_fn fn, void *ctx, struct err *err)
{
	struct align_counts counts;

	return align_fd_counted(fd, size, base, fn, ctx, &counts, err);
}
