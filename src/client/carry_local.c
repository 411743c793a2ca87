/*
 * The local half of a plan.  What happens at once (directories, links, moves, deletions, modes) goes first, in the plan's order;
 * then contents are fetched and installed in batches (carry_install.c).  A base row is written only after what it says is durable on disk: the
 * records wait for apply_flush, or for apply_install, which flushes what it installs.
 */

#include <unistd.h>

#include "base/fault.h"
#include "client/carry_internal.h"
#include "client/feed.h"
#include "client/tell.h"

/* ---- records -------------------------------------------------------------------------------------------------------------- */

static struct record *
record_add(struct carry *c)
{
	if (c->record_count == c->record_cap) {
		c->record_cap = MAX(64, 2 * c->record_cap);
		c->records = xrealloc(c->records, c->record_cap * sizeof *c->records);
	}
	c->records[c->record_count] = (struct record){ 0 };
	return &c->records[c->record_count++];
}

void
record_put(struct carry *c, const struct entry *installed, const struct entry *remote)
{
	struct record *r = record_add(c);

	r->put = true;
	r->entry = *installed;
	r->entry.path = remote->path;
	r->entry.mode = remote->mode; /* as agreed, even where the umask took a bit */
	if (remote->kind == ENTRY_DIR)
		r->entry.mtime_ns = remote->mtime_ns; /* set at the end, by restore_dirs: what is made in it moves it till then */
	r->entry.content = remote->content;
	r->entry.content_known = true;
	r->entry.target = remote->target;
	r->entry.id = remote->id;
	r->entry.version = remote->version;
	r->settled = remote->id;
}

static void
record_remove(struct carry *c, const struct entry *base)
{
	struct record *r = record_add(c);

	r->path = base->path;
	r->settled = base->id;
}

static err_code
write_record(struct state *s, const struct record *r, struct err *err)
{
	err_code rc;

	if (r->aside)
		return state_aside_put(s, &(struct state_aside){ r->entry.dev, r->entry.ino, r->settled, r->entry.version, r->path }, err);
	rc = r->put ? state_base_put(s, &r->entry, err) : state_base_remove(s, r->path, err);
	if (rc || id_is_zero(&r->settled))
		return rc;
	return r->put ? state_pending_remove(s, &r->settled, err) : state_pending_remove_from(s, &r->settled, r->path, err);
}

err_code
write_records(struct carry *c, struct err *err)
{
	struct state *s = c->env->folder->state;
	err_code rc;

	if (c->record_count == 0)
		return ERR_OK;
	rc = state_begin(s, err);
	for (size_t i = 0; rc == ERR_OK && i < c->record_count; i++)
		rc = write_record(s, &c->records[i], err);
	rc = state_end(s, rc, err);
	c->record_count = 0;
	return rc;
}

void
touch_parent(struct carry *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len > 0 && !map_get(c->touched, path, len))
		map_put(c->touched, path, len, arena_strndup(c->arena, path, len));
}

/* ---- what happens at once ------------------------------------------------------------------------------------------------- */

/* Same bytes on both sides: only mode and time are to be set. */
static bool
only_meta(const struct plan_op *op)
{
	return op->local && op->local->kind == op->remote->kind && op->local->content_known &&
	    entry_same_content(op->local, op->remote);
}

static bool
fetches(const struct plan_op *op)
{
	return (op->act == ACT_PULL || op->act == ACT_CONFLICT) && op->remote && op->remote->kind == ENTRY_FILE && !only_meta(op);
}

static err_code
pull_at_once(struct carry *c, const struct plan_op *op, struct entry *installed, struct err *err)
{
	if (only_meta(op))
		return apply_meta(c->apply, op->remote, op->local, installed, err);
	if (op->remote->kind == ENTRY_DIR)
		return apply_mkdir(c->apply, op->remote, op->local, installed, err);
	return apply_link(c->apply, op->remote, op->local, installed, err);
}

static err_code
do_pull(struct carry *c, const struct plan_op *op, struct err *err)
{
	struct entry installed;
	err_code rc = pull_at_once(c, op, &installed, err);

	if (rc)
		return rc;
	record_put(c, &installed, op->remote);
	touch_parent(c, op->path);
	if (op->remote->kind == ENTRY_DIR && !map_get(c->touched, op->path, strlen(op->path)))
		map_put(c->touched, op->path, strlen(op->path), arena_strdup(c->arena, op->path));
	c->env->result->pulled++;
	return ERR_OK;
}

