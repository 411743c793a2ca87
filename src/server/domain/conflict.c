/*
 * Listing conflicts, and ending them.  What a resolution does to the two files is made of the operations of a commit, in the transaction of a
 * commit, so clocks, sums and histories are kept as everywhere (commit_internal.h).
 */
#include "server/domain/conflict.h"

#include "server/domain/commit_internal.h"

/* ---- as it is now ---------------------------------------------------------------------------------------------------- */

static err_code
name_of(struct meta_tx *tx, const struct id *device, struct arena *a, const char **out, struct err *err)
{
	struct device row;
	err_code rc = id_is_zero(device) ? ERR_NOT_FOUND : meta_device_get(tx, device, &row, err);

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	*out = rc ? "" : arena_strdup(a, row.name);
	return *out ? ERR_OK : no_memory(err);
}

/* A file that a conflict names is always known: what is newest of its history stays. */
static err_code
side_of(struct meta_tx *tx, const struct id *project, const struct id *file, struct arena *a, struct file *out, struct err *err)
{
	err_code rc = file_known(tx, project, file, a, out, err);

	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_INTERNAL, "a file of a conflict has no history");
	return rc ? rc : file_copy(a, out, out, err);
}

static err_code
view_of(struct meta_tx *tx, const struct id *project, const struct conflict *c, struct arena *a, struct conflict_view *out,
    struct err *err)
{
	err_code rc;

	*out = (struct conflict_view){ .c = *c };
	rc = side_of(tx, project, &c->file, a, &out->file, err);
	if (!rc)
		rc = side_of(tx, project, &c->copy, a, &out->copy, err);
	if (!rc)
		rc = name_of(tx, &c->device, a, &out->device_name, err);
	return rc ? rc : name_of(tx, &c->resolved_by, a, &out->resolved_by_name, err);
}

static err_code
read_page(struct meta_tx *tx, const struct id *project, enum conflict_which which, int64_t after, unsigned limit, struct arena *a,
    struct conflict_view **out, size_t *n, bool *has_more, struct err *err)
{
	struct conflict *rows;
	err_code rc = meta_conflict_list(tx, project, which, after, limit + 1, &rows, n, err);

	if (rc)
		return rc;
	*has_more = *n > limit;
	*n = MIN(*n, limit);
	*out = arena_array(a, *n, sizeof **out);
	if (!*out)
		return no_memory(err);
	for (size_t i = 0; !rc && i < *n; i++)
		rc = view_of(tx, project, &rows[i], a, &(*out)[i], err);
	return rc;
}

err_code
conflict_list(struct domain *d, const struct id *project, enum conflict_which which, int64_t after, unsigned limit, struct arena *a,
    struct conflict_view **out, size_t *n, bool *has_more, struct id *epoch, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc = limit_check(limit, err);

	if (!rc)
		rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (rc)
		return rc;
	*epoch = p.epoch;
	return read_page(tx, project, which, after, limit, a, out, n, has_more, err);
}

/* ---- what is done to the files ---------------------------------------------------------------------------------------- */

/* An operation that was refused refuses the whole resolution. */
static err_code
must(err_code rc, const struct op_result *r, struct err *err)
{
	if (rc || r->code == ERR_OK)
		return rc;
	return err_set(err, r->code, "%s", r->detail);
}

static err_code
delete_file(struct apply *ap, const struct file *f, struct err *err)
{
	struct op op = { .kind = OP_DELETE, .file = f->id, .has_base = true, .base = f->version };
	struct op_result r = { .code = ERR_OK };

	return must(op_delete(ap, &op, &r, err), &r, err);
}

/* What the copy holds as the file's next version. */
static err_code
take_content(struct apply *ap, const struct file *f, const struct file *copy, struct err *err)
{
	struct file after = *f;

	after.size = copy->size;
	after.content = copy->content;
	after.list = copy->list;
	after.mode = copy->mode;
	after.mtime_ns = copy->mtime_ns;
	after.target = copy->target;
	return apply_change(ap, f, &after, err);
}

static err_code
take_place(struct apply *ap, const struct file *f, const struct file *copy, struct err *err)
{
	char path[FILE_PATH_MAX];
	struct op op = { .kind = OP_MOVE, .file = copy->id, .has_base = true, .base = copy->version, .path = file_path(f, path) };
	struct op_result r = { .code = ERR_OK };
	err_code rc = f->deleted_at ? ERR_OK : delete_file(ap, f, err);

	return rc ? rc : must(op_move(ap, &op, &r, err), &r, err);
}

