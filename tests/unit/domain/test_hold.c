/* How much a device may delete within an hour, on both sides of each limit. */
#include "rig.h"

#include "base/limits.h"
#include "server/domain/conflict.h"

#define HOUR MASS_DELETE_HOUR_US
#define MINUTE (MASS_DELETE_HOUR_US / 60)

/* ---- words ----------------------------------------------------------------------------------------------------------- */

static const char *
name_of(struct rig *r, const char *prefix, size_t i)
{
	return arena_printf(r->a, "%s%04zu", prefix, i);
}

/* ${n} empty directories, which count as any entry does, made by ${device}. */
static void
make(struct rig *r, const struct id *device, const char *prefix, size_t n)
{
	struct op *ops = arena_array(r->a, n, sizeof *ops);
	struct commit c = { .ops = ops, .n = n, .device = *device };

	for (size_t i = 0; i < n; i++)
		ops[i] = put_dir(name_of(r, prefix, i));
	assert_ok(r, commit_apply(r->d, &r->project, &c, NULL, r->a, &r->err));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(c.results[i].code, ERR_OK);
}

/* A commit that deletes ${n} of them from number ${from} on; how many it was allowed to. */
static size_t
delete_as(struct rig *r, const struct id *device, const char *prefix, size_t from, size_t n, bool meant)
{
	struct op *ops = arena_array(r->a, n, sizeof *ops);
	struct commit c = { .ops = ops, .n = n, .device = *device, .allow_mass_delete = meant };
	size_t gone = 0;

	for (size_t i = 0; i < n; i++)
		ops[i] = del_at(r, name_of(r, prefix, from + i));
	assert_ok(r, commit_apply(r->d, &r->project, &c, NULL, r->a, &r->err));
	for (size_t i = 0; i < n; i++) {
		bool ok = c.results[i].code == ERR_OK;

		assert_true(ok || c.results[i].code == ERR_MASS_DELETE_HELD);
		assert_int_equal(rig_there(r, name_of(r, prefix, from + i)), !ok); /* what is held is as it was */
		gone += ok;
	}
	rig_assert_sums(r);
	return gone;
}

static size_t
delete_some(struct rig *r, const char *prefix, size_t from, size_t n)
{
	return delete_as(r, &r->device.id, prefix, from, n, false);
}

static struct delete_hour
hour_of(struct rig *r, const struct id *device)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct delete_hour h;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_delete_hour_get(tx, &r->project, device, &h, &r->err));
	return h;
}

/* As if all that the device has deleted had been ${us} earlier. */
static void
time_passes(struct rig *r, int64_t us)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct delete_hour h = hour_of(r, &r->device.id);

	h.began_at -= us;
	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	assert_ok(r, meta_delete_hour_put(tx, &r->project, &r->device.id, &h, &r->err));
	assert_ok(r, meta_commit(&tx, &r->err));
}

/* ---- the limits -------------------------------------------------------------------------------------------------------- */

static void
test_small_project(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 150);
	assert_int_equal(delete_some(r, "f", 0, 99), 99);
	assert_int_equal(delete_some(r, "f", 99, 1), 1); /* the 100th */
	assert_int_equal(delete_some(r, "f", 100, 1), 0);
	assert_int_equal(delete_some(r, "f", 100, 50), 0);
	assert_int_equal(hour_of(r, &r->device.id).deleted, 100);
}

/* A quarter of 1,000 is measured by what there was when the hour began, in one commit or in several. */
static void
test_large_project(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 1000);
	assert_int_equal(delete_some(r, "f", 0, 10), 10);
	assert_int_equal(delete_some(r, "f", 10, 300), 240);
	assert_int_equal(delete_some(r, "f", 900, 1), 0);
	assert_int_equal(hour_of(r, &r->device.id).entries, 1000);
}

/* A quarter of 403 is 100.75 and so 100; of 404 it is 101. */
static void
test_between(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 403);
	assert_int_equal(delete_some(r, "f", 0, 102), 100);
	make(r, &r->owner.id, "g", 101);
	time_passes(r, HOUR); /* 404 are left */
	assert_int_equal(delete_some(r, "f", 200, 102), 101);
}

