/*
 * A store that fails on demand.  Every call counts down what is armed for it, and passes on what does not fail.
 *
 * "finish" fails before the inner store has done anything; "finished" fails after it has: the object is there and durable, and
 * the caller is told otherwise.  That is what a lost answer looks like, and what repeating a request must cope with (I5).
 */

#include "server/store/store_internal.h"

#include <assert.h>

#include "base/thread.h"

enum fault_op { OP_OPEN, OP_WRITE, OP_FINISH, OP_FINISHED, OP_READ, OP_DELETE, OP_COUNT };

static const char *const op_names[OP_COUNT] = { "open", "write", "finish", "finished", "read", "delete" };

struct armed {
	unsigned skip;
	err_code code; /* ERR_OK: not armed */
};

struct store_fault {
	struct store base;
	struct store *inner;
	struct mutex mu; /* RANK_LEAF; guards ${armed} */
	struct armed armed[OP_COUNT];
};

struct fault_writer {
	struct store_writer base;
	struct store_writer *inner;
};

static struct store_fault *
fault_of(struct store *s)
{
	return (struct store_fault *)s;
}

/* Whether this call of ${op} is the one to fail. */
static err_code
strike(struct store *s, enum fault_op op, struct err *err)
{
	struct store_fault *f = fault_of(s);
	struct armed *a = &f->armed[op];
	err_code code = ERR_OK;

	mutex_lock(&f->mu);
	if (a->code && a->skip > 0)
		a->skip--;
	else if (a->code) {
		code = a->code;
		a->code = ERR_OK;
	}
	mutex_unlock(&f->mu);
	return code ? err_set(err, code, "injected: %s", op_names[op]) : ERR_OK;
}

static err_code
fault_open_writer(struct store *s, struct store_writer **out, struct err *err)
{
	struct fault_writer *w;
	err_code rc = strike(s, OP_OPEN, err);

	if (rc)
		return rc;
	w = xcalloc(1, sizeof *w);
	w->base.store = s;
	rc = store_open_writer(fault_of(s)->inner, &w->inner, err);
	if (rc) {
		free(w);
		return rc;
	}
	*out = &w->base;
	return ERR_OK;
}

static err_code
fault_write(struct store_writer *base, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	struct fault_writer *w = (struct fault_writer *)base;
	err_code rc = strike(base->store, OP_WRITE, err);

	if (rc)
		return rc;
	if (off == base->len)
		return store_write(w->inner, p, len, err);
	return store_write_at(w->inner, off, p, len, err);
}

static void
fault_abandon(struct store_writer *base)
{
	struct fault_writer *w = (struct fault_writer *)base;

	store_abandon(&w->inner);
	free(w);
}

static err_code
fault_finish(struct store_writer *base, const struct store_key *key, struct err *err)
{
	struct fault_writer *w = (struct fault_writer *)base;
	err_code rc = strike(base->store, OP_FINISH, err);

	if (!rc)
		rc = store_finish(&w->inner, key, err);
	if (!rc)
		rc = strike(base->store, OP_FINISHED, err);
	fault_abandon(base);
	return rc;
}

static err_code
fault_read(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got,
    struct err *err)
{
	err_code rc = strike(s, OP_READ, err);

	return rc ? rc : store_read(fault_of(s)->inner, key, off, buf, len, got, err);
}

static err_code
fault_size(struct store *s, const struct store_key *key, uint64_t *size, struct err *err)
{
	return store_size(fault_of(s)->inner, key, size, err);
}

static err_code
fault_age(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err)
{
	return store_age(fault_of(s)->inner, key, age_us, err);
}

static err_code
fault_open_fd(struct store *s, const struct store_key *key, int *fd, uint64_t *size, struct err *err)
{
	err_code rc = strike(s, OP_READ, err);

	return rc ? rc : store_open_fd(fault_of(s)->inner, key, fd, size, err);
}

static err_code
fault_delete(struct store *s, const struct store_key *key, struct err *err)
{
	err_code rc = strike(s, OP_DELETE, err);

	return rc ? rc : store_delete(fault_of(s)->inner, key, err);
}

static err_code
fault_list(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx,
    struct err *err)
{
	return store_list(fault_of(s)->inner, fn, ctx, err);
}

static err_code
fault_check(struct store *s, struct err *err)
{
	return store_check(fault_of(s)->inner, err);
}

static void
fault_free(struct store *s)
{
	struct store_fault *f = fault_of(s);

	store_free(f->inner);
	mutex_fini(&f->mu);
	free(f);
}

static const struct store_ops fault_ops = {
	.free = fault_free,
	.open_writer = fault_open_writer,
	.write = fault_write,
	.finish = fault_finish,
	.abandon = fault_abandon,
	.read = fault_read,
	.size = fault_size,
	.age = fault_age,
	.open_fd = fault_open_fd,
	.delete = fault_delete,
	.list = fault_list,
	.check = fault_check,
};

struct store *
store_fault_new(struct store *inner)
{
	struct store_fault *f = xcalloc(1, sizeof *f);

	f->base.ops = &fault_ops;
	f->inner = inner;
	mutex_init(&f->mu, RANK_LEAF);
	return &f->base;
}

void
store_fault_arm(struct store *fault, const char *op, unsigned skip, err_code code)
{
	struct store_fault *f = fault_of(fault);
	size_t i = 0;

	assert(fault->ops == &fault_ops);
	while (i < OP_COUNT && strcmp(op, op_names[i]) != 0)
		i++;
	assert(i < OP_COUNT); /* a name of the header's list */
	mutex_lock(&f->mu);
	f->armed[i] = (struct armed){ .skip = skip, .code = code };
	mutex_unlock(&f->mu);
}
