#pragma once
/**
 * Reading JSON that someone else wrote: jansson behind dray's limits (depth, keys of an object, no duplicate keys, integers only
 * in 0…2^63-1, UTF-8) and typed getters that say which field is wrong.
 *
 * A body is one object.  Getters mark what they have read; json_in_end() refuses what nobody asked for (UNKNOWN_FIELD), so a
 * misspelt field is an error and not a silent default.  Clients read answers with ${lax}, where unknown fields are the future.
 */

#include <jansson.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/id.h"

#define JSON_ASKED_MAX 24

struct json_in {
	json_t *obj;       /* borrowed from the document */
	const char *where; /* for messages: "operations[3]", "" at the top */
	bool lax;
	unsigned read;     /* keys asked for and present */
	const char *asked[JSON_ASKED_MAX]; /* their names, so that the end can tell which key is the stranger */
};

/**
 * json_in_parse(p, len, doc, err): one whole document.  The caller frees *doc with json_decref.
 * Errors     JSON_INVALID (reason "utf8" for bad UTF-8), JSON_TOO_DEEP, JSON_DUPLICATE_KEY, FIELD_RANGE (an integer past 2^63-1, more
 *            than JSON_KEYS_MAX keys), BODY_TOO_LARGE (more than JSON_VALUES_MAX values).
 */
err_code json_in_parse(const uint8_t *p, size_t len, json_t **doc, struct err *err);

/**
 * What to do with large arrays right below the document's object: their elements are parsed, handed over and freed one at a time, so
 * that a body of megabytes costs the memory of one element.
 */
struct json_each {
	const char *const *keys; /* NULL-terminated: the arrays' names, each at most once in a document */
	size_t max;              /* elements in all; past it FIELD_RANGE */
	/** ${value} is lent; ${key} is an index of keys; ${i} counts within that array.  An error stops the reading. */
	err_code (*fn)(void *ctx, size_t key, size_t i, json_t *value, struct err *err);
	void *ctx;
};

/**
 * json_in_parse_each(p, len, each, rest, seen, err): as json_in_parse for a document that is an object with such arrays.  *rest gets
 * the other members (free it with json_decref); bit k of *seen is set when keys[k] was there.
 * Errors     as json_in_parse; FIELD_TYPE (not an object, a named member is not an array); what fn answers.
 */
err_code json_in_parse_each(const uint8_t *p, size_t len, const struct json_each *each, json_t **rest, unsigned *seen,
    struct err *err);

/** json_in_object(value, where, lax, out, err): FIELD_TYPE unless ${value} is an object. */
err_code json_in_object(json_t *value, const char *where, bool lax, struct json_in *out, struct err *err);

/**
 * Getters.  need_*: FIELD_MISSING when absent.  get_*: *out keeps its value when absent (null counts as absent).
 * Text never holds NUL (JSON_INVALID), so it is safe as a C string; only a path may come with one, because that has an answer of
 * its own (path_check, reason "nul"): json_need_path lends it with its length.
 */
err_code json_need_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_get_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_need_path(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_get_path(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_need_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err);
err_code json_get_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err);
err_code json_get_bool(struct json_in *in, const char *key, bool *out, struct err *err);
err_code json_need_id(struct json_in *in, const char *key, struct id *out, struct err *err);
err_code json_need_hash(struct json_in *in, const char *key, struct hash *out, struct err *err);
err_code json_need_bool(struct json_in *in, const char *key, bool *out, struct err *err);
err_code json_need_object(struct json_in *in, const char *key, const char *where, struct json_in *out, struct err *err);
err_code json_get_object(struct json_in *in, const char *key, const char *where, struct json_in *out, bool *present, struct err *err);
err_code json_get_id(struct json_in *in, const char *key, struct id *out, bool *present, struct err *err);
err_code json_get_hash(struct json_in *in, const char *key, struct hash *out, bool *present, struct err *err);
err_code json_need_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err);
err_code json_get_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err); /* NULL when absent */
err_code json_get_time_us(struct json_in *in, const char *key, int64_t *out, struct err *err);
err_code json_need_time_us(struct json_in *in, const char *key, int64_t *out, struct err *err);
err_code json_get_time_ns(struct json_in *in, const char *key, int64_t *out, bool *present, struct err *err);
/** A mode is text of four octal digits, "0644". */
err_code json_get_mode(struct json_in *in, const char *key, uint32_t *out, bool *present, struct err *err);
err_code json_in_end(struct json_in *in, struct err *err);

/** jdoc_freep(&doc): json_decref for AUTO(). */
void jdoc_freep(json_t **doc);
