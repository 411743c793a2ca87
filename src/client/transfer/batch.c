/*
 * Committing: one batch of items becomes one commit, or, where the server refuses a batch as a whole, as many as it takes to find
 * the operation that is wrong.
 */
#include <assert.h>

#include "base/map.h"
#include "client/transfer/push_internal.h"

#define ANSWER_MEMORY (64 * MIB)

/* ---- items as operations of a commit -------------------------------------------------------------------------------------------- */

static struct wire_op
put_op(struct item *it)
{
	const struct entry *e = &it->entry;
	struct wire_op w = {
		.op = WIRE_PUT,
		.path = plan_op_as(it->op),
		.kind = (int)e->kind,
		.has_base = it->server.path != NULL,
		.base = it->server.version,
		.has_mode = e->kind != ENTRY_LINK,
		.mode = e->mode,
		.has_mtime = true,
		.mtime_ns = e->mtime_ns,
	};

	if (it->op->lost && !w.has_base) {
		w.has_conflict = true;
		w.conflict_file = it->op->lost->file;
		w.conflict_version = it->op->lost->version;
	}
	if (e->kind == ENTRY_LINK)
		w.target = e->target;
	if (e->kind != ENTRY_FILE || !it->send_content)
		return w;
	w.has_content = true;
	w.size = e->size;
	w.content = e->content;
	w.has_transfer = it->own_transfer;
	w.transfer = it->transfer;
	w.has_from = it->has_from;
	w.from_file = it->from_file;
	w.from_version = it->from_version;
	if (!it->own_transfer && !it->has_from) {
		w.extents = it->extents;
		w.extent_count = (uint32_t)it->extent_count;
	}
	return w;
}

/* The version that a move or a deletion is made on: what the server has now, as far as we know. */
static int64_t
version_of(const struct plan_op *op)
{
	return op->remote && id_eq(&op->remote->id, &op->base->id) ? op->remote->version : op->base->version;
}

static struct wire_op
wire_op_of(struct item *it)
{
	const struct plan_op *op = it->op;

	switch (op->act) {
	case ACT_DELETE_REMOTE:
		return (struct wire_op){ .op = WIRE_DELETE, .has_id = true, .id = op->base->id, .has_base = true, .base = version_of(op) };
	case ACT_MOVE_REMOTE:
		return (struct wire_op){ .op = WIRE_MOVE, .has_id = true, .id = op->base->id, .has_base = true,
			.base = version_of(op), .path = op->path };
	default:
		assert(op->act == ACT_PUSH);
		if (!in_files(op))
			it->entry = *op->local; /* a new directory */
		return put_op(it);
	}
}

/* ---- committing --------------------------------------------------------------------------------------------------------------------- */

/* Pack it anew, from the file's bytes. */
static void
send_again(struct item *it, const struct err *why)
{
	if (++it->sends >= SENDS_MAX)
		item_fail(it, why);
	else
		it->again = true;
}

/* The version that it was to be a copy of is not there any more, or is another one. */
static bool
no_copy(const struct item *it, const struct wire_result *r)
{
	return it->has_from && (r->code == ERR_NOT_FOUND || r->code == ERR_FILE_HASH_MISMATCH || r->code == ERR_SIZE_MISMATCH);
}

static void
apply_result(struct push *p, struct item *it, const struct wire_result *r)
{
	struct err err;

	if (r->ok) {
		it->entry.id = r->id;
		it->entry.version = r->version;
		return;
	}
	(void)err_set(&err, r->code ? r->code : ERR_PROTOCOL, "%s: %s", it->op->path, r->detail ? r->detail : "refused");
	if (no_copy(it, r)) {
		it->no_from = true;
		send_again(it, &err);
	} else {
		item_fail(it, &err);
	}
	if (r->code == ERR_MASS_DELETE_HELD && !p->held) {
		p->held = xmalloc(sizeof *p->held);
		*p->held = err;
	}
}

static bool
names_missing(const struct item *it, const struct map *missing)
{
	for (size_t i = 0; i < it->extent_count; i++)
		if (map_get(missing, it->extents[i].chunk.b, sizeof it->extents[i].chunk.b))
			return true;
	return false;
}

static void
swap(struct item **a, struct item **b)
{
	struct item *it = *a;

	*a = *b;
	*b = it;
}

/*
 * The server has not all the chunks: lists that the state kept are outdated, or the garbage collector was faster.  Moves the items
 * that must be sent again to the end and returns how many are left to commit.
 */
static size_t
part_missing(struct item **items, size_t n, const struct wire_commit_answer *answer, const struct err *why)
{
	AUTO(map_freep) struct map *missing = map_new();
	size_t left = 0;

	for (size_t i = 0; i < answer->missing_n; i++)
		map_put(missing, answer->missing[i].b, sizeof answer->missing[i].b, missing);
	for (size_t i = 0; i < n; i++)
		if (!names_missing(items[i], missing))
			swap(&items[left++], &items[i]);
	if (left == n) { /* the server did not say which: suspect all that bring bytes */
		left = 0;
		for (size_t i = 0; i < n; i++)
			if (!items[i]->send_content)
				swap(&items[left++], &items[i]);
	}
	for (size_t i = left; i < n; i++) {
		upload_distrust(items[i]);
		send_again(items[i], why);
	}
	return left;
}

