#include "base/clock.h"
#include "base/fault.h"
#include "base/thread.h"
#include "client/feed.h"
#include "client/layout.h"
#include "client/origin.h"
#include "client/pass_internal.h"

#define PASS_MEMORY_MAX (8 * GIB) /* follows the number of changes: about 450 bytes each, and 250 more while it is made */
#define HASH_THREADS 2
#define ORIGINS_MAX 100 /* requests, one after the other */
#define LOOKS_MAX 5     /* while the rules of what is ignored change from one look to the next */

static struct entry *
keep_as(struct arena *a, const struct entry *e, const char *path)
{
	struct entry *copy = arena_must(a, sizeof *copy);

	*copy = *e;
	copy->path = path;
	copy->target = e->target && e->target[0] ? arena_strdup(a, e->target) : "";
	return copy;
}

struct entry *
keep(struct arena *a, const struct entry *e)
{
	return keep_as(a, e, arena_strdup(a, e->path));
}

/* A side of the row: the row's path is kept already. */
static struct entry *
keep_in(struct gather *g, const struct row *row, const struct entry *e)
{
	return keep_as(g->pass->arena, e, row->item.path);
}

struct row *
row_at(struct gather *g, const char *path)
{
	struct row *row = map_get(g->rows, path, strlen(path));

	if (!row) {
		row = arena_must(g->arena, sizeof *row);
		row->item.path = arena_strdup(g->pass->arena, path);
		map_put(g->rows, path, strlen(path), row);
	}
	return row;
}

void
add_problem(struct pass *p, const char *path, const char *reason, const char *detail)
{
	if ((p->problem_count & (p->problem_count + 1)) == 0) /* grow at 2^n - 1 */
		p->problems = xrealloc(p->problems, (2 * p->problem_count + 2) * sizeof *p->problems);
	p->problems[p->problem_count++] = (struct problem){
		.path = arena_strdup(p->arena, path),
		.reason = reason,
		.detail = arena_strdup(p->arena, detail),
	};
}

/* ---- the local side ------------------------------------------------------------------------------------------------------ */

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
static bool
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
static err_code
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

static struct layout_env
layout_of(const struct gather *g)
{
	return (struct layout_env){ .root = g->folder->root, .state = g->folder->state, .remote = g->opts->remote, .cancel = g->opts->cancel };
}

/* Whether the bytes of ${e} are those of ${other}, cut in another way; then its content is called what that calls it. */
static err_code
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
static err_code
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

static uint64_t
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
	g->pass->deferred += *deferred;
	return rc;
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

static err_code
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

/* ---- the server's side --------------------------------------------------------------------------------------------------- */

/* A name that only the server talks about: on disk it is as in the base tree. */
static err_code
fill_from_base(struct gather *g, struct row *row, struct err *err)
{
	struct entry base;
	err_code rc;

	if (row->local_set || row->item.base)
		return ERR_OK;
	rc = state_base_get(g->folder->state, row->item.path, g->pass->arena, &base, err);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc)
		return rc;
	row->item.base = row->item.local = keep_in(g, row, &base);
	return ERR_OK;
}

static err_code
on_pending(void *ctx, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *err)
{
	struct gather *g = ctx;
	struct entry base, *remote;
	struct row *row;
	err_code rc = state_base_by_id(g->folder->state, &e->id, g->pass->arena, &base, err);

	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (rc == ERR_OK && !is_left_out(g, &base)) { /* where it was it is no more, unless something else has been put there */
		row = row_at(g, base.path);
		row->remote_set = true;
		rc = fill_from_base(g, row, err);
		if (rc)
			return rc;
	}
	if (deleted)
		return ERR_OK;
	if (is_left_out(g, e)) {
		if (rc == ERR_OK && is_left_out(g, &base))
			return ERR_OK;
		left_out_found(&g->left_out, e);
		return match_unselected(g, e, err);
	}
	row = row_at(g, e->path);
	row->remote_set = true;
	row->item.remote = remote = keep_in(g, row, e);
	remote->extents = extents_unpack(g->pass->arena, extra, extra_len);
	return fill_from_base(g, row, err);
}

