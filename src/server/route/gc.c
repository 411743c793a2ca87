/*
 * A collection of garbage, asked for by the owner.  It may take longer than a request should, so the answer is what has been found when it
 * has ended or WAIT_S have passed; ?run= goes on waiting for the same one.
 */
#include "base/clock.h"
#include "server/domain/garbage.h"
#include "server/route/route_internal.h"

#define WAIT_S 30

static err_code
ask(struct call *c, uint64_t *run, struct err *err)
{
	bool dry_run = false;
	err_code rc = query_flag(c, "dry_run", &dry_run, err);

	*run = 0;
	if (!rc)
		rc = query_u64(c, "run", 0, INT64_MAX, run, err);
	if (!rc)
		rc = query_end(c, err);
	if (rc)
		return rc;
	if (c->wait_until_ms == 0) {
		c->wait_until_ms = clock_mono_ms() + WAIT_S * 1000;
		if (*run == 0)
			rc = gc_ask(c->d, dry_run, run, err);
		c->wait_clock = (int64_t)*run; /* what a look after this one asks for */
	}
	*run = (uint64_t)c->wait_clock;
	return rc;
}

static err_code
say(struct call *c, const struct gc_report *r, struct err *err)
{
	struct sbuf sb = SBUF(4 * KIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_ku64(&jw, "run", r->run);
	jw_kbool(&jw, "running", r->running);
	jw_kbool(&jw, "dry_run", r->dry_run);
	jw_kbool(&jw, "failed", r->failed);
	jw_ktime_us(&jw, "started_at", r->started_at);
	if (r->ended_at)
		jw_ktime_us(&jw, "ended_at", r->ended_at);
	jw_ku64(&jw, "projects", r->projects);
	jw_ku64(&jw, "lists_removed", r->lists_removed);
	jw_ku64(&jw, "chunks_kept", r->chunks_kept);
	jw_ku64(&jw, "bytes_kept", r->bytes_kept);
	jw_ku64(&jw, "chunks_waiting", r->chunks_waiting);
	jw_ku64(&jw, "bytes_waiting", r->bytes_waiting);
	jw_ku64(&jw, "chunks_removed", r->chunks_removed);
	jw_ku64(&jw, "bytes_removed", r->bytes_removed);
	jw_ku64(&jw, "objects_removed", r->objects_removed);
	jw_ku64(&jw, "object_bytes_removed", r->object_bytes_removed);
	jw_ku64(&jw, "chunks_compacted", r->chunks_compacted);
	jw_ku64(&jw, "bytes_compacted", r->bytes_compacted);
	jw_ku64(&jw, "bytes_rewritten", r->bytes_rewritten);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_gc_run(struct call *c, struct err *err)
{
	struct gc_report report;
	uint64_t run;
	err_code rc = ask(c, &run, err);

	if (!rc)
		rc = gc_report_get(c->d, run, &report, err);
	if (rc)
		return rc;
	c->later = report.running && clock_mono_ms() < c->wait_until_ms;
	return c->later ? ERR_OK : say(c, &report, err);
}