/*
 * What is about to be renamed aside, and against what, is written down before: the copy is sent by a later look, perhaps after a crash, and the
 * server is to hear what it is.
 */
static err_code
note_asides(struct carry *c, struct err *err)
{
	const struct plan *plan = &c->pass->plan;
	struct state *s = c->env->folder->state;
	err_code rc;

	if (plan->conflicts == 0)
		return ERR_OK;
	rc = state_begin(s, err);
	for (size_t i = 0; rc == ERR_OK && i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];

		if (op->act == ACT_CONFLICT && op->remote && !carry_skips(c, op))
			rc = state_aside_put(s, &(struct state_aside){ op->local->dev, op->local->ino, op->remote->id, op->remote->version, "" }, err);
	}
	return state_end(s, rc, err);
}

static void
record_aside(struct carry *c, const struct plan_op *op, const char *copy)
{
	struct record *r = record_add(c);

	r->aside = true;
	r->entry = *op->local;
	r->entry.version = op->remote->version;
	r->settled = op->remote->id;
	r->path = arena_strdup(c->arena, copy);
}

/* Keep what is here under another name; the next look finds it as a new file and sends it. */
static err_code
do_conflict(struct carry *c, const struct plan_op *op, struct err *err)
{
	struct sync_result *result = c->env->result;
	char copy[PATH_LEN_MAX + 256];
	err_code rc = apply_aside(c->apply, op->path, op->local, c->env->folder->link.device_name, c->now_us, copy, err);
	struct plan_op pull = *op;

	if (rc)
		return rc;
	if (FAULT("client.no_conflict_copy"))
		(void)unlinkat(c->env->folder->root, copy, 0);
	result->conflicts = xrealloc(result->conflicts, (result->conflict_count + 1) * sizeof *result->conflicts);
	result->conflicts[result->conflict_count++] = (struct sync_conflict){
		.path = arena_strdup(result->arena, op->path),
		.copy = arena_strdup(result->arena, copy),
	};
	map_put(c->asides, op->path, strlen(op->path), arena_strdup(c->arena, copy));
	if (op->remote)
		record_aside(c, op, copy);
	c->again = true;
	touch_parent(c, op->path);
	if (!op->remote || fetches(op))
		return ERR_OK;
	pull.local = NULL;
	return do_pull(c, &pull, err);
}

/* Whether what is here is what was agreed on, but for its name. */
static bool
is_as_agreed(const struct plan_op *op)
{
	const struct entry *local = op->local, *base = op->base;

	return local && local->kind == base->kind && entry_same_meta(local, base) &&
	    (entry_same_disk(local, base) || (local->content_known && entry_same_content(local, base)));
}

/*
 * The file is where the server has it, with the bytes and the mode it had here: the base row says exactly that, and the server's
 * newer state stays pending unless the move was all of it.  What else changed on either side is the next look's.
 */
static err_code
do_move(struct carry *c, const struct plan_op *op, struct err *err)
{
	struct entry installed, agreed = *op->base;
	struct record *r;
	bool all = entry_same_content(op->base, op->remote) && entry_same_meta(op->base, op->remote);
	err_code rc = apply_move(c->apply, op->from, op->path, op->local, &installed, err);

	if (rc)
		return rc;
	if (all)
		agreed.version = op->remote->version;
	agreed.path = op->path;
	agreed.dev = installed.dev;
	agreed.ino = installed.ino;
	/* The stat is trusted only if the local file was as agreed; an edited one must look edited. */
	agreed.ctime_ns = op->local && entry_same_disk(op->local, op->base) ? installed.ctime_ns : 0;
	r = record_add(c);
	r->put = true;
	r->entry = agreed;
	if (all)
		r->settled = op->remote->id;
	if (!all || !is_as_agreed(op))
		c->again = true;
	touch_parent(c, op->from);
	touch_parent(c, op->path);
	c->env->result->moved_local++;
	return ERR_OK;
}

static err_code
do_delete(struct carry *c, const struct plan_op *op, struct err *err)
{
	err_code rc = apply_delete(c->apply, op->local, err);

	if (rc)
		return rc;
	record_remove(c, op->base);
	touch_parent(c, op->path);
	c->env->result->deleted_local++;
	return ERR_OK;
}

