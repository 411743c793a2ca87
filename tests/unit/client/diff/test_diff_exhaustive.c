/*
 * The planner on every small world: all triples of trees over the names "a", "a/a" and "b" with two contents, files and directories, and
 * for each side both readings of a name that went and came: another file, or the same one renamed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

enum shape { NOTHING, FILE_0, FILE_1, DIR, DIR_WITH_FILE_0, DIR_WITH_FILE_1, DIR_WITH_DIR, SHAPE_A_COUNT, SHAPE_B_COUNT = DIR + 1 };

static void
put(struct world *w, struct side *s, const char *path, enum entry_kind kind, unsigned content)
{
	/* One time and mode everywhere: changes of these are the random test's. */
	struct entry e = world_entry(w, path, kind, content);

	e.mtime_ns = 5;
	side_put(s, &e);
}

static void
build(struct world *w, struct side *s, enum shape a, enum shape b)
{
	if (a == FILE_0 || a == FILE_1)
		put(w, s, "a", ENTRY_FILE, a == FILE_1);
	if (a >= DIR)
		put(w, s, "a", ENTRY_DIR, 0);
	if (a == DIR_WITH_FILE_0 || a == DIR_WITH_FILE_1)
		put(w, s, "a/a", ENTRY_FILE, a == DIR_WITH_FILE_1);
	if (a == DIR_WITH_DIR)
		put(w, s, "a/a", ENTRY_DIR, 0);
	if (b == FILE_0 || b == FILE_1)
		put(w, s, "b", ENTRY_FILE, b == FILE_1);
	if (b == DIR)
		put(w, s, "b", ENTRY_DIR, 0);
}

static void
identify(struct entry *e, const struct entry *base)
{
	bool same = e->kind == base->kind && entry_same_content(e, base);

	e->id = base->id;
	e->ino = base->ino;
	if (same) {
		e->version = base->version;
		e->ctime_ns = base->ctime_ns;
	}
}

static bool
used(const struct side *s, const struct entry *base)
{
	for (size_t i = 0; i < s->n; i++) {
		if (id_eq(&s->e[i].id, &base->id))
			return true;
	}
	return false;
}

/* Give what was there before its old identity: under the same name, and when ${renames}, under another name with the same bytes. */
static void
relate(struct world *w, struct side *s, bool renames)
{
	for (size_t i = 0; i < s->n; i++) {
		struct entry *base = side_at(&w->base, s->e[i].path);

		if (base)
			identify(&s->e[i], base);
	}
	for (size_t i = 0; renames && i < s->n; i++) {
		if (s->e[i].kind == ENTRY_DIR || side_at(&w->base, s->e[i].path))
			continue;
		for (size_t k = 0; k < w->base.n; k++) {
			const struct entry *b = &w->base.e[k];

			if (b->kind == s->e[i].kind && entry_same_content(b, &s->e[i]) && !used(s, b)) {
				s->e[i].id = b->id;
				s->e[i].ino = b->ino;
				break;
			}
		}
	}
}

#define TREES (SHAPE_A_COUNT * SHAPE_B_COUNT)

static void
build_tree(struct world *w, struct side *s, unsigned tree)
{
	build(w, s, tree % SHAPE_A_COUNT, tree / SHAPE_A_COUNT);
}

static unsigned
run_one(struct world *w, struct arena *a, unsigned base, unsigned local, unsigned remote, unsigned readings)
{
	world_reset(w, a);
	build_tree(w, &w->base, base);
	build_tree(w, &w->local, local);
	build_tree(w, &w->remote, remote);
	relate(w, &w->local, readings & 1);
	relate(w, &w->remote, readings & 2);
	return world_settle(w);
}

static void
test_every_triple(void **state)
{
	struct arena *a = arena_new(64 * MIB);
	struct world *w = xcalloc(1, sizeof *w);
	size_t rounds[8] = { 0 }, n = 0;

	(void)state;
	for (unsigned base = 0; base < TREES; base++) {
		for (unsigned both = 0; both < TREES * TREES * 4; both++, n++)
			rounds[run_one(w, a, base, both / 4 % TREES, both / 4 / TREES, both % 4)]++;
	}
	print_message("%zu worlds; rounds: 0 %zu, 1 %zu, 2 %zu, 3 %zu\n", n, rounds[0], rounds[1], rounds[2], rounds[3]);
	free(w);
	arena_free(a);
}

/* plan(x, x, x) is empty, whether unchanged names are listed or not. */
static void
test_nothing_to_do(void **state)
{
	struct arena *a = arena_new(64 * MIB);
	struct world *w = xcalloc(1, sizeof *w);

	(void)state;
	for (unsigned tree = 0; tree < TREES; tree++) {
		for (unsigned keep = 0; keep < 2; keep++) {
			struct plan plan;

			world_reset(w, a);
			build_tree(w, &w->base, tree);
			w->local = w->remote = w->base;
			world_plan(w, keep, &plan);
			assert_int_equal(plan.n, 0);
		}
	}
	free(w);
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_triple),
		cmocka_unit_test(test_nothing_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
