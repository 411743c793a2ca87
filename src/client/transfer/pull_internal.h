#pragma once
/**
 * Inside of a pull.  Three stages, each with threads of its own, and blocks flow one way through them:
 *
 *   plan   the thread that called pull_run: files whose extents are told become needs at once; of the others the block list is read,
 *          in pages, and each block is looked up among those that this disk has.
 *   copy   up to COPIERS threads: what a page's file needs and this disk has (the temporary of an earlier attempt, older versions, copies)
 *          is verified and put in its place; what is missing becomes needs, grouped by chunk into jobs.
 *   fetch  as many threads as requests at once, but no more than there are blocks: get what a job names, verify it, put it in its place.
 *
 * A stage waits only for those after it, so none can wait for itself.  Whoever lands the last piece of a file hands it over.
 *
 * Memory     fetchers: parallel × (a chunk, CHUNK_OPEN_MAX blocks where they are packed, a codec) = 8 × 6.2 = 50 MiB; jobs waiting: JOBS_WAITING × parallel, which hold at most as
 *            many pages of a list (PAGE_BLOCKS × 100 bytes = 200 KiB each): 10 MiB; copiers: 1 MiB each, and the pages that wait for
 *            them, 6 MiB; where blocks are on this disk: INDEX_SEGMENTS × 1 MiB for each of SOURCES_MAX files, of one large file at a
 *            time: 16 MiB, and next to nothing for the small ones that copiers look up themselves; a list that comes without hashes: 6 MiB (lean.c), of one
 *            file at a time; lists to be kept: KEEP_MEMORY; 89 MiB in all, where there are such files, else 52; a window of WINDOW_FILES small files at about 200 bytes.
 * Files      OPEN_MAX temporaries, and SOURCES_MAX for each file in the second stage.
 *
 * L1  Nothing is handed over whose blocks have not all been verified, wherever they came from, each against the hash that its chunk's
 *     id or the list vouches for, and whose list does not make the content that the tree names (I3).
 * L2  Every need of every job and every page is settled exactly once, also when the pull stops, so every file that was begun ends.
 * L3  A place of a temporary is left unwritten only if it reads as what belongs there: a hole in a file that is new, for zeros.
 */

#include "base/thread.h"
#include "chunk/blocklist.h"
#include "chunk/container.h"
#include "client/transfer/transfer_internal.h"

#define WINDOW_FILES 16384      /* grouped together: enough for any chunk that small files share */
#define WINDOW_OPEN 64          /* of them in more than one run, so that they stay open */
#define OPEN_MAX 256            /* files open at once; a process has 1,024 descriptors by default */
#define JOBS_WAITING 4          /* for each fetcher */
#define TRIES_MAX 3             /* of bytes that do not verify */
#define START_LEN (64 * KIB)    /* asked for first, where little of a chunk is needed and blocks/fetch is not there: holds any header */
#define GAP_MAX (32 * KIB)      /* between two needed runs: cheaper to fetch than to ask again */
#define WHOLE_FROM (CHUNK_RAW_MAX - CHUNK_RAW_MAX / 16) /* needed bytes of a chunk that is fetched as a whole: window.c */
#define TEMP_NAME_MAX 256

#define COPIERS 4               /* two cores hash; the others wait for a disk, or for the list of a small file */
#define PAGES_WAITING 4
#define PAGE_BLOCKS BLOCKLIST_ANSWER_MAX /* of a list in work at a time: of a file with 2 % changed, half a request */
#define SPAN_BLOCKS 64          /* what a copier takes of a page */
#define SOURCES_MAX 4           /* files of this disk that blocks of one file are looked for in */
#define LIST_FROM (256 * KIB)   /* files at least so large have their list asked for, when an older version of them is here */
#define FLUSH_BYTES (32 * MIB)  /* fetched into a file between two flushes: what a power loss costs */
#define KEEP_MEMORY (1 * MIB)   /* of lists that wait for a transaction of the state */

struct lean;
struct sources;

/** A file on its way here. */
struct landing {
	struct landing *next;
	const struct pull_file *f;
	int fd;
	struct mutex writing;       /* RANK_POOL: who waits for the kernel's lock of a file spins, while others could hash */
	char *name;                 /* of the temporary, once it is opened */
	bool opened;                /* guarded by pull.callback */
	bool fresh;                 /* atomic: the temporary had nothing in it when this pull began to fill it: what is not written is zero */
	bool several;               /* in more than one run: counts in pull.open */
	bool listed;                /* planned from its block list, which made the right content */
	bool relist;                /* guarded by pull.mu: not cut on the grid, as was assumed; its list is needed */
	unsigned pending;           /* guarded by pull.mu: needs and pages not settled, and 1 while it is planned */
	unsigned copying;           /* guarded by pull.mu: pages not yet copied, and 1 while it is planned */
	struct lean *lean;          /* its list, where that makes the content by what is known here; while it is planned */
	struct sources *sources;    /* files that may have blocks of it; released with the last page copied */
	uint64_t unflushed;         /* guarded by pull.mu: fetched bytes */
	struct err *why;            /* guarded by pull.mu */
	struct block *blocks;       /* what landed, unless listed, with rolling sums; made with the temporary: most files wait long for it */
	uint32_t *weak;
	size_t block_count;
};

