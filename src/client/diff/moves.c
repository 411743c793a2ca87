/*
 * Renames.  A file is one across a rename if the server calls it by the same id, or if on this disk it has the same inode and nothing
 * speaks against it.  Its three sides are then under two or three names; a move brings them together in the row of the new name,
 * and the old names keep what else is there.
 *
 * M1  A move is planned only when it can be carried out where order.c puts it, after directories are made and before anything is deleted:
 *     the new name is free, or freed by a move before it; no directory is to be made where the file is now; and every directory above
 *     the new name is one already, or is about to be made.
 * M2  Whatever is not planned as a move is planned as two names: nothing is lost by that, only bytes that the server has already are
 *     named again.  So every doubt is answered with "no move".
 * M3  Rules of what is ignored are not moved: until the new name has them the old one must.
 * M4  Directories are not moved: the new one is made, its files move, the old one is deleted.
 */
#include <assert.h>

#include "client/diff/diff_internal.h"

/* A file that has left the name under which it was agreed on. */
struct move {
	uint32_t p;        /* row of the agreed name */
	uint32_t local_q;  /* row of the name here, ROW_NONE: has not been renamed here */
	uint32_t remote_q; /* row of the name on the server, ROW_NONE likewise */
	uint8_t state;
};

enum { MOVE_NEW, MOVE_WAITING, MOVE_LOCAL, MOVE_REMOTE, MOVE_JOINED, MOVE_NOT };

struct finder {
	struct rows *rows;
	struct arena *a;
	struct move *v;
	uint32_t n;
	uint32_t *by_p;    /* row -> move, ROW_NONE: none */
	uint32_t *by_src;  /* row -> the move that takes the local file away from it */
	uint32_t *order;   /* accepted moves, each after the one that frees its name */
	uint32_t accepted;
};

static bool
movable(const struct entry *e)
{
	return e && e->kind != ENTRY_DIR;
}

/* ---- which names are one file ----------------------------------------------------------------------------------------- */

/* What a file is recognised by: the server's id, or device and inode. */
struct key {
	uint8_t b[16];
	uint32_t row;
};

static int
key_cmp(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int c = memcmp(x->b, y->b, sizeof x->b);

	return c ? c : (x->row > y->row) - (x->row < y->row);
}

static struct key
key_of_id(const struct entry *e, uint32_t row)
{
	struct key k = { .row = row };

	memcpy(k.b, e->id.b, sizeof k.b);
	return k;
}

static struct key
key_of_inode(const struct entry *e, uint32_t row)
{
	struct key k = { .row = row };

	put_u64le(k.b, e->dev);
	put_u64le(k.b + 8, e->ino);
	return k;
}

static struct move *
move_at(struct finder *f, uint32_t p)
{
	if (f->by_p[p] == ROW_NONE) {
		f->by_p[p] = f->n;
		f->v[f->n++] = (struct move){ .p = p, .local_q = ROW_NONE, .remote_q = ROW_NONE };
	}
	return &f->v[f->by_p[p]];
}

static bool
same_id(const struct row *r)
{
	return r->base && r->remote && id_eq(&r->base->id, &r->remote->id);
}

/*
 * The inode of a deleted file is soon given to a new one, so it proves nothing alone.  With size and time to the nanosecond, or with
 * the bytes, it is enough; a file that was renamed and edited before anyone looked is taken for a new one (M2).
 */
static bool
is_renamed_here(const struct row *p, const struct row *q)
{
	const struct entry *base = p->base, *local = q->local;

	if (base->kind != local->kind)
		return false;
	if (local->content_known)
		return entry_same_content(base, local);
	return base->size == local->size && base->mtime_ns == local->mtime_ns;
}

static void
pair(struct finder *f, bool here, uint32_t p, uint32_t q)
{
	if (!here)
		move_at(f, p)->remote_q = q;
	else if (is_renamed_here(&f->rows->v[p], &f->rows->v[q]))
		move_at(f, p)->local_q = q;
}

/* Pair each name that a file has left with the name at which it has arrived.  Both lists are sorted; each name is used once. */
static void
join(struct finder *f, bool here, struct key *left, uint32_t left_n, struct key *arrived, uint32_t arrived_n)
{
	qsort(left, left_n, sizeof *left, key_cmp);
	qsort(arrived, arrived_n, sizeof *arrived, key_cmp);
	for (uint32_t i = 0, k = 0; i < left_n && k < arrived_n;) {
		int c = memcmp(left[i].b, arrived[k].b, sizeof left[i].b);

		if (c == 0)
			pair(f, here, left[i].row, arrived[k].row);
		i += c <= 0;
		k += c >= 0;
	}
}

