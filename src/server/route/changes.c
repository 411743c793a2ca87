/*
 * What has changed since a cursor.  With ?wait= the question stays open until there is an answer: http/ asks again every few
 * milliseconds, which costs a look at a number in memory, and no thread is held.
 */
#include "base/clock.h"
#include "server/route/content.h"
#include "server/route/pace.h"

/** Before the connection's own deadline, so that the answer is ours. */
#define WAIT_MARGIN_MS 500

struct feed {
	struct cursor since;
	unsigned limit;
	bool extents;
	uint64_t wait_s;
};

static err_code
read_feed(struct call *c, struct feed *f, struct err *err)
{
	size_t len;
	const char *since = query_text(c, "since", &len);
	err_code rc = query_limit(c, &f->limit, err);

	if (!rc)
		rc = query_flag(c, "extents", &f->extents, err);
	if (!rc)
		rc = query_u64(c, "wait", 0, WAIT_MAX_S, &f->wait_s, err);
	if (!rc)
		rc = query_end(c, err);
	if (!rc && since != NULL)
		rc = cursor_parse(since, len, &f->since, err);
	return rc;
}

/**
 * A time without an epoch that lies ahead of the clock is an honest "from now on"; a cursor from there is of a history that this
 * server has lost.  A cursor of another project has another epoch too, and nothing in it says which of the two it is, so it gets the
 * answer that loses nothing: 410, keep what you have.
 *
 * Who reads from the beginning has nothing that a tombstone from before that could be of, so between pages what counts is when he began.
 */
static err_code
check_since(struct feed *f, const struct project *p, struct err *err)
{
	int64_t clock = f->since.has_epoch ? MAX(f->since.clock, f->since.began) : MIN(f->since.clock, p->clock);

	return cursor_check(p, f->since.has_epoch, &f->since.epoch, clock, err);
}

err_code
changes_gone(struct call *c, const struct project *p, struct err *err)
{
	struct sbuf sb;
	struct jw jw = reply_problem_open(c->rq, &sb, err);
	char hex[ID_HEX_LEN + 1], url[64];

	snprintf(url, sizeof url, "/projects/%s/snapshot", id_hex(&p->id, hex));
	jw_kstr(&jw, "merge", err->code == ERR_CURSOR_EXPIRED ? "apply-server" : "keep-local");
	jw_kstr(&jw, "snapshot", url);
	reply_problem_close(c->rq, &jw, err);
	return ERR_OK;
}

enum list { ADDED, MODIFIED, DELETED };
static const char *const list_names[] = { "added", "modified", "deleted" };

static enum list
list_of(const struct file *f, int64_t since)
{
	if (f->deleted_at)
		return DELETED;
	return f->created_at > since ? ADDED : MODIFIED;
}

static err_code
write_list(struct call *c, struct jw *jw, const struct tree_page *page, int64_t since, enum list which, struct err *err)
{
	jw_key(jw, list_names[which]);
	jw_array(jw);
	for (size_t i = 0; i < page->n; i++) {
		struct wire_file f;
		err_code rc;

		if (list_of(&page->files[i], since) != which)
			continue;
		rc = object_file(c->a, &page->files[i], page->lists ? &page->lists[i] : NULL, &f, err);
		if (rc)
			return rc;
		wire_file_write(jw, &f);
	}
	jw_end_array(jw);
	return ERR_OK;
}

/** A page from the beginning that is not the last leads to a cursor that says so, until it has come to where the clock was then. */
static struct cursor
next_cursor(const struct feed *f, const struct tree_page *page)
{
	struct cursor next = { .clock = page->next, .epoch = page->project.epoch, .has_epoch = true };
	int64_t began = f->since.clock == 0 ? page->project.clock : f->since.began;

	if (page->has_more && next.clock < began)
		next.began = began;
	return next;
}

