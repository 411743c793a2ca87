#include "world.h"

#include <stdio.h>

#include "chunk/blocklist.h"

#define ROUNDS_MAX 4
#define DEV 7

/* ---- sides ------------------------------------------------------------------------------------------------------------ */

struct entry *
side_at(struct side *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->e[i].path, path) == 0)
			return &s->e[i];
	}
	return NULL;
}

void
side_remove(struct side *s, const char *path)
{
	struct entry *e = side_at(s, path);

	if (e)
		*e = s->e[--s->n];
}

void
side_put(struct side *s, const struct entry *e)
{
	struct entry copy = *e;

	side_remove(s, copy.path);
	if (s->n == WORLD_MAX)
		abort();
	s->e[s->n++] = copy;
}

bool
side_has_children(struct side *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		if (path_beneath(s->e[i].path, path))
			return true;
	}
	return false;
}

bool
side_has_parent(struct side *s, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[64];
	struct entry *e;

	if (!slash)
		return true;
	snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
	e = side_at(s, dir);
	return e && e->kind == ENTRY_DIR;
}

void
world_remove_tree(struct side *s, const char *path)
{
	for (size_t i = 0; i < s->n;) {
		if (path_beneath(s->e[i].path, path))
			s->e[i] = s->e[--s->n];
		else
			i++;
	}
	side_remove(s, path);
}

/* ---- entries ---------------------------------------------------------------------------------------------------------- */

void
world_reset(struct world *w, struct arena *a)
{
	arena_reset(a);
	memset(w, 0, sizeof *w);
	w->a = a;
	w->next = 1000;
}

static void
set_content(struct entry *e, unsigned content)
{
	char text[16];

	e->target = "";
	e->size = 0;
	e->content_known = true;
	memset(&e->content, 0, sizeof e->content);
	if (e->kind == ENTRY_DIR)
		return;
	/* Not the real hash: unequal for unequal contents is all that matters, and this is run millions of times. */
	snprintf(text, sizeof text, "c%u", content);
	memcpy(e->content.b, text, strlen(text));
	e->content.b[31] = (uint8_t)(1 + e->kind);
	if (e->kind == ENTRY_FILE)
		e->size = content % 3;
	else
		e->target = content % 2 ? "t1" : "t0";
}

struct entry
world_entry(struct world *w, const char *path, enum entry_kind kind, unsigned content)
{
	uint64_t n = ++w->next;
	struct entry e = { .path = path, .kind = kind, .mode = 0644, .mtime_ns = (int64_t)n, .version = (int64_t)n, .dev = DEV, .ino = n,
		.ctime_ns = (int64_t)n };

	put_u64le(e.id.b, n);
	set_content(&e, content);
	return e;
}

void
world_edit(struct world *w, struct entry *e, unsigned content)
{
	set_content(e, content);
	e->mtime_ns = e->ctime_ns = e->version = (int64_t)++w->next;
}

void
world_touch(struct world *w, struct entry *e)
{
	e->mode = e->mode == 0644 ? 0600 : 0644;
	e->mtime_ns = e->ctime_ns = e->version = (int64_t)++w->next;
}

void
world_rename(struct world *w, struct side *s, const char *from, const char *to)
{
	size_t len = strlen(from);

	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = &s->e[i];

		if (strcmp(e->path, from) != 0 && !path_beneath(e->path, from))
			continue;
		e->path = arena_printf(w->a, "%s%s", to, e->path + len);
		e->ctime_ns = e->version = (int64_t)++w->next;
	}
}

/* ---- saying what is wrong --------------------------------------------------------------------------------------------- */

static void
print_side(const char *name, const struct side *s)
{
	fprintf(stderr, "  %s:\n", name);
	for (size_t i = 0; i < s->n; i++) {
		const struct entry *e = &s->e[i];

		fprintf(stderr, "    %-28s kind %d content %-6.31s mode %o mtime %lld id %llu v %lld ino %llu ctime %lld\n", e->path, e->kind,
		    (const char *)e->content.b, e->mode, (long long)e->mtime_ns, (unsigned long long)get_u64le(e->id.b),
		    (long long)e->version, (unsigned long long)e->ino, (long long)e->ctime_ns);
	}
}

