/*
 * The API's calls, one function each: build the path, run the call, decode the answer.
 */
#include "client/remote/requests.h"

#define CHANGES_MANY 1000  /* rows of a page */
#define CHANGES_FEW 20     /* when a page of many is larger than an answer may be: names and targets of 4 KiB */
#define COMMIT_ANSWER_MAX (16 * MIB) /* each conflict carries the present file, with a path of up to 4 KiB */

const char *
request_path(const struct remote_http *r, char out[static REQUEST_PATH_MAX], const char *fmt, ...)
{
	int n = snprintf(out, REQUEST_PATH_MAX, "/projects/%s", r->project);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + n, REQUEST_PATH_MAX - (size_t)n, fmt, ap);
	va_end(ap);
	return out;
}

err_code
request_run(struct remote_http *r, struct http_call *c, struct err *err)
{
	err_code rc = http_run(r->http, c, err);

	sbuf_fini(&c->problem);
	return rc;
}

static void
http_backend_free(struct remote *base)
{
	struct remote_http *r = remote_http_of(base);

	http_free(r->http);
	free(r);
}

static void
http_backend_stats(struct remote *base, struct remote_stats *out)
{
	http_stats(remote_http_of(base)->http, out);
}

/* ---- who am I --------------------------------------------------------------------------------------------------------------- */

static err_code
self_read(const struct sbuf *text, struct arena *a, struct remote_self *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *device_name, *project_name, *role;
	err_code rc = json_in_parse((const uint8_t *)text->s, text->len, &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", true, &in, err);
	if (!rc)
		rc = json_need_id(&in, "device", &out->device, err);
	if (!rc)
		rc = json_need_str(&in, "device_name", &device_name, NULL, err);
	if (!rc)
		rc = json_need_str(&in, "project_name", &project_name, NULL, err);
	if (!rc)
		rc = json_need_str(&in, "role", &role, NULL, err);
	if (rc)
		return rc;
	out->device_name = arena_strdup(a, device_name);
	out->project_name = arena_strdup(a, project_name);
	out->writer = strcmp(role, "reader") != 0;
	if (!out->device_name || !out->project_name)
		return err_set(err, ERR_NO_MEM, "names too long");
	return ERR_OK;
}

static err_code
http_backend_self(struct remote *base, struct arena *a, struct remote_self *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf text = SBUF(JSON_BODY_MAX);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "GET", .path = request_path(r, path, "/checkpoint"), .accept = TYPE_JSON, .text = &text };
	err_code rc = request_run(r, &c, err);

	if (rc)
		return rc;
	rc = self_read(&text, a, out, err);
	return rc ? answer_bad(err, "the checkpoint") : ERR_OK;
}

static err_code
http_backend_checkpoint_put(struct remote *base, const struct cursor *at, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(KIB);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX], cursor[CURSOR_MAX];
	struct http_call c = { .method = "PUT", .path = request_path(r, path, "/checkpoint"), .type = TYPE_JSON };

	jw_object(&jw);
	jw_kstr(&jw, "cursor", cursor_format(at, cursor));
	jw_end_object(&jw);
	c.body = body.s;
	c.body_len = body.len;
	return request_run(r, &c, err);
}

/* ---- reading the tree ------------------------------------------------------------------------------------------------------- */

static err_code
changes_page(struct remote_http *r, const struct cursor *since, unsigned limit, struct arena *a, struct wire_page *out,
    bool *too_large, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	char path[REQUEST_PATH_MAX], cursor[CURSOR_MAX];
	struct http_call c = { .method = "GET", .accept = TYPE_JSON, .text = &text };
	err_code rc;

	c.path = request_path(r, path, "/files/changes?limit=%u&extents=1%s%s", limit, since ? "&since=" : "",
	    since ? cursor_format(since, cursor) : "");
	rc = request_run(r, &c, err);
	*too_large = c.too_large;
	if (rc)
		return rc;
	rc = wire_changes_read((const uint8_t *)text.s, text.len, a, out, err);
	if (rc)
		return answer_bad(err, "a page of changes");
	if (since && since->has_epoch && out->cursor.clock < since->clock)
		return err_set(err, ERR_PROTOCOL, "a page of changes leads backwards");
	if (out->has_more && out->n == 0)
		return err_set(err, ERR_PROTOCOL, "an empty page of changes that goes on");
	return ERR_OK;
}

static err_code
http_backend_changes(struct remote *base, const struct cursor *since, struct arena *a, struct wire_page *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	bool too_large = false;
	err_code rc = changes_page(r, since, CHANGES_MANY, a, out, &too_large, err);

	return too_large ? changes_page(r, since, CHANGES_FEW, a, out, &too_large, err) : rc;
}

static err_code
http_backend_snapshot_part(struct remote *base, struct hash *object, uint64_t off, uint8_t *buf, size_t cap, size_t *got, uint64_t *total,
    struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "GET", .path = request_path(r, path, "/snapshot"), .accept = "application/x-ndjson", .coding = "zstd",
		.ranged = true, .range_off = off, .buf = buf, .cap = cap };
	err_code rc;

	if (!hash_is_zero(object))
		c.match = object;
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	if (!c.has_tag || (c.match && !hash_eq(&c.tag, object)))
		return err_set(err, ERR_PROTOCOL, "a part of another snapshot than that which was asked for");
	*object = c.tag;
	*got = c.got;
	*total = c.total;
	return ERR_OK;
}

/* ---- sending ---------------------------------------------------------------------------------------------------------------- */

