#pragma once
/**
 * What the server has and this device leaves out, since it is ignored or not selected here: pending rows with a mark (state.h).  A pass notes what it finds, and
 * records it when its readings have ended.
 */

#include "client/ignore/ignore.h"
#include "client/selection.h"
#include "client/state/state.h"

struct left_out_note;

struct left_out {
	struct state *state;
	const struct ignore *ignore;
	const struct selection *selection;
	struct arena *a;             /* owns the notes */
	struct left_out_note *notes;
	bool came_back;              /* something that was left out is not to be any more */
	uint64_t unselected, unselected_bytes; /* of what is left out, what is not selected here */
};

/** left_out_leaves(lo, base): a base row that is to be left out now. */
void left_out_leaves(struct left_out *lo, const struct entry *base);

/** left_out_found(lo, e): a pending row that is to be left out and has no mark. */
void left_out_found(struct left_out *lo, const struct entry *e);

/** left_out_review(lo, err): note which of those with a mark are not to be left out any more. */
err_code left_out_review(struct left_out *lo, struct err *err);

/** left_out_forget(lo): what has been noted is not recorded. */
void left_out_forget(struct left_out *lo);

/** left_out_record(lo, err): what has been noted, in one transaction. */
err_code left_out_record(struct left_out *lo, struct err *err);
