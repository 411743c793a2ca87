/* What a project keeps of its history, in memory. */
#include "server/meta/meta_mem_internal.h"

#include <assert.h>

static int
newest_first(const void *a, const void *b)
{
	const struct version *x = a, *y = b;

	return (x->version < y->version) - (x->version > y->version);
}

/* ---- versions ---------------------------------------------------------------------------------------------------------- */

static void
history_push(struct meta_tx *tx, struct history_file **out, size_t *n, const struct version *v)
{
	*out = mem_grow(tx, *out, *n, sizeof **out);
	(*out)[(*n)++] = (struct history_file){ .file = v->file, .oldest = v->version };
}

err_code
mem_history_files(struct meta_tx *tx, const struct id *project, const struct id *after, unsigned limit, struct history_file **out,
    size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_VERSION);
	const struct version *v;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, project);
	mem_key_of_ids(&k, project, after);
	mem_key_i64(&k, INT64_MAX);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); (v = mem_table_at(t, pos, &prefix)); pos++) {
		bool same = *n > 0 && id_eq(&(*out)[*n - 1].file, &v->file);

		if (!same && *n == limit)
			break;
		if (!same)
			history_push(tx, out, n, v);
		(*out)[*n - 1].count++;
	}
	return ERR_OK;
}

err_code
mem_version_nth(struct meta_tx *tx, const struct id *project, const struct id *file, unsigned nth, int64_t *version,
    struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_VERSION);
	const struct version *v;
	struct mem_key prefix, k;

	(void)err;
	assert(nth >= 1);
	*version = 0;
	mem_key_of_ids(&prefix, project, file);
	k = prefix;
	mem_key_i64(&k, INT64_MAX);
	for (size_t pos = mem_table_seek(t, &k); pos > 0 && (v = mem_table_at(t, pos - 1, &prefix)); pos--) {
		if (v->deleted || --nth > 0)
			continue;
		*version = v->version;
		break;
	}
	return ERR_OK;
}

err_code
mem_version_prune(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit, unsigned *n,
    struct err *err)
{
	struct mem_table *t = mem_writable(tx, MEM_VERSION);
	const struct version *v;
	struct mem_key prefix;
	size_t pos;

	(void)err;
	mem_key_of_ids(&prefix, project, file);
	pos = mem_table_seek(t, &prefix);
	for (*n = 0; *n < limit && (v = mem_table_at(t, pos, &prefix)) && v->version < before; ++*n)
		mem_table_del_at(t, pos);
	return ERR_OK;
}

/* Every version of the project is looked at: memory is for tests. */
err_code
mem_version_gone(struct meta_tx *tx, const struct id *project, const char *path, unsigned limit, struct version **out, size_t *n,
    struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_VERSION);
	const struct version *v, *next;
	struct mem_key prefix;

	(void)err;
	mem_key_of_id(&prefix, project);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &prefix); (v = mem_table_at(t, pos, &prefix)); pos++) {
		next = mem_table_at(t, pos + 1, &prefix);
		if (!v->deleted || strcmp(v->path, path) != 0 || (next && id_eq(&next->file, &v->file)))
			continue;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[*n] = *v;
		(*out)[*n].path = mem_out_text(tx, v->path);
		(*out)[(*n)++].target = mem_out_text(tx, v->target);
	}
	if (*n > 0)
		qsort(*out, *n, sizeof **out, newest_first);
	*n = MIN(*n, limit);
	return ERR_OK;
}

/* ---- how far the walk is ----------------------------------------------------------------------------------------------- */

err_code
mem_history_walk_put(struct meta_tx *tx, const struct id *project, const struct history_walk *w, struct err *err)
{
	struct mem_key k;
	err_code rc = mem_need_project(tx, project, err);

	if (rc)
		return rc;
	mem_key_of_id(&k, project);
	mem_put(tx, MEM_HISTORY_WALK, &k, mem_keep(tx, w, sizeof *w));
	return ERR_OK;
}

err_code
mem_history_walk_get(struct meta_tx *tx, const struct id *project, struct history_walk *out, struct err *err)
{
	const struct history_walk *row;
	struct mem_key k;

	(void)err;
	mem_key_of_id(&k, project);
	row = mem_get(tx, MEM_HISTORY_WALK, &k);
	*out = row ? *row : (struct history_walk){ .ended_at = 0 };
	return ERR_OK;
}
