/* Files, versions, block lists and chunks in memory. */
#include <assert.h>

#include "server/meta/meta_mem_internal.h"

/* ---- files ------------------------------------------------------------------------------------------------------------- */

void
mem_path_key(struct mem_key *k, const struct id *project, const char *dir, const char *name)
{
	mem_key_of_id(k, project);
	mem_key_text(k, dir);
	mem_key_text(k, name);
}

static void
clock_key(struct mem_key *k, const struct id *project, int64_t version)
{
	mem_key_of_id(k, project);
	mem_key_i64(k, version);
}

static struct file
file_out(struct meta_tx *tx, const struct file *row)
{
	struct file f = *row;

	f.dir = mem_out_text(tx, row->dir);
	f.name = mem_out_text(tx, row->name);
	f.target = mem_out_text(tx, row->target);
	return f;
}

static const struct file *
file_row(struct meta_tx *tx, const struct id *project, const struct id *id)
{
	struct mem_key k;

	mem_key_of_ids(&k, project, id);
	return mem_get(tx, MEM_FILE, &k);
}

err_code
mem_file_get(struct meta_tx *tx, const struct id *project, const struct id *id, struct file *out, struct err *err)
{
	const struct file *row = file_row(tx, project, id);

	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such file");
	*out = file_out(tx, row);
	return ERR_OK;
}

err_code
mem_file_at(struct meta_tx *tx, const struct id *project, const char *path, struct file *out, struct err *err)
{
	const struct file *row;
	struct mem_key k;
	size_t dir_len;
	const char *name = path_split(path, &dir_len);
	char dir[FILE_PATH_MAX];

	if (dir_len > PATH_LEN_MAX || strlen(name) > PATH_LEN_MAX)
		return err_set(err, ERR_NOT_FOUND, "no such path");
	memcpy(dir, path, dir_len);
	dir[dir_len] = '\0';
	mem_path_key(&k, project, dir, name);
	row = mem_get(tx, MEM_FILE_PATH, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such path");
	*out = file_out(tx, row);
	return ERR_OK;
}

/* Whether another file than ${file} has that key. */
static bool
taken(struct meta_tx *tx, enum mem_which which, const struct mem_key *k, const struct file *file)
{
	const struct file *row = mem_get(tx, which, k);

	return row && !id_eq(&row->id, &file->id);
}

/* What the table's constraints say. */
static bool
file_is_sound(const struct file *f)
{
	return f->name[0] && f->version > 0 && f->size >= 0 && (f->kind == KIND_FILE || f->size == 0) && f->mode <= 0777 &&
	    f->created_at > 0 && f->created_at <= f->version && (f->deleted_at == 0 || f->deleted_at == f->version);
}

static err_code
file_check(struct meta_tx *tx, const struct id *project, const struct file *file, struct err *err)
{
	struct mem_key k;
	err_code rc;

	if (!file_is_sound(file))
		return err_set(err, ERR_DB, "the file's row breaks a constraint of file_index");
	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	mem_path_key(&k, project, file->dir, file->name);
	if (!file->deleted_at && taken(tx, MEM_FILE_PATH, &k, file))
		return err_set(err, ERR_EXISTS, "another file has the path");
	clock_key(&k, project, file->version);
	if (taken(tx, MEM_FILE_VERSION, &k, file))
		return err_set(err, ERR_EXISTS, "another file has the version");
	return ERR_OK;
}

/* The other keys of a row that is replaced. */
static void
file_unindex(struct meta_tx *tx, const struct id *project, const struct file *old)
{
	struct mem_key k;

	clock_key(&k, project, old->version);
	mem_table_del(mem_writable(tx, MEM_FILE_VERSION), &k);
	if (old->deleted_at)
		return;
	mem_path_key(&k, project, old->dir, old->name);
	mem_table_del(mem_writable(tx, MEM_FILE_PATH), &k);
}

/* A new row takes the place of an old one under all its keys; mem_file_put has taken away those that it has no more. */
static void
file_index(struct meta_tx *tx, const struct id *project, const struct file *row)
{
	struct mem_key k;

	mem_key_of_ids(&k, project, &row->id);
	mem_put(tx, MEM_FILE, &k, row);
	clock_key(&k, project, row->version);
	mem_put(tx, MEM_FILE_VERSION, &k, row);
	if (row->deleted_at)
		return;
	mem_path_key(&k, project, row->dir, row->name);
	mem_put(tx, MEM_FILE_PATH, &k, row);
}

err_code
mem_file_put(struct meta_tx *tx, const struct id *project, const struct file *file, struct err *err)
{
	const struct file *old = file_row(tx, project, &file->id);
	struct file *row;
	err_code rc;

	rc = file_check(tx, project, file, err);
	if (rc)
		return rc;
	if (old)
		file_unindex(tx, project, old);
	row = mem_keep(tx, file, sizeof *file);
	row->dir = mem_keep_text(tx, file->dir);
	row->name = mem_keep_text(tx, file->name);
	row->target = mem_keep_text(tx, file->target);
	row->beneath = old && !file->deleted_at ? old->beneath : (struct beneath){ 0 };
	file_index(tx, project, row);
	return ERR_OK;
}

err_code
mem_file_counts(struct meta_tx *tx, const struct id *project, const char *path, const struct beneath *delta, struct err *err)
{
	struct file f, *row;
	err_code rc = mem_file_at(tx, project, path, &f, err);

	if (rc || f.kind != KIND_DIR)
		return err_set(err, ERR_NOT_FOUND, "no such directory");
	row = mem_keep(tx, file_row(tx, project, &f.id), sizeof *row);
	row->beneath.files += delta->files;
	row->beneath.dirs += delta->dirs;
	row->beneath.bytes += delta->bytes;
	if (row->beneath.files < 0 || row->beneath.dirs < 0 || row->beneath.bytes < 0)
		return err_set(err, ERR_DB, "the counts beneath a directory break a constraint of file_index");
	file_index(tx, project, row);
	return ERR_OK;
}

void
mem_file_push(struct meta_tx *tx, struct file **out, size_t *n, const struct file *row)
{
	*out = mem_grow(tx, *out, *n, sizeof **out);
	(*out)[(*n)++] = file_out(tx, row);
}

static void
by_clock(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, bool tombstones, struct file **out,
    size_t *n)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_VERSION);
	const struct file *row;
	struct mem_key prefix, k;

	mem_key_of_id(&prefix, project);
	clock_key(&k, project, after);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &k); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		if (tombstones || !row->deleted_at)
			mem_file_push(tx, out, n, row);
	}
}

