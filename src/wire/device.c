/*
 * A project's devices, as the server tells them.
 */
#include "wire/wire_internal.h"

#define DEVICES_MAX JSON_VALUES_MAX /* of a project; the answer's size is bounded before */

static err_code
read_place(struct json_in *in, struct wire_device *d, struct err *err)
{
	const char *s = NULL;
	size_t len = 0;
	err_code rc = json_get_str(in, "cursor", &s, &len, err);

	d->has_at = s != NULL;
	if (!rc && s)
		rc = cursor_parse(s, len, &d->at, err);
	return rc;
}

static err_code
read_lag(struct json_in *in, struct wire_device *d, struct err *err)
{
	err_code rc;

	d->lag_us = d->lag_changes = -1;
	rc = json_get_i64(in, "lag_us", 0, INT64_MAX, &d->lag_us, err);
	if (!rc)
		rc = json_get_i64(in, "lag_changes", 0, INT64_MAX, &d->lag_changes, err);
	if (!rc)
		rc = json_get_time_us(in, "behind_since", &d->behind_since, err);
	return rc;
}

static err_code
device_read(json_t *value, const char *where, struct arena *a, struct wire_device *d, struct err *err)
{
	struct json_in in;
	err_code rc = json_in_object(value, where, true, &in, err);

	*d = (struct wire_device){ 0 };
	if (!rc)
		rc = json_need_id(&in, "id", &d->id, err);
	if (!rc)
		rc = wire_keep_str(&in, "name", a, &d->name, err);
	if (!rc)
		rc = wire_keep_str(&in, "role", a, &d->role, err);
	if (!rc)
		rc = json_get_time_us(&in, "created_at", &d->created_at, err);
	if (!rc)
		rc = json_get_time_us(&in, "last_seen_at", &d->last_seen_at, err);
	if (!rc)
		rc = read_place(&in, d, err);
	if (!rc)
		rc = read_lag(&in, d, err);
	if (!rc)
		rc = json_get_bool(&in, "connected", &d->connected, err); /* a server before it was told leaves it out */
	if (!rc && (!d->name || !d->role))
		rc = err_set(err, ERR_FIELD_MISSING, "%s: name and role are needed", where);
	return rc;
}

struct devices_reader {
	struct arena *a;
	struct wire_device *list;
	size_t n;
};

static err_code
page_device(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct devices_reader *r = ctx;
	struct wire_device *list = wire_grow(r->a, r->list, r->n, sizeof *list);
	char where[32];

	(void)key;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many devices");
	r->list = list;
	snprintf(where, sizeof where, "devices[%zu]", i);
	return device_read(value, where, r->a, &list[r->n++], err);
}

err_code
wire_devices_read(const uint8_t *p, size_t len, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project,
    struct err *err)
{
	static const char *const keys[] = { "devices", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct devices_reader r = { .a = a };
	struct json_each each = { .keys = keys, .max = DEVICES_MAX, .fn = page_device, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc = json_in_parse_each(p, len, &each, &rest, &seen, err);

	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "devices is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = wire_cursor_need(&in, "project_cursor", project, err);
	*out = r.list;
	*n = r.n;
	return rc;
}