static err_code
transfer_read(const struct sbuf *text, struct id *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	err_code rc = json_in_parse((const uint8_t *)text->s, text->len, &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", true, &in, err);
	if (!rc)
		rc = json_need_id(&in, "id", out, err);
	return rc;
}

static err_code
http_backend_transfer_create(struct remote *base, const char *name, int64_t size, struct id *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(JSON_BODY_MAX);
	AUTO(sbuf_fini) struct sbuf text = SBUF(JSON_BODY_MAX);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "POST", .path = request_path(r, path, "/transfers"), .accept = TYPE_JSON, .type = TYPE_JSON,
		.keyed = true, .text = &text };
	err_code rc;

	jw_object(&jw);
	jw_kstr(&jw, "path", name);
	jw_ki64(&jw, "size", size);
	jw_end_object(&jw);
	c.body = body.s;
	c.body_len = body.len;
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	rc = transfer_read(&text, out, err);
	return rc ? answer_bad(err, "a new transfer") : ERR_OK;
}

static err_code
http_backend_transfer_blocks(struct remote *base, const struct id *transfer, uint64_t first, const uint8_t *packed, size_t len,
    struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "PUT", .type = TYPE_BYTES, .body = packed, .body_len = len };

	c.path = request_path(r, path, "/transfers/%s/blocks?from=%llu", id_hex(transfer, id), (unsigned long long)first);
	return request_run(r, &c, err);
}

static err_code
http_backend_chunk_put(struct remote *base, const struct id *transfer, uint32_t n, const uint8_t *p, size_t len, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "PUT", .type = TYPE_BYTES, .body = p, .body_len = len };

	c.path = request_path(r, path, "/transfers/%s/chunks/%u", id_hex(transfer, id), n);
	return request_run(r, &c, err);
}

static err_code
http_backend_transfer_delete(struct remote *base, const struct id *transfer, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "DELETE", .path = request_path(r, path, "/transfers/%s", id_hex(transfer, id)) };

	return request_run(r, &c, err);
}

/* ---- fetching --------------------------------------------------------------------------------------------------------------- */

static err_code
http_backend_chunk_range(struct remote *base, const struct hash *chunk, uint64_t off, uint8_t *buf, size_t cap, size_t *got,
    uint64_t *total, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX], hex[HASH_HEX_LEN + 1];
	struct http_call c = { .method = "GET", .path = request_path(r, path, "/chunks/%s", hash_hex(chunk, hex)), .accept = TYPE_BYTES,
		.ranged = true, .range_off = off, .buf = buf, .cap = cap };
	err_code rc = request_run(r, &c, err);

	*got = c.got;
	*total = c.total;
	return rc;
}

static err_code
http_backend_chunk_all(struct remote *base, const struct hash *chunk, uint8_t *buf, size_t *len, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	char path[REQUEST_PATH_MAX], hex[HASH_HEX_LEN + 1];
	struct http_call c = { .method = "GET", .path = request_path(r, path, "/chunks/%s", hash_hex(chunk, hex)), .accept = TYPE_BYTES,
		.buf = buf, .cap = CHUNK_LEN_MAX };
	err_code rc = request_run(r, &c, err);

	*len = c.got;
	return rc;
}

/* ---- committing ------------------------------------------------------------------------------------------------------------- */

static err_code
http_backend_commit(struct remote *base, const struct wire_commit *commit, struct arena *a, struct wire_commit_answer *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(JSON_BATCH_MAX);
	AUTO(sbuf_fini) struct sbuf text = SBUF(COMMIT_ANSWER_MAX);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "POST", .path = request_path(r, path, "/commits"), .accept = TYPE_JSON, .type = TYPE_JSON,
		.keyed = true, .text = &text };
	struct err ignored;
	err_code rc;

	wire_commit_write(&jw, commit);
	rc = sbuf_done(&body, err);
	if (rc)
		return err_wrap(err, "commit of %zu operations", commit->n);
	c.body = body.s;
	c.body_len = body.len;
	rc = http_run(r->http, &c, err);
	if (rc == ERR_CHUNKS_MISSING &&
	    wire_missing_read((const uint8_t *)sbuf_str(&c.problem), c.problem.len, a, out, &ignored))
		out->missing_n = 0; /* which ones stays unknown */
	sbuf_fini(&c.problem);
	if (rc)
		return rc;
	rc = wire_commit_answer_read((const uint8_t *)text.s, text.len, a, out, err);
	return rc ? answer_bad(err, "the answer to a commit") : ERR_OK;
}

static const struct remote_backend http_backend = {
	.free = http_backend_free,
	.stats = http_backend_stats,
	.self = http_backend_self,
	.changes = http_backend_changes,
	.snapshot_part = http_backend_snapshot_part,
	.blocks = request_blocks,
	.extents = request_extents,
	.blocks_fetch = request_blocks_fetch,
	.dir = request_dir,
	.at = request_at,
	.versions = request_versions,
	.conflicts = request_conflicts,
	.resolve = request_resolve,
	.devices = request_devices,
	.progress = request_progress,
	.transfer_create = http_backend_transfer_create,
	.transfer_get = request_transfer_get,
	.transfer_blocks = http_backend_transfer_blocks,
	.chunk_put = http_backend_chunk_put,
	.transfer_delete = http_backend_transfer_delete,
	.chunk_range = http_backend_chunk_range,
	.chunk_all = http_backend_chunk_all,
	.commit = http_backend_commit,
	.checkpoint_put = http_backend_checkpoint_put,
};

err_code
remote_open(const struct remote_opts *opts, struct remote **out, struct err *err)
{
	struct remote_http *r = xcalloc(1, sizeof *r);
	err_code rc;

	r->base.backend = &http_backend;
	id_hex(&opts->project, r->project);
	rc = http_open(opts, &r->http, err);
	if (rc) {
		free(r);
		return rc;
	}
	*out = &r->base;
	return ERR_OK;
}