/** Where on this disk a block may be: whoever reads it there verifies it. */
struct spot {
	uint64_t offset;
	int32_t source;             /* -1: nowhere that we know */
};

/** A stretch of the list of a file. */
struct page {
	struct page *next;
	struct landing *file;
	uint64_t index, offset;     /* of its first block, in the list and in the file's bytes */
	uint32_t count, extent_count;
	struct block *blocks;
	struct extent *extents;
	uint32_t *weak;             /* rolling sums of the blocks that have landed */
	struct spot *spots;
	bool *here;                 /* landed from this disk */
	bool unread;                /* of a small file: who copies it asks for its list */
	bool known;                 /* of a list that we kept: what is missing makes the server's be asked for, as its chunks may be gone */
	uint32_t span_next, spans_left; /* guarded by pull.mu */
	uint32_t refs;              /* guarded by pull.mu: needs not settled, and 1 until it is copied */
	uint32_t landed;            /* guarded by pull.mu: blocks */
};

/** A run of a chunk's blocks, and where they go. */
struct need {
	struct landing *file;
	struct page *page;          /* of its list, from block ${at} of which on the hashes are known; NULL: not listed */
	uint32_t at;
	uint32_t first, count;
	uint64_t index;             /* of the first in the file's list */
	uint64_t offset;            /* of the first in the file's bytes */
	bool grid;                  /* the offset assumes the grid */
	bool done;
};

/** Blocks first … first + count - 1 of a chunk; in an answer of blocks/fetch they are from ${slot} on. */
struct run {
	uint32_t first, count, slot;
};

/** What is needed of one chunk. */
struct job {
	struct job *next;
	struct job *also;           /* chunks of the same request */
	struct hash chunk;
	struct need *needs;
	size_t n, cap;
	uint64_t raw_len;           /* of all needs */
	struct run *runs;           /* what the needs cover, in order, none touching another */
	uint32_t run_count, blocks;
	bool exact;                 /* ask for exactly these blocks */
};

struct pull {
	const struct transfer_env *env;
	pull_open open_temp;
	pull_ready ready;
	unsigned parallel, copiers; /* set before they are started */
	bool bare;                  /* there was no file here before: nothing to look for on this disk */
	bool no_lean;               /* the planner's: the server does not give a list's extents alone */
	bool no_fetch;              /* atomic: the server does not have blocks/fetch */

	struct mutex callback;      /* RANK_ENGINE: one callback at a time */
	struct mutex mu;            /* RANK_POOL; guards what follows */
	struct cond can_fetch, can_copy, can_plan;
	struct job *jobs, **jobs_tail;
	size_t jobs_n;
	struct page *pages, **pages_tail;
	size_t pages_n;
	struct kept *kept;          /* list.c */
	size_t kept_bytes;
	size_t live;                /* files begun and not ended */
	size_t open;                /* those of them in several runs */
	struct landing *relists;
	bool planned;               /* no more pages and jobs will come */
	bool stop;
	struct err err;             /* why, with stop */
};

/* ---- pull.c ----------------------------------------------------------------------------------------------------------------- */

void pull_fail(struct pull *p, const struct err *err);
bool pull_stopped(struct pull *p);
void job_queue(struct pull *p, struct job *j);
struct job *job_wait(struct pull *p); /* NULL at the end */
void job_free(struct job *j);         /* with those of the same request */
void page_queue(struct pull *p, struct page *pg);
/** page_wait(p, span): a page with something to copy, from block *span × SPAN_BLOCKS on; NULL at the end. */
struct page *page_wait(struct pull *p, uint32_t *span);

/* ---- window.c --------------------------------------------------------------------------------------------------------------- */

/** Jobs in the making, by chunk, in the order in which the chunks first appeared. */
struct window {
	struct map *by_chunk;
	struct job *first, **tail;
	size_t files, several;
};

void window_open(struct window *w);
/** window_need(p, w, chunk, n, raw_len): one more need; holds its file, and its page. */
void window_need(struct pull *p, struct window *w, const struct hash *chunk, const struct need *n, uint64_t raw_len);
/** window_emit(p, w): queue the jobs, those of little each together in one request. */
void window_emit(struct pull *p, struct window *w);

/* ---- plan.c ----------------------------------------------------------------------------------------------------------------- */

/** plan_all(p, files, n): everything, until every file has ended or the pull has stopped. */
void plan_all(struct pull *p, const struct pull_file *files, size_t n);