err_code
mem_file_page(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out, size_t *n,
    struct err *err)
{
	(void)err;
	by_clock(tx, project, after, limit, false, out, n);
	return ERR_OK;
}

err_code
mem_file_changes(struct meta_tx *tx, const struct id *project, int64_t after, unsigned limit, struct file **out, size_t *n,
    struct err *err)
{
	(void)err;
	by_clock(tx, project, after, limit, true, out, n);
	return ERR_OK;
}

/* ---- tombstones --------------------------------------------------------------------------------------------------------- */

/* The oldest tombstone; NULL: there is none. */
static const struct file *
first_tombstone(struct meta_tx *tx, const struct id *project)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_VERSION);
	const struct file *row;
	struct mem_key prefix;

	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_after(t, &prefix); (row = mem_table_at(t, pos, &prefix)); pos++) {
		if (row->deleted_at)
			return row;
	}
	return NULL;
}

err_code
mem_tombstone_first(struct meta_tx *tx, const struct id *project, int64_t *version, struct err *err)
{
	const struct file *row = first_tombstone(tx, project);

	(void)err;
	*version = row ? row->version : INT64_MAX;
	return ERR_OK;
}

err_code
mem_tombstone_prune(struct meta_tx *tx, const struct id *project, int64_t upto, unsigned limit, unsigned *n, struct err *err)
{
	const struct file *row;
	int64_t last = 0;

	(void)err;
	for (*n = 0; *n < limit && (row = first_tombstone(tx, project)) && row->version <= upto; ++*n) {
		struct mem_key k;

		last = row->version;
		file_unindex(tx, project, row);
		mem_key_of_ids(&k, project, &row->id);
		mem_table_del(mem_writable(tx, MEM_FILE), &k);
	}
	if (*n > 0)
		mem_project_horizon(tx, project, last);
	return ERR_OK;
}