static void
do_forget(struct carry *c, const struct plan_op *op)
{
	struct sync_result *result = c->env->result;

	record_remove(c, op->base);
	if (!op->local || op->local->kind != ENTRY_DIR)
		return;
	result->kept = xrealloc(result->kept, (result->kept_count + 1) * sizeof *result->kept);
	result->kept[result->kept_count++] = arena_strdup(result->arena, op->path);
}

/* The server's has been left out in the state before: what dies here now is found again as it is, and never taken for a deletion. */
static err_code
do_drop(struct carry *c, const struct plan_op *op, struct err *err)
{
	err_code rc = apply_delete(c->apply, op->local, err);

	if (rc)
		return rc;
	touch_parent(c, op->path);
	c->env->result->dropped++;
	return ERR_OK;
}

static err_code
do_adopt(struct carry *c, const struct plan_op *op)
{
	record_put(c, op->local, op->remote);
	return ERR_OK;
}

static err_code
do_at_once(struct carry *c, const struct plan_op *op, struct err *err)
{
	switch (op->act) {
	case ACT_CONFLICT:
		return do_conflict(c, op, err);
	case ACT_PULL:
		return fetches(op) ? ERR_OK : do_pull(c, op, err);
	case ACT_MOVE_LOCAL:
		return do_move(c, op, err);
	case ACT_DELETE_LOCAL:
		return do_delete(c, op, err);
	case ACT_ADOPT:
		return do_adopt(c, op);
	case ACT_DROP:
		return do_drop(c, op, err);
	case ACT_FORGET:
		do_forget(c, op);
		return ERR_OK;
	case ACT_SKIP:
		sync_problem(c->env->result, op->path, op->reason, "");
		return ERR_OK;
	case ACT_PUSH:
	case ACT_DELETE_REMOTE:
	case ACT_MOVE_REMOTE:
		return ERR_OK;
	}
	return ERR_OK;
}

static err_code
all_at_once(struct carry *c, struct err *err)
{
	const struct plan *plan = &c->pass->plan;
	struct err why;

	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];
		err_code rc;
		if (carry_skips(c, op))
			continue;
		rc = do_at_once(c, op, &why);
		if (rc && (rc = carry_failed(c, op->path, rc, &why, err)) != ERR_OK)
			return rc;
	}
	if (c->record_count > 0) {
		err_code rc = apply_flush(c->apply, err);
		if (rc)
			return rc;
	}
	return write_records(c, err);
}

/* ---- contents ----------------------------------------------------------------------------------------------------------------- */

/* Where an older version of what is fetched is, as the last sync left it or a conflict has renamed it. */
static void
set_old(struct carry *c, struct pull_file *f)
{
	const struct plan_op *op = f->op;
	const char *aside = map_get(c->asides, op->path, strlen(op->path));

	if (!op->base || op->base->kind != ENTRY_FILE || op->base->size == 0)
		return;
	f->old_path = aside ? aside : op->path;
	f->old_content = &op->base->content;
}

static struct pull_file *
files_to_fetch(struct carry *c, size_t *n)
{
	const struct plan *plan = &c->pass->plan;
	struct pull_file *files = arena_must(c->arena, (plan->n + 1) * sizeof *files);

	*n = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];
		const struct entry_extents *x;
		struct pull_file *f = &files[*n];

		if (!fetches(op) || carry_skips(c, op))
			continue;
		x = op->remote->extents;
		*f = (struct pull_file){
			.op = op,
			.want = op->remote,
			.extents = x ? x->x : NULL,
			.extent_count = x ? x->count : 0,
			.resumes = op->remote->size >= KEPT_FROM && apply_temp_waits(c->apply, &op->remote->id),
		};
		set_old(c, f);
		(*n)++;
	}
	return files;
}

/* Files of a content that another one of them has go to the end: when that one is here, they need not be fetched.  Returns how many stay. */
static size_t
copies_last(struct pull_file *files, size_t n)
{
	AUTO(freep) struct pull_file *copies = NULL;
	AUTO(map_freep) struct map *seen = map_new();
	size_t firsts = 0, rest = 0, cap = 0;

	for (size_t i = 0; i < n; i++) {
		const struct hash *content = &files[i].want->content;

		if (files[i].want->size < KEPT_FROM || !map_put(seen, content->b, sizeof content->b, files)) {
			files[firsts++] = files[i];
			continue;
		}
		if (rest == cap) {
			cap = MAX(64, 2 * cap);
			copies = xrealloc(copies, cap * sizeof *copies);
		}
		copies[rest++] = files[i];
	}
	if (rest > 0)
		memcpy(files + firsts, copies, rest * sizeof *copies);
	return firsts;
}

