#pragma once
/**
 * One look at all three sides: the tree on disk, the last agreed tree and what the server has changed, joined by path, and the plan
 * that follows.  Only names that differ somewhere are kept, so memory follows the changes and not the tree.
 */

#include "base/map.h"
#include "client/diff/diff.h"
#include "client/folder.h"
#include "client/rest.h"

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
	const char **ignored;     /* names here that are; of a directory itself, and nothing in it */
	size_t ignored_count;
	uint64_t scanned;         /* entries on disk, without those */
	uint64_t known;           /* entries of the base tree */
	struct entry_sum deferred; /* new entries that this pass has left for the next one */
	struct rest *rest;        /* those of them that are new here; owned, NULL: none */
	bool continued;           /* it has come from a rest, and says nothing of any other name */
	uint64_t held_back;       /* names that differ and were left alone, as they are held */
	uint64_t unselected, unselected_bytes; /* of what the server has and is left out, what is not selected here */
	uint64_t verified, verified_bytes; /* files that were read and are as agreed */
};

/**
 * A first sync has a million names that differ.  With a slice, a pass takes that many of the new ones, and all else that differs; the rest is
 * as if it had not been seen, and is there for the next pass.  What may be one of two halves of a rename is never left out, nor is
 * anything while both sides have something new, so every plan is one that a whole look could have led to.  What is new here and left out is
 * kept, packed, for passes that follow without another look.  What the server has and is left out waits for one; those slices grow with the tree,
 * by which the looks are few.
 */
#define PASS_SLICE_MIN 24576 /* 11 MiB of plan, and as much again while it is made */
#define PASS_SLICE_PART 4    /* or this part of what is known already */
/** pass_slice(): the slice to begin with. */
size_t pass_slice(void);

struct pass_opts {
	size_t slice;             /* new names at least; 0: all of them, for a plan that is shown */
	const struct map *given_up; /* paths that do not count for it; may be NULL */
	bool verify;              /* read also what nothing has touched; what is not as agreed then is a problem, never an edit */
	const struct map *held;   /* paths that are being written: as if they could not be seen, and no problem; may be NULL */
	const bool *cancel;
	bool carried_out;         /* the plan will be, so what may only have been touched is read when it is sent, and not before */
	struct remote *remote;    /* asked for a list of blocks where only that tells a touched file from an edited one; may be NULL */
	void (*progress)(void *ctx, uint64_t entries);
	void *ctx;
};

/**
 * pass_open(f, opts, out, err): scan the folder and plan.  Base rows whose file was touched but is unchanged are refreshed; what is ignored, or not
 * selected here, is left out (docs/protocol/ignore.md), and with ${carried_out} no longer remembered as agreed.
 * Errors     IO, CANCELLED, DB, those of the line; VERSION_CONFLICT: the server has moved on since it was last read: read on, and look again.
 */
err_code pass_open(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err);
/**
 * pass_continue(rest, opts, out): a pass of the next ${opts->slice} names of ${rest}, for when nobody has said anything since the look that has left them.  They are as that
 * look has seen them: who sends a file finds out whether it still is.  A whole look has to follow when ${rest} has come to its end.
 */
void pass_continue(struct rest *rest, const struct pass_opts *opts, struct pass **out);
void pass_free(struct pass *p);
void pass_freep(struct pass **p);
