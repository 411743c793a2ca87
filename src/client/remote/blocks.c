/*
 * Block lists, and blocks by their place in chunks.
 */
#include "client/remote/requests.h"

#define RUN_JSON_MAX 128 /* {"chunk":"64 digits","first":1023,"count":1024}, */

static err_code
list_page(struct remote *base, const struct id *file, uint64_t from, const char *form, struct arena *a, const uint8_t **packed,
    size_t *len, bool *more, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf page = SBUF(JSON_BODY_MAX); /* 2,048 blocks are 75 KB, their extents at most as much again */
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "GET", .accept = TYPE_BYTES, .text = &page };
	err_code rc;

	c.path = request_path(r, path, "/files/%s/blocks?from=%llu&count=%d%s", id_hex(file, id), (unsigned long long)from,
	    BLOCKLIST_ANSWER_MAX, form);
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	*packed = arena_memdup(a, sbuf_str(&page), page.len);
	if (!*packed)
		return err_set(err, ERR_NO_MEM, "block list too long");
	*len = page.len;
	*more = c.more;
	return ERR_OK;
}

err_code
request_blocks(struct remote *base, const struct id *file, int64_t version, uint64_t from, struct arena *a, const uint8_t **packed,
    size_t *len, bool *more, struct err *err)
{
	char form[32] = "";

	if (version > 0)
		snprintf(form, sizeof form, "&version=%lld", (long long)version);
	return list_page(base, file, from, form, a, packed, len, more, err);
}

err_code
request_extents(struct remote *base, const struct id *file, uint64_t from, struct arena *a, const uint8_t **packed, size_t *len,
    bool *more, struct err *err)
{
	return list_page(base, file, from, "&form=extents", a, packed, len, more, err);
}

static void
runs_write(struct jw *jw, const struct wire_extent *runs, size_t n)
{
	jw_object(jw);
	jw_key(jw, "extents");
	jw_array(jw);
	for (size_t i = 0; i < n; i++) {
		jw_object(jw);
		jw_khash(jw, "chunk", &runs[i].chunk);
		jw_ku64(jw, "first", runs[i].first);
		jw_ku64(jw, "count", runs[i].count);
		jw_end_object(jw);
	}
	jw_end_array(jw);
	jw_end_object(jw);
}

/* It only reads, so it needs no key to be repeated. */
err_code
request_blocks_fetch(struct remote *base, const struct wire_extent *runs, size_t n, uint8_t *buf, size_t *len, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(BLOCKS_FETCH_MAX * RUN_JSON_MAX);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "POST", .path = request_path(r, path, "/blocks/fetch"), .accept = TYPE_BYTES,
		.type = TYPE_JSON, .buf = buf, .cap = CHUNK_LEN_MAX };
	err_code rc;

	runs_write(&jw, runs, n);
	rc = sbuf_done(&body, err);
	if (rc)
		return rc;
	c.body = body.s;
	c.body_len = body.len;
	rc = request_run(r, &c, err);
	*len = c.got;
	return rc;
}
