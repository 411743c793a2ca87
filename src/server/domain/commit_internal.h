#pragma once
/**
 * A commit on its way: what commit*.c share.
 *
 *   commit.c          the order of events
 *   commit_check.c    what can be said about a batch without looking at anything else
 *   commit_content.c  operations' bytes -> verified, packed pages; outside of any transaction
 *   commit_pages.c    pages and chunk rows: checked, written, written ahead
 *   commit_apply.c    the transaction: operations in order, clocks, sums, transfers
 *   commit_op.c       put, delete, restore on the present tree
 *   commit_move.c     move, with all that lies beneath
 *   commit_place.c    paths and parents
 *   commit_hold.c     how much a device may delete within an hour
 *   commit_conflict.c conflicts that a commit brings, and ends
 *   commit_counts.c   what directories count beneath them
 */

#include "server/domain/domain_internal.h"

/** Pages that a batch keeps in memory until its transaction; what does not fit is written ahead. */
#define PAGES_HELD_MAX (4 * MIB)

/** Missing chunks that one answer lists; a client that sends those and commits again hears of the rest. */
#define MISSING_MAX 65536

/** A packed page of a block list. */
struct page {
	struct page *next;
	uint32_t n;   /* its number */
	size_t len;
	uint8_t data[];
};

/** What the bytes of an operation turned out to be. */
struct content {
	struct hash hash;
	int64_t size;
	struct id list;      /* of its pages; zero: it has none */
	struct page *first;  /* page 0: written by the transaction only, so that its being there says that all are (I4) */
	struct page *rest, **rest_end; /* pages from 1 on that are still to be written */
	bool keep;           /* no bytes were named: what the file has stays */
	struct held held;    /* while its pages are written ahead, until the commit has ended */
};

struct apply;
/** What a transaction on the tree does, where that is not a batch of operations. */
typedef err_code apply_fn(struct apply *ap, void *ctx, struct err *err);

struct commit_run {
	struct domain *d;
	const struct id *project;
	struct commit *c;
	struct arena *a;        /* the caller's: results */
	struct arena *scratch;  /* this commit's */
	struct content *contents; /* one an operation */
	struct map *rows;       /* chunk ids whose rows phase one has seen */
	struct map *missing;    /* chunk ids that are not here */
	size_t held;            /* bytes of pages from 1 on that are in memory */
	apply_fn *body;         /* NULL: the operations of ${c} */
	void *body_ctx;
};

/* ---- commit.c ---------------------------------------------------------------------------------------------------- */

/**
 * commit_with(d, project, c, body, ctx, idem, a, err): a commit whose changes ${body} makes inside its transaction; ${c} has no operations,
 * and says who.  An error of ${body} undoes everything.
 */
err_code commit_with(struct domain *d, const struct id *project, struct commit *c, apply_fn *body, void *ctx, struct idem *idem,
    struct arena *a, struct err *err);

/* ---- commit_check.c ---------------------------------------------------------------------------------------------- */

err_code commit_check(const struct commit_run *run, struct err *err);

/* ---- commit_content.c -------------------------------------------------------------------------------------------- */

/** commit_contents(run, err): fills run->contents; CHUNKS_MISSING is not among its errors: see run->missing. */
err_code commit_contents(struct commit_run *run, struct err *err);

/* ---- commit_pages.c ---------------------------------------------------------------------------------------------- */

/** chunk_missing(run, id): put it on the list of those that the batch lacks. */
void chunk_missing(struct commit_run *run, const struct hash *id);

/** rows_check(run, tx, seen, page, err): every chunk of a page has its row (I2), or is put on the list. */
err_code rows_check(struct commit_run *run, struct meta_tx *tx, struct map *seen, const struct page *p, struct err *err);

/** page_add(run, content, n, packed, len, err): keep page ${n} until the transaction; pages come in order. */
err_code page_add(struct commit_run *run, struct content *ct, uint32_t n, const uint8_t *packed, size_t len, struct err *err);
/** pages_drop(run, content): forget its pages from 1 on. */
void pages_drop(struct commit_run *run, struct content *ct);

/** A few pages on their way into the database before the commit that needs them (see commit_pages.c). */
struct ahead {
	struct commit_run *run;
	const struct id *list;
	struct page *first, **end;
	size_t bytes;
};
err_code ahead_add(struct ahead *ah, uint32_t n, const uint8_t *packed, size_t len, struct err *err);
err_code ahead_flush(struct ahead *ah, struct err *err);
void ahead_fini(struct ahead *ah);

/* ---- commit_apply.c ---------------------------------------------------------------------------------------------- */

/** What a device deletes, and how much of it is held (commit_hold.c). */
struct hold {
	bool known;             /* the rest has been looked up */
	bool counted, news;     /* something was counted; something was held for the first time in the hour */
	struct delete_hour hour;
	int64_t limit;
	uint64_t held;          /* operations of this commit */
	const char *detail;     /* of their results */
};

