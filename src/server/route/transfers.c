/*
 * Uploads of chunks that belong together: start, look at, give up, and the pages of a large file's block list.
 */
#include "server/domain/transfer.h"

#include "server/route/route_internal.h"

static const char *const states[] = {
	[TRANSFER_OPEN] = "open", [TRANSFER_DONE] = "done", [TRANSFER_ABANDONED] = "abandoned", [TRANSFER_EXPIRED] = "expired",
};

static void
write_members(struct jw *jw, const struct transfer *t)
{
	jw_kid(jw, "id", &t->id);
	jw_kstr(jw, "state", states[t->state]);
	jw_kstr(jw, "path", t->path);
	jw_ki64(jw, "size", t->size);
	jw_ku64(jw, "chunk_count", t->chunk_count);
	jw_ki64(jw, "bytes_done", t->bytes_done);
	jw_ktime_us(jw, "created_at", t->created_at);
	jw_ktime_us(jw, "expires_at", t->expires_at);
}

static err_code
encode_created(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	struct jw jw = JW(out);

	jw_object(&jw);
	write_members(&jw, ctx);
	jw_end_object(&jw);
	*status = 201;
	return sbuf_done(out, err);
}

static err_code
read_start(struct call *c, struct transfer_start *s, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	const char *path = "";
	size_t len = 0;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = json_get_path(&in, "path", &path, &len, err);
	if (!rc)
		rc = json_get_i64(&in, "size", 0, INT64_MAX, &s->size, err);
	if (!rc)
		rc = json_in_end(&in, err);
	if (!rc && len > 0)
		rc = path_check(path, len, err);
	if (rc)
		return rc;
	s->path = arena_strndup(c->a, path, len);
	return s->path ? ERR_OK : err_set(err, ERR_NO_MEM, "path");
}

err_code
route_transfer_create(struct call *c, struct err *err)
{
	struct transfer_start start = { .device = c->caller.device.id };
	struct transfer t = { 0 };
	struct idem *idem = call_idem(c, encode_created, &t);
	char project[ID_HEX_LEN + 1], hex[ID_HEX_LEN + 1];
	err_code rc = read_start(c, &start, err);

	if (!rc)
		rc = transfer_create(c->d, &c->project, &start, idem, c->a, &t, err);
	if (!rc && (idem == NULL || !idem->replayed))
		reply_header_f(c->rq, "Location", "/projects/%s/transfers/%s", id_hex(&c->project, project), id_hex(&t.id, hex));
	return rc ? rc : call_answer(c, idem, encode_created, &t, err);
}

/** The numbers of a page as runs: a client that resumes looks for the gaps. */
static void
write_runs(struct jw *jw, const struct transfer_chunk *chunks, size_t n)
{
	jw_key(jw, "received");
	jw_array(jw);
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && chunks[next].n == chunks[next - 1].n + 1;)
			next++;
		jw_array(jw);
		jw_u64(jw, chunks[i].n);
		jw_u64(jw, chunks[next - 1].n);
		jw_end_array(jw);
	}
	jw_end_array(jw);
}

static void
write_chunks(struct jw *jw, const struct transfer_chunk *chunks, size_t n)
{
	jw_key(jw, "chunks");
	jw_array(jw);
	for (size_t i = 0; i < n; i++) {
		jw_object(jw);
		jw_ku64(jw, "n", chunks[i].n);
		jw_khash(jw, "chunk", &chunks[i].chunk);
		jw_end_object(jw);
	}
	jw_end_array(jw);
}

static err_code
say_transfer(struct call *c, const struct transfer *t, const struct transfer_chunk *chunks, size_t n, unsigned limit,
    struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	size_t shown = MIN(n, limit);

	jw_object(&jw);
	write_members(&jw, t);
	write_runs(&jw, chunks, shown);
	write_chunks(&jw, chunks, shown);
	jw_kbool(&jw, "has_more", n > limit);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_transfer_get(struct call *c, struct err *err)
{
	struct transfer_chunk *chunks;
	struct transfer t;
	struct id id;
	uint64_t from = 0;
	unsigned limit;
	size_t n;
	err_code rc = query_u64(c, "from", 0, TRANSFER_CHUNKS_MAX - 1, &from, err);

	if (!rc)
		rc = query_limit(c, &limit, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = call_id(c, "transfer", &id, err);
	/* One more than asked for says whether there is more. */
	if (!rc)
		rc = transfer_get(c->d, &c->project, &c->caller.device.id, &id, (uint32_t)from, limit + 1, c->a, &t, &chunks, &n, err);
	return rc ? rc : say_transfer(c, &t, chunks, n, limit, err);
}

err_code
route_transfer_delete(struct call *c, struct err *err)
{
	struct id id;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_id(c, "transfer", &id, err);
	if (!rc)
		rc = transfer_abandon(c->d, &c->project, &c->caller.device.id, &id, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}

err_code
route_transfer_blocks_put(struct call *c, struct err *err)
{
	struct id id;
	uint64_t from = UINT64_MAX;
	size_t len;
	const uint8_t *p = http_body(c->rq, &len);
	err_code rc = query_u64(c, "from", 0, INT64_MAX, &from, err);

	if (!rc)
		rc = query_end(c, err);
	if (!rc && from == UINT64_MAX)
		rc = err_set(err, ERR_FIELD_MISSING, "from is missing: the number of the page's first block");
	if (!rc)
		rc = call_id(c, "transfer", &id, err);
	if (!rc)
		rc = transfer_put_blocks(c->d, &c->project, &c->caller.device.id, &id, from, p, len, c->a, err);
	if (!rc)
		http_answer(c->rq, 204, NULL, "", 0);
	return rc;
}