/* ---- by path ------------------------------------------------------------------------------------------------------------ */

/* Rows of ${prefix} after (dir, name); those outside of "${within}…" are left out unless it is NULL. */
static void
by_path(struct meta_tx *tx, const struct mem_key *prefix, const struct mem_key *after, const char *within, unsigned limit,
    struct file **out, size_t *n)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_PATH);
	const struct file *row;

	for (size_t pos = mem_table_after(t, after); *n < limit && (row = mem_table_at(t, pos, prefix)); pos++) {
		if (within && !beneath_within(within, row->dir))
			break;
		mem_file_push(tx, out, n, row);
	}
}

err_code
mem_file_dir(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	struct mem_key prefix, after;

	(void)err;
	mem_key_of_id(&prefix, project);
	mem_key_text(&prefix, dir);
	after = prefix;
	mem_key_text(&after, after_name ? after_name : "");
	*out = NULL;
	*n = 0;
	by_path(tx, &prefix, &after, NULL, limit, out, n);
	return ERR_OK;
}

err_code
mem_file_beneath(struct meta_tx *tx, const struct id *project, const char *dir, const char *after_dir, const char *after_name,
    unsigned limit, struct file **out, size_t *n, struct err *err)
{
	const char *from = after_dir ? after_dir : "", *name = after_name ? after_name : "";
	char first[BENEATH_MAX];
	struct mem_key prefix, after;
	err_code rc;

	*out = NULL;
	*n = 0;
	mem_key_of_id(&prefix, project);
	if (!*dir) {
		mem_path_key(&after, project, from, name);
		by_path(tx, &prefix, &after, NULL, limit, out, n);
		return ERR_OK;
	}
	if (strcmp(from, dir) <= 0) {
		rc = mem_file_dir(tx, project, dir, strcmp(from, dir) == 0 ? name : "", limit, out, n, err);
		if (rc)
			return rc;
	}
	beneath_first(dir, first);
	if (strcmp(from, first) < 0)
		mem_path_key(&after, project, first, "");
	else
		mem_path_key(&after, project, from, name);
	by_path(tx, &prefix, &after, first, limit, out, n);
	return ERR_OK;
}

/* ---- versions ---------------------------------------------------------------------------------------------------------- */

static struct version
version_out(struct meta_tx *tx, const struct version *row)
{
	struct version v = *row;

	v.path = mem_out_text(tx, row->path);
	v.target = mem_out_text(tx, row->target);
	return v;
}

err_code
mem_version_add(struct meta_tx *tx, const struct id *project, const struct version *v, struct err *err)
{
	struct version *row;
	struct mem_key k;
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	mem_key_of_row(&k, project, &v->file, v->version);
	if (mem_get(tx, MEM_VERSION, &k))
		return err_set(err, ERR_EXISTS, "the version exists");
	row = mem_keep(tx, v, sizeof *v);
	row->path = mem_keep_text(tx, v->path);
	row->target = mem_keep_text(tx, v->target);
	mem_put(tx, MEM_VERSION, &k, row);
	return ERR_OK;
}

err_code
mem_version_get(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version, struct version *out,
    struct err *err)
{
	const struct version *row;
	struct mem_key k;

	mem_key_of_row(&k, project, file, version);
	row = mem_get(tx, MEM_VERSION, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such version");
	*out = version_out(tx, row);
	return ERR_OK;
}

err_code
mem_version_list(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit,
    struct version **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_VERSION);
	const struct version *row;
	struct mem_key prefix, k;

	(void)err;
	mem_key_of_ids(&prefix, project, file);
	mem_key_of_row(&k, project, file, before);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &k); pos > 0 && *n < limit; pos--) {
		row = mem_table_at(t, pos - 1, &prefix);
		if (!row)
			break;
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = version_out(tx, row);
	}
	return ERR_OK;
}

