#pragma once
/**
 * Inside of re-alignment: the base's table (align_base.c), the part of the file that is in memory and what may be spent on it
 * (align_window.c), how it is read and hashed before it is asked for (align_ahead.c), the blocks on their way out (align_out.c), and the
 * walk (align.c).
 */

#include <stdatomic.h>

#include "base/thread.h"
#include "chunk/align.h"

/* ---- the rolling sum --------------------------------------------------------------------------------------------------- */

/**
 * Of bytes x[0] … x[n-1]: a = Σ x[i], b = Σ (n - i) x[i].  In a block a < 2^24 and b < 2^40, so that both fit side by side into 64 bits without loss; the
 * multiplication spreads them and the upper half is kept.
 */
struct weak_sums {
	uint64_t a, b;
};

static inline uint32_t
weak_fold(uint64_t a, uint64_t b)
{
	return (uint32_t)(((a << 40) + b) * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

struct weak_sums weak_sums_of(const uint8_t *p, size_t len);

/* ---- the base ---------------------------------------------------------------------------------------------------------- */

#define ALIGN_CHAIN_MAX 16 /* blocks in a bucket that holds 2 at most on average: by chance one in 10^9 holds more, crafted ones can */
#define ALIGN_NONE UINT32_MAX

struct align_entry {
	struct hash hash;
	uint32_t len : 31;
	uint32_t known : 1; /* its weak sum */
	uint32_t weak;
	uint32_t next;      /* in its bucket, or ALIGN_NONE */
};

/** Says no for most sums that no full block has: 32 … 64 bits a block, of which each sets two within one word.  What it lets pass costs a walk
 * through memory that no cache holds. */
struct align_filter {
	uint64_t *words;
	unsigned shift; /* of a sum, to the number of its word */
};

/** Equal blocks are in the table once, the first of them. */
struct align_base {
	struct align_entry *entries;
	uint32_t count, cap, max;
	uint32_t full;      /* blocks of BLOCK_LEN_MAX in the table: what can be rolled for */
	uint32_t *buckets;
	unsigned shift;     /* of a sum, to the number of its bucket */
	struct align_filter filter;
};

static inline uint64_t *
align_filter_word(const struct align_filter *f, uint32_t weak)
{
	return &f->words[weak >> f->shift];
}

static inline unsigned
align_filter_first(const struct align_filter *f, uint32_t weak)
{
	return *align_filter_word(f, weak) >> (weak & 63) & 1;
}

static inline unsigned
align_filter_second(const struct align_filter *f, uint32_t weak)
{
	return *align_filter_word(f, weak) >> (weak >> 6 & 63) & 1;
}

static inline uint32_t *
align_base_bucket(const struct align_base *b, uint32_t weak)
{
	return &b->buckets[weak >> b->shift];
}

/** align_base_first: some block in the table of that sum and length, or ALIGN_NONE.  align_base_find: the one that also has the hash. */
uint32_t align_base_first(const struct align_base *b, uint32_t weak, uint32_t len);
uint32_t align_base_find(const struct align_base *b, uint32_t weak, uint32_t len, const struct hash *hash);

/* ---- the window -------------------------------------------------------------------------------------------------------- */

#define ALIGN_PURSE (4 * MIB) /* of hashes that may be for nothing before anything is settled */
#define ALIGN_STRETCH (1 * MIB) /* what is read at once: large beside a word to the second thread, small beside a cache */
#define ALIGN_KEEP (8 * BLOCK_LEN_MAX) /* of what was read before, at most (W1) */
#define ALIGN_PIECES 4 /* of a stretch */
#define ALIGN_AHEAD 16 /* full blocks of a stretch */
#define ALIGN_MEMO 8
#define ALIGN_OUT 4

struct align_memo {
	uint64_t offset;
	uint32_t len; /* 0: none */
	struct hash hash;
};

/** What is expected where: base block ${block}, or behind the last one what the grid has there. */
struct align_expect {
	uint32_t block;
	uint64_t at;
};

/** A part of the file that is read, and hashed where one knows what to expect in it, piece by piece by whoever is free (align_ahead.c). */
struct align_stretch {
	const struct align *w;
	uint8_t *room;                    /* ALIGN_KEEP bytes for the end of the stretch before it, then its own */
	uint64_t from, to;
	struct align_memo memo[ALIGN_AHEAD];
	bool hashed[ALIGN_AHEAD];
	unsigned n, ends[ALIGN_PIECES];   /* memos; those that end in piece i or before it */
	struct align_expect next;         /* behind the memos */
	atomic_uint taken;                /* pieces */
	atomic_bool there[ALIGN_PIECES];
	unsigned done;                    /* pieces; guarded by align_ahead.mu, as what follows */
	struct err why;                   /* code 0: nothing has failed */
};

/** One stretch is walked over while the other is made. */
struct align_ahead {
	struct workq *second; /* a thread; NULL: the file is not worth one */
	struct align_stretch two[2];
	unsigned at;          /* two[at] is walked over */
	struct mutex mu;
	struct cond is_done;
};

/** A short block that waits for what follows it. */
struct align_out {
	uint32_t len;
	uint32_t base; /* or ALIGN_NONE */
	bool hashed;
	struct hash hash;
};

/**
 * A walk.  ${done} bytes of the file have been told to align_out.c, the last of them may still wait there; the gap is what
 * lies between done and the offset that is looked at.
 */
struct align {
	int fd;
	uint64_t size;
	const struct align_base *base;
	align_fn fn;
	void *ctx;
	struct align_counts counts;

	uint8_t *buf;          /* the file from ${from} to ${to} */
	uint64_t from, to;
	uint64_t hash_spent;   /* on hashes that did not become a block's */
	uint64_t sum_spent;
	struct align_memo memo[ALIGN_MEMO];
	unsigned memo_next;
	struct align_ahead *ahead;

	uint64_t done, low;    /* what is settled; what was handed out */
	struct align_out out[ALIGN_OUT];
	unsigned outs;

	uint32_t next;         /* the base block that is expected at ${done} */
	uint32_t line;         /* the grid that held last: this base block would lie at ${line_at}; ALIGN_NONE: as ${next} */
	uint64_t line_at;
	size_t batch;          /* offsets to roll over next */
};

/** align_load(w, end, err): have the file in memory from what still waits up to ${end}, or to where it ends. */
err_code align_load(struct align *w, uint64_t end, struct err *err);

static inline const uint8_t *
align_at(const struct align *w, uint64_t offset)
{
	return w->buf + (offset - w->from);
}

/** The weak sum, the hash of a block that goes out. */
uint32_t align_weak(struct align *w, uint64_t offset, uint32_t len);
struct hash align_hash(struct align *w, uint64_t offset, uint32_t len);

/** align_try_sums(w, offset, len, out): false when nothing may be spent on it.  align_spend: a hash of ${len} bytes turned out to be for nothing. */
bool align_try_sums(struct align *w, uint64_t offset, uint32_t len, struct weak_sums *out);
void align_spend(struct align *w, uint32_t len);

/** align_cost(len): what a hash of that length costs.  align_affords(w, spent, len): whether one more may be tried after ${spent} (W2). */
uint64_t align_cost(uint32_t len);
bool align_affords(const struct align *w, uint64_t spent, uint32_t len);

/** align_known_hash(w, offset, len, out): whether that was hashed just before; it then becomes a block's hash, and is paid back. */
bool align_known_hash(struct align *w, uint64_t offset, uint32_t len, struct hash *out);

/** align_matches(w, i, offset): whether base block ${i} lies at ${offset}.  ${likely}: so much so that its hash is taken at once. */
bool align_matches(struct align *w, uint32_t i, uint64_t offset, bool likely);

/** align_look(w, offset, weak): the base block of full length that lies at ${offset}, where the sum is ${weak}, or ALIGN_NONE. */
uint32_t align_look(struct align *w, uint64_t offset, uint32_t weak);

/* ---- reading and hashing ahead ----------------------------------------------------------------------------------------- */

void align_ahead_init(struct align *w);
void align_ahead_fini(struct align *w);

/** align_ahead_next(w, err): have the stretch behind ${to} in memory, beside what still waits of the one before. */
err_code align_ahead_next(struct align *w, struct err *err);

/** align_ahead_find(w, offset, len): that hash, if it was taken and is not used yet; or NULL. */
struct align_memo *align_ahead_find(struct align *w, uint64_t offset, uint32_t len);

/* ---- on the way out ---------------------------------------------------------------------------------------------------- */

/** align_put_base(w, i, err): base block ${i} lies at done.  align_put_new(w, end, err): from done to ${end} is new.  align_flush: the end. */
err_code align_put_base(struct align *w, uint32_t i, struct err *err);
err_code align_put_new(struct align *w, uint64_t end, struct err *err);
err_code align_flush(struct align *w, struct err *err);
