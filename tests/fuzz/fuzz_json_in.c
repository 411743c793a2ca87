/*
 * The reader that takes a document apart element by element and the one that takes it whole must agree: on whether it is JSON, on every
 * element, and on all the rest.
 */
#include <assert.h>

#include "base/limits.h"
#include "fuzz.h"
#include "wire/json_in.h"

#define KEY "operations"

static err_code
compare_element(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	(void)err;
	assert(key == 0);
	assert(json_equal(json_array_get(json_object_get(ctx, KEY), i), value));
	return ERR_OK;
}

static err_code
accept(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	(void)key;
	(void)err;
	assert(value != NULL);
	*(size_t *)ctx = i + 1;
	return ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const keys[] = { KEY, NULL };
	AUTO(jdoc_freep) json_t *whole = NULL;
	AUTO(jdoc_freep) json_t *rest = NULL;
	size_t count = 0;
	struct json_each each = { .keys = keys, .max = SIZE_MAX, .fn = accept, .ctx = &count };
	unsigned seen;
	err_code rc = json_in_parse(data, len, &whole, NULL);
	err_code pieces = json_in_parse_each(data, len, &each, &rest, &seen, NULL);
	json_t *list;

	if (rc == ERR_BODY_TOO_LARGE)
		return 0; /* more values than are read at once, but not than come one by one */
	list = json_object_get(whole, KEY);
	assert((pieces == ERR_OK) == (rc == ERR_OK && json_is_object(whole) && (list == NULL || json_is_array(list))));
	if (pieces)
		return 0;
	assert(count == json_array_size(list) && (seen == 1) == (list != NULL));
	each.fn = compare_element;
	each.ctx = whole;
	jdoc_freep(&rest);
	assert(json_in_parse_each(data, len, &each, &rest, &seen, NULL) == ERR_OK);
	if (list != NULL)
		json_object_del(whole, KEY);
	assert(json_equal(whole, rest));
	return 0;
}
