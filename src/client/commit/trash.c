/*
 * The trash: .dray/trash/2026-11-22/ has what was replaced or deleted that day, under its own path, so that people find it.  What was
 * replaced several times a day gets a number, then a random suffix; where yesterday's file is today's directory, "2026-11-22~2" goes on.
 */
#include "client/commit/apply_internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/rng.h"
#include "base/utf8.h"

#define DAYS_MAX 100  /* folders of one day: as many kinds as a name can have had */
#define NUMBERED_MAX 4
#define NAMES_MAX 64

static void
day_name(const struct apply *ap, unsigned generation, char out[static DAY_LEN + 8])
{
	if (generation == 0)
		snprintf(out, DAY_LEN + 8, "%s", ap->day);
	else
		snprintf(out, DAY_LEN + 8, "%s~%u", ap->day, generation + 1);
}

/* Make the directories above ${path}.  A file on the way shows when the next one is made in it. */
static err_code
make_parents(struct apply *ap, int day, const char *prefix, const char *path, struct err *err)
{
	char dir[PATH_LEN_MAX + 1];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		err_code rc;

		memcpy(dir, path, (size_t)(slash - path));
		dir[slash - path] = '\0';
		rc = pathat_mkdir(day, dir, 0700, err);
		if (rc == ERR_OK)
			touch_dir(ap, prefix, dir);
		else if (rc != ERR_EXISTS)
			return rc;
	}
	return ERR_OK;
}

static err_code
slot_parent(struct apply *ap, int day, const char *prefix, const char *path, struct place *out, struct err *err)
{
	err_code rc = pathat_parent(day, path, &out->dir, &out->name, err);

	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = make_parents(ap, day, prefix, path, err);
	return rc ? rc : pathat_parent(day, path, &out->dir, &out->name, err);
}

static void
slot_name(const char *name, unsigned attempt, char out[static NAME_LEN_MAX + 1])
{
	char suffix[16] = "";
	size_t len;

	if (attempt >= NUMBERED_MAX)
		snprintf(suffix, sizeof suffix, "~%08x", (unsigned)rng_u64());
	else if (attempt > 0)
		snprintf(suffix, sizeof suffix, "~%u", attempt + 1);
	len = utf8_cut(name, strlen(name), NAME_LEN_MAX - strlen(suffix));
	snprintf(out, NAME_LEN_MAX + 1, "%.*s%s", (int)len, name, suffix);
}

/* ERR_EXISTS: every name that was tried is taken, or a parent is a file: go on in another folder. */
static err_code
take_in_day(struct apply *ap, const struct place *from, const char *path, unsigned generation, struct slot *slot, struct err *err)
{
	AUTO(closep) int day = -1;
	char name[DAY_LEN + 8], prefix[DAY_LEN + 32];
	err_code rc;

	day_name(ap, generation, name);
	snprintf(prefix, sizeof prefix, ".dray/trash/%s/", name);
	rc = pathat_mkdir(ap->trash, name, 0700, err);
	if (rc == ERR_OK)
		touch_dir(ap, ".dray/trash", "");
	else if (rc != ERR_EXISTS)
		return rc;
	rc = pathat_open(ap->trash, name, O_PATH | O_DIRECTORY, 0, &day, err);
	if (!rc)
		rc = slot_parent(ap, day, prefix, path, &slot->at, err);
	if (rc)
		return rc == ERR_PARENT_NOT_DIRECTORY ? ERR_EXISTS : rc;
	for (unsigned attempt = 0; attempt < NAMES_MAX; attempt++) {
		slot_name(slot->at.name, attempt, slot->name);
		if (renameat2(from->dir, from->name, slot->at.dir, slot->name, RENAME_NOREPLACE) == 0) {
			slot->at.name = slot->name;
			snprintf(slot->day, sizeof slot->day, "%s", name);
			touch_dir(ap, prefix, path);
			return ERR_OK;
		}
		if (errno != EEXIST)
			return err_errno(err, "move %s to the trash", path);
	}
	return err_set(err, ERR_EXISTS, "no free name for %s in the trash", path);
}

err_code
trash_take(struct apply *ap, const struct place *from, const char *path, struct slot *slot, struct err *err)
{
	err_code rc = ERR_EXISTS;

	for (unsigned generation = 0; generation < DAYS_MAX && rc == ERR_EXISTS; generation++) {
		place_fini(&slot->at);
		rc = take_in_day(ap, from, path, generation, slot, err);
	}
	return rc == ERR_EXISTS ? err_set(err, ERR_IO, "no free name for %s in the trash", path) : rc;
}

/* ---- deleting --------------------------------------------------------------------------------------------------------- */

/* A directory is removed and not moved: only that fails, in one step with the look, when something has appeared in it. */
static err_code
delete_dir(const struct place *at, const char *path, struct err *err)
{
	if (unlinkat(at->dir, at->name, AT_REMOVEDIR) == 0)
		return ERR_OK;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return err_set(err, ERR_NOT_EMPTY, "directory %s is not empty", path);
	if (errno == ENOENT || errno == ENOTDIR)
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed meanwhile", path);
	return err_errno(err, "remove directory %s", path);
}

/* A file that is new elsewhere in the tree, or somebody's rename that nobody could see as one, may have the same blocks. */
static void
remember(struct apply *ap, const struct entry *gone, const struct slot *slot)
{
	char path[PATH_LEN_MAX + 64];
	const char *slash = strrchr(gone->path, '/');
	int dir_len = slash ? (int)(slash + 1 - gone->path) : 0;

	if (!gone->content_known || gone->size == 0)
		return;
	snprintf(path, sizeof path, ".dray/trash/%s/%.*s%s", slot->day, dir_len, gone->path, slot->name);
	free(map_put(ap->trashed, gone->content.b, sizeof gone->content.b, xstrdup(path)));
}

static err_code
delete_file(struct apply *ap, const struct place *at, const struct entry *expect, struct err *err)
{
	struct slot slot = { .at.dir = -1 };
	struct stat st;
	err_code rc = trash_take(ap, at, expect->path, &slot, err);

	if (rc == ERR_OK)
		rc = place_stat(&slot.at, expect->path, &st, err);
	if (rc == ERR_OK && !place_is(&slot.at, &st, expect) && !FAULT("client.no_exchange_check")) {
		/* A3.  If the name has been taken again by now, what we hold stays in the trash: it is somebody's older version. */
		(void)!renameat2(slot.at.dir, slot.at.name, at->dir, at->name, RENAME_NOREPLACE);
		rc = err_set(err, ERR_VERSION_CONFLICT, "%s changed while it was deleted", expect->path);
	}
	if (rc == ERR_OK)
		remember(ap, expect, &slot);
	place_fini(&slot.at);
	return rc;
}

err_code
apply_delete(struct apply *ap, const struct entry *expect, struct err *err)
{
	AUTO(place_fini) struct place at = { .dir = -1 };
	struct stat st;
	err_code rc = apply_ready(ap, err);

	if (rc == ERR_OK)
		rc = place_open(ap, expect->path, &at, err);
	/* Gone already: repeated after a crash, or the user was faster. */
	if (rc == ERR_NOT_FOUND || (rc == ERR_OK && fstatat(at.dir, at.name, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT))
		return ERR_OK;
	if (rc == ERR_OK)
		rc = place_expect(&at, expect->path, expect, &st, err);
	if (rc)
		return rc;
	touch_dir(ap, "", expect->path);
	return expect->kind == ENTRY_DIR ? delete_dir(&at, expect->path, err) : delete_file(ap, &at, expect, err);
}