/* Errors of one operation that make the server refuse the whole batch. */
static bool
poisoned(err_code code)
{
	int status = err_info(code)->status;

	return !transfer_fatal(code) &&
	    (status == 400 || status == 409 || status == 410 || status == 413 || status == 422 || status == 428);
}

/* A directory's move gives new versions to all beneath it, which only the feed tells. */
static bool
moves_directory(struct item **items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i]->op->act == ACT_MOVE_REMOTE && items[i]->op->base->kind == ENTRY_DIR)
			return true;
	return false;
}

static void
step_add(struct push *p, const struct wire_commit_answer *answer)
{
	if (p->step_count == p->step_cap) {
		p->step_cap = MAX(4, 2 * p->step_cap);
		p->steps = xrealloc(p->steps, p->step_cap * sizeof *p->steps);
	}
	p->steps[p->step_count++] = (struct step){ .before = answer->previous, .after = answer->cursor, .digest = answer->digest };
}

static err_code
commit_range(struct push *p, struct item **items, size_t n, struct err *err)
{
	AUTO(arena_freep) struct arena *a = NULL;
	AUTO(freep) struct wire_op *ops = NULL;
	struct wire_commit commit = { .n = n, .allow_mass_delete = p->env->allow_mass_delete };
	struct wire_commit_answer answer = { 0 };
	err_code rc;

	if (n == 0)
		return ERR_OK;
	a = arena_new(ANSWER_MEMORY);
	ops = xcalloc(n, sizeof *ops);
	for (size_t i = 0; i < n; i++)
		ops[i] = wire_op_of(items[i]);
	commit.ops = ops;
	rc = remote_commit(p->env->remote, &commit, a, &answer, err);
	if (rc == ERR_OK) {
		if (!moves_directory(items, n))
			step_add(p, &answer);
		for (size_t i = 0; i < n; i++)
			apply_result(p, items[i], &answer.results[i]);
		return ERR_OK;
	}
	if (rc == ERR_CHUNKS_MISSING) {
		size_t left = part_missing(items, n, &answer, err);

		if (left < n)
			return commit_range(p, items, left, err);
	}
	if (!poisoned(rc))
		return rc;
	if (n > 1) {
		rc = commit_range(p, items, n / 2, err);
		return rc ? rc : commit_range(p, items + n / 2, n - n / 2, err);
	}
	if (rc == ERR_TRANSFER_GONE || rc == ERR_BLOCKS_MISSING) {
		items[0]->transfer_over = rc == ERR_TRANSFER_GONE;
		send_again(items[0], err);
	} else
		item_fail(items[0], err);
	return ERR_OK;
}

/* ---- what comes of it ------------------------------------------------------------------------------------------------------------ */

/* A moved entry as the server has it now; its content has not been compared. */
static void
moved_entry(struct item *it)
{
	const struct plan_op *op = it->op;
	struct id id = it->entry.id;
	int64_t version = it->entry.version;

	it->entry = *op->base;
	it->entry.path = op->path;
	it->entry.id = id;
	it->entry.version = version;
	it->entry.dev = op->local->dev;
	it->entry.ino = op->local->ino;
	it->entry.ctime_ns = 0;
}

static bool
moved_and_changed(const struct item *it)
{
	const struct plan_op *op = it->op;

	return !op->local->content_known || !entry_same_content(op->base, op->local) || !entry_same_meta(op->base, op->local);
}

/* What a move left to do, as a push of its own; ${it} is the finished move. */
static void
second_half(struct push *p, const struct item *it)
{
	struct item *second = item_new(it->op);

	second->second = *it->op;
	second->second.act = ACT_PUSH;
	second->second.from = NULL;
	second->op = &second->second;
	second->server = it->entry;
	second->second.base = second->second.remote = &second->server;
	second->json_len = it->json_len;
	mutex_lock(&p->mu);
	list_add(&p->retry, second);
	p->items++;
	mutex_unlock(&p->mu);
}

static err_code
tell(struct push *p, struct item *it, struct err *err)
{
	const struct entry *entry = &it->entry;
	err_code rc;

	if (it->why)
		return p->done(p->env->ctx, it->op, it->why->code, it->why, NULL, err);
	if (it->op->act == ACT_DELETE_REMOTE)
		entry = NULL;
	if (it->op->act == ACT_MOVE_REMOTE) {
		moved_entry(it);
		if (!moved_and_changed(it))
			it->entry.ctime_ns = it->op->local->ctime_ns;
	}
	if (it->nothing) {
		it->entry.id = it->server.id;
		it->entry.version = it->server.version;
	}
	rc = p->done(p->env->ctx, it->op, ERR_OK, NULL, entry, err);
	if (rc == ERR_OK && it->send_content && !it->known)
		rc = item_list_keep(p->env->state, it, err);
	return rc ? rc : upload_forget(p, it, err); /* P4 */
}

