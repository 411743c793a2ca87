/*
 * Listings: all files in clock order, a directory as people sort it, and what a search finds.  Which it is, the query says: dir, or
 * prefix or search, or none of them.
 */
#include "server/route/content.h"
#include "server/route/place.h"

struct listing {
	unsigned limit;
	bool extents;
	bool is_dir, is_search; /* neither: the whole project in clock order */
	struct view_dir dir;
	struct view_search search;
	struct hash scope;      /* of a view's cursors */
	struct view_place place;
	bool has_place;
	struct cursor after;    /* in clock order */
};

/* ---- what is asked for ------------------------------------------------------------------------------------------------------------ */

static const char *const sorts[] = { [VIEW_NAME] = "name", [VIEW_SIZE] = "size", [VIEW_MTIME] = "mtime", [VIEW_CHANGED] = "changed" };

static err_code
read_sort(struct call *c, struct listing *l, bool *given, struct err *err)
{
	size_t len;
	const char *sort = query_text(c, "sort", &len);
	err_code rc = query_flag(c, "desc", &l->dir.desc, err);

	*given = sort != NULL;
	if (rc)
		return rc;
	if (l->dir.desc && sort == NULL)
		return err_set(err, ERR_FIELD_MISSING, "desc turns a sort around: sort is missing");
	if (sort == NULL)
		return ERR_OK;
	for (size_t i = VIEW_NAME; i < ARRAY_LEN(sorts); i++) {
		if (strcmp(sort, sorts[i]) == 0) {
			l->dir.sort = (enum view_sort)i;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_FIELD_RANGE, "sort: name, size, mtime or changed");
}

/* order says the same as dir and sort do, for whoever likes to be explicit; it must not say otherwise. */
static err_code
read_order(struct call *c, struct listing *l, bool sorted, struct err *err)
{
	size_t len;
	const char *order = query_text(c, "order", &len);

	if (order == NULL)
		return ERR_OK;
	if (strcmp(order, "path") != 0 && strcmp(order, "clock") != 0)
		return err_set(err, ERR_FIELD_RANGE, "order: path or clock");
	if (sorted)
		return err_set(err, ERR_FIELD_RANGE, "order or sort, not both");
	if (strcmp(order, "clock") == 0)
		return l->is_dir || l->is_search ? err_set(err, ERR_FIELD_RANGE, "only the whole project is listed in order=clock") : ERR_OK;
	if (!l->is_dir && !l->is_search)
		return err_set(err, ERR_FIELD_MISSING, "order=path lists one directory: dir is missing");
	return ERR_OK;
}

static err_code
read_dir(struct call *c, struct listing *l, struct err *err)
{
	size_t len;
	const char *dir = query_text(c, "dir", &len);

	if (dir == NULL)
		return ERR_OK;
	l->is_dir = true;
	l->dir.dir = dir;
	return len ? path_check(dir, len, err) : ERR_OK;
}

static err_code
read_search(struct call *c, struct listing *l, struct err *err)
{
	size_t prefix_len, text_len;
	const char *prefix = query_text(c, "prefix", &prefix_len), *text = query_text(c, "search", &text_len);
	err_code rc = ERR_OK;

	if (prefix == NULL && text == NULL)
		return ERR_OK;
	l->is_search = true;
	l->search = (struct view_search){ .prefix = prefix ? prefix : "", .text = text };
	if (prefix)
		rc = view_prefix_check(prefix, prefix_len, err);
	return rc || !text ? rc : view_text_check(text, text_len, err);
}

static err_code
read_view(struct call *c, struct listing *l, struct err *err)
{
	bool sorted = false;
	err_code rc = read_dir(c, l, err);

	if (!rc)
		rc = read_search(c, l, err);
	if (!rc)
		rc = read_sort(c, l, &sorted, err);
	if (!rc)
		rc = read_order(c, l, sorted, err);
	if (rc)
		return rc;
	if (sorted && !l->is_dir)
		return l->is_search ? err_set(err, ERR_FIELD_RANGE, "what is found comes in the order of paths: sort is for one directory") :
				      err_set(err, ERR_FIELD_MISSING, "sort is for one directory: dir is missing");
	if (l->is_dir && l->is_search)
		return err_set(err, ERR_FIELD_RANGE, "dir lists one directory, prefix and search look beneath: not both");
	if (l->extents && (l->is_dir || l->is_search))
		return err_set(err, ERR_FIELD_RANGE, "extents come with the clock order only");
	return ERR_OK;
}

/* The hash of all that a place in this view is bound to. */
static err_code
scope_of(struct call *c, struct listing *l, struct err *err)
{
	char id[ID_HEX_LEN + 1];
	const char *text = l->is_dir ?
		arena_printf(c->a, "dir %s %d %d %s", id_hex(&c->project, id), (int)l->dir.sort, l->dir.desc, l->dir.dir) :
		arena_printf(c->a, "search %s %zu %s%s%s", id_hex(&c->project, id), strlen(l->search.prefix), l->search.prefix,
		    l->search.text ? "/" : "", l->search.text ? l->search.text : "");

	if (text == NULL)
		return err_set(err, ERR_NO_MEM, "a listing");
	l->scope = hash_of(text, strlen(text));
	return ERR_OK;
}

static err_code
read_place(struct call *c, const char *cursor, size_t len, struct listing *l, struct err *err)
{
	err_code rc = scope_of(c, l, err);
	const char *text;

	if (rc || cursor == NULL)
		return rc;
	l->has_place = true;
	rc = place_read(cursor, len, &l->scope, c->a, &l->place, err);
	if (rc)
		return rc;
	text = l->place.text;
	if (l->is_dir ? name_check(text, strlen(text), err) : path_check(text, strlen(text), err))
		return err_set(err, ERR_CURSOR_INVALID, "the cursor is not one of this listing");
	return ERR_OK;
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
		rc = read_view(c, l, err);
	if (!rc)
		rc = query_end(c, err);
	if (rc)
		return rc;
	if (l->is_dir || l->is_search)
		return read_place(c, cursor, len, l, err);
	return cursor ? cursor_parse(cursor, len, &l->after, err) : ERR_OK;
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------------- */

static void
write_next(struct jw *jw, const struct listing *l, const struct view_page *v)
{
	char text[PLACE_CODED_MAX + 1];

	if (!l->is_dir && !l->is_search)
		reply_cursor(jw, "next_cursor", v->page.next, &v->page.project.epoch);
	else if (v->page.has_more)
		jw_kstr(jw, "next_cursor", place_write(&v->last, &l->scope, text));
	else
		jw_kstr(jw, "next_cursor", NULL);
}

static err_code
write_listing(struct call *c, const struct listing *l, const struct view_page *v, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	err_code rc;

	jw_object(&jw);
	rc = object_files(c->a, &jw, &v->page, l->is_dir || l->is_search, err);
	if (rc) {
		sbuf_fini(&sb);
		return rc;
	}
	write_next(&jw, l, v);
	jw_kbool(&jw, "has_more", v->page.has_more);
	jw_khash(&jw, "digest", &v->page.project.digest);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

/**
 * A place in a listing does not expire: it names files that are there, not changes that happened.  It must be of this history
 * though, and not ahead of it.
 */
static err_code
check_place(const struct cursor *at, const struct project *p, struct err *err)
{
	err_code rc = at->has_epoch ? cursor_check(p, true, &at->epoch, at->clock, err) : ERR_OK;

	return rc == ERR_CURSOR_EXPIRED ? ERR_OK : rc;
}

err_code
route_file_list(struct call *c, struct err *err)
{
	struct listing l = { 0 };
	struct view_page v = { 0 };
	const struct view_place *after;
	err_code rc = read_listing(c, &l, err);

	if (rc)
		return rc;
	after = l.has_place ? &l.place : NULL;
	if (l.is_dir) {
		rc = view_dir(c->d, &c->project, &l.dir, after, l.limit, c->a, &v, err);
	} else if (l.is_search) {
		rc = view_search(c->d, &c->project, &l.search, after, l.limit, c->a, &v, err);
	} else {
		rc = tree_list(c->d, &c->project, l.after.clock, l.limit, l.extents, c->a, &v.page, err);
		if (!rc)
			rc = check_place(&l.after, &v.page.project, err);
	}
	if (rc == ERR_EPOCH_CHANGED)
		return changes_gone(c, &v.page.project, err);
	return rc ? rc : write_listing(c, &l, &v, err);
}
