/*
 * The document: limits first (scan.c), then jansson.  Large arrays are cut into elements by the scan and each slice is parsed
 * alone, strictly and to its last byte; since the separators between slices are checked here, the pieces are JSON exactly when the
 * whole is.
 */
#include "wire/json_in.h"

#include "base/limits.h"
#include "wire/scan.h"

#define LOAD_FLAGS (JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)

void
jdoc_freep(json_t **doc)
{
	json_decref(*doc);
	*doc = NULL;
}

/** The text of jansson's message may quote the input, also cut in the middle of a character: only its position is told. */
static err_code
load_error(const json_error_t *je, size_t base, struct err *err)
{
	size_t at = base + (je->position > 0 ? (size_t)je->position : 0);

	switch (json_error_code(je)) {
	case json_error_duplicate_key:
		return err_set(err, ERR_JSON_DUPLICATE_KEY, "near byte %zu", at);
	case json_error_numeric_overflow:
		return err_set(err, ERR_FIELD_RANGE, "a number near byte %zu is too large", at);
	case json_error_stack_overflow:
		return err_set(err, ERR_JSON_TOO_DEEP, "near byte %zu", at);
	case json_error_out_of_memory:
		return err_set(err, ERR_NO_MEM, "no memory for a JSON document");
	case json_error_invalid_utf8:
		return err_reason(err, ERR_JSON_INVALID, "utf8", "invalid UTF-8 near byte %zu", at);
	default:
		return err_set(err, ERR_JSON_INVALID, "not JSON near byte %zu", at);
	}
}

/** ${base}: where the slice lies in the document, for messages. */
static err_code
load(const uint8_t *p, size_t len, size_t base, size_t flags, json_t **doc, struct err *err)
{
	json_error_t je;

	*doc = NULL;
	/* The commas of a long name count too: a text of 64 KiB that is mostly commas has no use here. */
	if (len > JSON_VALUES_MAX && json_scan_values(p, len) > JSON_VALUES_MAX)
		return err_set(err, ERR_BODY_TOO_LARGE, "more than %d values", JSON_VALUES_MAX);
	*doc = json_loadb((const char *)p, len, LOAD_FLAGS | flags, &je);
	return *doc != NULL ? ERR_OK : load_error(&je, base, err);
}

err_code
json_in_parse(const uint8_t *p, size_t len, json_t **doc, struct err *err)
{
	err_code rc = json_scan_limits(p, len, err);

	*doc = NULL;
	return rc ? rc : load(p, len, 0, JSON_DECODE_ANY, doc, err);
}

/* ---- a document with large arrays --------------------------------------------------------------------------------------- */

struct walk {
	const uint8_t *start, *p, *end;
	const struct json_each *each;
	size_t total; /* elements of all arrays so far */
	json_t *rest;
	unsigned seen;
};

static err_code
broken(const struct walk *w, struct err *err)
{
	return err_set(err, ERR_JSON_INVALID, "not JSON near byte %zu", (size_t)(w->p - w->start));
}

/** The value at w->p, parsed; w->p goes to the next token. */
static err_code
walk_value(struct walk *w, json_t **out, struct err *err)
{
	const uint8_t *to = json_scan_value(w->p, w->end);
	err_code rc;

	if (to == NULL)
		return broken(w, err);
	rc = load(w->p, (size_t)(to - w->p), (size_t)(w->p - w->start), JSON_DECODE_ANY, out, err);
	w->p = json_scan_space(to, w->end);
	return rc;
}

/** After a member or element: a comma (true in *more) or the bracket ${close}. */
static err_code
walk_next(struct walk *w, uint8_t close, bool *more, struct err *err)
{
	if (w->p == w->end || (*w->p != ',' && *w->p != close))
		return broken(w, err);
	*more = *w->p == ',';
	w->p = json_scan_space(w->p + 1, w->end);
	return ERR_OK;
}