static err_code
write_changes(struct call *c, const struct feed *f, const struct tree_page *page, struct err *err)
{
	struct sbuf sb = SBUF(REPLY_JSON_MAX);
	struct jw jw = JW(&sb);
	struct cursor next = next_cursor(f, page);
	char text[CURSOR_MAX];
	err_code rc = ERR_OK;

	jw_object(&jw);
	for (enum list which = ADDED; !rc && which <= DELETED; which++)
		rc = write_list(c, &jw, page, f->since.clock, which, err);
	if (rc) {
		sbuf_fini(&sb);
		return rc;
	}
	jw_kstr(&jw, "last_sync", cursor_format(&next, text));
	jw_kbool(&jw, "has_more", page->has_more);
	jw_khash(&jw, "digest", &page->project.digest);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

/** Whether to be asked again later.  A wait begins with the first look, so it never outlasts what was asked for. */
static bool
keep_waiting(struct call *c, const struct feed *f)
{
	int64_t now_ms = clock_mono_ms();

	if (c->wait_until_ms == 0)
		c->wait_until_ms = now_ms + MAX((int64_t)f->wait_s * 1000 - WAIT_MARGIN_MS, 1);
	c->later = now_ms < c->wait_until_ms;
	return c->later;
}

/** The project as it is now.  A grant may have been taken away while the caller waited: the answer is not for a stranger. */
static err_code
project_now(struct call *c, struct project *out, struct err *err)
{
	const char *token = http_header(c->rq, "authorization");
	struct caller again; /* the request stays that of the caller who was admitted, whatever has become of him */
	err_code rc;

	*out = c->caller.project;
	if (c->wait_until_ms == 0)
		return ERR_OK;
	token += 6 + strspn(token + 6, " "); /* admitted before, so it is there and well-formed */
	rc = access_check(c->d, token, c->row->need, &c->project, c->a, &again, err);
	*out = again.project;
	return rc;
}

/** *nothing: the answer tells nothing that was not known, and the caller did not wait for it. */
static err_code
answer_changes(struct call *c, bool *nothing, struct err *err)
{
	struct feed f = { 0 };
	struct tree_page page;
	struct project now;
	err_code rc;

	*nothing = false;
	if (c->wait_until_ms != 0 && !tree_changed_since(c->d, &c->project, c->wait_clock) && clock_mono_ms() < c->wait_until_ms) {
		c->later = true;
		return ERR_OK;
	}
	rc = read_feed(c, &f, err);
	if (!rc)
		rc = project_now(c, &now, err);
	if (!rc && !tree_nothing_since(c->d, &now, f.since.clock, &page))
		rc = tree_changes(c->d, &c->project, f.since.clock, f.limit, f.extents, c->a, &page, err);
	if (rc)
		return rc;
	rc = check_since(&f, &page.project, err);
	*nothing = rc || (page.n == 0 && f.wait_s == 0);
	if (rc == ERR_EPOCH_CHANGED || rc == ERR_CURSOR_EXPIRED)
		return changes_gone(c, &page.project, err);
	if (rc)
		return rc;
	c->wait_clock = page.project.clock;
	if (page.n == 0 && f.wait_s > 0 && keep_waiting(c, &f))
		return ERR_OK;
	return write_changes(c, &f, &page, err);
}

/** A poll that has begun to wait goes on; one that begins is refused while too many before it have brought nothing. */
err_code
route_file_changes(struct call *c, struct err *err)
{
	struct pace *polls = c->route->polls;
	const struct id *device = &c->caller.device.id;
	bool nothing;
	err_code rc;

	if (c->wait_until_ms == 0 && !pace_ready(polls, device, clock_mono_us()))
		return err_reason(err, ERR_TOO_MANY_REQUESTS, REASON_POLLING,
		    "this device asks too often while nothing is new; wait= answers with the first change");
	rc = answer_changes(c, &nothing, err);
	if (rc || nothing)
		pace_charge(polls, device, clock_mono_us());
	return rc;
}
