/*
 * What a commit says and does about conflicts.  A client sends what lost a name as a new file, and says with it what it lost against: the
 * conflict is then written down, or not, with the copy itself.  The copy's deletion ends it, whoever deletes it and for what reason.
 */
#include "base/fault.h"
#include "server/domain/commit_internal.h"

err_code
conflict_check(struct apply *ap, const struct op *op, struct op_result *r, struct err *err)
{
	struct file f;
	err_code rc;

	if (!op->has_conflict)
		return ERR_OK;
	rc = file_known(ap->tx, ap->run->project, &op->conflict_file, ap->run->scratch, &f, err);
	if (rc == ERR_NOT_FOUND)
		return result_fail(r, ERR_NOT_FOUND, "conflict_of", "conflict_of: there is no such file here");
	if (!rc && op->conflict_version > f.version)
		return result_fail(r, ERR_BASE_INVALID, "conflict_of", "conflict_of: the version is newer than the file");
	return rc;
}

err_code
conflict_record(struct apply *ap, const struct op *op, const struct op_result *r, struct err *err)
{
	struct conflict c = { .copy = r->file, .file = op->conflict_file, .file_version = op->conflict_version,
		.device = ap->run->c->device, .created_at = r->version };

	/* The file itself when it has these bytes already: then nothing is in conflict. */
	if (!op->has_conflict || id_eq(&c.copy, &c.file) || FAULT("domain.conflict_unrecorded"))
		return ERR_OK;
	ap->conflicts = CONFLICTS_SOME;
	return meta_conflict_add(ap->tx, ap->run->project, &c, err);
}

/* Most projects have none, and then a batch of deletions costs one look. */
static err_code
look_for_any(struct apply *ap, struct err *err)
{
	struct conflict *first;
	size_t n;
	err_code rc;

	if (ap->conflicts != CONFLICTS_UNKNOWN)
		return ERR_OK;
	rc = meta_conflict_list(ap->tx, ap->run->project, CONFLICTS_OPEN, 0, 1, &first, &n, err);
	ap->conflicts = n ? CONFLICTS_SOME : CONFLICTS_NONE;
	return rc;
}

err_code
conflict_copy_gone(struct apply *ap, const struct id *file, struct err *err)
{
	struct conflict end = { .copy = *file, .resolved_at = ap->now_us, .resolved_by = ap->run->c->device,
		.resolution = RESOLVED_COPY_GONE };
	bool ended;
	err_code rc = look_for_any(ap, err);

	if (rc || ap->conflicts == CONFLICTS_NONE)
		return rc;
	return meta_conflict_end(ap->tx, ap->run->project, &end, &ended, err);
}
