#pragma once
/**
 * inotify on every directory of a tree: never on .dray, never on what its .drayignore files ignore, never through a link, never outside (I11).  What it
 * tells is a hint: a pass looks at
 * the disk itself, so nothing depends on an event but how soon, and which files are left alone because they are being written.
 *
 * Threads    one.
 */

#include "base/err.h"

struct tree_watch;

enum seen_kind {
	SEEN_CHANGED,   /* something at path, or a directory of that name */
	SEEN_MADE,      /* a regular file without other names, which somebody is probably about to write */
	SEEN_WRITTEN,
	SEEN_CLOSED,    /* by one that could write */
	SEEN_GONE,      /* and all beneath it */
	SEEN_MOVED,     /* from ${from}, with all beneath it */
	SEEN_RULES,     /* what is ignored has changed: open the watch anew */
	SEEN_OVERFLOW,  /* events were lost: open the watch anew */
	SEEN_ROOT_GONE, /* the root was moved, removed or unmounted: nothing more will come */
};

/** Text is lent for the call; "" is the root. */
struct seen {
	enum seen_kind kind;
	const char *path, *from;
};

/**
 * tree_watch_open(path, out, err): watch the directory ${path} and all beneath it.  What is made from now on is seen; look at the disk after.
 * Rules that cannot be read ignore nothing here: a pass reports them.
 * Errors     NOT_FOUND, IO on the root itself.  A directory beneath that cannot be watched is counted (tree_watch_missed).
 */
err_code tree_watch_open(const char *path, struct tree_watch **out, struct err *err);
void tree_watch_free(struct tree_watch *w);

/** tree_watch_fd(w): readable when there is something to read. */
int tree_watch_fd(const struct tree_watch *w);

/** tree_watch_read(w, fn, ctx): all that is there now; new directories are watched before ${fn} hears of them. */
void tree_watch_read(struct tree_watch *w, void (*fn)(void *ctx, const struct seen *s), void *ctx);

/** tree_watch_is_root(w, path): whether ${path} is still the directory that is watched, and not another one in its place. */
bool tree_watch_is_root(const struct tree_watch *w, const char *path);

/** tree_watch_writing(w, path): whether somebody has the file open and could write; also when the file system does not tell. */
bool tree_watch_writing(const struct tree_watch *w, const char *path);

/** How many directories are watched, and how many could not be because the system's limit is reached. */
size_t tree_watch_count(const struct tree_watch *w);
size_t tree_watch_missed(const struct tree_watch *w);
