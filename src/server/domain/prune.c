/*
 * Old versions go in the course of time.  What goes is always the oldest part of a file's history, so for each file one number is
 * found, its cut, and every row older than it is removed:
 *
 *   by count   the keep_versions-th newest state that is no tombstone; none when there are fewer
 *   by age     the state that was the present one keep_days ago: all before it were replaced earlier than that
 *   the later of the two, but by count never past the state that was the present one KEEP_ALWAYS_US ago: what was replaced since
 *   may be on its way to a device (a download, a copy that names it)
 *
 * A cut is a row that stays, so the present state never goes, live or tombstone; and of a deleted file the last state before the
 * tombstone is the newest of those that count, so it goes by age alone, counted from the deletion.
 *
 * Only rows of file_versions go; the block lists and chunks that nothing names any more are the garbage collector's.
 *
 * The walk over a project's files is a keyset walk whose place is in the database, so a restart goes on from it.  Reading happens in
 * readers' transactions, which hold nobody up; a file's cut is found in the transaction that removes its rows, so a commit in between is
 * seen.  A call does a bounded piece of work, and the next goes on with the project after, so none waits for a larger one's walk to end.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/domain/domain_internal.h"
#include "server/domain/history.h"

#define DAY_US (24 * 3600 * INT64_C(1000000))
#define WALK_EVERY_US (6 * 3600 * INT64_C(1000000)) /* between two walks over a project, unless its policy changes */
#define PAGE_FILES 500                              /* looked at in one reader */
#define TICK_FILES 20000 /* looked at in one call: a walk over 1,000,000 files takes 50 calls of 0.15 s of CPU each */
#define WALK_FILES 100   /* what a walk counts for beside its files: its place is written down */
#define TX_ROWS 500      /* removed in one transaction: a few milliseconds of the one writer's time */
#define TICK_ROWS 20000  /* removed in one call */

/* A call at work. */
struct prune {
	struct domain *d;
	int64_t now_us;
	unsigned files, rows; /* what is left of the call's share */
	uint64_t gone;
	/* the project at hand */
	struct id project;
	struct policy policy;
	struct history_walk walk;
};

/* ---- one file ------------------------------------------------------------------------------------------------------- */

/* The state that was the present one at ${at}; 0: there was none. */
static err_code
present_at(struct meta_tx *tx, const struct prune *p, const struct id *file, int64_t at, int64_t *version, struct err *err)
{
	struct version *rows;
	size_t n;
	err_code rc = meta_version_list(tx, &p->project, file, at + 1, 1, &rows, &n, err);

	*version = rc || n == 0 ? 0 : rows[0].version;
	return rc;
}

/* Versions older than *cut go. */
static err_code
find_cut(struct meta_tx *tx, const struct prune *p, const struct id *file, int64_t *cut, struct err *err)
{
	int64_t by_age = 0, by_count = 0, always = 0;
	err_code rc = ERR_OK;

	if (p->policy.keep_days)
		rc = present_at(tx, p, file, p->now_us - p->policy.keep_days * DAY_US, &by_age, err);
	if (!rc && p->policy.keep_versions)
		rc = meta_version_nth(tx, &p->project, file, (unsigned)p->policy.keep_versions, &by_count, err);
	if (!rc && by_count)
		rc = present_at(tx, p, file, p->now_us - KEEP_ALWAYS_US, &always, err);
	*cut = MAX(by_age, MIN(by_count, always));
	return rc;
}

/* ---- a few files in one transaction ------------------------------------------------------------------------------------ */

/* Whether a look at the numbers alone says that nothing of the file can go. */
static bool
is_kept(const struct prune *p, const struct history_file *f)
{
	bool few = !p->policy.keep_versions || f->count <= p->policy.keep_versions;
	bool young = !p->policy.keep_days || f->oldest > p->now_us - p->policy.keep_days * DAY_US;

	return f->count == 1 || (few && young);
}

/* Removes from files[*at…] until ${TX_ROWS} are gone; *at is then the first that may have more. */
static err_code
prune_some(struct prune *p, const struct history_file *files, size_t n, size_t *at, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	unsigned room = MIN(TX_ROWS, p->rows), gone = 0;
	size_t i = *at;
	err_code rc = meta_begin(p->d->meta, META_WRITE, &tx, err);

	for (; !rc && i < n; i++) {
		unsigned more = 0;
		int64_t cut;

		rc = find_cut(tx, p, &files[i].file, &cut, err);
		if (!rc && cut)
			rc = meta_version_prune(tx, &p->project, &files[i].file, cut, room - gone, &more, err);
		gone += more;
		if (gone == room)
			break;
	}
	if (!rc)
		rc = meta_commit(&tx, err);
	if (rc)
		return rc;
	*at = i;
	p->rows -= gone;
	p->gone += gone;
	return ERR_OK;
}

