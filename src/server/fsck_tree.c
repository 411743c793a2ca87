/*
 * The tree and its history.
 *
 * One walk over every entry, tombstones included, in the order of the feed, adds up what the project's row and each directory's say; what
 * a directory counts is gathered by its path, so the walk's memory is that of the directories.
 */
#include <inttypes.h>

#include "server/fsck_internal.h"

#define PAGE 1000

/* ---- directories ---------------------------------------------------------------------------------------------------------------- */

/** A path that is a directory, or that something says is one. */
struct dir {
	struct beneath sum, row; /* what lies beneath it; what its row says */
	bool live;
};

static struct dir *
dir_at(struct map *dirs, const char *path, size_t len)
{
	struct dir *d = map_get(dirs, path, len);

	if (!d) {
		d = xcalloc(1, sizeof *d);
		map_put(dirs, path, len, d);
	}
	return d;
}

/* To its directory and all above it. */
static void
add_beneath(struct map *dirs, const struct file *f)
{
	size_t len = strlen(f->dir);

	while (len > 0) {
		struct dir *d = dir_at(dirs, f->dir, len);

		d->sum.files += f->kind != KIND_DIR;
		d->sum.dirs += f->kind == KIND_DIR;
		d->sum.bytes += f->size;
		while (len > 0 && f->dir[len - 1] != '/')
			len--;
		len -= len > 0;
	}
}

static void
add_dir(struct map *dirs, const struct file *f)
{
	char path[FILE_PATH_MAX];
	struct dir *d;

	file_path(f, path);
	d = dir_at(dirs, path, strlen(path));
	d->live = true;
	d->row = f->beneath;
}

static void
check_dirs(struct fsck_project *w, struct map *dirs)
{
	size_t pos = 0, len;
	const void *path;
	void *value;

	while (map_next(dirs, &pos, &path, &len, &value)) {
		const struct dir *d = value;

		if (!d->live)
			fsck_found(w->f, FOUND_PARENT, &w->p.id, "%.*s is no directory, and something is in it", (int)len, (const char *)path);
		else if (d->sum.files != d->row.files || d->sum.dirs != d->row.dirs || d->sum.bytes != d->row.bytes)
			fsck_found(w->f, FOUND_BENEATH, &w->p.id,
			    "%.*s has %" PRId64 " files, %" PRId64 " directories, %" PRId64 " bytes beneath it and says %" PRId64 ", %" PRId64
			    ", %" PRId64,
			    (int)len, (const char *)path, d->sum.files, d->sum.dirs, d->sum.bytes, d->row.files, d->row.dirs, d->row.bytes);
	}
}

static void
dirs_free(struct map *dirs)
{
	size_t pos = 0, len;
	const void *path;
	void *value;

	while (map_next(dirs, &pos, &path, &len, &value))
		free(value);
	map_free(dirs);
}

/* ---- the tree ---------------------------------------------------------------------------------------------------------------------- */

struct tree {
	struct fsck_project *w;
	struct map *dirs;
	struct hash digest;
	int64_t count, bytes;
};

static bool
is_version(const struct file *f, const struct version *v)
{
	char path[FILE_PATH_MAX];

	return v->version == f->version && strcmp(v->path, file_path(f, path)) == 0 && v->kind == f->kind && v->size == f->size &&
	    v->mode == f->mode && v->mtime_ns == f->mtime_ns && hash_eq(&v->content, &f->content) && id_eq(&v->list, &f->list) &&
	    strcmp(v->target, f->target) == 0 && id_eq(&v->changed_by, &f->changed_by) && v->deleted == (f->deleted_at != 0);
}

