/*
 * The planner on random trees: whatever two sides have done to an agreed tree, after at most a few rounds they are equal, nothing that was
 * never agreed on is lost, nothing is deleted without evidence, and every operation can be carried out where the plan has it.
 *
 * DRAY_TRIALS and DRAY_SEED in the environment choose another run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/num.h"
#include "world.h"

static const char *const names[] = { "a", "b", "c", "a/a", "a/b", "b/a", "a/a/a", "b/a/b",
	"a/i", "b/i", "i", "a/a/i", "a/r", "b/r", "a/i/a" };
#define PLAIN 8 /* of them without ignored ones */
static uint32_t name_count = PLAIN;

static uint64_t rng_state;

/* xorshift64*: the same trials on every machine. */
static uint32_t
rnd(uint32_t below)
{
	rng_state ^= rng_state >> 12;
	rng_state ^= rng_state << 25;
	rng_state ^= rng_state >> 27;
	return (uint32_t)((rng_state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static const char *
any_name(void)
{
	return names[rnd(name_count)];
}

/* Two contents that both sides may come upon by chance, and now and then one that nobody else has. */
static unsigned
any_content(struct world *w)
{
	return rnd(3) ? rnd(2) : 10 + (unsigned)(++w->next);
}

static enum entry_kind
any_kind(void)
{
	static const enum entry_kind kinds[] = { ENTRY_FILE, ENTRY_FILE, ENTRY_FILE, ENTRY_DIR, ENTRY_DIR, ENTRY_LINK };

	return kinds[rnd(ARRAY_LEN(kinds))];
}

static void
create(struct world *w, struct side *s)
{
	const char *path = any_name();
	struct entry e;

	if (side_at(s, path) || !side_has_parent(s, path))
		return;
	e = world_entry(w, path, any_kind(), any_content(w));
	/* File systems give the inode of a deleted file to the next new one. */
	if (s == &w->local && w->base.n && rnd(4) == 0) {
		uint64_t ino = w->base.e[rnd((uint32_t)w->base.n)].ino;
		bool used = false;

		for (size_t i = 0; i < s->n; i++)
			used |= s->e[i].ino == ino;
		if (!used)
			e.ino = ino;
	}
	side_put(s, &e);
}

static void
change_kind(struct world *w, struct side *s, const char *path)
{
	struct entry *e = side_at(s, path), fresh;
	enum entry_kind kind = any_kind();

	if (kind == e->kind)
		return;
	fresh = world_entry(w, e->path, kind, any_content(w));
	if (rnd(2))
		fresh.id = e->id;
	world_remove_tree(s, path);
	side_put(s, &fresh);
}

static void
rename_some(struct world *w, struct side *s, const char *from)
{
	const char *to = any_name();

	if (side_at(s, to) || !side_has_parent(s, to) || path_beneath(to, from) || strlen(to) > 5)
		return;
	world_rename(w, s, from, to);
}

/* Writing a new file and renaming it over the old one: another inode, and on the server another id. */
static void
replace(struct world *w, struct side *s, const char *path)
{
	struct entry *e = side_at(s, path), fresh;

	if (e->kind == ENTRY_DIR)
		return;
	fresh = world_entry(w, e->path, e->kind, any_content(w));
	if (s == &w->local || rnd(2))
		fresh.id = e->id;
	side_put(s, &fresh);
}

static void
mutate(struct world *w, struct side *s)
{
	const char *path;

	if (s->n == 0 || rnd(4) == 0) {
		create(w, s);
		return;
	}
	path = s->e[rnd((uint32_t)s->n)].path;
	switch (rnd(6)) {
	case 0:
		if (side_at(s, path)->kind != ENTRY_DIR)
			world_edit(w, side_at(s, path), any_content(w));
		break;
	case 1:
		world_touch(w, side_at(s, path));
		break;
	case 2:
		world_remove_tree(s, path);
		break;
	case 3:
		rename_some(w, s, path);
		break;
	case 4:
		replace(w, s, path);
		break;
	default:
		change_kind(w, s, path);
	}
}

static void
make_world(struct world *w, struct arena *a)
{
	world_reset(w, a);
	for (uint32_t i = rnd(10); i > 0; i--)
		create(w, &w->base);
	w->local = w->base;
	w->remote = w->base;
	for (uint32_t i = rnd(6); i > 0; i--)
		mutate(w, &w->local);
	for (uint32_t i = rnd(6); i > 0; i--)
		mutate(w, &w->remote);
	if (rnd(20) == 0)
		w->base.n = 0; /* the state was lost: a first sync of two trees */
	w->ignores = name_count != PLAIN;
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);
	uint64_t v;

	return s && parse_u64(s, strlen(s), UINT64_MAX, &v) ? v : otherwise;
}

static void
run_trials(uint64_t usual)
{
	uint64_t trials = setting("DRAY_TRIALS", usual), seed = setting("DRAY_SEED", 1);
	struct arena *a = arena_new(64 * MIB);
	struct world *w = xcalloc(1, sizeof *w);
	size_t acts[ACT_SKIP + 1] = { 0 };
	size_t rounds[8] = { 0 };
	size_t kept = 0;

	for (uint64_t i = 0; i < trials; i++) {
		/* Each trial has its own seed, so that one can be run alone: DRAY_SEED=… DRAY_TRIALS=1. */
		rng_state = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) + 1;
		make_world(w, a);
		rounds[world_settle(w)]++;
		for (size_t k = 0; k < ARRAY_LEN(acts); k++)
			acts[k] += w->acts[k];
		kept += w->kept;
	}
	print_message("rounds: 0 %zu, 1 %zu, 2 %zu, 3 %zu, 4 %zu\n", rounds[0], rounds[1], rounds[2], rounds[3], rounds[4]);
	/* A property that is never exercised proves nothing. */
	for (size_t k = 0; k < ACT_SKIP; k++) {
		print_message("act %zu: %zu\n", k, acts[k]);
		if (trials >= 10000)
			assert_true(acts[k] > trials / 1000);
	}
	if (name_count != PLAIN && trials >= 10000)
		assert_true(kept > trials / 1000 && acts[ACT_SKIP] > trials / 1000);
	free(w);
	arena_free(a);
}

static void
test_random(void **state)
{
	(void)state;
	name_count = PLAIN;
	run_trials(250000);
}

/* The same with names that are ignored here, and rules: they stay as they are on both sides, and all else converges as ever. */
static void
test_random_with_ignored(void **state)
{
	(void)state;
	name_count = ARRAY_LEN(names);
	run_trials(100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random), cmocka_unit_test(test_random_with_ignored) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
