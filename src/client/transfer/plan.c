/*
 * Planning a pull: which runs of which chunks go where, and what need not be fetched.
 *
 * The feed gives a small file's extents but not its blocks' hashes and lengths.  A file in one run needs none: its bytes come in order.  A file in
 * several runs is assumed to be cut on the grid; should its chunks then say otherwise, its block list is asked for.
 *
 * What a list costs, 36 bytes for each 64 KiB and an answer's head of some 300, is paid for every file that comes without extents, and
 * for a smaller one where blocks of it are likely to be here: where an earlier attempt has left something, where a file of the same content
 * is here, or an older version of it, and it is large enough (LIST_FROM) that one block found outweighs the request.  Lists of small
 * files are asked for by the copiers, several at once; one after the other, they would cost a round trip each.
 */
#include "base/clock.h"
#include "chunk/cut.h"
#include "client/transfer/pull_internal.h"

/* ---- files by their list -------------------------------------------------------------------------------------------------------- */

static err_code
list_plan(struct pull *p, struct landing *l, bool known, struct content_hash *content, struct err *err)
{
	uint64_t size = (uint64_t)l->f->want->size, index = 0, offset = 0;

	while (offset < size) {
		struct page *pg = page_new(l, index, offset);
		err_code rc;

		pg->known = known;
		rc = page_fill(p, pg, err);
		if (rc == ERR_OK && pg->count == 0)
			rc = err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", l->f->want->path);
		if (rc) {
			page_release(p, pg);
			return rc;
		}
		for (uint32_t i = 0; i < pg->count; i++)
			content_hash_add(content, &pg->blocks[i].hash, pg->blocks[i].len);
		index += pg->count;
		offset += page_bytes(pg);
		sources_find(p, &l->sources, pg);
		page_queue(p, pg);
	}
	return ERR_OK;
}

static void
plan_pages(struct pull *p, struct landing *l, bool known)
{
	struct content_hash c;
	struct hash content;
	struct err err;
	err_code rc;

	content_hash_init(&c);
	rc = list_plan(p, l, known, &c, &err);
	content = content_hash_final(&c);
	if (rc == ERR_OK && !hash_eq(&content, &l->f->want->content))
		rc = err_set(&err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", l->f->want->path);
	if (rc) {
		if (transfer_fatal(rc))
			pull_fail(p, &err);
		landing_fail(p, l, &err);
	}
}

/* The caller's hold on the file is settled. */
static void
plan_done(struct pull *p, struct landing *l)
{
	landing_copied(p, l);
	landing_settle(p, l);
}

/* A file by the server's list. */
static void
plan_listed(struct pull *p, struct landing *l)
{
	free(TAKE(l->blocks));
	free(TAKE(l->weak));
	l->listed = true; /* before the first page: judged there, and the file cannot end before this function's settle */
	if (!l->sources)
		l->sources = sources_open(p, l->f);
	plan_pages(p, l, false);
	lean_free(TAKE(l->lean));
	plan_done(p, l);
}

/* Whether a list that is not the server's makes the content: nothing is built on it unseen.  Trouble with the line stops the pull. */
static bool
list_is_right(struct pull *p, const struct pull_file *f, struct sources *s, struct lean *lean)
{
	struct landing probe = { .f = f, .sources = s, .lean = lean };
	uint64_t size = (uint64_t)f->want->size, index = 0, offset = 0;
	struct content_hash c;
	struct hash content;
	bool known = true;
	struct err err;

	content_hash_init(&c);
	while (known && offset < size) {
		struct page *pg = page_new(&probe, index, offset);
		err_code rc;

		pg->known = !lean;
		rc = page_fill(p, pg, &err);
		if (lean && transfer_fatal(rc))
			pull_fail(p, &err);
		known = rc == ERR_OK && pg->count > 0;
		for (uint32_t i = 0; i < pg->count; i++)
			content_hash_add(&c, &pg->blocks[i].hash, pg->blocks[i].len);
		index += pg->count;
		offset += page_bytes(pg);
		page_release(p, pg);
	}
	content = content_hash_final(&c);
	return known && hash_eq(&content, &f->want->content);
}

/* Whether the list that we kept of the content is whole.  Our own database, and yet it is looked at. */
static bool
list_is_known(struct pull *p, const struct pull_file *f, struct sources *s)
{
	return list_is_right(p, f, s, NULL);
}

/* The list of a file of which an older version is here, if it comes out right without the hashes of its blocks. */
static struct lean *
list_by_extents(struct pull *p, const struct pull_file *f)
{
	struct lean *l = lean_open(p, f);

	if (l && !list_is_right(p, f, NULL, l)) {
		lean_free(l);
		return NULL;
	}
	if (l)
		lean_rewind(l);
	return l;
}

/* A file whose very content is here, with the list that we have of it: the server is not asked at all. */
static void
plan_known(struct pull *p, const struct pull_file *f, struct sources *s)
{
	struct landing *l = landing_new(p, f, true);

	l->sources = s;
	l->listed = true;
	plan_pages(p, l, true);
	plan_done(p, l);
}

/* A small file: whoever copies it asks for its list. */
static void
plan_later(struct pull *p, const struct pull_file *f, struct sources *s)
{
	struct landing *l = landing_new(p, f, true);
	struct page *pg = page_new(l, 0, 0);

	l->listed = true;
	l->sources = s;
	pg->unread = true;
	page_queue(p, pg);
	plan_done(p, l);
}

/* Those that turned out to need the server's list. */
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
	for (uint32_t i = 0; i < f->extent_count; i++) {
		const struct wire_extent *x = &f->extents[i];
		struct need n = { .file = l, .first = x->first, .count = x->count, .index = index, .grid = l->several,
			.offset = index * BLOCK_LEN_MAX };
		uint64_t end = MIN(size, (index + x->count) * BLOCK_LEN_MAX);

		window_need(p, w, &x->chunk, &n, l->several ? end - n.offset : size);
		index += x->count;
	}
	w->files++;
	w->several += l->several;
	plan_done(p, l);
}

