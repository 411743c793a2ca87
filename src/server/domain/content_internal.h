#pragma once
/** What writing and deleting by path share: a condition on what is there, and one operation committed on it. */

#include "server/domain/content.h"
#include "server/domain/domain_internal.h"
#include "server/domain/tree.h"

/**
 * content_look(d, project, path, condition, version, put, exists, version_now, err): what is at ${path} now, and whether that is in
 * the state that the caller asks for; with ${put}, also whether a file could be put there.
 * Errors     PRECONDITION_FAILED; with ${put} NAME_EXISTS (a directory is there), PARENT_NOT_DIRECTORY.
 */
err_code content_look(struct domain *d, const struct id *project, const char *path, enum content_condition condition,
    int64_t version, bool put, bool *exists, int64_t *version_now, struct err *err);
err_code content_commit(struct domain *d, const struct id *project, const struct id *device, const struct op *op,
    bool allow_mass_delete, struct arena *a, struct op_result *r, struct err *err);
/** content_raced(r): somebody changed the file between the look and the commit. */
bool content_raced(const struct op_result *r);
/** content_settle(r, condition, err): the result of an operation as an error, if it is one. */
err_code content_settle(const struct op_result *r, enum content_condition condition, struct err *err);
