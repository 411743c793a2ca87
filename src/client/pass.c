#include "base/clock.h"
#include "base/fault.h"
#include "client/pass_internal.h"

#define PASS_MEMORY_MAX (8 * GIB) /* follows the number of changes: about 450 bytes each, and 250 more while it is made */
#define LOOKS_MAX 5 /* while the rules of what is ignored change from one look to the next */

/* A small tree then takes as many slices as a large one. */
size_t
pass_slice(void)
{
	return FAULT("client.tiny_slices") ? 8 : PASS_SLICE_MIN;
}

struct entry *
keep_as(struct arena *a, const struct entry *e, const char *path)
{
	struct entry *copy = arena_must(a, sizeof *copy);

	*copy = *e;
	copy->path = path;
	copy->target = e->target && e->target[0] ? arena_strdup(a, e->target) : "";
	return copy;
}

struct entry *
keep(struct arena *a, const struct entry *e)
{
	return keep_as(a, e, arena_strdup(a, e->path));
}

/* A side of the row: the row's path is kept already. */
struct entry *
keep_in(struct gather *g, const struct row *row, const struct entry *e)
{
	return keep_as(g->pass->arena, e, row->item.path);
}

struct row *
row_at(struct gather *g, const char *path)
{
	struct row *row = map_get(g->rows, path, strlen(path));

	if (!row) {
		row = arena_must(g->arena, sizeof *row);
		row->item.path = arena_strdup(g->pass->arena, path);
		map_put(g->rows, path, strlen(path), row);
	}
	return row;
}

void
add_problem(struct pass *p, const char *path, const char *reason, const char *detail)
{
	if ((p->problem_count & (p->problem_count + 1)) == 0) /* grow at 2^n - 1 */
		p->problems = xrealloc(p->problems, (2 * p->problem_count + 2) * sizeof *p->problems);
	p->problems[p->problem_count++] = (struct problem){
		.path = arena_strdup(p->arena, path),
		.reason = reason,
		.detail = arena_strdup(p->arena, detail),
	};
}

static err_code
gather_all(struct gather *g, struct err *err)
{
	struct diff_item *items;
	size_t n;
	err_code rc = state_totals(g->folder->state, &g->totals, err);

	if (rc == ERR_OK)
		rc = gather_local(g, err);
	if (rc == ERR_OK)
		rc = record_refreshed(g, err);
	if (rc == ERR_OK)
		rc = review_left_out(g, err);
	if (rc == ERR_OK && g->left_out.came_back)
		return ERR_OK;
	if (rc == ERR_OK)
		rc = gather_remote(g, err);
	if (rc == ERR_OK)
		rc = gather_unselected(g, err);
	if (rc == ERR_OK)
		rc = left_out_record(&g->left_out, err);
	if (rc == ERR_OK)
		rc = state_totals(g->folder->state, &g->totals, err);
	if (rc == ERR_OK)
		rc = gather_ignored(g, err);
	if (rc)
		return rc;
	rc = join_sides(g, &items, &n, err);
	if (rc)
		return rc;
	diff_plan(items, n, g->pass->arena, &g->pass->plan);
	plan_drops(g);
	return ERR_OK;
}

static err_code
look_once(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err)
{
	AUTO(pass_freep) struct pass *p = xcalloc(1, sizeof *p);
	struct gather g = { .pass = p, .folder = f, .opts = opts, .now_ns = clock_wall_ns(), .mask = f->mask };
	err_code rc = selection_load(f->root, &g.selection, err);

	*out = NULL;
	if (rc)
		return rc;
	p->arena = arena_new(PASS_MEMORY_MAX);
	g.arena = arena_new(PASS_MEMORY_MAX);
	g.rows = map_new();
	g.frozen = map_new();
	g.held_inodes = map_new();
	g.ignored = map_new();
	g.ignore = ignore_new();
	g.left_out = (struct left_out){ .state = f->state, .ignore = g.ignore, .selection = g.selection, .a = g.arena };
	g.unselected_end = &g.unselected;
	rc = gather_all(&g, err);
	p->unselected = g.left_out.unselected;
	p->unselected_bytes = g.left_out.unselected_bytes;
	selection_free(g.selection);
	ignore_free(g.ignore);
	map_free(g.ignored);
	map_free(g.rows);
	map_free(g.frozen);
	map_free(g.held_inodes);
	free(g.inodes);
	arena_free(g.arena);
	if (rc == ERR_OK && !g.left_out.came_back)
		*out = TAKE(p);
	return rc;
}

err_code
pass_open(struct folder *f, const struct pass_opts *opts, struct pass **out, struct err *err)
{
	*out = NULL;
	for (unsigned looks = 0; looks < LOOKS_MAX; looks++) {
		err_code rc = look_once(f, opts, out, err);

		if (rc || *out)
			return rc;
	}
	return err_set(err, ERR_BUSY, "the files of ignore rules kept changing");
}

void
pass_continue(struct rest *rest, const struct pass_opts *opts, struct pass **out)
{
	struct pass *p = xcalloc(1, sizeof *p);
	struct diff_item *items = xcalloc(opts->slice, sizeof *items);
	struct entry e;
	size_t n = 0;

	p->arena = arena_new(PASS_MEMORY_MAX);
	p->continued = true;
	while (n < opts->slice && rest_take(rest, &e)) {
		if (opts->held && map_get(opts->held, e.path, strlen(e.path)))
			continue; /* the look that follows finds it */
		items[n].local = keep(p->arena, &e);
		items[n].path = items[n].local->path;
		items[n].rules = ignore_is_file(e.path);
		n++;
	}
	p->deferred = rest_sum(rest);
	diff_plan(items, n, p->arena, &p->plan);
	free(items);
	*out = p;
}

void
pass_free(struct pass *p)
{
	if (!p)
		return;
	rest_free(p->rest);
	free(p->problems);
	arena_free(p->arena);
	free(p);
}

void
pass_freep(struct pass **p)
{
	pass_free(*p);
}
