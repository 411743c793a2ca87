/* Listings, directories, the change feed, cursors, block lists. */
#include "rig.h"

static void
pages_of_a_listing(void **state)
{
	struct rig *r = *state;
	struct tree_page page;
	int64_t after = 0;
	size_t n = 0;

	for (int i = 0; i < 25; i++)
		rig_do(r, put_text(r, arena_printf(r->a, "f%d", i), "x"));
	rig_do(r, del_at(r, "f3"));
	do {
		assert_ok(r, tree_list(r->d, &r->project, after, 8, false, r->a, &page, &r->err));
		n += page.n;
		if (page.has_more)
			assert_int_equal(page.next, page.files[page.n - 1].version);
		after = page.next;
	} while (page.has_more);
	assert_int_equal(n, 24);
	assert_int_equal(page.next, rig_project(r).clock);
	assert_code(r, ERR_FIELD_RANGE, tree_list(r->d, &r->project, 0, 0, false, r->a, &page, &r->err));
	assert_code(r, ERR_FIELD_RANGE, tree_list(r->d, &r->project, 0, PAGE_LIMIT_MAX + 1, false, r->a, &page, &r->err));
	assert_code(r, ERR_NOT_FOUND, tree_list(r->d, &(struct id){ 0 }, 0, 1, false, r->a, &page, &r->err));
	assert_ok(r, tree_list(r->d, &r->project, 0, 24, false, r->a, &page, &r->err));
	assert_false(page.has_more);
}

static void
extents_of_small_files(void **state)
{
	struct rig *r = *state;
	AUTO(freep) uint8_t *p = bytes_new(4 * MIB + 1, 9);
	struct content_put put = { .path = "big", .device = r->device.id, .size = 4 * MIB + 1 };
	struct content_in *c;
	struct tree_page page;
	struct file f;
	bool created;

	rig_do(r, put_text(r, "small", "x"));
	rig_do(r, put_dir("dir"));
	assert_ok(r, content_in_open(r->d, &r->project, &put, &c, &r->err));
	assert_ok(r, content_in_feed(c, p, 4 * MIB + 1, &r->err));
	assert_ok(r, content_in_finish(c, r->a, &f, &created, &r->err));
	content_in_free(c);
	rig_do(r, put_text(r, "gone", "x"));
	rig_do(r, del_at(r, "gone"));
	assert_ok(r, tree_changes(r->d, &r->project, 0, 10, true, r->a, &page, &r->err));
	assert_int_equal(page.n, 4);
	assert_int_equal(page.lists[0].block_count, 1);
	assert_int_equal(page.lists[0].extents[0].count, 1);
	assert_int_equal(page.lists[1].block_count, 0); /* a directory */
	assert_int_equal(page.lists[2].block_count, 0); /* more than a page */
	assert_int_equal(page.lists[3].block_count, 0); /* a tombstone */
	assert_ok(r, tree_changes(r->d, &r->project, 0, 10, false, r->a, &page, &r->err));
	assert_null(page.lists);
}

static void
pages_of_a_block_list(void **state)
{
	struct rig *r = *state;
	size_t size = 65 * BLOCK_LEN_MAX;
	AUTO(freep) uint8_t *p = bytes_new(size, 9);
	struct content_put put = { .path = "f", .device = r->device.id, .size = (int64_t)size };
	struct content_in *c;
	struct blocklist l;
	struct file f;
	bool flag;

	assert_ok(r, content_in_open(r->d, &r->project, &put, &c, &r->err));
	assert_ok(r, content_in_feed(c, p, size, &r->err));
	assert_ok(r, content_in_finish(c, r->a, &f, &flag, &r->err));
	content_in_free(c);
	assert_ok(r, tree_blocks(r->d, &r->project, &f.id, 0, 0, 64, r->a, &l, &f, &flag, &r->err));
	assert_int_equal(l.block_count, 64);
	assert_true(flag);
	assert_ok(r, tree_blocks(r->d, &r->project, &f.id, 0, 64, 64, r->a, &l, &f, &flag, &r->err));
	assert_int_equal(l.block_count, 1);
	assert_false(flag);
	assert_ok(r, tree_blocks(r->d, &r->project, &f.id, 0, 128, 64, r->a, &l, &f, &flag, &r->err));
	assert_int_equal(l.block_count, 0);
	assert_false(flag);
	assert_ok(r, tree_blocks(r->d, &r->project, &f.id, 0, 0, 128, r->a, &l, &f, &flag, &r->err));
	assert_int_equal(l.block_count, 65);
	assert_false(flag);
	for (uint32_t count = 0; count < 4096; count += 1 + 63 * (count >= 2048)) /* anything but the multiples of 64 up to 2,048 */
		if (count == 0 || count % 64 || count > 2048)
			assert_code(r, ERR_FIELD_RANGE, tree_blocks(r->d, &r->project, &f.id, 0, 0, count, r->a, &l, &f, &flag, &r->err));
	assert_code(r, ERR_FIELD_RANGE, tree_blocks(r->d, &r->project, &f.id, 0, 1, 64, r->a, &l, &f, &flag, &r->err));
	assert_code(r, ERR_FIELD_RANGE,
	    tree_blocks(r->d, &r->project, &f.id, 0, UINT64_MAX - 63, 64, r->a, &l, &f, &flag, &r->err));
	assert_code(r, ERR_NOT_FOUND, tree_blocks(r->d, &r->project, &r->device.id, 0, 0, 64, r->a, &l, &f, &flag, &r->err));
	rig_do(r, put_dir("d"));
	f = rig_at(r, "d");
	assert_ok(r, tree_blocks(r->d, &r->project, &f.id, 0, 0, 64, r->a, &l, &f, &flag, &r->err));
	assert_int_equal(l.block_count, 0);
}

