/*
 * What a pass does with names that are ignored, or not selected here: docs/protocol/ignore.md.
 */
#include "base/path.h"
#include "client/pass_internal.h"

void
on_ignored(void *ctx, const char *path, bool dir)
{
	struct gather *g = ctx;

	(void)dir;
	map_put(g->ignored, path, strlen(path), g);
}

bool
is_left_out(const struct gather *g, const struct entry *e)
{
	return ignore_path(g->ignore, e->path, e->kind == ENTRY_DIR) || !selection_keeps(g->selection, e->path);
}

/* Which names of its directory are ignored is not known: all of it is left alone, but a file of rules there, which may be a better one. */
void
freeze_dir_of(struct gather *g, const char *rules_path)
{
	AUTO(freep) char *dir = xstrdup(rules_path);
	size_t len;

	path_split(rules_path, &len);
	dir[len] = '\0';
	freeze(g, &(struct scan_problem){ .path = dir, .reason = "ignore_rules", .subtree = true, .rules = true });
}

/* Rules that are being written are nobody's rules yet. */
void
freeze_held_rules(struct gather *g)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (g->opts->held && map_next(g->opts->held, &pos, &key, &len, &value)) {
		AUTO(freep) char *path = xcalloc(len + 1, 1);

		memcpy(path, key, len);
		if (!ignore_is_file(path))
			continue;
		freeze_dir_of(g, path);
		g->pass->held_back++;
	}
}

/*
 * A name that is ignored as one kind of thing, on one side, and is another kind and not ignored on the other ("x/" ignores directories only):
 * neither can take the place of the other.
 */
static void
freeze_meeting(struct gather *g, const char *path)
{
	freeze(g, &(struct scan_problem){ .path = path, .reason = "ignored_in_part", .subtree = true });
	add_problem(g->pass, path, "ignored_in_part", "ignored on one side, where it is a directory or is none, and not on the other");
}

static bool
has_row(const struct gather *g, const char *path, size_t len)
{
	return map_get(g->rows, path, len) != NULL;
}

/* An ignored name matters to the plan where something is about to happen to the directory that it is in. */
static bool
is_beside_a_row(const struct gather *g, const char *path)
{
	size_t dir_len;

	path_split(path, &dir_len);
	return dir_len > 0 && has_row(g, path, dir_len);
}

static const struct entry is_there; /* of a side that nobody looks at */

static err_code
add_left_out(void *ctx, const struct entry *e, struct err *err)
{
	struct gather *g = ctx;
	struct row *row = map_get(g->rows, e->path, strlen(e->path));

	(void)err;
	if (row && !row->item.ignored) {
		freeze_meeting(g, e->path);
	} else if (row || is_beside_a_row(g, e->path)) {
		row = row_at(g, e->path);
		row->remote_set = row->local_set = row->item.ignored = true;
		row->item.remote = &is_there;
	}
	return ERR_OK;
}

static void
add_ignored(struct gather *g)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(g->ignored, &pos, &key, &len, &value)) {
		const char *path = arena_strndup(g->pass->arena, key, len);
		struct row *row = map_get(g->rows, path, len);

		if (value != NOT_SELECTED)
			g->pass->ignored[g->pass->ignored_count++] = path;
		if (row) {
			freeze_meeting(g, path);
		} else if (is_beside_a_row(g, path)) {
			row = row_at(g, path);
			row->remote_set = row->local_set = row->item.ignored = true;
			row->item.local = &is_there;
		}
	}
}

err_code
gather_ignored(struct gather *g, struct err *err)
{
	g->pass->ignored = arena_must(g->pass->arena, (map_count(g->ignored) + 1) * sizeof *g->pass->ignored);
	add_ignored(g);
	qsort(g->pass->ignored, g->pass->ignored_count, sizeof *g->pass->ignored, path_ptr_cmp);
	return g->totals.left_out > 0 && map_count(g->rows) > 0 ? state_left_out_each(g->folder->state, add_left_out, g, err) : ERR_OK;
}

/* What is not to be left out any more is pending like anything else, so the look that has begun without it begins again. */
err_code
review_left_out(struct gather *g, struct err *err)
{
	err_code rc;

	if (!g->opts->carried_out)
		left_out_forget(&g->left_out); /* what was agreed on is only forgotten by a sync */
	rc = g->totals.left_out > 0 ? left_out_review(&g->left_out, err) : ERR_OK;
	return rc ? rc : left_out_record(&g->left_out, err);
}
