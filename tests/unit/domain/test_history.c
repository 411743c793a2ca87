/* What a file has been, and which of its states go. */
#include "rig.h"

#include "server/domain/history.h"

#define DAY_US (24 * 3600 * INT64_C(1000000))
#define HOUR_US (3600 * INT64_C(1000000))

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static struct kept_version *
list(struct rig *r, const struct id *file, int64_t before, unsigned limit, size_t *n, bool *more)
{
	struct kept_version *out;

	assert_ok(r, history_list(r->d, &r->project, file, before, limit, r->a, &out, n, more, &r->err));
	return out;
}

static size_t
count(struct rig *r, const struct id *file)
{
	size_t n;
	bool more;

	list(r, file, INT64_MAX, PAGE_LIMIT_MAX, &n, &more);
	assert_false(more);
	return n;
}

/* A file that was made, edited, moved, deleted and restored at last, by two devices in turn. */
static void
test_list(void **state)
{
	struct rig *r = *state;
	struct device laptop = r->device;
	struct op_result made = rig_do(r, put_text(r, "a", "one"));
	struct kept_version *all, *page;
	struct file f;
	size_t n, page_n, at = 0;
	bool more;

	r->device = r->owner;
	rig_do(r, on(put_text(r, "a", "twice"), made.version));
	rig_do(r, put_dir("d"));
	rig_do(r, mv_at(r, "a", "d/b"));
	f = rig_at(r, "d/b");
	r->device = laptop;
	rig_do(r, del(&f));
	all = list(r, &f.id, INT64_MAX, 10, &n, &more);
	assert_int_equal(n, 4);
	assert_false(more);
	assert_true(all[0].v.deleted && !all[1].v.deleted);
	assert_string_equal(all[0].v.path, "d/b");
	assert_string_equal(all[0].changed_by_name, "laptop");
	assert_string_equal(all[1].changed_by_name, "owner");
	assert_string_equal(all[2].v.path, "a");
	assert_int_equal(all[2].v.size, 5);
	assert_int_equal(all[3].v.version, made.version);
	assert_string_equal(all[3].changed_by_name, "laptop");
	for (int64_t before = INT64_MAX; at < n; before = page[page_n - 1].v.version) {
		page = list(r, &f.id, before, 3, &page_n, &more);
		assert_int_equal(more, at == 0);
		for (size_t i = 0; i < page_n; i++, at++)
			assert_int_equal(page[i].v.version, all[at].v.version);
	}
	list(r, &f.id, made.version, 3, &page_n, &more);
	assert_int_equal(page_n, 0);
}

static void
test_list_refused(void **state)
{
	struct rig *r = *state;
	struct op_result f = rig_do(r, put_text(r, "a", "one"));
	struct kept_version *out;
	struct project other;
	size_t n;
	bool more;

	assert_code(r, ERR_FIELD_RANGE, history_list(r->d, &r->project, &f.file, 9, 0, r->a, &out, &n, &more, &r->err));
	assert_code(r, ERR_FIELD_RANGE,
	    history_list(r->d, &r->project, &f.file, 9, PAGE_LIMIT_MAX + 1, r->a, &out, &n, &more, &r->err));
	assert_code(r, ERR_NOT_FOUND, history_list(r->d, &r->project, &r->device.id, 9, 1, r->a, &out, &n, &more, &r->err));
	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	assert_code(r, ERR_NOT_FOUND, history_list(r->d, &other.id, &f.file, 9, 1, r->a, &out, &n, &more, &r->err));
}

/* The bytes and the name of then, also when the file is gone; a tombstone is nothing to read. */
static void
test_version(void **state)
{
	struct rig *r = *state;
	struct op_result one = rig_do(r, put_text(r, "a", "one")), gone;
	struct blocklist blocks;
	struct file f, then;
	bool more;

	rig_do(r, on(put_text(r, "a", "second"), one.version));
	rig_do(r, put_dir("d"));
	rig_do(r, mv_at(r, "a", "d/b"));
	gone = rig_do(r, del_at(r, "d/b"));
	assert_ok(r, history_file(r->d, &r->project, &one.file, one.version, r->a, &then, &r->err));
	assert_string_equal(then.dir, "");
	assert_string_equal(then.name, "a");
	assert_int_equal(then.size, 3);
	assert_int_equal(then.version, one.version);
	assert_ok(r, tree_blocks(r->d, &r->project, &one.file, one.version, 0, BLOCKLIST_PAGE_BLOCKS, r->a, &blocks, &f, &more, &r->err));
	assert_int_equal(blocks.block_count, 1);
	assert_int_equal(blocks.blocks[0].len, 3);
	assert_int_equal(f.version, one.version);
	assert_code(r, ERR_NOT_FOUND, tree_blocks(r->d, &r->project, &one.file, 0, 0, BLOCKLIST_PAGE_BLOCKS, r->a, &blocks, &f, &more, &r->err));
	assert_code(r, ERR_NOT_FOUND, history_file(r->d, &r->project, &one.file, gone.version, r->a, &then, &r->err));
	assert_code(r, ERR_NOT_FOUND, history_file(r->d, &r->project, &one.file, one.version + 1, r->a, &then, &r->err));
	assert_code(r, ERR_NOT_FOUND, history_file(r->d, &r->project, &r->device.id, one.version, r->a, &then, &r->err));
	assert_code(r, ERR_NOT_FOUND,
	    tree_blocks(r->d, &r->project, &one.file, gone.version, 0, BLOCKLIST_PAGE_BLOCKS, r->a, &blocks, &f, &more, &r->err));
}

