/*
 * The planner's table: what one name's three sides call for.
 *
 * D1  A name is decided by its own three sides (decide), after renames have put sides together that are one file (moves.c); then
 *     directories are kept or moved aside as what lives in them demands (tree.c); then the operations are put in order (order.c).
 * D2  Nothing is deleted on a side unless base has it and the other side does not (I9).
 * D3  What exists on one side only as an edit of base, or as new, is never the loser of a rule: it is sent, or pulled, or kept aside
 *     (I8).  Only what is as in base, or has another mode or time, gives way.
 * D4  What is ignored here has no sides, so no rule applies to it, on either side.
 */
#include <assert.h>

#include "base/fault.h"
#include "base/path.h"
#include "client/diff/diff_internal.h"

/* ---- what changed ----------------------------------------------------------------------------------------------------- */

bool
content_agrees(const struct entry *a, const struct entry *b)
{
	return a->kind == b->kind && a->content_known && b->content_known && entry_same_content(a, b);
}

/* A file whose bytes nobody has read is as agreed when its stat is; a size that differs is an edit. */
static bool
local_content_agrees(const struct entry *base, const struct entry *local)
{
	if (local->kind == ENTRY_FILE && !local->content_known)
		return base->kind == ENTRY_FILE && entry_same_disk(base, local);
	return content_agrees(base, local);
}

enum change
change_local(const struct entry *base, const struct entry *local)
{
	if (!base)
		return local ? CHANGE_NEW : CHANGE_NONE;
	if (!local)
		return CHANGE_DELETED;
	if (!local_content_agrees(base, local))
		return CHANGE_EDITED;
	return entry_same_meta(base, local) ? CHANGE_NONE : CHANGE_META;
}

/* Another id under the same name is another file: deleted and made again, which is an edit and not "unchanged" even when the bytes are
 * the same, so that a deletion of the old one does not hit it. */
enum change
change_remote(const struct entry *base, const struct entry *remote)
{
	if (!base)
		return remote ? CHANGE_NEW : CHANGE_NONE;
	if (!remote)
		return CHANGE_DELETED;
	if (!id_eq(&base->id, &remote->id) || !content_agrees(base, remote))
		return CHANGE_EDITED;
	return entry_same_meta(base, remote) ? CHANGE_NONE : CHANGE_META;
}

/* ---- the table -------------------------------------------------------------------------------------------------------- */

struct rule {
	uint8_t act;
	const char *reason;
};

#define NOTHING { ROW_NOTHING, NULL }
#define NEVER { ROW_NOTHING, NULL } /* new has no base, the others have one */

/* rules[here][on the server].  Where both sides are the same already, agree() has the last word. */
static const struct rule rules[CHANGE_COUNT][CHANGE_COUNT] = {
	[CHANGE_NONE] = {
		[CHANGE_NONE] = NOTHING,
		[CHANGE_META] = { ACT_PULL, "mode or time changed on the server" },
		[CHANGE_EDITED] = { ACT_PULL, "edited on the server" },
		[CHANGE_DELETED] = { ACT_DELETE_LOCAL, "deleted on the server" },
		[CHANGE_NEW] = { ACT_PULL, "new on the server" },
	},
	[CHANGE_META] = {
		[CHANGE_NONE] = { ACT_PUSH, "mode or time changed here" },
		[CHANGE_META] = { ACT_PULL, "mode or time changed on both sides: the server's win" },
		[CHANGE_EDITED] = { ACT_PULL, "edited on the server; mode or time changed here give way" },
		[CHANGE_DELETED] = { ACT_DELETE_LOCAL, "deleted on the server; only mode or time changed here" },
		[CHANGE_NEW] = NEVER,
	},
	[CHANGE_EDITED] = {
		[CHANGE_NONE] = { ACT_PUSH, "edited here" },
		[CHANGE_META] = { ACT_PUSH, "edited here; mode or time changed on the server give way" },
		[CHANGE_EDITED] = { ACT_CONFLICT, "edited on both sides" },
		[CHANGE_DELETED] = { ACT_PUSH, "edited here, deleted on the server: the edit stays" },
		[CHANGE_NEW] = NEVER,
	},
	[CHANGE_DELETED] = {
		[CHANGE_NONE] = { ACT_DELETE_REMOTE, "deleted here" },
		[CHANGE_META] = { ACT_DELETE_REMOTE, "deleted here; only mode or time changed on the server" },
		[CHANGE_EDITED] = { ACT_PULL, "deleted here, edited on the server: the edit stays" },
		[CHANGE_DELETED] = { ACT_FORGET, "deleted on both sides" },
		[CHANGE_NEW] = NEVER,
	},
	[CHANGE_NEW] = {
		[CHANGE_NONE] = { ACT_PUSH, "new here" },
		[CHANGE_META] = NEVER,
		[CHANGE_EDITED] = NEVER,
		[CHANGE_DELETED] = NEVER,
		[CHANGE_NEW] = { ACT_CONFLICT, "new on both sides" },
	},
};

