/*
 * Looking at an upload that is under way, to go on with it.
 */
#include "client/remote/requests.h"

struct page {
	struct remote_transfer *out;
};

static err_code
chunk_read(void *ctx, size_t key, size_t i, json_t *value, struct err *err)
{
	struct page *page = ctx;
	struct remote_arrived *chunk = &page->out->chunks[i];
	struct json_in in;
	int64_t n = 0;
	err_code rc = json_in_object(value, "chunks", true, &in, err);

	(void)key;
	if (!rc)
		rc = json_need_i64(&in, "n", 0, TRANSFER_CHUNKS_MAX - 1, &n, err);
	if (!rc)
		rc = json_need_hash(&in, "chunk", &chunk->chunk, err);
	if (rc)
		return rc;
	chunk->n = (uint32_t)n;
	page->out->n = i + 1;
	return ERR_OK;
}

static err_code
transfer_read(const struct sbuf *text, struct arena *a, struct remote_transfer *out, struct err *err)
{
	static const char *const keys[] = { "chunks", NULL };
	struct page page = { .out = out };
	struct json_each each = { .keys = keys, .max = TRANSFER_PAGE_CHUNKS, .fn = chunk_read, .ctx = &page };
	AUTO(jdoc_freep) json_t *rest = NULL;
	struct json_in in;
	const char *state;
	unsigned seen;
	err_code rc;

	*out = (struct remote_transfer){ .chunks = arena_array(a, TRANSFER_PAGE_CHUNKS, sizeof *out->chunks) };
	if (!out->chunks)
		return err_set(err, ERR_NO_MEM, "no room for a page of a transfer");
	rc = json_in_parse_each((const uint8_t *)text->s, text->len, &each, &rest, &seen, err);
	if (!rc)
		rc = json_in_object(rest, "", true, &in, err);
	if (!rc)
		rc = json_need_str(&in, "state", &state, NULL, err);
	if (!rc)
		rc = json_need_bool(&in, "has_more", &out->more, err);
	if (rc)
		return rc;
	out->open = strcmp(state, "open") == 0;
	return seen ? ERR_OK : err_set(err, ERR_FIELD_MISSING, "chunks is missing");
}

err_code
request_transfer_get(struct remote *base, const struct id *transfer, uint32_t from, struct arena *a, struct remote_transfer *out,
    struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf text = SBUF(JSON_BODY_MAX);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "GET", .accept = TYPE_JSON, .text = &text };
	struct err why;
	err_code rc;

	c.path = request_path(r, path, "/transfers/%s?from=%u&limit=%u", id_hex(transfer, id), from, TRANSFER_PAGE_CHUNKS);
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	rc = transfer_read(&text, a, out, &why);
	return rc ? err_set(err, ERR_PROTOCOL, "a transfer: %s", why.msg) : ERR_OK;
}
