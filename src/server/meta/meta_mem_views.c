/* The tree as people look at it, in memory: a directory's rows are gathered, sorted and cut. */
#include "server/meta/meta_mem_internal.h"

/* What is wanted of a directory, and in which order. */
struct view {
	bool dirs, others; /* kinds */
	bool by_key, desc;
	enum file_key key;
};

static int64_t
key_of(const struct view *v, const struct file *f)
{
	if (!v->by_key)
		return 0;
	return v->key == FILE_SIZE ? f->size : v->key == FILE_MTIME ? f->mtime_ns : f->version;
}

static int
place_cmp(const struct view *v, const struct file *f, const struct file_place *p)
{
	int64_t key = key_of(v, f);
	int c = (key > p->key) - (key < p->key);

	if (c == 0 && !(v->by_key && v->key == FILE_VERSION))
		c = strcmp(f->name, p->name);
	return v->desc ? -c : c;
}

static int
row_cmp(const void *a, const void *b, void *arg)
{
	const struct file *const *x = a, *const *y = b;
	struct file_place p = { key_of(arg, *y), (*y)->name };

	return place_cmp(arg, *x, &p);
}

static err_code
show(struct meta_tx *tx, const struct id *project, const char *dir, struct view v, const struct file_place *after, unsigned limit,
    struct file **out, size_t *n)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_PATH);
	const struct file **rows = NULL, *row;
	struct mem_key prefix;
	size_t found = 0;

	mem_key_of_id(&prefix, project);
	mem_key_text(&prefix, dir);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_after(t, &prefix); (row = mem_table_at(t, pos, &prefix)); pos++) {
		if (!(row->kind == KIND_DIR ? v.dirs : v.others) || (after && place_cmp(&v, row, after) <= 0))
			continue;
		rows = mem_grow(tx, rows, found, sizeof *rows);
		rows[found++] = row;
	}
	if (found)
		qsort_r(rows, found, sizeof *rows, row_cmp, &v);
	for (size_t i = 0; i < found && *n < limit; i++)
		mem_file_push(tx, out, n, rows[i]);
	return ERR_OK;
}

err_code
mem_file_dirs(struct meta_tx *tx, const struct id *project, const char *dir, bool desc, const char *after_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	struct file_place after = { .name = after_name };

	(void)err;
	return show(tx, project, dir, (struct view){ .dirs = true, .desc = desc }, after_name ? &after : NULL, limit, out, n);
}

err_code
mem_file_dir_back(struct meta_tx *tx, const struct id *project, const char *dir, const char *before_name, unsigned limit,
    struct file **out, size_t *n, struct err *err)
{
	struct file_place before = { .name = before_name };
	struct view v = { .dirs = true, .others = true, .desc = true };

	(void)err;
	return show(tx, project, dir, v, before_name ? &before : NULL, limit, out, n);
}

err_code
mem_file_sorted(struct meta_tx *tx, const struct id *project, const char *dir, enum file_key key, bool desc,
    const struct file_place *after, unsigned limit, struct file **out, size_t *n, struct err *err)
{
	(void)err;
	return show(tx, project, dir, (struct view){ .others = true, .by_key = true, .key = key, .desc = desc }, after, limit, out, n);
}

err_code
mem_file_names(struct meta_tx *tx, const struct id *project, const char *dir, const char *name, unsigned limit,
    struct file_name **out, size_t *n, struct err *err)
{
	const struct mem_table *t = mem_table(tx, MEM_FILE_PATH);
	const struct file *row;
	struct mem_key prefix, from;

	(void)err;
	mem_key_of_id(&prefix, project);
	mem_path_key(&from, project, dir, name);
	*out = NULL;
	*n = 0;
	for (size_t pos = mem_table_seek(t, &from); *n < limit && (row = mem_table_at(t, pos, &prefix)); pos++) {
		*out = mem_grow(tx, *out, *n, sizeof **out);
		(*out)[(*n)++] = (struct file_name){ row->id, mem_out_text(tx, row->dir), mem_out_text(tx, row->name) };
	}
	return ERR_OK;
}
