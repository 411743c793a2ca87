/*
 * A collection, project by project:
 *
 *   1  block lists that nothing names go; what they named is renewed (G3), so its grace begins now
 *   2  the horizon is taken
 *   3  a range of chunks at a time: mark, sweep, compact
 *
 * and at the end objects without a row: of deleted projects, and what a crash left between an object and its row.  Why none of it can
 * hurt is written down in domain/garbage.c (G1 to G6).
 */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "server/job/gc_internal.h"

#define PROJECTS 100
#define LISTS 200     /* looked at in one reader, at most */
#define DROP_PAGES 64 /* removed in one transaction */
#define OBJECTS 1000  /* asked for at a time */
#define READER_MS 20  /* far below what a checkpoint waits for readers: LOG_RESTART_WAIT_MS of db/sqlite_tx.c */

err_code
rest(struct collection *c, struct err *err)
{
	if (c->rest && !c->rest(c->ctx, c->report))
		return err_set(err, ERR_UNAVAILABLE, "the server stops");
	return ERR_OK;
}

int64_t
reader_until(void)
{
	return clock_mono_ms() + READER_MS;
}

bool
reader_over(int64_t until)
{
	return clock_mono_ms() >= until && !FAULT("job.gc_long_readers");
}

/* ---- lists that nothing names --------------------------------------------------------------------------------------- */

/* Up to LISTS lists after *after, which moves on; those that nothing names into ${dead}. */
static err_code
find_dead(struct collection *c, struct id *after, bool *first, struct id *dead, size_t *n, bool *more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t until = reader_until();
	err_code rc = meta_begin(c->meta, META_READ, &tx, err);

	*n = 0;
	*more = true;
	for (size_t i = 0; !rc && i < LISTS && (i == 0 || !reader_over(until)); i++) {
		struct id list;
		bool named = true;

		rc = meta_list_after(tx, &c->project, *first ? NULL : after, &list, err);
		if (rc == ERR_NOT_FOUND) {
			*more = false;
			return ERR_OK;
		}
		if (!rc)
			rc = meta_list_named(tx, &c->project, &list, &named, err);
		if (!rc && !named && !list_held(c->d, &c->project, &list))
			dead[(*n)++] = list;
		*after = list;
		*first = false;
	}
	return rc;
}

struct renewal {
	struct meta_tx *tx;
	const struct id *project;
	struct hash last;
	int64_t now;
	err_code rc;
	struct err *err;
};

static void
renew_extent(void *ctx, const struct extent *e, const uint8_t *blocks)
{
	struct renewal *r = ctx;

	(void)blocks;
	if (r->rc || hash_eq(&r->last, &e->chunk))
		return;
	r->last = e->chunk;
	r->rc = meta_chunk_touch(r->tx, r->project, &e->chunk, r->now, r->err);
}

/* The first pages of a list that nothing names (G4); *more: there are others. */
static err_code
drop_some(struct collection *c, const struct id *list, bool *more, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct renewal r = { .project = &c->project, .err = err };
	struct blocks_row *rows;
	bool named = true;
	size_t n = 0, k = 0;
	err_code rc = meta_begin(c->meta, META_WRITE, &tx, err);

	*more = false;
	if (!rc)
		rc = meta_list_named(tx, &c->project, list, &named, err);
	if (rc || named || list_held(c->d, &c->project, list))
		return rc;
	rc = meta_blocks_list(tx, &c->project, list, -1, DROP_PAGES, &rows, &n, err);
	r.tx = tx;
	r.now = lease_now(c->d);
	for (; !rc && k < n && id_eq(&rows[k].list, list); k++) {
		page_extents(rows[k].packed, rows[k].len, renew_extent, &r);
		rc = r.rc;
	}
	if (rc || k == 0)
		return rc;
	*more = k == DROP_PAGES;
	rc = meta_blocks_drop(tx, &c->project, list, rows[k - 1].page, err);
	return rc ? rc : meta_commit(&tx, err);
}

static err_code
drop_list(struct collection *c, const struct id *list, struct err *err)
{
	bool more = !c->report->dry_run;
	err_code rc = ERR_OK;

	c->report->lists_removed++;
	while (!rc && more) {
		rc = drop_some(c, list, &more, err);
		if (!rc)
			rc = rest(c, err);
	}
	return rc;
}

static err_code
drop_lists(struct collection *c, struct err *err)
{
	AUTO(freep) struct id *dead = xcalloc(LISTS, sizeof *dead);
	struct id after = { 0 };
	bool first = true, more = true;
	err_code rc = ERR_OK;

	while (!rc && more) {
		size_t n;

		rc = find_dead(c, &after, &first, dead, &n, &more, err);
		for (size_t i = 0; !rc && i < n; i++)
			rc = drop_list(c, &dead[i], err);
		if (!rc)
			rc = rest(c, err);
	}
	return rc;
}

/* ---- a project ------------------------------------------------------------------------------------------------------ */

static err_code
range(struct collection *c, struct err *err)
{
	err_code rc = marks_pages(c, err);

	if (!rc)
		rc = marks_leases(c, err);
	if (!rc)
		rc = sweep(c, err);
	if (rc || c->no_room)
		return rc;
	rc = compact(c, err);
	if (rc != ERR_NO_SPACE && rc != ERR_READ_ONLY)
		return rc;
	log_error(err, "chunks of which little is left are not rewritten now; garbage is still removed");
	c->no_room = true; /* that is when a sweep is needed most */
	return ERR_OK;
}

