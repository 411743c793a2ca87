#pragma once
/**
 * What the rules and the garbage collector (server/job) owe each other.  garbage.c argues why nothing that is named, leased or on its
 * way is ever collected (I13); the collector itself decides what nothing names.
 *
 * Threads    any, concurrently; none of the calls but object_collect asks metadata or the store.
 */

#include "server/domain/domain.h"

/** domain_grace(d, grace_us): how long a chunk stays after its last use (default GC_GRACE_US).  Before anybody uses ${d}. */
void domain_grace(struct domain *d, int64_t grace_us);

int64_t lease_grace(struct domain *d);

/**
 * lease_now(d): the time that leases are counted in: microseconds that begin at the wall clock and only ever grow while this process
 * runs, whoever sets the clock; no two calls give the same.
 */
int64_t lease_now(struct domain *d);

/**
 * lease_horizon(d): a chunk row that is named by nothing at some moment after this call, and whose used_at is before what it
 * answers, may go: nobody has put or named it for a grace, and no upload without a transfer is as old.
 */
int64_t lease_horizon(struct domain *d);

/** list_held(d, project, list): pages of it are being written ahead by a commit that runs.  Fit to ask inside a transaction. */
bool list_held(struct domain *d, const struct id *project, const struct id *list);

/**
 * object_collect(d, key, gone, err): delete an object, unless a row names it or somebody is publishing it; *gone tells.  Outside of any
 * transaction.
 */
err_code object_collect(struct domain *d, const struct store_key *key, bool *gone, struct err *err);

/**
 * publish_begin(d, p, key), publish_end(d, p): between making an object durable and committing the row that names it, nobody deletes it.
 * Begin waits for a deletion of the same object that has begun, so outside of any transaction.  ${p} is the caller's; ending one that
 * was not begun is fine.
 */
struct publishing {
	struct store_key key;
	struct publishing *next;
	bool begun;
};
void publish_begin(struct domain *d, struct publishing *p, const struct store_key *key);
void publish_end(struct domain *d, struct publishing *p);

/* ---- asking for a collection ---------------------------------------------------------------------------------------- */

/** What a collection found and did; of a dry run what it would have done. */
struct gc_report {
	uint64_t run; /* number of the collection, from 1 at each start of the server; 0: there has been none */
	bool running, dry_run;
	bool failed;                  /* it ended early; the log says why, and the next one starts anew */
	int64_t started_at, ended_at; /* wall clock, microseconds; 0: not yet */
	uint64_t projects;
	uint64_t lists_removed;                 /* block lists that nothing names */
	uint64_t chunks_kept, bytes_kept;       /* rows that something names, and their containers */
	uint64_t chunks_waiting, bytes_waiting; /* named by nothing, within the grace */
	uint64_t chunks_removed, bytes_removed;
	uint64_t objects_removed, object_bytes_removed; /* that had no row */
	uint64_t chunks_compacted, bytes_compacted;     /* rewritten; bytes of the containers that became garbage by it */
	uint64_t bytes_rewritten;                       /* into how many */
};

/** The collector: set once, before requests come. */
struct gc_hooks {
	/** ask(ctx, dry_run): the number of a collection that begins now, or of the one that runs already if it is of the same kind; 0: busy. */
	uint64_t (*ask)(void *ctx, bool dry_run);
	/** report(ctx, run, out): how far it is; false when there is no such run any more. */
	bool (*report)(void *ctx, uint64_t run, struct gc_report *out);
	void *ctx;
};
void domain_collector(struct domain *d, const struct gc_hooks *hooks);

/** gc_ask: UNAVAILABLE when one of the other kind runs.  gc_report_get: NOT_FOUND.  Both UNAVAILABLE where there is no collector. */
err_code gc_ask(struct domain *d, bool dry_run, uint64_t *run, struct err *err);
err_code gc_report_get(struct domain *d, uint64_t run, struct gc_report *out, struct err *err);
