/*
 * What directories count beneath them, kept in the commit's own transaction.
 *
 * A change is noted once, at the directory that it happened in, and means that one and all above it.  Before the transaction ends what
 * was noted goes up from the deepest directory: written into its row, and added to what its parent has.  So a batch costs one update
 * for each directory above anything that it touched, however many files it brings.
 *
 *   C1  What is noted at a path means the directory that is there now.  One that goes (it is empty then) hands what was noted to its
 *       parent first, so a later one of that name starts with nothing.
 *   C2  Counts are in the directory's row and move with it.  Before a directory moves everything is written, so its row says what it
 *       takes away from those above its old place and brings to those above the new one; of what lies beneath nothing is noted.
 */
#include <assert.h>

#include "base/fault.h"
#include "server/domain/commit_internal.h"

#define COUNTS_HELD_MAX (1 * MIB) /* of paths that are noted and not written yet */

struct counts {
	struct map *at[PATH_DEPTH_MAX + 1]; /* by depth: path -> struct beneath; NULL while there is none */
	size_t bytes;
};

struct counts *
counts_new(void)
{
	return xcalloc(1, sizeof(struct counts));
}

static void
level_free(struct map **level)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(*level, &pos, &key, &len, &value))
		free(value);
	map_free(TAKE(*level));
}

void
counts_free(struct counts *c)
{
	for (size_t i = 0; c && i < ARRAY_LEN(c->at); i++)
		if (c->at[i])
			level_free(&c->at[i]);
	free(c);
}

static size_t
depth_of(const char *path, size_t len)
{
	size_t depth = 1;

	for (size_t i = 0; i < len; i++)
		depth += path[i] == '/';
	assert(depth <= PATH_DEPTH_MAX); /* stored paths are checked ones */
	return depth;
}

static size_t
parent_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

static void
note(struct counts *c, const char *dir, size_t len, const struct beneath *delta)
{
	struct map **level;
	struct beneath *sum;

	if (len == 0)
		return; /* the top is the project, which has sums of its own */
	level = &c->at[depth_of(dir, len)];
	if (!*level)
		*level = map_new();
	sum = map_get(*level, dir, len);
	if (!sum) {
		sum = xcalloc(1, sizeof *sum);
		map_put(*level, dir, len, sum);
		c->bytes += len + sizeof *sum;
	}
	sum->files += delta->files;
	sum->dirs += delta->dirs;
	sum->bytes += delta->bytes;
}

static err_code
write_one(struct apply *ap, const char *dir, size_t len, const struct beneath *delta, struct err *err)
{
	char path[FILE_PATH_MAX];
	err_code rc;

	if (delta->files == 0 && delta->dirs == 0 && delta->bytes == 0)
		return ERR_OK;
	assert(len < sizeof path);
	memcpy(path, dir, len);
	path[len] = '\0';
	rc = meta_file_counts(ap->tx, ap->run->project, path, delta, err);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_INTERNAL, "%s, in which something has changed, is not there", path);
	if (!rc)
		note(ap->counts, path, parent_len(path, len), delta);
	return rc;
}

err_code
counts_write(struct apply *ap, struct err *err)
{
	struct counts *c = ap->counts;
	err_code rc = ERR_OK;

	for (size_t depth = PATH_DEPTH_MAX; !rc && depth > 0; depth--) {
		size_t pos = 0, len;
		const void *dir;
		void *delta;

		while (!rc && c->at[depth] && map_next(c->at[depth], &pos, &dir, &len, &delta))
			rc = write_one(ap, dir, len, delta, err);
		if (c->at[depth])
			level_free(&c->at[depth]);
	}
	c->bytes = 0;
	return rc ? err_wrap(err, "count what lies beneath") : ERR_OK;
}

static void
note_entry(struct counts *c, const struct file *f, int sign)
{
	struct beneath one = { .files = sign * (f->kind != KIND_DIR), .dirs = sign * (f->kind == KIND_DIR), .bytes = sign * f->size };

	note(c, f->dir, strlen(f->dir), &one);
}

/* C1.  ${dir} has become a tombstone. */
static void
hand_up(struct counts *c, const struct file *dir)
{
	char path[FILE_PATH_MAX];
	size_t len = strlen(file_path(dir, path));
	struct map *level = c->at[depth_of(path, len)];
	struct beneath *sum = level ? map_remove(level, path, len) : NULL;

	if (sum && !FAULT("domain.counts_not_handed_up"))
		note(c, dir->dir, strlen(dir->dir), sum);
	free(sum);
}

err_code
counts_change(struct apply *ap, const struct file *before, const struct file *after, struct err *err)
{
	if (before && !before->deleted_at)
		note_entry(ap->counts, before, -1);
	if (!after->deleted_at)
		note_entry(ap->counts, after, 1);
	else if (after->kind == KIND_DIR)
		hand_up(ap->counts, after);
	return ap->counts->bytes > COUNTS_HELD_MAX ? counts_write(ap, err) : ERR_OK;
}

err_code
counts_move(struct apply *ap, const struct file *before, const struct file *after, struct err *err)
{
	struct beneath there, gone;
	struct file row;
	err_code rc = counts_write(ap, err);

	if (!rc)
		rc = meta_file_get(ap->tx, ap->run->project, &before->id, &row, err);
	if (rc)
		return rc;
	there = row.beneath;
	gone = (struct beneath){ -there.files, -there.dirs, -there.bytes };
	if (FAULT("domain.move_not_counted"))
		return ERR_OK;
	note(ap->counts, before->dir, strlen(before->dir), &gone);
	note(ap->counts, after->dir, strlen(after->dir), &there);
	return ERR_OK;
}
