/*
 * Paths and parents.  Every live entry's parent is a live directory; all that changes the tree goes through here to keep it so.
 */
#include <assert.h>

#include "server/domain/commit_internal.h"

void
place_of(const char *path, struct place *p)
{
	size_t len = strlen(path), dir_len;

	assert(len < sizeof p->text); /* path_check has been passed */
	memcpy(p->text, path, len + 1);
	p->name = path_split(p->text, &dir_len);
	p->dir = dir_len ? p->text : "";
	p->text[dir_len] = '\0'; /* the '/' before the name; at the top the name begins at 0 and is not touched */
	if (dir_len == 0)
		p->text[0] = path[0];
}

err_code
file_there(struct apply *ap, const char *path, struct file *out, bool *found, struct err *err)
{
	err_code rc = meta_file_at(ap->tx, ap->run->project, path, out, err);

	*found = rc == ERR_OK;
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* The length of the directory part of the first ${len} bytes of ${path}, 0 at the top. */
static size_t
dir_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

err_code
parent_check(struct meta_tx *tx, const struct id *project, const char *path, size_t *existing, struct err *err)
{
	char text[FILE_PATH_MAX];
	size_t parent = dir_len(path, strlen(path));
	struct file f;

	assert(parent < sizeof text);
	memcpy(text, path, parent);
	for (size_t len = parent; len > 0; len = dir_len(text, len)) {
		err_code rc;

		text[len] = '\0';
		rc = meta_file_at(tx, project, text, &f, err);
		if (rc == ERR_NOT_FOUND)
			continue;
		if (rc)
			return rc;
		if (f.kind != KIND_DIR)
			return err_set(err, ERR_PARENT_NOT_DIRECTORY, "%s is not a directory", text);
		*existing = len == parent ? SIZE_MAX : len;
		return ERR_OK;
	}
	*existing = parent == 0 ? SIZE_MAX : 0;
	return ERR_OK;
}

void
parent_forget(struct apply *ap)
{
	ap->parent_known = false;
}

static bool
parent_is_known(const struct apply *ap, const char *path, size_t parent)
{
	return parent == 0 || (ap->parent_known && strlen(ap->parent) == parent && memcmp(ap->parent, path, parent) == 0);
}

static void
parent_remember(struct apply *ap, const char *path, size_t parent)
{
	memcpy(ap->parent, path, parent);
	ap->parent[parent] = '\0';
	ap->parent_known = true;
}

/* The directories of ${path} after its first ${existing} bytes, from the top down. */
static err_code
make_parents(struct apply *ap, const char *path, size_t existing, struct err *err)
{
	size_t parent = dir_len(path, strlen(path));
	char text[FILE_PATH_MAX];
	err_code rc = ERR_OK;

	while (!rc && existing < parent) {
		struct file dir = { .id = id_new(), .kind = KIND_DIR, .mode = 0755, .mtime_ns = ap->now_ns, .target = "" };
		size_t start = existing ? existing + 1 : 0;
		size_t len = start + strcspn(path + start, "/");
		struct place at;

		memcpy(text, path, len);
		text[len] = '\0';
		place_of(text, &at);
		dir.dir = at.dir;
		dir.name = at.name;
		rc = apply_change(ap, NULL, &dir, err);
		existing = len;
	}
	return rc;
}

err_code
parent_ready(struct apply *ap, const char *path, bool make, struct op_result *r, struct err *err)
{
	size_t parent = dir_len(path, strlen(path)), existing = SIZE_MAX;
	err_code rc;

	if (strlen(path) > meta_path_max(ap->run->d->meta))
		return result_fail(r, ERR_PATH_TOO_LONG, NULL, "the server's database keeps no path as long as that");
	if (parent_is_known(ap, path, parent))
		return ERR_OK;
	rc = parent_check(ap->tx, ap->run->project, path, &existing, err);
	if (rc == ERR_PARENT_NOT_DIRECTORY)
		return result_fail(r, rc, NULL, "an ancestor of the path is not a directory");
	if (rc)
		return rc;
	if (existing != SIZE_MAX && !make)
		return result_fail(r, ERR_PARENT_MISSING, NULL, "the parent directory does not exist");
	if (existing != SIZE_MAX)
		rc = make_parents(ap, path, existing, err);
	if (!rc)
		parent_remember(ap, path, parent);
	return rc;
}

err_code
dir_is_empty(struct apply *ap, const struct file *f, bool *empty, struct err *err)
{
	char path[FILE_PATH_MAX];
	struct file *rows;
	size_t n;
	err_code rc;

	*empty = true;
	if (f->kind != KIND_DIR)
		return ERR_OK;
	rc = meta_file_dir(ap->tx, ap->run->project, file_path(f, path), "", 1, &rows, &n, err);
	if (!rc)
		*empty = n == 0;
	return rc;
}
