/* What the event hub asks: the rules' answers in the wire's words.  Runs on the hub's workers; knows no request. */
#include "server/domain/access.h"
#include "server/domain/checkpoint.h"
#include "server/domain/tree.h"
#include "server/route/route_internal.h"

#include "wire/event.h"

#define PAGE_ARENA (16 * MIB) /* EVENTS_CHANGE_ROWS of the longest paths, twice */
#define TEXT_MAX (4 * MIB)

static err_code
since_check(const struct project *p, const struct cursor *since, struct err *err)
{
	int64_t clock = since->has_epoch ? MAX(since->clock, since->began) : MIN(since->clock, p->clock);

	return cursor_check(p, since->has_epoch, &since->epoch, clock, err);
}

static err_code
source_open(void *ctx, const struct id *device, const struct id *project, const struct cursor *since, struct notify_at *at,
    struct err *err)
{
	struct project p;
	err_code rc = access_again(ctx, device, project, &p, err);

	if (rc)
		return rc;
	*at = (struct notify_at){ .epoch = p.epoch, .clock = p.clock, .digest = p.digest };
	return since ? since_check(&p, since, err) : ERR_OK;
}

static enum wire_change_list
list_of(const struct file *f, int64_t since)
{
	if (f->deleted_at)
		return WIRE_DELETED;
	return f->created_at > since ? WIRE_ADDED : WIRE_MODIFIED;
}

/* As many files as the message takes, and where it ends: behind the last of them, or where the page ends. */
static err_code
add_files(struct wire_change *change, const struct tree_page *page, int64_t since, int64_t upto, struct arena *a,
    struct notify_page *out, struct err *err)
{
	out->to = MIN(page->next, upto);
	out->has_more = page->has_more && page->next < upto;
	for (size_t i = 0; i < page->n && page->files[i].version <= upto; i++) {
		struct wire_file f;
		err_code rc = object_file(a, &page->files[i], NULL, &f, err);

		if (rc)
			return rc;
		wire_change_add(change, list_of(&page->files[i], since), &f);
		out->n++;
		if (wire_change_len(change) >= EVENTS_CHANGE_LEN && i + 1 < page->n) {
			out->to = page->files[i].version;
			out->has_more = true;
			break;
		}
	}
	return ERR_OK;
}

static err_code
write_page(const struct id *project, const struct cursor *since, int64_t upto, const struct tree_page *page, struct arena *a,
    struct notify_page *out, struct err *err)
{
	struct cursor from = { .clock = since->clock, .epoch = page->project.epoch, .has_epoch = true, .began = since->began };
	struct cursor to = from;
	struct wire_change change;
	struct jw jw = JW(&out->text);
	err_code rc;

	wire_change_init(&change);
	rc = add_files(&change, page, since->clock, upto, a, out, err);
	to.clock = out->to;
	if (!rc)
		wire_change_write(&change, &jw, project, &from, &to);
	wire_change_fini(&change);
	return rc ? rc : sbuf_done(&out->text, err);
}

static err_code
source_read(void *ctx, const struct id *project, const struct cursor *since, int64_t upto, struct notify_page *out, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_ARENA);
	struct tree_page page;
	err_code rc;

	*out = (struct notify_page){ .text = SBUF(TEXT_MAX) };
	rc = tree_changes(ctx, project, since->clock, EVENTS_CHANGE_ROWS, false, a, &page, err);
	if (!rc)
		rc = since_check(&page.project, since, err);
	return rc ? rc : write_page(project, since, upto, &page, a, out, err);
}

static err_code
source_place(void *ctx, const struct id *project, const struct id *device, struct cursor *at, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(KIB);
	struct checkpoint c;
	err_code rc = checkpoint_get(ctx, project, device, a, &c, err);

	if (!rc)
		*at = (struct cursor){ .clock = c.clock, .epoch = c.epoch, .has_epoch = true };
	return rc;
}

struct notify_source
route_event_source(struct domain *d)
{
	return (struct notify_source){ .ctx = d, .open = source_open, .read = source_read, .place = source_place };
}
