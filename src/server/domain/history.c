/*
 * Reading a file's history.  A version row outlives its file's deletion, so everything here goes by the rows and never asks whether
 * the file is live.
 */
#include "server/domain/history.h"

#include "server/domain/domain_internal.h"

/* ---- who ---------------------------------------------------------------------------------------------------------- */

/* The device's name; a file's versions are mostly one device's, so the row before is asked first. */
static err_code
name_of(struct meta_tx *tx, const struct kept_version *before, const struct id *device, struct arena *a, const char **out,
    struct err *err)
{
	struct device row;
	err_code rc;

	if (before && id_eq(&before->v.changed_by, device)) {
		*out = before->changed_by_name;
		return ERR_OK;
	}
	rc = meta_device_get(tx, device, &row, err);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	*out = rc ? "" : arena_strdup(a, row.name);
	return *out ? ERR_OK : no_memory(err);
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

static err_code
version_copy(struct meta_tx *tx, const struct version *row, const struct kept_version *before, struct arena *a,
    struct kept_version *out, struct err *err)
{
	out->v = *row;
	out->v.path = arena_strdup(a, row->path);
	out->v.target = arena_strdup(a, row->target);
	if (!out->v.path || !out->v.target)
		return no_memory(err);
	return name_of(tx, before, &row->changed_by, a, &out->changed_by_name, err);
}

static err_code
no_file(err_code rc, struct err *err)
{
	return rc == ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "there is no such file here") : rc;
}

static err_code
read_page(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t before, unsigned limit, struct arena *a,
    struct kept_version **out, size_t *n, bool *has_more, struct err *err)
{
	struct version *rows;
	struct file f;
	err_code rc = no_file(file_known(tx, project, file, a, &f, err), err);

	if (!rc)
		rc = meta_version_list(tx, project, file, before, limit + 1, &rows, n, err);
	if (rc)
		return rc;
	*has_more = *n > limit;
	*n = MIN(*n, limit);
	*out = arena_array(a, *n, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (size_t i = 0; !rc && i < *n; i++)
		rc = version_copy(tx, &rows[i], i ? &(*out)[i - 1] : NULL, a, &(*out)[i], err);
	return rc;
}

err_code
history_list(struct domain *d, const struct id *project, const struct id *file, int64_t before, unsigned limit, struct arena *a,
    struct kept_version **out, size_t *n, bool *has_more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = limit_check(limit, err);

	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	return rc ? rc : read_page(tx, project, file, before, limit, a, out, n, has_more, err);
}

/* ---- one version -------------------------------------------------------------------------------------------------- */

err_code
version_file(const struct version *v, struct arena *a, struct file *out, struct err *err)
{
	char *path = arena_strdup(a, v->path), *target = arena_strdup(a, v->target);
	size_t dir_len;

	if (!path || !target)
		return no_memory(err);
	*out = (struct file){ .id = v->file, .name = path_split(path, &dir_len), .kind = v->kind, .version = v->version,
		.size = v->size, .mode = v->mode, .mtime_ns = v->mtime_ns, .content = v->content, .list = v->list, .target = target,
		.changed_by = v->changed_by };
	out->dir = dir_len ? path : "";
	if (dir_len)
		path[dir_len] = '\0'; /* the '/' before the name */
	return ERR_OK;
}

err_code
file_known(struct meta_tx *tx, const struct id *project, const struct id *file, struct arena *a, struct file *out, struct err *err)
{
	struct version *newest;
	size_t n;
	err_code rc = meta_file_get(tx, project, file, out, err);

	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = meta_version_list(tx, project, file, INT64_MAX, 1, &newest, &n, err);
	if (!rc && (n == 0 || !newest->deleted))
		return err_set(err, ERR_NOT_FOUND, "no such file");
	if (!rc)
		rc = version_file(newest, a, out, err);
	if (rc)
		return rc;
	out->created_at = out->deleted_at = newest->version;
	return ERR_OK;
}

err_code
version_in(struct meta_tx *tx, const struct id *project, const struct id *file, int64_t version, struct version *out,
    struct err *err)
{
	err_code rc = meta_version_get(tx, project, file, version, out, err);

	if (rc == ERR_NOT_FOUND || (!rc && out->deleted))
		return err_set(err, ERR_NOT_FOUND, "there is no such version here");
	return rc;
}

err_code
history_file(struct domain *d, const struct id *project, const struct id *file, int64_t version, struct arena *a,
    struct file *out, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct version v;
	err_code rc = meta_begin(d->meta, META_READ, &tx, err);

	if (!rc)
		rc = version_in(tx, project, file, version, &v, err);
	return rc ? rc : version_file(&v, a, out, err);
}
