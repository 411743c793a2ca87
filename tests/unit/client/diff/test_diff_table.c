/* The planner's rules one by one, by the names that docs/protocol/planner.md gives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

struct fix {
	struct arena *a;
	struct world *w;
};

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof *f);

	f->a = arena_new(64 * MIB);
	f->w = xcalloc(1, sizeof *f->w);
	world_reset(f->w, f->a);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	free(f->w);
	arena_free(f->a);
	free(f);
	return 0;
}

/* An entry that all three sides agree on. */
static void
agreed(struct world *w, const char *path, enum entry_kind kind, unsigned content)
{
	struct entry e = world_entry(w, path, kind, content);

	side_put(&w->base, &e);
	side_put(&w->local, &e);
	side_put(&w->remote, &e);
}

static void
add(struct world *w, struct side *s, const char *path, enum entry_kind kind, unsigned content)
{
	struct entry e = world_entry(w, path, kind, content);

	side_put(s, &e);
}

static const char *
act_text(const struct plan_op *op)
{
	static const char *const names[] = { "adopt", "forget", "push", "delete-remote", "move-remote", "pull", "delete-local",
		"move-local", "conflict", "skip" };
	static char text[160];

	if (op->from)
		snprintf(text, sizeof text, "%s %s>%s", names[op->act], op->from, op->path);
	else
		snprintf(text, sizeof text, "%s %s", names[op->act], op->path);
	return text;
}

/* The plan is exactly ${want}, "push a, pull b"; and it settles. */
static void
expect(struct world *w, const char *want)
{
	char got[1024] = "";
	struct plan plan;

	w->base0 = w->base;
	w->local0 = w->local;
	w->remote0 = w->remote;
	world_plan(w, false, &plan);
	for (size_t i = 0; i < plan.n; i++) {
		size_t len = strlen(got);

		snprintf(got + len, sizeof got - len, "%s%s", i ? ", " : "", act_text(&plan.ops[i]));
	}
	assert_string_equal(got, want);
	world_settle(w);
}

/* ---- the table: one file "f" ------------------------------------------------------------------------------------------ */

enum state { SAME, META, EDIT, GONE, FRESH, ABSENT };

static void
bring(struct world *w, struct side *s, enum state st, unsigned content)
{
	switch (st) {
	case META:
		world_touch(w, side_at(s, "f"));
		break;
	case EDIT:
		world_edit(w, side_at(s, "f"), content);
		break;
	case GONE:
		side_remove(s, "f");
		break;
	case FRESH:
		add(w, s, "f", ENTRY_FILE, content);
		break;
	case SAME:
	case ABSENT:
		break;
	}
}

static const struct row {
	const char *name;
	enum state local, remote;
	bool same_content; /* both sides came to the same bytes */
	const char *want;
} rows[] = {
	{ "nothing changed", SAME, SAME, false, "" },
	{ "touched there", SAME, META, false, "pull f" },
	{ "edited there", SAME, EDIT, false, "pull f" },
	{ "deleted there", SAME, GONE, false, "delete-local f" },
	{ "touched here", META, SAME, false, "push f" },
	{ "touched on both sides", META, META, false, "pull f" },
	{ "touched here, edited there", META, EDIT, false, "pull f" },
	{ "touched here, deleted there", META, GONE, false, "delete-local f" },
	{ "edited here", EDIT, SAME, false, "push f" },
	{ "edited here, touched there", EDIT, META, false, "push f" },
	{ "edited on both sides", EDIT, EDIT, false, "conflict f" },
	{ "edited alike on both sides", EDIT, EDIT, true, "pull f" },
	{ "edited here, deleted there", EDIT, GONE, false, "push f" },
	{ "deleted here", GONE, SAME, false, "delete-remote f" },
	{ "deleted here, touched there", GONE, META, false, "delete-remote f" },
	{ "deleted here, edited there", GONE, EDIT, false, "pull f" },
	{ "deleted on both sides", GONE, GONE, false, "forget f" },
	{ "new here", FRESH, ABSENT, false, "push f" },
	{ "new there", ABSENT, FRESH, false, "pull f" },
	{ "new on both sides", FRESH, FRESH, false, "conflict f" },
	{ "new alike on both sides", FRESH, FRESH, true, "pull f" },
};

static void
test_table(void **state)
{
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		print_message("  %s\n", r->name);
		world_reset(f->w, f->a);
		if (r->local < FRESH && r->remote < FRESH)
			agreed(f->w, "f", ENTRY_FILE, 0);
		bring(f->w, &f->w->local, r->local, 1);
		bring(f->w, &f->w->remote, r->remote, r->same_content ? 1 : 4);
		expect(f->w, r->want);
	}
}

