/*
 * From rows to operations, in the order of diff.h.  Within a phase the order of paths does the rest: a directory comes before what is
 * in it, and backwards after.
 */
#include "client/diff/diff_internal.h"

enum phase { PHASE_ASIDE, PHASE_MKDIR, PHASE_MOVE, PHASE_DELETE, PHASE_REST };

static bool
makes_dir(const struct entry *from, const struct entry *to)
{
	return from->kind == ENTRY_DIR && !(to && to->kind == ENTRY_DIR);
}

static enum phase
phase_of(const struct row *r)
{
	switch (r->act) {
	case ACT_CONFLICT:
		return PHASE_ASIDE;
	case ACT_DELETE_LOCAL:
	case ACT_DELETE_REMOTE:
		return PHASE_DELETE;
	case ACT_MOVE_LOCAL:
	case ACT_MOVE_REMOTE:
		return PHASE_MOVE;
	case ACT_PULL:
		return makes_dir(r->remote, r->local) ? PHASE_MKDIR : PHASE_REST;
	case ACT_PUSH:
		return makes_dir(r->local, r->remote) ? PHASE_MKDIR : PHASE_REST;
	default:
		return PHASE_REST;
	}
}

static void
add(struct plan *out, const struct rows *rows, const struct row *r)
{
	if (r->act == ROW_NOTHING)
		return;
	out->ops[out->n++] = (struct plan_op){
		.act = (enum act)r->act,
		.path = r->path,
		.from = r->src != ROW_NONE ? rows->v[r->src].path : NULL,
		.base = r->base,
		.local = r->local,
		.remote = r->remote,
		.reason = r->reason,
	};
	out->deletes_local += r->act == ACT_DELETE_LOCAL;
	out->deletes_remote += r->act == ACT_DELETE_REMOTE;
	out->conflicts += r->act == ACT_CONFLICT;
	out->skipped += r->act == ACT_SKIP;
}

static void
add_phase(struct plan *out, const struct rows *rows, enum phase phase)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		if (phase_of(&rows->v[i]) == phase)
			add(out, rows, &rows->v[i]);
	}
}

static void
add_deletes(struct plan *out, const struct rows *rows, bool aside)
{
	for (uint32_t i = rows->n; i-- > 0;) {
		if (phase_of(&rows->v[i]) == PHASE_DELETE && rows->v[i].aside == aside)
			add(out, rows, &rows->v[i]);
	}
}

void
order_ops(const struct rows *rows, struct arena *a, struct plan *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < rows->n; i++)
		n += rows->v[i].act != ROW_NOTHING;
	*out = (struct plan){ .ops = arena_must(a, MAX(n, 1) * sizeof *out->ops) };
	add_deletes(out, rows, true);
	add_phase(out, rows, PHASE_ASIDE);
	add_phase(out, rows, PHASE_MKDIR);
	for (uint32_t i = 0; i < rows->move_count; i++)
		add(out, rows, &rows->v[rows->moves[i]]);
	add_deletes(out, rows, false);
	add_phase(out, rows, PHASE_REST);
}
