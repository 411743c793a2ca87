/*
 * A commit has two phases.  The first needs time and no lock: it checks the batch, reads chunk headers from the store and makes of
 * each operation's bytes a content hash and packed pages.  The second is one transaction over metadata alone, so that neither a
 * slow disk nor a large batch keeps other writers waiting for longer than their rows take (DESIGN 7).
 *
 * What the first phase has read may be gone in the second: chunk rows and transfers are looked at again there (I2).  What it has
 * verified cannot change: chunks are immutable.
 */
#include "server/domain/commit_internal.h"

#define SCRATCH_MAX (64 * MIB) /* 10,000 first pages of 2.4 KB are 24 MB; small files' are 100 bytes */

static void
run_fini(struct commit_run *run)
{
	for (size_t i = 0; run->contents && i < run->c->n; i++) {
		pages_drop(run, &run->contents[i]);
		list_release(run->d, &run->contents[i].held);
	}
	map_free(run->rows);
	map_free(run->missing);
	arena_free(run->scratch);
}

/* The answer to a request that has been here before, without looking at whether it could still be done. */
static err_code
find_answer(struct domain *d, struct idem *idem, struct arena *a, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	err_code rc;

	if (!idem)
		return ERR_OK;
	rc = meta_begin(d->meta, META_READ, &tx, err);
	return rc ? rc : idem_find(tx, idem, a, err);
}

/* Turns the list of missing chunks, when there are any, into the batch's error. */
static err_code
missing_check(const struct commit_run *run, struct err *err)
{
	struct commit *c = run->c;
	size_t pos = 0, len, n = map_count(run->missing);
	const void *key;
	void *value;

	if (n == 0)
		return ERR_OK;
	c->missing = arena_array(run->a, n, sizeof *c->missing);
	if (!c->missing)
		return no_memory(err);
	while (map_next(run->missing, &pos, &key, &len, &value))
		memcpy(&c->missing[c->missing_n++], key, sizeof *c->missing);
	return err_set(err, ERR_CHUNKS_MISSING, "%zu chunks that the commit names are not here", n);
}

static err_code
run_phases(struct commit_run *run, struct idem *idem, struct err *err)
{
	err_code rc = commit_check(run, err);

	if (!rc)
		rc = commit_contents(run, err);
	if (!rc)
		rc = missing_check(run, err);
	if (rc)
		return rc;
	rc = commit_transact(run, idem, err);
	return rc == ERR_CHUNKS_MISSING ? missing_check(run, err) : rc;
}

err_code
commit_apply(struct domain *d, const struct id *project, struct commit *c, struct idem *idem, struct arena *a,
    struct err *err)
{
	struct commit_run run = { .d = d, .project = project, .c = c, .a = a };
	err_code rc;

	c->missing = NULL;
	c->missing_n = 0;
	if (c->n < 1 || c->n > COMMIT_OPS_MAX)
		return err_set(err, ERR_FIELD_RANGE, "operations: 1 to %d", COMMIT_OPS_MAX);
	rc = find_answer(d, idem, a, err);
	if (rc || (idem && idem->replayed))
		return rc;
	c->results = arena_array(a, c->n, sizeof *c->results);
	if (!c->results)
		return no_memory(err);
	run.scratch = arena_new(SCRATCH_MAX);
	run.rows = map_new();
	run.missing = map_new();
	run.contents = arena_array(run.scratch, c->n, sizeof *run.contents);
	rc = run.contents ? run_phases(&run, idem, err) : no_memory(err);
	run_fini(&run);
	return rc;
}

err_code
commit_with(struct domain *d, const struct id *project, struct commit *c, apply_fn *body, void *ctx, struct idem *idem, struct arena *a,
    struct err *err)
{
	struct commit_run run = { .d = d, .project = project, .c = c, .a = a, .body = body, .body_ctx = ctx };
	err_code rc = find_answer(d, idem, a, err);

	if (rc || (idem && idem->replayed))
		return rc;
	run.scratch = arena_new(SCRATCH_MAX);
	run.rows = map_new();
	run.missing = map_new();
	rc = commit_transact(&run, idem, err);
	run_fini(&run);
	return rc;
}
