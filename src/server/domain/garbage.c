/*
 * Why the garbage collector never takes what somebody needs (I13).  Bytes come before metadata on the way in, metadata goes before
 * bytes on the way out, and between the two:
 *
 *   G1  A page of a block list has a row for each chunk it names.  Whoever writes a page looks at the rows in the same transaction
 *       and renews those that have not been used for a while (lease_renew); meta has one writer at a time.
 *   G2  A row goes in a transaction that finds its used_at before the horizon, and only if neither a page nor an open transfer named
 *       it in a walk that began after the horizon was taken.  A page or a lease that came later than the horizon has left a used_at
 *       that is not before it: lease_now only grows, and times are taken inside the transaction that writes them, while the horizon is
 *       taken inside one of the collector's own, when no writer's is under way.  So what the walk cannot have seen, the row says.
 *   G3  A row that loses its last name (a list goes, a chunk is compacted) is renewed in that transaction, so who has just been told
 *       where the bytes lie has a grace to fetch or name them.
 *   G4  Pages of a list go only in transactions that find nothing naming it and no commit writing its pages ahead (list_held);
 *       a commit holds the list before its first page is written and until its own transaction has ended.  A version gets the list of another
 *       only in a transaction that finds the other there, so a list that nothing names stays so, however many transactions its going takes.
 *   G5  An object is deleted only after the row's going is durable, and only while nobody publishes it: publishing holds it from before
 *       store_finish until the row is committed, deleting makes publishers wait, and looks at the rows in between.  So the object
 *       that a duplicate is acknowledged for cannot be the one that is being deleted.
 *   G6  An upload without a transfer (curl -T) has no lease; while it runs, no row as young as its beginning goes.
 *
 * A kill between any two of these leaves at most a row without a name or an object without a row: garbage for the next run.
 */
#include "server/domain/garbage.h"

#include "base/clock.h"
#include "server/domain/domain_internal.h"

struct leases {
	struct mutex mu; /* RANK_LEAF: asked inside transactions; guards all below */
	struct cond deleted;
	int64_t wall_us, mono_us, last_us; /* lease_now: both clocks at the start, the last answer */
	int64_t grace_us;
	struct upload *uploads;
	struct held *held;
	struct publishing *publishing, *deleting;
	struct gc_hooks hooks;
};

struct leases *
leases_new(void)
{
	struct leases *l = xcalloc(1, sizeof *l);

	mutex_init(&l->mu, RANK_LEAF);
	cond_init(&l->deleted);
	l->wall_us = clock_wall_us();
	l->mono_us = clock_mono_us();
	l->grace_us = GC_GRACE_US;
	return l;
}

void
leases_free(struct leases *l)
{
	if (!l)
		return;
	cond_fini(&l->deleted);
	mutex_fini(&l->mu);
	free(l);
}

void
domain_grace(struct domain *d, int64_t grace_us)
{
	d->leases->grace_us = grace_us;
}

