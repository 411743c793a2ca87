/*
 * One file: by path, by id, its block list, its bytes.  Listings of many are in listing.c.
 */
#include "server/route/content.h"

/* ---- by path ------------------------------------------------------------------------------------------------------------------- */

static err_code
write_at(struct call *c, const struct tree_page *page, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	rc = object_files(c->a, &jw, page, false, err);
	if (rc) {
		sbuf_fini(&sb);
		return rc;
	}
	jw_kbool(&jw, "has_more", page->has_more);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_file_at(struct call *c, struct err *err)
{
	const char *path = NULL;
	struct tree_page page;
	unsigned limit;
	size_t len;
	err_code rc = query_limit(c, &limit, err);

	if (!rc) {
		path = query_text(c, "path", &len);
		rc = path ? path_check(path, len, err) : err_set(err, ERR_FIELD_MISSING, "path is missing");
	}
	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = tree_at(c->d, &c->project, path, limit, c->a, &page, err);
	return rc ? rc : write_at(c, &page, err);
}

/* ---- one file ------------------------------------------------------------------------------------------------------------------ */

static err_code
read_file(struct call *c, struct file *f, struct err *err)
{
	struct id id;
	err_code rc = call_id(c, "file", &id, err);

	return rc ? rc : tree_file(c->d, &c->project, &id, c->a, f, err);
}

err_code
route_file_get(struct call *c, struct err *err)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	struct wire_file out;
	struct file f;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = read_file(c, &f, err);
	if (!rc)
		rc = object_file(c->a, &f, NULL, &out, err);
	if (rc)
		return rc;
	object_beneath(&f, &out);
	wire_file_write(&jw, &out);
	return reply_json(c, 200, &sb, err);
}

err_code
route_file_content(struct call *c, struct err *err)
{
	uint64_t version = 0;
	struct file f;
	err_code rc = query_u64(c, "version", 1, INT64_MAX, &version, err);

	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = version ? history_then(c, (int64_t)version, &f, err) : read_file(c, &f, err);
	return rc ? rc : content_reply(c, &f, err);
}

/* ---- block lists ----------------------------------------------------------------------------------------------------------------- */

/* ?form=extents: for who knows most of the blocks and asks where they lie. */
static err_code
query_form(struct call *c, bool *extents_only, struct err *err)
{
	size_t len;
	const char *form = query_text(c, "form", &len);

	*extents_only = form != NULL;
	if (form && (len != strlen("extents") || memcmp(form, "extents", len) != 0))
		return err_set(err, ERR_FIELD_RANGE, "form: extents, or nothing");
	return ERR_OK;
}

static err_code
blocks_packed(struct call *c, const struct blocklist *list, bool extents_only, struct err *err)
{
	size_t len = list->block_count == 0 ? 0 : extents_only ? blocklist_extents_len(list) : blocklist_packed_len(list);
	uint8_t *p = arena_alloc(c->a, len + 1);

	if (p == NULL)
		return err_set(err, ERR_NO_MEM, "a page of blocks");
	if (len && extents_only)
		blocklist_extents_pack(list, p);
	else if (len)
		blocklist_pack(list, p);
	http_answer(c->rq, 200, "application/octet-stream", p, len);
	return ERR_OK;
}

static void
blocks_write(struct jw *jw, const struct blocklist *list)
{
	jw_key(jw, "blocks");
	jw_array(jw);
	for (uint32_t i = 0; i < list->block_count; i++) {
		jw_object(jw);
		jw_khash(jw, "hash", &list->blocks[i].hash);
		jw_ku64(jw, "length", list->blocks[i].len);
		jw_end_object(jw);
	}
	jw_end_array(jw);
}

static err_code
blocks_json(struct call *c, const struct blocklist *list, bool extents_only, uint64_t from, bool more, struct err *err)
{
	struct sbuf sb = SBUF(MIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_ku64(&jw, "from", from);
	if (!extents_only)
		blocks_write(&jw, list);
	jw_key(&jw, "extents");
	jw_array(&jw);
	for (uint32_t i = 0; i < list->extent_count; i++) {
		jw_object(&jw);
		jw_khash(&jw, "chunk", &list->extents[i].chunk);
		jw_ku64(&jw, "first", list->extents[i].first);
		jw_ku64(&jw, "count", list->extents[i].count);
		jw_end_object(&jw);
	}
	jw_end_array(&jw);
	jw_kbool(&jw, "has_more", more);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_file_blocks(struct call *c, struct err *err)
{
	const char *accept = http_header(c->rq, "accept");
	struct blocklist list;
	uint64_t from = 0, version = 0, count = BLOCKLIST_PAGE_BLOCKS;
	struct file f;
	struct id id;
	bool more, extents_only;
	err_code rc = query_u64(c, "from", 0, INT64_MAX, &from, err);

	if (!rc)
		rc = query_u64(c, "version", 1, INT64_MAX, &version, err);
	if (!rc)
		rc = query_u64(c, "count", 1, BLOCKLIST_ANSWER_MAX, &count, err);
	if (!rc)
		rc = query_form(c, &extents_only, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc)
		rc = call_id(c, "file", &id, err);
	if (!rc)
		rc = tree_blocks(c->d, &c->project, &id, (int64_t)version, from, (uint32_t)count, c->a, &list, &f, &more, err);
	if (rc)
		return rc;
	http_add_header(c->rq, "Dray-More", more ? "true" : "false");
	reply_header_f(c->rq, "Dray-Version", "%lld", (long long)f.version);
	http_add_header(c->rq, "Vary", "Accept");
	return accept && strstr(accept, "application/json") ? blocks_json(c, &list, extents_only, from, more, err) :
	    blocks_packed(c, &list, extents_only, err);
}