/* Whether the base row says what both sides are: name, identity on the server, and for a file its identity on this disk. */
static bool
base_is_current(const struct row *r)
{
	const struct entry *b = r->base, *l = r->local;

	if (!b || strcmp(b->path, r->path) != 0 || !id_eq(&b->id, &r->remote->id) || b->version != r->remote->version ||
	    !content_agrees(b, r->remote) || !entry_same_meta(b, r->remote))
		return false;
	/* The times of a directory's inode move with whatever is done in it; they identify nothing. */
	if (l->kind == ENTRY_DIR)
		return true;
	return b->dev == l->dev && b->ino == l->ino && b->ctime_ns == l->ctime_ns;
}

/* Both sides exist with the same content. */
static struct rule
agree(const struct row *r, struct rule rule)
{
	if (entry_same_meta(r->local, r->remote)) {
		if (base_is_current(r))
			return (struct rule)NOTHING;
		return (struct rule){ ACT_ADOPT, "the same on both sides" };
	}
	if (rule.act == ACT_CONFLICT)
		return (struct rule){ ACT_PULL, "the same content on both sides; mode or time: the server's win" };
	return rule;
}

static const struct entry *
end_of(const struct row *r)
{
	switch (r->act) {
	case ACT_PUSH:
	case ACT_MOVE_REMOTE:
		return r->local;
	case ACT_FORGET:
	case ACT_DELETE_LOCAL:
	case ACT_DELETE_REMOTE:
		return NULL;
	default: /* the server's, which is also what both have when there is nothing to do */
		return r->remote;
	}
}

const char *
remote_unusable(const struct entry *remote)
{
	struct err why;
	err_code rc = path_ok(remote->path, strlen(remote->path), &why);

	if (rc)
		return err_info(rc)->code;
	if (remote->kind == ENTRY_LINK && (remote->target[0] == '\0' || strlen(remote->target) > LINK_TARGET_MAX))
		return err_info(ERR_LINK_INVALID)->code;
	return NULL;
}

static void
decide(struct row *r)
{
	const char *bad = r->remote ? remote_unusable(r->remote) : NULL;
	struct rule rule = rules[change_local(r->base, r->local)][change_remote(r->base, r->remote)];

	if (row_moves(r))
		rule = (struct rule){ r->act, r->reason };
	else if (bad)
		rule = (struct rule){ ACT_SKIP, bad };
	else if (r->local && r->remote && content_agrees(r->local, r->remote))
		rule = agree(r, rule);
	r->act = rule.act;
	r->reason = rule.reason;
	r->end = end_of(r);
}

/* ---- the plan --------------------------------------------------------------------------------------------------------- */

/* path_cmp, where ${b} has no end of its own. */
static int
cmp_span(const char *a, const char *b, size_t b_len)
{
	const char *slash = memrchr(b, '/', b_len);
	size_t a_dir, b_dir = slash ? (size_t)(slash - b) : 0;
	const char *a_name = path_split(a, &a_dir), *b_name = slash ? slash + 1 : b;
	size_t a_len = strlen(a_name), len = (size_t)(b + b_len - b_name);
	int c = memcmp(a, b, MIN(a_dir, b_dir));

	if (c == 0)
		c = (a_dir > b_dir) - (a_dir < b_dir);
	if (c == 0)
		c = memcmp(a_name, b_name, MIN(a_len, len));
	return c ? c : (a_len > len) - (a_len < len);
}