void
world_print(const struct world *w, const char *why)
{
	fprintf(stderr, "broken: %s\n at the start\n", why);
	print_side("base", &w->base0);
	print_side("local", &w->local0);
	print_side("remote", &w->remote0);
	fprintf(stderr, " now\n");
	print_side("base", &w->base);
	print_side("local", &w->local);
	print_side("remote", &w->remote);
}

static void
print_plan(const struct plan *plan)
{
	static const char *const names[] = { "ADOPT", "FORGET", "PUSH", "DELETE_REMOTE", "MOVE_REMOTE", "PULL", "DELETE_LOCAL",
		"MOVE_LOCAL", "CONFLICT", "SKIP" };

	fprintf(stderr, " plan\n");
	for (size_t i = 0; plan && i < plan->n; i++)
		fprintf(stderr, "    %-14s %s%s%s  (%s)\n", names[plan->ops[i].act], plan->ops[i].from ? plan->ops[i].from : "",
		    plan->ops[i].from ? " -> " : "", plan->ops[i].path, plan->ops[i].reason);
}

#define PROMISE(w, plan, cond) \
	do { \
		if (!(cond)) { \
			world_print(w, #cond); \
			print_plan(plan); \
			abort(); \
		} \
	} while (0)

/* ---- planning --------------------------------------------------------------------------------------------------------- */

static int
by_path(const void *a, const void *b)
{
	return path_cmp(((const struct diff_item *)a)->path, ((const struct diff_item *)b)->path);
}

static bool
unchanged(const struct diff_item *it)
{
	return it->base && it->local && it->remote && entry_same_disk(it->base, it->local) && it->base->mode == it->local->mode &&
	    it->base->version == it->remote->version && id_eq(&it->base->id, &it->remote->id);
}

/* The scan knows the bytes of a file only where its stat says that they are the agreed ones, or where they are needed. */
static const struct entry *
as_scanned(struct world *w, const struct entry *base, const struct entry *local, const struct entry *remote, const char *path)
{
	struct entry *e;
	struct diff_item it;

	if (!local)
		return NULL;
	e = arena_memdup(w->a, local, sizeof *local);
	memset(&e->id, 0, sizeof e->id);
	e->version = 0;
	if (e->kind != ENTRY_FILE || (base && entry_same_disk(base, e)))
		return e;
	e->content_known = false;
	it = (struct diff_item){ .path = path, .base = base, .local = e, .remote = remote };
	if (diff_needs_content(&it, false))
		e->content_known = true;
	return e;
}

static bool
is_ignored(const struct world *w, const char *path)
{
	return w->ignores && (strcmp(path, "i") == 0 || strncmp(path, "i/", 2) == 0 || strstr(path, "/i/") ||
	    (strlen(path) > 2 && strcmp(path + strlen(path) - 2, "/i") == 0));
}

static bool
is_rules(const struct world *w, const char *path)
{
	return w->ignores && (strcmp(path, "r") == 0 || (strlen(path) > 2 && strcmp(path + strlen(path) - 2, "/r") == 0));
}

static void
add_items(struct world *w, const struct side *s, struct diff_item *items, size_t *n)
{
	for (size_t i = 0; i < s->n; i++) {
		const char *path = s->e[i].path;
		struct diff_item *it = &items[*n];
		bool seen = false;

		for (size_t k = 0; k < *n && !seen; k++)
			seen = strcmp(items[k].path, path) == 0;
		if (seen)
			continue;
		*it = (struct diff_item){ .path = path, .base = side_at(&w->base, path), .remote = side_at(&w->remote, path) };
		it->ignored = is_ignored(w, path);
		it->rules = is_rules(w, path);
		it->local = as_scanned(w, it->base, side_at(&w->local, path), it->remote, path);
		(*n)++;
	}
}

/* I9, and that who edited is not the one who loses. */
static void
check_evidence(struct world *w, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];

		PROMISE(w, plan, op->reason && op->path);
		w->acts[op->act]++;
		if (op->act == ACT_DELETE_LOCAL)
			PROMISE(w, plan, op->base && op->local && !op->remote && op->local->content_known &&
			    entry_same_content(op->base, op->local));
		if (op->act == ACT_DELETE_REMOTE)
			PROMISE(w, plan, op->base && op->remote && !op->local && entry_same_content(op->base, op->remote) &&
			    id_eq(&op->base->id, &op->remote->id));
		for (size_t k = 0; k < i; k++)
			PROMISE(w, plan, strcmp(plan->ops[k].path, op->path) != 0);
	}
}

