/*
 * The life of a push.  First what changes the tree's shape, in the plan's order, in commits of its own; then contents, links and
 * modes, whose order among each other does not matter, through packers, senders and the committer (this thread).
 */
#include <assert.h>

#include "base/clock.h"
#include "client/transfer/push_internal.h"

/* ---- items ------------------------------------------------------------------------------------------------------------------ */

void
list_init(struct list *l)
{
	*l = (struct list){ 0 };
	l->tail = &l->head;
}

void
list_add(struct list *l, struct item *it)
{
	it->next = NULL;
	*l->tail = it;
	l->tail = &it->next;
	l->n++;
	l->json_len += it->json_len;
}

struct item *
list_take(struct list *l)
{
	struct item *it = l->head;

	if (!it)
		return NULL;
	l->head = it->next;
	if (!l->head)
		l->tail = &l->head;
	l->n--;
	l->json_len -= it->json_len;
	return it;
}

struct item *
item_new(const struct plan_op *op)
{
	struct item *it = xcalloc(1, sizeof *it);

	it->op = op;
	if (op->remote)
		it->server = *op->remote;
	it->json_len = 256 + 2 * strlen(op->path) + (op->lost ? 96 : 0);
	return it;
}

void
item_free(struct item *it)
{
	if (!it)
		return;
	free(it->blocks);
	free(it->weak);
	free(it->extents);
	arrived_free(it->arrived);
	free(it->why);
	free(it);
}

void
item_fail(struct item *it, const struct err *why)
{
	assert(why->code);
	if (it->why)
		return;
	it->why = xmalloc(sizeof *it->why);
	*it->why = *why;
}

static void
list_fini(struct list *l)
{
	struct item *it;

	while ((it = list_take(l)))
		item_free(it);
}

void
item_settle(struct push *p, struct item *it, unsigned n)
{
	mutex_lock(&p->mu);
	assert(it->pending >= n); /* P1 */
	it->pending -= n;
	if (it->pending == 0) {
		if (p->ready.n == 0)
			p->ready_since_ms = clock_mono_ms();
		list_add(&p->ready, it);
		cond_signal(&p->can_commit);
	}
	mutex_unlock(&p->mu);
}

/* ---- stopping --------------------------------------------------------------------------------------------------------------- */

static void
wake_all(struct push *p)
{
	cond_broadcast(&p->can_pack);
	cond_broadcast(&p->can_send);
	cond_broadcast(&p->can_commit);
}

void
push_fail(struct push *p, const struct err *err)
{
	mutex_lock(&p->mu);
	if (!p->stop)
		p->err = *err; /* the first failure; what follows is its echo */
	p->stop = true;
	wake_all(p);
	mutex_unlock(&p->mu);
}

bool
push_stopped(struct push *p)
{
	bool stop;

	mutex_lock(&p->mu);
	stop = p->stop;
	mutex_unlock(&p->mu);
	return stop || transfer_cancelled(p->env);
}

/* ---- the first phase: the tree's shape ---------------------------------------------------------------------------------------- */

bool
in_files(const struct plan_op *op)
{
	if (op->act != ACT_PUSH)
		return false;
	return op->local->kind != ENTRY_DIR || (op->remote && op->remote->kind == ENTRY_DIR);
}

static err_code
shape_batch(struct push *p, struct list *batch, struct err *err)
{
	err_code rc;

	if (batch->n == 0)
		return ERR_OK;
	if (transfer_cancelled(p->env))
		rc = err_set(err, ERR_CANCELLED, "stopped on request");
	else
		rc = batch_run(p, batch, err);
	list_fini(batch);
	return rc;
}

/* A deletion that the server would hold as it has held those before is not sent. */
static struct item *
shape_item(struct push *p, const struct plan_op *op)
{
	struct item *it = item_new(op);

	if (p->held && op->act == ACT_DELETE_REMOTE)
		item_fail(it, p->held);
	return it;
}

static err_code
shape_phase(struct push *p, struct err *err)
{
	struct list batch;
	err_code rc = ERR_OK;

	list_init(&batch);
	for (size_t i = 0; i < p->n && rc == ERR_OK; i++) {
		if (in_files(&p->ops[i]))
			continue;
		if (batch.n > 0 && batch.head->op->act != p->ops[i].act)
			rc = shape_batch(p, &batch, err); /* a batch names each file once: a move and a deletion may meet at a path */
		if (rc)
			break;
		list_add(&batch, shape_item(p, &p->ops[i]));
		p->items++; /* no other thread runs yet */
		if (batch.n >= BATCH_OPS_MAX || batch.json_len >= BATCH_BYTES_MAX)
			rc = shape_batch(p, &batch, err);
	}
	if (rc == ERR_OK)
		rc = shape_batch(p, &batch, err);
	list_fini(&batch);
	return rc;
}

/* ---- the second phase: contents ------------------------------------------------------------------------------------------------ */

/* With push.mu.  Whether there is nothing more to start. */
static bool
all_started(const struct push *p)
{
	return p->next_op == p->n && p->retry.n == 0;
}

static bool
batch_due(const struct push *p)
{
	if (p->ready.n == 0)
		return false;
	if (p->ready.n >= BATCH_OPS_MAX || p->ready.json_len >= BATCH_BYTES_MAX)
		return true;
	if (all_started(p) && p->ready.n == p->items)
		return true;
	return clock_mono_ms() - p->ready_since_ms >= BATCH_WAIT_MS;
}

