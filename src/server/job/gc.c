/*
 * The thread that collects: at its own times, and when somebody asks.  One collection at a time; who asks while one runs is told its
 * number and waits for that one.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "server/job/gc_internal.h"

#define REST_MAX_MS 100

struct gc {
	struct domain *d;
	struct meta *meta;
	struct store *store;
	struct gc_opts opts;
	pthread_t thread;
	struct mutex mu; /* RANK_ENGINE; guards what follows; nothing else is called with it held */
	struct cond wake;
	bool stopping, wanted, wanted_dry;
	struct gc_report now; /* of the collection that runs, or ran last */
	int64_t worked_from_ms; /* the thread's own */
};

/* ---- one collection ------------------------------------------------------------------------------------------------- */

static bool
gc_rest(void *ctx, const struct gc_report *report)
{
	struct gc *gc = ctx;
	int64_t now_ms = clock_mono_ms(), deadline = now_ms + MIN(now_ms - gc->worked_from_ms, REST_MAX_MS);
	bool go_on;

	mutex_lock(&gc->mu);
	gc->now = *report;
	while (!gc->stopping && !gc->opts.eager && clock_mono_ms() < deadline)
		cond_wait_until(&gc->wake, &gc->mu, deadline);
	go_on = !gc->stopping;
	mutex_unlock(&gc->mu);
	gc->worked_from_ms = clock_mono_ms();
	return go_on;
}

static void
say(const struct gc_report *r)
{
	log_event(LOG_INFO, r->dry_run ? "garbage was looked for" : "garbage was collected", LOG_U64("run", r->run),
	    LOG_I64("ms", (r->ended_at - r->started_at) / 1000), LOG_U64("projects", r->projects), LOG_U64("lists", r->lists_removed),
	    LOG_U64("chunks_kept", r->chunks_kept), LOG_U64("bytes_kept", r->bytes_kept), LOG_U64("chunks_waiting", r->chunks_waiting),
	    LOG_U64("bytes_waiting", r->bytes_waiting), LOG_U64("chunks_removed", r->chunks_removed),
	    LOG_U64("bytes_removed", r->bytes_removed), LOG_U64("objects_removed", r->objects_removed),
	    LOG_U64("object_bytes_removed", r->object_bytes_removed), LOG_U64("chunks_compacted", r->chunks_compacted),
	    LOG_U64("bytes_compacted", r->bytes_compacted), LOG_U64("bytes_rewritten", r->bytes_rewritten));
}

static void
gc_run(struct gc *gc, struct gc_report report)
{
	struct collection c = { .d = gc->d, .meta = gc->meta, .store = gc->store, .report = &report, .rest = gc_rest, .ctx = gc };
	struct err err = { 0 };

	gc->worked_from_ms = clock_mono_ms();
	report.failed = collect(&c, &err) != ERR_OK;
	report.running = false;
	report.ended_at = clock_wall_us();
	mutex_lock(&gc->mu);
	gc->now = report;
	mutex_unlock(&gc->mu);
	if (!report.failed)
		say(&report);
	else if (err.code != ERR_UNAVAILABLE)
		log_error(&err, "garbage was not collected to the end; the next collection starts anew");
}

err_code
gc_collect(struct domain *d, struct meta *meta, struct store *store, bool dry_run, struct gc_report *out, struct err *err)
{
	struct collection c = { .d = d, .meta = meta, .store = store, .report = out };
	err_code rc;

	*out = (struct gc_report){ .run = 1, .dry_run = dry_run, .started_at = clock_wall_us() };
	rc = collect(&c, err);
	out->failed = rc != ERR_OK;
	out->ended_at = clock_wall_us();
	return rc;
}

/* ---- when ----------------------------------------------------------------------------------------------------------- */

/* Waits until it is time or somebody asks; false: stop.  The report that a collection begins with is in gc->now. */
static bool
gc_wait(struct gc *gc, int64_t due_ms)
{
	bool go_on;

	mutex_lock(&gc->mu);
	while (!gc->stopping && !gc->wanted && (due_ms == 0 || clock_mono_ms() < due_ms)) {
		if (due_ms)
			cond_wait_until(&gc->wake, &gc->mu, due_ms);
		else
			cond_wait(&gc->wake, &gc->mu);
	}
	go_on = !gc->stopping;
	gc->now = (struct gc_report){ .run = gc->now.run + 1, .running = go_on, .dry_run = gc->wanted && gc->wanted_dry,
		.started_at = clock_wall_us() };
	gc->wanted = false;
	mutex_unlock(&gc->mu);
	return go_on;
}

static int64_t
due(int64_t after_us)
{
	return clock_mono_ms() + after_us / 1000;
}

static void *
gc_main(void *arg)
{
	struct gc *gc = arg;
	int64_t next_ms = gc->opts.interval_us ? due(gc->opts.first_us) : 0;

	while (gc_wait(gc, next_ms)) {
		bool dry_run = gc->now.dry_run; /* only this thread writes it */

		gc_run(gc, gc->now);
		if (gc->opts.interval_us && (!dry_run || clock_mono_ms() >= next_ms))
			next_ms = due(gc->opts.interval_us);
	}
	return NULL;
}

/* ---- who asks ------------------------------------------------------------------------------------------------------- */

static uint64_t
gc_hook_ask(void *ctx, bool dry_run)
{
	struct gc *gc = ctx;
	uint64_t run = 0;

	mutex_lock(&gc->mu);
	if (gc->now.running) {
		run = gc->now.dry_run == dry_run ? gc->now.run : 0;
	} else if (!gc->wanted || gc->wanted_dry == dry_run) {
		gc->wanted = true;
		gc->wanted_dry = dry_run;
		run = gc->now.run + 1;
		cond_signal(&gc->wake);
	}
	mutex_unlock(&gc->mu);
	return run;
}

static bool
gc_hook_report(void *ctx, uint64_t run, struct gc_report *out)
{
	struct gc *gc = ctx;
	bool found = true;

	mutex_lock(&gc->mu);
	if (run > 0 && run == gc->now.run)
		*out = gc->now;
	else if (run == gc->now.run + 1 && gc->wanted)
		*out = (struct gc_report){ .run = run, .running = true, .dry_run = gc->wanted_dry, .started_at = clock_wall_us() };
	else
		found = false;
	mutex_unlock(&gc->mu);
	return found;
}

/* ---- start and stop ------------------------------------------------------------------------------------------------- */

err_code
gc_start(struct domain *d, struct meta *meta, struct store *store, const struct gc_opts *opts, struct gc **out, struct err *err)
{
	struct gc *gc = xcalloc(1, sizeof *gc);
	struct gc_hooks hooks = { .ask = gc_hook_ask, .report = gc_hook_report, .ctx = gc };
	err_code rc;

	gc->d = d;
	gc->meta = meta;
	gc->store = store;
	gc->opts = *opts;
	mutex_init(&gc->mu, RANK_ENGINE);
	cond_init(&gc->wake);
	rc = thread_start("gc", gc_main, gc, &gc->thread, err);
	if (rc) {
		cond_fini(&gc->wake);
		mutex_fini(&gc->mu);
		free(gc);
		return rc;
	}
	domain_collector(d, &hooks);
	*out = gc;
	return ERR_OK;
}

void
gc_stop(struct gc *gc)
{
	if (!gc)
		return;
	mutex_lock(&gc->mu);
	gc->stopping = true;
	cond_broadcast(&gc->wake);
	mutex_unlock(&gc->mu);
	pthread_join(gc->thread, NULL);
	cond_fini(&gc->wake);
	mutex_fini(&gc->mu);
	free(gc);
}
