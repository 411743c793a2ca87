#pragma once
/**
 * One look at all three sides: the tree on disk, the last agreed tree and what the server has changed, joined by path, and the plan
 * that follows.  Only names that differ somewhere are kept, so memory follows the changes and not the tree.
 */

#include "base/map.h"
#include "client/diff/diff.h"
#include "client/folder.h"

/** Something that stays unsynced, and why. */
struct problem {
	const char *path;
	const char *reason; /* stable word: unreadable, special_file, busy, … */
	const char *detail; /* a sentence, or "" */
};

struct pass {
	struct arena *arena;      /* owns all text and entries of the pass */
	struct plan plan;
	struct problem *problems; /* of the scan */
	size_t problem_count;
	uint64_t scanned;         /* entries on disk */
	uint64_t known;           /* entries of the base tree */
	struct map *extents;      /* path -> struct pass_extents, of files to pull */
};

struct pass_extents {
	uint32_t count;
	struct wire_extent *x;
};

struct pass_opts {
	const bool *cancel;
	bool carried_out;         /* the plan will be, so what may only have been touched is read when it is sent, and not before */
	struct remote *remote;    /* asked for a list of blocks where only that tells a touched file from an edited one; may be NULL */
	void (*progress)(void *ctx, uint64_t entries);
	void *ctx;
};

/**
 * pass_open(f, opts, out, err): scan the folder and plan.  Base rows whose file was touched but is unchanged are refreshed.
 * Errors     IO, CANCELLED, DB.
 */
err_code pass_open(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err);
void pass_free(struct pass *p);
void pass_freep(struct pass **p);
