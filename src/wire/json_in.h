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

struct json_in {
	json_t *obj;       /* borrowed from the document */
	const char *where; /* for messages: "operations[3]", "" at the top */
	bool lax;
	unsigned read;     /* keys asked for and present */
};

/**
 * json_in_parse(p, len, doc, err): one whole document.  The caller frees *doc with json_decref.
 * Errors     JSON_INVALID, JSON_TOO_DEEP, JSON_DUPLICATE_KEY, FIELD_RANGE (an integer past 2^63-1, more than JSON_KEYS_MAX keys).
 */
err_code json_in_parse(const uint8_t *p, size_t len, json_t **doc, struct err *err);

/** json_in_object(value, where, lax, out, err): FIELD_TYPE unless ${value} is an object. */
err_code json_in_object(json_t *value, const char *where, bool lax, struct json_in *out, struct err *err);

/** Getters.  need_*: FIELD_MISSING when absent.  get_*: *out keeps its value when absent (null counts as absent). */
err_code json_need_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_get_str(struct json_in *in, const char *key, const char **out, size_t *len, struct err *err);
err_code json_need_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err);
err_code json_get_i64(struct json_in *in, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err);
err_code json_get_bool(struct json_in *in, const char *key, bool *out, struct err *err);
err_code json_need_id(struct json_in *in, const char *key, struct id *out, struct err *err);
err_code json_get_id(struct json_in *in, const char *key, struct id *out, bool *present, struct err *err);
err_code json_get_hash(struct json_in *in, const char *key, struct hash *out, bool *present, struct err *err);
err_code json_need_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err);
err_code json_get_array(struct json_in *in, const char *key, size_t max, json_t **out, struct err *err); /* NULL when absent */
err_code json_get_time_us(struct json_in *in, const char *key, int64_t *out, struct err *err);
err_code json_get_time_ns(struct json_in *in, const char *key, int64_t *out, bool *present, struct err *err);
/** A mode is text of four octal digits, "0644". */
err_code json_get_mode(struct json_in *in, const char *key, uint32_t *out, bool *present, struct err *err);
err_code json_in_end(struct json_in *in, struct err *err);

/** jdoc_freep(&doc): json_decref for AUTO(). */
void jdoc_freep(json_t **doc);