static void
test_hour(void **state)
{
	struct rig *r = *state;
	struct delete_hour h;

	make(r, &r->owner.id, "f", 400);
	assert_int_equal(delete_some(r, "f", 0, 60), 60);
	time_passes(r, HOUR - MINUTE);
	assert_int_equal(delete_some(r, "f", 60, 60), 40); /* still the same one */
	time_passes(r, MINUTE);
	assert_int_equal(delete_some(r, "f", 110, 101), 100); /* the next one, and all of it */
	h = hour_of(r, &r->device.id);
	assert_int_equal(h.deleted, 100);
	assert_int_equal(h.entries, 300);
	assert_true(h.held_at > 0);
	time_passes(r, -2 * HOUR); /* the clock was set back: that is no hour of three */
	assert_int_equal(delete_some(r, "f", 300, 10), 10);
	assert_int_equal(hour_of(r, &r->device.id).held_at, 0);
}

/* ---- who, and where ---------------------------------------------------------------------------------------------------- */

static void
test_each_device(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 300);
	assert_int_equal(delete_some(r, "f", 0, 101), 100);
	assert_int_equal(delete_as(r, &r->owner.id, "f", 100, 101, false), 100); /* an owner has one of its own, and is not exempt */
}

/* Meant: none is held, and the hour's allowance is as it was. */
static void
test_meant(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 600);
	assert_int_equal(delete_as(r, &r->device.id, "f", 0, 300, true), 300);
	assert_int_equal(hour_of(r, &r->device.id).began_at, 0);
	assert_int_equal(delete_some(r, "f", 300, 100), 100);
	assert_int_equal(delete_some(r, "f", 400, 1), 0);
	assert_int_equal(delete_as(r, &r->device.id, "f", 400, 150, true), 150);
	assert_int_equal(delete_some(r, "f", 550, 1), 0);
	assert_int_equal(hour_of(r, &r->device.id).deleted, 100);
}

/* A day's work at a build: what a device itself has made since its hour began was never part of what is guarded. */
static void
test_own(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 200);
	assert_int_equal(delete_some(r, "f", 0, 100), 100);
	make(r, &r->device.id, "o", 150);
	assert_int_equal(delete_some(r, "o", 0, 150), 150);
	make(r, &r->owner.id, "p", 3); /* somebody else's is guarded, however new; also when it has been changed since */
	rig_do(r, on(put_dir("p0000"), rig_at(r, "p0000").version));
	assert_int_equal(delete_some(r, "p", 0, 3), 0);
	make(r, &r->device.id, "q", 10);
	time_passes(r, HOUR);
	assert_int_equal(delete_some(r, "q", 0, 5), 5); /* of the last hour: as old as anything */
	assert_int_equal(hour_of(r, &r->device.id).deleted, 5);
}

/* ---- what counts -------------------------------------------------------------------------------------------------------- */

static void
use_up(struct rig *r)
{
	make(r, &r->owner.id, "u", 100);
	assert_int_equal(delete_some(r, "u", 0, 100), 100);
}

/* Where a directory comes or goes an entry is lost with all it held; a link in the place of a file, new contents and a move lose nothing more. */
static void
test_replacements(void **state)
{
	struct rig *r = *state;
	struct op_result got;
	struct file f;

	rig_do(r, put_text(r, "file", "x"));
	rig_do(r, put_text(r, "other", "y"));
	rig_do(r, put_dir("dir"));
	rig_do(r, put_dir("full"));
	rig_do(r, put_text(r, "full/a", "z"));
	use_up(r);
	f = rig_at(r, "file");
	got = rig_one(r, on(put_dir("file"), f.version));
	assert_int_equal(got.code, ERR_MASS_DELETE_HELD);
	assert_false(got.has_current);
	assert_non_null(strstr(got.detail, "allow_mass_delete"));
	got = rig_one(r, on(put_text(r, "dir", "x"), rig_at(r, "dir").version));
	assert_int_equal(got.code, ERR_MASS_DELETE_HELD);
	got = rig_one(r, on(put_text(r, "full", "x"), rig_at(r, "full").version));
	assert_int_equal(got.code, ERR_NOT_EMPTY); /* what was wrong before still is */
	got = rig_one(r, on(put_dir("file"), f.version - 1));
	assert_int_equal(got.code, ERR_VERSION_CONFLICT);
	rig_assert_text(r, "file", "x");
	rig_do(r, on(put_text(r, "file", "new"), f.version));
	rig_do(r, on(put_link("other", "file"), rig_at(r, "other").version));
	rig_do(r, mv_at(r, "full", "moved"));
	rig_assert_sums(r);
}

