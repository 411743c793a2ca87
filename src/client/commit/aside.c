/*
 * Changing a name, and moving out of the way what is in conflict.
 */
#include "client/commit/apply_internal.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fault.h"

#define ASIDE_TRIES 10000 /* conflict copies of one name in one second */

/* A3, for a rename within the tree.  Whatever came along is still in the tree, so it need not go back where that is not possible. */
static err_code
check_moved(const struct place *from, const struct place *to, const char *path, const struct entry *expect, struct stat *st,
    struct err *err)
{
	err_code rc = place_stat(to, path, st, err);

	if (rc || place_is(to, st, expect) || FAULT("client.no_exchange_check"))
		return rc;
	(void)!renameat2(to->dir, to->name, from->dir, from->name, RENAME_NOREPLACE);
	return err_set(err, ERR_VERSION_CONFLICT, "%s changed while it was renamed", path);
}

err_code
apply_move(struct apply *ap, const char *from, const char *to, const struct entry *expect, struct entry *installed, struct err *err)
{
	AUTO(place_fini) struct place src = { .dir = -1 };
	AUTO(place_fini) struct place dst = { .dir = -1 };
	struct stat st;
	int64_t looked_ns;
	err_code rc = apply_ready(ap, err);

	if (rc == ERR_OK)
		rc = place_open(ap, from, &src, err);
	if (rc == ERR_OK)
		rc = place_open(ap, to, &dst, err);
	looked_ns = clock_wall_ns();
	if (rc == ERR_OK)
		rc = place_expect(&src, from, expect, &st, err);
	if (rc)
		return rc;
	if (renameat2(src.dir, src.name, dst.dir, dst.name, RENAME_NOREPLACE))
		return errno == EEXIST ? err_set(err, ERR_VERSION_CONFLICT, "%s exists by now", to) :
		                         err_errno(err, "rename %s to %s", from, to);
	touch_dir(ap, "", from);
	touch_dir(ap, "", to);
	rc = check_moved(&src, &dst, from, expect, &st, err);
	if (rc)
		return rc;
	installed_anew(expect, &st, looked_ns, installed);
	installed->path = to;
	return ERR_OK;
}

/* The first conflict name that nobody has. */
static err_code
rename_aside(struct apply *ap, const struct place *src, const char *path, const char *device, int64_t time_us, char *to,
    struct place *dst, struct err *err)
{
	for (unsigned attempt = 0; attempt < ASIDE_TRIES; attempt++) {
		unsigned flags = FAULT("client.conflict_overwrites") ? 0 : RENAME_NOREPLACE;
		const char *slash;

		conflict_name(path, device, time_us, attempt ? attempt + 1 : 0, to);
		slash = strrchr(to, '/');
		*dst = (struct place){ .dir = src->dir, .name = slash ? slash + 1 : to };
		if (renameat2(src->dir, src->name, dst->dir, dst->name, flags) == 0) {
			touch_dir(ap, "", path);
			return ERR_OK;
		}
		if (errno != EEXIST)
			return err_errno(err, "rename %s to %s", path, to);
	}
	return err_set(err, ERR_IO, "no free conflict name for %s", path);
}

err_code
apply_aside(struct apply *ap, const char *path, const struct entry *expect, const char *device, int64_t time_us, char *to,
    struct err *err)
{
	AUTO(place_fini) struct place src = { .dir = -1 };
	struct place dst; /* in the same directory: shares its descriptor */
	struct stat st;
	err_code rc = apply_ready(ap, err);

	if (rc == ERR_OK)
		rc = place_open(ap, path, &src, err);
	if (rc == ERR_OK)
		rc = place_expect(&src, path, expect, &st, err);
	if (rc == ERR_OK)
		rc = rename_aside(ap, &src, path, device, time_us, to, &dst, err);
	return rc ? rc : check_moved(&src, &dst, path, expect, &st, err);
}
