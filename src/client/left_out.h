#pragma once
/**
 * What the server has and this device leaves out, since it is ignored here: pending rows with a mark (state.h).  A pass notes what it finds, and
 * records it when its readings have ended.
 */

#include "client/ignore/ignore.h"
#include "client/state/state.h"

struct left_out_note;

struct left_out {
	struct state *state;
	const struct ignore *ignore;
	struct arena *a;             /* owns the notes */
	struct left_out_note *notes;
	bool came_back;              /* something that was left out is not ignored any more */
};

/** left_out_leaves(lo, base): a base row that is ignored now. */
void left_out_leaves(struct left_out *lo, const struct entry *base);

/** left_out_found(lo, e): a pending row that is ignored and has no mark. */
void left_out_found(struct left_out *lo, const struct entry *e);

/** left_out_review(lo, err): note which of those with a mark are not ignored any more. */
err_code left_out_review(struct left_out *lo, struct err *err);

/** left_out_record(lo, err): what has been noted, in one transaction. */
err_code left_out_record(struct left_out *lo, struct err *err);
