/*
 * From names to a tree.
 *
 * T1  A directory lives while anything in it does: where its own sides call for deletion, it is made again on the side that deleted it.
 * T2  Where something other than a directory is to take its place, one of the two goes aside.  The server's keeps the name: a file of
 *     here that stands where the server has a living directory becomes a conflict copy, and so does, as a whole, a directory of here
 *     with something of its own in it where the server has a file.
 * T3  What lies in a directory that goes aside goes with it, and is found under its new name by the next plan.  Only what the server has
 *     deleted is deleted first: it must not come back under another name.
 * T4  What is ignored is not moved or deleted with the directory that it is in.  On the server it keeps the directory alive as anything does.
 *     Here, a directory with nothing else in it stays, and is not sent: whether the server deleted it or never had it.  The rules in it stay
 *     with it, since without them what they ignore would be sent.  Where something else is to take its place, nothing is done.
 */
#include "client/diff/diff_internal.h"

static bool
is_dir(const struct entry *e)
{
	return e && e->kind == ENTRY_DIR;
}

static void
change(struct row *r, enum act act, const struct entry *end, const char *reason)
{
	r->act = (uint8_t)act;
	r->end = end;
	r->reason = reason;
}

/* Something beneath lives on, so the row must be a directory in the end, and by its own sides it would not be. */
static void
keep_directory(struct row *r)
{
	switch (r->act) {
	case ACT_DELETE_LOCAL:
		if (is_dir(r->local))
			change(r, ACT_PUSH, r->local, "deleted on the server, but something in it lives on here");
		break;
	case ACT_DELETE_REMOTE:
		if (is_dir(r->remote))
			change(r, ACT_PULL, r->remote, "deleted here, but something in it lives on on the server");
		break;
	case ACT_PULL:
		if (is_dir(r->local))
			change(r, ACT_CONFLICT, r->remote, "a directory in use here, something else on the server");
		break;
	case ACT_PUSH:
		if (is_dir(r->remote))
			change(r, ACT_CONFLICT, r->remote, "a directory in use on the server, something else here");
		break;
	default: /* a conflict of a directory is what it should be; else the sides do not make trees, and there is nothing to save */
		break;
	}
}

#define HOLDS_IGNORED "holds_ignored" /* why a directory is not moved aside, and nothing takes its place */

/* T4: nothing lives in the directory but what is ignored here. */
static void
keep_for_ignored(struct row *r)
{
	bool is_gone = r->act == ACT_DELETE_LOCAL || (r->act == ACT_PUSH && !r->remote);

	if (is_gone && r->base)
		change(r, ACT_FORGET, NULL, "not on the server; stays here for what is ignored in it");
	else if (is_gone)
		change(r, ROW_NOTHING, NULL, NULL);
	r->kept = is_gone;
}

/* Rules that the server does not have: they are nothing to it if they are about nothing that it has. */
static bool
only_rules(const struct row *r)
{
	return r->rules && !r->remote && !row_moves(r) && !(r->local && r->local->kind == ENTRY_DIR);
}

static void
settle(struct row *r)
{
	bool others = r->holds || (r->holds_rules && !r->stays);

	if (r->stays && !others)
		keep_for_ignored(r);
	else if (others && !is_dir(r->end))
		keep_directory(r);
	/* It would be carried away, or be in the way. */
	if (r->stays && is_dir(r->local) && (r->act == ACT_CONFLICT || (r->act == ACT_PULL && !is_dir(r->remote))))
		change(r, ACT_SKIP, r->remote, HOLDS_IGNORED);
}

static void
tell_parent(const struct row *r, struct row *parent)
{
	bool lives = r->end || r->act == ACT_SKIP;

	parent->stays |= r->stays || r->ignored_here;
	parent->holds |= r->ignored_there || (lives && !only_rules(r));
	parent->holds_rules |= lives && only_rules(r);
}

/* T4.  Parents come before children. */
static void
keep_rules(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct row *r = &rows->v[i];

		if (r->parent == ROW_NONE || !rows->v[r->parent].kept || !only_rules(r) || !r->local)
			continue;
		if (r->base)
			change(r, ACT_FORGET, NULL, "not on the server; stays here with what it ignores");
		else
			change(r, ROW_NOTHING, NULL, NULL);
	}
}

static bool
goes_aside(const struct row *r)
{
	return is_dir(r->local) && (r->act == ACT_CONFLICT || (r->act == ACT_SKIP && r->stays));
}

/* The file stays where it is and goes aside with the directories that it is in, so these are not empty and not deleted. */
static void
give_up_move(struct rows *rows, struct row *r)
{
	r->act = ROW_NOTHING;
	for (uint32_t i = rows->v[r->src].parent; i != ROW_NONE && rows->v[i].aside; i = rows->v[i].parent)
		rows->v[i].act = ROW_NOTHING;
}

/* T3.  Parents come before children. */
static void
mark_aside(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct row *r = &rows->v[i];
		const struct row *parent = r->parent != ROW_NONE ? &rows->v[r->parent] : NULL;

		r->aside = parent && (parent->aside || goes_aside(parent));
		if (r->aside && r->act != ACT_DELETE_LOCAL && r->act != ACT_FORGET)
			r->act = ROW_NOTHING;
	}
	for (uint32_t i = 0; i < rows->move_count; i++) {
		struct row *r = &rows->v[rows->moves[i]];

		if (r->act == ACT_MOVE_LOCAL && rows->v[r->src].aside)
			give_up_move(rows, r); /* its old name is about to change; the next plan finds it under the new one */
	}
}

void
tree_settle(struct rows *rows)
{
	/* Children come after parents, so backwards each has been settled before its directory is looked at. */
	for (uint32_t i = rows->n; i-- > 0;) {
		struct row *r = &rows->v[i];

		settle(r);
		if (r->parent != ROW_NONE)
			tell_parent(r, &rows->v[r->parent]);
	}
	keep_rules(rows);
	mark_aside(rows);
}
