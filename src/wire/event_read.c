/*
 * Messages of an event stream, as a client reads them: unknown members and types are the future.
 */
#include "wire/event.h"
#include "wire/wire_internal.h"

static const char *const lists[] = { "added", "modified", "deleted", NULL };

struct reader {
	struct arena *a;
	struct wire_event *out;
};

static err_code
read_file(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct reader *r = ctx;
	struct wire_event *e = r->out;
	struct wire_file *list = wire_grow(r->a, e->files, e->n, sizeof *list), f;
	char where[32];
	size_t at;
	err_code rc;

	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many files");
	e->files = list;
	snprintf(where, sizeof where, "%s[%zu]", lists[key], i);
	rc = wire_file_read(value, where, r->a, &f, err);
	if (rc)
		return rc;
	at = key == 0 ? e->added : key == 1 ? e->added + e->modified : e->n; /* whatever the text's order */
	memmove(&list[at + 1], &list[at], (e->n - at) * sizeof *list);
	list[at] = f;
	e->n++;
	e->added += key == 0;
	e->modified += key == 1;
	return ERR_OK;
}

static err_code
read_status(struct json_in *in, struct wire_status *s, struct err *err)
{
	const char *at = NULL;
	size_t len = 0;
	err_code rc = json_need_id(in, "device", &s->device, err);

	s->lag_us = -1;
	if (!rc)
		rc = json_need_bool(in, "online", &s->online, err);
	if (!rc)
		rc = json_get_str(in, "cursor", &at, &len, err);
	s->has_at = at != NULL;
	if (!rc && at)
		rc = cursor_parse(at, len, &s->at, err);
	if (!rc)
		rc = json_get_bool(in, "in_sync", &s->in_sync, err);
	return rc ? rc : json_get_i64(in, "lag_us", 0, INT64_MAX, &s->lag_us, err);
}

static err_code
read_progress(struct json_in *in, struct arena *a, struct wire_progress *p, struct err *err)
{
	const char *direction = "";
	err_code rc = json_need_id(in, "transfer", &p->transfer, err);

	p->path = "";
	if (!rc)
		rc = json_need_id(in, "device", &p->device, err);
	if (!rc)
		rc = json_need_str(in, "direction", &direction, NULL, err);
	p->up = strcmp(direction, "up") == 0;
	if (!rc)
		rc = wire_keep_str(in, "path", a, &p->path, err);
	if (!rc)
		rc = json_need_i64(in, "done", 0, INT64_MAX, &p->done, err);
	if (!rc)
		rc = json_get_i64(in, "total", 0, INT64_MAX, &p->total, err);
	return rc ? rc : wire_progress_state_read(in, &p->state, err);
}

err_code
wire_event_read(const uint8_t *p, size_t len, struct arena *a, struct wire_event *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct reader r = { a, out };
	struct json_each each = { .keys = lists, .max = PAGE_LIMIT_MAX, .fn = read_file, .ctx = &r };
	struct json_in in;
	const char *type = "";
	unsigned seen;
	err_code rc;

	*out = (struct wire_event){ 0 };
	rc = json_in_parse_each(p, len, &each, &rest, &seen, err);
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_str(&in, "type", &type, NULL, err);
	if (rc)
		return rc;
	if (strcmp(type, "hello") == 0)
		out->type = WIRE_EVENT_HELLO;
	if (strcmp(type, "change") == 0)
		out->type = WIRE_EVENT_CHANGE;
	if (strcmp(type, "status") == 0) {
		out->type = WIRE_EVENT_STATUS;
		rc = read_status(&in, &out->status, err);
	}
	if (strcmp(type, "progress") == 0) {
		out->type = WIRE_EVENT_PROGRESS;
		rc = read_progress(&in, a, &out->progress, err);
	}
	return rc;
}
