#include "base/clock.h"
#include "client/carry_internal.h"

#define ROUND_MEMORY_MAX (4 * GIB)

bool
carry_skips(const struct carry *c, const struct plan_op *op)
{
	return map_get(c->env->given_up, op->path, strlen(op->path)) != NULL;
}

err_code
carry_failed(struct carry *c, const char *path, err_code code, const struct err *why, struct err *err)
{
	switch (code) {
	case ERR_VERSION_CONFLICT: /* changed under our hands, here or there: the next look decides */
	case ERR_NAME_EXISTS:
	case ERR_EXISTS:
	case ERR_NOT_FOUND:
	case ERR_PARENT_MISSING:
	case ERR_NOT_EMPTY:
		c->again = true;
		return ERR_OK;
	case ERR_NO_SPACE:
	case ERR_QUOTA:
	case ERR_DB:
	case ERR_CANCELLED:
	case ERR_NETWORK:
	case ERR_NO_MEM:
		if (err && why)
			*err = *why;
		return code;
	default:
		sync_problem(c->env->result, path, err_info(code)->code, why ? why->msg : "");
		map_put(c->env->given_up, path, strlen(path), c->env->given_up);
		return ERR_OK;
	}
}

err_code
carry_out(const struct carry_env *env, const struct pass *pass, bool *again, struct err *err)
{
	struct carry c = { .env = env, .pass = pass, .now_us = clock_wall_us() };
	struct transfer_counts before, after;
	err_code rc;

	rc = apply_open(env->folder->root, c.now_us, &c.apply, err);
	if (rc)
		return rc;
	c.arena = arena_new(ROUND_MEMORY_MAX);
	c.touched = map_new();
	c.asides = map_new();
	transfer_progress_later(env->progress, pass->deferred.files, pass->deferred.bytes);
	transfer_progress_read(env->progress, &before);
	rc = carry_local(&c, err);
	if (rc == ERR_OK)
		rc = carry_remote(&c, err);
	*again = c.again;
	transfer_progress_read(env->progress, &after);
	env->result->saved += after.bytes_saved - before.bytes_saved;
	map_free(c.touched);
	map_free(c.asides);
	free(c.records);
	arena_free(c.arena);
	apply_free(c.apply);
	return rc;
}
