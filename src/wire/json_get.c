/*
 * Typed getters.  Each remembers that its key was asked for, so that json_in_end() can name the first key that nobody knows.
 */
#include <assert.h>

#include "base/clock.h"
#include "wire/json_in.h"

/** "operations[3].size" or "size": where a field is, for messages. */
#define FIELD_FMT "%s%s%s"
#define FIELD_ARGS(in, key) (in)->where, *(in)->where ? "." : "", key

err_code
json_in_object(json_t *value, const char *where, bool lax, struct json_in *out, struct err *err)
{
	if (!json_is_object(value))
		return err_set(err, ERR_FIELD_TYPE, "%s: an object is needed", *where ? where : "the document");
	*out = (struct json_in){ .obj = value, .where = where, .lax = lax };
	return ERR_OK;
}

err_code
json_in_end(struct json_in *in, struct err *err)
{
	const char *key;
	json_t *value;

	if (in->lax || in->read == json_object_size(in->obj))
		return ERR_OK;
	json_object_foreach (in->obj, key, value) {
		unsigned i = 0;

		while (i < in->read && strcmp(in->asked[i], key) != 0)
			i++;
		if (i == in->read)
			return err_set(err, ERR_UNKNOWN_FIELD, FIELD_FMT ": no such field here", FIELD_ARGS(in, key));
	}
	return ERR_OK;
}

/** The member, or NULL when absent. */
static json_t *
member(struct json_in *in, const char *key)
{
	json_t *v = json_object_get(in->obj, key);

	if (v == NULL)
		return NULL;
	assert(in->read < JSON_ASKED_MAX); /* a reader asks for a fixed set of keys, each once */
	in->asked[in->read++] = key;
	return v;
}

/** As member(), with null counted as absent. */
static json_t *
optional(struct json_in *in, const char *key)
{
	json_t *v = member(in, key);

	return json_is_null(v) ? NULL : v;
}

static err_code
required(struct json_in *in, const char *key, json_t **out, struct err *err)
{
	*out = member(in, key);
	return *out ? ERR_OK : err_set(err, ERR_FIELD_MISSING, FIELD_FMT " is missing", FIELD_ARGS(in, key));
}

static err_code
wrong_type(const struct json_in *in, const char *key, const char *need, struct err *err)
{
	return err_set(err, ERR_FIELD_TYPE, FIELD_FMT ": %s is needed", FIELD_ARGS(in, key), need);
}

/* ---- text --------------------------------------------------------------------------------------------------------------- */

static err_code
as_path(struct json_in *in, const char *key, json_t *v, const char **out, size_t *len, struct err *err)
{
	if (!json_is_string(v))
		return wrong_type(in, key, "text", err);
	*out = json_string_value(v);
	*len = json_string_length(v);
	return ERR_OK;
}

static err_code
as_str(struct json_in *in, const char *key, json_t *v, const char **out, size_t *len, struct err *err)
{
	size_t n;
	err_code rc = as_path(in, key, v, out, &n, err);

	if (rc)
		return rc;
	if (memchr(*out, 0, n))
		return err_set(err, ERR_JSON_INVALID, FIELD_FMT ": text may not hold NUL", FIELD_ARGS(in, key));
	if (len != NULL)
		*len = n;
	return ERR_OK;
}

err_code
json_need_path(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_path(in, key, v, out, len, err);
}

err_code
json_get_path(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err)
{
	json_t *v = optional(in, key);

	return v ? as_path(in, key, v, out, len, err) : ERR_OK;
}

err_code
json_need_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_str(in, key, v, out, len, err);
}

err_code
json_get_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err)
{
	json_t *v = optional(in, key);

	return v ? as_str(in, key, v, out, len, err) : ERR_OK;
}

/* ---- numbers and truth ---------------------------------------------------------------------------------------------------- */

static err_code
as_i64(struct json_in *in, const char *key, json_t *v, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	if (!json_is_integer(v))
		return wrong_type(in, key, "an integer", err);
	if (json_integer_value(v) < min || json_integer_value(v) > max)
		return err_set(err, ERR_FIELD_RANGE, FIELD_FMT ": outside %lld to %lld", FIELD_ARGS(in, key), (long long)min,
		    (long long)max);
	*out = json_integer_value(v);
	return ERR_OK;
}

err_code
json_need_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_i64(in, key, v, min, max, out, err);
}

err_code
json_get_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	json_t *v = optional(in, key);

	return v ? as_i64(in, key, v, min, max, out, err) : ERR_OK;
}

static err_code
as_bool(struct json_in *in, const char *key, json_t *v, bool *out, struct err *err)
{
	if (!json_is_boolean(v))
		return wrong_type(in, key, "true or false", err);
	*out = json_is_true(v);
	return ERR_OK;
}

err_code
json_need_bool(struct json_in *in, const char *key, bool *out, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_bool(in, key, v, out, err);
}

err_code
json_get_bool(struct json_in *in, const char *key, bool *out, struct err *err)
{
	json_t *v = optional(in, key);

	return v ? as_bool(in, key, v, out, err) : ERR_OK;
}

