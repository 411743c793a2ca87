/*
 * What a commit answers: a result an operation, or the chunks that were missing.
 */
#include "wire/wire_internal.h"

/** Conflicts are about what the file has become; anything else is a plain error. */
static bool
is_conflict(err_code code)
{
	return code == ERR_VERSION_CONFLICT || code == ERR_NAME_EXISTS || code == ERR_BASE_REQUIRED;
}

void
wire_result_write(struct jw *jw, const struct wire_result *r)
{
	jw_object(jw);
	if (r->ok) {
		jw_kstr(jw, "status", "ok");
		jw_kid(jw, "id", &r->id);
		jw_ki64(jw, "version", r->version);
		if (r->unchanged)
			jw_kbool(jw, "unchanged", true);
	} else {
		jw_kstr(jw, "status", is_conflict(r->code) ? "conflict" : "error");
		jw_kstr(jw, "code", err_info(r->code)->code);
		jw_kstr(jw, "detail", r->detail ? r->detail : err_info(r->code)->text);
		if (r->has_current) {
			jw_key(jw, "current");
			wire_file_write(jw, &r->current);
		}
	}
	jw_end_object(jw);
}

static err_code
read_ok(struct json_in *in, struct wire_result *out, struct err *err)
{
	err_code rc = json_need_id(in, "id", &out->id, err);

	if (!rc)
		rc = json_need_i64(in, "version", 1, INT64_MAX, &out->version, err);
	if (!rc)
		rc = json_get_bool(in, "unchanged", &out->unchanged, err);
	return rc;
}

static err_code
read_failed(struct json_in *in, struct arena *a, struct wire_result *out, struct err *err)
{
	struct json_in current;
	const char *code;
	err_code rc = json_need_str(in, "code", &code, NULL, err);

	if (rc)
		return rc;
	out->code = err_by_code(code);
	if (out->code == ERR_OK)
		out->code = ERR_INTERNAL; /* a newer server's; never an ok */
	rc = wire_keep_str(in, "detail", a, &out->detail, err);
	if (!rc)
		rc = json_get_object(in, "current", "current", &current, &out->has_current, err);
	if (!rc && out->has_current)
		rc = wire_file_read(current.obj, "current", a, &out->current, err);
	return rc;
}

struct answer_reader {
	struct arena *a;
	struct wire_commit_answer *out;
};

static err_code
answer_result(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct answer_reader *r = ctx;
	struct wire_result *list = wire_grow(r->a, r->out->results, r->out->n, sizeof *list), *result;
	struct json_in in;
	const char *status;
	err_code rc;

	(void)key;
	(void)i;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many results");
	r->out->results = list;
	result = &list[r->out->n++];
	rc = json_in_object(value, "results[]", true, &in, err);
	if (!rc)
		rc = json_need_str(&in, "status", &status, NULL, err);
	if (rc)
		return rc;
	result->ok = strcmp(status, "ok") == 0;
	return result->ok ? read_ok(&in, result, err) : read_failed(&in, r->a, result, err);
}

err_code
wire_commit_answer_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	static const char *const keys[] = { "results", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct answer_reader r = { .a = a, .out = out };
	struct json_each each = { .keys = keys, .max = COMMIT_OPS_MAX, .fn = answer_result, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc;

	*out = (struct wire_commit_answer){ 0 };
	rc = json_in_parse_each(p, len, &each, &rest, &seen, err);
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "results is missing");
	if (!rc)
		rc = json_need_hash(&in, "digest", &out->digest, err);
	if (!rc)
		rc = wire_cursor_need(&in, "cursor", &out->cursor, err);
	if (!rc)
		rc = wire_cursor_need(&in, "previous", &out->previous, err);
	return rc;
}

static err_code
missing_hash(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct answer_reader *r = ctx;
	struct hash *list = wire_grow(r->a, r->out->missing, r->out->missing_n, sizeof *list);

	(void)key;
	(void)i;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many chunks");
	r->out->missing = list;
	if (!json_is_string(value))
		return err_set(err, ERR_FIELD_TYPE, "missing: hashes are needed");
	return hash_parse(json_string_value(value), json_string_length(value), &list[r->out->missing_n++], err);
}

err_code
wire_missing_read(const uint8_t *p, size_t len, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	static const char *const keys[] = { "missing", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct answer_reader r = { .a = a, .out = out };
	struct json_each each = { .keys = keys, .max = WIRE_MISSING_MAX, .fn = missing_hash, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc;

	out->missing = NULL;
	out->missing_n = 0;
	rc = json_in_parse_each(p, len, &each, &rest, &seen, err);
	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "missing is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", &out->missing_more, err);
	return rc;
}
