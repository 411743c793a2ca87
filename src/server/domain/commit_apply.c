/*
 * The transaction.  Operations are applied one after the other to the tree as the transaction sees it, so each sees what those
 * before it did, and nothing but the transaction itself has to remember.
 *
 * Clocks are taken in runs and given out in order: usually one statement for the whole batch.  A run that is not used up leaves a
 * gap, which harms nothing: clocks only ever have to grow (I7).
 *
 * Rows carry their clock, so it is taken before they are written; what makes clock order commit order is that it is taken inside the
 * transaction, by an update whose lock on the project's row is held until that commits.  Between the two nobody else gets a clock.
 */
#include <assert.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/rng.h"
#include "server/domain/commit_internal.h"

#define TRIM_EVERY 256 /* operations whose rows may pile up before the transaction forgets them */

/* ---- results ----------------------------------------------------------------------------------------------------- */

void
result_ok(struct op_result *r, const struct file *f, bool unchanged)
{
	r->code = ERR_OK;
	r->unchanged = unchanged;
	r->file = f->id;
	r->version = f->version;
}

err_code
result_fail(struct op_result *r, err_code code, const char *reason, const char *detail)
{
	r->code = code;
	r->reason = reason;
	r->detail = detail;
	return ERR_OK;
}

err_code
result_conflict(struct apply *ap, struct op_result *r, err_code code, const char *detail, const struct file *current,
    struct err *err)
{
	err_code rc = file_copy(ap->run->a, current, &r->current, err);

	if (rc)
		return rc;
	r->has_current = true;
	r->file = current->id;
	r->version = current->version;
	return result_fail(r, code, NULL, detail);
}

err_code
base_check(struct apply *ap, const struct op *op, const struct file *current, struct op_result *r, struct err *err)
{
	if (op->base == current->version || FAULT("domain.no_base_check"))
		return ERR_OK;
	if (op->base > current->version)
		return result_conflict(ap, r, ERR_BASE_INVALID, "the base is newer than the file", current, err);
	return result_conflict(ap, r, ERR_VERSION_CONFLICT, "the file has changed since the base version", current, err);
}

/* Campaigns hold a commit here between its clock and its end, now and then for some milliseconds. */
static void
pause_now(void)
{
	uint64_t r = FAULT("domain.commit_pauses") ? rng_u64() : 1;

	if (r % 8 == 0)
		usleep((useconds_t)(r / 8 % 3000));
}

/* ---- changes ----------------------------------------------------------------------------------------------------- */

/* M10: the clock is had before the transaction and without its lock, as from a sequence. */
static err_code
clock_early(struct apply *ap, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	unsigned n = MAX((unsigned)ap->run->c->n, 1U);
	err_code rc;

	if (!FAULT("domain.clock_early"))
		return ERR_OK;
	rc = meta_begin(ap->run->d->meta, META_WRITE, &tx, err);
	if (!rc)
		rc = meta_clock_take(tx, ap->run->project, clock_wall_us(), n, &ap->early_last, err);
	if (!rc)
		rc = meta_commit(&tx, err);
	ap->early = ap->early_last - n;
	pause_now();
	return rc;
}

static err_code
clock_next(struct apply *ap, int64_t *clock, struct err *err)
{
	unsigned n = MAX(ap->want, 1U);
	err_code rc = ERR_OK;

	if (ap->early < ap->early_last) {
		*clock = ++ap->early;
		return ERR_OK;
	}
	if (ap->clock == ap->clock_last) {
		rc = meta_clock_take(ap->tx, ap->run->project, ap->now_us, n, &ap->clock_last, err);
		if (!rc) {
			assert(ap->clock_last - n >= ap->clock); /* I7: never backwards */
			ap->clock = ap->clock_last - n;
		}
	}
	*clock = ++ap->clock;
	return rc;
}

static err_code
version_write(struct apply *ap, const struct file *f, struct err *err)
{
	char path[FILE_PATH_MAX];
	struct version v = { .file = f->id, .version = f->version, .path = file_path(f, path), .kind = f->kind,
		.size = f->size, .mode = f->mode, .mtime_ns = f->mtime_ns, .content = f->content, .list = f->list, .target = f->target,
		.changed_by = f->changed_by, .deleted = f->deleted_at != 0 };

	return meta_version_add(ap->tx, ap->run->project, &v, err);
}