/* While there is something new here, all that is new there is looked at: the two may meet at one name. */
static err_code
gather_remote(struct gather *g, struct err *err)
{
	uint64_t left, max = g->news > 0 ? UINT64_MAX : slice(g);
	err_code rc = state_pending_each(g->folder->state, max, &left, on_pending, g, err);

	g->pass->deferred += left;
	return rc;
}

/* ---- joining ----------------------------------------------------------------------------------------------------------------- */

static int
item_cmp(const void *a, const void *b)
{
	return path_cmp(((const struct diff_item *)a)->path, ((const struct diff_item *)b)->path);
}

/*
 * The folder is a copy, and nobody knows whether its files are as old as its state.  So what differs here from what was agreed on is no edit and no deletion: it is as
 * if it had never been agreed on, and both sides are united.  What is as agreed was, and the server may still change or delete it.
 */
static void
distrust(struct diff_item *item)
{
	if (!item->base || (item->local && item->local->content_known && entry_same_content(item->local, item->base)))
		return;
	item->base = NULL;
}

static struct diff_item *
join(struct gather *g, size_t *n)
{
	struct diff_item *items = arena_must(g->arena, (map_count(g->rows) + 1) * sizeof *items);
	size_t pos = 0, key_len;
	const void *key;
	void *value;

	*n = 0;
	while (map_next(g->rows, &pos, &key, &key_len, &value)) {
		struct row *row = value;
		if (is_frozen(g, row->item.path))
			continue;
		if (is_held_row(g, row)) {
			g->pass->held_back++;
			continue;
		}
		if (!row->remote_set)
			row->item.remote = row->item.base;
		if (g->folder->copied)
			distrust(&row->item);
		row->item.rules = ignore_is_file(row->item.path);
		items[(*n)++] = row->item;
	}
	qsort(items, *n, sizeof *items, item_cmp);
	return items;
}

struct hash_job {
	struct gather *g;
	const struct diff_item *item;
	struct entry *entry;
	err_code rc;
	struct err err;
};

static void
hash_job(void *arg)
{
	struct hash_job *job = arg;
	bool same = false;

	if (flag_is_set(job->g->opts->cancel))
		job->rc = err_set(&job->err, ERR_CANCELLED, "stopped");
	else
		job->rc = look(job->g, job->entry, &job->err);
	if (job->rc == ERR_OK)
		job->rc = relaid(job->g, job->entry, job->item->remote, &same, &job->err);
	if (job->rc == ERR_OK && !same)
		job->rc = relaid_base(job->g, job->entry, job->item->base, &job->err);
}

/* Where both sides changed a file, whether it is a conflict depends on bytes that nobody has read yet. */
static err_code
resolve(struct gather *g, struct diff_item *items, size_t n, struct err *err)
{
	struct workq *q = NULL;
	struct hash_job *jobs = NULL;
	size_t count = 0;
	err_code rc = ERR_OK;

	for (size_t i = 0; i < n; i++)
		count += diff_needs_content(&items[i], g->opts->carried_out);
	if (count == 0)
		return ERR_OK;
	jobs = xcalloc(count, sizeof *jobs);
	q = workq_new("hash", HASH_THREADS, 0);
	count = 0;
	for (size_t i = 0; i < n; i++) {
		if (!diff_needs_content(&items[i], g->opts->carried_out))
			continue;
		struct hash_job *job = &jobs[count++];
		job->g = g;
		job->item = &items[i];
		job->entry = keep(g->pass->arena, items[i].local);
		items[i].local = job->entry;
		workq_push(q, hash_job, job);
	}
	workq_drain(q);
	workq_free(q);
	for (size_t i = 0; i < count && rc == ERR_OK; i++) {
		rc = jobs[i].rc;
		if (rc && err)
			*err = jobs[i].err;
	}
	free(jobs);
	return rc;
}

