/*
 * The life of one file of a pull: begun, opened, filled, judged, handed over.
 */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "base/pathat.h"
#include "client/transfer/pull_internal.h"

struct landing *
landing_new(struct pull *p, const struct pull_file *f, bool several)
{
	struct landing *l = xcalloc(1, sizeof *l);

	l->f = f;
	l->fd = -1;
	mutex_init(&l->writing, RANK_POOL);
	l->fresh = !f->resumes;
	l->several = several;
	l->pending = l->copying = 1;
	mutex_lock(&p->mu);
	p->live++;
	p->open += several;
	mutex_unlock(&p->mu);
	progress_watch(p->env, l, f->want->path, (uint64_t)f->want->size);
	return l;
}

static void
landing_free(struct landing *l)
{
	closep(&l->fd);
	mutex_fini(&l->writing);
	sources_free(l->sources);
	free(l->name);
	free(l->blocks);
	free(l->weak);
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

bool
landing_failed(struct pull *p, struct landing *l)
{
	bool failed;

	mutex_lock(&p->mu);
	failed = l->why != NULL;
	mutex_unlock(&p->mu);
	return failed;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------------- */

bool
landing_sparse(const struct landing *l)
{
	return (uint64_t)l->f->want->size >= BLOCK_LEN_MAX;
}

bool
landing_fresh(const struct landing *l)
{
	return __atomic_load_n(&l->fresh, __ATOMIC_RELAXED);
}

static err_code
open_temp(struct pull *p, struct landing *l, struct err *err)
{
	char name[TEMP_NAME_MAX];
	err_code rc = p->open_temp(p->env->ctx, l->f, &l->fd, name, err);

	if (rc)
		return rc;
	l->opened = true;
	assert(memchr(name, '\0', sizeof name));
	l->name = xstrdup(name);
	if (l->block_count > 0) {
		l->blocks = xcalloc(l->block_count, sizeof *l->blocks);
		l->weak = xcalloc(l->block_count, sizeof *l->weak);
	}
	if (landing_sparse(l) && ftruncate(l->fd, (off_t)l->f->want->size))
		return err_errno(err, "give the temporary of %s its length", l->f->want->path);
	return ERR_OK;
}

err_code
landing_open(struct pull *p, struct landing *l, struct err *err)
{
	err_code rc;

	mutex_lock(&p->callback);
	rc = l->opened ? ERR_OK : open_temp(p, l, err);
	mutex_unlock(&p->callback);
	return rc;
}

err_code
landing_write(struct landing *l, const struct slice *v, uint32_t n, uint64_t offset, struct err *err)
{
	err_code rc;

	mutex_lock(&l->writing);
	rc = pwrite_each(l->fd, v, n, offset, err);
	mutex_unlock(&l->writing);
	return rc ? err_wrap(err, "write %s", l->f->want->path) : ERR_OK;
}

err_code
landing_fetched(struct pull *p, struct landing *l, uint64_t len, struct err *err)
{
	bool enough;

	mutex_lock(&p->mu);
	l->unflushed += len;
	enough = l->unflushed >= FLUSH_BYTES;
	if (enough)
		l->unflushed = 0;
	mutex_unlock(&p->mu);
	/* After a failed flush the pages may look written and not be: IO tells the callee not to keep them (I6). */
	if (enough && fdatasync(l->fd))
		return err_set(err, ERR_IO, "flush %s: %s", l->f->want->path, strerror(errno));
	return ERR_OK;
}

bool
all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

bool
block_is_zero(const struct block *b)
{
	/* SHA-256 of 64 KiB of zeros. */
	static const struct hash zeros = { { 0xde, 0x2f, 0x25, 0x60, 0x64, 0xa0, 0xaf, 0x79, 0x77, 0x47, 0xc2, 0xb9, 0x75, 0x05, 0xdc, 0x0b,
		0x9f, 0x3d, 0xf0, 0xde, 0x4f, 0x48, 0x9e, 0xac, 0x73, 0x1c, 0x23, 0xae, 0x9c, 0xa9, 0xcc, 0x31 } };

	return b->len == BLOCK_LEN_MAX && hash_eq(&b->hash, &zeros);
}

/* ---- the end -------------------------------------------------------------------------------------------------------------------- */

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

/* Of a file whose extents were told, its list is what has landed. */
static void
keep_list(struct pull *p, const struct landing *l)
{
	struct blocklist list = { .blocks = l->blocks, .block_count = (uint32_t)l->block_count, .extent_count = l->f->extent_count };

	list.extents = xmalloc(list.extent_count * sizeof *list.extents);
	for (uint32_t i = 0; i < list.extent_count; i++)
		list.extents[i] = (struct extent){ l->f->extents[i].chunk, l->f->extents[i].first, l->f->extents[i].count };
	list_keep(p, &l->f->want->content, 0, &list, l->weak);
	free(list.extents);
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
		code = l->opened ? ERR_OK : open_temp(p, l, &why); /* an empty file */
	closep(&l->fd);
	l->fd = -1;
	if (p->ready(p->env->ctx, l->f, l->opened ? l->name : NULL, code, code ? &why : NULL, &err))
		pull_fail(p, &err);
	mutex_unlock(&p->callback);
	if (code)
		return;
	progress_file(p->env);
	if (l->blocks && list_worth(l->f->want))
		keep_list(p, l);
}

static void
end(struct pull *p, struct landing *l)
{
	hand_over(p, l);
	progress_unwatch(p->env, l);
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
		l->pending = l->copying = 1;
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

void
landing_copied(struct pull *p, struct landing *l)
{
	struct sources *done = NULL;

	mutex_lock(&p->mu);
	assert(l->copying > 0);
	if (--l->copying == 0)
		done = TAKE(l->sources);
	mutex_unlock(&p->mu);
	sources_free(done);
}

void
landing_relist(struct pull *p, struct landing *l)
{
	mutex_lock(&p->mu);
	l->relist = true;
	__atomic_store_n(&l->fresh, false, __ATOMIC_RELAXED); /* what has landed may be at another place than where it belongs: L3 */
	mutex_unlock(&p->mu);
}