/* ---- block lists ------------------------------------------------------------------------------------------------------- */

err_code
mem_blocks_add(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t *packed,
    size_t len, struct err *err)
{
	struct mem_bytes row;
	struct mem_key k;
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	mem_key_of_row(&k, project, list, page);
	if (mem_get(tx, MEM_BLOCKS, &k))
		return ERR_OK;
	row = (struct mem_bytes){ .p = mem_keep(tx, packed, len), .len = len };
	mem_put(tx, MEM_BLOCKS, &k, mem_keep(tx, &row, sizeof row));
	return ERR_OK;
}

err_code
mem_blocks_get(struct meta_tx *tx, const struct id *project, const struct id *list, uint32_t page, const uint8_t **packed,
    size_t *len, struct err *err)
{
	const struct mem_bytes *row;
	struct mem_key k;

	mem_key_of_row(&k, project, list, page);
	row = mem_get(tx, MEM_BLOCKS, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such page of a block list");
	*packed = arena_memdup(tx->arena, row->p, row->len);
	*len = row->len;
	return ERR_OK;
}

err_code
mem_blocks_first(struct meta_tx *tx, const struct id *project, const struct id *lists, size_t n, struct packed_page *out, struct err *err)
{
	assert(n > 0 && n <= META_LISTS_MAX);
	for (size_t i = 0; i < n; i++) {
		err_code rc = mem_blocks_get(tx, project, &lists[i], 0, &out[i].p, &out[i].len, err);

		if (rc && rc != ERR_NOT_FOUND)
			return rc;
		if (rc)
			out[i] = (struct packed_page){ .p = NULL };
	}
	return ERR_OK;
}

err_code
mem_file_each(struct meta_tx *tx, const struct id *project, int64_t lists_to, file_each_fn *fn, void *ctx, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_PATH);
	const struct file *row;
	struct mem_key prefix;
	err_code rc = ERR_OK;

	mem_key_of_id(&prefix, project);
	for (size_t pos = mem_table_after(t, &prefix); !rc && (row = mem_table_at(t, pos, &prefix)); pos++) {
		struct packed_page list = { .p = NULL };
		struct file f;

		meta_tx_trim(tx);
		f = file_out(tx, row);
		f.list = (struct id){ { 0 } };
		f.beneath = (struct beneath){ .files = 0 };
		if (row->size > 0 && row->size <= lists_to)
			rc = mem_blocks_first(tx, project, &row->list, 1, &list, err);
		if (!rc)
			rc = fn(ctx, &f, &list, err);
	}
	return rc;
}

err_code
mem_blocks_has(struct meta_tx *tx, const struct id *project, const struct id *list, bool *has, struct err *err)
{
	struct mem_key k;

	(void)err;
	mem_key_of_row(&k, project, list, 0);
	*has = mem_get(tx, MEM_BLOCKS, &k) != NULL;
	return ERR_OK;
}

/* ---- chunks ------------------------------------------------------------------------------------------------------------ */

err_code
mem_chunk_add(struct meta_tx *tx, const struct id *project, const struct chunk *c, struct err *err)
{
	struct mem_key k;
	err_code rc;

	rc = mem_need_project(tx, project, err);
	if (rc)
		return rc;
	mem_key_of_hash(&k, project, &c->id);
	if (mem_get(tx, MEM_CHUNK, &k))
		return mem_chunk_touch(tx, project, &c->id, c->used_at, err);
	mem_put(tx, MEM_CHUNK, &k, mem_keep(tx, c, sizeof *c));
	mem_project_stored(tx, project, c->stored_len);
	return ERR_OK;
}

err_code
mem_chunk_get(struct meta_tx *tx, const struct id *project, const struct hash *id, struct chunk *out, struct err *err)
{
	const struct chunk *row;
	struct mem_key k;

	mem_key_of_hash(&k, project, id);
	row = mem_get(tx, MEM_CHUNK, &k);
	if (!row)
		return err_set(err, ERR_NOT_FOUND, "no such chunk");
	*out = *row;
	return ERR_OK;
}
