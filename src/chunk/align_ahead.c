/*
 * Reading and hashing ahead.  Of a large file nearly every block is where one expects it: behind the one before, as long as the base has it, or on the
 * grid.  So the blocks that are expected in a stretch of the file are hashed before the walk asks for them, in groups of one length, which take half the
 * time side by side (hash_each).  While the walk goes over one stretch, a second thread is at work on the next; who needs a stretch
 * that is not done yet helps with it.
 *
 * A1  A hash ahead is a try like any other: it is paid for when it is decided on, and paid back when it becomes a block's (W2 in align_window.c).
 *     What is hashed is decided by the walk's thread alone, so it does not depend on who is faster.
 * A2  Where few of a stretch's hashes were of use, because what is there is not what was expected, the stretch after the next is only read.  Where the
 *     walk has come to expect something else meanwhile, the stretch at hand is hashed anew.
 * A3  A piece is taken by one thread, which alone writes its bytes and its blocks' hashes.  A stretch is begun anew when all its pieces are done: a thread
 *     that comes late to one finds nothing to take, or helps with the new one.
 * A4  Two stretches ahead of what is settled, what may be hashed for nothing is a purse smaller, so that the walk can always try.
 */
#include "chunk/align_internal.h"

#include <assert.h>

#include "base/pathat.h"

#define PIECE_LEN (ALIGN_STRETCH / ALIGN_PIECES)
#define SECOND_FILE_MIN (8 * MIB) /* below, a thread is not worth its start */

static_assert(PIECE_LEN >= BLOCK_LEN_MAX, "a block reaches into one piece before that in which it ends");
static_assert((uint64_t)ALIGN_AHEAD * BLOCK_LEN_MAX >= ALIGN_STRETCH, "memos for all of it");

/* ---- a piece --------------------------------------------------------------------------------------------------------- */

static uint64_t
piece_at(const struct align_stretch *s, unsigned i)
{
	return MIN(s->to, s->from + (uint64_t)i * PIECE_LEN);
}

static uint8_t *
bytes_at(const struct align_stretch *s, uint64_t offset)
{
	return s->room + (size_t)(ALIGN_KEEP + offset - s->from); /* also of what is kept: up to ALIGN_KEEP before */
}

static err_code
piece_read(struct align_stretch *s, unsigned i, struct err *err)
{
	uint64_t at = piece_at(s, i);
	size_t len = (size_t)(piece_at(s, i + 1) - at), got = 0;
	err_code rc = pread_full(s->w->fd, bytes_at(s, at), len, at, &got, err);

	if (!rc && got < len)
		rc = err_reason(err, ERR_IO, "shrunk", "the file ends at %llu of %llu bytes: it changed while it was read",
		    (unsigned long long)(at + got), (unsigned long long)s->w->size);
	if (!rc)
		atomic_store(&s->there[i], true);
	return rc;
}

/* Memos ${from} … ${to} - 1, which are HASH_LANES at most. */
static void
hash_memos(struct align_stretch *s, unsigned from, unsigned to)
{
	struct slice block[HASH_LANES] = { 0 };
	struct hash hash[HASH_LANES];

	for (unsigned i = from; i < to; i++)
		block[i - from] = (struct slice){ bytes_at(s, s->memo[i].offset), s->memo[i].len };
	hash_each(block, to - from, hash);
	for (unsigned i = from; i < to; i++) {
		s->memo[i].hash = hash[i - from];
		s->hashed[i] = true;
	}
}

/*
 * What ends in piece ${i}, the first of it last: it may begin in the piece before, which the other thread may still be reading.  If that is so even then,
 * it is left to whoever needs the stretch.
 */
static void
piece_hash(struct align_stretch *s, unsigned i)
{
	unsigned first = i > 0 ? s->ends[i - 1] : 0;

	for (unsigned to = s->ends[i], from; to > first; to = from) {
		from = to - first > HASH_LANES ? to - HASH_LANES : first;
		if (i == 0 || s->memo[from].offset >= piece_at(s, i) || atomic_load(&s->there[i - 1]))
			hash_memos(s, from, to);
	}
}