static err_code
check_entry(struct tree *t, const struct file *f, struct err *err)
{
	struct fsck *fsck = t->w->f;
	const struct project *p = &t->w->p;
	char path[FILE_PATH_MAX];
	struct version v;
	err_code rc;

	file_path(f, path);
	if (f->version > p->clock)
		fsck_found(fsck, FOUND_CLOCK, &p->id, "%s is of %" PRId64 ", the project's clock is %" PRId64, path, f->version, p->clock);
	rc = meta_version_get(t->w->tx, &p->id, &f->id, f->version, &v, err);
	if (rc == ERR_NOT_FOUND)
		fsck_found(fsck, FOUND_VERSION_MISSING, &p->id, "%s has no version %" PRId64, path, f->version);
	else if (!rc && !is_version(f, &v))
		fsck_found(fsck, FOUND_VERSION_DIFFERS, &p->id, "%s is not what its version %" PRId64 " says", path, f->version);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static void
add_entry(struct tree *t, const struct file *f)
{
	struct hash h = file_digest(f);

	digest_add(&t->digest, &h);
	t->count++;
	t->bytes += f->size;
	add_beneath(t->dirs, f);
	if (f->kind == KIND_DIR)
		add_dir(t->dirs, f);
}

static err_code
walk_tree(struct tree *t, struct err *err)
{
	struct fsck_project *w = t->w;
	struct file *files;
	int64_t after = 0;
	size_t n = PAGE;
	err_code rc = ERR_OK;

	while (!rc && n == PAGE) {
		rc = meta_file_changes(w->tx, &w->p.id, after, PAGE, &files, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			rc = check_entry(t, &files[i], err);
			if (!rc && !files[i].deleted_at)
				add_entry(t, &files[i]);
			after = files[i].version;
		}
		fsck_seen(w->f, rc ? 0 : n);
		meta_tx_trim(w->tx);
	}
	return rc;
}

static void
check_sums(struct tree *t)
{
	struct fsck_project *w = t->w;
	char said[HASH_HEX_LEN + 1], is[HASH_HEX_LEN + 1];

	if (!hash_eq(&t->digest, &w->p.digest))
		fsck_found(w->f, FOUND_DIGEST, &w->p.id, "the digest is %s and the project says %s", hash_hex(&t->digest, is),
		    hash_hex(&w->p.digest, said));
	if (t->count != w->p.file_count || t->bytes != w->p.total_bytes)
		fsck_found(w->f, FOUND_TOTALS, &w->p.id,
		    "there are %" PRId64 " entries with %" PRId64 " bytes and the project says %" PRId64 " with %" PRId64, t->count, t->bytes,
		    w->p.file_count, w->p.total_bytes);
	if (w->p.horizon > w->p.clock)
		fsck_found(w->f, FOUND_CLOCK, &w->p.id, "tombstones have gone up to %" PRId64 ", the project's clock is %" PRId64, w->p.horizon,
		    w->p.clock);
}

err_code
fsck_tree(struct fsck_project *w, struct err *err)
{
	struct tree t = { .w = w, .dirs = map_new() };
	err_code rc = walk_tree(&t, err);

	if (!rc) {
		check_dirs(w, t.dirs);
		check_sums(&t);
		w->f->entries += (uint64_t)t.count;
	}
	dirs_free(t.dirs);
	return rc;
}

/* ---- history -------------------------------------------------------------------------------------------------------------------------- */

/* What a version without blocks can have as its content; the list of one with blocks is fsck_blocks' affair. */
static bool
is_content(const struct version *v)
{
	static const struct hash none;
	struct hash due = none;

	if (v->kind == KIND_LINK)
		due = content_hash_link(v->target, strlen(v->target));
	else if (v->kind == KIND_FILE && v->size == 0)
		due = content_hash_empty();
	else if (v->kind == KIND_FILE)
		return true;
	return hash_eq(&due, &v->content) && v->size == 0;
}

static err_code
check_version(struct fsck_project *w, const struct version *v, struct err *err)
{
	bool due = v->kind == KIND_FILE && v->size > 0 && !v->deleted, has = false;
	err_code rc = ERR_OK;

	w->f->versions++;
	if (v->version > w->p.clock)
		fsck_found(w->f, FOUND_CLOCK, &w->p.id, "%s has a version %" PRId64 ", the project's clock is %" PRId64, v->path, v->version,
		    w->p.clock);
	if (!is_content(v) && !v->deleted)
		fsck_found(w->f, FOUND_VERSION_INVALID, &w->p.id, "version %" PRId64 " of %s has a content that it cannot have", v->version,
		    v->path);
	if (!due && !id_is_zero(&v->list))
		fsck_found(w->f, FOUND_VERSION_INVALID, &w->p.id, "version %" PRId64 " of %s has a block list, and no bytes", v->version, v->path);
	if (due)
		rc = meta_blocks_has(w->tx, &w->p.id, &v->list, &has, err);
	if (!rc && due && !has)
		fsck_found(w->f, FOUND_BLOCKS_MISSING, &w->p.id, "version %" PRId64 " of %s has no block list", v->version, v->path);
	return rc;
}

/* The newest version is what the tree shows, or a deletion that it has forgotten. */
static err_code
check_newest(struct fsck_project *w, const struct version *v, struct err *err)
{
	struct file f;
	err_code rc = meta_file_get(w->tx, &w->p.id, &v->file, &f, err);

	if (rc == ERR_NOT_FOUND && !v->deleted)
		fsck_found(w->f, FOUND_VERSION_ORPHANED, &w->p.id, "version %" PRId64 " of %s is of no file", v->version, v->path);
	else if (!rc && f.version != v->version)
		fsck_found(w->f, FOUND_VERSION_ORPHANED, &w->p.id, "%s is of %" PRId64 " and has a version %" PRId64, v->path, f.version,
		    v->version);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static err_code
check_file(struct fsck_project *w, const struct id *file, struct err *err)
{
	int64_t before = INT64_MAX;
	size_t n = PAGE;
	err_code rc = ERR_OK;

	while (!rc && n == PAGE) {
		struct version *rows;

		rc = meta_version_list(w->tx, &w->p.id, file, before, PAGE, &rows, &n, err);
		if (!rc && n > 0 && before == INT64_MAX)
			rc = check_newest(w, &rows[0], err);
		for (size_t i = 0; !rc && i < n; i++)
			rc = check_version(w, &rows[i], err);
		if (!rc && n > 0)
			before = rows[n - 1].version;
		meta_tx_trim(w->tx);
	}
	return rc;
}

err_code
fsck_history(struct fsck_project *w, struct err *err)
{
	AUTO(freep) struct id *ids = xmalloc(PAGE * sizeof *ids);
	struct id after = { 0 };
	size_t n = PAGE;
	err_code rc = ERR_OK;

	while (!rc && n == PAGE) {
		struct history_file *files;

		rc = meta_history_files(w->tx, &w->p.id, &after, PAGE, &files, &n, err);
		for (size_t i = 0; !rc && i < n; i++)
			ids[i] = files[i].file;
		meta_tx_trim(w->tx);
		for (size_t i = 0; !rc && i < n; i++)
			rc = check_file(w, &ids[i], err);
		if (!rc && n > 0)
			after = ids[n - 1];
		fsck_seen(w->f, rc ? 0 : n);
	}
	return rc;
}
