/*
 * What the server has said since, and the three sides of each name together.
 */
#include "base/fault.h"
#include "base/thread.h"
#include "client/feed.h"
#include "client/origin.h"
#include "client/pass_internal.h"

#define HASH_THREADS 2
#define ORIGINS_MAX 100 /* requests, one after the other */

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

/*
 * A move happens at both names or at neither.  Where the old one cannot be seen, or is being written, the file may still lie there; once the
 * new name were agreed on, it would be taken for somebody's new file (P16).
 */
static bool
must_stay(const struct gather *g, const struct entry *base, const struct entry *remote)
{
	if (strcmp(base->path, remote->path) == 0 || FAULT("client.unseen_moves"))
		return false;
	return is_frozen(g, base->path) || is_held(g, base->path) || map_get(g->held_inodes, &base->ino, sizeof base->ino);
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
	if (deleted || (rc == ERR_OK && must_stay(g, &base, e)))
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
err_code
gather_remote(struct gather *g, struct err *err)
{
	struct entry_sum left;
	uint64_t max = g->news > 0 ? UINT64_MAX : slice(g);
	err_code rc = state_pending_each(g->folder->state, max, &left, on_pending, g, err);

	if (!g->pass->deferred.entries) /* else of what is here: nothing is deferred of both */
		g->pass->deferred = left;
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

/*
 * Where the bytes alone tell whether a file was edited here beside another change on the server, and they could not be read, nothing is concluded (I9): no
 * conflict is made of what nobody may have touched.  Nor is it moved: see must_stay.
 */
static size_t
leave_unread(struct gather *g, struct diff_item *items, size_t n)
{
	struct map *unread = map_new(); /* ids -> anything */
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!diff_needs_content(&items[i], true) || FAULT("client.unread_is_edited"))
			continue;
		add_problem(g->pass, items[i].path, "unreadable", "the server has changed it, and whether it was edited here cannot be told");
		if (items[i].base)
			map_put(unread, &items[i].base->id, sizeof items[i].base->id, g);
		items[i].path = NULL;
	}
	for (size_t i = 0; i < n; i++) {
		const struct entry *r = items[i].remote;

		if (items[i].path && !(r && map_get(unread, &r->id, sizeof r->id)))
			items[kept++] = items[i];
	}
	map_free(unread);
	return kept;
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

err_code
join_sides(struct gather *g, struct diff_item **items, size_t *n, struct err *err)
{
	err_code rc;

	*items = join(g, n);
	rc = resolve(g, *items, *n, err);
	if (rc)
		return rc;
	*n = leave_unread(g, *items, *n);
	return find_origins(g, *items, *n, err);
}
