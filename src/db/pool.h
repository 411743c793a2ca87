#pragma once
/**
 * The connections that read, for drivers: at most so many, lent to one thread at a time, the latest used first because it is warm.
 */

#include "base/thread.h"

/** A connection embeds this. */
struct pool_item {
	struct pool_item *next;
};

struct pool {
	struct mutex lock;      /* RANK_DB; guards what follows */
	struct pool_item *idle;
	unsigned open, max;     /* connections, idle or lent */
	unsigned wait_ms;
	struct cond returned;
};

void pool_init(struct pool *p, unsigned max, unsigned wait_ms);
void pool_fini(struct pool *p); /* everything has been taken out */

/**
 * pool_take(p, item, err): an idle one, or *item is NULL: there is room for another, which counts from now on; pool_drop(p) when
 * it could not be opened.  UNAVAILABLE when all were busy for wait_ms.
 */
err_code pool_take(struct pool *p, struct pool_item **item, struct err *err);
void pool_drop(struct pool *p);
void pool_give(struct pool *p, struct pool_item *item);

/** pool_each(p, fn, arg): every idle one, with the lock held.  pool_pop(p): an idle one out of it for good; NULL: none is left. */
void pool_each(struct pool *p, void (*fn)(struct pool_item *item, void *arg), void *arg);
struct pool_item *pool_pop(struct pool *p);
