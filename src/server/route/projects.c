#include "server/route/route_internal.h"

static err_code
encode_created(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	struct jw jw = JW(out);

	object_project(&jw, ctx);
	*status = 201;
	return sbuf_done(out, err);
}

/** {"name": …}.  The name is copied: the document ends with this function. */
static err_code
read_name(struct call *c, const char **name, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *s;
	size_t len;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = json_need_str(&in, "name", &s, &len, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc)
		rc = title_check(s, len, "name", err);
	if (rc)
		return rc;
	*name = arena_strndup(c->a, s, len);
	return *name ? ERR_OK : err_set(err, ERR_NO_MEM, "name");
}

err_code
route_project_create(struct call *c, struct err *err)
{
	struct project p = { 0 };
	struct idem *idem = call_idem(c, encode_created, &p);
	const char *name;
	char hex[ID_HEX_LEN + 1];
	err_code rc = read_name(c, &name, err);

	if (!rc)
		rc = project_create(c->d, name, idem, c->a, &p, err);
	if (!rc && (idem == NULL || !idem->replayed))
		reply_header_f(c->rq, "Location", "/projects/%s", id_hex(&p.id, hex));
	return rc ? rc : call_answer(c, idem, encode_created, &p, err);
}

static err_code
read_after(struct call *c, struct id *after, bool *has_after, struct err *err)
{
	size_t len;
	const char *s = query_text(c, "after", &len);

	*has_after = s != NULL;
	return s ? id_parse(s, len, after, err) : ERR_OK;
}

/** One row more than asked for says whether there is more. */
static err_code
write_list(struct call *c, const struct project *list, size_t n, unsigned limit, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_key(&jw, "projects");
	jw_array(&jw);
	for (size_t i = 0; i < MIN(n, limit); i++)
		object_project(&jw, &list[i]);
	jw_end_array(&jw);
	jw_kbool(&jw, "has_more", n > limit);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_project_list(struct call *c, struct err *err)
{
	bool all = c->caller.device.kind == DEVICE_OWNER, has_after;
	struct project *list = NULL, *tail = NULL;
	struct id after;
	size_t n = 0, more = 0;
	unsigned limit;
	err_code rc = query_limit(c, &limit, err);

	if (!rc)
		rc = read_after(c, &after, &has_after, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = project_list(c->d, all ? NULL : &c->caller.device.id, has_after ? &after : NULL, limit, c->a, &list, &n, err);
	/* A full page may be the last: the domain gives at most a page, so the row behind it is asked for. */
	if (!rc && n == limit)
		rc = project_list(c->d, all ? NULL : &c->caller.device.id, &list[n - 1].id, 1, c->a, &tail, &more, err);
	return rc ? rc : write_list(c, list, n + more, limit, err);
}

static err_code
say_project(struct call *c, const struct project *p, struct err *err)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	object_project(&jw, p);
	return reply_json(c, 200, &sb, err);
}

err_code
route_project_get(struct call *c, struct err *err)
{
	struct project p;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = project_get(c->d, &c->project, c->a, &p, err);
	return rc ? rc : say_project(c, &p, err);
}

/** At least one of the members; their ranges are the domain's. */
static err_code
read_change(struct call *c, struct project_change *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *name = NULL;
	size_t len = 0;
	err_code rc = call_json(c, &doc, &in, err);

	*out = (struct project_change){ .keep_versions = -1, .keep_days = -1, .quota_bytes = -1 };
	if (!rc)
		rc = json_get_str(&in, "name", &name, &len, err);
	if (!rc)
		rc = json_get_i64(&in, "keep_versions", 0, KEEP_VERSIONS_MAX, &out->keep_versions, err);
	if (!rc)
		rc = json_get_i64(&in, "keep_days", 0, KEEP_DAYS_MAX, &out->keep_days, err);
	if (!rc)
		rc = json_get_i64(&in, "quota_bytes", 0, INT64_MAX, &out->quota_bytes, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc && name)
		rc = title_check(name, len, "name", err);
	if (rc)
		return rc;
	if (!name && out->keep_versions < 0 && out->keep_days < 0 && out->quota_bytes < 0)
		return err_set(err, ERR_FIELD_MISSING, "name, keep_versions, keep_days or quota_bytes");
	out->name = name ? arena_strndup(c->a, name, len) : NULL;
	return name && !out->name ? err_set(err, ERR_NO_MEM, "name") : ERR_OK;
}

err_code
route_project_update(struct call *c, struct err *err)
{
	struct project_change change;
	struct project p;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = read_change(c, &change, err);
	if (!rc)
		rc = project_update(c->d, &c->project, &change, c->a, &p, err);
	return rc ? rc : say_project(c, &p, err);
}

err_code
route_project_delete(struct call *c, struct err *err)
{
	err_code rc = query_end(c, err);

	if (!rc)
		rc = project_delete(c->d, &c->project, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}
