#include "wire/event.h"

#include "base/path.h"

#define ASKS_MAX 8192                /* of one kind in a message; EVENTS_MESSAGE_MAX is reached long before */
#define LIST_MAX (4 * MIB)           /* a list of a change: the caller stops after EVENTS_CHANGE_LEN */

/* ---- from a client ------------------------------------------------------------------------------------------------------ */

static err_code
no_room(struct err *err)
{
	return err_set(err, ERR_NO_MEM, "the message needs more memory than it may use");
}

static err_code
since_read(struct json_in *in, struct wire_ask *out, struct err *err)
{
	const char *s = NULL;
	size_t len = 0;
	err_code rc = json_get_str(in, "since", &s, &len, err);

	if (rc || !s)
		return rc;
	out->has_since = true;
	return cursor_parse(s, len, &out->since, err);
}

static err_code
subscribe_read(struct json_in *in, struct arena *a, struct wire_asks *out, struct err *err)
{
	json_t *list = NULL;
	err_code rc = json_get_array(in, "subscribe", ASKS_MAX, &list, err);

	if (rc || !list)
		return rc;
	out->subscribe_n = json_array_size(list);
	out->subscribe = arena_array(a, out->subscribe_n, sizeof *out->subscribe);
	if (!out->subscribe)
		return no_room(err);
	for (size_t i = 0; !rc && i < out->subscribe_n; i++) {
		struct json_in one;

		rc = json_in_object(json_array_get(list, i), "subscribe[]", false, &one, err);
		if (!rc)
			rc = json_need_id(&one, "project", &out->subscribe[i].project, err);
		if (!rc)
			rc = since_read(&one, &out->subscribe[i], err);
		if (!rc)
			rc = json_in_end(&one, err);
	}
	return rc;
}

static err_code
unsubscribe_read(struct json_in *in, struct arena *a, struct wire_asks *out, struct err *err)
{
	json_t *list = NULL;
	err_code rc = json_get_array(in, "unsubscribe", ASKS_MAX, &list, err);

	if (rc || !list)
		return rc;
	out->unsubscribe_n = json_array_size(list);
	out->unsubscribe = arena_array(a, out->unsubscribe_n, sizeof *out->unsubscribe);
	if (!out->unsubscribe)
		return no_room(err);
	for (size_t i = 0; !rc && i < out->unsubscribe_n; i++) {
		struct json_in one;

		rc = json_in_object(json_array_get(list, i), "unsubscribe[]", false, &one, err);
		if (!rc)
			rc = json_need_id(&one, "project", &out->unsubscribe[i], err);
		if (!rc)
			rc = json_in_end(&one, err);
	}
	return rc;
}

err_code
wire_asks_read(const uint8_t *p, size_t len, struct arena *a, struct wire_asks *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	err_code rc = json_in_parse(p, len, &doc, err);

	*out = (struct wire_asks){ 0 };
	if (!rc)
		rc = json_in_object(doc, "", false, &in, err);
	if (!rc)
		rc = unsubscribe_read(&in, a, out, err);
	if (!rc)
		rc = subscribe_read(&in, a, out, err);
	return rc ? rc : json_in_end(&in, err);
}

/* ---- to a client -------------------------------------------------------------------------------------------------------- */

static void
cursor_write(struct jw *jw, const char *key, const struct cursor *c)
{
	char text[CURSOR_MAX];

	jw_kstr(jw, key, cursor_format(c, text));
}

static void
open_message(struct jw *jw, const char *type, const struct id *project)
{
	jw_object(jw);
	jw_kstr(jw, "type", type);
	if (project)
		jw_kid(jw, "project", project);
}

void
wire_hello_write(struct jw *jw, const struct id *project, const struct cursor *at, const struct hash *digest)
{
	open_message(jw, "hello", project);
	cursor_write(jw, "cursor", at);
	jw_ki64(jw, "clock", at->clock);
	jw_kid(jw, "epoch", &at->epoch);
	jw_khash(jw, "digest", digest);
	jw_end_object(jw);
}

void
wire_resync_write(struct jw *jw, const struct id *project, const struct cursor *at, err_code why)
{
	open_message(jw, "resync", project);
	jw_kstr(jw, "code", why ? err_info(why)->code : "behind");
	cursor_write(jw, "cursor", at);
	jw_end_object(jw);
}

void
wire_status_write(struct jw *jw, const struct id *project, const struct wire_status *s)
{
	open_message(jw, "status", project);
	jw_kid(jw, "device", &s->device);
	jw_kbool(jw, "online", s->online);
	if (s->has_at)
		cursor_write(jw, "cursor", &s->at);
	else
		jw_kstr(jw, "cursor", NULL);
	jw_kbool(jw, "in_sync", s->in_sync);
	jw_kopt_i64(jw, "lag_us", s->lag_us >= 0, s->lag_us);
	jw_end_object(jw);
}

void
wire_event_error_write(struct jw *jw, const struct id *project, const struct err *err)
{
	const struct err_info *info = err_info(err->code);

	open_message(jw, "error", project);
	jw_kstr(jw, "code", info->code);
	jw_kstr(jw, "detail", problem_is_callers(err->code) ? err->msg : info->hint);
	jw_end_object(jw);
}

void
wire_heartbeat_open(struct jw *jw)
{
	open_message(jw, "heartbeat", NULL);
	jw_key(jw, "projects");
	jw_array(jw);
}

void
wire_heartbeat_project(struct jw *jw, const struct id *project, const struct cursor *told, int64_t clock)
{
	jw_object(jw);
	jw_kid(jw, "project", project);
	cursor_write(jw, "cursor", told);
	jw_ki64(jw, "clock", clock);
	jw_end_object(jw);
}