/* ---- all files -------------------------------------------------------------------------------------------------------------------- */

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

/* Whether blocks of a file that came with its extents are likely to be here; then it is planned. */
static bool
plan_by_what_is_here(struct pull *p, const struct pull_file *f)
{
	uint64_t size = (uint64_t)f->want->size;
	struct sources *s = sources_open(p, f);

	if (s && sources_twin(s) >= 0 && list_is_known(p, f, s)) {
		plan_known(p, f, s);
		return true;
	}
	if (f->resumes || (s && size >= LIST_FROM)) {
		plan_later(p, f, s);
		return true;
	}
	sources_free(s);
	return false;
}

/* Of a large file the list is needed in any case, unless we have it. */
static void
plan_large(struct pull *p, const struct pull_file *f)
{
	struct sources *s = sources_open(p, f);
	struct landing *l;

	if (s && sources_twin(s) >= 0 && list_is_known(p, f, s)) {
		plan_known(p, f, s);
		return;
	}
	l = landing_new(p, f, true);
	l->sources = s;
	l->lean = s ? list_by_extents(p, f) : NULL;
	plan_listed(p, l);
}

static void
plan_file(struct pull *p, struct window *w, const struct pull_file *f)
{
	uint64_t blocks;

	if (f->want->size == 0) {
		plan_done(p, landing_new(p, f, false));
		return;
	}
	if (f->extents && extents_plausible(f, &blocks) &&
	    (f->extent_count == 1 || blocks == cut_block_count((uint64_t)f->want->size))) {
		if (plan_by_what_is_here(p, f)) {
			wait_for_room(p);
			return;
		}
		plan_extents(p, w, f, blocks);
		if (w->files >= WINDOW_FILES || w->several >= WINDOW_OPEN)
			window_next(p, w);
		return;
	}
	plan_large(p, f);
	wait_for_room(p);
}

/* Until every file has ended. */
static void
wait_for_end(struct pull *p)
{
	bool live = true;

	while (live) {
		plan_relists(p);
		(void)pull_stopped(p); /* looks whether it is cancelled */
		mutex_lock(&p->mu);
		live = p->live > 0;
		if (live && !p->relists)
			cond_wait_until(&p->can_plan, &p->mu, clock_mono_ms() + CANCEL_LOOK_MS);
		mutex_unlock(&p->mu);
	}
}

void
plan_all(struct pull *p, const struct pull_file *files, size_t n)
{
	struct window w;

	window_open(&w);
	for (size_t i = 0; i < n && !pull_stopped(p); i++)
		plan_file(p, &w, &files[i]);
	window_emit(p, &w);
	wait_for_end(p);
}
