/*
 * What a pass does with what is here and not selected (selection.h): docs/protocol/ignore.md.
 *
 * U1  What is as it was agreed on goes.  Its base row is left out first, and recorded so, before the plan is carried out; then the file goes to the
 *     trash.  So at no moment is there a base row without a file, which would be a deletion to be sent.
 * U2  What has no base row, but is what the server has and is left out, goes as well: somebody died between the two steps of U1.
 * U3  All else stays and is a problem: an edit that was not sent, with its base row, so that it is an edit when it is selected again; and what is
 *     only here.  So stay the directories that it is in, and the ignore rules in them.
 */
#include "base/fault.h"
#include "base/path.h"
#include "client/pass_internal.h"

#define REASON "not_selected"

enum fate {
	FATE_OPEN, /* without a base row, until the server's is found to be the same */
	FATE_GOES,
	FATE_STAYS,
};

struct unselected {
	struct unselected *next;
	struct entry entry;
	enum fate fate;
};

static struct unselected *
add(struct gather *g, const struct entry *e, enum fate fate)
{
	struct unselected *u = arena_must(g->pass->arena, sizeof *u);

	*u = (struct unselected){ .entry = *keep(g->pass->arena, e), .fate = fate };
	*g->unselected_end = u;
	g->unselected_end = &u->next;
	return u;
}

/* U1 */
static err_code
found_known(struct gather *g, const struct entry *found, const struct entry *base, struct err *err)
{
	struct entry e = *found;
	enum agrees how = AGREES;
	err_code rc = ERR_OK;

	if (e.kind != ENTRY_DIR || base->kind != ENTRY_DIR) /* a directory has no content, and its time is of what is in it */
		rc = agrees(g, &e, base, &how, err);
	if (rc)
		return rc;
	if (how == DIFFERS) {
		add(g, &e, FATE_STAYS);
		add_problem(g->pass, e.path, REASON, "edited here and not sent; it stays as it is until it is selected again");
		return ERR_OK;
	}
	add(g, &e, FATE_GOES);
	if (!FAULT("client.deselect_deletes"))
		left_out_leaves(&g->left_out, base);
	return ERR_OK;
}

err_code
found_unselected(struct gather *g, const struct entry *e, const struct entry *base, struct err *err)
{
	if (is_held(g, e->path)) {
		g->pass->held_back++;
		add(g, e, FATE_STAYS);
		return ERR_OK;
	}
	if (is_frozen(g, e->path)) {
		add(g, e, FATE_STAYS);
		return ERR_OK;
	}
	if (base)
		return found_known(g, e, base, err);
	add(g, e, FATE_OPEN);
	g->candidates++;
	return ERR_OK;
}

/* ---- what has no base row (U2) --------------------------------------------------------------------------------------------------- */

static void
index_candidates(struct gather *g)
{
	if (g->by_path || g->candidates == 0)
		return;
	g->by_path = map_new();
	for (struct unselected *u = g->unselected; u; u = u->next)
		if (u->fate == FATE_OPEN)
			map_put(g->by_path, u->entry.path, strlen(u->entry.path), u);
}

err_code
match_unselected(struct gather *g, const struct entry *remote, struct err *err)
{
	struct unselected *u;
	struct entry *e;
	bool same;
	err_code rc = ERR_OK;

	index_candidates(g);
	u = g->by_path ? map_get(g->by_path, remote->path, strlen(remote->path)) : NULL;
	if (!u || u->entry.kind != remote->kind)
		return ERR_OK;
	e = &u->entry;
	e->mode = entry_mode_through(remote->mode, e->mode, g->mask);
	if (e->kind == ENTRY_DIR)
		same = true;
	else if (e->kind == ENTRY_LINK)
		same = entry_same_content(e, remote);
	else if (e->size != remote->size || !entry_same_meta(e, remote))
		same = false;
	else
		rc = same_bytes_as(g, e, remote, &same, err);
	if (rc == ERR_OK && same)
		u->fate = FATE_GOES;
	return rc;
}