static void
one_file(void **state)
{
	struct rig *r = *state;
	struct file f, g;

	rig_do(r, put_text(r, "f", "x"));
	f = rig_at(r, "f");
	assert_ok(r, tree_file(r->d, &r->project, &f.id, r->a, &g, &r->err));
	assert_string_equal(g.name, "f");
	assert_code(r, ERR_NOT_FOUND, tree_file(r->d, &(struct id){ 0 }, &f.id, r->a, &g, &r->err));
	assert_code(r, ERR_PATH_INVALID, tree_file_at(r->d, &r->project, "", r->a, &g, &r->err));
	rig_do(r, del(&f));
	assert_code(r, ERR_NOT_FOUND, tree_file(r->d, &r->project, &f.id, r->a, &g, &r->err));
	assert_code(r, ERR_NOT_FOUND, tree_file_at(r->d, &r->project, "f", r->a, &g, &r->err));
}

static void
cursors(void **state)
{
	struct rig *r = *state;
	struct project p = { .epoch = id_new(), .clock = 1000, .horizon = 500 };
	struct id other = id_new();

	assert_ok(r, cursor_check(&p, true, &p.epoch, 1000, &r->err));
	assert_ok(r, cursor_check(&p, true, &p.epoch, 500, &r->err)); /* tombstones up to there may be gone, and have been seen */
	assert_ok(r, cursor_check(&p, true, &p.epoch, 0, &r->err));
	assert_ok(r, cursor_check(&p, false, &other, 600, &r->err));
	assert_code(r, ERR_CURSOR_EXPIRED, cursor_check(&p, true, &p.epoch, 499, &r->err));
	assert_code(r, ERR_CURSOR_EXPIRED, cursor_check(&p, false, NULL, 1, &r->err));
	assert_code(r, ERR_EPOCH_CHANGED, cursor_check(&p, true, &other, 600, &r->err));
	assert_code(r, ERR_EPOCH_CHANGED, cursor_check(&p, true, &other, 1, &r->err));
	assert_code(r, ERR_EPOCH_CHANGED, cursor_check(&p, true, &p.epoch, 1001, &r->err));
	assert_code(r, ERR_CURSOR_INVALID, cursor_check(&p, true, &p.epoch, -1, &r->err));
}

static void
waiting(void **state)
{
	struct rig *r = *state;
	int64_t clock = rig_project(r).clock;
	struct tree_page page;

	assert_false(tree_changed_since(r->d, &r->project, clock));
	assert_true(tree_changed_since(r->d, &r->project, clock - 1));
	rig_do(r, put_dir("d"));
	assert_true(tree_changed_since(r->d, &r->project, clock));
	assert_false(tree_changed_since(r->d, &r->project, rig_project(r).clock));
	/* After a restart nothing is known: look, and then it is. */
	domain_free(r->d);
	r->d = domain_open(r->meta, r->store);
	clock = rig_project(r).clock;
	assert_true(tree_changed_since(r->d, &r->project, clock));
	assert_ok(r, tree_changes(r->d, &r->project, clock, 10, false, r->a, &page, &r->err));
	assert_int_equal(page.n, 0);
	assert_int_equal(page.next, clock);
	assert_false(tree_changed_since(r->d, &r->project, clock));
}

/* Whoever has the project's row knows by its clock whether there is more to read. */
static void
nothing(void **state)
{
	struct rig *r = *state;
	struct project before = rig_project(r), now;
	struct tree_page page, read;

	rig_do(r, put_dir("d"));
	now = rig_project(r);
	domain_free(r->d);
	r->d = domain_open(r->meta, r->store);
	assert_false(tree_nothing_since(r->d, &now, before.clock, &page));
	assert_false(tree_nothing_since(r->d, &now, now.clock - 1, &page));
	assert_true(tree_nothing_since(r->d, &now, now.clock, &page));
	assert_false(tree_changed_since(r->d, &r->project, now.clock)); /* it has told the waiting */
	assert_ok(r, tree_changes(r->d, &r->project, now.clock, 10, false, r->a, &read, &r->err));
	assert_int_equal(page.n, 0);
	assert_int_equal(page.has_more, read.has_more);
	assert_int_equal(page.next, read.next);
	assert_true(hash_eq(&page.project.digest, &read.project.digest));
	assert_true(tree_nothing_since(r->d, &now, INT64_MAX, &page));
	assert_true(tree_nothing_since(r->d, &before, before.clock, &page)); /* as it was when it was read */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(pages_of_a_listing), T(extents_of_small_files), T(pages_of_a_block_list), T(one_file), T(cursors),
		T(waiting),
		T(nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
