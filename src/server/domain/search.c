/*
 * Search, and all that lies beneath the beginning of a path.
 *
 * Names are read from the index of paths alone, in its order; whatever matches is then read by id.  Trigrams would find faster, but they
 * are another index of all names, one that the engines do not share; a walk of a million names takes two seconds in all, and no
 * page of it looks at more than SEARCH_ROWS_MAX.
 *
 * Paths that begin with "d/n" are not one run of that index but two: the names in "d" that begin with "n", and all in directories that
 * begin with "d/n".
 */
#include <assert.h>

#include "base/utf8.h"
#include "server/domain/domain_internal.h"
#include "server/domain/view.h"
#include "server/model/fold.h"

struct search {
	struct meta_tx *tx;
	const struct id *project;
	const char *prefix;                /* all runs: */
	char dir[FILE_PATH_MAX];           /* the first is of this directory, */
	const char *name;                  /* names that begin with this; the second of directories that begin with ${prefix} */
	char text[FOLD_MAX(NAME_LEN_MAX)]; /* folded */
	size_t text_len;                   /* 0: every name */

	struct arena *a;    /* the caller's: */
	struct file *files; /* room for ${limit} */
	size_t n, limit;
	size_t seen;        /* rows looked at */
	bool more, end;
	char at_dir[FILE_PATH_MAX], at_name[NAME_LEN_MAX + 2]; /* where to read on, that one included */
	char last[FILE_PATH_MAX];                              /* the path of the row that was looked at last */
};

/* ---- what is asked for ------------------------------------------------------------------------------------------------- */

err_code
view_prefix_check(const char *p, size_t len, struct err *err)
{
	const char *slash = memrchr(p, '/', len), *name = slash ? slash + 1 : p;
	size_t name_len = len - (size_t)(name - p);

	if (len > PATH_LEN_MAX)
		return err_set(err, ERR_PATH_TOO_LONG, "no path is so long");
	if (slash == p)
		return err_reason(err, ERR_PATH_INVALID, "absolute", "paths are relative");
	if (memchr(name, '\0', name_len))
		return err_reason(err, ERR_PATH_INVALID, "nul", "no path holds a NUL");
	if (!utf8_valid(name, name_len))
		return err_set(err, ERR_NAME_NOT_UTF8, "a path is UTF-8");
	if (name_len > NAME_LEN_MAX)
		return err_set(err, ERR_NAME_TOO_LONG, "no name is so long");
	return slash ? path_check(p, (size_t)(slash - p), err) : ERR_OK;
}

err_code
view_text_check(const char *p, size_t len, struct err *err)
{
	if (len < 1 || len > NAME_LEN_MAX || memchr(p, '\0', len) || memchr(p, '/', len))
		return err_set(err, ERR_FIELD_RANGE, "search: 1 to %d bytes that a name can hold", NAME_LEN_MAX);
	if (!utf8_valid(p, len))
		return err_set(err, ERR_NAME_NOT_UTF8, "search: a name is UTF-8");
	return ERR_OK;
}

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Read on from ("dir", "name"), or past that. */
static void
read_from(struct search *s, const char *dir, const char *name, bool past)
{
	int n = snprintf(s->at_dir, sizeof s->at_dir, "%s", dir);
	int m = snprintf(s->at_name, sizeof s->at_name, "%s%s", name, past ? "\x01" : ""); /* the next text there is: none holds a NUL */

	assert(n >= 0 && (size_t)n < sizeof s->at_dir && m >= 0 && (size_t)m < sizeof s->at_name);
}

static void
prepare(struct search *s, const struct view_search *q, const struct view_place *after)
{
	size_t dir_len;

	s->prefix = q->prefix;
	s->name = path_split(q->prefix, &dir_len);
	memcpy(s->dir, q->prefix, dir_len);
	s->text_len = q->text ? fold_text(q->text, strlen(q->text), s->text) : 0;
	if (after) {
		const char *name = path_split(after->text, &dir_len);
		char dir[FILE_PATH_MAX] = "";

		memcpy(dir, after->text, dir_len);
		read_from(s, dir, name, true);
	} else {
		read_from(s, s->dir, s->name, false);
	}
}

