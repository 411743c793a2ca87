#pragma once
/**
 * Conflicts: two edits of one base, of which one kept the file's name and the other became a copy under a name of its own.  The put that
 * brings the copy says so (struct op) and the conflict is written down in its commit; it is named by its copy.  A commit that deletes the
 * copy ends it (RESOLVED_COPY_GONE).  Both files go on as files: a rename follows the id, an edit is a version.
 */

#include "server/domain/domain.h"

/** A conflict with both its files as they are now, tombstones where they were deleted. */
struct conflict_view {
	struct conflict c;
	struct file file, copy;
	const char *device_name, *resolved_by_name; /* "" when not known any more, or nobody */
};

/** conflict_list: those that came after ${after} (0: from the first), in the order in which they came; *epoch: of the project.  FIELD_RANGE (limit). */
err_code conflict_list(struct domain *d, const struct id *project, enum conflict_which which, int64_t after, unsigned limit,
    struct arena *a, struct conflict_view **out, size_t *n, bool *has_more, struct id *epoch, struct err *err);

/** What somebody wants done about one. */
struct resolve {
	struct id copy;
	enum resolution keep;          /* CURRENT, COPY, BOTH or MERGED */
	int64_t version, copy_version; /* of the file and of its copy, as the caller has seen them */
	struct id device;              /* who asks */
	/* out, in the caller's arena */
	bool has_now;
	struct conflict_view now;      /* afterwards; of a refusal: as it is */
};

/**
 * conflict_resolve(d, project, r, idem, a, err):
 *
 *   CURRENT  the copy is deleted.
 *   COPY     what the copy holds becomes the file's next version and the copy is deleted.  Where that cannot be, because the file was
 *            deleted or is of another kind, or a directory, what is left of it is deleted and the copy moves to its path.
 *   BOTH     nothing but that: two files from now on.
 *   MERGED   the copy is deleted, if the file has got another content since the conflict.
 *
 * All of it or nothing, and nothing but versions of the two files: what is deleted or replaced stays in their histories.  Asking again for
 * what was done is ok and does nothing.
 *
 * Errors     NOT_FOUND (no such conflict); VERSION_CONFLICT (either file has another version; resolved otherwise by now; MERGED and nothing was);
 *            NOT_EMPTY (a directory with entries is not deleted); NAME_EXISTS, PARENT_MISSING, … (COPY: there is no place for it); IDEMPOTENCY_*.
 */
err_code conflict_resolve(struct domain *d, const struct id *project, struct resolve *r, struct idem *idem, struct arena *a,
    struct err *err);