static void
test_equal_on_both_sides_is_adopted(void **state)
{
	struct world *w = ((struct fix *)*state)->w;
	struct entry e = world_entry(w, "f", ENTRY_FILE, 1);

	side_put(&w->local, &e);
	side_put(&w->remote, &e);
	expect(w, "adopt f");
}

/* Deleted and made again on the server: a deletion here was meant for the old one. */
static void
test_recreated_file_is_not_deleted(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "f", ENTRY_FILE, 0);
	side_remove(&w->local, "f");
	add(w, &w->remote, "f", ENTRY_FILE, 0);
	expect(w, "pull f");
}

/* ---- directories ------------------------------------------------------------------------------------------------------ */

static void
test_directories_merge(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	add(w, &w->local, "d", ENTRY_DIR, 0);
	add(w, &w->local, "d/x", ENTRY_FILE, 1);
	add(w, &w->remote, "d", ENTRY_DIR, 0);
	add(w, &w->remote, "d/y", ENTRY_FILE, 2);
	expect(w, "pull d, push d/x, pull d/y");
}

static void
test_new_child_keeps_directory_deleted_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/e", ENTRY_DIR, 0);
	agreed(w, "d/e/old", ENTRY_FILE, 0);
	world_remove_tree(&w->remote, "d");
	add(w, &w->local, "d/e/new", ENTRY_FILE, 1);
	expect(w, "push d, push d/e, delete-local d/e/old, push d/e/new");
}

static void
test_new_child_keeps_directory_deleted_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/old", ENTRY_FILE, 0);
	world_remove_tree(&w->local, "d");
	add(w, &w->remote, "d/new", ENTRY_FILE, 1);
	expect(w, "pull d, delete-remote d/old, pull d/new");
}

static void
test_deletes_bottom_up(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/e", ENTRY_DIR, 0);
	agreed(w, "d/e/f", ENTRY_FILE, 0);
	agreed(w, "d/g", ENTRY_FILE, 1);
	world_remove_tree(&w->remote, "d");
	expect(w, "delete-local d/e/f, delete-local d/g, delete-local d/e, delete-local d");
}

static void
test_file_replaces_directory_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/x", ENTRY_FILE, 0);
	world_remove_tree(&w->remote, "d");
	add(w, &w->remote, "d", ENTRY_FILE, 1);
	expect(w, "delete-local d/x, pull d");
}

static void
test_directory_in_use_goes_aside(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/x", ENTRY_FILE, 0);
	world_remove_tree(&w->remote, "d");
	add(w, &w->remote, "d", ENTRY_FILE, 1);
	add(w, &w->local, "d/mine", ENTRY_FILE, 2);
	expect(w, "delete-local d/x, conflict d");
	assert_int_equal(w->copies, 1);
	assert_non_null(side_at(&w->remote, "d~1/mine"));
	assert_null(side_at(&w->remote, "d~1/x"));
}

static void
test_local_file_against_remote_directory(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	add(w, &w->local, "d", ENTRY_FILE, 1);
	add(w, &w->remote, "d", ENTRY_DIR, 0);
	add(w, &w->remote, "d/x", ENTRY_FILE, 2);
	expect(w, "conflict d, pull d/x");
	assert_int_equal(side_at(&w->local, "d")->kind, ENTRY_DIR);
	assert_int_equal(side_at(&w->remote, "d~1")->kind, ENTRY_FILE);
}

static void
test_directory_replaces_file_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_FILE, 0);
	side_remove(&w->local, "d");
	add(w, &w->local, "d", ENTRY_DIR, 0);
	add(w, &w->local, "d/x", ENTRY_FILE, 1);
	expect(w, "push d, push d/x");
}

/* ---- renames ---------------------------------------------------------------------------------------------------------- */

static void
test_rename_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "p", "q");
	expect(w, "move-local p>q");
}

static void
test_rename_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->local, "p", "q");
	expect(w, "move-remote p>q");
}

static void
test_rename_on_both_sides_server_wins(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->local, "p", "mine");
	world_rename(w, &w->remote, "p", "theirs");
	expect(w, "move-local mine>theirs");
	assert_int_equal(w->local.n, 1);
}

static void
test_same_rename_on_both_sides(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->local, "p", "q");
	world_rename(w, &w->remote, "p", "q");
	expect(w, "adopt q");
}