/* ---- list.c ----------------------------------------------------------------------------------------------------------------- */

struct page *page_new(struct landing *l, uint64_t index, uint64_t offset);
/**
 * page_fill(p, pg, err): read its blocks, from the server, from its file's lean list, or (page.known) from what the state has of the content: up
 * to PAGE_BLOCKS, or to the file's end.
 */
err_code page_fill(struct pull *p, struct page *pg, struct err *err);
uint64_t page_bytes(const struct page *pg);
/** page_landed(p, pg, n): ${n} more blocks of it are in their place.  page_release: the last one keeps its list, and it is gone. */
void page_landed(struct pull *p, struct page *pg, uint32_t n);
void page_release(struct pull *p, struct page *pg);
/** list_keep(p, content, index, …): a stretch of the list of a content, from block ${index} on, to the state, soon. */
void list_keep(struct pull *p, const struct hash *content, uint64_t index, const struct blocklist *l, const uint32_t *weak);
/** list_flush(p): now. */
void list_flush(struct pull *p);

/* ---- lean.c ----------------------------------------------------------------------------------------------------------------- */

/** lean_open(p, f): the list of ${f}, by its extents and the list of its older version.  NULL: this cannot be, or would not pay. */
struct lean *lean_open(struct pull *p, const struct pull_file *f);
void lean_free(struct lean *l);
/**
 * lean_next(p, l, a, out, err): the next PAGE_BLOCKS blocks, fewer at the end, in ${a}.  To be believed when all of them together make the
 * content that is wanted; then lean_rewind, and the same pages come again.
 * Errors     those of the line and of the state stop the pull; after any other one the whole list is asked for.
 */
err_code lean_next(struct pull *p, struct lean *l, struct arena *a, struct blocklist *out, struct err *err);
void lean_rewind(struct lean *l);

/* ---- local.c ---------------------------------------------------------------------------------------------------------------- */

/** A file of this disk that blocks are taken from.  It may change at any time. */
struct source {
	int fd;
	bool no_clone;              /* atomic: its blocks cannot be shared with the temporary's */
};

/** sources_open(p, f): the older version of ${f}, and a file of the very content that is wanted.  NULL: there is neither. */
struct sources *sources_open(struct pull *p, const struct pull_file *f);
void sources_free(struct sources *s);
struct source *sources_at(struct sources *s, int32_t i);
/** sources_twin(s): the file of the content that is wanted, or -1. */
int32_t sources_twin(const struct sources *s);
/**
 * sources_find(p, s, pg): fill in the page's spots; other files that share its blocks are found on the way, and *s is made when it is NULL
 * and there is something to be had.  Pages in order, one thread at a time.
 */
void sources_find(struct pull *p, struct sources **s, struct page *pg);

/* ---- copy.c ----------------------------------------------------------------------------------------------------------------- */

void *copier_main(void *pull);

/* ---- land.c ----------------------------------------------------------------------------------------------------------------- */

struct landing *landing_new(struct pull *p, const struct pull_file *f, bool several);
void landing_fail(struct pull *p, struct landing *l, const struct err *why); /* the first reason stays */
bool landing_failed(struct pull *p, struct landing *l);
/** landing_settle(p, l): one of its pending parts is done; the last one ends it, and ${l} is gone. */
void landing_settle(struct pull *p, struct landing *l);
/** landing_copied(p, l): one of its pages has been copied, or planning has ended: the last one closes its sources. */
void landing_copied(struct pull *p, struct landing *l);
/** landing_open(p, l, err): its temporary, made when first needed. */
err_code landing_open(struct pull *p, struct landing *l, struct err *err);
/**
 * landing_sparse(l): the temporary has its length from the beginning, so that what is not written of it is a hole.  Nothing is reserved: a
 * reservation would fill the holes, and a disk that is full is found out when it is, with what was fetched kept.
 */
bool landing_sparse(const struct landing *l);
/** landing_fresh(l): whether what has not been written yet is a hole. */
bool landing_fresh(const struct landing *l);
/** landing_write(l, v, n, offset, err): verified blocks, one after the other, into their place. */
err_code landing_write(struct landing *l, const struct slice *v, uint32_t n, uint64_t offset, struct err *err);
/** landing_fetched(p, l, len, err): so many bytes came over the line; now and then they are made durable, so that a power loss costs little. */
err_code landing_fetched(struct pull *p, struct landing *l, uint64_t len, struct err *err);
/** landing_relist(p, l): plan it again, by the server's list. */
void landing_relist(struct pull *p, struct landing *l);
/** block_is_zero(b): a whole block of zeros, by its hash.  all_zero(p, len): by its bytes. */
bool block_is_zero(const struct block *b);
bool all_zero(const uint8_t *p, size_t len);

/* ---- fetch.c ---------------------------------------------------------------------------------------------------------------- */

void *fetcher_main(void *pull);