err_code
apply_change(struct apply *ap, const struct file *before, struct file *after, struct err *err)
{
	err_code rc;

	if (before && !before->deleted_at)
		sums_sub(&ap->sums, before);
	rc = clock_next(ap, &after->version, err);
	if (rc)
		return err_wrap(err, "take the clock");
	after->changed_by = ap->run->c->device;
	if (!before)
		after->created_at = after->version;
	if (after->deleted_at)
		after->deleted_at = after->version;
	rc = meta_file_put(ap->tx, ap->run->project, after, err);
	if (!rc)
		rc = version_write(ap, after, err);
	if (rc)
		return err_wrap(err, "write %s", after->name);
	if (!after->deleted_at)
		sums_add(&ap->sums, after);
	ap->changes++;
	return ap->beneath ? ERR_OK : counts_change(ap, before, after, err);
}

static err_code
apply_op(struct apply *ap, size_t i, struct err *err)
{
	const struct op *op = &ap->run->c->ops[i];
	struct op_result *r = &ap->run->c->results[i];

	*r = (struct op_result){ .code = ERR_OK, .file = op->file };
	switch (op->kind) {
	case OP_PUT:
		return op_put(ap, i, r, err);
	case OP_DELETE:
		return op_delete(ap, op, r, err);
	case OP_MOVE:
		return op_move(ap, op, r, err);
	case OP_RESTORE:
		return op_restore(ap, op, r, err);
	}
	return err_set(err, ERR_INTERNAL, "operation of unknown kind");
}

