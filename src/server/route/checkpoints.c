/*
 * The caller's own place, and who the caller is: what a client asks first.
 */
#include "server/domain/checkpoint.h"

#include "server/route/route_internal.h"

static err_code
say_place(struct call *c, const struct project *p, const struct checkpoint *at, struct err *err)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kid(&jw, "device", &c->caller.device.id);
	jw_kstr(&jw, "device_name", c->caller.device.name);
	jw_kstr(&jw, "role", object_role(c->caller.role, c->caller.device.kind));
	jw_kid(&jw, "project", &p->id);
	jw_kstr(&jw, "project_name", p->name);
	if (at != NULL) {
		reply_cursor(&jw, "cursor", at->clock, &at->epoch);
		jw_ktime_us(&jw, "updated_at", at->updated_at);
	} else {
		jw_kstr(&jw, "cursor", NULL);
	}
	reply_cursor(&jw, "project_cursor", p->clock, &p->epoch);
	jw_khash(&jw, "digest", &p->digest);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_checkpoint_get(struct call *c, struct err *err)
{
	struct checkpoint at;
	struct project p;
	err_code rc = query_end(c, err), found;

	if (!rc)
		rc = project_get(c->d, &c->project, c->a, &p, err);
	if (rc)
		return rc;
	found = checkpoint_get(c->d, &c->project, &c->caller.device.id, c->a, &at, err);
	if (found && found != ERR_NOT_FOUND)
		return found;
	return say_place(c, &p, found ? NULL : &at, err);
}

static err_code
read_place(struct call *c, struct cursor *at, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *s;
	size_t len;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = json_need_str(&in, "cursor", &s, &len, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc)
		rc = cursor_parse(s, len, at, err);
	if (!rc && !at->has_epoch)
		rc = err_set(err, ERR_CURSOR_INVALID, "a place is a cursor, not a time");
	return rc;
}

err_code
route_checkpoint_put(struct call *c, struct err *err)
{
	struct cursor at;
	err_code rc = read_place(c, &at, err);

	if (!rc)
		rc = checkpoint_put(c->d, &c->project, &c->caller.device.id, &at.epoch, at.clock, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}
