#include "db/pool.h"

#include "base/clock.h"

void
pool_init(struct pool *p, unsigned max, unsigned wait_ms)
{
	*p = (struct pool){ .max = max, .wait_ms = wait_ms };
	mutex_init(&p->lock, RANK_DB);
	cond_init(&p->returned);
}

void
pool_fini(struct pool *p)
{
	cond_fini(&p->returned);
	mutex_fini(&p->lock);
}

/* With the lock held. */
static err_code
wait_for_one(struct pool *p, struct err *err)
{
	int64_t deadline = clock_mono_ms() + p->wait_ms;

	while (!p->idle && p->open == p->max) {
		if (!cond_wait_until(&p->returned, &p->lock, deadline) && !p->idle && p->open == p->max)
			return err_set(err, ERR_UNAVAILABLE, "all readers are busy");
	}
	return ERR_OK;
}

err_code
pool_take(struct pool *p, struct pool_item **item, struct err *err)
{
	err_code rc;

	mutex_lock(&p->lock);
	rc = wait_for_one(p, err);
	if (!rc) {
		*item = p->idle;
		if (*item)
			p->idle = (*item)->next;
		else
			p->open++;
	}
	mutex_unlock(&p->lock);
	return rc;
}

void
pool_drop(struct pool *p)
{
	mutex_lock(&p->lock);
	p->open--;
	cond_signal(&p->returned);
	mutex_unlock(&p->lock);
}

void
pool_give(struct pool *p, struct pool_item *item)
{
	mutex_lock(&p->lock);
	item->next = p->idle;
	p->idle = item;
	cond_signal(&p->returned);
	mutex_unlock(&p->lock);
}

void
pool_each(struct pool *p, void (*fn)(struct pool_item *item, void *arg), void *arg)
{
	mutex_lock(&p->lock);
	for (struct pool_item *i = p->idle; i; i = i->next)
		fn(i, arg);
	mutex_unlock(&p->lock);
}

struct pool_item *
pool_pop(struct pool *p)
{
	struct pool_item *item;

	mutex_lock(&p->lock);
	item = p->idle;
	if (item) {
		p->idle = item->next;
		p->open--;
	}
	mutex_unlock(&p->lock);
	return item;
}
