/*
 * A file's history: its kept versions, and one of them in the file's place.
 */
#include "server/domain/history.h"

#include "server/route/content.h"

static void
write_version(struct jw *jw, const struct kept_version *k)
{
	const struct version *v = &k->v;

	wire_version_write(jw,
	    &(struct wire_version){
		.version = v->version,
		.path = v->path,
		.kind = (int)v->kind,
		.size = v->size,
		.mode = v->mode,
		.mtime_ns = v->mtime_ns,
		.content = v->content,
		.target = v->kind == KIND_LINK ? v->target : NULL,
		.changed_by = v->changed_by,
		.changed_by_name = k->changed_by_name,
		.deleted = v->deleted,
	    });
}

static err_code
write_versions(struct call *c, const struct kept_version *list, size_t n, bool has_more, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_key(&jw, "versions");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++)
		write_version(&jw, &list[i]);
	jw_end_array(&jw);
	jw_kbool(&jw, "has_more", has_more);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_file_versions(struct call *c, struct err *err)
{
	struct kept_version *list;
	uint64_t before = INT64_MAX;
	unsigned limit;
	struct id id;
	bool has_more;
	size_t n;
	err_code rc = query_u64(c, "before", 1, INT64_MAX, &before, err);

	if (!rc)
		rc = query_limit(c, &limit, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = call_id(c, "file", &id, err);
	if (!rc)
		rc = history_list(c->d, &c->project, &id, (int64_t)before, limit, c->a, &list, &n, &has_more, err);
	return rc ? rc : write_versions(c, list, n, has_more, err);
}

err_code
history_then(struct call *c, int64_t version, struct file *f, struct err *err)
{
	struct id id;
	err_code rc = call_id(c, "file", &id, err);

	return rc ? rc : history_file(c->d, &c->project, &id, version, c->a, f, err);
}