static void
test_rename_there_edited_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "p", "q");
	world_edit(w, side_at(&w->local, "p"), 1);
	expect(w, "move-local p>q");
	assert_int_equal(w->remote.n, 1);
	assert_int_equal(w->acts[ACT_PUSH], 1);
}

static void
test_rename_there_onto_a_taken_name(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "p", "q");
	add(w, &w->local, "q", ENTRY_FILE, 1);
	expect(w, "conflict q, delete-local p");
}

static void
test_rename_here_edited_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->local, "p", "q");
	world_edit(w, side_at(&w->remote, "p"), 1);
	expect(w, "pull p, push q");
}

static void
test_chain_of_renames(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	agreed(w, "b", ENTRY_FILE, 1);
	agreed(w, "c", ENTRY_FILE, 4);
	world_rename(w, &w->remote, "c", "d");
	world_rename(w, &w->remote, "b", "c");
	world_rename(w, &w->remote, "a", "b");
	expect(w, "move-local c>d, move-local b>c, move-local a>b");
}

static void
test_swap_falls_back_to_content(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	agreed(w, "b", ENTRY_FILE, 1);
	world_rename(w, &w->remote, "a", "t");
	world_rename(w, &w->remote, "b", "a");
	world_rename(w, &w->remote, "t", "b");
	expect(w, "pull a, pull b");
}

/* A long chain in the worst order must not need a deep stack. */
static void
test_long_chain(void **state)
{
	enum { LINKS = 200000 };
	struct arena *a = arena_new(1 * GIB);
	struct diff_item *items = arena_must(a, (LINKS + 1) * sizeof *items);
	struct entry *e = arena_must(a, (LINKS + 1) * sizeof *e);
	struct plan plan;

	(void)state;
	for (size_t i = 0; i <= LINKS; i++) {
		struct entry *base = &e[i], *remote = arena_must(a, sizeof *remote);
		const char *path = arena_printf(a, "%06zu", i);

		*base = (struct entry){ .path = path, .content_known = true, .target = "", .ino = i + 1, .ctime_ns = 1, .version = 1 };
		put_u64le(base->id.b, i + 1);
		if (i > 0) { /* what was one name before */
			*remote = e[i - 1];
			remote->path = path;
			remote->version = 2;
		}
		items[i] = (struct diff_item){ .path = path, .base = i < LINKS ? base : NULL, .local = i < LINKS ? base : NULL,
			.remote = i > 0 ? remote : NULL };
	}
	diff_plan(items, LINKS + 1, a, &plan);
	assert_int_equal(plan.n, LINKS);
	assert_int_equal(plan.ops[0].act, ACT_MOVE_LOCAL);
	assert_string_equal(plan.ops[0].path, "200000");
	assert_string_equal(plan.ops[LINKS - 1].from, "000000");
	arena_free(a);
}

static void
test_renamed_directory_moves_its_files(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/x", ENTRY_FILE, 0);
	agreed(w, "d/y", ENTRY_FILE, 1);
	world_rename(w, &w->remote, "d", "e");
	expect(w, "pull e, move-local d/x>e/x, move-local d/y>e/y, delete-local d");
}

static void
test_edited_on_both_sides_and_renamed_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "p", "q");
	world_edit(w, side_at(&w->remote, "q"), 1);
	world_edit(w, side_at(&w->local, "p"), 4);
	expect(w, "move-local p>q");
	assert_int_equal(w->acts[ACT_CONFLICT], 1);
	assert_int_equal(w->remote.n, 2);
}

/* The file that moves out of it goes aside with its directory first, so that directory is not empty and must not be deleted. */
static void
test_rename_out_of_a_directory_that_goes_aside(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/e", ENTRY_DIR, 0);
	agreed(w, "d/e/x", ENTRY_FILE, 1);
	add(w, &w->local, "d/mine", ENTRY_FILE, 2);
	world_rename(w, &w->remote, "d", "n");
	add(w, &w->remote, "d", ENTRY_FILE, 4);
	expect(w, "conflict d, pull n, pull n/e");
	assert_int_equal(w->acts[ACT_MOVE_LOCAL], 1);
	assert_non_null(side_at(&w->remote, "n/e/x"));
	assert_non_null(side_at(&w->remote, "d~1/mine"));
}

/* The inode of a deleted file goes to the next new file, which is another. */
static void
test_reused_inode_is_not_a_rename(void **state)
{
	struct world *w = ((struct fix *)*state)->w;
	uint64_t ino;

	agreed(w, "p", ENTRY_FILE, 0);
	ino = side_at(&w->local, "p")->ino;
	side_remove(&w->local, "p");
	add(w, &w->local, "q", ENTRY_FILE, 0);
	side_at(&w->local, "q")->ino = ino;
	expect(w, "delete-remote p, push q");
}

