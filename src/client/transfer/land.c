/*
 * The life of one file of a pull: begun, opened, filled, judged, handed over.
 */
#include <assert.h>
#include <unistd.h>

#include "client/transfer/pull_internal.h"

struct landing *
landing_new(struct pull *p, const struct pull_file *f, bool several)
{
	struct landing *l = xcalloc(1, sizeof *l);

	l->f = f;
	l->fd = -1;
	l->several = several;
	l->pending = 1;
	mutex_lock(&p->mu);
	p->live++;
	p->open += several;
	mutex_unlock(&p->mu);
	return l;
}

static void
landing_free(struct landing *l)
{
	closep(&l->fd);
	free(l->blocks);
	free(l->why);
	free(l);
}

void
landing_fail(struct pull *p, struct landing *l, const struct err *why)
{
	assert(why->code);
	mutex_lock(&p->mu);
	if (!l->why) {
		l->why = xmalloc(sizeof *l->why);
		*l->why = *why;
	}
	mutex_unlock(&p->mu);
}

err_code
landing_open(struct pull *p, struct landing *l, struct err *err)
{
	err_code rc = ERR_OK;

	mutex_lock(&p->callback);
	if (!l->opened) {
		rc = p->open_temp(p->env->ctx, l->f, &l->fd, l->name, err);
		l->opened = rc == ERR_OK;
		assert(memchr(l->name, '\0', sizeof l->name));
	}
	mutex_unlock(&p->callback);
	return rc;
}

/* Do the blocks that landed make the content that the tree names (L1)? */
static err_code
judge(const struct landing *l, struct err *err)
{
	const struct entry *want = l->f->want;
	struct content_hash c;
	struct hash content;
	uint64_t size = 0;

	if (l->listed)
		return ERR_OK; /* the list was judged before, each block against the list */
	content_hash_init(&c);
	for (size_t i = 0; i < l->block_count; i++) {
		content_hash_add(&c, &l->blocks[i].hash, l->blocks[i].len);
		size += l->blocks[i].len;
	}
	content = content_hash_final(&c);
	if (size != (uint64_t)want->size || !hash_eq(&content, &want->content))
		return err_set(err, ERR_CORRUPT, "%s: what the server gave is not the content that it names", want->path);
	return ERR_OK;
}

static void
hand_over(struct pull *p, struct landing *l)
{
	struct err err, why;
	err_code code = l->why ? l->why->code : judge(l, &why);

	if (l->why)
		why = *l->why;
	mutex_lock(&p->callback);
	if (code == ERR_OK)
		code = l->opened ? ERR_OK : p->open_temp(p->env->ctx, l->f, &l->fd, l->name, &why); /* an empty file */
	l->opened = l->opened || code == ERR_OK;
	closep(&l->fd);
	l->fd = -1;
	if (p->ready(p->env->ctx, l->f, l->opened ? l->name : NULL, code, code ? &why : NULL, &err))
		pull_fail(p, &err);
	mutex_unlock(&p->callback);
	if (code == ERR_OK)
		progress_file(p->env);
}

static void
end(struct pull *p, struct landing *l)
{
	hand_over(p, l);
	mutex_lock(&p->mu);
	p->live--;
	p->open -= l->several;
	cond_broadcast(&p->can_plan);
	mutex_unlock(&p->mu);
	landing_free(l);
}

void
landing_settle(struct pull *p, struct landing *l)
{
	bool last, again;

	mutex_lock(&p->mu);
	assert(l->pending > 0); /* L2 */
	last = --l->pending == 0;
	again = last && l->relist && !l->why && !p->stop;
	if (again) {
		l->pending = 1;
		l->next = p->relists;
		p->relists = l;
		cond_broadcast(&p->can_plan);
	} else if (last && p->stop && !l->why) {
		l->why = xmalloc(sizeof *l->why);
		*l->why = p->err;
	}
	mutex_unlock(&p->mu);
	if (last && !again)
		end(p, l);
}
