/*
 * Planning a pull: which runs of which chunks go where.
 *
 * The feed gives a small file's extents but not its blocks' lengths.  A file in one run needs none: its bytes come in order.  A file in
 * several runs is assumed to be cut on the grid; should its chunks then say otherwise, its block list is asked for.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/map.h"
#include "chunk/cut.h"
#include "client/transfer/pull_internal.h"

#define LIST_MEMORY (4 * MIB) /* a page of BLOCKLIST_UPLOAD_MAX blocks, packed and unpacked */

/* Jobs in the making, by chunk, in the order in which the chunks first appeared. */
struct window {
	struct map *by_chunk;
	struct job *first, **tail;
	size_t files, several;
};

/* ---- the pull's state --------------------------------------------------------------------------------------------------------- */

static void
wake_all(struct pull *p)
{
	cond_broadcast(&p->can_fetch);
	cond_broadcast(&p->can_plan);
}

void
pull_fail(struct pull *p, const struct err *err)
{
	mutex_lock(&p->mu);
	if (!p->stop)
		p->err = *err;
	p->stop = true;
	wake_all(p);
	mutex_unlock(&p->mu);
}

static void
look_for_cancel(struct pull *p)
{
	struct err err;

	if (!transfer_cancelled(p->env))
		return;
	(void)err_set(&err, ERR_CANCELLED, "stopped on request");
	pull_fail(p, &err);
}

bool
pull_stopped(struct pull *p)
{
	bool stop;

	look_for_cancel(p);
	mutex_lock(&p->mu);
	stop = p->stop;
	mutex_unlock(&p->mu);
	return stop;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------------ */

void
job_free(struct job *j)
{
	for (size_t i = 0; i < j->n; i++)
		free(j->needs[i].expect);
	free(j->needs);
	free(j);
}

struct job *
job_wait(struct pull *p)
{
	struct job *j;

	mutex_lock(&p->mu);
	while (!p->jobs && !p->planned)
		cond_wait(&p->can_fetch, &p->mu);
	j = p->jobs;
	if (j) {
		p->jobs = j->next;
		if (!p->jobs)
			p->jobs_tail = &p->jobs;
		p->jobs_n--;
		cond_broadcast(&p->can_plan);
	}
	mutex_unlock(&p->mu);
	return j;
}

/* Jobs that were made are always queued: fetchers settle them quickly when the pull has stopped (L2). */
static void
job_queue(struct pull *p, struct job *j)
{
	j->next = NULL;
	mutex_lock(&p->mu);
	while (!p->stop && p->jobs_n >= JOBS_WAITING * p->parallel)
		cond_wait(&p->can_plan, &p->mu);
	*p->jobs_tail = j;
	p->jobs_tail = &j->next;
	p->jobs_n++;
	cond_signal(&p->can_fetch);
	mutex_unlock(&p->mu);
}

static struct job *
job_for(struct window *w, const struct hash *chunk)
{
	struct job *j = map_get(w->by_chunk, chunk->b, sizeof chunk->b);

	if (j)
		return j;
	j = xcalloc(1, sizeof *j);
	j->chunk = *chunk;
	map_put(w->by_chunk, chunk->b, sizeof chunk->b, j);
	*w->tail = j;
	w->tail = &j->next;
	return j;
}

static void
need_add(struct pull *p, struct window *w, const struct hash *chunk, const struct need *n, uint64_t raw_len)
{
	struct job *j = job_for(w, chunk);

	if (j->n == j->cap) {
		j->cap = MAX(4, 2 * j->cap);
		j->needs = xrealloc(j->needs, j->cap * sizeof *j->needs);
	}
	j->needs[j->n++] = *n;
	j->raw_len += raw_len;
	mutex_lock(&p->mu);
	n->file->pending++;
	mutex_unlock(&p->mu);
}

static void
window_open(struct window *w)
{
	*w = (struct window){ .by_chunk = map_new() };
	w->tail = &w->first;
}

static void
window_emit(struct pull *p, struct window *w)
{
	struct job *j = w->first;

	while (j) {
		struct job *next = j->next;

		job_queue(p, j);
		j = next;
	}
	map_free(w->by_chunk);
}

/* ---- files whose list is needed ----------------------------------------------------------------------------------------------- */

/* One page of a list: jobs for its blocks.  ${at}: the index and offset of its first block. */
static void
page_plan(struct pull *p, struct landing *l, const struct blocklist *page, uint64_t index, uint64_t offset)
{
	const struct block *b = page->blocks;
	struct window w;

	window_open(&w);
	for (uint32_t x = 0; x < page->extent_count; x++) {
		const struct extent *run = &page->extents[x];
		struct need n = { .file = l, .first = run->first, .count = run->count, .index = index, .offset = offset };
		uint64_t len = 0;

		for (uint32_t i = 0; i < run->count; i++)
			len += b[i].len;
		n.expect = xmalloc(run->count * sizeof *b);
		memcpy(n.expect, b, run->count * sizeof *b);
		need_add(p, &w, &run->chunk, &n, len);
		b += run->count;
		index += run->count;
		offset += len;
	}
	window_emit(p, &w);
}

static err_code
page_get(struct pull *p, const struct entry *want, uint64_t from, struct arena *a, struct blocklist *page, struct err *err)
{
	const uint8_t *packed;
	struct err why;
	size_t len;
	bool more;
	err_code rc = remote_blocks(p->env->remote, &want->id, from, a, &packed, &len, &more, err);

	if (rc)
		return rc;
	if (blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, page, &why))
		return err_set(err, ERR_PROTOCOL, "%s: block list: %s", want->path, why.msg);
	return ERR_OK;
}

