/*
 * The cache of snapshots.  The contract is "snapshot, then the changes from its cursor, make the present tree", so an old one is as
 * right as a new one while the change feed reaches back to it; how old it may be is a matter of cost:
 *
 *   - the one of the present clock is served as long as it lives;
 *   - another is served for REBUILD_AFTER_US, so that a project that changes all the time is not built for every request;
 *   - after that it is built anew for whoever asks next;
 *   - who is in the middle of one, and says so by its name, gets that one for as long as it lives.
 *
 * One thread builds a (project, form, coding) at a time; others that want it wait and then look again.  A build that fails is the
 * builder's error; the next of those who wait tries for itself.
 */
#include "base/clock.h"
#include "base/log.h"
#include "server/domain/snapshot_internal.h"
#include "server/domain/tree.h"

#define REBUILD_AFTER_US (10 * 60 * INT64_C(1000000)) /* at most ten minutes of changes on top */

struct building {
	struct building *next;
	struct id project;
	int format;
};

struct snapshots {
	struct mutex mu; /* RANK_DOMAIN; guards ${first} */
	struct cond ended;
	struct building *first;
};

struct snapshots *
snapshots_new(void)
{
	struct snapshots *s = xcalloc(1, sizeof *s);

	mutex_init(&s->mu, RANK_DOMAIN);
	cond_init(&s->ended);
	return s;
}

void
snapshots_free(struct snapshots *s)
{
	if (!s)
		return;
	cond_fini(&s->ended);
	mutex_fini(&s->mu);
	free(s);
}