static err_code
keep_copy(struct apply *ap, const struct file *f, const struct file *copy, struct err *err)
{
	err_code rc;

	if (f->deleted_at || f->kind != copy->kind || f->kind == KIND_DIR)
		return take_place(ap, f, copy, err);
	rc = take_content(ap, f, copy, err);
	return rc ? rc : delete_file(ap, copy, err);
}

/* A merge shows in the file: another content than the one that kept the name.  When that version has gone the file is certainly newer. */
static err_code
merge_check(struct apply *ap, const struct conflict *c, const struct file *f, struct err *err)
{
	struct version v;
	err_code rc;

	if (f->deleted_at)
		return err_set(err, ERR_VERSION_CONFLICT, "the file was deleted: there is nothing that the copy was merged into");
	rc = meta_version_get(ap->tx, ap->run->project, &c->file, c->file_version, &v, err);
	if (rc)
		return rc == ERR_NOT_FOUND && f->version > c->file_version ? ERR_OK : rc;
	if (f->version <= c->file_version || (f->kind == v.kind && hash_eq(&f->content, &v.content)))
		return err_set(err, ERR_VERSION_CONFLICT, "the file is what it was when the conflict came up: nothing was merged into it");
	return ERR_OK;
}

static err_code
carry_out(struct apply *ap, struct resolve *r, struct err *err)
{
	const struct file *f = &r->now.file, *copy = &r->now.copy;
	err_code rc = ERR_OK;

	switch (r->keep) {
	case RESOLVED_CURRENT:
		return delete_file(ap, copy, err);
	case RESOLVED_COPY:
		return keep_copy(ap, f, copy, err);
	case RESOLVED_MERGED:
		rc = merge_check(ap, &r->now.c, f, err);
		return rc ? rc : delete_file(ap, copy, err);
	default:
		return rc;
	}
}

/* ---- the transaction ---------------------------------------------------------------------------------------------------- */

static err_code
look(struct apply *ap, struct resolve *r, struct err *err)
{
	struct conflict c;
	err_code rc = meta_conflict_get(ap->tx, ap->run->project, &r->copy, &c, err);

	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no such conflict here");
	if (!rc)
		rc = view_of(ap->tx, ap->run->project, &c, ap->run->a, &r->now, err);
	r->has_now = !rc;
	return rc;
}

static err_code
seen_check(const struct resolve *r, struct err *err)
{
	if (r->now.c.resolution)
		return err_set(err, ERR_VERSION_CONFLICT, "the conflict was resolved otherwise by now");
	if (r->now.file.version != r->version)
		return err_set(err, ERR_VERSION_CONFLICT, "the file has another version than the one named");
	if (r->now.copy.version != r->copy_version)
		return err_set(err, ERR_VERSION_CONFLICT, "the copy has another version than the one named");
	return ERR_OK;
}

/* The conflict ends before its copy goes, or the deletion would end it as "copy gone". */
static err_code
resolve_in(struct apply *ap, void *ctx, struct err *err)
{
	struct resolve *r = ctx;
	struct conflict end = { .copy = r->copy, .resolved_at = ap->now_us, .resolved_by = r->device, .resolution = r->keep };
	bool ended;
	err_code rc = look(ap, r, err);

	if (rc || r->now.c.resolution == r->keep)
		return rc;
	rc = seen_check(r, err);
	if (!rc)
		rc = meta_conflict_end(ap->tx, ap->run->project, &end, &ended, err);
	if (!rc)
		rc = carry_out(ap, r, err);
	return rc ? rc : look(ap, r, err);
}

err_code
conflict_resolve(struct domain *d, const struct id *project, struct resolve *r, struct idem *idem, struct arena *a, struct err *err)
{
	struct commit c = { .device = r->device, .allow_mass_delete = true }; /* decided one by one, each with the versions that were seen */

	r->has_now = false;
	if (r->keep < RESOLVED_CURRENT || r->keep > RESOLVED_MERGED)
		return err_set(err, ERR_FIELD_RANGE, "keep: current, copy, both or merged");
	return commit_with(d, project, &c, resolve_in, r, idem, a, err);
}
