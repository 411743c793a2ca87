/*
 * The local side of a pass: what the scan finds, beside the base rows, which are walked in step with it.
 */
#include "base/fault.h"
#include "client/pass_internal.h"

/* ---- what is not to be concluded from --------------------------------------------------------------------------------------------- */

/* A part of the tree that could not be read is not "absent": nothing is concluded about it (I9). */
bool
is_frozen(const struct gather *g, const char *path)
{
	size_t len = strlen(path);

	if (map_count(g->frozen) == 0 || FAULT("client.unseen_is_gone"))
		return false;
	if (map_get(g->frozen, path, len))
		return true;
	if (!g->frozen_subtrees)
		return false;
	while (len > 0) {
		const struct scan_problem *p;

		while (len > 0 && path[len - 1] != '/')
			len--;
		len -= len > 0;
		p = map_get(g->frozen, path, len);
		if (p && p->subtree)
			return !(p->rules && strcmp(path + len + (len > 0), IGNORE_FILE) == 0);
	}
	return false;
}

void
freeze(struct gather *g, const struct scan_problem *problem)
{
	struct scan_problem *copy = arena_must(g->pass->arena, sizeof *copy);

	*copy = *problem;
	copy->path = arena_strdup(g->pass->arena, problem->path);
	map_put(g->frozen, copy->path, strlen(copy->path), copy);
	g->frozen_subtrees |= problem->subtree;
}

static void
on_problem(void *ctx, const struct scan_problem *problem)
{
	struct gather *g = ctx;

	if (problem->rules) {
		freeze_dir_of(g, problem->path);
		add_problem(g->pass, problem->path, problem->reason, "nothing beside and beneath it was looked at");
		return;
	}
	freeze(g, problem);
	add_problem(g->pass, problem->path, problem->reason, problem->subtree ? "nothing beneath it was looked at" : "");
}

bool
is_held(const struct gather *g, const char *path)
{
	return g->opts->held && map_get(g->opts->held, path, strlen(path));
}

/* A file that is being written: what is there now is nobody's version.  Where its directory was renamed, it is not gone from the old name. */
static void
note_held(struct gather *g, const struct entry *e)
{
	if (is_held(g, e->path))
		map_put(g->held_inodes, &e->ino, sizeof e->ino, g);
}

/* Whether the row is about a file that is being written, under this name or under the one that it had. */
bool
is_held_row(const struct gather *g, const struct row *row)
{
	const struct entry *base = row->item.base;

	if (is_held(g, row->item.path))
		return true;
	return base && !row->item.local && map_get(g->held_inodes, &base->ino, sizeof base->ino);
}

static err_code
next_base(struct gather *g, struct err *err)
{
	err_code rc = state_walk_next(g->walk, &g->base, err);

	if (rc == ERR_OK && g->base)
		g->pass->known++;
	return rc;
}

