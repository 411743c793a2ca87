#pragma once
/**
 * Reading the tree: listings, directories, the change feed.
 */

#include "server/domain/domain.h"

/** A page and what it was read from: files and project are of one instant. */
struct tree_page {
	struct file *files;
	size_t n;
	bool has_more;
	int64_t next;           /* clock to go on from */
	struct project project; /* epoch, clock, digest */
	const struct blocklist *lists; /* with want_extents: one per file, block_count 0 where it has none or more than a page */
};

/**
 * tree_list: live files with version > after, in clock order.  A file that changes while the pages are read comes again at its new
 * place, but one that is deleted does not: whoever keeps what he has listed goes on with tree_changes from the project.clock of
 * the FIRST page, not from the last page's next.
 */
err_code tree_list(struct domain *d, const struct id *project, int64_t after, unsigned limit, bool want_extents,
    struct arena *a, struct tree_page *out, struct err *err);

/**
 * tree_changes: the latest state of each file that changed after ${since}, in clock order, tombstones included; at the end
 * next = the project's clock even when the last changes were elsewhere.
 */
err_code tree_changes(struct domain *d, const struct id *project, int64_t since, unsigned limit, bool want_extents,
    struct arena *a, struct tree_page *out, struct err *err);

/**
 * tree_nothing_since(d, p, since, out): whether ${p}, as its row was read, has had no change after ${since}: *out is then what tree_changes
 * would give.  It is what most who ask are told, and costs nothing beyond the row, which whoever let them in has read.
 * *out borrows the name of ${p}.
 */
bool tree_nothing_since(struct domain *d, const struct project *p, int64_t since, struct tree_page *out);

/**
 * tree_changed_since(d, project, since): whether the project's clock is past ${since}.  Never blocks: it asks the clock that commits
 * and readers publish; the router polls it from HTTP_LATER.  True also when nothing is known (after a start, or of a project
 * that is gone), so that the asker looks: a tree_changes publishes what it has read.
 */
bool tree_changed_since(struct domain *d, const struct id *project, int64_t since);

/**
 * cursor_check(project, has_epoch, epoch, clock, err): may one go on from here?
 * Errors     EPOCH_CHANGED (another epoch, or a clock from the future), CURSOR_EXPIRED (before the horizon, not 0),
 *            CURSOR_INVALID (negative).
 */
err_code cursor_check(const struct project *project, bool has_epoch, const struct id *epoch, int64_t clock, struct err *err);

/** A live file by id, or by path.  NOT_FOUND also for tombstones. */
err_code tree_file(struct domain *d, const struct id *project, const struct id *file, struct arena *a, struct file *out,
    struct err *err);
err_code tree_file_at(struct domain *d, const struct id *project, const char *path, struct arena *a, struct file *out,
    struct err *err);

/**
 * tree_at: what is and what was at ${path}: the live entry, if there is one, then those that were deleted there, the newest first;
 * NOT_FOUND where there is neither.  Deleted ones are known as long as the project keeps their history.
 */
err_code tree_at(struct domain *d, const struct id *project, const char *path, unsigned limit, struct arena *a,
    struct tree_page *out, struct err *err);

/**
 * tree_blocks: ${count} blocks (a multiple of BLOCKLIST_PAGE_BLOCKS ≤ BLOCKLIST_ANSWER_MAX) of a live file's content, or with ${version} ≠ 0
 * of that kept version's, from block ${from} (a multiple too) on; fewer at the end; empty past the end, and for links and directories; *has_more.
 */
err_code tree_blocks(struct domain *d, const struct id *project, const struct id *file, int64_t version, uint64_t from, uint32_t count,
    struct arena *a, struct blocklist *out, struct file *file_out, bool *has_more, struct err *err);

/** tombstones_expire(d, project, now_us, err): those that no live device needs any more leave the tree (tombstone.c has the rule). */
err_code tombstones_expire(struct domain *d, const struct id *project, int64_t now_us, struct err *err);
