/*
 * Group commit for chunks.  Every chunk that has become durable needs two rows, and a transaction costs an fsync; with eight
 * chunks arriving at once that would be eight.  So who comes while a transaction runs waits in a list, and whoever finds nobody
 * leading takes the whole list and writes it in one.
 *
 * A neighbour's mistake (a transfer that has ended, a number that is taken, a quota that is used up) is found before anything is written for it, so it
 * costs the others nothing.  When the transaction as such fails, each is tried again alone: either all meet the same trouble, or
 * the one that causes it does.
 */
#include "base/clock.h"
#include "base/fault.h"
#include "server/domain/domain_internal.h"

#define GROUP_MAX 256 /* rows in one transaction: bounds how long the database's one writer is held */

struct registrar {
	struct mutex mu; /* RANK_DOMAIN; guards the list, ${leading} and done of every registration */
	struct cond done;
	struct registration *first, **last;
	bool leading;
};

struct registrar *
registrar_new(void)
{
	struct registrar *r = xcalloc(1, sizeof *r);

	mutex_init(&r->mu, RANK_DOMAIN);
	cond_init(&r->done);
	r->last = &r->first;
	return r;
}

void
registrar_free(struct registrar *r)
{
	if (!r)
		return;
	cond_fini(&r->done);
	mutex_fini(&r->mu);
	free(r);
}

/* What the registration asks for is refused: nothing has been written for it, and its neighbours go on. */
static bool
is_refusal(err_code rc)
{
	return rc == ERR_NOT_FOUND || rc == ERR_TRANSFER_GONE || rc == ERR_CHUNK_CONFLICT || rc == ERR_QUOTA;
}

static err_code
check_number(struct meta_tx *tx, const struct registration *r, bool *here, struct err *err)
{
	struct transfer_chunk *rows;
	size_t n;
	err_code rc = meta_transfer_chunk_list(tx, &r->transfer, r->n, 1, &rows, &n, err);

	*here = false;
	if (rc || n == 0 || rows[0].n != r->n)
		return rc;
	if (!hash_eq(&rows[0].chunk, &r->chunk.id))
		return err_set(err, ERR_CHUNK_CONFLICT, "number %u of the transfer holds another chunk", (unsigned)r->n);
	*here = true;
	return ERR_OK;
}

/*
 * Progress is written down once a second at most, and that is when a pause shows: the row is older than TRANSFER_PAUSE_US, or than
 * this start of the server.
 */
static err_code
write_progress(struct domain *d, struct meta_tx *tx, const struct registration *r, const struct transfer *t, struct err *err)
{
	int64_t now_us = clock_wall_us();
	struct transfer_progress p;
	err_code rc = meta_transfer_progress_get(tx, &r->transfer, &p, err);

	if (!rc && (p.updated_at < d->opened_at || p.updated_at < now_us - TRANSFER_PAUSE_US))
		rc = meta_transfer_event(tx, &r->project, &r->transfer, "resumed", now_us, err);
	return rc ? rc : meta_transfer_progress(tx, &r->transfer, t->bytes_done + r->chunk.stored_len, now_us, err);
}

static err_code
write_transfer_rows(struct domain *d, struct meta_tx *tx, const struct registration *r, const struct transfer *t, struct err *err)
{
	struct transfer_chunk row = { .n = r->n, .chunk = r->chunk.id };
	err_code rc;

	if (FAULT("domain.lease_late")) /* M14: acknowledged, and the lease is still to come */
		return ERR_OK;
	rc = meta_transfer_chunk_add(tx, &r->transfer, &row, r->chunk.stored_len, err);
	if (rc == ERR_EXISTS)
		return err_set(err, ERR_CHUNK_CONFLICT, "number %u of the transfer holds another chunk", (unsigned)r->n);
	if (rc || !r->progress_due)
		return rc;
	return write_progress(d, tx, r, t, err);
}

static err_code
write_one(struct domain *d, struct meta_tx *tx, struct registration *r, struct err *err)
{
	struct transfer t;
	bool here = false;
	err_code rc;

	r->chunk.used_at = lease_now(d); /* G2: inside the transaction */
	if (id_is_zero(&r->transfer)) {
		rc = quota_check(tx, &r->project, &r->chunk, err);
		return rc ? rc : meta_chunk_add(tx, &r->project, &r->chunk, err);
	}
	rc = transfer_open_mine(tx, &r->project, &r->device, &r->transfer, &t, err);
	if (!rc)
		rc = check_number(tx, r, &here, err);
	if (!rc)
		rc = quota_check(tx, &r->project, &r->chunk, err);
	if (!rc)
		rc = meta_chunk_add(tx, &r->project, &r->chunk, err);
	if (rc || here)
		return rc;
	return write_transfer_rows(d, tx, r, &t, err);
}

/* ${n} registrations from ${r} on, in one transaction.  Refusals are the registrations' own; anything else is everybody's. */
static err_code
write_group(struct domain *d, struct registration *r, size_t n, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc = meta_begin(d->meta, META_WRITE, &tx, err);

	for (size_t i = 0; !rc && i < n; i++, r = r->next) {
		r->rc = write_one(d, tx, r, &r->err);
		if (r->rc && !is_refusal(r->rc)) {
			if (err)
				*err = r->err;
			rc = r->rc;
		}
	}
	return rc ? rc : meta_commit(&tx, err);
}

static void
write_alone(struct domain *d, struct registration *r)
{
	err_code rc = write_group(d, r, 1, &r->err);

	if (rc)
		r->rc = rc;
}

static void
lead(struct domain *d, struct registration *group, size_t n)
{
	struct err err;
	err_code rc = n > 1 ? write_group(d, group, n, &err) : ERR_OK;

	if (n > 1 && !rc)
		return;
	for (size_t i = 0; i < n; i++, group = group->next)
		write_alone(d, group);
}

/* Takes up to GROUP_MAX off the list, which stays a list of their own; the lock is held. */
static struct registration *
take_group(struct registrar *q, size_t *n)
{
	struct registration *group = q->first, **end = &q->first;

	for (*n = 0; *n < GROUP_MAX && *end; (*n)++)
		end = &(*end)->next;
	q->first = *end;
	*end = NULL;
	if (!q->first)
		q->last = &q->first;
	return group;
}

static void
lead_locked(struct domain *d, struct registrar *q)
{
	size_t n;
	struct registration *group = take_group(q, &n);

	q->leading = true;
	mutex_unlock(&q->mu);
	lead(d, group, n);
	mutex_lock(&q->mu);
	q->leading = false;
	while (group) { /* once done is seen, its owner may free it */
		struct registration *next = group->next;

		group->done = true;
		group = next;
	}
	cond_broadcast(&q->done);
}

err_code
register_chunk(struct domain *d, struct registration *r, struct err *err)
{
	struct registrar *q = d->registrar;

	r->progress_due = !id_is_zero(&r->transfer) && recent_due(d->progress, &r->transfer);
	r->done = false;
	r->next = NULL;
	mutex_lock(&q->mu);
	*q->last = r;
	q->last = &r->next;
	while (!r->done) {
		if (q->leading)
			cond_wait(&q->done, &q->mu);
		else
			lead_locked(d, q);
	}
	mutex_unlock(&q->mu);
	if (r->rc && err)
		*err = r->err;
	return r->rc;
}
