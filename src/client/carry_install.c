/*
 * Installing what has been fetched.  Files are gathered in batches; while one batch is flushed, put in place and recorded, the next one is
 * filled, so neither the disk waits for the line nor the line for the disk.
 *
 * N1  A batch is one flush of the files' bytes, a rename of each, one flush of the directories, and only then one transaction: a base row is
 *     written when both the bytes and the name survive a power cut.  A cut before the transaction leaves files that no row names: the next
 *     sync finds the same content on both sides and adopts it.  A row before the names would be the worst of all: the file, missing after the
 *     cut, would pass for one that its user has deleted.
 * N2  What is written by two threads is in a batch; a batch is the filler's until it is handed over, and then the installer's.  There are two,
 *     so a filler that is faster waits here, and memory is bounded.
 * N3  What a kill costs: files of a block and more are kept as temporaries, of the smaller ones two batches of BATCH_SMALL_BYTES are
 *     fetched again, four chunks.
 */
#include <assert.h>

#include "base/fault.h"
#include "base/thread.h"
#include "client/carry_internal.h"

#define BATCH_FILES 4096              /* that share a flush: a flush costs the disk 10 to 100 ms, however little there is to write */
#define BATCH_SMALL_BYTES (8 * MIB)   /* of files that are not kept */
#define BATCH_BYTES (64 * MIB)

struct batch {
	struct apply_install items[BATCH_FILES];
	char names[BATCH_FILES][APPLY_TEMP_NAME_MAX];
	size_t n;
	uint64_t bytes, small_bytes;
	struct failure {
		struct failure *next;
		const char *path;     /* the plan's */
		struct err why;
	} *failures;
};

struct install {
	struct carry *c;
	pthread_t thread;
	struct batch *filling;        /* the filler's */

	struct mutex mu;              /* RANK_POOL; guards what follows */
	struct cond changed;
	struct batch *waiting;        /* handed over, or at work; NULL: the installer has nothing to do */
	struct batch *spare;          /* NULL while one is waiting */
	bool ending;
	struct err err;               /* the first failure that concerns everything; code ERR_OK: none */
};

/* ---- one batch ---------------------------------------------------------------------------------------------------------------- */

static err_code
settle(struct carry *c, const struct apply_install *item, struct err *err)
{
	if (item->code)
		return carry_failed(c, item->want->path, item->code, &item->err, err);
	record_put(c, &item->installed, item->want);
	touch_parent(c, item->want->path);
	c->env->result->pulled++;
	c->env->result->content_down += (uint64_t)item->want->size;
	return ERR_OK;
}

static err_code
batch_install(struct carry *c, struct batch *b, struct err *err)
{
	err_code rc = ERR_OK, written;
	struct err why;
	bool any = false;

	for (struct failure *f = b->failures; f && !rc; f = f->next)
		rc = carry_failed(c, f->path, f->why.code, &f->why, err);
	if (b->n == 0)
		return rc;
	apply_install(c->apply, b->items, b->n);
	for (size_t i = 0; i < b->n && !any; i++)
		any = b->items[i].code == ERR_OK;
	if (any && !FAULT("client.rows_before_names") && (written = apply_flush(c->apply, &why)) != ERR_OK) {
		if (err)
			*err = why;
		return written; /* I6 */
	}
	for (size_t i = 0; i < b->n; i++) {
		err_code one = settle(c, &b->items[i], &why);

		if (one && !rc) {
			rc = one;
			if (err)
				*err = why;
		}
	}
	written = write_records(c, rc ? &why : err); /* what is there is recorded, whatever happened to the others */
	return rc ? rc : written;
}

static void
batch_reset(struct batch *b)
{
	while (b->failures) {
		struct failure *next = b->failures->next;

		free(b->failures);
		b->failures = next;
	}
	b->n = 0;
	b->bytes = b->small_bytes = 0;
}

static bool
batch_full(const struct batch *b)
{
	return b->n == BATCH_FILES || b->bytes >= BATCH_BYTES || b->small_bytes >= BATCH_SMALL_BYTES;
}

/* ---- the installer -------------------------------------------------------------------------------------------------------------- */

