#pragma once
/**
 * A collection on its way: what the files of this folder share.
 *
 *   gc.c        the thread: when, and who is told
 *   collect.c   the order of events; lists that nothing names; objects without a row
 *   mark.c      what names which block of which chunk, for a range of chunks
 *   sweep.c     rows that nothing names, and their objects
 *   compact.c   chunks of which little is left
 */

#include "chunk/blocklist.h"
#include "chunk/container.h"
#include "server/job/gc.h"

/** A chunk of the range at hand. */
struct mark {
	struct hash id;
	int64_t used_at, created_at, stored_len;
	uint32_t raw_len, block_count;
	uint32_t live_blocks, live_raw; /* blocks that a page names, each once, and their bytes */
	uint32_t words;                 /* where its bitmap begins in marks->words */
	bool leased;                    /* an open transfer names it */
};

struct marks {
	struct mark *a; /* by id */
	size_t n, cap;
	uint64_t *words; /* a bit a block */
	size_t words_n, words_cap;
	bool more; /* there are chunks after the last one */
};

struct collection {
	struct domain *d;
	struct meta *meta;
	struct store *store;
	struct gc_report *report;
	struct id project; /* the one at hand */
	int64_t horizon;   /* taken before its walks began */
	struct marks marks;
	bool no_room; /* the store takes no writes: nothing is rewritten any more */
	/** rest(ctx, report): after each bounded piece of work; false: stop.  NULL: go on. */
	bool (*rest)(void *ctx, const struct gc_report *report);
	void *ctx;
};

/** collect(c, err): all of it. */
err_code collect(struct collection *c, struct err *err);

/** rest(c, err): a piece of work is done; UNAVAILABLE when the collector is to stop. */
err_code rest(struct collection *c, struct err *err);

/**
 * A reader that stays keeps SQLite's log from starting over, and by counting rows alone it stays for seconds where each is a read of a busy disk.
 * So what looks something up for each row ends its reader also by the clock; at least one row is looked at.
 * reader_until(): when one that begins now is to end.  reader_over(until): whether it is.
 */
int64_t reader_until(void);
bool reader_over(int64_t until);

/** page_extents(row, fn, ctx): each run of blocks of a packed page, which was verified when it was written. */
void page_extents(
    const uint8_t *packed, size_t len, void (*fn)(void *ctx, const struct extent *e, const uint8_t *blocks), void *ctx);
/** block_raw_len(blocks, k): of the ${k}-th of them. */
uint32_t block_raw_len(const uint8_t *blocks, uint32_t k);

/** marks_load(c, after, err): the next range of chunks.  marks_find(marks, id): NULL outside of it. */
err_code marks_load(struct collection *c, const struct hash *after, struct err *err);
struct mark *marks_find(const struct marks *m, const struct hash *id);
bool mark_is_live(const struct marks *m, const struct mark *mark, uint32_t block);
void marks_fini(struct marks *m);

/** marks_pages(c, err), marks_leases(c, err): one walk over all that names chunks. */
err_code marks_pages(struct collection *c, struct err *err);
err_code marks_leases(struct collection *c, struct err *err);

/** sweep(c, err): of the range at hand. */
err_code sweep(struct collection *c, struct err *err);

/** compact(c, err): of the range at hand. */
err_code compact(struct collection *c, struct err *err);
