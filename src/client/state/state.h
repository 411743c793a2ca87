#pragma once
/**
 * The client's memory, .dray/state.db: the base tree (what both sides last agreed on), what the server has changed since and is not yet
 * here (pending), the cursor, and the block lists of known contents.  SQLite in WAL mode; power-loss safe.
 *
 * A cursor is stored in the transaction that stores the changes it covers, a base row only after its effect is durable on disk.
 *
 * Threads    any.  One writer at a time: state_begin waits for the one before it (30 s, then UNAVAILABLE), and its thread must end it.  Inside,
 *            that thread reads its own writes; all others read what is committed.  state_abort does nothing where nothing was begun.
 *            A walk sees one instant; one that was started inside a transaction ends before that does.
 * Errors     of each call besides those named: NO_SPACE, UNAVAILABLE, IO, READ_ONLY, DB, CORRUPT.
 */

#include "base/arena.h"
#include "client/model/entry.h"

struct state;

/** state_open(dotdray, out, err): ${dotdray} is the path of the .dray directory; the database is made when missing. */
err_code state_open(const char *dotdray, struct state **out, struct err *err);
/** state_open_read(dotdray, out, err): the same of a state that another process may be working on: for reading only. */
err_code state_open_read(const char *dotdray, struct state **out, struct err *err);
/**
 * state_open_untouched(dotdray, alone, out, err): to read only; not a byte is written.  ${alone}: the caller has the folder's lock, and then no
 * file is made beside it either, and one thread reads at a time.
 * Errors     as state_open; DB with reason "older_schema"; NOT_FOUND.
 */
err_code state_open_untouched(const char *dotdray, bool alone, struct state **out, struct err *err);
void state_free(struct state *s);

/** state_check(s, fn, ctx, err): what does not agree with itself, a sentence each: the database, the sums, the block lists.  CORRUPT: it cannot go on. */
err_code state_check(struct state *s, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err);

/** Who this folder is: written by link, read by all. */
struct state_link {
	const char *url;          /* "https://host:port" without trailing slash */
	struct id project, device;
	const char *project_name, *device_name;
};
err_code state_link_put(struct state *s, const struct state_link *l, struct err *err);
err_code state_link_get(struct state *s, struct arena *a, struct state_link *out, struct err *err); /* NOT_LINKED */
/** state_link_peek: the same of a state that another process may be working on; changes nothing there. */
err_code state_link_peek(const char *dotdray, struct arena *a, struct state_link *out, struct err *err);

/** Where the server's feed has been read to; zero at the start. */
struct state_place {
	int64_t clock;
	struct id epoch;
	bool known;            /* false before the first page */
	int64_t reported;      /* the clock of the checkpoint that the server has been told */
	struct hash digest;    /* the server's, at clock */
	int64_t synced_at;     /* wall time µs of the last complete sync, 0: never */
};
err_code state_place_get(struct state *s, struct state_place *out, struct err *err);

err_code state_begin(struct state *s, struct err *err);
err_code state_commit(struct state *s, struct err *err);
void state_abort(struct state *s);
/** state_end(s, rc, err): commit where ${rc} is OK, else abort.  The first failure of the two. */
err_code state_end(struct state *s, err_code rc, struct err *err);

/* inside a transaction */
err_code state_place_put(struct state *s, const struct state_place *p, struct err *err);
/**
 * By path; replaces a row of the same id too.  Where another file's row stood there, what was pending of that one is settled with it
 * (state_pending_remove_from).
 */
err_code state_base_put(struct state *s, const struct entry *e, struct err *err);
err_code state_base_remove(struct state *s, const char *path, struct err *err);
/** The server's newest word on file e->id: live at e->path, or ${deleted}.  ${extra}: bytes to keep with it (its extents), opaque here. */
err_code state_pending_put(struct state *s, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len,
    struct err *err);
err_code state_pending_remove(struct state *s, const struct id *id, struct err *err);
/**
 * The file is gone from ${path}: what was pending of it is settled, unless it says that the file lives under another name now, which is
 * still to be brought here.
 */
err_code state_pending_remove_from(struct state *s, const struct id *id, const char *path, struct err *err);
err_code state_pending_clear(struct state *s, struct err *err);
/**
 * state_leave(s, e, err): base row ${e} is not part of what is synced any more, as it is ignored here: what the server has of it is pending instead,
 * in what it has last said or as it was agreed.
 */
err_code state_leave(struct state *s, const struct entry *e, struct err *err);
/** state_left_out_put(s, e, left_out, err): mark the pending row ${e}, or take the mark away.  A row that is put or removed has none. */
err_code state_left_out_put(struct state *s, const struct entry *e, bool left_out, struct err *err);
/**
 * state_blocks_put(s, content, page, packed, len, weak, err): the block list of a content that the server holds, a packed page of at most
 * BLOCKLIST_PAGE_BLOCKS each (chunk/blocklist.h): to be named instead of sent, and a base for deltas.  ${weak}: the rolling sum of each block
 * of the page, NULL: not known.  A list that no row of base names is pruned some day.
 */
err_code state_blocks_put(struct state *s, const struct hash *content, uint32_t page, const uint8_t *packed, size_t len,
    const uint32_t *weak, struct err *err);
/** Forget a content's list: the server does not have its chunks any more. */
err_code state_blocks_forget(struct state *s, const struct hash *content, struct err *err);
/**
 * state_blocks_prune(s, before_us, pages, err): remove at most ${pages} pages of lists that no file of the base tree has had since
 * ${before_us} (wall time).  Costs what there is to remove, not what there is.
 */