void
world_plan(struct world *w, bool keep, struct plan *out)
{
	struct diff_item *items = arena_must(w->a, 3 * WORLD_MAX * sizeof *items);
	/* The plan keeps pointers, and carrying it out changes the world. */
	struct side *base = arena_memdup(w->a, &w->base, sizeof w->base);
	struct side *remote = arena_memdup(w->a, &w->remote, sizeof w->remote);
	size_t n = 0, kept = 0;

	add_items(w, base, items, &n);
	add_items(w, &w->local, items, &n);
	add_items(w, remote, items, &n);
	for (size_t i = 0; i < n; i++) {
		items[i].base = side_at(base, items[i].path);
		items[i].remote = side_at(remote, items[i].path);
		if (keep || !unchanged(&items[i]))
			items[kept++] = items[i];
	}
	qsort(items, kept, sizeof *items, by_path);
	diff_plan(items, kept, w->a, out);
	check_evidence(w, out);
}

/* ---- carrying out ------------------------------------------------------------------------------------------------------- */

/* As the client's state does: a row replaces those of the same path and of the same id. */
static void
base_put(struct world *w, const struct entry *e)
{
	for (size_t i = 0; i < w->base.n; i++) {
		if (id_eq(&w->base.e[i].id, &e->id)) {
			w->base.e[i] = w->base.e[--w->base.n];
			break;
		}
	}
	side_put(&w->base, e);
}

/* The base row after both sides have become ${remote}, which is on this disk as ${local}. */
static void
agree(struct world *w, const struct entry *local, const struct entry *remote)
{
	struct entry row = *remote;

	row.dev = local->dev;
	row.ino = local->ino;
	row.ctime_ns = local->ctime_ns;
	base_put(w, &row);
}

static void
run_pull(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	struct entry *old = side_at(&w->local, op->path), e = *op->remote;
	bool meta = old && old->kind == e.kind && entry_same_content(old, &e);

	e.dev = DEV;
	e.ino = meta ? old->ino : ++w->next;
	e.ctime_ns = (int64_t)++w->next;
	PROMISE(w, plan, side_has_parent(&w->local, op->path));
	PROMISE(w, plan, e.kind == ENTRY_DIR || !side_has_children(&w->local, op->path));
	side_put(&w->local, &e);
	agree(w, &e, op->remote);
}

static void
run_push(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	struct entry *old = side_at(&w->remote, op->path), e = *side_at(&w->local, op->path);

	if (old) {
		e.id = old->id;
	} else {
		memset(&e.id, 0, sizeof e.id);
		put_u64le(e.id.b, ++w->next);
	}
	e.version = (int64_t)++w->next;
	PROMISE(w, plan, side_has_parent(&w->remote, op->path));
	PROMISE(w, plan, e.kind == ENTRY_DIR || !side_has_children(&w->remote, op->path));
	side_put(&w->remote, &e);
	agree(w, side_at(&w->local, op->path), &e);
}

static void
run_move_local(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	struct entry row = *op->base, *moved;
	bool all = entry_same_content(op->base, op->remote) && entry_same_meta(op->base, op->remote);

	PROMISE(w, plan, side_at(&w->local, op->from) && !side_at(&w->local, op->path) && side_has_parent(&w->local, op->path));
	PROMISE(w, plan, op->local->kind != ENTRY_DIR && id_eq(&op->base->id, &op->remote->id));
	world_rename(w, &w->local, op->from, op->path);
	moved = side_at(&w->local, op->path);
	row.path = moved->path;
	row.ino = moved->ino;
	row.ctime_ns = entry_same_disk(op->local, op->base) ? moved->ctime_ns : 0;
	if (all)
		row.version = op->remote->version;
	base_put(w, &row);
}

