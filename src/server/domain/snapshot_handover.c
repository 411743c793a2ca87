/*
 * Packing beside building.  The builder fills pieces of text; a second thread packs them, so that a snapshot takes the longer of the two
 * and not both.  A piece is filled and packed where it lies, in a ring that keeps its memory.
 *
 * H1  The ${full} pieces from ${first} on are the packer's, the one behind them is the builder's.  It is there while full < PIECES.
 * H2  The pack is the builder's until ${running}, and again when the packer has been joined.
 * H3  The builder waits only for a ring that is full, the packer only for an empty one: one condition is enough for both.
 */
#include "base/thread.h"
#include "server/domain/snapshot_internal.h"

#define PIECES 4 /* 2 and 8 take the same time, as do pieces of half and of four times the length (docs/perf/tree.md) */

struct handover {
	struct pack *pack;      /* H2 */
	pthread_t thread;
	bool running;           /* the builder's */

	struct mutex mu;        /* RANK_POOL; guards what follows, but for the texts themselves */
	struct cond changed;    /* H3 */
	struct sbuf piece[PIECES];
	unsigned first, full;   /* H1 */
	bool ending;
	struct err why;         /* the packer's failure, with which it has ended; code ERR_OK: none */
};

struct handover *
handover_new(struct pack *pack, size_t piece_max, struct sbuf **text)
{
	struct handover *h = xcalloc(1, sizeof *h);

	h->pack = pack;
	mutex_init(&h->mu, RANK_POOL);
	cond_init(&h->changed);
	for (size_t i = 0; i < PIECES; i++)
		h->piece[i] = SBUF(piece_max);
	*text = &h->piece[0];
	return h;
}

static err_code
pack_first(struct handover *h, struct err *err)
{
	struct sbuf *piece = &h->piece[h->first]; /* which nobody else changes while it is not empty */
	err_code rc = pack_add(h->pack, sbuf_str(piece), piece->len, err);

	sbuf_reset(piece);
	return rc;
}

static void *
packer_main(void *arg)
{
	struct handover *h = arg;
	struct err err;
	err_code rc = ERR_OK;

	mutex_lock(&h->mu);
	while (!rc && (h->full > 0 || !h->ending)) {
		if (h->full == 0) {
			cond_wait(&h->changed, &h->mu);
			continue;
		}
		mutex_unlock(&h->mu);
		rc = pack_first(h, &err);
		mutex_lock(&h->mu);
		if (rc)
			h->why = err;
		h->first = (h->first + 1) % PIECES;
		h->full--;
		cond_signal(&h->changed);
	}
	mutex_unlock(&h->mu);
	return NULL;
}

/* What is full is packed first: three pieces at most, also when nobody wants them any more. */
static void
join(struct handover *h)
{
	if (!h->running)
		return;
	mutex_lock(&h->mu);
	h->ending = true;
	cond_signal(&h->changed);
	mutex_unlock(&h->mu);
	pthread_join(h->thread, NULL);
	h->running = false;
}

void
handover_free(struct handover *h)
{
	if (!h)
		return;
	join(h);
	for (size_t i = 0; i < PIECES; i++)
		sbuf_fini(&h->piece[i]);
	cond_fini(&h->changed);
	mutex_fini(&h->mu);
	free(h);
}

static err_code
failure(const struct handover *h, struct err *err)
{
	if (h->why.code && err)
		*err = h->why;
	return h->why.code;
}

/* With mu: the builder's piece becomes the packer's. */
static void
give(struct handover *h)
{
	h->full++;
	cond_signal(&h->changed);
}

err_code
handover_piece(struct handover *h, struct sbuf **text, struct err *err)
{
	err_code rc;

	if (!h->running) /* a system without room for a thread still has a snapshot; it takes longer */
		h->running = thread_start("snapshot", packer_main, h, &h->thread, NULL) == ERR_OK;
	if (!h->running)
		return pack_first(h, err);
	mutex_lock(&h->mu);
	give(h);
	while (h->full == PIECES && !h->why.code)
		cond_wait(&h->changed, &h->mu);
	*text = &h->piece[(h->first + h->full) % PIECES];
	rc = failure(h, err);
	mutex_unlock(&h->mu);
	return rc;
}

err_code
handover_last(struct handover *h, struct err *err)
{
	if (!h->running)
		return pack_first(h, err);
	mutex_lock(&h->mu);
	give(h);
	mutex_unlock(&h->mu);
	join(h);
	return failure(h, err);
}
