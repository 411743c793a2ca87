/* Conflicts, in memory. */
#include "server/meta/meta_mem_internal.h"

static void
conflict_keep(struct meta_tx *tx, const struct id *project, const struct conflict *c)
{
	const struct conflict *row = mem_keep(tx, c, sizeof *c);
	struct mem_key k;

	mem_key_of_ids(&k, project, &c->copy);
	mem_put(tx, MEM_CONFLICT, &k, row);
	mem_key_of_id(&k, project);
	mem_key_i64(&k, c->created_at);
	mem_put(tx, MEM_CONFLICT_AT, &k, row);
}

err_code
mem_conflict_add(struct meta_tx *tx, const struct id *project, const struct conflict *c, struct err *err)
{
	struct conflict open = *c;
	struct mem_key k;
	err_code rc = mem_need_project(tx, project, err);

	if (rc)
		return rc;
	if (c->file_version <= 0 || c->created_at <= 0)
		return err_set(err, ERR_DB, "a version is positive");
	mem_key_of_ids(&k, project, &c->copy);
	if (mem_get(tx, MEM_CONFLICT, &k))
		return ERR_OK;
	open.resolved_at = 0;
	open.resolved_by = (struct id){ 0 };
	open.resolution = RESOLVED_NOT;
	conflict_keep(tx, project, &open);
	return ERR_OK;
}

err_code
mem_conflict_get(struct meta_tx *tx, const struct id *project, const struct id *copy, struct conflict *out, struct err *err)
{
	const struct conflict *row;
	struct mem_key k;

	mem_key_of_ids(&k, project, copy);
	row = mem_get(tx, MEM_CONFLICT, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such conflict");
	*out = *row;
	return ERR_OK;
}

err_code
mem_conflict_end(struct meta_tx *tx, const struct id *project, const struct conflict *c, bool *ended, struct err *err)
{
	const struct conflict *row;
	struct conflict done;
	struct mem_key k;

	(void)err;
	mem_key_of_ids(&k, project, &c->copy);
	row = mem_get(tx, MEM_CONFLICT, &k);
	*ended = row && row->resolved_at == 0;
	if (!*ended)
		return ERR_OK;
	done = *row;
	done.resolved_at = c->resolved_at;
	done.resolved_by = c->resolved_by;
	done.resolution = c->resolution;
	conflict_keep(tx, project, &done);
	return ERR_OK;
}

static bool
is_wanted(const struct conflict *c, enum conflict_which which)
{
	return which == CONFLICTS_ALL || (c->resolved_at == 0) == (which == CONFLICTS_OPEN);
}

err_code
mem_conflict_list(struct meta_tx *tx, const struct id *project, enum conflict_which which, int64_t after, unsigned limit,
    struct conflict **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_CONFLICT_AT);
	const struct conflict *c;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, project);
	k = prefix;
	mem_key_i64(&k, after);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); *n < limit && (c = mem_table_at(t, pos, &prefix)); pos++) {
		if (!is_wanted(c, which))
			continue;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = *c;
	}
	return ERR_OK;
}