/* ---- looking ------------------------------------------------------------------------------------------------------------- */

static bool
is_within(const struct search *s, const struct file_name *f)
{
	return begins(f->dir, s->prefix) || (strcmp(f->dir, s->dir) == 0 && begins(f->name, s->name));
}

static bool
matches(const struct search *s, const char *name)
{
	char folded[FOLD_MAX(NAME_LEN_MAX)];

	return s->text_len == 0 || memmem(folded, fold_text(name, strlen(name), folded), s->text, s->text_len) != NULL;
}

static err_code
found(struct search *s, const struct file_name *f, struct err *err)
{
	struct file row;
	err_code rc;

	if (s->n == s->limit) {
		s->more = true;
		return ERR_OK;
	}
	rc = meta_file_get(s->tx, s->project, &f->id, &row, err);
	return rc ? rc : file_copy(s->a, &row, &s->files[s->n++], err);
}

/* One row.  False: what comes next in its page is not to be looked at. */
static bool
look(struct search *s, const struct file_name *f, struct err *err, err_code *rc)
{
	struct file at = { .dir = f->dir, .name = f->name };

	if (!is_within(s, f)) {
		s->end = strcmp(f->dir, s->prefix) >= 0; /* behind both runs; else between them */
		read_from(s, s->prefix, "", false);
		return false;
	}
	if (matches(s, f->name))
		*rc = found(s, f, err);
	if (*rc || s->more)
		return false;
	file_path(&at, s->last);
	return true;
}

static err_code
look_at_page(struct search *s, struct err *err)
{
	unsigned limit = s->text_len ? ROWS_PAGE : MIN((unsigned)(s->limit - s->n) + 1, (unsigned)ROWS_PAGE);
	struct file_name *rows;
	size_t n, i = 0;
	err_code rc;

	meta_tx_trim(s->tx);
	rc = meta_file_names(s->tx, s->project, s->at_dir, s->at_name, limit, &rows, &n, err);
	while (!rc && i < n && look(s, &rows[i], err, &rc))
		i++;
	s->seen += n;
	if (rc || i < n)
		return rc;
	s->end = n < limit;
	if (n)
		read_from(s, rows[n - 1].dir, rows[n - 1].name, true);
	return ERR_OK;
}

static err_code
look_at_all(struct search *s, struct err *err)
{
	err_code rc = ERR_OK;

	while (!rc && !s->end && !s->more) {
		rc = look_at_page(s, err);
		s->more = s->more || (!s->end && s->seen >= SEARCH_ROWS_MAX);
	}
	return rc;
}

static err_code
asked_for(const struct view_search *q, unsigned limit, struct err *err)
{
	err_code rc = limit_check(limit, err);

	if (!rc)
		rc = view_prefix_check(q->prefix, strlen(q->prefix), err);
	return rc || !q->text ? rc : view_text_check(q->text, strlen(q->text), err);
}

static err_code
search_in(struct search *s, struct view_page *out, struct err *err)
{
	struct project p;
	err_code rc = project_in(s->tx, s->project, &p, err);

	if (!rc)
		rc = project_copy(s->a, &p, &out->page.project, err);
	if (!rc)
		rc = look_at_all(s, err);
	if (rc)
		return rc;
	out->page.files = s->files;
	out->page.n = s->n;
	out->page.has_more = s->more;
	assert(!s->more || s->last[0]); /* or the next page would begin where this one did */
	out->last.text = arena_strdup(s->a, s->last);
	return out->last.text ? ERR_OK : no_memory(err);
}

err_code
view_search(struct domain *d, const struct id *project, const struct view_search *q, const struct view_place *after,
    unsigned limit, struct arena *a, struct view_page *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	AUTO(freep) struct search *s = xcalloc(1, sizeof *s);
	err_code rc = asked_for(q, limit, err);

	*out = (struct view_page){ 0 };
	s->files = arena_array(a, limit, sizeof *s->files);
	if (!rc && !s->files)
		rc = no_memory(err);
	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (rc)
		return rc;
	s->tx = tx;
	s->project = project;
	s->a = a;
	s->limit = limit;
	prepare(s, q, after);
	return search_in(s, out, err);
}