static err_code
match_left_out(void *ctx, const struct entry *e, struct err *err)
{
	return match_unselected(ctx, e, err);
}

/* ---- what stays (U3) ------------------------------------------------------------------------------------------------------------- */

/* Something stays in these directories. */
static void
mark_above(struct map *holds, const char *path, size_t len)
{
	while (len > 0) {
		while (len > 0 && path[len - 1] != '/')
			len--;
		len -= len > 0;
		if (len > 0 && map_put(holds, path, len, holds))
			return;
	}
}

static void
mark_above_all(struct map *holds, const struct map *paths)
{
	size_t pos = 0, len;
	const void *key;
	void *value;

	while (map_next(paths, &pos, &key, &len, &value))
		mark_above(holds, key, len);
}

static bool
is_in(const struct map *dirs, const char *path, size_t len)
{
	return len > 0 && map_get(dirs, path, len);
}

/* Whether it is a file of rules of a directory that stays. */
static bool
is_rules_of(const struct map *holds, const char *path)
{
	size_t len;

	path_split(path, &len);
	return ignore_is_file(path) && is_in(holds, path, len);
}

static void
mark_what_stays(struct gather *g, struct map *holds)
{
	mark_above_all(holds, g->ignored);
	mark_above_all(holds, g->frozen);
	for (const struct unselected *u = g->unselected; u; u = u->next)
		if (u->fate != FATE_GOES)
			mark_above(holds, u->entry.path, strlen(u->entry.path));
}

/* What is only here: said, unless it is a directory of such, or the server may still be about to tell of it. */
static void
stays_open(struct gather *g, struct unselected *u, const struct map *holds)
{
	const char *path = u->entry.path;

	u->fate = FATE_STAYS;
	if (!is_in(holds, path, strlen(path)) && g->pass->deferred.entries == 0)
		add_problem(g->pass, path, REASON, "only here, where nothing is selected; it is not sent");
}

static void
settle(struct gather *g, const struct map *holds)
{
	for (struct unselected *u = g->unselected; u; u = u->next) {
		const char *path = u->entry.path;

		if (u->fate == FATE_OPEN)
			stays_open(g, u, holds);
		else if (u->fate == FATE_GOES && (is_rules_of(holds, path) || (u->entry.kind == ENTRY_DIR && is_in(holds, path, strlen(path)))))
			u->fate = FATE_STAYS;
		if (u->fate == FATE_STAYS)
			map_put(g->ignored, path, strlen(path), NOT_SELECTED);
	}
}

err_code
gather_unselected(struct gather *g, struct err *err)
{
	AUTO(map_freep) struct map *holds = NULL;
	err_code rc = ERR_OK;

	if (!g->unselected)
		return ERR_OK;
	index_candidates(g);
	if (g->by_path && g->totals.left_out > 0)
		rc = state_left_out_each(g->folder->state, match_left_out, g, err);
	map_free(g->by_path);
	g->by_path = NULL;
	if (rc)
		return rc;
	holds = map_new();
	mark_what_stays(g, holds);
	settle(g, holds);
	return ERR_OK;
}

/* Backwards: what is in a directory before the directory. */
void
plan_drops(struct gather *g)
{
	struct plan *plan = &g->pass->plan;
	size_t drops = 0, at;
	struct plan_op *ops;

	for (const struct unselected *u = g->unselected; u; u = u->next)
		drops += u->fate == FATE_GOES;
	if (drops == 0)
		return;
	at = plan->n + drops;
	ops = arena_must(g->pass->arena, at * sizeof *ops);
	if (plan->n)
		memcpy(ops, plan->ops, plan->n * sizeof *ops);
	for (const struct unselected *u = g->unselected; u; u = u->next)
		if (u->fate == FATE_GOES)
			ops[--at] = (struct plan_op){ .act = ACT_DROP, .path = u->entry.path, .local = &u->entry, .reason = "not selected here" };
	plan->ops = ops;
	plan->n += drops;
}