static void
find_on_server(struct finder *f, struct key *left, struct key *arrived)
{
	uint32_t left_n = 0, arrived_n = 0;

	for (uint32_t i = 0; i < f->rows->n; i++) {
		const struct row *r = &f->rows->v[i];

		if (same_id(r) || r->rules)
			continue;
		if (movable(r->base) && !id_is_zero(&r->base->id))
			left[left_n++] = key_of_id(r->base, i);
		if (movable(r->remote))
			arrived[arrived_n++] = key_of_id(r->remote, i);
	}
	join(f, false, left, left_n, arrived, arrived_n);
}

/* Only names that are gone here: an editor that renames the old version to "name~" and writes a new "name" has not renamed the file. */
static void
find_here(struct finder *f, struct key *left, struct key *arrived)
{
	uint32_t left_n = 0, arrived_n = 0;

	for (uint32_t i = 0; i < f->rows->n; i++) {
		const struct row *r = &f->rows->v[i];

		if (r->rules)
			continue;
		if (movable(r->base) && !r->local && r->base->ino)
			left[left_n++] = key_of_inode(r->base, i);
		if (!r->base && movable(r->local) && r->local->ino)
			arrived[arrived_n++] = key_of_inode(r->local, i);
	}
	join(f, true, left, left_n, arrived, arrived_n);
}

/* ---- which of them can be carried out (M1) ------------------------------------------------------------------------------ */

/* Whether every directory above the row is one, or nothing yet, on the side that is to follow. */
static bool
dirs_above(const struct finder *f, uint32_t q, bool here)
{
	for (uint32_t i = f->rows->v[q].parent; i != ROW_NONE; i = f->rows->v[i].parent) {
		const struct entry *e = here ? f->rows->v[i].local : f->rows->v[i].remote;

		if (e && e->kind != ENTRY_DIR)
			return false;
	}
	return true;
}

/* Where the file is on this disk. */
static uint32_t
source(const struct move *m)
{
	return m->local_q != ROW_NONE ? m->local_q : m->p;
}

/* All that a move here needs but that its new name is free. */
static bool
can_move_here(const struct finder *f, const struct move *m)
{
	const struct row *p = &f->rows->v[m->p], *src = &f->rows->v[source(m)], *q = &f->rows->v[m->remote_q];

	if (!movable(src->local) || src->local->kind != p->base->kind || q->remote->kind != p->base->kind)
		return false;
	if (remote_unusable(q->remote) || !dirs_above(f, m->remote_q, true))
		return false;
	return !(src->remote && src->remote->kind == ENTRY_DIR);
}

/* The other way round nothing but the name may have changed on the server, for what has is not yet here and would be overwritten. */
static bool
can_move_there(const struct finder *f, const struct move *m)
{
	const struct row *p = &f->rows->v[m->p], *q = &f->rows->v[m->local_q];

	return same_id(p) && change_remote(p->base, p->remote) == CHANGE_NONE && !q->remote && dirs_above(f, m->local_q, false);
}

static void
accept(struct finder *f, struct move *m, uint8_t state)
{
	m->state = state;
	if (state == MOVE_LOCAL || state == MOVE_REMOTE)
		f->order[f->accepted++] = (uint32_t)(m - f->v);
}

/* The move that must come first, or NULL.  False when the new name is taken for good. */
static bool
frees_name(const struct finder *f, const struct move *m, struct move **before)
{
	*before = NULL;
	if (!f->rows->v[m->remote_q].local)
		return true;
	if (f->by_src[m->remote_q] == ROW_NONE)
		return false;
	*before = &f->v[f->by_src[m->remote_q]];
	return true;
}

/*
 * Follow the chain of moves that wait for each other to its end, then decide it backwards.  Iterative, since a chain may be as long as the
 * project.  A chain that comes back to itself is a cycle: none of it can go first.
 */
static void
decide_chain(struct finder *f, struct move *first, struct move **stack)
{
	struct move *m = first, *before = NULL;
	uint32_t depth = 0;
	bool ok;

	for (;;) {
		ok = can_move_here(f, m) && frees_name(f, m, &before);
		m->state = MOVE_WAITING;
		stack[depth++] = m;
		if (!ok || !before || before->state != MOVE_NEW)
			break;
		m = before;
	}
	if (ok && before)
		ok = before->state == MOVE_LOCAL;
	while (depth) {
		m = stack[--depth];
		accept(f, m, ok ? MOVE_LOCAL : MOVE_NOT);
	}
}