/* What is here may be a version that this device sent, or installed, and died; then it is a base and no edit. */
static err_code
find_origin(struct gather *g, struct diff_item *item, struct err *err)
{
	struct origin_env env = { .layout = layout_of(g), .a = g->pass->arena };
	struct entry *here = keep(g->pass->arena, item->local), origin;
	bool found;
	err_code rc = here->content_known ? ERR_OK : look(g, here, err);

	if (rc || !here->content_known)
		return rc;
	rc = origin_find(&env, item, here, &origin, &found, err);
	if (rc || !found)
		return rc;
	here->content = origin.content;
	here->mode = entry_mode_through(origin.mode, here->mode, g->mask);
	item->local = here;
	item->base = keep_as(g->pass->arena, &origin, item->path);
	return ERR_OK;
}

/* After a death these are few.  Many are two trees that meet, and each is what it seems. */
static err_code
find_origins(struct gather *g, struct diff_item *items, size_t n, struct err *err)
{
	unsigned asked = 0;
	err_code rc = ERR_OK;

	if (!g->opts->remote || FAULT("client.forgets_sent"))
		return ERR_OK;
	for (size_t i = 0; rc == ERR_OK && i < n && asked < ORIGINS_MAX; i++) {
		if (!diff_is_doubtful(&items[i]))
			continue;
		rc = find_origin(g, &items[i], err);
		asked++;
	}
	return rc;
}

static err_code
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

static err_code
gather_all(struct gather *g, struct err *err)
{
	struct diff_item *items;
	size_t n;
	err_code rc = state_totals(g->folder->state, &g->totals, err);

	if (rc == ERR_OK)
		rc = gather_local(g, err);
	if (rc == ERR_OK)
		rc = record_refreshed(g, err);
	if (rc == ERR_OK)
		rc = review_left_out(g, err);
	if (rc == ERR_OK && g->left_out.came_back)
		return ERR_OK;
	if (rc == ERR_OK)
		rc = gather_remote(g, err);
	if (rc == ERR_OK)
		rc = gather_unselected(g, err);
	if (rc == ERR_OK)
		rc = left_out_record(&g->left_out, err);
	if (rc == ERR_OK)
		rc = state_totals(g->folder->state, &g->totals, err);
	if (rc == ERR_OK)
		rc = gather_ignored(g, err);
	if (rc)
		return rc;
	items = join(g, &n);
	rc = resolve(g, items, n, err);
	if (rc == ERR_OK)
		rc = find_origins(g, items, n, err);
	if (rc)
		return rc;
	diff_plan(items, n, g->pass->arena, &g->pass->plan);
	plan_drops(g);
	return ERR_OK;
}

static err_code
look_once(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err)
{
	AUTO(pass_freep) struct pass *p = xcalloc(1, sizeof *p);
	struct gather g = { .pass = p, .folder = f, .opts = opts, .now_ns = clock_wall_ns(), .mask = f->mask };
	err_code rc = selection_load(f->root, &g.selection, err);

	*out = NULL;
	if (rc)
		return rc;
	p->arena = arena_new(PASS_MEMORY_MAX);
	g.arena = arena_new(PASS_MEMORY_MAX);
	g.rows = map_new();
	g.frozen = map_new();
	g.held_inodes = map_new();
	g.ignored = map_new();
	g.ignore = ignore_new();
	g.left_out = (struct left_out){ .state = f->state, .ignore = g.ignore, .selection = g.selection, .a = g.arena };
	g.unselected_end = &g.unselected;
	rc = gather_all(&g, err);
	p->unselected = g.left_out.unselected;
	p->unselected_bytes = g.left_out.unselected_bytes;
	selection_free(g.selection);
	ignore_free(g.ignore);
	map_free(g.ignored);
	map_free(g.rows);
	map_free(g.frozen);
	map_free(g.held_inodes);
	free(g.inodes);
	arena_free(g.arena);
	if (rc == ERR_OK && !g.left_out.came_back)
		*out = TAKE(p);
	return rc;
}

err_code
pass_open(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err)
{
	*out = NULL;
	for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
		err_code rc = look_once(f, opts, out, err);

		if (rc || *out)
			return rc;
	}
	return err_set(err, ERR_BUSY, "the files of ignore rules kept changing");
}

void
pass_free(struct pass *p)
{
	if (!p)
		return;
	free(p->problems);
	arena_free(p->arena);
	free(p);
}

void
pass_freep(struct pass **p)
{
	pass_free(*p);
}
