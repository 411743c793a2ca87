#pragma once
/**
 * Who is calling, and what they may do: one function decides, called by the router for every request (I12).
 */

#include "server/domain/domain.h"

enum access { ACCESS_ANYONE, ACCESS_DEVICE, ACCESS_OWNER, ACCESS_READER, ACCESS_WRITER };

struct caller {
	struct device device; /* zero for ACCESS_ANYONE */
	enum role role;       /* in the project asked for; an owner is a writer everywhere */
	struct project project; /* the one asked for, as it was when this was decided; zero without one */
};

/**
 * access_check(d, token, need, project, a, out, err): is ${token} (NULL: none was sent) good for ${need} on ${project} (NULL where the
 * route has none)?
 * Errors     AUTH_REQUIRED, TOKEN_INVALID, TOKEN_REVOKED; NOT_FOUND when the caller may not even know of the project, which is
 *            exactly what a project that does not exist gives; FORBIDDEN when it is known but the role is too small.
 */
err_code access_check(struct domain *d, const char *token, enum access need, const struct id *project, struct arena *a,
    struct caller *out, struct err *err);

/** access_check_known(d, device, …): the same for a device that has shown its token before, and comes with what it was given for it. */
err_code access_check_known(struct domain *d, const struct id *device, enum access need, const struct id *project, struct arena *a,
    struct caller *out, struct err *err);

/**
 * access_again(d, device, project, out, err): may a device that was let in still read the project, and where is that?  ${project} NULL: is it
 * still good at all?  The name is left out of *out.
 * Errors     TOKEN_REVOKED; NOT_FOUND as in access_check, and when the device is gone.
 */
err_code access_again(struct domain *d, const struct id *device, const struct id *project, struct project *out, struct err *err);

/** device_create(d, name, kind, project, role, token_hash, …): ${project} NULL with DEVICE_OWNER. */
err_code device_create(struct domain *d, const char *name, enum device_kind kind, const struct id *project, enum role role,
    const struct hash *token_hash, struct idem *idem, struct arena *a, struct device *out, struct err *err);
/** How much of the project a device does not have yet. */
struct device_lag {
	bool known;       /* false: it has no place, or one of another history; or there are too many devices to count for */
	unsigned changes; /* files whose present state it lacks: LAG_CHANGES_MAX means so many or more */
	int64_t since;    /* when the first of them came about: microseconds; 0: there is none */
};
/** ${lags}: one for each device; NULL: not asked for.  Costs LAG_ROWS_MAX rows at most, and nothing for a device that is in step. */
err_code device_list(struct domain *d, const struct id *project, struct arena *a, struct device_row **out, struct device_lag **lags,
    size_t *n, struct project *project_out, struct err *err);
/** NOT_FOUND unless the device has a grant for the project. */
err_code device_revoke(struct domain *d, const struct id *project, const struct id *device, struct err *err);