void
wire_heartbeat_close(struct jw *jw)
{
	jw_end_array(jw);
	jw_end_object(jw);
}

/* ---- progress ----------------------------------------------------------------------------------------------------------- */

static const char *const states[WIRE_PROGRESS_STATES] = { "running", "done", "gone" };

static void
progress_members(struct jw *jw, const struct wire_progress *p)
{
	jw_kstr(jw, "path", p->path[0] ? p->path : NULL);
	jw_ki64(jw, "done", p->done);
	jw_kopt_i64(jw, "total", p->total > 0, p->total);
	jw_kstr(jw, "state", states[p->state]);
}

void
wire_progress_write(struct jw *jw, const struct id *project, const struct wire_progress *p)
{
	open_message(jw, "progress", project);
	jw_kid(jw, "transfer", &p->transfer);
	jw_kid(jw, "device", &p->device);
	jw_kstr(jw, "direction", p->up ? "up" : "down");
	progress_members(jw, p);
	jw_end_object(jw);
}

void
wire_progress_report(struct jw *jw, const struct wire_progress *p, size_t n)
{
	jw_object(jw);
	jw_key(jw, "progress");
	jw_array(jw);
	for (size_t i = 0; i < n; i++) {
		jw_object(jw);
		jw_kid(jw, "transfer", &p[i].transfer);
		progress_members(jw, &p[i]);
		jw_end_object(jw);
	}
	jw_end_array(jw);
	jw_end_object(jw);
}

err_code
wire_progress_state_read(struct json_in *in, enum wire_progress_state *out, struct err *err)
{
	const char *s = states[*out];
	err_code rc = json_get_str(in, "state", &s, NULL, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < WIRE_PROGRESS_STATES; i++) {
		if (strcmp(s, states[i]) == 0) {
			*out = (enum wire_progress_state)i;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_FIELD_RANGE, "%s.state: running, done or gone", in->where);
}

static err_code
progress_path_read(struct json_in *in, struct arena *a, const char **out, struct err *err)
{
	const char *s = "";
	size_t len = 0;
	err_code rc = json_get_path(in, "path", &s, &len, err);

	if (!rc && len > 0)
		rc = path_check(s, len, err);
	if (rc)
		return rc;
	*out = arena_strndup(a, s, len);
	return *out ? ERR_OK : no_room(err);
}

static err_code
progress_one(json_t *value, struct arena *a, struct wire_progress *out, struct err *err)
{
	struct json_in in;
	err_code rc = json_in_object(value, "progress[]", false, &in, err);

	*out = (struct wire_progress){ .path = "" };
	if (!rc)
		rc = json_need_id(&in, "transfer", &out->transfer, err);
	if (!rc)
		rc = progress_path_read(&in, a, &out->path, err);
	if (!rc)
		rc = json_need_i64(&in, "done", 0, INT64_MAX, &out->done, err);
	if (!rc)
		rc = json_get_i64(&in, "total", 0, INT64_MAX, &out->total, err);
	if (!rc)
		rc = wire_progress_state_read(&in, &out->state, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc && out->total > 0 && out->done > out->total)
		rc = err_set(err, ERR_FIELD_RANGE, "progress[].done: at most total");
	return rc;
}

err_code
wire_progress_read(struct json_in *in, struct arena *a, struct wire_progress **out, size_t *n, struct err *err)
{
	json_t *list = NULL;
	err_code rc = json_need_array(in, "progress", PROGRESS_PER_DEVICE_MAX, &list, err);

	*n = 0;
	if (!rc)
		rc = json_in_end(in, err);
	if (rc)
		return rc;
	*out = arena_array(a, json_array_size(list), sizeof **out);
	if (!*out)
		return no_room(err);
	for (size_t i = 0; !rc && i < json_array_size(list); i++)
		rc = progress_one(json_array_get(list, i), a, &(*out)[i], err);
	*n = json_array_size(list);
	return rc;
}

/* ---- changes ------------------------------------------------------------------------------------------------------------ */

void
wire_change_init(struct wire_change *c)
{
	for (size_t i = 0; i < WIRE_CHANGE_LISTS; i++) {
		c->lists[i] = SBUF(LIST_MAX);
		c->jw[i] = JW(&c->lists[i]);
		jw_array(&c->jw[i]);
	}
}

void
wire_change_fini(struct wire_change *c)
{
	for (size_t i = 0; i < WIRE_CHANGE_LISTS; i++)
		sbuf_fini(&c->lists[i]);
}

void
wire_change_add(struct wire_change *c, enum wire_change_list which, const struct wire_file *f)
{
	wire_file_write(&c->jw[which], f);
}

size_t
wire_change_len(const struct wire_change *c)
{
	size_t len = 0;

	for (size_t i = 0; i < WIRE_CHANGE_LISTS; i++)
		len += c->lists[i].len;
	return len;
}

void
wire_change_write(struct wire_change *c, struct jw *jw, const struct id *project, const struct cursor *since,
    const struct cursor *to)
{
	static const char *const names[WIRE_CHANGE_LISTS] = { "added", "modified", "deleted" };

	open_message(jw, "change", project);
	cursor_write(jw, "since", since);
	cursor_write(jw, "cursor", to);
	for (size_t i = 0; i < WIRE_CHANGE_LISTS; i++) {
		jw_end_array(&c->jw[i]);
		jw_key(jw, names[i]);
		jw_raw(jw, sbuf_str(&c->lists[i]), c->lists[i].len);
	}
	jw_end_object(jw);
}