int
snapshot_format(enum snapshot_form form, enum snapshot_coding coding)
{
	return (int)coding * 2 + (int)form;
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static bool
is_right(const struct snapshot *s, const struct project *p)
{
	return cursor_check(p, true, &s->epoch, s->clock, NULL) == ERR_OK;
}

static bool
is_fresh(const struct snapshot *s, const struct project *p, int64_t now_us)
{
	return s->clock == p->clock || now_us - s->created_at < REBUILD_AFTER_US;
}

/* ${named} NULL: any that is fresh. */
static err_code
cached(struct domain *d, const struct id *project, int format, const struct hash *named, struct snapshot *out, bool *found, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	int64_t now_us = clock_wall_us();
	struct project p;
	err_code rc;

	*found = false;
	rc = meta_begin(d->meta, META_READ, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (rc)
		return rc;
	rc = named ? meta_snapshot_named(tx, project, format, named, now_us, out, err)
		   : meta_snapshot_latest(tx, project, format, now_us, out, err);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	*found = !rc && is_right(out, &p) && (named || is_fresh(out, &p, now_us));
	return rc;
}

/* How to send it.  NOT_FOUND when its object is gone: then it is as good as not cached. */
static err_code
lay_out(struct domain *d, const struct id *project, const struct snapshot *row, struct snapshot_out *out, struct err *err)
{
	err_code rc;

	*out = (struct snapshot_out){ .row = *row, .key = { .project = *project, .hash = row->object }, .fd = -1 };
	rc = store_open_fd(d->store, &out->key, &out->fd, &out->len, err);
	if (rc == ERR_NOT_IMPLEMENTED) {
		out->fd = -1;
		rc = store_size(d->store, &out->key, &out->len, err);
	}
	return rc;
}

static err_code
serve_cached(struct domain *d, const struct id *project, int format, const struct hash *named, struct snapshot_out *out, bool *found,
    struct err *err)
{
	struct snapshot row;
	err_code rc = cached(d, project, format, named, &row, found, err);

	if (rc || !*found)
		return rc;
	rc = lay_out(d, project, &row, out, err);
	if (rc == ERR_NOT_FOUND) {
		*found = false;
		return ERR_OK;
	}
	return rc;
}

/* ---- one builder at a time --------------------------------------------------------------------------------------- */

/* True: the caller is the builder now.  False: somebody else was, and has ended. */
static bool
enter(struct snapshots *s, struct building *mine)
{
	struct building *b;

	mutex_lock(&s->mu);
	for (b = s->first; b; b = b->next)
		if (b->format == mine->format && id_eq(&b->project, &mine->project))
			break;
	if (b)
		cond_wait(&s->ended, &s->mu);
	else {
		mine->next = s->first;
		s->first = mine;
	}
	mutex_unlock(&s->mu);
	return !b;
}

static void
leave(struct snapshots *s, struct building *mine)
{
	struct building **b = &s->first;

	mutex_lock(&s->mu);
	while (*b != mine)
		b = &(*b)->next;
	*b = mine->next;
	cond_broadcast(&s->ended);
	mutex_unlock(&s->mu);
}

static err_code
row_write(struct domain *d, const struct id *project, const struct snapshot *row, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project p;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = project_in(tx, project, &p, err);
	if (!rc)
		rc = meta_snapshot_add(tx, project, row, err);
	return rc ? rc : meta_commit(&tx, err);
}

/* The builder's turn: somebody may have built it between his look and his turn, so he looks once more. */
static err_code
build(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, struct snapshot_out *out, struct err *err)
{
	struct publishing publishing = { .begun = false };
	struct snapshot row;
	bool found;
	err_code rc;

	rc = serve_cached(d, project, snapshot_format(form, coding), NULL, out, &found, err);
	if (rc || found)
		return rc;
	rc = snapshot_build(d, project, form, coding, encoder, &publishing, &row, err);
	if (!rc)
		rc = row_write(d, project, &row, err);
	publish_end(d, &publishing);
	return rc ? err_wrap(err, "build a snapshot") : lay_out(d, project, &row, out, err);
}

err_code
snapshot_open(struct domain *d, const struct id *project, enum snapshot_form form, enum snapshot_coding coding,
    const struct snapshot_encoder *encoder, const struct hash *named, struct snapshot_out *out, struct err *err)
{
	struct building mine = { .project = *project, .format = snapshot_format(form, coding) };
	bool found = false;
	err_code rc = ERR_OK;

	if (named)
		rc = serve_cached(d, project, mine.format, named, out, &found, err);
	if (rc || found)
		return rc;
	for (;;) {
		rc = serve_cached(d, project, mine.format, NULL, out, &found, err);
		if (rc || found)
			return rc;
		if (enter(d->snapshots, &mine))
			break;
	}
	rc = build(d, project, form, coding, encoder, out, err);
	leave(d->snapshots, &mine);
	return rc;
}

err_code
snapshot_read(struct domain *d, const struct snapshot_out *s, uint64_t off, uint8_t *buf, size_t len, size_t *got,
    struct err *err)
{
	return store_read(d->store, &s->key, off, buf, len, got, err);
}

/* ---- expiry ------------------------------------------------------------------------------------------------------ */

static err_code
rows_expire(struct domain *d, const struct id *project, int64_t now_us, struct hash **objects, size_t *n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct snapshot *rows;
	err_code rc;

	rc = meta_begin(d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = meta_snapshot_expire(tx, project, now_us, &rows, n, err);
	if (rc || *n == 0)
		return rc;
	*objects = xcalloc(*n, sizeof **objects);
	for (size_t i = 0; i < *n; i++)
		(*objects)[i] = rows[i].object;
	return meta_commit(&tx, err);
}

/* Rows first: an object without a row is garbage, a row without its object would be looked for in vain. */
err_code
snapshot_expire(struct domain *d, const struct id *project, int64_t now_us, struct err *err)
{
	AUTO(freep) struct hash *objects = NULL;
	size_t n = 0;
	err_code rc = rows_expire(d, project, now_us, &objects, &n, err);

	for (size_t i = 0; !rc && i < n; i++) {
		struct store_key key = { .project = *project, .hash = objects[i] };
		bool gone;

		rc = object_collect(d, &key, &gone, err); /* a younger snapshot may be the same bytes */
	}
	return rc;
}
