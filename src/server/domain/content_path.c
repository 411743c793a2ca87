/*
 * Conditions and deletes by path.  Everything is checked twice: once to tell the caller before his bytes come, and by the commit,
 * whose base version is the one that was looked at.
 */
#include "server/domain/content_internal.h"

#define ATTEMPTS_MAX 8

char *
content_etag(const struct file *f, char out[static ETAG_MAX])
{
	char hex[ID_HEX_LEN + 1];

	snprintf(out, ETAG_MAX, "\"%s.%jd\"", id_hex(&f->id, hex), (intmax_t)f->version);
	return out;
}

static err_code
condition_check(enum content_condition condition, int64_t version, const struct file *f, struct err *err)
{
	if (condition == IF_ABSENT && f)
		return err_set(err, ERR_PRECONDITION_FAILED, "something is at that path");
	if (condition == IF_VERSION && !f)
		return err_set(err, ERR_PRECONDITION_FAILED, "nothing is at that path");
	if (condition == IF_VERSION && version != -1 && version != f->version)
		return err_set(err, ERR_PRECONDITION_FAILED, "the file is at version %jd", (intmax_t)f->version);
	return ERR_OK;
}

err_code
content_look(struct domain *d, const struct id *project, const char *path, enum content_condition condition, int64_t version,
    bool put, bool *exists, int64_t *version_now, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	struct file f;
	size_t existing;
	err_code rc;

	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (rc)
		return rc;
	rc = meta_file_at(tx, project, path, &f, err);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	*exists = rc == ERR_OK;
	*version_now = *exists ? f.version : 0;
	rc = condition_check(condition, version, *exists ? &f : NULL, err);
	if (rc || !put)
		return rc;
	if (*exists && f.kind == KIND_DIR)
		return err_set(err, ERR_NAME_EXISTS, "a directory is at that path");
	return *exists ? ERR_OK : parent_check(tx, project, path, &existing, err);
}

err_code
content_commit(struct domain *d, const struct id *project, const struct id *device, const struct op *op, bool allow_mass_delete,
    struct arena *a, struct op_result *r, struct err *err)
{
	struct commit c = { .ops = op, .n = 1, .device = *device, .allow_mass_delete = allow_mass_delete };
	err_code rc = commit_apply(d, project, &c, NULL, a, err);

	if (!rc)
		*r = c.results[0];
	return rc;
}

bool
content_raced(const struct op_result *r)
{
	return r->code == ERR_VERSION_CONFLICT || r->code == ERR_NAME_EXISTS;
}

err_code
content_settle(const struct op_result *r, enum content_condition condition, struct err *err)
{
	if (!r->code)
		return ERR_OK;
	if (content_raced(r) && condition != IF_ANY)
		return err_set(err, ERR_PRECONDITION_FAILED, "the file was changed meanwhile");
	return err_reason(err, r->code, r->reason, "%s", r->detail);
}

/* One attempt at what is there now; ${r} stays ERR_OK when there was nothing to do. */
static err_code
delete_attempt(struct domain *d, const struct id *project, const struct id *device, const char *path,
    enum content_condition condition, int64_t version, bool allow_mass_delete, struct arena *a, struct op_result *r, struct err *err)
{
	struct op op = { .kind = OP_DELETE, .has_base = true };
	bool exists;
	struct file f;
	err_code rc;

	rc = content_look(d, project, path, condition, version, false, &exists, &op.base, err);
	if (!rc)
		rc = tree_file_at(d, project, path, a, &f, err);
	if (rc)
		return rc;
	if (condition == IF_VERSION && version != -1 && f.version != version)
		return err_set(err, ERR_PRECONDITION_FAILED, "the file was changed meanwhile");
	op.file = f.id;
	op.base = f.version;
	return content_commit(d, project, device, &op, allow_mass_delete, a, r, err);
}

err_code
content_delete(struct domain *d, const struct id *project, const struct id *device, const char *path,
    enum content_condition condition, int64_t version, bool allow_mass_delete, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(1 * MIB);
	struct op_result r = { .code = ERR_OK };
	err_code rc = path_check(path, strlen(path), err);

	for (unsigned i = 0; !rc && i < ATTEMPTS_MAX; i++) {
		arena_reset(a);
		rc = delete_attempt(d, project, device, path, condition, version, allow_mass_delete, a, &r, err);
		if (!content_raced(&r))
			break;
	}
	return rc ? rc : content_settle(&r, condition, err);
}
