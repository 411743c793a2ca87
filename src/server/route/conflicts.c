/*
 * Conflicts of a project: the list, and what is to become of one.
 */
#include "server/domain/conflict.h"

#include "server/route/route_internal.h"

static const enum wire_how hows[] = {
	[RESOLVED_NOT] = WIRE_OPEN, [RESOLVED_CURRENT] = WIRE_CURRENT, [RESOLVED_COPY] = WIRE_COPY, [RESOLVED_BOTH] = WIRE_BOTH,
	[RESOLVED_MERGED] = WIRE_MERGED, [RESOLVED_COPY_GONE] = WIRE_COPY_GONE,
};

static enum resolution
resolution_of(enum wire_how how)
{
	enum resolution r = RESOLVED_NOT;

	while (hows[r] != how)
		r++;
	return r;
}

static struct wire_side
side_of(const struct file *f, char path[static FILE_PATH_MAX])
{
	return (struct wire_side){ .id = f->id, .path = file_path(f, path), .kind = (int)f->kind, .version = f->version, .size = f->size,
		.deleted = f->deleted_at != 0 };
}

static void
write_conflict(struct jw *jw, const struct conflict_view *v)
{
	char original[FILE_PATH_MAX], copy[FILE_PATH_MAX];

	wire_conflict_write(jw,
	    &(struct wire_conflict){
		.original = side_of(&v->file, original),
		.copy = side_of(&v->copy, copy),
		.lost_against = v->c.file_version,
		.device = v->c.device,
		.device_name = v->device_name,
		.created_at = v->c.created_at,
		.how = hows[v->c.resolution],
		.resolved_at = v->c.resolved_at,
		.resolved_by = v->c.resolved_by,
		.resolved_by_name = v->resolved_by_name,
	    });
}

/* ---- the list ------------------------------------------------------------------------------------------------------------- */

static err_code
read_state(struct call *c, enum conflict_which *out, struct err *err)
{
	static const char *const states[] = { [CONFLICTS_ALL] = "all", [CONFLICTS_OPEN] = "open", [CONFLICTS_RESOLVED] = "resolved" };
	size_t len;
	const char *state = query_text(c, "state", &len);

	*out = CONFLICTS_OPEN;
	if (state == NULL)
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (strcmp(state, states[i]) == 0) {
			*out = (enum conflict_which)i;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_FIELD_RANGE, "state: open, resolved or all");
}

static err_code
read_list(struct call *c, enum conflict_which *which, struct cursor *after, unsigned *limit, struct err *err)
{
	size_t len;
	const char *cursor = query_text(c, "cursor", &len);
	err_code rc = query_limit(c, limit, err);

	if (!rc)
		rc = read_state(c, which, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc && cursor != NULL)
		rc = cursor_parse(cursor, len, after, err);
	return rc;
}

static err_code
write_list(struct call *c, const struct conflict_view *list, size_t n, bool has_more, const struct cursor *after,
    const struct id *epoch, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_key(&jw, "conflicts");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++)
		write_conflict(&jw, &list[i]);
	jw_end_array(&jw);
	reply_cursor(&jw, "next_cursor", n ? list[n - 1].c.created_at : after->clock, epoch);
	jw_kbool(&jw, "has_more", has_more);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_conflict_list(struct call *c, struct err *err)
{
	struct conflict_view *list;
	enum conflict_which which;
	struct cursor after = { 0 };
	struct id epoch;
	unsigned limit;
	bool has_more;
	size_t n;
	err_code rc = read_list(c, &which, &after, &limit, err);

	if (!rc)
		rc = conflict_list(c->d, &c->project, which, after.clock, limit, c->a, &list, &n, &has_more, &epoch, err);
	if (!rc && after.has_epoch && !id_eq(&after.epoch, &epoch))
		rc = err_set(err, ERR_CURSOR_INVALID, "the cursor is of another history of this project, or of another project: list from the start");
	return rc ? rc : write_list(c, list, n, has_more, &after, &epoch, err);
}

/* ---- an end to one -------------------------------------------------------------------------------------------------------- */

static err_code
encode_resolved(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	const struct resolve *r = ctx;
	struct jw jw = JW(out);

	write_conflict(&jw, &r->now);
	*status = 200;
	return sbuf_done(out, err);
}

/** Why not, and how the conflict is now, so that the caller can decide again. */
static err_code
say_refused(struct call *c, const struct resolve *r, const struct err *err)
{
	struct sbuf sb;
	struct jw jw = reply_problem_open(c->rq, &sb, err);

	jw_key(&jw, "current");
	write_conflict(&jw, &r->now);
	reply_problem_close(c->rq, &jw, err);
	return ERR_OK;
}

static err_code
read_resolve(struct call *c, struct resolve *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct wire_resolve wish;
	struct json_in in;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = wire_resolve_read(&in, &wish, err);
	if (!rc)
		rc = call_id(c, "conflict", &out->copy, err);
	if (rc)
		return rc;
	out->keep = resolution_of(wish.keep);
	out->version = wish.version;
	out->copy_version = wish.copy_version;
	return ERR_OK;
}

/** Refusals of the tree's state, all 409; what failed in the server tells nothing of the conflict. */
static bool
is_refusal(err_code rc, const struct resolve *r)
{
	return r->has_now && err_info(rc)->status == 409;
}

err_code
route_conflict_resolve(struct call *c, struct err *err)
{
	struct resolve r = { .device = c->caller.device.id };
	struct idem *idem = call_idem(c, encode_resolved, &r);
	err_code rc = read_resolve(c, &r, err);

	if (!rc)
		rc = conflict_resolve(c->d, &c->project, &r, idem, c->a, err);
	if (rc && is_refusal(rc, &r))
		return say_refused(c, &r, err);
	return rc ? rc : call_answer(c, idem, encode_resolved, &r, err);
}