static void
decide_moves(struct finder *f)
{
	struct move **stack = arena_must(f->a, f->n * sizeof *stack);

	for (uint32_t i = 0; i < f->n; i++) {
		struct move *m = &f->v[i];

		if (m->remote_q == ROW_NONE)
			accept(f, m, can_move_there(f, m) ? MOVE_REMOTE : MOVE_NOT);
		else if (m->local_q == m->remote_q)
			accept(f, m, MOVE_JOINED);
		else
			f->by_src[source(m)] = i;
	}
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->v[i].state == MOVE_NEW)
			decide_chain(f, &f->v[i], stack);
	}
}

/* ---- bringing the sides together ---------------------------------------------------------------------------------------- */

/* Take the sides out of the old names.  All of them before any is put in: a chain's names are old and new. */
static void
take_sides(const struct finder *f, const struct move *m, struct row *out)
{
	struct row *v = f->rows->v;
	uint32_t local = source(m), remote = m->remote_q != ROW_NONE ? m->remote_q : m->p;

	*out = (struct row){ .base = v[m->p].base, .local = v[local].local, .remote = v[remote].remote, .src = ROW_NONE };
	v[m->p].base = NULL;
	v[local].local = NULL;
	v[remote].remote = NULL;
	if (m->state == MOVE_LOCAL) {
		out->act = ACT_MOVE_LOCAL;
		out->src = local;
		out->reason = m->local_q == ROW_NONE ? "renamed on the server" : "renamed on both sides: the server's name wins";
	} else if (m->state == MOVE_REMOTE) {
		out->act = ACT_MOVE_REMOTE;
		out->src = m->p;
		out->reason = "renamed here";
	} else {
		out->act = ROW_NOTHING;
	}
}

static void
put_sides(struct row *q, const struct row *in)
{
	/* What was agreed on under the new name is gone on both sides, or is on its way elsewhere. */
	q->base = in->base;
	q->local = in->local;
	q->remote = in->remote;
	q->act = in->act;
	q->src = in->src;
	q->reason = in->reason;
}

static void
join_sides(struct finder *f)
{
	struct row *taken = arena_must(f->a, f->n * sizeof *taken);

	for (uint32_t i = 0; i < f->n; i++) {
		if (f->v[i].state != MOVE_NOT)
			take_sides(f, &f->v[i], &taken[i]);
	}
	for (uint32_t i = 0; i < f->n; i++) {
		const struct move *m = &f->v[i];

		if (m->state != MOVE_NOT)
			put_sides(&f->rows->v[m->state == MOVE_REMOTE ? m->local_q : m->remote_q], &taken[i]);
	}
	f->rows->moves = f->order;
	f->rows->move_count = f->accepted;
	for (uint32_t i = 0; i < f->accepted; i++) {
		const struct move *m = &f->v[f->order[i]];

		f->order[i] = m->state == MOVE_REMOTE ? m->local_q : m->remote_q;
	}
}

void
moves_find(struct rows *rows, struct arena *a)
{
	struct finder f = { .rows = rows, .a = a };
	struct key *left, *arrived;
	uint32_t agreed = 0;

	for (uint32_t i = 0; i < rows->n; i++)
		agreed += movable(rows->v[i].base) && (!rows->v[i].local || !same_id(&rows->v[i]));
	if (agreed == 0) /* nothing has left its name: the usual case, and the whole of a first sync */
		return;
	left = arena_must(a, agreed * sizeof *left);
	arrived = arena_must(a, rows->n * sizeof *arrived);
	f.v = arena_must(a, agreed * sizeof *f.v);
	f.order = arena_must(a, agreed * sizeof *f.order);
	f.by_p = arena_must(a, rows->n * sizeof *f.by_p);
	f.by_src = arena_must(a, rows->n * sizeof *f.by_src);
	memset(f.by_p, 0xff, rows->n * sizeof *f.by_p);
	memset(f.by_src, 0xff, rows->n * sizeof *f.by_src);
	find_on_server(&f, left, arrived);
	find_here(&f, left, arrived);
	if (f.n == 0)
		return;
	decide_moves(&f);
	join_sides(&f);
}
