#pragma once
/**
 * The rules of dray.  Knows files, versions, projects and devices; knows no HTTP, no SQL and no file descriptors: it sees metadata
 * and the store through their interfaces and runs in tests on their in-memory twins.
 *
 * Who may call what has been decided before (access.h): functions here take the project as given and never look at roles.
 *
 * Ownership  what comes out lives in the arena that the caller gives.
 * Threads    any, concurrently; may block on disk, so never on an event loop.
 * Errors     each function names its own; NO_SPACE, UNAVAILABLE, READ_ONLY, DB, IO may come from below at any call.
 */

#include "base/sbuf.h"
#include "server/meta/meta.h"
#include "server/store/store.h"

struct domain;

/** domain_open(meta, store, out): borrows both; they outlive it.  Holds a bounded cache of chunk headers (≤ 4 MiB). */
struct domain *domain_open(struct meta *meta, struct store *store);
void domain_free(struct domain *d);

/** domain_on_change(d, fn, ctx): called after each commit that changed a project, outside of any transaction; may not block. */
void domain_on_change(struct domain *d, void (*fn)(void *ctx, const struct id *project, int64_t clock), void *ctx);

/**
 * domain_heard(d, project, clock): another process on the same metadata has committed up to ${clock}: as one's own commits, for who waits and who listens.
 * domain_missed(d): it may have, unheard: who waits looks for himself.  Any thread; neither blocks.
 */
void domain_heard(struct domain *d, const struct id *project, int64_t clock);
void domain_missed(struct domain *d);

/** How far an upload has come; ${path} is lent. */
struct transfer_news {
	struct id transfer, device;
	const char *path;   /* "" for a batch */
	int64_t done, size; /* bytes of containers that have come, and of the file; size 0: not known */
	bool over;          /* it has ended, and done and size are not said */
	bool completed;     /* how: everything is in the tree */
};
/** What is told as it happens and stored nowhere.  Called from any thread, may not block. */
struct domain_live {
	void *ctx;
	void (*transfer)(void *ctx, const struct id *project, const struct transfer_news *news);
	/** A device has named its place. */
	void (*place)(void *ctx, const struct id *project, const struct id *device, const struct id *epoch, int64_t clock);
};
/** domain_on_live(d, live): before the first call that something could be told of. */
void domain_on_live(struct domain *d, const struct domain_live *live);

/** domain_ready(d, err): can it serve reads and writes now? */
err_code domain_ready(struct domain *d, struct err *err);

/** domain_expire(d, err): end what has outlived its time: transfers, remembered answers, snapshots, tombstones, old versions.  One thread, now and then. */
err_code domain_expire(struct domain *d, struct err *err);

/**
 * A request's idempotency: the answer is remembered in the transaction of its effect and given again to a repetition (I5).
 * NULL wherever one is taken: the request did not ask for it.
 */
struct idem {
	struct id device;
	const char *key;          /* 1..IDEMPOTENCY_KEY_MAX bytes */
	struct hash request_hash; /* over method, target and body */
	/** encode(ctx, out, status): write the answer that the effect's result (already in ctx) leads to. */
	err_code (*encode)(void *ctx, struct sbuf *out, int *status, struct err *err);
	void *ctx;
	/* Filled when the request was a repetition; the effect did not happen again.  In the caller's arena. */
	bool replayed;
	int status;
	const uint8_t *body;
	size_t body_len;
};

/* ---- projects ---------------------------------------------------------------------------------------------------- */

err_code project_create(struct domain *d, const char *name, struct idem *idem, struct arena *a, struct project *out,
    struct err *err);
err_code project_get(struct domain *d, const struct id *id, struct arena *a, struct project *out, struct err *err);
/** ${device} NULL: all. */
err_code project_list(struct domain *d, const struct id *device, const struct id *after, unsigned limit, struct arena *a,
    struct project **out, size_t *n, struct err *err);
/** What is to change of a project; NULL and -1 leave a thing as it is. */
struct project_change {
	const char *name;
	int64_t keep_versions, keep_days, quota_bytes; /* struct policy */
};
/**
 * A policy holds from now on: versions that it does not keep go within hours (history.h); a quota below what is stored refuses
 * writes and touches nothing.
 * Errors     FIELD_RANGE; the name's.
 */
err_code project_update(struct domain *d, const struct id *id, const struct project_change *change, struct arena *a,
    struct project *out, struct err *err);
/** The rows go at once; what the store holds for it is the garbage collector's. */
err_code project_delete(struct domain *d, const struct id *id, struct err *err);