err_code state_blocks_prune(struct state *s, int64_t before_us, uint32_t pages, struct err *err);
/** Large files whose upload has begun: what a later run needs to go on with it.  Kept by transfer. */
struct state_upload {
	const char *path;
	uint64_t dev, ino;      /* the file as it was when it was read */
	int64_t size, mtime_ns, ctime_ns;
	struct id transfer;
	struct hash base;       /* the content against which it was cut; zero: on the grid */
	int64_t started_at;     /* wall time, microseconds */
};
err_code state_upload_put(struct state *s, const struct state_upload *u, struct err *err);
err_code state_upload_remove(struct state *s, const struct id *transfer, struct err *err);
/**
 * What was renamed aside, or is about to be, and has not been sent under its new name: what it lost its old one against.  Kept by inode.
 */
struct state_aside {
	uint64_t dev, ino;
	struct id file;         /* that kept the name */
	int64_t version;        /* which it had then */
	const char *path;       /* the new name; "": not known yet */
};
err_code state_aside_put(struct state *s, const struct state_aside *a, struct err *err);
/** state_aside_remove, state_aside_get(…): the one of that new name, or, where the name is not known, of that inode.  Of get: NOT_FOUND. */
err_code state_aside_remove(struct state *s, const char *path, uint64_t dev, uint64_t ino, struct err *err);
err_code state_aside_clear(struct state *s, struct err *err);

/* reading */
err_code state_base_get(struct state *s, const char *path, struct arena *a, struct entry *out, struct err *err); /* NOT_FOUND */
err_code state_base_by_id(struct state *s, const struct id *id, struct arena *a, struct entry *out, struct err *err);
/** A file of the base tree with that content, whichever: this disk has its bytes, as agreed.  NOT_FOUND. */
err_code state_base_by_content(struct state *s, const struct hash *content, struct arena *a, struct entry *out, struct err *err);
/** state_base_by_size(s, size, out, max, n, err): contents of at most ${max} files that have that size, of more than a block; *n of them. */
err_code state_base_by_size(struct state *s, int64_t size, struct hash *out, size_t max, size_t *n, struct err *err);
/**
 * A page of a content's list, and the rolling sums of its blocks; *weak NULL: not known.  NOT_FOUND when the page is not known: pages
 * after the last, and lists that were too long to be kept or have been pruned in part.
 */
err_code state_blocks_get(struct state *s, const struct hash *content, uint32_t page, struct arena *a, const uint8_t **packed, size_t *len,
    const uint32_t **weak, struct err *err);

/** Where a block is the first of a page of a known list: how files that share a run of blocks are found. */
struct state_block_at {
	struct hash content;
	uint32_t page;
};
/** state_blocks_find(s, block, out, max, n, err): at most ${max} such places, in no particular order; *n of them. */
err_code state_blocks_find(struct state *s, const struct hash *block, struct state_block_at *out, size_t max, size_t *n,
    struct err *err);

/** state_upload_list(s, a, out, max, n, err): at most ${max} of the uploads under way, the latest first; text in ${a}. */
err_code state_upload_list(struct state *s, struct arena *a, struct state_upload *out, size_t max, size_t *n, struct err *err);

/** out->path is ${path}. */
err_code state_aside_get(struct state *s, const char *path, uint64_t dev, uint64_t ino, struct state_aside *out, struct err *err);

/** state_base_walk: all base rows in path_cmp order; entries lent for the call; a cursor that the caller steps. */
struct state_walk;
err_code state_base_walk(struct state *s, struct state_walk **out, struct err *err);
err_code state_walk_next(struct state_walk *w, const struct entry **e, struct err *err); /* *e NULL at the end; lent until the next call */
void state_walk_free(struct state_walk *w);
void state_walk_freep(struct state_walk **w);

/**
 * state_left_out_each(s, fn, ctx, err): every pending row with the mark: what the server has and is left out here.  No deletion has one.
 */
err_code state_left_out_each(struct state *s, err_code (*fn)(void *ctx, const struct entry *e, struct err *err), void *ctx, struct err *err);

/**
 * state_pending_each(s, new_max, left, fn, ctx, err): of those without the mark, every pending row of a deletion, of a directory, and of what the base tree has by its
 * id; and of the others, which are new, at most ${new_max}, the oldest first.  *left: those that were not told.
 */
err_code state_pending_each(struct state *s, uint64_t new_max, struct entry_sum *left, err_code (*fn)(void *ctx, const struct entry *e,
    bool deleted, const uint8_t *extra, size_t extra_len, struct err *err), void *ctx, struct err *err);

struct state_totals {
	uint64_t entries, files, bytes;
	uint64_t pending;            /* without those left out */
	uint64_t left_out;
	struct hash digest;          /* over the base rows, as the server keeps it */
	struct hash left_out_digest; /* over what is left out, likewise */
};
/** state_tree_digest(t): of base and what is left out together: all that this device knows of the server's tree. */
struct hash state_tree_digest(const struct state_totals *t);
err_code state_totals(struct state *s, struct state_totals *out, struct err *err);
/**
 * state_base_verify(s, err): whether the base rows are those that were written, by their sum.  STATE_DAMAGED.  Reads all of them: ask before a
 * deletion is concluded from one.
 */
err_code state_base_verify(struct state *s, struct err *err);
/** state_holds(s, err): the same, and whether the database holds together.  STATE_DAMAGED. */
err_code state_holds(struct state *s, struct err *err);
