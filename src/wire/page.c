#include "wire/wire_internal.h"

void *
wire_grow(struct arena *a, void *list, size_t n, size_t size)
{
	void *more;

	if (n != 0 && (n < 16 || (n & (n - 1)) != 0))
		return list;
	more = arena_array(a, n ? 2 * n : 16, size);
	if (more != NULL && n != 0)
		memcpy(more, list, n * size);
	return more;
}

err_code
wire_cursor_need(struct json_in *in, const char *key, struct cursor *out, struct err *err)
{
	const char *s;
	size_t len;
	err_code rc = json_need_str(in, key, &s, &len, err);

	if (!rc)
		rc = cursor_parse(s, len, out, err);
	if (!rc && !out->has_epoch)
		rc = err_set(err, ERR_CURSOR_INVALID, "%s: a cursor with its epoch is needed", key);
	return rc;
}

struct page_reader {
	struct arena *a;
	struct wire_page *page;
};

static err_code
page_file(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct page_reader *r = ctx;
	struct wire_file *list = wire_grow(r->a, r->page->files, r->page->n, sizeof *list);
	char where[32];

	(void)key;
	if (list == NULL)
		return err_set(err, ERR_BODY_TOO_LARGE, "too many files");
	r->page->files = list;
	snprintf(where, sizeof where, "files[%zu]", i);
	return wire_file_read(value, where, r->a, &list[r->page->n++], err);
}

static err_code
page_read(const uint8_t *p, size_t len, const char *const *keys, const char *cursor, struct arena *a, struct wire_page *out,
    struct err *err)
{
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct page_reader r = { .a = a, .page = out };
	struct json_each each = { .keys = keys, .max = PAGE_LIMIT_MAX, .fn = page_file, .ctx = &r };
	struct json_in in;
	unsigned seen, all = 0;
	err_code rc;

	*out = (struct wire_page){ 0 };
	for (size_t k = 0; keys[k] != NULL; k++)
		all |= 1u << k;
	rc = json_in_parse_each(p, len, &each, &rest, &seen, err);
	if (!rc && seen != all)
		rc = err_set(err, ERR_FIELD_MISSING, "a list of files is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", &out->has_more, err);
	if (!rc)
		rc = json_need_hash(&in, "digest", &out->digest, err);
	if (!rc)
		rc = wire_cursor_need(&in, cursor, &out->cursor, err);
	return rc;
}

err_code
wire_changes_read(const uint8_t *p, size_t len, struct arena *a, struct wire_page *out, struct err *err)
{
	static const char *const keys[] = { "added", "modified", "deleted", NULL };

	return page_read(p, len, keys, "last_sync", a, out, err);
}

err_code
wire_list_read(const uint8_t *p, size_t len, struct arena *a, struct wire_page *out, struct err *err)
{
	static const char *const keys[] = { "files", NULL };

	return page_read(p, len, keys, "next_cursor", a, out, err);
}

err_code
wire_files_read(const uint8_t *p, size_t len, struct arena *a, struct wire_file **out, size_t *n, const char **next, struct err *err)
{
	static const char *const keys[] = { "files", NULL };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct wire_page page = { 0 };
	struct page_reader r = { .a = a, .page = &page };
	struct json_each each = { .keys = keys, .max = PAGE_LIMIT_MAX, .fn = page_file, .ctx = &r };
	struct json_in in;
	unsigned seen;
	err_code rc = json_in_parse_each(p, len, &each, &rest, &seen, err);

	*next = NULL;
	if (!rc && seen == 0)
		rc = err_set(err, ERR_FIELD_MISSING, "files is missing");
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", &page.has_more, err);
	if (!rc)
		rc = wire_keep_str(&in, "next_cursor", a, next, err);
	*out = page.files;
	*n = page.n;
	return rc;
}

err_code
wire_snapshot_read(const uint8_t *p, size_t len, struct wire_snapshot *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	err_code rc = json_in_parse(p, len, &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", true, &in, err);
	if (!rc)
		rc = json_need_i64(&in, "file_count", 0, INT64_MAX, &out->file_count, err);
	if (!rc)
		rc = json_need_hash(&in, "digest", &out->digest, err);
	if (!rc)
		rc = wire_cursor_need(&in, "cursor", &out->cursor, err);
	return rc;
}