/** The transaction of a commit. */
struct apply {
	struct commit_run *run;
	struct meta_tx *tx;
	struct project project; /* as it was when the transaction began */
	struct sums sums;       /* as they are with what has been applied */
	struct counts *counts;  /* what directories count, as far as it is not written yet */
	enum { CONFLICTS_UNKNOWN, CONFLICTS_NONE, CONFLICTS_SOME } conflicts; /* whether the project has open ones */
	struct hold hold;
	bool beneath;           /* what lies beneath a directory moves with it */
	int64_t now_us, now_ns;
	int64_t clock, clock_last; /* the last one given, the last one taken */
	int64_t early, early_last; /* of the fault domain.clock_early */
	unsigned want;          /* how many to take when they run out */
	uint64_t changes;
	char parent[FILE_PATH_MAX]; /* a directory that is known to be live, or parent_known is false */
	bool parent_known;
	struct id *ended;      /* transfers that this commit completes */
	size_t ended_n;
};

/** commit_transact(run, idem, err): all of it, or nothing. */
err_code commit_transact(struct commit_run *run, struct idem *idem, struct err *err);

/**
 * apply_change(ap, before, after, err): write one change: ${after} gets the next clock as its version.  ${before}: the row it
 * replaces, NULL for a new file.  ${after}->deleted_at non-zero makes it a tombstone.
 */
err_code apply_change(struct apply *ap, const struct file *before, struct file *after, struct err *err);

/** Results.  All copy what they are given into the caller's arena. */
void result_ok(struct op_result *r, const struct file *f, bool unchanged);
err_code result_fail(struct op_result *r, err_code code, const char *reason, const char *detail);
err_code result_conflict(struct apply *ap, struct op_result *r, err_code code, const char *detail, const struct file *current,
    struct err *err);

/**
 * base_check(ap, op, current, r, err): whether op->base is the version that is there; if not, ${r} says so.
 * r->code is ERR_OK when the operation may go on.
 */
err_code base_check(struct apply *ap, const struct op *op, const struct file *current, struct op_result *r, struct err *err);

/* ---- commit_op.c, commit_move.c: the answer is in ${r}; an error ends the whole batch ---------------------------- */

err_code op_put(struct apply *ap, size_t i, struct op_result *r, struct err *err);
err_code op_delete(struct apply *ap, const struct op *op, struct op_result *r, struct err *err);
err_code op_restore(struct apply *ap, const struct op *op, struct op_result *r, struct err *err);
err_code op_move(struct apply *ap, const struct op *op, struct op_result *r, struct err *err);

/* ---- commit_hold.c ----------------------------------------------------------------------------------------------- */

/**
 * hold_check(ap, f, r, err): whether the live ${f} may become a tombstone; if not, ${r} says so.  Who is allowed to is counted, so ask last, and
 * then do it.
 */
err_code hold_check(struct apply *ap, const struct file *f, struct op_result *r, struct err *err);
/** hold_write(ap, err): at the end of the transaction.  hold_say(ap): when it has been committed. */
err_code hold_write(struct apply *ap, struct err *err);
void hold_say(const struct apply *ap);

/* ---- commit_conflict.c ------------------------------------------------------------------------------------------- */

/** conflict_check(ap, op, r, err): whether a put can be the conflict that it says it is; if not, ${r} says so. */
err_code conflict_check(struct apply *ap, const struct op *op, struct op_result *r, struct err *err);
/** conflict_record(ap, op, r, err): and it has been put, as ${r} says. */
err_code conflict_record(struct apply *ap, const struct op *op, const struct op_result *r, struct err *err);
/** conflict_copy_gone(ap, file, err): ${file} has become a tombstone. */
err_code conflict_copy_gone(struct apply *ap, const struct id *file, struct err *err);

/* ---- commit_counts.c --------------------------------------------------------------------------------------------- */

struct counts *counts_new(void);
void counts_free(struct counts *c);
/** counts_change(ap, before, after, err): note a change that has been written (apply_change's arguments). */
err_code counts_change(struct apply *ap, const struct file *before, const struct file *after, struct err *err);
/** counts_move(ap, before, after, err): what lies beneath a directory is about to move with it. */
err_code counts_move(struct apply *ap, const struct file *before, const struct file *after, struct err *err);
/** counts_write(ap, err): what has been noted goes into the directories' rows. */
err_code counts_write(struct apply *ap, struct err *err);

/* ---- commit_place.c ---------------------------------------------------------------------------------------------- */

/** Where a path lies; dir and name are parts of ${text}. */
struct place {
	char text[FILE_PATH_MAX];
	const char *dir, *name;
};
void place_of(const char *path, struct place *p);

/** file_there(ap, path, out, err): the live file at ${path}; *found. */
err_code file_there(struct apply *ap, const char *path, struct file *out, bool *found, struct err *err);

/** parent_ready(ap, path, make, r, err): the parent is a live directory, made when ${make}; else ${r} says what is wrong. */
err_code parent_ready(struct apply *ap, const char *path, bool make, struct op_result *r, struct err *err);
void parent_forget(struct apply *ap);

/** dir_is_empty(ap, f, empty, err): for anything but a directory true. */
err_code dir_is_empty(struct apply *ap, const struct file *f, bool *empty, struct err *err);
