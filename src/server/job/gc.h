#pragma once
/**
 * The garbage collector: removes what nothing names, and rewrites chunks of which little is left, while the server serves.
 *
 * Memory     ≤ 40 MiB while it runs, whatever there is (see mark.c and compact.c), next to nothing in between.
 * Cost       it rests as long as it works, at most 100 ms at a time, so it takes at most half of a core and of the disk.
 * Restart    nothing of a collection is kept: the next one starts anew and finds all that is left (I13, garbage.c).
 */

#include "server/domain/garbage.h"

struct gc;

struct gc_opts {
	int64_t interval_us; /* between two collections of its own accord; 0: only when asked */
	int64_t first_us;    /* after the start */
	bool eager;          /* never rests: for tests, and when nobody is served */
};

/** gc_start(d, meta, store, opts, out, err): its thread; borrows all.  Becomes ${d}'s collector. */
err_code gc_start(struct domain *d, struct meta *meta, struct store *store, const struct gc_opts *opts, struct gc **out, struct err *err);

/** gc_stop(gc): ends what runs at its next step, a fraction of a second, and joins.  NULL is fine. */
void gc_stop(struct gc *gc);

/** gc_collect(d, meta, store, dry_run, out, err): one collection, here and now, without resting.  Not beside another one. */
err_code gc_collect(struct domain *d, struct meta *meta, struct store *store, bool dry_run, struct gc_report *out, struct err *err);