/* ---- what goes --------------------------------------------------------------------------------------------------------- */

static void
keep(struct rig *r, int64_t versions, int64_t days)
{
	struct project_change change = { .keep_versions = versions, .keep_days = days, .quota_bytes = -1 };
	struct project p;

	assert_ok(r, project_update(r->d, &r->project, &change, r->a, &p, &r->err));
	assert_int_equal(p.policy.keep_versions, versions);
	assert_int_equal(p.policy.keep_days, days);
}

static void
prune(struct rig *r, int64_t now_us)
{
	assert_ok(r, history_prune(r->d, now_us, &r->err));
}

/* A history out of nothing: ${n} states, replaced ${step} apart, the last of them at ${last}; the ${deleted}th a tombstone. */
static struct id
history(struct rig *r, int64_t last, int64_t step, unsigned n, unsigned deleted)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct version v = { .file = id_new(), .path = "p", .target = "", .changed_by = r->device.id };

	assert_ok(r, meta_begin(r->meta, META_WRITE, &tx, &r->err));
	for (unsigned i = 1; i <= n; i++) {
		v.version = last - (n - i) * step;
		v.deleted = i == deleted;
		assert_ok(r, meta_version_add(tx, &r->project, &v, &r->err));
	}
	assert_ok(r, meta_commit(&tx, &r->err));
	return v.file;
}

static size_t
rows(struct rig *r, const struct id *file)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct version *out;
	size_t n;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	assert_ok(r, meta_version_list(tx, &r->project, file, INT64_MAX, 1000000, &out, &n, &r->err));
	return n;
}

static bool
has(struct rig *r, const struct id *file, int64_t version)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct version v;

	assert_ok(r, meta_begin(r->meta, META_READ, &tx, &r->err));
	return meta_version_get(tx, &r->project, file, version, &v, &r->err) == ERR_OK;
}

/* The newest so many, the present one among them; but nothing that was replaced within the last day. */
static void
test_by_count(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id old = history(r, now - 10 * DAY_US, DAY_US, 9, 0), few = history(r, now - DAY_US, DAY_US, 3, 0);
	struct id busy = history(r, now, 6 * HOUR_US, 9, 0);

	keep(r, 3, 0);
	prune(r, now);
	assert_int_equal(rows(r, &old), 3);
	assert_true(has(r, &old, now - 12 * DAY_US) && has(r, &old, now - 10 * DAY_US));
	assert_int_equal(rows(r, &few), 3);
	assert_int_equal(rows(r, &busy), 5); /* -24 h was there a day ago: it and the four after it */
	prune(r, now + 2 * DAY_US);
	assert_int_equal(rows(r, &busy), 3);
	keep(r, 1, 0);
	prune(r, now + 2 * DAY_US);
	assert_int_equal(rows(r, &old), 1);
	assert_int_equal(rows(r, &busy), 1);
	assert_true(has(r, &busy, now));
}

/* So many days from when a state was replaced, not from when it was made. */
static void
test_by_age(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id old = history(r, now - 10 * DAY_US, 10 * DAY_US, 3, 0); /* made 30, 20 and 10 days ago */

	keep(r, 0, 21);
	prune(r, now);
	assert_int_equal(rows(r, &old), 3); /* the first was replaced 20 days ago */
	keep(r, 0, 20);
	prune(r, now);
	assert_int_equal(rows(r, &old), 2);
	keep(r, 0, 1);
	prune(r, now);
	assert_int_equal(rows(r, &old), 1); /* the present one never goes */
	prune(r, now + 36500 * DAY_US);
	assert_int_equal(rows(r, &old), 1);
}

/* Either is enough; a policy without limits keeps all. */
static void
test_both(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id f = history(r, now - 2 * DAY_US, DAY_US, 20, 0);

	keep(r, 0, 0);
	prune(r, now);
	assert_int_equal(rows(r, &f), 20);
	keep(r, 100, 10);
	prune(r, now);
	assert_int_equal(rows(r, &f), 9); /* replaced 2 … 9 days ago, and the present one */
	keep(r, 4, 100);
	prune(r, now);
	assert_int_equal(rows(r, &f), 4);
}

/* A deleted file can be restored until its last state goes by age, counted from the deletion; tombstones do not count. */
static void
test_deleted(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id f = history(r, now - 5 * DAY_US, DAY_US, 4, 4), back = history(r, now - 5 * DAY_US, DAY_US, 5, 3);

	keep(r, 1, 0);
	prune(r, now);
	assert_int_equal(rows(r, &f), 2);
	assert_true(has(r, &f, now - 6 * DAY_US));
	assert_int_equal(rows(r, &back), 1); /* an old tombstone goes with what is around it */
	keep(r, 1, 6);
	prune(r, now);
	assert_int_equal(rows(r, &f), 2);
	keep(r, 1, 5);
	prune(r, now);
	assert_int_equal(rows(r, &f), 1);
	assert_true(has(r, &f, now - 5 * DAY_US)); /* the tombstone */
}

