/* How long deletions are told: by the slowest live checkpoint, at least TOMBSTONE_LIFE_US; and what a cursor from before them is answered. */
#include "rig.h"

#include "server/domain/history.h"

#define DAY_US (24 * 3600 * INT64_C(1000000))
#define LATER (clock_wall_us() + TOMBSTONE_LIFE_US + DAY_US)

static struct op_result
make_and_delete(struct rig *r, const char *path)
{
	rig_do(r, put_text(r, path, "x"));
	return rig_do(r, del_at(r, path));
}

static void
expire(struct rig *r, int64_t now_us)
{
	assert_ok(r, tombstones_expire(r->d, &r->project, now_us, &r->err));
}

static unsigned
tombstones(struct rig *r)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	int64_t since = 0;
	struct tree_page page;
	unsigned n = 0;

	do {
		assert_ok(r, tree_changes(r->d, &r->project, since, 1000, false, a, &page, &r->err));
		for (size_t i = 0; i < page.n; i++)
			n += page.files[i].deleted_at != 0;
		since = page.next;
	} while (page.has_more);
	return n;
}

static void
place(struct rig *r, const struct device *d, int64_t clock)
{
	struct project p = rig_project(r);

	assert_ok(r, checkpoint_put(r->d, &r->project, &d->id, &p.epoch, clock, &r->err));
}

static err_code
cursor_at(struct rig *r, int64_t clock)
{
	struct project p = rig_project(r);

	return cursor_check(&p, true, &p.epoch, clock, &r->err);
}

static void
the_young_stay(void **state)
{
	struct rig *r = *state;
	int64_t deleted = make_and_delete(r, "f").version;

	expire(r, deleted + TOMBSTONE_LIFE_US - 1);
	assert_int_equal(tombstones(r), 1);
	assert_int_equal(rig_project(r).horizon, 0);
	expire(r, deleted + TOMBSTONE_LIFE_US);
	assert_int_equal(tombstones(r), 0);
	assert_int_equal(rig_project(r).horizon, deleted);
	rig_assert_sums(r);
}

static void
they_wait_for_the_slowest(void **state)
{
	struct rig *r = *state;
	int64_t first = make_and_delete(r, "a").version, second = make_and_delete(r, "b").version;

	place(r, &r->device, first - 1);
	place(r, &r->owner, second);
	expire(r, LATER);
	assert_int_equal(tombstones(r), 2);
	place(r, &r->device, first);
	expire(r, LATER);
	assert_int_equal(tombstones(r), 1);
	assert_int_equal(rig_project(r).horizon, first);
	assert_ok(r, cursor_at(r, first)); /* the slowest is not refused for having been waited for */
	place(r, &r->device, second);
	expire(r, LATER);
	assert_int_equal(tombstones(r), 0);
	assert_ok(r, cursor_at(r, second));
	assert_code(r, ERR_CURSOR_EXPIRED, cursor_at(r, first));
	assert_ok(r, cursor_at(r, 0)); /* a beginner has nothing that could have to go */
}

static void
who_does_not_count(void **state)
{
	struct rig *r = *state;
	int64_t deleted = make_and_delete(r, "a").version;

	place(r, &r->device, deleted - 1);
	expire(r, LATER);
	assert_int_equal(tombstones(r), 1);
	assert_ok(r, device_revoke(r->d, &r->project, &r->device.id, &r->err));
	expire(r, LATER);
	assert_int_equal(tombstones(r), 0);
}

static void
away_for_a_year(void **state)
{
	struct rig *r = *state;
	int64_t deleted = make_and_delete(r, "a").version;

	place(r, &r->device, deleted - 1);
	expire(r, clock_wall_us() + DEVICE_AWAY_US - DAY_US);
	assert_int_equal(tombstones(r), 1);
	expire(r, clock_wall_us() + DEVICE_AWAY_US + DAY_US);
	assert_int_equal(tombstones(r), 0);
	assert_code(r, ERR_CURSOR_EXPIRED, cursor_at(r, deleted - 1));
}

/* Its history is kept after the tombstone, so the file is found, listed, and comes back. */
static void
the_deleted_can_be_restored(void **state)
{
	struct rig *r = *state;
	int64_t made = rig_do(r, put_text(r, "dir", "x")).version;
	struct op_result gone = rig_do(r, del_at(r, "dir"));
	struct kept_version *versions;
	struct tree_page page;
	struct op_result back;
	bool more;
	size_t n;

	expire(r, LATER);
	assert_int_equal(tombstones(r), 0);
	assert_ok(r, tree_at(r->d, &r->project, "dir", 10, r->a, &page, &r->err));
	assert_int_equal(page.n, 1);
	assert_true(id_eq(&page.files[0].id, &gone.file));
	assert_int_equal(page.files[0].deleted_at, gone.version);
	assert_ok(r, history_list(r->d, &r->project, &gone.file, INT64_MAX, 10, r->a, &versions, &n, &more, &r->err));
	assert_int_equal(n, 2);
	assert_true(rig_do(r, del(&page.files[0])).unchanged); /* a repetition after 90 days is still one */
	back = rig_do(r, restore(&page.files[0], made));
	assert_true(id_eq(&back.file, &gone.file));
	rig_assert_text(r, "dir", "x");
	rig_assert_sums(r);
	/* Deleted again it is a tombstone like any other. */
	rig_do(r, del_at(r, "dir"));
	assert_int_equal(tombstones(r), 1);
	assert_ok(r, tree_at(r->d, &r->project, "dir", 10, r->a, &page, &r->err));
	assert_int_equal(page.n, 1);
}

/* More than one transaction's worth, and what is young among them stays. */
static void
many(void **state)
{
	struct rig *r = *state;
	struct op ops[1300];
	struct commit c = { .ops = ops, .n = ARRAY_LEN(ops), .device = r->device.id, .allow_mass_delete = true };
	int64_t now, last;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		ops[i] = put_dir(arena_printf(r->a, "d%04zu", i));
	rig_commit(r, ops, ARRAY_LEN(ops));
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		ops[i] = del_at(r, arena_printf(r->a, "d%04zu", i));
	assert_ok(r, commit_apply(r->d, &r->project, &c, NULL, r->a, &r->err));
	last = c.results[1199].version;
	now = last + TOMBSTONE_LIFE_US;
	expire(r, now);
	assert_int_equal(tombstones(r), 100);
	assert_int_equal(rig_project(r).horizon, last);
	expire(r, now);
	assert_int_equal(tombstones(r), 100);
	assert_ok(r, domain_expire(r->d, &r->err)); /* now is not later: nothing is due */
	assert_int_equal(tombstones(r), 100);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(the_young_stay), T(they_wait_for_the_slowest), T(who_does_not_count), T(away_for_a_year),
		T(the_deleted_can_be_restored), T(many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