static void
piece_done(struct align_stretch *s, const struct err *why)
{
	struct align_ahead *h = s->w->ahead;

	mutex_lock(&h->mu);
	if (why && !s->why.code)
		s->why = *why;
	if (++s->done == ALIGN_PIECES)
		cond_signal(&h->is_done);
	mutex_unlock(&h->mu);
}

static void
take_pieces(void *arg)
{
	struct align_stretch *s = arg;
	unsigned i;

	while ((i = atomic_fetch_add(&s->taken, 1)) < ALIGN_PIECES) {
		struct err err;
		err_code rc = atomic_load(&s->there[i]) ? ERR_OK : piece_read(s, i, &err);

		if (!rc)
			piece_hash(s, i);
		piece_done(s, rc ? &err : NULL);
	}
}

/* ---- what is expected -------------------------------------------------------------------------------------------------- */

/* What the walk expects at ${done}: while the line is sought, the grid. */
static struct align_expect
expected(const struct align *w)
{
	return (struct align_expect){ .block = w->line == ALIGN_NONE ? w->next : w->base->count, .at = w->done };
}

/* 0: the file ends there. */
static uint32_t
expected_len(const struct align *w, struct align_expect e)
{
	return e.block < w->base->count ? w->base->entries[e.block].len : (uint32_t)MIN(BLOCK_LEN_MAX, w->size - e.at);
}

static struct align_expect
behind(const struct align *w, struct align_expect e)
{
	return (struct align_expect){ .block = e.block + (e.block < w->base->count), .at = e.at + expected_len(w, e) };
}

/* From ${next} on what lies in the stretch and begins at ${low} or later, as far as it may be paid for; ${keep} stays in the purse. */
static void
expect(struct align *w, struct align_stretch *s, uint64_t low, uint64_t keep)
{
	for (; s->n < ALIGN_AHEAD; s->next = behind(w, s->next)) {
		uint32_t len = expected_len(w, s->next);

		if (len == 0 || s->next.at + len > s->to)
			break;
		if (s->next.at < low)
			continue;
		if (!align_affords(w, w->hash_spent + keep, len))
			break;
		align_spend(w, len);
		s->hashed[s->n] = false;
		s->memo[s->n++] = (struct align_memo){ .offset = s->next.at, .len = len };
	}
	for (unsigned i = 0, m = 0; i < ALIGN_PIECES; i++) {
		while (m < s->n && s->memo[m].offset + s->memo[m].len <= piece_at(s, i + 1))
			m++;
		s->ends[i] = m;
	}
}

/* Whether the walk comes to where the stretch's first memo is. */
static bool
still_expected(const struct align *w, const struct align_stretch *s)
{
	struct align_expect e = expected(w);

	while (e.at < s->memo[0].offset)
		e = behind(w, e);
	return e.at == s->memo[0].offset;
}

static bool
was_of_use(const struct align_stretch *s)
{
	unsigned left = 0;

	for (unsigned i = 0; i < s->n; i++)
		left += s->memo[i].len > 0;
	return 4 * left <= s->n;
}

/* ---- a stretch --------------------------------------------------------------------------------------------------------- */

/* All its pieces are done (A3). */
static void
stretch_begin(struct align *w, struct align_stretch *s, uint64_t from)
{
	s->from = from;
	s->to = MIN(w->size, from + ALIGN_STRETCH);
	s->n = 0;
	memset(s->ends, 0, sizeof s->ends);
	for (unsigned i = 0; i < ALIGN_PIECES; i++)
		atomic_store(&s->there[i], false);
}

/* From here on the second thread works on it. */
static void
stretch_hand(struct align *w, struct align_stretch *s)
{
	s->done = 0;
	s->why.code = ERR_OK;
	atomic_store(&s->taken, 0);
	if (w->ahead->second)
		workq_push(w->ahead->second, take_pieces, s);
}