static void *
installer_main(void *arg)
{
	struct install *in = arg;

	mutex_lock(&in->mu);
	for (;;) {
		struct batch *b;
		struct err err = { 0 };
		err_code rc;

		while (!in->waiting && !in->ending)
			cond_wait(&in->changed, &in->mu);
		b = in->waiting;
		if (!b)
			break;
		mutex_unlock(&in->mu);
		rc = batch_install(in->c, b, &err);
		batch_reset(b);
		mutex_lock(&in->mu);
		if (rc && !in->err.code)
			in->err = err;
		in->waiting = NULL;
		in->spare = b;
		cond_broadcast(&in->changed);
	}
	mutex_unlock(&in->mu);
	return NULL;
}

err_code
install_new(struct carry *c, struct install **out, struct err *err)
{
	struct install *in = xcalloc(1, sizeof *in);
	err_code rc;

	in->c = c;
	mutex_init(&in->mu, RANK_POOL);
	cond_init(&in->changed);
	in->filling = xcalloc(1, sizeof *in->filling);
	in->spare = xcalloc(1, sizeof *in->spare);
	rc = thread_start("install", installer_main, in, &in->thread, err);
	if (rc) {
		free(in->filling);
		free(in->spare);
		cond_fini(&in->changed);
		mutex_fini(&in->mu);
		free(in);
		return rc;
	}
	*out = in;
	return ERR_OK;
}

void
install_free(struct install *in)
{
	mutex_lock(&in->mu);
	in->ending = true;
	cond_broadcast(&in->changed);
	mutex_unlock(&in->mu);
	pthread_join(in->thread, NULL);
	assert(in->filling->n == 0 && !in->filling->failures); /* install_finish came before */
	free(in->filling);
	free(in->spare);
	cond_fini(&in->changed);
	mutex_fini(&in->mu);
	free(in);
}

/* ---- the filler ------------------------------------------------------------------------------------------------------------------- */

/* With install.mu: until the installer has nothing to do. */
static void
wait_idle(struct install *in)
{
	while (in->waiting)
		cond_wait(&in->changed, &in->mu);
}

/* Hand over what has been gathered (N2). */
static err_code
hand_over(struct install *in, struct err *err)
{
	err_code rc;

	mutex_lock(&in->mu);
	wait_idle(in);
	in->waiting = in->filling;
	in->filling = TAKE(in->spare);
	cond_broadcast(&in->changed);
	rc = in->err.code;
	if (rc && err)
		*err = in->err;
	mutex_unlock(&in->mu);
	return rc;
}

err_code
install_finish(struct install *in, struct err *err)
{
	err_code rc;

	(void)!hand_over(in, NULL); /* its failure stays, for below */
	mutex_lock(&in->mu);
	wait_idle(in);
	rc = in->err.code;
	if (rc && err)
		*err = in->err;
	mutex_unlock(&in->mu);
	return rc;
}

err_code
install_open_temp(void *ctx, const struct pull_file *f, int *fd, char *name, struct err *err)
{
	struct install *in = ctx;

	if (f->want->size >= KEPT_FROM)
		return apply_temp_kept(in->c->apply, &f->want->id, fd, name, err);
	return apply_temp(in->c->apply, fd, name, err);
}

static void
add_failure(struct batch *b, const char *path, err_code code, const struct err *why)
{
	struct failure *f = xcalloc(1, sizeof *f);

	f->path = path;
	f->why = *why;
	f->why.code = code;
	f->next = b->failures;
	b->failures = f;
}

static void
add_item(struct batch *b, const struct pull_file *f, const char *name)
{
	const struct plan_op *op = f->op;

	memcpy(b->names[b->n], name, strlen(name) + 1);
	b->items[b->n] = (struct apply_install){
		.temp = b->names[b->n],
		.want = f->want,
		.expect = op->act == ACT_CONFLICT ? NULL : op->local, /* a conflict has moved it aside */
	};
	b->n++;
	b->bytes += (uint64_t)f->want->size;
	if (f->want->size < KEPT_FROM)
		b->small_bytes += (uint64_t)f->want->size;
}

err_code
install_fetched(void *ctx, const struct pull_file *f, const char *name, err_code code, const struct err *why, struct err *err)
{
	struct install *in = ctx;

	if (!code) {
		add_item(in->filling, f, name);
	} else {
		/* What was fetched is kept for the next attempt, unless it may not be what it seems to be (I6). */
		if (name && (code == ERR_IO || !apply_temp_stays(name)))
			apply_temp_drop(in->c->apply, name);
		add_failure(in->filling, f->op->path, code, why);
	}
	return batch_full(in->filling) ? hand_over(in, err) : ERR_OK;
}
