/*
 * Moving a file is one change; moving a directory is one for each entry beneath it, since paths are what devices act on and each
 * carries its own version.  Entries are read and written a page at a time, so a directory of a million moves in the memory of a
 * thousand.
 *
 * Pages are read in (dir, name) order.  Rows leave the old directory as they are rewritten, which is behind the place where
 * reading goes on; the new place cannot lie beneath the old (MOVE_CYCLE), so nothing is met twice.
 */
#include <assert.h>

#include "base/fault.h"
#include "server/domain/commit_internal.h"

/* A directory's move while it lasts. */
struct moving {
	struct apply *ap;
	const char *from, *to;
	size_t from_len, to_len;
	char after_dir[FILE_PATH_MAX], after_name[NAME_LEN_MAX + 1];
};

static size_t
depth_of(const char *path)
{
	size_t depth = 1;

	for (; *path; path++)
		depth += *path == '/';
	return depth;
}

static void
remember_place(struct moving *m, const struct file *last)
{
	size_t dir_len = strlen(last->dir), name_len = strlen(last->name);

	assert(dir_len < sizeof m->after_dir && name_len < sizeof m->after_name); /* stored paths are checked ones */
	memcpy(m->after_dir, last->dir, dir_len + 1);
	memcpy(m->after_name, last->name, name_len + 1);
}

/* The next page of what lies beneath; what the page before handed out is forgotten. */
static err_code
next_page(struct moving *m, struct file **rows, size_t *n, struct err *err)
{
	struct apply *ap = m->ap;
	err_code rc;

	meta_tx_trim(ap->tx);
	rc = meta_file_beneath(ap->tx, ap->run->project, m->from, m->after_dir, m->after_name, ROWS_PAGE, rows, n, err);
	if (!rc && *n > 0)
		remember_place(m, &(*rows)[*n - 1]);
	return rc;
}

static bool
fits(const struct moving *m, const struct file *f)
{
	size_t len = strlen(f->dir) + 1 + strlen(f->name) - m->from_len + m->to_len;
	size_t depth = depth_of(f->dir) + 1 - depth_of(m->from) + depth_of(m->to);

	return len <= meta_path_max(m->ap->run->d->meta) && depth <= PATH_DEPTH_MAX;
}

/* Whether every path would still be one that dray stores; only a place that is longer or deeper needs looking. */
static err_code
all_fit(struct moving *m, bool *fit, struct err *err)
{
	struct file *rows;
	size_t n = ROWS_PAGE;
	err_code rc = ERR_OK;

	*fit = true;
	if (m->to_len <= m->from_len && depth_of(m->to) <= depth_of(m->from))
		return ERR_OK;
	m->after_dir[0] = m->after_name[0] = '\0';
	while (!rc && *fit && n == ROWS_PAGE) {
		rc = next_page(m, &rows, &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			*fit = *fit && fits(m, &rows[i]);
	}
	return rc;
}

static err_code
move_one(struct moving *m, const struct file *f, struct err *err)
{
	char dir[FILE_PATH_MAX];
	struct file after = *f;
	int len = snprintf(dir, sizeof dir, "%s%s", m->to, f->dir + m->from_len);

	assert(len > 0 && (size_t)len < sizeof dir); /* all_fit */
	after.dir = dir;
	return apply_change(m->ap, f, &after, err);
}

static err_code
move_beneath(struct moving *m, struct err *err)
{
	struct file *rows;
	size_t n = ROWS_PAGE;
	err_code rc = ERR_OK;

	m->after_dir[0] = m->after_name[0] = '\0';
	m->ap->beneath = true;
	while (!rc && n == ROWS_PAGE) {
		rc = next_page(m, &rows, &n, err);
		m->ap->want = (unsigned)n;
		for (size_t i = 0; !rc && i < n; i++)
			rc = move_one(m, &rows[i], err);
	}
	m->ap->beneath = false;
	return rc;
}

/* ${f} lives in our own memory: the transaction forgets its rows while pages are read. */
static err_code
move_dir(struct apply *ap, const struct file *f, struct file *after, const struct op *op, struct op_result *r, struct err *err)
{
	AUTO(freep) struct moving *m = xcalloc(1, sizeof *m);
	char from[FILE_PATH_MAX];
	bool fit;
	err_code rc;

	m->ap = ap;
	m->from = file_path(f, from);
	m->to = op->path;
	m->from_len = strlen(m->from);
	m->to_len = strlen(m->to);
	rc = all_fit(m, &fit, err);
	if (!rc && !fit)
		return result_fail(r, ERR_PATH_TOO_LONG, NULL, "something beneath the directory would have too long a path");
	if (!rc)
		rc = counts_move(ap, f, after, err);
	if (!rc)
		rc = apply_change(ap, f, after, err); /* parents before what is in them */
	if (!rc)
		rc = move_beneath(m, err);
	parent_forget(ap);
	return rc;
}

/* Whether the tree lets the move happen; ${r} says why not. */
static err_code
move_allowed(struct apply *ap, const struct op *op, const struct file *f, const char *from, struct op_result *r,
    struct err *err)
{
	size_t from_len = strlen(from);
	struct file there;
	bool found;
	err_code rc;

	if (f->deleted_at)
		return result_conflict(ap, r, ERR_VERSION_CONFLICT, "the file was deleted", f, err);
	rc = base_check(ap, op, f, r, err);
	if (rc || r->code)
		return rc;
	if (f->kind == KIND_DIR && strncmp(op->path, from, from_len) == 0 && op->path[from_len] == '/' && !FAULT("domain.no_cycle_check")) /* M23 */
		return result_fail(r, ERR_MOVE_CYCLE, NULL, "a directory cannot move into itself");
	rc = file_there(ap, op->path, &there, &found, err);
	if (!rc && found)
		return result_conflict(ap, r, ERR_NAME_EXISTS, "something has that name already", &there, err);
	return rc ? rc : parent_ready(ap, op->path, false, r, err);
}

err_code
op_move(struct apply *ap, const struct op *op, struct op_result *r, struct err *err)
{
	AUTO(arena_freep) struct arena *own = arena_new(64 * KIB); /* one file's texts */
	char from[FILE_PATH_MAX];
	struct file f, after;
	struct place at;
	err_code rc = meta_file_get(ap->tx, ap->run->project, &op->file, &f, err);

	if (rc == ERR_NOT_FOUND)
		return result_fail(r, ERR_NOT_FOUND, NULL, "there is no such file here");
	if (!rc)
		rc = file_copy(own, &f, &f, err);
	if (rc)
		return rc;
	if (!f.deleted_at && strcmp(file_path(&f, from), op->path) == 0) {
		result_ok(r, &f, true);
		return ERR_OK;
	}
	rc = move_allowed(ap, op, &f, file_path(&f, from), r, err);
	if (rc || r->code)
		return rc;
	place_of(op->path, &at);
	after = f;
	after.dir = at.dir;
	after.name = at.name;
	rc = f.kind == KIND_DIR ? move_dir(ap, &f, &after, op, r, err) : apply_change(ap, &f, &after, err);
	if (!rc && !r->code)
		result_ok(r, &after, false);
	return rc;
}