/* ---- a project --------------------------------------------------------------------------------------------------------- */

/* The files after the walk's place: those of which something may go in ${out}, which holds PAGE_FILES; *last: where the page ends. */
static err_code
read_page(struct prune *p, struct history_file *out, size_t *n, size_t *seen, struct id *last, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	unsigned limit = MIN(PAGE_FILES, p->files);
	struct history_file *rows;
	err_code rc = meta_begin(p->d->meta, META_READ, &tx, err);

	*n = *seen = 0;
	if (!rc)
		rc = meta_history_files(tx, &p->project, &p->walk.file, limit, &rows, seen, err);
	for (size_t i = 0; !rc && i < *seen; i++) {
		if (!is_kept(p, &rows[i]))
			out[(*n)++] = rows[i];
		*last = rows[i].file;
	}
	return rc;
}

/* One page of the walk; *more: the walk is not at its end. */
static err_code
walk_page(struct prune *p, struct history_file *page, bool *more, struct err *err)
{
	size_t n, seen, at = 0;
	struct id last;
	err_code rc = read_page(p, page, &n, &seen, &last, err);

	while (!rc && at < n && p->rows > 0) {
		rc = prune_some(p, page, n, &at, err);
		if (!rc && at > 0)
			p->walk.file = page[at - 1].file;
	}
	if (rc)
		return rc;
	*more = at < n || seen == MIN(PAGE_FILES, p->files);
	if (at == n && seen > 0)
		p->walk.file = last;
	p->files -= (unsigned)seen;
	return ERR_OK;
}

static err_code
walk_save(struct prune *p, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project now;
	err_code rc = meta_begin(p->d->meta, META_WRITE, &tx, err);

	if (!rc)
		rc = meta_project_get(tx, &p->project, &now, err);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK; /* deleted meanwhile */
	/* A policy that has changed meanwhile asks for a walk of its own (project_update). */
	if (!rc && memcmp(&now.policy, &p->policy, sizeof now.policy) == 0)
		rc = meta_history_walk_put(tx, &p->project, &p->walk, err);
	return rc ? rc : meta_commit(&tx, err);
}

static err_code
walk_find(struct prune *p, bool *due, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project row;
	err_code rc = meta_begin(p->d->meta, META_READ, &tx, err);

	*due = false;
	if (!rc)
		rc = meta_project_get(tx, &p->project, &row, err);
	if (!rc)
		rc = meta_history_walk_get(tx, &p->project, &p->walk, err);
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	p->policy = row.policy;
	if (!p->policy.keep_versions && !p->policy.keep_days)
		return ERR_OK;
	/* A wall clock that was put back must not stop the walks. */
	*due = !id_is_zero(&p->walk.file) || p->now_us - p->walk.ended_at >= WALK_EVERY_US || p->walk.ended_at > p->now_us;
	return ERR_OK;
}

static err_code
prune_project(struct prune *p, struct history_file *page, struct err *err)
{
	bool due, more = true;
	err_code rc = walk_find(p, &due, err);

	if (rc || !due)
		return rc;
	p->files -= MIN(WALK_FILES, p->files);
	while (!rc && more && p->files > 0 && p->rows > 0)
		rc = walk_page(p, page, &more, err);
	if (!rc && !more)
		p->walk = (struct history_walk){ .ended_at = p->now_us };
	return rc ? rc : walk_save(p, err);
}

/* ---- all projects ------------------------------------------------------------------------------------------------------ */

err_code
history_prune(struct domain *d, int64_t now_us, struct err *err)
{
	struct prune p = { .d = d, .now_us = now_us, .files = TICK_FILES, .rows = TICK_ROWS };
	AUTO(freep) struct history_file *page = xcalloc(PAGE_FILES, sizeof *page);
	AUTO(freep) struct id *ids = xcalloc(ROWS_PAGE, sizeof *ids);
	size_t n = ROWS_PAGE;
	err_code rc = ERR_OK;

	while (!rc && n == ROWS_PAGE && p.files > 0 && p.rows > 0) {
		rc = project_ids(d, &d->pruned, ids, &n, err);
		for (size_t i = 0; !rc && i < n && p.files > 0 && p.rows > 0; i++) {
			p.project = d->pruned = ids[i];
			rc = prune_project(&p, page, err);
		}
	}
	if (n < ROWS_PAGE && p.files > 0 && p.rows > 0)
		d->pruned = (struct id){ 0 }; /* all have had their turn */
	if (p.gone > 0)
		log_event(LOG_INFO, "old versions have gone", LOG_U64("count", p.gone));
	return rc ? err_wrap(err, "prune the history") : ERR_OK;
}
