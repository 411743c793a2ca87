#include "base/thread.h"
#include "client/remote/rate.h"

#define BURST_NS (INT64_C(100) * 1000 * 1000) /* what was not used is kept for so long */
#define PIECE_MIN (4 * KIB)
#define PIECE_MAX (256 * KIB)

struct rate {
	struct mutex mu;       /* guards next_ns */
	uint64_t bytes_per_s;
	int64_t next_ns;       /* until when the line is taken */
};

struct rate *
rate_new(uint64_t bytes_per_s)
{
	struct rate *r = xcalloc(1, sizeof *r);

	mutex_init(&r->mu, RANK_LEAF);
	r->bytes_per_s = MAX(bytes_per_s, 1);
	r->next_ns = INT64_MIN / 2;
	return r;
}

void
rate_free(struct rate *r)
{
	if (!r)
		return;
	mutex_fini(&r->mu);
	free(r);
}

int64_t
rate_take(struct rate *r, size_t bytes, int64_t now_us)
{
	int64_t now_ns = now_us * 1000, start, cost = (int64_t)((double)bytes * 1e9 / (double)r->bytes_per_s);

	mutex_lock(&r->mu);
	r->next_ns = MAX(r->next_ns, now_ns - BURST_NS) + cost;
	start = r->next_ns;
	mutex_unlock(&r->mu);
	return MAX(now_us, start / 1000);
}

size_t
rate_piece(const struct rate *r)
{
	uint64_t piece = r->bytes_per_s / 20;

	return (size_t)MIN(MAX(piece, PIECE_MIN), PIECE_MAX);
}