static err_code
stretch_finish(struct align *w, struct align_stretch *s, struct err *err)
{
	struct align_ahead *h = w->ahead;
	err_code rc;

	take_pieces(s);
	mutex_lock(&h->mu);
	while (s->done < ALIGN_PIECES)
		cond_wait(&h->is_done, &h->mu);
	rc = s->why.code;
	if (rc && err)
		*err = s->why;
	mutex_unlock(&h->mu);
	for (unsigned i = 0; !rc && i < s->n; i++) {
		if (!s->hashed[i])
			hash_memos(s, i, i + 1);
		w->counts.hashes++;
		w->counts.hashed += s->memo[i].len;
	}
	return rc;
}

/* What the walk needs from the stretch before: bytes that are not handed out, and hashes that are not used. */
static void
stretch_keep(struct align *w, const struct align_stretch *was, struct align_stretch *s)
{
	size_t keep = (size_t)(w->to - w->low);

	assert(keep <= ALIGN_KEEP); /* W1 */
	if (keep > 0)
		memcpy(bytes_at(s, w->low), align_at(w, w->low), keep);
	for (unsigned i = 0; i < was->n; i++)
		if (was->memo[i].len > 0 && was->memo[i].offset >= w->done)
			w->memo[w->memo_next++ % ALIGN_MEMO] = was->memo[i];
	w->from = w->low;
	w->to = s->to;
	w->buf = bytes_at(s, w->from);
}

/* Begin the one after ${s}, in the place of the one before it; hashed ahead where ${of_use}. */
static void
stretch_after(struct align *w, const struct align_stretch *s, struct align_stretch *out, bool of_use)
{
	if (s->to == w->size)
		return;
	stretch_begin(w, out, s->to);
	out->next = s->next;
	if (of_use)
		expect(w, out, out->from, ALIGN_PURSE); /* A4 */
	stretch_hand(w, out);
}

/* ---- the walk's side --------------------------------------------------------------------------------------------------- */

void
align_ahead_init(struct align *w)
{
	struct align_ahead *h = w->ahead = xcalloc(1, sizeof *h);
	uint64_t left = w->size;

	mutex_init(&h->mu, RANK_LEAF);
	cond_init(&h->is_done);
	h->at = 1; /* empty: what comes next is the first */
	for (unsigned i = 0; i < ARRAY_LEN(h->two); i++) {
		h->two[i].w = w;
		atomic_store(&h->two[i].taken, ALIGN_PIECES);
		h->two[i].room = left > 0 ? xmalloc(ALIGN_KEEP + MIN(left, ALIGN_STRETCH)) : NULL;
		left -= MIN(left, ALIGN_STRETCH);
	}
	if (w->size >= SECOND_FILE_MIN)
		h->second = workq_new("align", 1, 0);
	stretch_after(w, &h->two[1], &h->two[0], false);
}

void
align_ahead_fini(struct align *w)
{
	struct align_ahead *h = w->ahead;

	if (h->second)
		workq_free(h->second);
	for (unsigned i = 0; i < ARRAY_LEN(h->two); i++)
		free(h->two[i].room);
	cond_fini(&h->is_done);
	mutex_fini(&h->mu);
	free(h);
}

err_code
align_ahead_next(struct align *w, struct err *err)
{
	struct align_ahead *h = w->ahead;
	struct align_stretch *was = &h->two[h->at], *s = &h->two[!h->at];
	bool of_use = h->second && was_of_use(was);
	err_code rc;

	stretch_keep(w, was, s);
	h->at = !h->at;
	if (of_use && (s->n == 0 || !still_expected(w, s))) {
		rc = stretch_finish(w, s, err);
		if (rc)
			return rc;
		s->n = 0;
		s->next = expected(w);
		expect(w, s, w->from, 0);
		stretch_hand(w, s);
	}
	stretch_after(w, s, was, of_use);
	rc = stretch_finish(w, s, err);
	if (!rc)
		w->counts.read += s->to - s->from;
	return rc;
}

struct align_memo *
align_ahead_find(struct align *w, uint64_t offset, uint32_t len)
{
	struct align_stretch *s = &w->ahead->two[w->ahead->at];

	for (unsigned i = 0; i < s->n; i++)
		if (s->memo[i].offset == offset && s->memo[i].len == len)
			return &s->memo[i];
	return NULL;
}
