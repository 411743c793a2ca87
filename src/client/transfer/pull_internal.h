#pragma once
/**
 * Inside of a pull.  The thread that called pull_run plans: it groups the needed runs of blocks by chunk into jobs, over many files
 * for small ones, over pages of the block list for large ones.  Fetchers carry out the jobs and land the blocks in the files'
 * temporaries; whoever lands the last piece of a file hands it over.
 *
 * Memory     parallel × (a chunk, a block, a codec) = 8 × 5.2 = 42 MiB; jobs waiting: JOBS_WAITING × parallel, each at most a page of
 *            a list; a window of WINDOW_FILES small files at about 200 bytes.
 *
 * L1  Nothing is handed over whose blocks have not all been verified, each against the hash that its chunk's id or the list vouches
 *     for, and whose list does not make the content that the tree names (I3).
 * L2  Every need of every job is settled exactly once, also when the pull stops, so every file that was begun ends.
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
#define START_LEN (64 * KIB)    /* asked for first, where little of a chunk is needed: holds any header */
#define GAP_MAX (32 * KIB)      /* between two needed runs: cheaper to fetch than to ask again */
#define TEMP_NAME_MAX 256

/** A file on its way here. */
struct landing {
	struct landing *next;
	const struct pull_file *f;
	int fd;
	char name[TEMP_NAME_MAX];
	bool opened;                /* guarded by pull.callback */
	bool several;               /* in more than one run: counts in pull.open */
	bool listed;                /* planned from its block list, which made the right content */
	bool relist;                /* guarded by pull.mu: not cut on the grid, as was assumed; its list is needed */
	unsigned pending;           /* guarded by pull.mu: needs not settled, and 1 while it is planned */
	struct err *why;            /* guarded by pull.mu */
	struct block *blocks;       /* what landed, unless listed */
	size_t block_count;
};

/** A run of a chunk's blocks, and where they go. */
struct need {
	struct landing *file;
	uint32_t first, count;
	uint64_t index;             /* of the first in the file's list */
	uint64_t offset;            /* of the first in the file's bytes */
	bool grid;                  /* the offset assumes the grid */
	bool done;
	struct block *expect;       /* as the list has them; NULL: not known */
};

/** What is needed of one chunk. */
struct job {
	struct job *next;
	struct hash chunk;
	struct need *needs;
	size_t n, cap;
	uint64_t raw_len;           /* of the blocks needed */
};

struct pull {
	const struct transfer_env *env;
	pull_open open_temp;
	pull_ready ready;
	unsigned parallel;

	struct mutex callback;      /* RANK_ENGINE: one callback at a time */
	struct mutex mu;            /* RANK_POOL; guards what follows */
	struct cond can_fetch, can_plan;
	struct job *jobs, **jobs_tail;
	size_t jobs_n;
	size_t live;                /* files begun and not ended */
	size_t open;                /* those of them in several runs */
	struct landing *relists;
	bool planned;               /* no more jobs will come */
	bool stop;
	struct err err;             /* why, with stop */
};

/* ---- pull.c ----------------------------------------------------------------------------------------------------------------- */

void pull_fail(struct pull *p, const struct err *err);
bool pull_stopped(struct pull *p);
struct job *job_wait(struct pull *p); /* NULL at the end */
void job_free(struct job *j);

/* ---- land.c ----------------------------------------------------------------------------------------------------------------- */

struct landing *landing_new(struct pull *p, const struct pull_file *f, bool several);
void landing_fail(struct pull *p, struct landing *l, const struct err *why); /* the first reason stays */
/** landing_settle(p, l): one of its pending parts is done; the last one ends it, and ${l} is gone. */
void landing_settle(struct pull *p, struct landing *l);
/** landing_open(p, l, err): its temporary, made when first needed. */
err_code landing_open(struct pull *p, struct landing *l, struct err *err);

/* ---- fetch.c ---------------------------------------------------------------------------------------------------------------- */

void *fetcher_main(void *pull);