int64_t
lease_grace(struct domain *d)
{
	return d->leases->grace_us;
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static int64_t
now_locked(struct leases *l)
{
	l->last_us = MAX(l->last_us + 1, l->wall_us + (clock_mono_us() - l->mono_us));
	return l->last_us;
}

int64_t
lease_now(struct domain *d)
{
	int64_t now;

	mutex_lock(&d->leases->mu);
	now = now_locked(d->leases);
	mutex_unlock(&d->leases->mu);
	return now;
}

int64_t
lease_horizon(struct domain *d)
{
	struct leases *l = d->leases;
	int64_t horizon;

	mutex_lock(&l->mu);
	horizon = now_locked(l) - l->grace_us;
	for (const struct upload *u = l->uploads; u; u = u->next)
		horizon = MIN(horizon, u->begun_at); /* G6 */
	mutex_unlock(&l->mu);
	return horizon;
}

/* With a grace of a day a chunk that is named over and over is written down four times a day. */
err_code
lease_renew(struct domain *d, struct meta_tx *tx, const struct id *project, const struct chunk *row, struct err *err)
{
	int64_t now = lease_now(d);

	if (row->used_at > now - d->leases->grace_us / 4)
		return ERR_OK;
	return meta_chunk_touch(tx, project, &row->id, now, err);
}

/* ---- uploads without a transfer ------------------------------------------------------------------------------------- */

void
content_upload_begin(struct domain *d, struct upload *u)
{
	struct leases *l = d->leases;

	mutex_lock(&l->mu);
	u->begun_at = now_locked(l);
	u->next = l->uploads;
	l->uploads = u;
	mutex_unlock(&l->mu);
}

void
content_upload_end(struct domain *d, struct upload *u)
{
	struct upload **p = &d->leases->uploads;

	mutex_lock(&d->leases->mu);
	while (*p && *p != u)
		p = &(*p)->next;
	if (*p)
		*p = u->next;
	mutex_unlock(&d->leases->mu);
}

/* ---- lists that are written ahead ----------------------------------------------------------------------------------- */

void
list_hold(struct domain *d, struct held *h)
{
	mutex_lock(&d->leases->mu);
	h->next = d->leases->held;
	d->leases->held = h;
	h->begun = true;
	mutex_unlock(&d->leases->mu);
}

void
list_release(struct domain *d, struct held *h)
{
	struct held **p = &d->leases->held;

	if (!h->begun)
		return;
	mutex_lock(&d->leases->mu);
	while (*p != h)
		p = &(*p)->next;
	*p = h->next;
	h->begun = false;
	mutex_unlock(&d->leases->mu);
}

bool
list_held(struct domain *d, const struct id *project, const struct id *list)
{
	const struct held *h;

	mutex_lock(&d->leases->mu);
	for (h = d->leases->held; h; h = h->next)
		if (id_eq(&h->list, list) && id_eq(&h->project, project))
			break;
	mutex_unlock(&d->leases->mu);
	return h != NULL;
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

static bool
key_eq(const struct store_key *a, const struct store_key *b)
{
	return hash_eq(&a->hash, &b->hash) && id_eq(&a->project, &b->project);
}

/* With the lock held. */
static bool
listed(const struct publishing *list, const struct store_key *key)
{
	for (; list; list = list->next)
		if (key_eq(&list->key, key))
			return true;
	return false;
}

static void
unlist(struct publishing **list, const struct publishing *p)
{
	while (*list != p)
		list = &(*list)->next;
	*list = p->next;
}

void
publish_begin(struct domain *d, struct publishing *p, const struct store_key *key)
{
	struct leases *l = d->leases;

	p->key = *key;
	mutex_lock(&l->mu);
	while (listed(l->deleting, key))
		cond_wait(&l->deleted, &l->mu);
	p->next = l->publishing;
	l->publishing = p;
	p->begun = true;
	mutex_unlock(&l->mu);
}

void
publish_end(struct domain *d, struct publishing *p)
{
	if (!p->begun)
		return;
	mutex_lock(&d->leases->mu);
	unlist(&d->leases->publishing, p);
	p->begun = false;
	mutex_unlock(&d->leases->mu);
}

/* False when somebody publishes it, or deletes it already. */
static bool
delete_begin(struct leases *l, struct publishing *p)
{
	bool mine;

	mutex_lock(&l->mu);
	mine = !listed(l->publishing, &p->key) && !listed(l->deleting, &p->key);
	if (mine) {
		p->next = l->deleting;
		l->deleting = p;
	}
	mutex_unlock(&l->mu);
	return mine;
}

static void
delete_end(struct leases *l, struct publishing *p)
{
	mutex_lock(&l->mu);
	unlist(&l->deleting, p);
	cond_broadcast(&l->deleted);
	mutex_unlock(&l->mu);
}

static err_code
is_named(struct domain *d, const struct store_key *key, bool *named, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = meta_begin(d->meta, META_READ, &tx, err);

	return rc ? rc : meta_object_named(tx, &key->project, &key->hash, named, err);
}

err_code
object_collect(struct domain *d, const struct store_key *key, bool *gone, struct err *err)
{
	struct publishing p = { .key = *key };
	bool named = true;
	err_code rc;

	*gone = false;
	if (!delete_begin(d->leases, &p)) /* G5 */
		return ERR_OK;
	rc = is_named(d, key, &named, err);
	if (!rc && !named) {
		rc = store_delete(d->store, key, err);
		*gone = !rc;
	}
	delete_end(d->leases, &p);
	return rc;
}

/* ---- asking for a collection ---------------------------------------------------------------------------------------- */

void
domain_collector(struct domain *d, const struct gc_hooks *hooks)
{
	d->leases->hooks = *hooks;
}

static err_code
no_collector(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "this server does not collect garbage");
}

err_code
gc_ask(struct domain *d, bool dry_run, uint64_t *run, struct err *err)
{
	const struct gc_hooks *h = &d->leases->hooks;

	if (!h->ask)
		return no_collector(err);
	*run = h->ask(h->ctx, dry_run);
	return *run ? ERR_OK : err_set(err, ERR_UNAVAILABLE, "another collection runs; try again when it has ended");
}

err_code
gc_report_get(struct domain *d, uint64_t run, struct gc_report *out, struct err *err)
{
	const struct gc_hooks *h = &d->leases->hooks;

	if (!h->report)
		return no_collector(err);
	return h->report(h->ctx, run, out) ? ERR_OK : err_set(err, ERR_NOT_FOUND, "there is no such collection");
}
