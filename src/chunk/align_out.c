/*
 * Blocks on their way out.  A block of full length goes at once.  Short ones wait until four are there in a row: if those together are shorter
 * than a block, and something changed there, they become one.
 *
 * O1  Of four short blocks in a row that go out, either all are the base's and in its order, or they are BLOCK_LEN_MAX long together: 16 KiB
 *     on average.
 * O2  Every byte of the file goes out once, in order: low is where the next block out begins, and what waits lies between low and done.
 */
#include "chunk/align_internal.h"

#include <assert.h>

/* Hand a block to the caller.  What is new may still be a block of the base, of any length. */
static err_code
hand(struct align *w, const struct align_out *o, struct err *err)
{
	struct align_piece piece = { .offset = w->low, .p = align_at(w, w->low), .len = o->len, .hash = o->hash, .base = -1 };
	uint32_t i = o->base;

	if (!o->hashed)
		piece.hash = align_hash(w, w->low, o->len);
	if (i != ALIGN_NONE && w->base->entries[i].known)
		piece.weak = w->base->entries[i].weak;
	else
		piece.weak = align_weak(w, w->low, o->len);
	if (i == ALIGN_NONE)
		i = align_base_find(w->base, piece.weak, o->len, &piece.hash);
	if (i != ALIGN_NONE)
		piece.base = i;
	w->low += o->len; /* O2 */
	return w->fn(w->ctx, &piece, err);
}

static err_code
hand_first(struct align *w, struct err *err)
{
	struct align_out first = w->out[0];

	w->outs--;
	memmove(w->out, w->out + 1, w->outs * sizeof *w->out);
	return hand(w, &first, err);
}

err_code
align_flush(struct align *w, struct err *err)
{
	while (w->outs) {
		err_code rc = hand_first(w, err);

		if (rc)
			return rc;
	}
	assert(w->low == w->done);
	return ERR_OK;
}

/* Whether those that wait are other than the base has them. */
static bool
changed(const struct align *w)
{
	for (unsigned i = 0; i < w->outs; i++)
		if (w->out[i].base == ALIGN_NONE || w->out[i].base != w->out[0].base + i)
			return true;
	return false;
}

static void
merge(struct align *w, uint32_t len)
{
	for (unsigned i = 0; i < w->outs; i++)
		if (w->out[i].hashed)
			align_spend(w, w->out[i].len); /* for nothing, as it turns out */
	w->out[0] = (struct align_out){ .len = len, .base = ALIGN_NONE };
	w->outs = 1;
}

/* Four are there (O1). */
static err_code
settle(struct align *w, struct err *err)
{
	uint32_t len = (uint32_t)(w->done - w->low);

	if (len >= BLOCK_LEN_MAX || !changed(w))
		return hand_first(w, err);
	merge(w, len);
	return ERR_OK;
}

static err_code
put(struct align *w, const struct align_out *o, struct err *err)
{
	err_code rc;

	if (o->len == BLOCK_LEN_MAX) {
		rc = align_flush(w, err);
		if (rc)
			return rc;
		w->done += o->len;
		return hand(w, o, err);
	}
	w->out[w->outs++] = *o;
	w->done += o->len;
	return w->outs == ALIGN_OUT ? settle(w, err) : ERR_OK;
}

err_code
align_put_base(struct align *w, uint32_t i, struct err *err)
{
	const struct align_entry *e = &w->base->entries[i];

	return put(w, &(struct align_out){ .len = e->len, .base = i, .hashed = true, .hash = e->hash }, err);
}

err_code
align_put_new(struct align *w, uint64_t end, struct err *err)
{
	while (w->done < end) {
		struct align_out o = { .len = (uint32_t)MIN(end - w->done, BLOCK_LEN_MAX), .base = ALIGN_NONE };
		err_code rc;

		o.hashed = align_known_hash(w, w->done, o.len, &o.hash);
		rc = put(w, &o, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}