static void
run_move_remote(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	struct entry *local = side_at(&w->local, op->path), *old = side_at(&w->remote, op->from), e;

	PROMISE(w, plan, local && old && !side_at(&w->remote, op->path) && side_has_parent(&w->remote, op->path));
	PROMISE(w, plan, local->kind != ENTRY_DIR && entry_same_content(op->base, op->remote));
	e = *local;
	e.id = old->id;
	e.version = (int64_t)++w->next;
	side_remove(&w->remote, op->from);
	side_put(&w->remote, &e);
	agree(w, local, &e);
}

static void
run_conflict(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	char *copy = arena_printf(w->a, "%s~%u", op->path, ++w->copies);

	PROMISE(w, plan, side_at(&w->local, op->path));
	world_rename(w, &w->local, op->path, copy);
	run_pull(w, plan, op);
}

static void
run_delete(struct world *w, const struct plan *plan, struct side *s, const struct plan_op *op)
{
	PROMISE(w, plan, side_at(s, op->path) && !side_has_children(s, op->path));
	side_remove(s, op->path);
	side_remove(&w->base, op->path);
}

/* Carrying out looks at what is there first, as apply and the server do. */
static void
check_expected(struct world *w, const struct plan *plan, const struct plan_op *op)
{
	struct entry *local = side_at(&w->local, op->act == ACT_MOVE_LOCAL ? op->from : op->path);
	struct entry *remote = side_at(&w->remote, op->act == ACT_MOVE_REMOTE ? op->from : op->path);

	if (op->act == ACT_MOVE_LOCAL)
		remote = side_at(&w->remote, op->path);
	PROMISE(w, plan, !local == !op->local && !remote == !op->remote);
	if (local && local->kind != ENTRY_DIR)
		PROMISE(w, plan, local->ino == op->local->ino && local->mtime_ns == op->local->mtime_ns);
	if (remote)
		PROMISE(w, plan, remote->version == op->remote->version);
}

void
world_run(struct world *w, const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];

		check_expected(w, plan, op);
		switch (op->act) {
		case ACT_ADOPT:
			PROMISE(w, plan, entry_same_content(op->local, op->remote) && entry_same_meta(op->local, op->remote));
			agree(w, op->local, op->remote);
			break;
		case ACT_FORGET:
			side_remove(&w->base, op->path);
			break;
		case ACT_PUSH:
			run_push(w, plan, op);
			break;
		case ACT_PULL:
			run_pull(w, plan, op);
			break;
		case ACT_DELETE_LOCAL:
			run_delete(w, plan, &w->local, op);
			break;
		case ACT_DELETE_REMOTE:
			run_delete(w, plan, &w->remote, op);
			break;
		case ACT_MOVE_LOCAL:
			run_move_local(w, plan, op);
			break;
		case ACT_MOVE_REMOTE:
			run_move_remote(w, plan, op);
			break;
		case ACT_CONFLICT:
			run_conflict(w, plan, op);
			break;
		case ACT_DROP: /* not of diff/ */
		case ACT_SKIP:
			break;
		}
	}
}

/* ---- promises ------------------------------------------------------------------------------------------------------------ */

static bool
has_content(const struct side *s, const struct entry *want)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->e[i].kind == want->kind && entry_same_content(&s->e[i], want))
			return true;
	}
	return false;
}

/* What one side has that was never agreed on must still be there (I8). */
static void
check_kept(struct world *w, const struct side *before)
{
	for (size_t i = 0; i < before->n; i++) {
		const struct entry *e = &before->e[i];

		if (e->kind != ENTRY_DIR && !has_content(&w->base0, e))
			PROMISE(w, (struct plan *)NULL, has_content(&w->local, e) || (w->ignores && has_content(&w->remote, e)));
	}
}

