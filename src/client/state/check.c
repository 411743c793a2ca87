/*
 * Whether the state agrees with itself.  Everything in it can be had again, by unlinking and linking, but what it says is believed
 * until then: which bytes are agreed, and what was there to be deleted.
 */
#include "client/state/state_internal.h"

#include "base/sbuf.h"
#include "chunk/blocklist.h"

#define PAGE_MEMORY (32 * KIB)

struct check {
	struct view view;
	void (*fn)(void *ctx, const char *finding);
	void *ctx;
};

/* ---- the tree ----------------------------------------------------------------------------------------------------------------- */

static void
check_entry(struct check *c, const struct entry *e)
{
	static const struct hash none;
	AUTO(sbuf_fini) struct sbuf sb = SBUF(8 * KIB);
	struct hash due = none;

	if (e->kind == ENTRY_FILE && e->size > 0)
		return;
	if (e->kind == ENTRY_LINK)
		due = content_hash_link(e->target, strlen(e->target));
	else if (e->kind == ENTRY_FILE)
		due = content_hash_empty();
	if (hash_eq(&due, &e->content))
		return;
	sbuf_addf(&sb, "%s has a content that it cannot have", e->path);
	c->fn(c->ctx, sbuf_str(&sb));
}

static void
add(struct state_totals *t, const struct entry *e)
{
	struct hash h = entry_digest(e);

	digest_add(&t->digest, &h);
	t->entries++;
	if (e->kind == ENTRY_FILE) {
		t->files++;
		t->bytes += (uint64_t)e->size;
	}
}

static err_code
add_left_out(void *ctx, const struct entry *e, struct err *err)
{
	struct state_totals *t = ctx;
	struct hash h = entry_digest(e);

	(void)err;
	digest_add(&t->left_out_digest, &h);
	t->left_out++;
	return ERR_OK;
}

static err_code
count_pending(struct check *c, struct state_totals *t, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query_values(c->view.tx, &st, err, "SELECT count(*) FROM pending WHERE left_out = 0", NULL, 0);

	if (!rc)
		rc = db_step(st, &row, err);
	t->pending = !rc && row ? (uint64_t)db_i64(st, 0) : 0;
	return rc;
}

static void
compare(struct check *c, const struct state_totals *is, const struct state_totals *said)
{
	if (is->entries != said->entries || is->files != said->files || is->bytes != said->bytes || !hash_eq(&is->digest, &said->digest))
		c->fn(c->ctx, "the agreed tree is not the one whose sums it keeps");
	if (is->pending != said->pending || is->left_out != said->left_out || !hash_eq(&is->left_out_digest, &said->left_out_digest))
		c->fn(c->ctx, "what the server has said is not that of which it keeps the sums");
}

static err_code
sum_base(struct check *c, struct state *s, struct state_totals *is, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *w = NULL;
	const struct entry *e;
	err_code rc = state_base_walk(s, &w, err);

	while (!rc && !(rc = state_walk_next(w, &e, err)) && e) {
		check_entry(c, e);
		add(is, e);
	}
	return rc;
}

/* One view after the other: untouched, there is one reader. */
static err_code
check_tree(struct check *c, struct state *s, struct err *err)
{
	struct state_totals is = { 0 }, said;
	err_code rc = sum_base(c, s, &is, err);

	if (!rc)
		rc = state_left_out_each(s, add_left_out, &is, err);
	if (!rc)
		rc = view_begin(s, &c->view, err);
	if (rc)
		return rc;
	rc = count_pending(c, &is, err);
	if (!rc)
		rc = totals_of(s, &c->view, &said, err);
	view_end(&c->view);
	if (!rc)
		compare(c, &is, &said);
	return rc;
}

/* ---- block lists ---------------------------------------------------------------------------------------------------------------- */

/** A list while its pages come; one that was pruned in part, or was too long to keep, says nothing about its content. */
struct list {
	struct hash content;
	struct content_hash sum;
	bool open;
	int64_t pages, bytes, size; /* size: of a file with the content, -1 when there is none */
};

static void
list_end(struct check *c, struct list *l)
{
	struct hash sum;

	if (!l->open)
		return;
	l->open = false;
	sum = content_hash_final(&l->sum);
	if (l->bytes == l->size && !hash_eq(&sum, &l->content))
		c->fn(c->ctx, "a block list is not the one of its content");
}

/* Columns: content, page, packed, weak, page_sum, first, size of a file. */
static bool
page_read(struct db_stmt *st, struct arena *a, struct hash *content, struct blocklist *page)
{
	struct hash first;
	struct err why;
	size_t len;
	const uint8_t *packed = db_bytes(st, 2, &len);

	if (!column_fixed(st, 0, content->b, sizeof content->b) || !blocks_page_holds(content, db_i64(st, 1), st, 2) ||
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, page, &why))
		return false;
	db_bytes(st, 5, &len);
	return page->block_count > 0 &&
	    (len == 0 || (column_fixed(st, 5, first.b, sizeof first.b) && hash_eq(&first, &page->blocks[0].hash)));
}

static void
add_page(struct check *c, struct list *l, struct db_stmt *st, struct arena *a)
{
	struct hash content;
	struct blocklist page;

	arena_reset(a);
	if (!page_read(st, a, &content, &page)) {
		c->fn(c->ctx, "a page of a block list is not as it was written");
		return;
	}
	if (!l->open || !hash_eq(&content, &l->content)) {
		list_end(c, l);
		*l = (struct list){ .content = content, .open = true, .size = db_i64(st, 6) };
		content_hash_init(&l->sum);
	}
	if (db_i64(st, 1) != l->pages++)
		l->size = -1;
	l->bytes += (int64_t)blocklist_bytes(&page);
	for (uint32_t i = 0; i < page.block_count; i++)
		content_hash_add(&l->sum, &page.blocks[i].hash, page.blocks[i].len);
}

static err_code
check_lists(struct check *c, struct state *s, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	AUTO(db_resetp) struct db_stmt *st = NULL;
	struct list l = { .open = false };
	bool row = false;
	err_code rc = view_begin(s, &c->view, err);

	if (rc)
		return rc;
	rc = db_query_values(c->view.tx, &st, err,
	    "SELECT content, page, packed, weak, page_sum, first,"
	    " coalesce((SELECT size FROM base WHERE base.content = blocks.content AND kind = 0 LIMIT 1), -1)"
	    " FROM blocks ORDER BY content, page", NULL, 0);
	while (!rc && !(rc = db_step(st, &row, err)) && row)
		add_page(c, &l, st, a);
	list_end(c, &l);
	db_resetp(&st);
	view_end(&c->view);
	return rc;
}

err_code
state_check(struct state *s, void (*fn)(void *ctx, const char *finding), void *ctx, struct err *err)
{
	struct check c = { .fn = fn, .ctx = ctx };
	err_code rc = db_check(s->db, &client_state_migrations, fn, ctx, err);

	if (!rc)
		rc = check_tree(&c, s, err);
	return rc ? rc : check_lists(&c, s, err);
}