/*
 * G2: while this holds the writer, no other has a time taken and its rows still to be committed; and when this commit returns, so have those
 * who share its fsync.  So the walks that follow see every row whose time is before the horizon.
 */
static err_code
take_horizon(struct collection *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = meta_begin(c->meta, META_WRITE, &tx, err);

	if (rc)
		return rc;
	c->horizon = lease_horizon(c->d);
	return meta_commit(&tx, err);
}

static err_code
project(struct collection *c, struct err *err)
{
	struct hash last;
	err_code rc = drop_lists(c, err);

	if (!rc)
		rc = take_horizon(c, err);
	for (bool first = true; !rc && (first || c->marks.more); first = false) {
		rc = marks_load(c, first ? NULL : &last, err);
		if (rc || c->marks.n == 0)
			break;
		last = c->marks.a[c->marks.n - 1].id;
		rc = range(c, err);
	}
	c->report->projects++;
	return rc;
}

/* One that is deleted while it is being looked at is no failure: its objects are the next collection's. */
static err_code
project_or_gone(struct collection *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	struct err look;
	err_code rc = project(c, err);

	if (rc != ERR_NOT_FOUND || meta_begin(c->meta, META_READ, &tx, &look))
		return rc;
	return meta_project_get(tx, &c->project, &p, &look) == ERR_NOT_FOUND ? ERR_OK : rc;
}

static err_code
project_page(struct collection *c, const struct id *after, struct id ids[PROJECTS], size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project *page;
	err_code rc = meta_begin(c->meta, META_READ, &tx, err);

	*n = 0;
	if (!rc)
		rc = meta_project_list(tx, NULL, after, PROJECTS, &page, n, err);
	for (size_t i = 0; !rc && i < *n; i++)
		ids[i] = page[i].id;
	return rc;
}

static err_code
projects(struct collection *c, struct err *err)
{
	struct id ids[PROJECTS];
	size_t n = PROJECTS;
	err_code rc = ERR_OK;

	for (bool first = true; !rc && n == PROJECTS; first = false) {
		rc = project_page(c, first ? NULL : &c->project, ids, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			c->project = ids[i];
			rc = project_or_gone(c, err);
		}
	}
	return rc;
}

/* ---- objects without a row ------------------------------------------------------------------------------------------ */

struct object {
	struct store_key key;
	uint64_t size;
	bool named;
};

struct orphans {
	struct collection *c;
	struct object *a;
	size_t n;
	err_code rc;
	struct err *err;
};

/* In one reader, from object *i on. */
static err_code
ask_some(struct orphans *o, size_t *i, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t until = reader_until();
	size_t first = *i;
	err_code rc = meta_begin(o->c->meta, META_READ, &tx, err);

	for (; !rc && *i < o->n && (*i == first || !reader_over(until)); ++*i)
		rc = meta_object_named(tx, &o->a[*i].key.project, &o->a[*i].key.hash, &o->a[*i].named, err);
	return rc;
}

static err_code
ask_names(struct orphans *o, struct err *err)
{
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < o->n;)
		rc = ask_some(o, &i, err);
	return rc;
}

/* An age within a grace of now, also one in the future: the clock may have been set. */
static err_code
is_young(struct collection *c, const struct store_key *key, bool *young, struct err *err)
{
	int64_t age, grace = lease_grace(c->d);
	err_code rc = store_age(c->store, key, &age, err);

	*young = rc == ERR_NOT_FOUND || (age < grace && age > -grace);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

static err_code
orphan(struct collection *c, const struct object *o, struct err *err)
{
	bool young = true, gone = c->report->dry_run;
	err_code rc = is_young(c, &o->key, &young, err);

	if (!rc && !young && !c->report->dry_run)
		rc = object_collect(c->d, &o->key, &gone, err);
	if (!rc && !young && gone) {
		c->report->objects_removed++;
		c->report->object_bytes_removed += o->size;
	}
	return rc;
}

static err_code
orphans_some(struct orphans *o, struct err *err)
{
	err_code rc = ask_names(o, err);

	for (size_t i = 0; !rc && i < o->n; i++)
		if (!o->a[i].named)
			rc = orphan(o->c, &o->a[i], err);
	o->n = 0;
	return rc ? rc : rest(o->c, err);
}

static bool
orphan_seen(void *ctx, const struct store_key *key, uint64_t size)
{
	struct orphans *o = ctx;

	o->a[o->n++] = (struct object){ .key = *key, .size = size };
	if (o->n == OBJECTS)
		o->rc = orphans_some(o, o->err);
	return !o->rc;
}

static err_code
objects(struct collection *c, struct err *err)
{
	AUTO(freep) struct object *a = xcalloc(OBJECTS, sizeof *a);
	struct orphans o = { .c = c, .a = a, .err = err };
	err_code rc = store_list(c->store, orphan_seen, &o, err);

	if (!rc)
		rc = o.rc;
	return rc ? rc : orphans_some(&o, err);
}

err_code
collect(struct collection *c, struct err *err)
{
	err_code rc = projects(c, err);

	if (!rc)
		rc = objects(c, err);
	marks_fini(&c->marks);
	return rc ? err_wrap(err, "collect garbage") : ERR_OK;
}
