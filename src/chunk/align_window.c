/*
 * The part of the file that is in memory, and what may be spent on looking at it.
 *
 * W1  Of the file, memory holds all from the first byte that was not handed out to ${to}: short blocks that wait (three), the gap (two blocks) and what
 *     is looked at beyond it (two blocks), so at most ALIGN_KEEP, and the stretch that follows.
 * W2  hash_spent is what was hashed and did not become a block's hash.  A try is made only where it stays below ALIGN_PURSE + done, so tries
 *     cost at most the file once and ALIGN_PURSE.  The same holds for sum_spent, which is never paid back, with SUM_START + SUM_RATE × done.
 */
#include "chunk/align_internal.h"

#include <assert.h>

#include "base/fault.h"

#define CHANCE_START (2 * MIB) /* of that for what is probably chance, and an eighth of what comes in */
#define HASH_COST_MIN 64           /* of a try, so that tiny blocks are not free */
#define SUM_START (64 * MIB)
#define SUM_RATE 16                /* a sum costs a tenth of a hash */

err_code
align_load(struct align *w, uint64_t end, struct err *err)
{
	err_code rc;

	end = MIN(end, w->size);
	if (end <= w->to)
		return ERR_OK;
	rc = align_ahead_next(w, err);
	assert(rc || end <= w->to);
	return rc;
}

uint32_t
align_weak(struct align *w, uint64_t offset, uint32_t len)
{
	w->counts.summed += len;
	return weak_sum(align_at(w, offset), len);
}

struct hash
align_hash(struct align *w, uint64_t offset, uint32_t len)
{
	w->counts.hashes++;
	w->counts.hashed += len;
	return hash_of(align_at(w, offset), len);
}

bool
align_try_sums(struct align *w, uint64_t offset, uint32_t len, struct weak_sums *out)
{
	if (w->sum_spent + len > SUM_START + SUM_RATE * w->done) /* W2 */
		return false;
	w->sum_spent += len;
	w->counts.summed += len;
	*out = weak_sums_of(align_at(w, offset), len);
	return true;
}

/* Whether the weak sum there is ${weak}; false also when that may not be found out. */
static bool
same_weak(struct align *w, uint64_t offset, uint32_t len, uint32_t weak)
{
	struct weak_sums s;

	return align_try_sums(w, offset, len, &s) && weak_fold(s.a, s.b) == weak;
}

static struct align_memo *
find_memo(struct align *w, uint64_t offset, uint32_t len)
{
	for (unsigned i = 0; i < ALIGN_MEMO; i++)
		if (w->memo[i].len == len && w->memo[i].offset == offset)
			return &w->memo[i];
	return align_ahead_find(w, offset, len);
}

uint64_t
align_cost(uint32_t len)
{
	return MAX(len, HASH_COST_MIN);
}

bool
align_affords(const struct align *w, uint64_t spent, uint32_t len)
{
	return spent + align_cost(len) <= ALIGN_PURSE + w->done; /* W2 */
}

/* Hash, if that leaves ${keep} in the purse (W2). */
static struct align_memo *
try_hash(struct align *w, uint64_t offset, uint32_t len, uint64_t keep)
{
	struct align_memo *m = find_memo(w, offset, len);

	if (m)
		return m;
	if (!align_affords(w, w->hash_spent + keep, len))
		return NULL;
	align_spend(w, len);
	m = &w->memo[w->memo_next++ % ALIGN_MEMO];
	*m = (struct align_memo){ .offset = offset, .len = len, .hash = align_hash(w, offset, len) };
	return m;
}

void
align_spend(struct align *w, uint32_t len)
{
	w->hash_spent += align_cost(len);
}

/* The hash became a block's: pay it back, once. */
static void
settle(struct align *w, struct align_memo *m)
{
	w->hash_spent -= align_cost(m->len);
	m->len = 0;
}

bool
align_known_hash(struct align *w, uint64_t offset, uint32_t len, struct hash *out)
{
	struct align_memo *m = find_memo(w, offset, len);

	if (!m)
		return false;
	*out = m->hash;
	settle(w, m);
	return true;
}

bool
align_matches(struct align *w, uint32_t i, uint64_t offset, bool likely)
{
	const struct align_entry *e;
	struct align_memo *m;

	if (i >= w->base->count || offset >= w->size)
		return false;
	e = &w->base->entries[i];
	if (e->len > w->size - offset)
		return false;
	if (!likely && e->known && !same_weak(w, offset, e->len, e->weak))
		return false;
	m = try_hash(w, offset, e->len, 0);
	if (!m || !hash_eq(&m->hash, &e->hash))
		return false;
	settle(w, m);
	return true;
}

/* Whether what follows base block ${i} has the weak sum of what lies at ${offset}: then ${i} is no chance. */
static bool
followed(struct align *w, uint32_t i, uint64_t offset)
{
	const struct align_entry *e;

	if (i + 1 == w->base->count)
		return false;
	e = &w->base->entries[i + 1];
	return e->known && e->len <= w->size - offset && same_weak(w, offset, e->len, e->weak);
}

uint32_t
align_look(struct align *w, uint64_t offset, uint32_t weak)
{
	uint32_t i = align_base_first(w->base, weak, BLOCK_LEN_MAX);
	uint64_t keep = 0;
	struct align_memo *m;

	if (i == ALIGN_NONE || FAULT("chunk.align_trusts_weak"))
		return i;
	if (!followed(w, i, offset + BLOCK_LEN_MAX))
		keep = ALIGN_PURSE - CHANCE_START + w->done - w->done / 8;
	m = try_hash(w, offset, BLOCK_LEN_MAX, keep);
	if (!m)
		return ALIGN_NONE;
	i = align_base_find(w->base, weak, BLOCK_LEN_MAX, &m->hash);
	if (i != ALIGN_NONE)
		settle(w, m);
	return i;
}
