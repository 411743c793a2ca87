#pragma once
/**
 * What a file has been: its kept versions, and which of them go in the course of time.
 */

#include "server/domain/domain.h"

/** A state that a file has had, and the name of the device that made it. */
struct kept_version {
	struct version v;
	const char *changed_by_name;
};

/**
 * history_list: versions older than ${before} (INT64_MAX: from the present one), newest first; also of a deleted file, whose newest is
 * the tombstone.  A page costs the same wherever it is.
 * Errors     NOT_FOUND (no such file), FIELD_RANGE (limit).
 */
err_code history_list(struct domain *d, const struct id *project, const struct id *file, int64_t before, unsigned limit,
    struct arena *a, struct kept_version **out, size_t *n, bool *has_more, struct err *err);

/**
 * history_file: the file as it was at ${version}, which must be one of its own, kept, and not a tombstone (NOT_FOUND).  The present
 * version is one of them.
 */
err_code history_file(struct domain *d, const struct id *project, const struct id *file, int64_t version, struct arena *a,
    struct file *out, struct err *err);

/**
 * history_prune(d, now_us, err): remove versions that their project's policy does not keep: those beyond keep_versions, unless they
 * were replaced less than KEEP_ALWAYS_US ago, and those that were replaced more than keep_days ago.  Never the present version, nor
 * the newest one before a tombstone unless by age.  A call does a bounded piece of work and the next goes on from there: call it
 * every minute.  One thread at a time.
 */
err_code history_prune(struct domain *d, int64_t now_us, struct err *err);