/* Wait for a batch to commit.  False at the end, and when the push has stopped. */
static bool
batch_wait(struct push *p, struct list *out)
{
	bool due = false;

	mutex_lock(&p->mu);
	while (!p->stop && !(due = batch_due(p)) && !(all_started(p) && p->items == 0)) {
		cond_wait_until(&p->can_commit, &p->mu, clock_mono_ms() + CANCEL_LOOK_MS);
		if (transfer_cancelled(p->env) && !p->stop) {
			p->stop = true;
			(void)err_set(&p->err, ERR_CANCELLED, "stopped on request");
			wake_all(p);
		}
	}
	due = due && !p->stop;
	while (due && p->ready.n > 0 && out->n < BATCH_OPS_MAX && (out->n == 0 || out->json_len < BATCH_BYTES_MAX))
		list_add(out, list_take(&p->ready));
	p->ready_since_ms = clock_mono_ms();
	mutex_unlock(&p->mu);
	return due;
}

static void
commit_loop(struct push *p)
{
	struct list batch;
	struct err err;

	list_init(&batch);
	while (batch_wait(p, &batch)) {
		if (batch_run(p, &batch, &err))
			push_fail(p, &err);
		list_fini(&batch);
	}
}

static uint64_t
chunks_most(const struct plan_op *op)
{
	return 1 + (uint64_t)op->local->size / CHUNK_RAW_MAX;
}

/* An edit of one file, which is most of what is ever pushed, is not worth ten threads. */
static void
count_threads(struct push *p)
{
	uint64_t items = 0, chunks = 0;

	for (const struct item *it = p->retry.head; it; it = it->next) {
		items++;
		chunks += chunks_most(it->op);
	}
	for (size_t i = p->next_op; i < p->n; i++) {
		if (!in_files(&p->ops[i]))
			continue;
		items++;
		chunks += chunks_most(&p->ops[i]);
	}
	p->packers = (unsigned)MIN(items, PACKERS);
	p->parallel = transfer_parallel(p->env, chunks);
}

/* Start the threads; those that could be started are in ${threads}. */
static unsigned
start_threads(struct push *p, pthread_t *threads)
{
	struct err err;
	unsigned n = 0;

	p->packing = p->packers;
	for (unsigned i = 0; i < p->packers; i++) {
		if (thread_start("pack", packer_main, p, &threads[n], &err)) {
			push_fail(p, &err);
			return n;
		}
		n++;
	}
	for (unsigned i = 0; i < p->parallel; i++) {
		if (thread_start("send", sender_main, p, &threads[n], &err)) {
			push_fail(p, &err);
			return n;
		}
		n++;
	}
	return n;
}

static void
file_phase(struct push *p)
{
	pthread_t threads[PACKERS + PARALLEL_MAX];
	unsigned n;

	while (p->next_op < p->n && !in_files(&p->ops[p->next_op]))
		p->next_op++;
	if (all_started(p))
		return;
	count_threads(p);
	n = start_threads(p, threads);
	commit_loop(p);
	mutex_lock(&p->mu);
	wake_all(p);
	mutex_unlock(&p->mu);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

/* ---- from end to end ------------------------------------------------------------------------------------------------------------ */

static void
expect(const struct push *p)
{
	uint64_t files = 0, bytes = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!in_files(&p->ops[i]) || p->ops[i].local->kind != ENTRY_FILE)
			continue;
		files++;
		bytes += (uint64_t)p->ops[i].local->size;
	}
	progress_expect(p->env, files, bytes);
}

static void
push_fini(struct push *p)
{
	struct parcel *parcel;

	while ((parcel = p->sealed)) {
		p->sealed = parcel->next;
		parcel_settle(p, parcel, NULL);
	}
	list_fini(&p->retry);
	list_fini(&p->ready);
	free(p->steps);
	free(p->held);
	uploads_fini(p);
	map_free(p->gone_inode);
	map_free(p->gone_name);
	while ((parcel = p->free_parcels)) {
		p->free_parcels = parcel->next;
		parcel_free(parcel);
	}
	cond_fini(&p->can_pack);
	cond_fini(&p->can_send);
	cond_fini(&p->can_commit);
	mutex_fini(&p->mu);
	mutex_fini(&p->transfer_mu);
}

err_code
push_run(const struct transfer_env *env, const struct plan_op *ops, size_t n, push_done done, struct err *err)
{
	struct push p = { .env = env, .ops = ops, .n = n, .done = done };
	struct err ignored;
	err_code rc;

	list_init(&p.retry);
	list_init(&p.ready);
	p.sealed_tail = &p.sealed;
	mutex_init(&p.mu, RANK_POOL);
	mutex_init(&p.transfer_mu, RANK_DOMAIN);
	cond_init(&p.can_pack);
	cond_init(&p.can_send);
	cond_init(&p.can_commit);
	expect(&p);
	base_gone(&p);
	rc = uploads_load(&p, err);
	if (rc == ERR_OK)
		rc = shape_phase(&p, err);
	if (rc == ERR_OK) {
		file_phase(&p);
		rc = p.stop ? p.err.code : ERR_OK;
		if (rc && err)
			*err = p.err;
	}
	/* Its chunks are named by versions now, or garbage; a transfer that stays open would only expire. */
	if (p.has_transfer && rc != ERR_CANCELLED && rc != ERR_NETWORK)
		(void)!remote_transfer_delete(env->remote, &p.transfer, &ignored);
	if (rc == ERR_OK)
		uploads_sweep(&p);
	push_fini(&p);
	return rc;
}
