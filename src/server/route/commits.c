/*
 * Changing the tree: a batch of operations in, a result for each out.
 */
#include "server/route/route_internal.h"

static const enum op_kind op_kinds[] = {
	[WIRE_PUT] = OP_PUT, [WIRE_DELETE] = OP_DELETE, [WIRE_MOVE] = OP_MOVE, [WIRE_RESTORE] = OP_RESTORE,
};

static enum content_source
source_of(const struct wire_op *w)
{
	if (!w->has_content)
		return CONTENT_NONE;
	if (w->has_transfer)
		return CONTENT_TRANSFER;
	return w->has_from ? CONTENT_FROM : CONTENT_EXTENTS;
}

static err_code
extents_of(const struct wire_op *w, struct arena *a, struct op *op, struct err *err)
{
	struct extent *e;

	if (w->extent_count == 0)
		return ERR_OK;
	e = arena_array(a, w->extent_count, sizeof *e);
	if (e == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many extents");
	for (uint32_t i = 0; i < w->extent_count; i++)
		e[i] = (struct extent){ w->extents[i].chunk, w->extents[i].first, w->extents[i].count };
	op->extents = e;
	op->extent_count = w->extent_count;
	return ERR_OK;
}

static err_code
op_of(const struct wire_op *w, struct arena *a, struct op *op, struct err *err)
{
	/* A NUL would cut the text short where paths are C strings: say so while the length is still known. */
	if (w->path != NULL && memchr(w->path, 0, w->path_len))
		return path_check(w->path, w->path_len, err);
	*op = (struct op){
		.kind = op_kinds[w->op],
		.path = w->path,
		.file = w->id,
		.has_base = w->has_base,
		.base = w->base,
		.entry = (enum kind)w->kind,
		.has_mode = w->has_mode,
		.mode = w->mode,
		.has_mtime = w->has_mtime,
		.mtime_ns = w->mtime_ns,
		.source = source_of(w),
		.size = w->size,
		.content = w->content,
		.transfer = w->transfer,
		.from_file = w->from_file,
		.from_version = w->from_version,
		.target = w->target,
		.has_conflict = w->has_conflict,
		.conflict_file = w->conflict_file,
		.conflict_version = w->conflict_version,
	};
	return extents_of(w, a, op, err);
}

static err_code
read_ops(struct call *c, struct commit *commit, struct err *err)
{
	size_t len;
	const uint8_t *p = http_body(c->rq, &len);
	struct wire_commit wire;
	struct op *ops;
	err_code rc = wire_commit_read(p, len, c->a, &wire, err);

	if (rc)
		return rc;
	ops = arena_array(c->a, wire.n, sizeof *ops);
	if (ops == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many operations");
	for (size_t i = 0; i < wire.n; i++) {
		rc = op_of(&wire.ops[i], c->a, &ops[i], err);
		if (rc)
			return err_wrap(err, "operations[%zu]", i);
	}
	commit->ops = ops;
	commit->n = wire.n;
	commit->allow_mass_delete = wire.allow_mass_delete;
	return ERR_OK;
}

/* ---- the answer -------------------------------------------------------------------------------------------------------------- */

/** Each result's file is written and forgotten, so 10,000 conflicts need the memory of one. */
static err_code
write_result(struct jw *jw, struct arena *a, const struct op_result *r, struct err *err)
{
	struct wire_result w = {
		.ok = r->code == ERR_OK, .unchanged = r->unchanged, .id = r->file, .version = r->version, .code = r->code,
		.detail = r->detail, .has_current = r->has_current,
	};
	err_code rc = ERR_OK;

	arena_reset(a);
	if (r->has_current)
		rc = object_file(a, &r->current, NULL, &w.current, err);
	if (!rc)
		wire_result_write(jw, &w);
	return rc;
}

static err_code
encode_results(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	const struct commit *commit = ctx;
	const struct project *p = &commit->project;
	struct jw jw = JW(out);
	err_code rc = ERR_OK;

	jw_object(&jw);
	jw_key(&jw, "results");
	jw_array(&jw);
	for (size_t i = 0; !rc && i < commit->n; i++)
		rc = write_result(&jw, a, &commit->results[i], err);
	if (rc)
		return rc;
	jw_end_array(&jw);
	reply_cursor(&jw, "cursor", p->clock, &p->epoch);
	reply_cursor(&jw, "previous", commit->clock_before, &p->epoch);
	jw_khash(&jw, "digest", &p->digest);
	jw_end_object(&jw);
	*status = 200;
	return sbuf_done(out, err);
}

static err_code
say_missing(struct call *c, const struct commit *commit, const struct err *err)
{
	struct sbuf sb;
	struct jw jw = reply_problem_open(c->rq, &sb, err);

	jw_key(&jw, "missing");
	jw_array(&jw);
	for (size_t i = 0; i < MIN(commit->missing_n, WIRE_MISSING_MAX); i++)
		jw_hash(&jw, &commit->missing[i]);
	jw_end_array(&jw);
	jw_kbool(&jw, "has_more", commit->missing_n > WIRE_MISSING_MAX);
	reply_problem_close(c->rq, &jw, err);
	return ERR_OK;
}

static err_code
create(struct call *c, struct err *err)
{
	struct commit commit = { .device = c->caller.device.id };
	struct idem *idem = call_idem(c, encode_results, &commit);
	err_code rc = read_ops(c, &commit, err);

	if (!rc)
		rc = commit_apply(c->d, &c->project, &commit, idem, c->a, err);
	if (rc == ERR_CHUNKS_MISSING)
		return say_missing(c, &commit, err);
	return rc ? rc : call_answer(c, idem, encode_results, &commit, err);
}

/** What the batch took from the arena is given back by http/ when the answer is sent; what it takes meanwhile is one batch's. */
err_code
route_commit_create(struct call *c, struct err *err)
{
	size_t len;
	bool entered;
	err_code rc = query_end(c, err);

	if (rc)
		return rc;
	(void)http_body(c->rq, &len);
	entered = gate_enter(c->route->batches, len);
	rc = create(c, err);
	if (entered)
		gate_leave(c->route->batches);
	return rc;
}
