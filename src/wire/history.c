/*
 * A file's history: a page of its versions.
 */
#include "wire/wire_internal.h"

void
wire_version_write(struct jw *jw, const struct wire_version *v)
{
	jw_object(jw);
	jw_ki64(jw, "version", v->version);
	jw_kstr(jw, "path", v->path);
	jw_kstr(jw, "kind", wire_kind_name(v->kind));
	jw_ki64(jw, "size", v->size);
	wire_mode_write(jw, v->mode);
	jw_ktime_ns(jw, "mtime", v->mtime_ns);
	if (!hash_is_zero(&v->content))
		jw_khash(jw, "content_hash", &v->content);
	if (v->target != NULL)
		jw_kstr(jw, "target", v->target);
	jw_kid(jw, "changed_by", &v->changed_by);
	jw_kstr(jw, "changed_by_name", v->changed_by_name);
	jw_kbool(jw, "deleted", v->deleted);
	jw_end_object(jw);
}

/** What a version says of the file is what a file object says of it. */
static err_code
read_state(struct json_in *in, struct arena *a, struct wire_version *out, struct err *err)
{
	struct wire_file f = { 0 };
	err_code rc = wire_entry_read(in, a, &f, err);

	out->kind = f.kind;
	out->size = f.size;
	out->mode = f.mode;
	out->mtime_ns = f.mtime_ns;
	out->content = f.content;
	out->target = f.target;
	return rc;
}

static err_code
version_read(json_t *value, const char *where, struct arena *a, struct wire_version *out, struct err *err)
{
	struct json_in in;
	err_code rc = json_in_object(value, where, true, &in, err);

	*out = (struct wire_version){ 0 };
	if (!rc)
		rc = json_need_i64(&in, "version", 1, INT64_MAX, &out->version, err);
	if (!rc)
		rc = wire_keep_str(&in, "path", a, &out->path, err);
	if (!rc)
		rc = read_state(&in, a, out, err);
	if (!rc)
		rc = json_need_id(&in, "changed_by", &out->changed_by, err);
	if (!rc)
		rc = wire_keep_str(&in, "changed_by_name", a, &out->changed_by_name, err);
	if (!rc)
		rc = json_need_bool(&in, "deleted", &out->deleted, err);
	if (!rc && (out->path == NULL || out->changed_by_name == NULL))
		rc = err_set(err, ERR_FIELD_MISSING, "%s: path and changed_by_name are needed", where);
	return rc;
}

struct versions_reader {
	struct arena *a;
	struct wire_version *list;
	size_t n;
};

static err_code
page_version(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct versions_reader *r = ctx;
	struct wire_version *list = wire_grow(r->a, r->list, r->n, sizeof *list);
	char where[32];

	(void)key;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many versions");
	r->list = list;
	snprintf(where, sizeof where, "versions[%zu]", i);
	return version_read(value, where, r->a, &list[r->n++], err);
}

err_code
wire_versions_read(const uint8_t *p, size_t len, struct arena *a, struct wire_version **out, size_t *n, bool *has_more,
    struct err *err)
{
	static const char *const keys[] = { "versions", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct versions_reader r = { .a = a };
	struct json_each each = { .keys = keys, .max = PAGE_LIMIT_MAX, .fn = page_version, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc = json_in_parse_each(p, len, &each, &rest, &seen, err);

	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "versions is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", has_more, err);
	*out = r.list;
	*n = r.n;
	return rc;
}
