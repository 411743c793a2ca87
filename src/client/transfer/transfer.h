#pragma once
/**
 * Moving content: push packs local files into chunks, sends them in parallel and commits in batches; pull fetches the chunks that
 * versions are made of and turns them into verified temporaries.  Both run from threads of their own and report through callbacks,
 * which are serialised (one at a time).
 */

#include "client/model/plan.h"
#include "client/remote/remote.h"
#include "client/state/state.h"

/** Shared by both directions; read by the progress bar from another thread (atomics inside). */
struct transfer_progress;
struct transfer_progress *transfer_progress_new(void);
void transfer_progress_free(struct transfer_progress *p);
void transfer_progress_freep(struct transfer_progress **p);
/** transfer_progress_later(p, files, bytes): so much is to come behind all that has begun; it counts in the totals. */
void transfer_progress_later(struct transfer_progress *p, uint64_t files, uint64_t bytes);
struct transfer_counts {
	uint64_t files_total, files_done;
	uint64_t bytes_total, bytes_done; /* raw bytes of the files */
	uint64_t bytes_saved;             /* of them, what the other side had already: it did not cross the line */
};
void transfer_progress_read(struct transfer_progress *p, struct transfer_counts *out);
/** A large file that is on its way. */
struct transfer_busy {
	char path[PATH_LEN_MAX + 1];
	uint64_t size, done;
	unsigned others;  /* more of them */
};
/** transfer_progress_busy(p, min_ms, out): the one that has been on its way for longest, and at least ${min_ms}; false: there is none. */
bool transfer_progress_busy(struct transfer_progress *p, int64_t min_ms, struct transfer_busy *out);

struct transfer_env {
	int root;                /* of the tree */
	struct remote *remote;
	struct state *state;     /* block lists: contents that the server already has */
	const struct map *elsewhere; /* pull: contents that files outside of the base tree had, and their paths; may be NULL */
	bool allow_mass_delete;  /* push: deletions are meant, however many they are */
	unsigned parallel;       /* requests at once; 0: 8 */
	const bool *cancel;
	struct transfer_progress *progress;
	void *ctx;               /* for the callbacks */
};

/**
 * push_run(env, ops, n, done, err): carry out operations of kind PUSH, MOVE_REMOTE and DELETE_REMOTE, in the plan's order, in commits
 * of at most 2,000 operations whose bytes are durable on the server first.
 *
 * ${done} is told each operation's end: code ERR_OK with ${entry} the base row to record (state as pushed: id, version, content, stat from
 * before the read; NULL for a delete), or why not: VERSION_CONFLICT, NAME_EXISTS, … (plan again), BUSY (changing while read), DENIED, …
 * It is called inside a state transaction that push commits after each batch; it may call state_base_put and the like.  An entry that
 * was moved and also changed ends twice: first the ACT_MOVE_REMOTE with the row as it was, at its new path, then an ACT_PUSH of that
 * path, whose plan_op is push's own and lent for the call.  The same transaction moves the state's place past our own commits, where
 * nothing of others lies between.
 * Errors     what stops everything: NETWORK, TOKEN_*, CANCELLED, NO_SPACE, DB.
 */
typedef err_code (*push_done)(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry,
    struct err *err);
err_code push_run(const struct transfer_env *env, const struct plan_op *ops, size_t n, push_done done, struct err *err);

/** A file to fetch: its remote entry, and its extents where the feed gave them. */
struct pull_file {
	const struct plan_op *op;
	const struct entry *want;
	const struct wire_extent *extents; /* NULL: asked for with remote_blocks */
	uint32_t extent_count;
	/**
	 * Where an older version may lie, beneath the root, and its content; NULL: nowhere known.  Its blocks are verified, so it may have changed,
	 * or be gone.
	 */
	const char *old_path;
	const struct hash *old_content;
	bool resumes;       /* the file that ${open_temp} gives may have been filled before, by a pull of this file that was cut short */
};

/**
 * pull_run(env, files, n, open_temp, ready, err): bring each file's content into a temporary: of blocks that this disk has, verified like all
 * others, and of fetched ones.  ${open_temp} gives the file to write to, empty unless file->resumes.  ${ready}: all blocks verified and
 * written (not yet flushed; content hash equals want->content), or failed with ${code}; the temporary is then the callee's.  After any
 * failure but IO it may be given again to a later pull of a file of the same id, which goes on from what it holds.
 * Lists of what has arrived are put into the state, in transactions of their own.
 */
typedef err_code (*pull_open)(void *ctx, const struct pull_file *f, int *fd, char *name, struct err *err);
typedef err_code (*pull_ready)(void *ctx, const struct pull_file *f, const char *name, err_code code, const struct err *why,
    struct err *err);
err_code pull_run(const struct transfer_env *env, const struct pull_file *files, size_t n, pull_open open_temp, pull_ready ready,
    struct err *err);
