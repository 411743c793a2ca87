/*
 * The server's half of a plan: everything goes through push_run, which keeps the plan's order and tells how each operation ended
 * inside the transaction that records it.
 */

#include "client/carry_internal.h"

static bool
is_remote(const struct plan_op *op)
{
	return op->act == ACT_PUSH || op->act == ACT_MOVE_REMOTE || op->act == ACT_DELETE_REMOTE;
}

static void
count(struct sync_result *result, const struct plan_op *op, const struct entry *entry)
{
	switch (op->act) {
	case ACT_DELETE_REMOTE:
		result->deleted_remote++;
		break;
	case ACT_MOVE_REMOTE:
		result->moved_remote++;
		break;
	default:
		if (entry && op->base && entry->version == op->base->version)
			break; /* looked at after a move, and as it was */
		result->pushed++;
		if (entry && entry->kind == ENTRY_FILE && !(op->base && entry_same_content(op->base, entry)))
			result->content_up += (uint64_t)entry->size;
	}
}

static err_code
pushed(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct carry *c = ctx;
	struct state *s = c->env->folder->state;
	err_code rc;

	if (code)
		return carry_failed(c, op->path, code, why, err);
	count(c->env->result, op, entry);
	if (!entry) {
		rc = state_base_remove(s, op->path, err);
		return rc ? rc : state_pending_remove_from(s, &op->base->id, op->path, err);
	}
	rc = state_base_put(s, entry, err);
	if (!rc && op->base && !id_eq(&op->base->id, &entry->id)) /* deleted there, made anew: what is known of the old one is settled */
		rc = state_pending_remove_from(s, &op->base->id, op->path, err);
	return rc ? rc : state_pending_remove(s, &entry->id, err);
}

err_code
carry_remote(struct carry *c, struct err *err)
{
	const struct plan *plan = &c->pass->plan;
	struct plan_op *ops;
	struct transfer_env env = {
		.root = c->env->folder->root,
		.remote = c->env->remote,
		.state = c->env->folder->state,
		.parallel = c->env->opts->parallel,
		.cancel = c->env->opts->cancel,
		.progress = c->progress,
		.ctx = c,
	};
	size_t n = 0;
	err_code rc;

	for (size_t i = 0; i < plan->n; i++)
		n += is_remote(&plan->ops[i]);
	if (n == 0)
		return ERR_OK;
	ops = arena_must(c->arena, n * sizeof *ops);
	n = 0;
	for (size_t i = 0; i < plan->n; i++)
		if (is_remote(&plan->ops[i]) && !carry_skips(c, &plan->ops[i]))
			ops[n++] = plan->ops[i];
	if (n == 0)
		return ERR_OK;
	report_start(c->env->opts->report, "Sending", c->progress);
	rc = push_run(&env, ops, n, pushed, err);
	report_stop(c->env->opts->report);
	return rc;
}
