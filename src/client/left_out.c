#include "client/left_out.h"

enum note { NOTE_LEAVES, NOTE_LEFT_OUT, NOTE_BACK };

struct left_out_note {
	struct left_out_note *next;
	enum note what;
	struct entry entry;
};

static void
note(struct left_out *lo, enum note what, const struct entry *e)
{
	struct left_out_note *n = arena_must(lo->a, sizeof *n);

	*n = (struct left_out_note){ .next = lo->notes, .what = what, .entry = *e };
	n->entry.path = arena_strdup(lo->a, e->path);
	n->entry.target = arena_strdup(lo->a, e->target ? e->target : "");
	lo->notes = n;
}

void
left_out_leaves(struct left_out *lo, const struct entry *base)
{
	note(lo, NOTE_LEAVES, base);
}

static void
count(struct left_out *lo, const struct entry *e)
{
	if (selection_keeps(lo->selection, e->path))
		return;
	lo->unselected++;
	lo->unselected_bytes += e->kind == ENTRY_FILE ? (uint64_t)e->size : 0;
}

void
left_out_found(struct left_out *lo, const struct entry *e)
{
	count(lo, e);
	note(lo, NOTE_LEFT_OUT, e);
}

static err_code
review(void *ctx, const struct entry *e, struct err *err)
{
	struct left_out *lo = ctx;

	(void)err;
	if (ignore_path(lo->ignore, e->path, e->kind == ENTRY_DIR) || !selection_keeps(lo->selection, e->path)) {
		count(lo, e);
		return ERR_OK;
	}
	if (!lo->came_back)
		left_out_forget(lo); /* what leaves is found again by the look that begins again */
	note(lo, NOTE_BACK, e);
	lo->came_back = true;
	return ERR_OK;
}

err_code
left_out_review(struct left_out *lo, struct err *err)
{
	return state_left_out_each(lo->state, review, lo, err);
}

void
left_out_forget(struct left_out *lo)
{
	lo->notes = NULL;
}

static err_code
record(struct state *s, const struct left_out_note *n, struct err *err)
{
	if (n->what == NOTE_LEAVES)
		return state_leave(s, &n->entry, err);
	return state_left_out_put(s, &n->entry, n->what == NOTE_LEFT_OUT, err);
}

err_code
left_out_record(struct left_out *lo, struct err *err)
{
	err_code rc;

	if (!lo->notes)
		return ERR_OK;
	rc = state_begin(lo->state, err);
	for (; rc == ERR_OK && lo->notes; lo->notes = lo->notes->next)
		rc = record(lo->state, lo->notes, err);
	return state_end(lo->state, rc, err);
}
