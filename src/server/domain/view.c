/*
 * A directory in the order that people like.
 *
 * Directories come first and by name: what sorts files says little of a directory, whose time is not its contents' and whose size is
 * none.  Each group is a range of an index that holds it alone, but for files by name: those are read from the index of all names,
 * past the directories among them, and how many of those one page reads past is bounded.
 */
#include "server/domain/view.h"

#include "server/domain/domain_internal.h"

/* A page on its way: rows are the transaction's, one more than was asked for says that there is more. */
struct showing {
	struct meta_tx *tx;
	const struct id *project;
	const struct view_dir *v;
	unsigned want; /* limit + 1 */
	struct file *rows;
	size_t n;
	bool cut;      /* looked at enough; ${last} is where */
	struct view_place last;
};

static err_code
take(struct showing *s, const struct file *rows, size_t n, bool files_only, struct err *err)
{
	if (!s->rows)
		s->rows = arena_array(meta_arena(s->tx), s->want, sizeof *s->rows);
	if (!s->rows)
		return no_memory(err);
	for (size_t i = 0; i < n && s->n < s->want; i++) {
		if (!files_only || rows[i].kind != KIND_DIR)
			s->rows[s->n++] = rows[i];
	}
	return ERR_OK;
}

static err_code
show_all(struct showing *s, const struct view_place *after, struct err *err)
{
	struct file *rows;
	size_t n;
	err_code rc = meta_file_dir(s->tx, s->project, s->v->dir, after ? after->text : "", s->want, &rows, &n, err);

	return rc ? rc : take(s, rows, n, false, err);
}

static err_code
show_dirs(struct showing *s, const struct view_place *after, struct err *err)
{
	struct file *rows;
	size_t n;
	bool desc = s->v->desc && s->v->sort == VIEW_NAME;
	err_code rc = meta_file_dirs(s->tx, s->project, s->v->dir, desc, after ? after->text : NULL, s->want, &rows, &n, err);

	return rc ? rc : take(s, rows, n, false, err);
}

static err_code
names_page(struct showing *s, const char *after, unsigned limit, struct file **rows, size_t *n, struct err *err)
{
	if (s->v->desc)
		return meta_file_dir_back(s->tx, s->project, s->v->dir, after, limit, rows, n, err);
	return meta_file_dir(s->tx, s->project, s->v->dir, after ? after : "", limit, rows, n, err);
}

/* Files by name, past the directories among them. */
static err_code
show_names(struct showing *s, const struct view_place *after, struct err *err)
{
	const char *name = after ? after->text : NULL;
	size_t seen = 0, n = 0;
	struct file *rows;

	while (s->n < s->want) {
		unsigned limit = MIN(s->want, (unsigned)ROWS_PAGE);
		err_code rc = names_page(s, name, limit, &rows, &n, err);

		if (!rc)
			rc = take(s, rows, n, true, err);
		if (rc || n < limit)
			return rc;
		name = rows[n - 1].name;
		seen += n;
		if (s->n < s->want && seen >= SEARCH_ROWS_MAX) {
			s->cut = true;
			s->last = (struct view_place){ .files = true, .text = name };
			return ERR_OK;
		}
	}
	return ERR_OK;
}

static enum file_key
key_of_sort(enum view_sort sort)
{
	return sort == VIEW_SIZE ? FILE_SIZE : sort == VIEW_MTIME ? FILE_MTIME : FILE_VERSION;
}

static err_code
show_files(struct showing *s, const struct view_place *after, struct err *err)
{
	struct file_place at = { 0 };
	struct file *rows;
	size_t n;
	err_code rc;

	if (s->v->sort == VIEW_NAME)
		return show_names(s, after, err);
	if (after)
		at = (struct file_place){ after->key, after->text };
	rc = meta_file_sorted(s->tx, s->project, s->v->dir, key_of_sort(s->v->sort), s->v->desc, after ? &at : NULL,
	    s->want - (unsigned)s->n, &rows, &n, err);
	return rc ? rc : take(s, rows, n, false, err);
}

static err_code
show(struct showing *s, const struct view_place *after, struct err *err)
{
	err_code rc = ERR_OK;

	if (s->v->sort == VIEW_PATH)
		return show_all(s, after, err);
	if (!after || !after->files) {
		rc = show_dirs(s, after, err);
		after = NULL;
	}
	return rc || s->n == s->want ? rc : show_files(s, after, err);
}

static struct view_place
place_of_file(const struct file *f, enum view_sort sort)
{
	int64_t key = sort == VIEW_SIZE ? f->size : sort == VIEW_MTIME ? f->mtime_ns : sort == VIEW_CHANGED ? f->version : 0;

	return (struct view_place){ .files = f->kind != KIND_DIR, .key = f->kind == KIND_DIR ? 0 : key, .text = f->name };
}

static err_code
fill(struct showing *s, unsigned limit, struct arena *a, struct view_page *out, struct err *err)
{
	err_code rc = tree_page_fill(s->tx, s->project, s->rows, s->n, limit, false, a, &out->page, err);

	if (rc)
		return rc;
	if (out->page.has_more)
		out->last = place_of_file(&out->page.files[out->page.n - 1], s->v->sort);
	if (!s->cut || out->page.has_more)
		return ERR_OK;
	out->page.has_more = true;
	out->last = s->last;
	out->last.text = arena_strdup(a, s->last.text);
	return out->last.text ? ERR_OK : no_memory(err);
}

err_code
view_dir(struct domain *d, const struct id *project, const struct view_dir *v, const struct view_place *after, unsigned limit,
    struct arena *a, struct view_page *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct showing s = { .project = project, .v = v, .want = limit + 1 };
	struct project p;
	err_code rc;

	*out = (struct view_page){ 0 };
	rc = limit_check(limit, err);
	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = dir_check(tx, project, v->dir, err);
	if (!rc)
		rc = project_copy(a, &p, &out->page.project, err);
	if (rc)
		return rc;
	s.tx = tx;
	rc = show(&s, after, err);
	return rc ? rc : fill(&s, limit, a, out, err);
}
