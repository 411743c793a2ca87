/*
 * The server's half of a plan: everything goes through push_run, which keeps the plan's order and tells how each operation ended
 * inside the transaction that records it.
 */

#include "base/fault.h"
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

/* A conflict copy on its way, maybe one of a run that was killed: the server is told what it lost against. */
static err_code
find_lost(struct carry *c, struct plan_op *op, struct err *err)
{
	struct plan_version *lost;
	struct state_aside aside;
	err_code rc;

	if (op->act != ACT_PUSH || op->remote || !op->local || !conflict_name_is(op->path) || FAULT("client.conflict_untold"))
		return ERR_OK;
	rc = state_aside_get(c->env->folder->state, op->path, op->local->dev, op->local->ino, &aside, err);
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	lost = arena_must(c->arena, sizeof *lost);
	*lost = (struct plan_version){ aside.file, aside.version };
	op->lost = lost;
	return ERR_OK;
}

/* It has been told; or the server, restored from a backup perhaps, does not know what it is told of, and the next look sends a plain new file. */
static err_code
forget_lost(struct state *s, const struct plan_op *op, err_code code, struct err *err)
{
	if (!op->lost || (code && code != ERR_NOT_FOUND && code != ERR_BASE_INVALID))
		return ERR_OK;
	return state_aside_remove(s, op->path, op->local->dev, op->local->ino, err);
}

/*
 * What the server holds stays as it is here and there until somebody says that it was meant; so does a directory of which something is held, and
 * what was to take its place.
 */
static bool
is_held(struct carry *c, const struct plan_op *op, err_code code, const struct err *why)
{
	struct sync_result *r = c->env->result;
	bool held = r->held_deletes || r->held_there;

	if (op->act == ACT_DELETE_REMOTE && (code == ERR_MASS_DELETE_HELD || (code == ERR_NOT_EMPTY && held))) {
		r->held_there++;
		return true;
	}
	if (code != ERR_NOT_EMPTY || !held)
		return false;
	sync_problem(r, op->path, err_info(code)->code, why->msg);
	map_put(c->env->given_up, op->path, strlen(op->path), c->env->given_up);
	return true;
}

static err_code
pushed(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct carry *c = ctx;
	struct state *s = c->env->folder->state;
	err_code rc = forget_lost(s, op, code, err);

	if (rc)
		return rc;
	if (code == ERR_BASE_INVALID && op->lost)
		code = ERR_NOT_FOUND;
	if (code && is_held(c, op, code, why))
		return ERR_OK;
	if (code)
		return carry_failed(c, op->path, code, why, err);
	count(c->env->result, op, entry);
	if (!entry) {
		rc = state_base_remove(s, op->path, err);
		return rc ? rc : state_pending_remove_from(s, &op->base->id, op->path, err);
	}
	rc = state_base_put(s, entry, err);
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
		.allow_mass_delete = c->env->opts->allow_mass_delete,
		.parallel = c->env->opts->parallel,
		.cancel = c->env->opts->cancel,
		.progress = c->env->progress,
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
	for (size_t i = 0; i < n; i++) {
		rc = find_lost(c, &ops[i], err);
		if (rc)
			return rc;
	}
	report_start(c->env->opts->report, "Sending", c->env->progress);
	rc = push_run(&env, ops, n, pushed, err);
	report_stop(c->env->opts->report);
	return rc;
}