static err_code
walk_element(struct walk *w, size_t key, size_t i, struct err *err)
{
	AUTO(jdoc_freep) json_t *value = NULL;
	err_code rc = walk_value(w, &value, err);

	if (rc)
		return rc;
	if (++w->total > w->each->max)
		return err_set(err, ERR_FIELD_RANGE, "%s: more than %zu elements", w->each->keys[key], w->each->max);
	return w->each->fn(w->each->ctx, key, i, value, err);
}

static err_code
walk_array(struct walk *w, size_t key, struct err *err)
{
	bool more = true;
	err_code rc;

	if (w->seen & 1u << key)
		return err_set(err, ERR_JSON_DUPLICATE_KEY, "%s", w->each->keys[key]);
	w->seen |= 1u << key;
	if (*w->p != '[')
		return err_set(err, ERR_FIELD_TYPE, "%s: an array is needed", w->each->keys[key]);
	w->p = json_scan_space(w->p + 1, w->end);
	if (w->p < w->end && *w->p == ']')
		return walk_next(w, ']', &more, err);
	for (size_t i = 0; more; i++) {
		rc = walk_element(w, key, i, err);
		if (!rc)
			rc = walk_next(w, ']', &more, err);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static err_code
walk_rest(struct walk *w, json_t *key, struct err *err)
{
	json_t *value;
	err_code rc;

	if (memchr(json_string_value(key), 0, json_string_length(key)))
		return broken(w, err);
	if (json_object_get(w->rest, json_string_value(key)))
		return err_set(err, ERR_JSON_DUPLICATE_KEY, "near byte %zu", (size_t)(w->p - w->start));
	rc = walk_value(w, &value, err);
	if (rc)
		return rc;
	return json_object_set_new(w->rest, json_string_value(key), value) == 0 ? ERR_OK : broken(w, err);
}

static err_code
walk_member(struct walk *w, struct err *err)
{
	AUTO(jdoc_freep) json_t *key = NULL;
	err_code rc;

	if (w->p == w->end || *w->p != '"')
		return broken(w, err);
	rc = walk_value(w, &key, err);
	if (rc)
		return rc;
	if (w->p == w->end || *w->p != ':')
		return broken(w, err);
	w->p = json_scan_space(w->p + 1, w->end);
	if (w->p == w->end)
		return broken(w, err);
	for (size_t k = 0; w->each->keys[k] != NULL; k++) {
		if (strlen(w->each->keys[k]) == json_string_length(key) &&
		    memcmp(w->each->keys[k], json_string_value(key), json_string_length(key)) == 0)
			return walk_array(w, k, err);
	}
	return walk_rest(w, key, err);
}

static err_code
walk_document(struct walk *w, struct err *err)
{
	bool more = true;
	err_code rc;

	w->p = json_scan_space(w->p, w->end);
	if (w->p == w->end || *w->p != '{') {
		AUTO(jdoc_freep) json_t *other = NULL;

		/* Another kind of value is a wrong type; text that is no value at all is not JSON. */
		rc = load(w->start, (size_t)(w->end - w->start), 0, JSON_DECODE_ANY, &other, err);
		return rc ? rc : err_set(err, ERR_FIELD_TYPE, "an object is needed");
	}
	w->p = json_scan_space(w->p + 1, w->end);
	if (w->p < w->end && *w->p == '}')
		more = false, w->p = json_scan_space(w->p + 1, w->end);
	while (more) {
		rc = walk_member(w, err);
		if (!rc)
			rc = walk_next(w, '}', &more, err);
		if (rc)
			return rc;
	}
	return w->p == w->end ? ERR_OK : broken(w, err);
}

err_code
json_in_parse_each(const uint8_t *p, size_t len, const struct json_each *each, json_t **rest, unsigned *seen,
    struct err *err)
{
	struct walk w = { .start = p, .p = p, .end = p + len, .each = each };
	err_code rc = json_scan_limits(p, len, err);

	*rest = NULL;
	*seen = 0;
	if (rc)
		return rc;
	w.rest = json_object();
	if (w.rest == NULL)
		return err_set(err, ERR_NO_MEM, "no memory for a JSON document");
	rc = walk_document(&w, err);
	if (rc) {
		json_decref(w.rest);
		return rc;
	}
	*rest = w.rest;
	*seen = w.seen;
	return ERR_OK;
}