/* The others of the commit are decided as if the held one had not been there. */
static void
test_beside_others(void **state)
{
	struct rig *r = *state;
	struct op ops[5];
	struct commit c;

	rig_do(r, put_text(r, "a", "a"));
	rig_do(r, put_text(r, "b", "b"));
	rig_do(r, put_dir("d"));
	rig_do(r, put_text(r, "d/e", "e"));
	use_up(r);
	ops[0] = del_at(r, "a");
	ops[1] = put_text(r, "new", "n");
	ops[2] = del_at(r, "d/e");
	ops[3] = del_at(r, "d");
	ops[4] = mv_at(r, "b", "c");
	c = rig_commit(r, ops, ARRAY_LEN(ops));
	assert_int_equal(c.results[0].code, ERR_MASS_DELETE_HELD);
	assert_int_equal(c.results[1].code, ERR_OK);
	assert_int_equal(c.results[2].code, ERR_MASS_DELETE_HELD);
	assert_int_equal(c.results[3].code, ERR_NOT_EMPTY);
	assert_int_equal(c.results[4].code, ERR_OK);
	assert_true(rig_there(r, "a") && rig_there(r, "d/e") && rig_there(r, "c") && rig_there(r, "new"));
}

/* What fails for another reason, or is gone already, uses nothing up. */
static void
test_failures_do_not_count(void **state)
{
	struct rig *r = *state;
	struct op gone;

	rig_do(r, put_dir("full"));
	rig_do(r, put_dir("full/a"));
	rig_do(r, put_dir("b"));
	gone = del_at(r, "b");
	rig_do(r, gone);
	for (int i = 0; i < 3; i++) {
		struct op stale = del_at(r, "full/a");

		rig_do(r, gone);
		stale.base--;
		assert_int_equal(rig_one(r, del_at(r, "full")).code, ERR_NOT_EMPTY);
		assert_int_equal(rig_one(r, stale).code, ERR_VERSION_CONFLICT);
	}
	assert_int_equal(hour_of(r, &r->device.id).deleted, 1);
	assert_int_equal(hour_of(r, &r->owner.id).began_at, 0);
}

static void
test_by_path(void **state)
{
	struct rig *r = *state;

	rig_do(r, put_text(r, "a", "a"));
	use_up(r);
	assert_code(r, ERR_MASS_DELETE_HELD, content_delete(r->d, &r->project, &r->device.id, "a", IF_ANY, 0, false, &r->err));
	assert_non_null(strstr(r->err.msg, "100 of the 101 entries"));
	rig_assert_text(r, "a", "a");
	assert_ok(r, content_delete(r->d, &r->project, &r->device.id, "a", IF_ANY, 0, true, &r->err));
	assert_false(rig_there(r, "a"));
}

/* People resolve conflicts one by one: that is no mass deletion, and counts as none. */
static void
test_conflicts(void **state)
{
	struct rig *r = *state;
	struct op copy = put_dir("copy");
	struct resolve w = { .keep = RESOLVED_CURRENT, .device = r->device.id };
	struct file f;

	rig_do(r, put_dir("f"));
	f = rig_at(r, "f");
	copy.has_conflict = true;
	copy.conflict_file = f.id;
	copy.conflict_version = w.version = f.version;
	rig_do(r, copy);
	use_up(r);
	w.copy = rig_at(r, "copy").id;
	w.copy_version = rig_at(r, "copy").version;
	assert_ok(r, conflict_resolve(r->d, &r->project, &w, NULL, r->a, &r->err));
	assert_false(rig_there(r, "copy"));
	assert_int_equal(hour_of(r, &r->device.id).deleted, 100);
}

/* A restart forgets nothing. */
static void
test_restart(void **state)
{
	struct rig *r = *state;

	make(r, &r->owner.id, "f", 120);
	assert_int_equal(delete_some(r, "f", 0, 90), 90);
	rig_restart(r);
	assert_int_equal(delete_some(r, "f", 90, 30), 10);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_small_project, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_large_project, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_between, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_hour, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_each_device, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_meant, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_own, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_replacements, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_beside_others, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_failures_do_not_count, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_by_path, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_restart, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