uint32_t
row_find(const struct rows *rows, const char *path, size_t len)
{
	uint32_t lo = 0, hi = rows->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = cmp_span(rows->v[mid].path, path, len);

		if (c == 0)
			return mid;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return ROW_NONE;
}

/* Siblings follow each other, so the directory is mostly that of the row before. */
static void
link_parents(struct rows *rows)
{
	for (uint32_t i = 0; i < rows->n; i++) {
		struct row *r = &rows->v[i];
		size_t dir_len, before_len = 0;

		path_split(r->path, &dir_len);
		if (i)
			path_split(rows->v[i - 1].path, &before_len);
		if (dir_len == 0)
			r->parent = ROW_NONE;
		else if (i && before_len == dir_len && memcmp(r->path, rows->v[i - 1].path, dir_len) == 0)
			r->parent = rows->v[i - 1].parent;
		else
			r->parent = row_find(rows, r->path, dir_len);
	}
}

/* Of an ignored name nothing is seen but that it is there: so no rule, and no rename, ever meets it. */
static void
set_sides(struct row *r, const struct diff_item *item)
{
	if (item->ignored) {
		r->ignored_here = item->local != NULL;
		r->ignored_there = item->remote != NULL;
		return;
	}
	r->base = item->base;
	r->local = item->local;
	r->remote = item->remote;
}

static void
rows_init(struct rows *rows, const struct diff_item *items, size_t n, struct arena *a)
{
	assert(n < ROW_NONE);
	*rows = (struct rows){ .v = arena_must(a, MAX(n, 1) * sizeof *rows->v), .n = (uint32_t)n };
	for (size_t i = 0; i < n; i++) {
		assert(i == 0 || path_cmp(items[i - 1].path, items[i].path) < 0); /* path_cmp order, each name once */
		rows->v[i] = (struct row){ .path = items[i].path, .src = ROW_NONE, .act = ROW_NOTHING, .rules = items[i].rules };
		set_sides(&rows->v[i], &items[i]);
	}
	link_parents(rows);
}

void
diff_plan(const struct diff_item *items, size_t n, struct arena *a, struct plan *out)
{
	AUTO(arena_freep) struct arena *scratch = arena_new(SIZE_MAX); /* follows ${n}, which the caller bounds */
	struct rows rows;

	rows_init(&rows, items, n, scratch);
	if (!FAULT("client.no_moves")) /* M22 */
		moves_find(&rows, scratch);
	for (uint32_t i = 0; i < rows.n; i++)
		decide(&rows.v[i]);
	tree_settle(&rows);
	order_ops(&rows, a, out);
}

bool
diff_needs_content(const struct diff_item *item, bool read_when_sent)
{
	const struct entry *b = item->base, *l = item->local, *r = item->remote;

	if (!l || l->kind != ENTRY_FILE || l->content_known || item->ignored)
		return false;
	/* Touched but of the same size: only the bytes say whether it was edited. */
	if (b && b->kind == ENTRY_FILE && b->size == l->size)
		return !entry_same_disk(b, l) && !(read_when_sent && change_remote(b, r) == CHANGE_NONE);
	/* Changed for certain.  If the server's changed too, the bytes say whether the two agree. */
	return r && r->kind == ENTRY_FILE && r->size == l->size && change_remote(b, r) >= CHANGE_EDITED;
}

bool
diff_is_doubtful(const struct diff_item *item)
{
	const struct entry *b = item->base, *l = item->local, *r = item->remote;
	enum change here = change_local(b, l);

	if (!l || item->ignored || l->kind == ENTRY_DIR || (here != CHANGE_EDITED && here != CHANGE_NEW))
		return false;
	return r ? change_remote(b, r) >= CHANGE_EDITED && !content_agrees(l, r) : b != NULL;
}