static err_code
apply_ops(struct apply *ap, struct err *err)
{
	size_t n = ap->run->c->n;

	for (size_t i = 0; i < n; i++) {
		err_code rc;

		ap->want = (unsigned)(n - i);
		rc = apply_op(ap, i, err);
		if (rc)
			return err_wrap(err, "operations[%zu]", i);
		if (i % TRIM_EVERY == TRIM_EVERY - 1)
			meta_tx_trim(ap->tx);
	}
	return ERR_OK;
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

static bool
names_transfer(const struct op *op)
{
	return op->kind == OP_PUT && op->entry == KIND_FILE && !id_is_zero(&op->transfer);
}

/* A transfer that is to give an operation its bytes must still be open. */
static err_code
transfers_check(struct apply *ap, struct err *err)
{
	const struct commit *c = ap->run->c;
	struct transfer t;

	for (size_t i = 0; i < c->n; i++) {
		err_code rc;

		if (!names_transfer(&c->ops[i]) || c->ops[i].source != CONTENT_TRANSFER)
			continue;
		rc = transfer_open_mine(ap->tx, ap->run->project, &c->device, &c->ops[i].transfer, &t, err);
		if (rc)
			return err_wrap(err, "operations[%zu]", i);
	}
	return ERR_OK;
}

/* Whether all operations that name the transfer of operation ${i} were applied, and ${i} is the first of them. */
static bool
ends_transfer(const struct commit *c, size_t i)
{
	for (size_t k = 0; k < c->n; k++) {
		if (!names_transfer(&c->ops[k]) || !id_eq(&c->ops[k].transfer, &c->ops[i].transfer))
			continue;
		if (k < i || c->results[k].code)
			return false;
	}
	return true;
}

static err_code
transfer_end(struct apply *ap, const struct id *id, struct err *err)
{
	struct transfer t;
	err_code rc = transfer_open_mine(ap->tx, ap->run->project, &ap->run->c->device, id, &t, err);

	if (rc == ERR_NOT_FOUND || rc == ERR_TRANSFER_GONE)
		return ERR_OK; /* named beside extents, which needed nothing of it */
	if (!rc)
		rc = meta_transfer_end(ap->tx, ap->run->project, id, TRANSFER_DONE, ap->now_us, err);
	if (!rc)
		rc = meta_transfer_event(ap->tx, ap->run->project, id, "completed", ap->now_us, err);
	if (rc)
		return rc;
	ap->ended = xrealloc(ap->ended, (ap->ended_n + 1) * sizeof *ap->ended);
	ap->ended[ap->ended_n++] = *id;
	return ERR_OK;
}

/* A transfer has done its work when everything that names it is in the tree; after a conflict it stays, so nothing is sent twice. */
static err_code
transfers_end(struct apply *ap, struct err *err)
{
	AUTO(map_freep) struct map *seen = map_new();
	const struct commit *c = ap->run->c;
	static char mark;

	for (size_t i = 0; i < c->n; i++) {
		const struct op *op = &c->ops[i];
		err_code rc;

		if (!names_transfer(op) || map_put(seen, &op->transfer, sizeof op->transfer, &mark) || !ends_transfer(c, i))
			continue;
		rc = transfer_end(ap, &op->transfer, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* I2: rows that phase one saw may be gone; what is looked at here stays until the transaction ends. */
static err_code
chunks_check(struct apply *ap, struct err *err)
{
	AUTO(map_freep) struct map *seen = map_new();
	struct commit_run *run = ap->run;
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < run->c->n; i++) {
		const struct content *ct = &run->contents[i];

		if (ct->first)
			rc = rows_check(run, ap->tx, seen, ct->first, err);
		for (const struct page *p = ct->rest; !rc && p; p = p->next)
			rc = rows_check(run, ap->tx, seen, p, err);
	}
	if (!rc && map_count(run->missing) > 0)
		return err_set(err, ERR_CHUNKS_MISSING, "chunks went missing during the commit");
	return rc;
}

static err_code
begin(struct apply *ap, struct err *err)
{
	err_code rc = project_in(ap->tx, ap->run->project, &ap->project, err);

	if (!rc) /* into our own arena: the transaction forgets what it hands out */
		rc = project_copy(ap->run->scratch, &ap->project, &ap->project, err);
	if (rc)
		return rc;
	ap->sums = (struct sums){ ap->project.digest, ap->project.file_count, ap->project.total_bytes };
	ap->clock = ap->clock_last = ap->project.clock;
	ap->now_us = clock_wall_us();
	ap->now_ns = clock_wall_ns();
	return ERR_OK;
}

static err_code
end(struct apply *ap, struct err *err)
{
	struct commit *c = ap->run->c;
	err_code rc = transfers_end(ap, err);

	if (!rc)
		rc = counts_write(ap, err);
	if (!rc)
		rc = hold_write(ap, err);
	if (!rc && ap->changes > 0)
		rc = meta_project_total(ap->tx, ap->run->project, &ap->sums.digest, ap->sums.file_count, ap->sums.total_bytes, err);
	if (!rc)
		rc = project_copy(ap->run->a, &ap->project, &c->project, err);
	c->clock_before = ap->project.clock;
	c->project.clock = ap->clock_last;
	c->project.digest = ap->sums.digest;
	c->project.file_count = ap->sums.file_count;
	c->project.total_bytes = ap->sums.total_bytes;
	return rc;
}

static err_code
finish(struct apply *ap, struct err *err)
{
	err_code rc;

	if (FAULT("domain.ack_before_commit")) {
		meta_abort(&ap->tx);
		return ERR_OK;
	}
	pause_now();
	rc = meta_commit(&ap->tx, err);
	if (!rc && ap->changes > 0)
		domain_changed(ap->run->d, ap->run->project, ap->clock_last);
	if (!rc)
		hold_say(ap);
	for (size_t i = 0; !rc && i < ap->ended_n; i++)
		underway_over(ap->run->d, ap->run->project, &ap->run->c->device, &ap->ended[i], true);
	return rc;
}

static err_code
transact(struct apply *ap, struct idem *idem, struct err *err)
{
	err_code rc = clock_early(ap, err);

	if (!rc)
		rc = meta_begin(ap->run->d->meta, META_WRITE, &ap->tx, err);
	if (!rc)
		rc = idem_find(ap->tx, idem, ap->run->a, err);
	if (rc || (idem && idem->replayed))
		return rc;
	rc = begin(ap, err);
	if (!rc)
		rc = transfers_check(ap, err);
	if (!rc)
		rc = chunks_check(ap, err);
	if (!rc)
		rc = ap->run->body ? ap->run->body(ap, ap->run->body_ctx, err) : apply_ops(ap, err);
	if (!rc)
		rc = end(ap, err);
	if (!rc)
		rc = idem_keep(ap->tx, idem, err);
	return rc ? rc : finish(ap, err);
}

err_code
commit_transact(struct commit_run *run, struct idem *idem, struct err *err)
{
	AUTO(freep) struct apply *ap = xcalloc(1, sizeof *ap); /* holds a path: too much for the stack beside those of its callees */
	err_code rc;

	ap->run = run;
	ap->counts = counts_new();
	rc = transact(ap, idem, err);
	counts_free(ap->counts);
	free(ap->ended);
	meta_abort(&ap->tx);
	return rc;
}