static void
test_restore_of_pruned(void **state)
{
	struct rig *r = *state;
	struct op_result one = rig_do(r, put_text(r, "a", "one")), two = rig_do(r, on(put_text(r, "a", "two"), one.version)), gone, res;

	gone = rig_do(r, del_at(r, "a"));
	keep(r, 1, 0);
	prune(r, clock_wall_us() + 2 * DAY_US);
	assert_int_equal(count(r, &one.file), 2);
	res = rig_one(r, (struct op){ .kind = OP_RESTORE, .file = one.file, .has_base = true, .base = gone.version, .from_version = one.version });
	assert_int_equal(res.code, ERR_NOT_FOUND);
	assert_false(rig_there(r, "a"));
	rig_do(r, (struct op){ .kind = OP_RESTORE, .file = one.file, .has_base = true, .base = gone.version, .from_version = two.version });
	rig_assert_text(r, "a", "two");
	rig_assert_sums(r);
}

/* ---- in pieces ------------------------------------------------------------------------------------------------------------ */

static void
restart(struct rig *r)
{
	domain_free(r->d);
	r->d = domain_open(r->meta, r->store);
}

/* One file with more than a call removes: the next goes on, also after a restart, and what comes meanwhile is not touched. */
static void
test_many_versions(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id f = history(r, now - 2 * DAY_US, 1000, 21000, 0);

	keep(r, 7, 0);
	prune(r, now);
	assert_int_equal(rows(r, &f), 1000);
	restart(r);
	prune(r, now);
	assert_int_equal(rows(r, &f), 7);
}

/* More files than a page, with one that has much in the middle; then more than one project. */
static void
test_many_files(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id home = r->project, ids[1100];
	struct project other;

	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = history(r, now - 2 * DAY_US, DAY_US, i == 700 ? 1500 : (unsigned)(1 + i % 3), 0);
	keep(r, 1, 0);
	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	r->project = other.id;
	ids[0] = history(r, now - 2 * DAY_US, DAY_US, 5, 0);
	keep(r, 2, 0);
	prune(r, now);
	assert_int_equal(rows(r, &ids[0]), 2);
	r->project = home;
	for (size_t i = 1; i < ARRAY_LEN(ids); i++)
		assert_int_equal(rows(r, &ids[i]), 1);
}

/* A walk begins anew some hours after the last one ended, or at once when the policy has changed. */
static void
test_walks(void **state)
{
	struct rig *r = *state;
	int64_t now = clock_wall_us();
	struct id f;

	keep(r, 2, 0);
	prune(r, now);
	f = history(r, now - 2 * DAY_US, DAY_US, 5, 0);
	prune(r, now + HOUR_US);
	assert_int_equal(rows(r, &f), 5);
	prune(r, now + 7 * HOUR_US);
	assert_int_equal(rows(r, &f), 2);
	f = history(r, now - 2 * DAY_US, DAY_US, 5, 0);
	keep(r, 2, 0); /* nothing new in it */
	prune(r, now + 8 * HOUR_US);
	assert_int_equal(rows(r, &f), 5);
	keep(r, 3, 0);
	prune(r, now + 8 * HOUR_US);
	assert_int_equal(rows(r, &f), 3);
	f = history(r, now - 2 * DAY_US, DAY_US, 5, 0);
	prune(r, now - DAY_US); /* a clock that was put back: it walks */
	assert_int_equal(rows(r, &f), 3);
	assert_ok(r, project_delete(r->d, &r->project, &r->err));
	prune(r, now + 20 * HOUR_US);
}

static void
test_policy_refused(void **state)
{
	static const struct project_change none = { .keep_versions = -1, .keep_days = -1, .quota_bytes = -1 };
	struct rig *r = *state;
	struct project_change bad[] = { none, none, none, none };
	struct project before = rig_project(r), p;

	assert_int_equal(before.policy.keep_versions, KEEP_VERSIONS_DEFAULT);
	assert_int_equal(before.policy.keep_days, 0);
	assert_int_equal(before.policy.quota_bytes, 0);
	bad[0].keep_versions = KEEP_VERSIONS_MAX + 1;
	bad[1].keep_days = KEEP_DAYS_MAX + 1;
	bad[2].quota_bytes = -2;
	bad[3].name = "";
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_code(r, ERR_FIELD_RANGE, project_update(r->d, &r->project, &bad[i], r->a, &p, &r->err));
	assert_ok(r, project_update(r->d, &r->project, &none, r->a, &p, &r->err));
	assert_memory_equal(&p.policy, &before.policy, sizeof p.policy);
	assert_string_equal(p.name, before.name);
	keep(r, KEEP_VERSIONS_MAX, KEEP_DAYS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_list_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_version, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_by_count, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_by_age, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_both, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_deleted, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_restore_of_pruned, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_many_versions, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_many_files, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_walks, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_policy_refused, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