/* ---- one name takes another's place ------------------------------------------------------------------------------------ */

/* mv p q, where q was: q's name is not free for a rename, so p is deleted, and q has got new content. */
static void
test_rename_onto_another_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	agreed(w, "q", ENTRY_FILE, 1);
	side_remove(&w->local, "q");
	world_rename(w, &w->local, "p", "q");
	expect(w, "delete-remote p, push q");
	assert_int_equal(w->remote.n, 1);
}

static void
test_rename_onto_another_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	agreed(w, "q", ENTRY_FILE, 1);
	side_remove(&w->remote, "q");
	world_rename(w, &w->remote, "p", "q");
	expect(w, "delete-local p, pull q");
	assert_int_equal(w->local.n, 1);
}

/* p to x here, q to x there: two files under one name, as if both were new. */
static void
test_two_renames_to_one_name(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	agreed(w, "q", ENTRY_FILE, 1);
	world_rename(w, &w->local, "p", "x");
	world_rename(w, &w->remote, "q", "x");
	expect(w, "conflict x, delete-local q, delete-remote p");
	assert_int_equal(w->copies, 1);
}

/* Renamed and edited before anyone looked: its old name deleted, its new one sent. */
static void
test_renamed_and_edited_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->local, "p", "q");
	world_edit(w, side_at(&w->local, "q"), 1);
	expect(w, "delete-remote p, push q");
}

static void
test_renamed_and_edited_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "p", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "p", "q");
	world_edit(w, side_at(&w->remote, "q"), 1);
	expect(w, "move-local p>q");
	assert_int_equal(w->acts[ACT_PULL], 1);
}

static void
test_swap_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	agreed(w, "b", ENTRY_FILE, 1);
	world_rename(w, &w->local, "a", "t");
	world_rename(w, &w->local, "b", "a");
	world_rename(w, &w->local, "t", "b");
	expect(w, "push a, push b");
}

static void
test_cycle_of_three(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	agreed(w, "b", ENTRY_FILE, 1);
	agreed(w, "c", ENTRY_FILE, 4);
	world_rename(w, &w->remote, "a", "t");
	world_rename(w, &w->remote, "c", "a");
	world_rename(w, &w->remote, "b", "c");
	world_rename(w, &w->remote, "t", "b");
	expect(w, "pull a, pull b, pull c");
}

/* a into b here, b into a there: what Kleppmann's paper calls the cycle.  Directories are names only, so there is none. */
static void
test_directories_moved_into_each_other(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_DIR, 0);
	agreed(w, "a/x", ENTRY_FILE, 0);
	agreed(w, "b", ENTRY_DIR, 0);
	agreed(w, "b/y", ENTRY_FILE, 1);
	world_rename(w, &w->local, "a", "b/a");
	world_rename(w, &w->remote, "b", "a/b");
	expect(w, "pull a, push b, pull a/b, push b/a, move-remote a/x>b/a/x, move-local b/y>a/b/y");
	assert_non_null(side_at(&w->remote, "b/a/x"));
	assert_non_null(side_at(&w->local, "a/b/y"));
}

/* Names are bytes: A and a are two, and from one to the other is a rename like any. */
static void
test_case_only_rename(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	world_rename(w, &w->local, "a", "A");
	expect(w, "move-remote a>A");
}

static void
test_case_only_rename_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "a", ENTRY_FILE, 0);
	world_rename(w, &w->remote, "a", "A");
	expect(w, "move-local a>A");
}

/* ---- one kind takes another's place -------------------------------------------------------------------------------------- */

static void
test_link_replaces_file(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "f", ENTRY_FILE, 0);
	add(w, &w->local, "f", ENTRY_LINK, 1);
	expect(w, "push f");
}

static void
test_link_replaces_file_there_edited_here(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "f", ENTRY_FILE, 0);
	world_edit(w, side_at(&w->local, "f"), 1);
	add(w, &w->remote, "f", ENTRY_LINK, 4);
	expect(w, "conflict f");
	assert_int_equal(w->copies, 1);
}

static void
test_link_replaces_directory_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_DIR, 0);
	agreed(w, "d/x", ENTRY_FILE, 0);
	world_remove_tree(&w->remote, "d");
	add(w, &w->remote, "d", ENTRY_LINK, 1);
	expect(w, "delete-local d/x, pull d");
}