/*
 * Where the feed had been read to the very clock that a commit started from, its own changes are all that follows: they are recorded
 * here, so the place moves past them and they are not fetched back.
 */
static err_code
place_advance(struct push *p, struct err *err)
{
	struct state_place at;
	bool moved = false;
	err_code rc = state_place_get(p->env->state, &at, err);

	for (size_t i = 0; rc == ERR_OK && i < p->step_count; i++) {
		const struct step *s = &p->steps[i];

		if (!at.known || at.clock != s->before.clock || !id_eq(&at.epoch, &s->before.epoch) ||
		    !id_eq(&at.epoch, &s->after.epoch))
			continue;
		at.clock = s->after.clock;
		at.digest = s->digest;
		moved = true;
	}
	p->step_count = 0;
	return rc == ERR_OK && moved ? state_place_put(p->env->state, &at, err) : rc;
}

/* A list that names what the server does not have is wrong: its own, or the one that it was cut along. */
static err_code
forget_lists(struct push *p, const struct item *it, struct err *err)
{
	err_code rc = ERR_OK;

	if (it->known && !it->has_from)
		rc = state_blocks_forget(p->env->state, &it->entry.content, err);
	if (rc == ERR_OK && it->kept > 0 && !hash_is_zero(&it->base))
		rc = state_blocks_forget(p->env->state, &it->base, err);
	return rc;
}

static err_code
record(struct push *p, struct item **items, size_t n, struct err *err)
{
	err_code rc = state_begin(p->env->state, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < n && rc == ERR_OK; i++) {
		rc = items[i]->again ? forget_lists(p, items[i], err) : tell(p, items[i], err);
	}
	if (rc == ERR_OK)
		rc = place_advance(p, err);
	return state_end(p->env->state, rc, err);
}

static void
count(struct push *p, const struct item *it)
{
	uint64_t size = (uint64_t)it->entry.size;

	if (!it->send_content || it->known)
		progress_bytes(p->env, it, size - MIN(size, it->counted));
	if (it->send_content)
		progress_saved(p->env, it->known ? size : it->kept);
	progress_file(p->env);
}

/* The item is at its end: what remains of it? */
static void
finish(struct push *p, struct item *it)
{
	struct err ignored;

	if (it->op->act == ACT_MOVE_REMOTE && !it->why && moved_and_changed(it))
		second_half(p, it);
	/* One that failed keeps its upload: it is tried again, be it under another name (a conflict copy). */
	if (it->upload && !it->own_transfer && !it->why)
		(void)!remote_transfer_delete(p->env->remote, &it->upload->row.transfer, &ignored);
	if (it->op->act == ACT_PUSH && it->entry.kind == ENTRY_FILE && !it->why)
		count(p, it);
	progress_unwatch(p->env, it);
	item_free(it);
}

static void
finish_all(struct push *p, struct item **items, size_t n)
{
	size_t ended = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i]->again) {
			items[i]->again = false;
			mutex_lock(&p->mu);
			list_add(&p->retry, items[i]);
			mutex_unlock(&p->mu);
		} else {
			finish(p, items[i]); /* P3 */
			ended++;
		}
	}
	mutex_lock(&p->mu);
	p->items -= ended;
	cond_broadcast(&p->can_pack);
	mutex_unlock(&p->mu);
}

/* Its transfer ended while it was being sent: it begins anew, and what was sent is sent again. */
static void
revive(struct item *it)
{
	struct err why;

	if (!it->why || it->why->code != ERR_TRANSFER_GONE || !it->upload || it->sends + 1 >= SENDS_MAX)
		return;
	why = *it->why;
	free(it->why);
	it->why = NULL;
	it->transfer_over = true;
	send_again(it, &why);
}

err_code
batch_run(struct push *p, struct list *batch, struct err *err)
{
	AUTO(freep) struct item **all = xcalloc(2 * batch->n, sizeof(struct item *));
	struct item **live = all + batch->n;
	size_t n = 0, live_n = 0;
	err_code rc;

	for (struct item *it = batch->head; it; it = it->next) {
		all[n++] = it;
		revive(it);
		if (!it->why && !it->nothing && !it->again)
			live[live_n++] = it;
	}
	rc = push_flush(p, all, n, err);
	if (rc == ERR_OK)
		rc = commit_range(p, live, live_n, err);
	if (rc == ERR_OK)
		rc = record(p, all, n, err);
	if (rc)
		return rc;
	list_init(batch); /* from here on each has another owner */
	finish_all(p, all, n);
	return ERR_OK;
}
