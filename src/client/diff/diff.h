#pragma once
/**
 * The planner: a pure function from three sides to a plan.  No I/O, no clock, no randomness.  Every rule is a row of one table
 * (diff.c); docs/protocol/planner.md has the same table for people.
 *
 * Rules in short: an edit beats a delete; equal content is never a conflict; who committed first keeps the name, the other becomes
 * a conflict copy; directories merge; what is ignored here is not touched on either side, nor is the directory that it is in taken away;
 * mode and time of both sides changed: the server's win; a directory lives while anything in it does.
 */

#include "base/arena.h"
#include "client/model/plan.h"

/**
 * diff_plan(items, n, a, out): ${items} in path_cmp order, one per path, each path that differs on any two sides; unchanged names
 * may be left out.  A file's local->content_known may be false when it need not be known: see diff_needs_content; where it would have
 * been needed, the file counts as edited.
 *
 * Order of out->ops, so that both sides can run it front to back: conflicts, each after the deletions in the directory that it moves
 * aside; directory creations top-down; moves; deletions bottom-up; everything else in path order, with adopt, forget and skip among it.
 * When all operations succeed, the next plan is empty, or after conflicts and moves the one after it.
 */
void diff_plan(const struct diff_item *items, size_t n, struct arena *a, struct plan *out);

/**
 * diff_needs_content(item, read_when_sent): whether the decision depends on the local content, which is not known: hash it, then plan.
 * ${read_when_sent}: whoever carries the plan out finds out while sending that a file was only touched; then a file whose other side is as
 * it was is planned as edited, and is read once and not twice.
 */
bool diff_needs_content(const struct diff_item *item, bool read_when_sent);

/**
 * diff_is_doubtful(item): whether what is here is to be an edit of somebody's beside another change on the server.  It is none, if the server has had it as
 * a version since ${base}: make that the base, then plan.
 */
bool diff_is_doubtful(const struct diff_item *item);
