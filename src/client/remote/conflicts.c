/*
 * Conflicts of the project: the list, and an end to one.
 */
#include "base/path.h"
#include "client/remote/requests.h"

#define CONFLICTS_PAGE 500

/* The server is not trusted: what it lists may be shown, and its paths are paths (I11). */
static err_code
side_check(const struct wire_side *s, struct err *err)
{
	struct err why;

	if (path_check(s->path, strlen(s->path), &why))
		return err_set(err, ERR_PROTOCOL, "the server sent an unacceptable path (%s)", err_info(why.code)->code);
	return ERR_OK;
}

static err_code
conflict_ok(const struct wire_conflict *c, struct err *err)
{
	err_code rc = side_check(&c->original, err);

	return rc ? rc : side_check(&c->copy, err);
}

static err_code
page_check(const struct wire_conflicts *page, const struct cursor *after, struct err *err)
{
	if (page->has_more && (page->n == 0 || page->next.clock <= (after ? after->clock : 0)))
		return err_set(err, ERR_PROTOCOL, "a page of conflicts that does not lead on");
	for (size_t i = 0; i < page->n; i++) {
		err_code rc = conflict_ok(&page->list[i], err);

		if (rc)
			return rc;
	}
	return ERR_OK;
}

err_code
request_conflicts(struct remote *base, bool all, const struct cursor *after, struct arena *a, struct wire_conflicts *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	char path[REQUEST_PATH_MAX], cursor[CURSOR_MAX];
	struct http_call c = { .method = "GET", .accept = TYPE_JSON, .text = &text };
	err_code rc;

	c.path = request_path(r, path, "/conflicts?limit=%d&state=%s%s%s", CONFLICTS_PAGE, all ? "all" : "open", after ? "&cursor=" : "",
	    after ? cursor_format(after, cursor) : "");
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	rc = wire_conflicts_read((const uint8_t *)sbuf_str(&text), text.len, a, out, err);
	return rc ? answer_bad(err, "a page of conflicts") : page_check(out, after, err);
}

err_code
request_resolve(struct remote *base, const struct id *conflict, const struct wire_resolve *wish, struct arena *a,
    struct wire_conflict *out, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(4 * KIB);
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "POST", .accept = TYPE_JSON, .type = TYPE_JSON, .keyed = true, .text = &text };
	err_code rc;

	c.path = request_path(r, path, "/conflicts/%s/resolve", id_hex(conflict, id));
	wire_resolve_write(&jw, wish);
	rc = sbuf_done(&body, err);
	if (rc)
		return rc;
	c.body = body.s;
	c.body_len = body.len;
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	rc = wire_conflict_read((const uint8_t *)sbuf_str(&text), text.len, a, out, err);
	return rc ? answer_bad(err, "a resolved conflict") : conflict_ok(out, err);
}