/* A directory took the place of a file that was edited elsewhere: the edit goes aside, both stay. */
static void
test_directory_replaces_file_edited_there(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	agreed(w, "d", ENTRY_FILE, 0);
	world_edit(w, side_at(&w->remote, "d"), 1);
	side_remove(&w->local, "d");
	add(w, &w->local, "d", ENTRY_DIR, 0);
	add(w, &w->local, "d/x", ENTRY_FILE, 4);
	expect(w, "conflict d");
	assert_non_null(side_at(&w->remote, "d~1/x"));
}

/* A directory may have the name of a file of rules.  It is no such file, and what is in it is sent. */
static void
test_directory_with_the_name_of_rules(void **state)
{
	struct world *w = ((struct fix *)*state)->w;

	w->ignores = true;
	agreed(w, "a", ENTRY_DIR, 0);
	side_remove(&w->remote, "a");
	add(w, &w->local, "a/i", ENTRY_FILE, 0);
	add(w, &w->local, "a/r", ENTRY_DIR, 0);
	add(w, &w->local, "a/r/x", ENTRY_FILE, 1);
	expect(w, "push a, push a/r, push a/r/x");
}

/* ---- what cannot be here ---------------------------------------------------------------------------------------------- */

static void
test_bad_names_are_skipped(void **state)
{
	static const char *const bad[] = { "../x", "a/../b", ".dray", "a/.dray/state.db", "/etc/passwd", "a//b", "bad\xff" };
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct entry e;
		struct diff_item it = { .path = bad[i], .remote = &e };
		struct plan plan;

		world_reset(f->w, f->a);
		e = world_entry(f->w, bad[i], ENTRY_FILE, 1);
		diff_plan(&it, 1, f->a, &plan);
		assert_int_equal(plan.n, 1);
		assert_int_equal(plan.ops[0].act, ACT_SKIP);
		assert_int_equal(plan.skipped, 1);
	}
}

static void
test_needs_content(void **state)
{
	struct world *w = ((struct fix *)*state)->w;
	struct entry base = world_entry(w, "f", ENTRY_FILE, 1), local = base, remote = base;
	struct diff_item it = { .path = "f", .base = &base, .local = &local, .remote = &remote };

	local.content_known = false;
	assert_false(diff_needs_content(&it, false)); /* untouched */
	local.ctime_ns++;
	assert_true(diff_needs_content(&it, false)); /* touched, of the same size */
	assert_false(diff_needs_content(&it, true)); /* who sends it will see */
	local.size++;
	assert_false(diff_needs_content(&it, false)); /* edited for certain, and the server's is as it was */
	world_edit(w, &remote, 4);
	remote.size = local.size;
	assert_true(diff_needs_content(&it, true)); /* edited on both sides to the same size */
	assert_true(diff_needs_content(&it, false));
	remote.size++;
	assert_false(diff_needs_content(&it, false));
	it.base = NULL;
	it.remote = NULL;
	assert_false(diff_needs_content(&it, false)); /* new here only */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_table), T(test_equal_on_both_sides_is_adopted), T(test_recreated_file_is_not_deleted),
		T(test_directories_merge), T(test_new_child_keeps_directory_deleted_there),
		T(test_new_child_keeps_directory_deleted_here), T(test_deletes_bottom_up), T(test_file_replaces_directory_there),
		T(test_directory_in_use_goes_aside), T(test_local_file_against_remote_directory), T(test_directory_replaces_file_here),
		T(test_rename_there), T(test_rename_here), T(test_rename_on_both_sides_server_wins), T(test_same_rename_on_both_sides),
		T(test_rename_there_edited_here), T(test_rename_there_onto_a_taken_name), T(test_rename_here_edited_there),
		T(test_chain_of_renames), T(test_swap_falls_back_to_content), T(test_long_chain), T(test_renamed_directory_moves_its_files),
		T(test_edited_on_both_sides_and_renamed_there), T(test_rename_out_of_a_directory_that_goes_aside),
		T(test_reused_inode_is_not_a_rename),
		T(test_rename_onto_another_here),
		T(test_rename_onto_another_there),
		T(test_two_renames_to_one_name),
		T(test_renamed_and_edited_here),
		T(test_renamed_and_edited_there),
		T(test_swap_here),
		T(test_cycle_of_three),
		T(test_directories_moved_into_each_other),
		T(test_case_only_rename),
		T(test_case_only_rename_there),
		T(test_link_replaces_file),
		T(test_link_replaces_file_there_edited_here),
		T(test_link_replaces_directory_there),
		T(test_directory_replaces_file_edited_there),
		T(test_directory_with_the_name_of_rules),
		T(test_bad_names_are_skipped), T(test_needs_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