/* What is ignored is no part of what was agreed. */
static void
forget_ignored(struct world *w)
{
	for (size_t i = 0; i < w->base.n;) {
		if (is_ignored(w, w->base.e[i].path))
			w->base.e[i] = w->base.e[--w->base.n];
		else
			i++;
	}
}

/* An ignored name is never deleted, moved or overwritten, and none is made. */
static void
check_untouched(struct world *w, struct side *before, struct side *after)
{
	size_t was = 0, is = 0;

	for (size_t i = 0; i < before->n; i++) {
		const struct entry *e = &before->e[i], *now = side_at(after, e->path);

		if (!is_ignored(w, e->path))
			continue;
		PROMISE(w, (struct plan *)NULL, now && now->ino == e->ino && now->version == e->version && now->mtime_ns == e->mtime_ns);
		was++;
	}
	for (size_t i = 0; i < after->n; i++)
		is += is_ignored(w, after->e[i].path);
	PROMISE(w, (struct plan *)NULL, was == is);
}

/* A directory, or its rules, that is here for what is ignored in it, and nothing else is in it. */
static bool
stays_for_ignored(struct world *w, struct side *here, const char *path)
{
	bool ignored = false;
	char dir[64];

	snprintf(dir, sizeof dir, "%s", path);
	if (is_rules(w, path) && side_at(here, path)->kind != ENTRY_DIR && strchr(dir, '/'))
		*strrchr(dir, '/') = '\0';
	for (size_t i = 0; i < here->n; i++) {
		const struct entry *e = &here->e[i];

		if (!path_beneath(e->path, dir))
			continue;
		if (!is_ignored(w, e->path) && e->kind != ENTRY_DIR && !is_rules(w, e->path))
			return false;
		ignored |= is_ignored(w, e->path);
	}
	return ignored && !side_at(&w->base, path) && !side_at(&w->remote, path);
}

/* Nothing is sent that is only there for what is ignored, and all else is the same on both sides. */
static void
check_equal_but_ignored(struct world *w)
{
	struct side here = w->local, there = w->remote;

	for (size_t i = 0; i < here.n; i++) {
		const char *path = here.e[i].path;
		bool stays = !is_ignored(w, path) && stays_for_ignored(w, &here, path);

		w->kept += stays;
		if (stays || is_ignored(w, path))
			side_remove(&w->local, path);
	}
	for (size_t i = 0; i < there.n; i++) {
		if (is_ignored(w, there.e[i].path))
			side_remove(&w->remote, there.e[i].path);
	}
}

static void
check_equal(struct world *w)
{
	struct side here = w->local, there = w->remote;

	if (w->ignores)
		check_equal_but_ignored(w);
	PROMISE(w, (struct plan *)NULL, w->local.n == w->remote.n && w->base.n == w->local.n);
	for (size_t i = 0; i < w->local.n; i++) {
		struct entry *l = &w->local.e[i], *r = side_at(&w->remote, l->path), *b = side_at(&w->base, l->path);

		PROMISE(w, (struct plan *)NULL, r && b);
		PROMISE(w, (struct plan *)NULL, entry_same_content(l, r) && entry_same_meta(l, r));
		PROMISE(w, (struct plan *)NULL, entry_same_content(b, r) && entry_same_meta(b, r) && b->version == r->version);
		PROMISE(w, (struct plan *)NULL, side_has_parent(&w->local, l->path));
	}
	w->local = here;
	w->remote = there;
}

unsigned
world_settle(struct world *w)
{
	unsigned rounds = 0;
	struct plan plan;

	forget_ignored(w);
	w->base0 = w->base;
	w->local0 = w->local;
	w->remote0 = w->remote;
	for (;; rounds++) {
		world_plan(w, rounds % 2 == 0, &plan);
		if (plan.n == plan.skipped)
			break;
		PROMISE(w, &plan, rounds < ROUNDS_MAX);
		world_run(w, &plan);
	}
	check_untouched(w, &w->local0, &w->local);
	check_untouched(w, &w->remote0, &w->remote);
	if (plan.skipped == 0)
		check_equal(w);
	check_kept(w, &w->local0);
	check_kept(w, &w->remote0);
	return rounds;
}