static err_code
list_plan(struct pull *p, struct landing *l, struct content_hash *content, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(LIST_MEMORY);
	const struct entry *want = l->f->want;
	uint64_t index = 0, offset = 0;

	while (offset < (uint64_t)want->size) {
		struct blocklist page;
		err_code rc;

		if (pull_stopped(p))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		arena_reset(a);
		rc = page_get(p, want, index, a, &page, err);
		if (rc)
			return rc;
		/* Another length is another version: the file changed on the server since the feed told of it. */
		if (blocklist_bytes(&page) > (uint64_t)want->size - offset)
			return err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", want->path);
		for (uint32_t i = 0; i < page.block_count; i++)
			content_hash_add(content, &page.blocks[i].hash, page.blocks[i].len);
		page_plan(p, l, &page, index, offset);
		index += page.block_count;
		offset += blocklist_bytes(&page);
	}
	return ERR_OK;
}

/* Plan a file by its list; the caller's hold on it is settled. */
static void
plan_listed(struct pull *p, struct landing *l)
{
	struct content_hash c;
	struct hash content;
	struct err err;
	err_code rc;

	content_hash_init(&c);
	free(TAKE(l->blocks));
	l->listed = true; /* before the first job: judged below, and the file cannot end before this function's settle */
	rc = list_plan(p, l, &c, &err);
	content = content_hash_final(&c);
	if (rc == ERR_OK && !hash_eq(&content, &l->f->want->content))
		rc = err_set(&err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", l->f->want->path);
	if (rc) {
		if (transfer_fatal(rc))
			pull_fail(p, &err);
		landing_fail(p, l, &err);
	}
	landing_settle(p, l);
}

/* Those that turned out not to lie on the grid. */
static void
plan_relists(struct pull *p)
{
	for (;;) {
		struct landing *l;

		mutex_lock(&p->mu);
		l = p->relists;
		if (l) {
			p->relists = l->next;
			l->relist = false;
		}
		mutex_unlock(&p->mu);
		if (!l)
			return;
		plan_listed(p, l);
	}
}

/* ---- files whose extents are known --------------------------------------------------------------------------------------------- */

/* *blocks of all extents; false when they cannot be a file of that size. */
static bool
extents_plausible(const struct pull_file *f, uint64_t *blocks)
{
	*blocks = 0;
	for (uint32_t i = 0; i < f->extent_count; i++) {
		if (f->extents[i].count == 0 || f->extents[i].count > CHUNK_BLOCKS_MAX || f->extents[i].first >= CHUNK_BLOCKS_MAX)
			return false;
		*blocks += f->extents[i].count;
	}
	return *blocks > 0 && *blocks <= CHUNK_BLOCKS_MAX;
}

static void
plan_extents(struct pull *p, struct window *w, const struct pull_file *f, uint64_t blocks)
{
	struct landing *l = landing_new(p, f, f->extent_count > 1);
	uint64_t size = (uint64_t)f->want->size, index = 0;

	l->block_count = blocks;
	l->blocks = xcalloc(blocks, sizeof *l->blocks);
	for (uint32_t i = 0; i < f->extent_count; i++) {
		const struct wire_extent *x = &f->extents[i];
		struct need n = { .file = l, .first = x->first, .count = x->count, .index = index, .grid = l->several,
			.offset = index * BLOCK_LEN_MAX };
		uint64_t end = MIN(size, (index + x->count) * BLOCK_LEN_MAX);

		need_add(p, w, &x->chunk, &n, l->several ? end - n.offset : size);
		index += x->count;
	}
	w->files++;
	w->several += l->several;
	landing_settle(p, l);
}

/* Wait until few enough files are open. */
static void
wait_for_room(struct pull *p)
{
	bool wait = true;

	while (wait && !pull_stopped(p)) {
		plan_relists(p);
		mutex_lock(&p->mu);
		wait = p->open + WINDOW_OPEN > OPEN_MAX;
		if (wait && !p->relists)
			cond_wait_until(&p->can_plan, &p->mu, clock_mono_ms() + CANCEL_LOOK_MS);
		mutex_unlock(&p->mu);
	}
}

static void
window_next(struct pull *p, struct window *w)
{
	window_emit(p, w);
	wait_for_room(p);
	window_open(w);
}

static void
plan_file(struct pull *p, struct window *w, const struct pull_file *f)
{
	uint64_t blocks;

	if (f->want->size == 0) {
		landing_settle(p, landing_new(p, f, false));
		return;
	}
	if (f->extents && extents_plausible(f, &blocks) &&
	    (f->extent_count == 1 || blocks == cut_block_count((uint64_t)f->want->size))) {
		plan_extents(p, w, f, blocks);
		if (w->files >= WINDOW_FILES || w->several >= WINDOW_OPEN)
			window_next(p, w);
		return;
	}
	plan_listed(p, landing_new(p, f, true));
	wait_for_room(p);
}

/* Until every file has ended. */
static void
wait_for_end(struct pull *p)
{
	bool live = true;

	while (live) {
		plan_relists(p);
		look_for_cancel(p);
		mutex_lock(&p->mu);
		live = p->live > 0;
		if (live && !p->relists)
			cond_wait_until(&p->can_plan, &p->mu, clock_mono_ms() + CANCEL_LOOK_MS);
		mutex_unlock(&p->mu);
	}
}

static void
plan_all(struct pull *p, const struct pull_file *files, size_t n)
{
	struct window w;

	window_open(&w);
	for (size_t i = 0; i < n && !pull_stopped(p); i++)
		plan_file(p, &w, &files[i]);
	window_emit(p, &w);
	wait_for_end(p);
}

/* ---- from end to end --------------------------------------------------------------------------------------------------------------- */

static void
expect(const struct transfer_env *env, const struct pull_file *files, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += (uint64_t)files[i].want->size;
	progress_expect(env, n, bytes);
}

static void
run(struct pull *p, const struct pull_file *files, size_t n)
{
	pthread_t threads[PARALLEL_MAX];
	unsigned started = 0;
	struct err err;

	while (started < p->parallel && thread_start("fetch", fetcher_main, p, &threads[started], &err) == ERR_OK)
		started++;
	if (started == 0)
		pull_fail(p, &err);
	else
		plan_all(p, files, n);
	mutex_lock(&p->mu);
	p->planned = true;
	wake_all(p);
	mutex_unlock(&p->mu);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

err_code
pull_run(const struct transfer_env *env, const struct pull_file *files, size_t n, pull_open open_temp, pull_ready ready,
    struct err *err)
{
	struct pull p = { .env = env, .open_temp = open_temp, .ready = ready, .parallel = transfer_parallel(env) };

	if (n == 0)
		return ERR_OK;
	p.jobs_tail = &p.jobs;
	mutex_init(&p.callback, RANK_ENGINE);
	mutex_init(&p.mu, RANK_POOL);
	cond_init(&p.can_fetch);
	cond_init(&p.can_plan);
	expect(env, files, n);
	run(&p, files, n);
	cond_fini(&p.can_fetch);
	cond_fini(&p.can_plan);
	mutex_fini(&p.mu);
	mutex_fini(&p.callback);
	if (p.stop && err)
		*err = p.err;
	return p.stop ? p.err.code : ERR_OK;
}