/* Base rows that the scan has passed without finding them are gone from the disk. */
static err_code
base_until(struct gather *g, const char *path, struct err *err)
{
	while (g->base && (!path || path_cmp(g->base->path, path) < 0)) {
		if (is_frozen(g, g->base->path)) {
			/* nothing is known of it */
		} else if (is_left_out(g, g->base) && !FAULT("client.ignore_deletes") && !FAULT("client.deselect_deletes")) {
			left_out_leaves(&g->left_out, g->base);
		} else {
			struct row *row = row_at(g, g->base->path);
			row->item.base = keep_in(g, row, g->base);
			row->local_set = true;
		}
		err_code rc = next_base(g, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* Touched, but size and time say nothing: look at the bytes.  Makes ${e} the entry with known content. */
err_code
look(struct gather *g, struct entry *e, struct err *err)
{
	struct entry hashed;
	err_code rc = scan_hash(g->folder->root, e, g->now_ns, g->opts->cancel, &hashed, err);

	if (rc == ERR_OK) {
		hashed.path = e->path;
		hashed.target = "";
		*e = hashed;
		return ERR_OK;
	}
	if (rc == ERR_BUSY || rc == ERR_NOT_FOUND || rc == ERR_DENIED)
		return ERR_OK; /* stays unknown: taken for edited; sending it will say what is wrong */
	return rc;
}

struct layout_env
layout_of(const struct gather *g)
{
	return (struct layout_env){ .root = g->folder->root, .state = g->folder->state, .remote = g->opts->remote, .cancel = g->opts->cancel };
}

/* Whether the bytes of ${e} are those of ${other}, cut in another way; then its content is called what that calls it. */
err_code
relaid(const struct gather *g, struct entry *e, const struct entry *other, bool *same, struct err *err)
{
	struct layout_env env = layout_of(g);
	err_code rc;

	*same = false;
	if (!other || !e->content_known || entry_same_content(e, other))
		return ERR_OK;
	rc = layout_same(&env, e, other, same, err);
	if (*same)
		e->content = other->content;
	return rc;
}

/* A version that was agreed on, and of which nobody has the list any more: then what is here is called an edit of it. */
err_code
relaid_base(const struct gather *g, struct entry *e, const struct entry *base, struct err *err)
{
	bool same;
	err_code rc = relaid(g, e, base, &same, err);

	return rc == ERR_VERSION_CONFLICT ? ERR_OK : rc;
}

/*
 * Nothing has touched the file, by its stat.  Do its bytes say so too?  When they do not, a disk or a program that sets times has changed
 * them: nobody's edit, so nothing is planned for it.
 */
static err_code
verify(struct gather *g, const struct entry *found, const struct entry *base, struct err *err)
{
	struct entry e = *found;
	err_code rc = look(g, &e, err);

	if (rc)
		return rc;
	if (!e.content_known) {
		add_problem(g->pass, e.path, "unverified", "it could not be read, or changes");
		return ERR_OK;
	}
	rc = relaid_base(g, &e, base, err);
	if (rc)
		return rc;
	if (!entry_same_content(&e, base)) {
		add_problem(g->pass, e.path, "content_differs", "its bytes are not the agreed ones, though its size and times are");
		return ERR_OK;
	}
	g->pass->verified++;
	g->pass->verified_bytes += (uint64_t)e.size;
	return ERR_OK;
}

err_code
agrees(struct gather *g, struct entry *e, const struct entry *base, enum agrees *out, struct err *err)
{
	err_code rc;

	*out = DIFFERS;
	if (e->kind != base->kind)
		return ERR_OK;
	e->mode = entry_mode_through(base->mode, e->mode, g->mask);
	if (entry_same_meta(e, base) && (e->kind == ENTRY_FILE ? entry_same_disk(e, base) : entry_same_content(e, base))) {
		*out = AGREES;
		return ERR_OK;
	}
	if (e->kind != ENTRY_FILE || e->size != base->size || e->mtime_ns != base->mtime_ns)
		return ERR_OK;
	rc = look(g, e, err);
	if (rc == ERR_OK)
		rc = relaid_base(g, e, base, err);
	if (rc == ERR_OK && e->content_known && entry_same_content(e, base) && entry_same_meta(e, base))
		*out = AGREES_TOUCHED;
	return rc;
}

err_code
same_bytes_as(struct gather *g, struct entry *e, const struct entry *remote, bool *same, struct err *err)
{
	err_code rc = look(g, e, err);

	*same = false;
	if (rc == ERR_OK)
		rc = relaid_base(g, e, remote, err);
	if (rc == ERR_OK)
		*same = e->content_known && entry_same_content(e, remote);
	return rc;
}

/* Its bytes are the agreed ones, and its stat is to be recorded anew. */
static void
refresh(struct gather *g, struct entry *e)
{
	struct refresh *r = arena_must(g->pass->arena, sizeof *r);

	g->pass->verified++;
	g->pass->verified_bytes += (uint64_t)e->size;
	e->id = g->base->id;
	e->version = g->base->version;
	r->entry = *keep(g->pass->arena, e);
	r->next = g->refreshed;
	g->refreshed = r;
}

static err_code
same_or_row(struct gather *g, const struct entry *found, struct err *err)
{
	struct entry e = *found;
	const struct entry *base = g->base;
	struct row *row;
	enum agrees how;
	err_code rc = agrees(g, &e, base, &how, err);

	if (rc)
		return rc;
	if (how == AGREES)
		return e.kind == ENTRY_FILE && g->opts->verify ? verify(g, &e, base, err) : ERR_OK;
	if (how == AGREES_TOUCHED) {
		refresh(g, &e);
		return ERR_OK;
	}
	row = row_at(g, e.path);
	row->item.base = keep_in(g, row, base);
	row->item.local = keep_in(g, row, &e);
	row->local_set = true;
	return ERR_OK;
}

/* ---- slices -------------------------------------------------------------------------------------------------------------- */

uint64_t
slice(const struct gather *g)
{
	return g->opts->slice ? MAX(g->opts->slice, g->totals.entries / PASS_SLICE_PART) : UINT64_MAX;
}

static int
inode_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static err_code
read_inodes(struct gather *g, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *walk = NULL;
	const struct entry *e;
	err_code rc = state_base_walk(g->folder->state, &walk, err);

	g->inodes = xcalloc(g->totals.entries + 1, sizeof *g->inodes);
	while (rc == ERR_OK && (rc = state_walk_next(walk, &e, err)) == ERR_OK && e)
		if (g->inode_count < g->totals.entries)
			g->inodes[g->inode_count++] = e->ino;
	qsort(g->inodes, g->inode_count, sizeof *g->inodes, inode_cmp);
	return rc;
}

/*
 * Whether what is new here is left for the next pass.  Directories are not: what is taken may lie in one.  Nor is what has an inode of the base
 * tree: its old name may be missing, and then it was renamed.
 */
static err_code
defer(struct gather *g, const struct entry *e, bool *deferred, struct err *err)
{
	err_code rc = ERR_OK;

	*deferred = false;
	if (g->fresh < slice(g) || e->kind == ENTRY_DIR || g->totals.pending > 0)
		return ERR_OK;
	if (!g->inodes)
		rc = read_inodes(g, err);
	*deferred = !rc && !bsearch(&e->ino, g->inodes, g->inode_count, sizeof *g->inodes, inode_cmp);
	if (!*deferred)
		return rc;
	entry_sum_add(&g->pass->deferred, e);
	if (!g->pass->rest)
		g->pass->rest = rest_new();
	rest_add(g->pass->rest, e);
	return ERR_OK;
}

static err_code
found_new(struct gather *g, const struct entry *e, struct err *err)
{
	struct row *row;
	bool deferred;
	err_code rc = defer(g, e, &deferred, err);

	if (rc || deferred)
		return rc;
	g->news++;
	if (!g->opts->given_up || !map_get(g->opts->given_up, e->path, strlen(e->path)))
		g->fresh++;
	row = row_at(g, e->path);
	row->item.local = keep_in(g, row, e);
	row->local_set = true;
	return ERR_OK;
}

static err_code
on_found(void *ctx, const struct entry *e, struct err *err)
{
	struct gather *g = ctx;
	bool known;
	err_code rc = base_until(g, e->path, err);

	if (rc)
		return rc;
	g->pass->scanned++;
	note_held(g, e);
	known = g->base && path_cmp(g->base->path, e->path) == 0;
	if (!selection_keeps(g->selection, e->path)) {
		rc = found_unselected(g, e, known ? g->base : NULL, err);
		return rc || !known ? rc : next_base(g, err);
	}
	if (known && g->base->kind != e->kind && is_left_out(g, g->base) && !is_frozen(g, e->path)) {
		left_out_leaves(&g->left_out, g->base); /* what was agreed on is ignored; what is here now is something else */
		rc = next_base(g, err);
		return rc ? rc : found_new(g, e, err);
	}
	if (known) {
		rc = same_or_row(g, e, err);
		return rc ? rc : next_base(g, err);
	}
	return found_new(g, e, err);
}

err_code
gather_local(struct gather *g, struct err *err)
{
	struct scan_opts scan = {
		.root = g->folder->root,
		.now_ns = g->now_ns,
		.ignore = g->ignore,
		.ignored = on_ignored,
		.cancel = g->opts->cancel,
		.progress = g->opts->progress,
		.ctx = g->opts->ctx,
	};
	err_code rc = state_base_walk(g->folder->state, &g->walk, err);

	freeze_held_rules(g);
	if (rc == ERR_OK)
		rc = next_base(g, err);
	if (rc == ERR_OK)
		rc = scan_walk(&scan, on_found, on_problem, g, err);
	if (rc == ERR_OK)
		rc = base_until(g, NULL, err);
	state_walk_free(g->walk);
	return rc ? err_wrap(err, "scan %s", g->folder->path) : ERR_OK;
}

err_code
record_refreshed(struct gather *g, struct err *err)
{
	err_code rc;

	if (!g->refreshed)
		return ERR_OK;
	rc = state_begin(g->folder->state, err);
	for (struct refresh *r = g->refreshed; rc == ERR_OK && r; r = r->next)
		rc = state_base_put(g->folder->state, &r->entry, err);
	return state_end(g->folder->state, rc, err);
}
