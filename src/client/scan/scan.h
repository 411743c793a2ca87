#pragma once
/**
 * Walking the tree.  The walk goes a directory at a time in path_cmp order, iteratively, beneath the root only, never following links
 * (I11), and says what it could not see: a part that was not read is never "absent" (I9).
 */

#include "base/arena.h"
#include "client/ignore/ignore.h"
#include "client/model/entry.h"

struct scan_opts {
	int root;                /* directory descriptor of the linked folder */
	int64_t now_ns;          /* wall time: entries changed within the last 20 ms are recorded with ctime 0 */
	struct ignore *ignore;   /* gets the rules of each directory that is entered, and leaves out what they say; NULL: nothing is ignored */
	void (*ignored)(void *ctx, const char *path, bool dir); /* each name that is left out; one in an ignored directory is not looked for */
	const bool *cancel;      /* stop soon when it becomes true; may be NULL */
	void (*progress)(void *ctx, uint64_t entries); /* now and then; may be NULL */
	void *ctx;
};

/** What was found but cannot be synced. */
struct scan_problem {
	const char *path;   /* raw bytes as on disk */
	const char *reason; /* static: special_file, name_not_utf8, name_reserved, path_too_long, unreadable, … */
	bool subtree;       /* nothing is known of what lies beneath: freeze it */
	bool rules;         /* path is a file of rules that could not be read: nothing is known of its directory but that file */
};

/**
 * scan_walk(opts, found, problem, ctx, err): call ${found} for every entry in path_cmp order (content not known for files; links have
 * target and content), ${problem} for what is skipped.  ".dray" at the top is not part of the tree.
 * Ownership  entries and text are lent for the call.
 * Errors     IO on the root itself, CANCELLED.  Anything beneath is a problem, not an error.
 */
err_code scan_walk(const struct scan_opts *opts, err_code (*found)(void *ctx, const struct entry *e, struct err *err),
    void (*problem)(void *ctx, const struct scan_problem *p), void *ctx, struct err *err);

/** scan_stat(root, path, a, out, err): one entry as scan_walk would report it.  NOT_FOUND; DENIED and special files: reason set. */
err_code scan_stat(int root, const char *path, int64_t now_ns, struct arena *a, struct entry *out, struct err *err);

/**
 * scan_hash(root, e, now_ns, cancel, out, err): read the file and fill in its content; ${out} is ${e} with the stat of the read.
 * Errors     BUSY (reason file_busy) when it kept changing while it was read, three times; NOT_FOUND; DENIED; IO; CANCELLED soon after
 *            *cancel, which may be NULL.
 */
err_code scan_hash(int root, const struct entry *e, int64_t now_ns, const bool *cancel, struct entry *out, struct err *err);