/* Fetch and install.  What has arrived is installed also when the rest could not be fetched. */
static err_code
fetch_some(struct install *in, const struct transfer_env *env, const struct pull_file *files, size_t n, struct err *err)
{
	struct err why;
	err_code rc = pull_run(env, files, n, install_open_temp, install_fetched, err), installed = install_finish(in, &why);

	if (rc || !installed)
		return rc;
	if (err)
		*err = why;
	return installed;
}

static err_code
fetch_all(struct carry *c, struct err *err)
{
	size_t n, firsts;
	struct pull_file *files = files_to_fetch(c, &n);
	struct tell *tell;
	struct install *in;
	struct transfer_env env = {
		.root = c->env->folder->root,
		.remote = c->env->remote,
		.state = c->env->folder->state,
		.elsewhere = apply_trashed(c->apply),
		.parallel = c->env->opts->parallel,
		.cancel = c->env->opts->cancel,
		.progress = c->env->progress,
	};
	err_code rc;

	if (n == 0)
		return ERR_OK;
	firsts = copies_last(files, n);
	rc = install_new(c, &in, err);
	if (rc)
		return rc;
	env.ctx = in;
	report_start(c->env->opts->report, "Receiving", c->env->progress);
	tell = tell_start(c->env->remote, c->env->progress, n == 1 ? files[0].want->path : NULL);
	rc = fetch_some(in, &env, files, firsts, err);
	if (rc == ERR_OK)
		rc = fetch_some(in, &env, files + firsts, n - firsts, err);
	tell_stop(tell, rc == ERR_OK);
	report_stop(c->env->opts->report);
	install_free(in);
	return rc;
}

/* ---- directory times ----------------------------------------------------------------------------------------------------------- */

static err_code
restore_dir(struct carry *c, const struct entry *want, struct err *err)
{
	struct entry installed;
	struct err why;
	err_code rc = apply_dir_time(c->apply, want, &installed, &why);

	if (rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_PARENT_NOT_DIRECTORY)
		return ERR_OK;
	return carry_failed(c, want->path, rc, &why, err);
}

/* A directory whose own mode or time is about to be sent keeps that, and not what was agreed on before. */
static err_code
restore_edited(struct carry *c, struct err *err)
{
	const struct plan *plan = &c->pass->plan;
	err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < plan->n && map_count(c->touched) > 0; i++) {
		const struct plan_op *op = &plan->ops[i];
		if ((op->act == ACT_PUSH || op->act == ACT_MOVE_REMOTE) && op->local->kind == ENTRY_DIR &&
		    map_remove(c->touched, op->path, strlen(op->path)))
			rc = restore_dir(c, op->local, err);
	}
	return rc;
}

static err_code
restore_agreed(struct carry *c, const char *path, struct err *err)
{
	struct entry base;
	struct err why;
	err_code rc = state_base_get(c->env->folder->state, path, c->arena, &base, &why);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc)
		return carry_failed(c, path, rc, &why, err);
	return base.kind == ENTRY_DIR ? restore_dir(c, &base, err) : ERR_OK;
}

static err_code
restore_dirs(struct carry *c, struct err *err)
{
	size_t pos = 0, len;
	const void *key;
	void *path;
	err_code rc;

	if (FAULT("client.no_dir_times"))
		return ERR_OK;
	rc = restore_edited(c, err);
	while (rc == ERR_OK && map_next(c->touched, &pos, &key, &len, &path))
		rc = restore_agreed(c, path, err);
	return rc;
}

err_code
carry_local(struct carry *c, struct err *err)
{
	err_code rc = note_asides(c, err);

	if (rc == ERR_OK)
		rc = all_at_once(c, err);
	if (rc == ERR_OK)
		rc = fetch_all(c, err);
	if (rc == ERR_OK)
		rc = restore_dirs(c, err);
	return rc ? rc : apply_flush(c->apply, err);
}
