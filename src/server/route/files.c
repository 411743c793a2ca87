/*
 * The tree: listings in clock order or a directory at a time, one file, its block list, its bytes.
 */
#include "server/route/content.h"

/* ---- listings ----------------------------------------------------------------------------------------------------------------- */

struct listing {
	unsigned limit;
	bool extents;
	const char *dir; /* NULL: the whole project in clock order */
	const char *after_name;
	struct cursor after;
};

static err_code
cursor_invalid(struct err *err)
{
	return err_set(err, ERR_CURSOR_INVALID, "the cursor is not one of this listing");
}

/** In a directory the cursor is a name: "p." and its bytes in hexadecimal. */
static err_code
read_name_cursor(struct call *c, const char *s, size_t len, struct listing *l, struct err *err)
{
	size_t n = len > 2 ? (len - 2) / 2 : 0;
	char *name;

	if (s == NULL)
		return ERR_OK;
	if (len < 4 || s[0] != 'p' || s[1] != '.' || n > NAME_LEN_MAX)
		return cursor_invalid(err);
	name = arena_must(c->a, n + 1);
	if (!hex_decode(s + 2, len - 2, (uint8_t *)name, n) || name_check(name, n, err))
		return cursor_invalid(err);
	l->after_name = name;
	return ERR_OK;
}

static err_code
read_dir(struct call *c, struct listing *l, struct err *err)
{
	size_t len, order_len;
	const char *dir = query_text(c, "dir", &len), *order = query_text(c, "order", &order_len);

	if (order != NULL && strcmp(order, "path") != 0 && strcmp(order, "clock") != 0)
		return err_set(err, ERR_FIELD_RANGE, "order: path or clock");
	if (dir == NULL && order != NULL && strcmp(order, "path") == 0)
		return err_set(err, ERR_FIELD_MISSING, "order=path lists one directory: dir is missing");
	if (dir == NULL)
		return ERR_OK;
	if (order != NULL && strcmp(order, "clock") == 0)
		return err_set(err, ERR_FIELD_RANGE, "a directory is listed in order=path");
	if (l->extents)
		return err_set(err, ERR_FIELD_RANGE, "extents come with the clock order only");
	l->dir = dir;
	return len ? path_check(dir, len, err) : ERR_OK;
}

static err_code
read_listing(struct call *c, struct listing *l, struct err *err)
{
	size_t len = 0;
	const char *cursor = query_text(c, "cursor", &len);
	err_code rc = query_limit(c, &l->limit, err);

	if (!rc)
		rc = query_flag(c, "extents", &l->extents, err);
	if (!rc)
		rc = read_dir(c, l, err);
	if (!rc)
		rc = query_end(c, err);
	if (rc)
		return rc;
	if (l->dir != NULL)
		return read_name_cursor(c, cursor, len, l, err);
	return cursor ? cursor_parse(cursor, len, &l->after, err) : ERR_OK;
}

static err_code
write_files(struct call *c, struct jw *jw, const struct tree_page *page, struct err *err)
{
	jw_key(jw, "files");
	jw_array(jw);
	for (size_t i = 0; i < page->n; i++) {
		struct wire_file f;
		err_code rc = object_file(c->a, &page->files[i], page->lists ? &page->lists[i] : NULL, &f, err);

		if (rc)
			return rc;
		wire_file_write(jw, &f);
	}
	jw_end_array(jw);
	return ERR_OK;
}

static void
write_name_cursor(struct jw *jw, const struct tree_page *page)
{
	char text[2 + 2 * NAME_LEN_MAX + 1] = "p.";
	const char *name;

	if (!page->has_more) {
		jw_kstr(jw, "next_cursor", NULL);
		return;
	}
	name = page->files[page->n - 1].name;
	hex_encode((const uint8_t *)name, strlen(name), text + 2);
	jw_kstr(jw, "next_cursor", text);
}

static err_code
write_listing(struct call *c, const struct listing *l, const struct tree_page *page, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	rc = write_files(c, &jw, page, err);
	if (rc) {
		sbuf_fini(&sb);
		return rc;
	}
	if (l->dir != NULL)
		write_name_cursor(&jw, page);
	else
		reply_cursor(&jw, "next_cursor", page->next, &page->project.epoch);
	jw_kbool(&jw, "has_more", page->has_more);
	jw_khash(&jw, "digest", &page->project.digest);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

/**
 * A place in a listing does not expire: it names files that are there, not changes that happened.  It must be of this history
 * though, and not ahead of it.
 */
static err_code
check_place(struct call *c, const struct cursor *at, const struct project *p, struct err *err)
{
	err_code rc = at->has_epoch ? cursor_check(p, true, &at->epoch, at->clock, err) : ERR_OK;

	(void)c;
	return rc == ERR_CURSOR_EXPIRED ? ERR_OK : rc;
}

err_code
route_file_list(struct call *c, struct err *err)
{
	struct listing l = { .after_name = "" };
	struct tree_page page;
	err_code rc = read_listing(c, &l, err);

	if (rc)
		return rc;
	if (l.dir != NULL) {
		rc = tree_dir(c->d, &c->project, l.dir, l.after_name, l.limit, c->a, &page, err);
	} else {
		rc = tree_list(c->d, &c->project, l.after.clock, l.limit, l.extents, c->a, &page, err);
		if (!rc)
			rc = check_place(c, &l.after, &page.project, err);
	}
	if (rc == ERR_EPOCH_CHANGED)
		return changes_gone(c, &page.project, err);
	return rc ? rc : write_listing(c, &l, &page, err);
}

/* ---- by path ------------------------------------------------------------------------------------------------------------------- */

static err_code
write_at(struct call *c, const struct tree_page *page, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	rc = write_files(c, &jw, page, err);
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
