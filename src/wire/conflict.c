/*
 * Conflicts: one, a page of them, and what somebody wants done about one.
 */
#include "wire/wire_internal.h"

static const char *const hows[] = {
	[WIRE_OPEN] = NULL, [WIRE_CURRENT] = "current", [WIRE_COPY] = "copy", [WIRE_BOTH] = "both", [WIRE_MERGED] = "merged",
	[WIRE_COPY_GONE] = "copy_gone",
};

const char *
wire_how_name(enum wire_how how)
{
	return hows[how];
}

bool
wire_how_parse(const char *s, enum wire_how *out)
{
	for (size_t i = WIRE_CURRENT; i < ARRAY_LEN(hows); i++) {
		if (strcmp(s, hows[i]) == 0) {
			*out = (enum wire_how)i;
			return true;
		}
	}
	return false;
}

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

static void
side_write(struct jw *jw, const char *key, const struct wire_side *s)
{
	jw_key(jw, key);
	jw_object(jw);
	jw_kid(jw, "id", &s->id);
	jw_kstr(jw, "path", s->path);
	jw_kstr(jw, "kind", wire_kind_name(s->kind));
	jw_ki64(jw, "version", s->version);
	jw_ki64(jw, "size", s->size);
	jw_kbool(jw, "deleted", s->deleted);
	jw_end_object(jw);
}

void
wire_conflict_write(struct jw *jw, const struct wire_conflict *c)
{
	jw_object(jw);
	jw_kid(jw, "id", &c->copy.id);
	jw_kstr(jw, "state", c->how == WIRE_OPEN ? "open" : "resolved");
	side_write(jw, "original", &c->original);
	side_write(jw, "copy", &c->copy);
	jw_ki64(jw, "lost_against", c->lost_against);
	jw_kid(jw, "device", &c->device);
	jw_kstr(jw, "device_name", c->device_name);
	jw_ktime_us(jw, "created_at", c->created_at);
	if (c->how != WIRE_OPEN) {
		jw_kstr(jw, "resolution", hows[c->how]);
		jw_ktime_us(jw, "resolved_at", c->resolved_at);
		jw_kid(jw, "resolved_by", &c->resolved_by);
		jw_kstr(jw, "resolved_by_name", c->resolved_by_name);
	}
	jw_end_object(jw);
}

void
wire_resolve_write(struct jw *jw, const struct wire_resolve *r)
{
	jw_object(jw);
	jw_kstr(jw, "keep", hows[r->keep]);
	jw_ki64(jw, "version", r->version);
	jw_ki64(jw, "copy_version", r->copy_version);
	jw_end_object(jw);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

static err_code
read_keep(struct json_in *in, enum wire_how *out, struct err *err)
{
	const char *s;
	err_code rc = json_need_str(in, "keep", &s, NULL, err);

	if (rc)
		return rc;
	if (!wire_how_parse(s, out) || *out == WIRE_COPY_GONE)
		return err_set(err, ERR_FIELD_RANGE, "keep: \"current\", \"copy\", \"both\" or \"merged\"");
	return ERR_OK;
}

err_code
wire_resolve_read(struct json_in *in, struct wire_resolve *out, struct err *err)
{
	err_code rc = read_keep(in, &out->keep, err);

	if (!rc)
		rc = json_need_i64(in, "version", 1, INT64_MAX, &out->version, err);
	if (!rc)
		rc = json_need_i64(in, "copy_version", 1, INT64_MAX, &out->copy_version, err);
	return rc ? rc : json_in_end(in, err);
}

static err_code
side_read(struct json_in *in, const char *key, struct arena *a, struct wire_side *out, struct err *err)
{
	struct json_in side;
	err_code rc = json_need_object(in, key, key, &side, err);

	if (!rc)
		rc = json_need_id(&side, "id", &out->id, err);
	if (!rc)
		rc = wire_keep_str(&side, "path", a, &out->path, err);
	if (!rc && out->path == NULL)
		rc = err_set(err, ERR_FIELD_MISSING, "%s.path is missing", key);
	if (!rc)
		rc = wire_kind_read(&side, &out->kind, err);
	if (!rc)
		rc = json_need_i64(&side, "version", 1, INT64_MAX, &out->version, err);
	if (!rc)
		rc = json_need_i64(&side, "size", 0, INT64_MAX, &out->size, err);
	return rc ? rc : json_need_bool(&side, "deleted", &out->deleted, err);
}

/** A way that a newer server knows of is resolved all the same. */
static err_code
read_end(struct json_in *in, struct arena *a, struct wire_conflict *out, struct err *err)
{
	const char *state, *how = "";
	err_code rc = json_need_str(in, "state", &state, NULL, err);

	if (rc || strcmp(state, "open") == 0)
		return rc;
	rc = json_need_str(in, "resolution", &how, NULL, err);
	if (!rc && !wire_how_parse(how, &out->how))
		out->how = WIRE_BOTH;
	if (!rc)
		rc = json_need_time_us(in, "resolved_at", &out->resolved_at, err);
	if (!rc)
		rc = json_need_id(in, "resolved_by", &out->resolved_by, err);
	return rc ? rc : wire_keep_str(in, "resolved_by_name", a, &out->resolved_by_name, err);
}

static err_code
read_members(struct json_in *in, struct arena *a, struct wire_conflict *out, struct err *err)
{
	err_code rc = side_read(in, "original", a, &out->original, err);

	if (!rc)
		rc = side_read(in, "copy", a, &out->copy, err);
	if (!rc)
		rc = json_need_i64(in, "lost_against", 1, INT64_MAX, &out->lost_against, err);
	if (!rc)
		rc = json_need_id(in, "device", &out->device, err);
	if (!rc)
		rc = wire_keep_str(in, "device_name", a, &out->device_name, err);
	if (!rc)
		rc = json_need_time_us(in, "created_at", &out->created_at, err);
	return rc ? rc : read_end(in, a, out, err);
}

static err_code
conflict_read(json_t *value, const char *where, struct arena *a, struct wire_conflict *out, struct err *err)
{
	struct json_in in;
	err_code rc = json_in_object(value, where, true, &in, err);

	*out = (struct wire_conflict){ .device_name = "", .resolved_by_name = "" };
	return rc ? rc : read_members(&in, a, out, err);
}

err_code
wire_conflict_read(const uint8_t *p, size_t len, struct arena *a, struct wire_conflict *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	err_code rc = json_in_parse(p, len, &doc, err);

	return rc ? rc : conflict_read(doc, "", a, out, err);
}

struct conflicts_reader {
	struct arena *a;
	struct wire_conflict *list;
	size_t n;
};

static err_code
page_conflict(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct conflicts_reader *r = ctx;
	struct wire_conflict *list = wire_grow(r->a, r->list, r->n, sizeof *list);
	char where[32];

	(void)key;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many conflicts");
	r->list = list;
	snprintf(where, sizeof where, "conflicts[%zu]", i);
	return conflict_read(value, where, r->a, &list[r->n++], err);
}

err_code
wire_conflicts_read(const uint8_t *p, size_t len, struct arena *a, struct wire_conflicts *out, struct err *err)
{
	static const char *const keys[] = { "conflicts", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct conflicts_reader r = { .a = a };
	struct json_each each = { .keys = keys, .max = PAGE_LIMIT_MAX, .fn = page_conflict, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc = json_in_parse_each(p, len, &each, &rest, &seen, err);

	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "conflicts is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", &out->has_more, err);
	if (!rc)
		rc = wire_cursor_need(&in, "next_cursor", &out->next, err);
	out->list = r.list;
	out->n = r.n;
	return rc;
}
