/* What the garbage collector asks and removes, in memory. */
#include "server/meta/meta_mem_internal.h"

/* ---- chunks ------------------------------------------------------------------------------------------------------------ */

err_code
mem_chunk_touch(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t used_at, struct err *err)
{
	const struct chunk *row;
	struct chunk now;
	struct mem_key k;

	(void)err;
	mem_key_of_hash(&k, project, id);
	row = mem_get(tx, MEM_CHUNK, &k);
	if (!row)
		return ERR_OK;
	now = *row;
	now.used_at = used_at;
	mem_put(tx, MEM_CHUNK, &k, mem_keep(tx, &now, sizeof now));
	return ERR_OK;
}

err_code
mem_chunk_list(struct meta_tx *tx, const struct id *project, const struct hash *after, unsigned limit, struct chunk **out,
    size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_CHUNK);
	const struct chunk *row;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, project);
	k = prefix;
	if (after)
		mem_key_hash(&k, after);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = *row;
	}
	return ERR_OK;
}

err_code
mem_chunk_sweep(struct meta_tx *tx, const struct id *project, const struct hash *id, int64_t before_us, bool *gone, struct err *err)
{
	const struct chunk *row;
	struct mem_key k;

	(void)err;
	mem_key_of_hash(&k, project, id);
	row = mem_get(tx, MEM_CHUNK, &k);
	*gone = row && row->used_at < before_us;
	if (!*gone)
		return ERR_OK;
	mem_project_stored(tx, project, -row->stored_len);
	mem_table_del(mem_writable(tx, MEM_CHUNK), &k);
	return ERR_OK;
}

/* ---- block lists ------------------------------------------------------------------------------------------------------- */

err_code
mem_list_named(struct meta_tx *tx, const struct id *project, const struct id *list, bool *named, struct err *err)
{
	const struct mem_table *versions = mem_table(tx, MEM_VERSION);
	const struct version *v;
	struct mem_key prefix;

	(void)err;
	*named = false;
	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_seek(versions, &prefix); !*named && (v = mem_table_at(versions, pos, &prefix)); pos++)
		*named = v->kind == KIND_FILE && !v->deleted && !id_is_zero(list) && id_eq(&v->list, list);
	return ERR_OK;
}

/* What the key of a row of MEM_BLOCKS says besides the project: the list, and its page as mem_key_i64 writes it. */
static void
page_of(const struct mem_table *t, size_t pos, struct blocks_row *out)
{
	const uint8_t *key = t->rows[pos].key + sizeof(struct id);
	const struct mem_bytes *b = t->rows[pos].value;
	uint32_t page = 0;

	memcpy(&out->list, key, sizeof out->list);
	for (size_t i = 4; i < 8; i++) /* big-endian; a page fits the lower half */
		page = page << 8 | key[sizeof out->list + i];
	out->page = page;
	out->packed = b->p;
	out->len = b->len;
}

err_code
mem_list_after(struct meta_tx *tx, const struct id *project, const struct id *after, struct id *out, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_BLOCKS);
	struct mem_key prefix, k;
	struct blocks_row row;
	size_t pos;

	mem_key_of_id(&prefix, project);
	if (after)
		mem_key_of_row(&k, project, after, INT64_MAX);
	else
		k = prefix;
	pos = mem_table_after(t, &k);
	if (!mem_table_at(t, pos, &prefix))
		return err_set(err, ERR_NOT_FOUND, "no such block list");
	page_of(t, pos, &row);
	*out = row.list;
	return ERR_OK;
}

err_code
mem_blocks_list(struct meta_tx *tx, const struct id *project, const struct id *list, int64_t page, unsigned limit,
    struct blocks_row **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_BLOCKS);
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_id(&prefix, project);
	mem_key_of_row(&k, project, list, page);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); *n < limit && mem_table_at(t, pos, &prefix); pos++) {
		struct blocks_row row;

		page_of(t, pos, &row);
		row.packed = arena_memdup(tx->arena, row.packed, row.len);
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = row;
	}
	return ERR_OK;
}

err_code
mem_blocks_replace(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t *packed,
    size_t len, struct err *err)
{
	struct mem_bytes row;
	struct mem_key k;

	mem_key_of_row(&k, project, list, page);
	if (!mem_get(tx, MEM_BLOCKS, &k))
		return err_set(err, ERR_NOT_FOUND, "no such page of a block list");
	row = (struct mem_bytes){ .p = mem_keep(tx, packed, len), .len = len };
	mem_put(tx, MEM_BLOCKS, &k, mem_keep(tx, &row, sizeof row));
	return ERR_OK;
}

err_code
mem_blocks_drop(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t last, struct err *err)
{
	struct mem_table *t = mem_writable(tx, MEM_BLOCKS);
	struct mem_key prefix;
	size_t pos;

	(void)err;
	mem_key_of_ids(&prefix, project, list);
	pos = mem_table_seek(t, &prefix);
	while (mem_table_at(t, pos, &prefix)) {
		struct blocks_row row;

		page_of(t, pos, &row);
		if (row.page > last)
			break;
		mem_table_del_at(t, pos);
	}
	return ERR_OK;
}

/* ---- objects ----------------------------------------------------------------------------------------------------------- */

err_code
mem_object_named(struct meta_tx *tx, const struct id *project, const struct hash *object, bool *named, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_SNAPSHOT);
	const struct snapshot *s;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_hash(&k, project, object);
	*named = mem_get(tx, MEM_CHUNK, &k) != NULL;
	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_seek(t, &prefix); !*named && (s = mem_table_at(t, pos, &prefix)); pos++)
		*named = hash_eq(&s->object, object);
	return ERR_OK;
}
