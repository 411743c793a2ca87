#pragma once
/**
 * Between the files of this folder.
 *
 * S1  The sums of `place` are those of the rows at every commit: they are loaded when a transaction begins, changed with each row,
 *     written when it commits.
 * S2  A thread inside state_begin … state_commit reads its own writes; all others read what is committed.
 * S3  A list whose content no row of base names is in blocks_stale.
 * S4  A content that a row of base has, committed or in the writer's transaction, is one that seen_maybe answers with true.
 * S5  A pending row with left_out is no deletion; left_out and left_out_digest of place count exactly those, and pending counts the others.
 */

#include "base/limits.h"
#include "base/thread.h"
#include "client/state/state.h"
#include "db/db.h"

/** A set of contents, by their first bytes; without slots it holds everything. */
struct seen {
	uint64_t *slots;
	size_t mask, n;
};
void seen_init(struct seen *s); /* empty */
void seen_fini(struct seen *s); /* from here on it holds everything */
void seen_add(struct seen *s, const struct hash *content);
bool seen_maybe(const struct seen *s, const struct hash *content);

struct state {
	struct db *db;
	struct mutex lock;     /* RANK_LEAF; guards tx, owner and seen */
	struct db_tx *tx;      /* of the writer, NULL: none */
	pthread_t owner;       /* its thread */
	struct seen seen;      /* contents of base (S4) */

	/* the writer's alone */
	struct state_totals totals;
	bool totals_changed;
};

extern const struct db_migrations client_state_migrations;

/** state_writer(s): the transaction that this thread has begun, asserted. */
struct db_tx *state_writer(struct state *s);

/** What a thread reads from: its own transaction when it has begun one, else one just for this. */
struct view {
	struct db_tx *tx;
	struct db_tx *own; /* to be ended by view_end */
};
err_code view_begin(struct state *s, struct view *v, struct err *err);
void view_end(struct view *v);

/** totals_of(s, v, out, err): the sums as the view sees them. */
err_code totals_of(struct state *s, struct view *v, struct state_totals *out, struct err *err);

/** fixed(st, col, out, len): copy a value of exactly ${len} bytes; false when it has another length. */
bool column_fixed(struct db_stmt *st, int col, void *out, size_t len);

/** column_damaged(err, what): the error for rows that this program cannot have written. */
err_code column_damaged(struct err *err, const char *what);

/** blocks_unnamed(tx, content, err): a row of base that named the content is going: where there is a list, look at it some day (S3). */
err_code blocks_unnamed(struct db_tx *tx, const struct hash *content, struct err *err);

/** blocks_page_holds(content, page, st, col): whether the row's packed, weak and page_sum, in columns ${col} and after, are what was written. */
bool blocks_page_holds(const struct hash *content, int64_t page, struct db_stmt *st, int col);