/* ---- ids, hashes, times, modes -------------------------------------------------------------------------------------------- */

/** A parser of text with a fixed form. */
typedef err_code (*text_fn)(const char *s, size_t len, void *out, struct err *err);

static err_code
as_text(struct json_in *in, const char *key, json_t *v, text_fn fn, void *out, struct err *err)
{
	const char *s;
	size_t len;
	err_code rc = as_str(in, key, v, &s, &len, err);

	if (rc)
		return rc;
	rc = fn(s, len, out, err);
	return rc ? err_wrap(err, FIELD_FMT, FIELD_ARGS(in, key)) : ERR_OK;
}

static err_code
need_text(struct json_in *in, const char *key, text_fn fn, void *out, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_text(in, key, v, fn, out, err);
}

static err_code
get_text(struct json_in *in, const char *key, text_fn fn, void *out, bool *present, struct err *err)
{
	json_t *v = optional(in, key);

	if (present != NULL)
		*present = v != NULL;
	return v ? as_text(in, key, v, fn, out, err) : ERR_OK;
}

static err_code
text_id(const char *s, size_t len, void *out, struct err *err)
{
	return id_parse(s, len, out, err);
}

static err_code
text_hash(const char *s, size_t len, void *out, struct err *err)
{
	return hash_parse(s, len, out, err);
}

static err_code
text_time_ns(const char *s, size_t len, void *out, struct err *err)
{
	return rfc3339_parse_ns(s, len, out, err);
}

/** Down to the microsecond before, also before 1970, so that a time never claims more than it said. */
static err_code
text_time_us(const char *s, size_t len, void *out, struct err *err)
{
	int64_t ns;
	err_code rc = rfc3339_parse_ns(s, len, &ns, err);

	if (!rc)
		*(int64_t *)out = ns / 1000 - (ns % 1000 < 0);
	return rc;
}

static err_code
text_mode(const char *s, size_t len, void *out, struct err *err)
{
	uint32_t mode = 0;

	if (len != 4)
		return err_set(err, ERR_FIELD_RANGE, "a mode is four octal digits");
	for (size_t i = 0; i < 4; i++) {
		if (s[i] < '0' || s[i] > '7')
			return err_set(err, ERR_FIELD_RANGE, "a mode is four octal digits");
		mode = mode << 3 | (uint32_t)(s[i] - '0');
	}
	*(uint32_t *)out = mode;
	return ERR_OK;
}

err_code
json_need_id(struct json_in *in, const char *key, struct id *out, struct err *err)
{
	return need_text(in, key, text_id, out, err);
}

err_code
json_get_id(struct json_in *in, const char *key, struct id *out, bool *present, struct err *err)
{
	return get_text(in, key, text_id, out, present, err);
}

err_code
json_need_hash(struct json_in *in, const char *key, struct hash *out, struct err *err)
{
	return need_text(in, key, text_hash, out, err);
}

err_code
json_get_hash(struct json_in *in, const char *key, struct hash *out, bool *present, struct err *err)
{
	return get_text(in, key, text_hash, out, present, err);
}

err_code
json_need_time_us(struct json_in *in, const char *key, int64_t *out, struct err *err)
{
	return need_text(in, key, text_time_us, out, err);
}

err_code
json_get_time_us(struct json_in *in, const char *key, int64_t *out, struct err *err)
{
	return get_text(in, key, text_time_us, out, NULL, err);
}

err_code
json_get_time_ns(struct json_in *in, const char *key, int64_t *out, bool *present, struct err *err)
{
	return get_text(in, key, text_time_ns, out, present, err);
}

err_code
json_get_mode(struct json_in *in, const char *key, uint32_t *out, bool *present, struct err *err)
{
	return get_text(in, key, text_mode, out, present, err);
}

/* ---- objects and arrays ----------------------------------------------------------------------------------------------------- */

err_code
json_need_object(struct json_in *in, const char *key, const char *where, struct json_in *out, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : json_in_object(v, where, in->lax, out, err);
}

err_code
json_get_object(struct json_in *in, const char *key, const char *where, struct json_in *out, bool *present, struct err *err)
{
	json_t *v = optional(in, key);

	*present = v != NULL;
	return v ? json_in_object(v, where, in->lax, out, err) : ERR_OK;
}

static err_code
as_array(struct json_in *in, const char *key, size_t max, json_t *v, json_t **out, struct err *err)
{
	if (!json_is_array(v))
		return wrong_type(in, key, "an array", err);
	if (json_array_size(v) > max)
		return err_set(err, ERR_FIELD_RANGE, FIELD_FMT ": more than %zu elements", FIELD_ARGS(in, key), max);
	*out = v;
	return ERR_OK;
}

err_code
json_need_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err)
{
	json_t *v;
	err_code rc = required(in, key, &v, err);

	return rc ? rc : as_array(in, key, max, v, out, err);
}

err_code
json_get_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err)
{
	json_t *v = optional(in, key);

	*out = NULL;
	return v ? as_array(in, key, max, v, out, err) : ERR_OK;
}
