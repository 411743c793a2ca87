#pragma once
/**
 * The tree as people look at it: a directory in the order they like, and what has a name they remember.
 *
 * Pages     go on from a place, which is what the last entry was sorted by and not which entry it was: so entries that come, go and
 *           change meanwhile neither end a walk nor make it run in circles, and one that stays as it is, is met exactly once.
 *           What changes the thing that is sorted by moves, to where the walk has been or where it will come.
 * Short     a page may hold less than was asked for, even nothing, while has_more says that there is more to look at.
 */

#include "server/domain/tree.h"

enum view_sort {
	VIEW_PATH,    /* all entries by name, in byte order */
	/* The rest show the directories first, by name, then files and links: */
	VIEW_NAME,
	VIEW_SIZE,
	VIEW_MTIME,
	VIEW_CHANGED, /* by the clock of their latest change */
};

/** A place in a view: past the entry that is sorted by this. */
struct view_place {
	bool files;       /* the directories are done */
	int64_t key;      /* size, mtime_ns or version */
	const char *text; /* the name in a directory; of a search, the path */
};

struct view_page {
	struct tree_page page; /* page.next says nothing */
	struct view_place last; /* with page.has_more: go on from here */
};

struct view_dir {
	const char *dir; /* "" is the top */
	enum view_sort sort;
	bool desc;       /* from the other end; of directories only with VIEW_NAME.  Not with VIEW_PATH */
};
/** view_dir(d, project, v, after, limit, a, out, err): what lies directly in v->dir.  NOT_FOUND: it is no live directory. */
err_code view_dir(struct domain *d, const struct id *project, const struct view_dir *v, const struct view_place *after,
    unsigned limit, struct arena *a, struct view_page *out, struct err *err);

/** ${text}: names that hold it, without regard to case (server/model/fold.h); NULL: all.  ${prefix}: how paths begin; "": all. */
struct view_search {
	const char *prefix, *text;
};
/**
 * view_search(d, project, q, after, limit, a, out, err): in the order of (directory, name).  A page looks at no more than
 * SEARCH_ROWS_MAX entries.
 * Errors     those of path_check for a prefix no path can begin with; FIELD_RANGE for a text no name can hold.
 */
err_code view_search(struct domain *d, const struct id *project, const struct view_search *q, const struct view_place *after,
    unsigned limit, struct arena *a, struct view_page *out, struct err *err);

/** view_prefix_check(p, len, err): whether a path could begin like this; its last component may be cut anywhere between characters. */
err_code view_prefix_check(const char *p, size_t len, struct err *err);
/** view_text_check(p, len, err): 1 to NAME_LEN_MAX bytes of UTF-8 that a name can hold. */
err_code view_text_check(const char *p, size_t len, struct err *err);
