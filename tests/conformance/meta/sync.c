/* Snapshots, checkpoints and remembered answers. */
#include "suite.h"

static struct snapshot
a_snapshot(unsigned n, int format, int64_t clock, int64_t expires_at)
{
	return (struct snapshot){ .id = id_no(n), .clock = clock, .epoch = id_no(n + 1), .digest = hash_no(n), .object = hash_no(n + 2),
		.stored_len = 3, .raw_len = 4, .file_count = 5, .total_bytes = 6, .created_at = 7, .expires_at = expires_at, .format = format };
}

static void
assert_snapshot(const struct snapshot *a, const struct snapshot *b)
{
	assert_id(&a->id, &b->id);
	assert_int_equal(a->clock, b->clock);
	assert_id(&a->epoch, &b->epoch);
	assert_hash(&a->digest, &b->digest);
	assert_hash(&a->object, &b->object);
	assert_int_equal(a->stored_len, b->stored_len);
	assert_int_equal(a->raw_len, b->raw_len);
	assert_int_equal(a->file_count, b->file_count);
	assert_int_equal(a->total_bytes, b->total_bytes);
	assert_int_equal(a->created_at, b->created_at);
	assert_int_equal(a->expires_at, b->expires_at);
	assert_int_equal(a->format, b->format);
}

static void
snapshots(void **state)
{
	struct snapshot s[] = { a_snapshot(10, 1, 500, 1000), a_snapshot(11, 1, 700, 900), a_snapshot(12, 1, 600, 1100),
		a_snapshot(13, 2, 900, 1000) };
	struct snapshot out, *gone;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		ok(meta_snapshot_add(tx, P1, &s[i], ERR));
	answers(meta_snapshot_add(tx, P1, &s[0], ERR), ERR_EXISTS);
	commit(tx);
	tx = writer(*state);
	ok(meta_snapshot_latest(tx, P1, 1, 899, &out, ERR));
	assert_snapshot(&out, &s[1]);
	ok(meta_snapshot_latest(tx, P1, 1, 900, &out, ERR)); /* the newest has expired */
	assert_snapshot(&out, &s[2]);
	ok(meta_snapshot_latest(tx, P1, 2, 900, &out, ERR));
	assert_snapshot(&out, &s[3]);
	answers(meta_snapshot_latest(tx, P1, 1, 1100, &out, ERR), ERR_NOT_FOUND);
	answers(meta_snapshot_latest(tx, P1, 3, 0, &out, ERR), ERR_NOT_FOUND);
	answers(meta_snapshot_latest(tx, P2, 1, 0, &out, ERR), ERR_NOT_FOUND);
	ok(meta_snapshot_named(tx, P1, 1, &s[2].object, 899, &out, ERR)); /* though another is newer */
	assert_snapshot(&out, &s[2]);
	answers(meta_snapshot_named(tx, P1, 1, &s[1].object, 900, &out, ERR), ERR_NOT_FOUND); /* expired */
	answers(meta_snapshot_named(tx, P1, 2, &s[2].object, 0, &out, ERR), ERR_NOT_FOUND); /* of another format */
	answers(meta_snapshot_named(tx, P2, 1, &s[2].object, 0, &out, ERR), ERR_NOT_FOUND);
	ok(meta_snapshot_expire(tx, P2, 2000, &gone, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_snapshot_expire(tx, P1, 899, &gone, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_snapshot_expire(tx, P1, 900, &gone, &n, ERR));
	assert_int_equal(n, 1);
	assert_snapshot(&gone[0], &s[1]);
	ok(meta_snapshot_expire(tx, P1, 1000, &gone, &n, ERR));
	assert_int_equal(n, 2);
	ok(meta_snapshot_latest(tx, P1, 1, 0, &out, ERR));
	assert_snapshot(&out, &s[2]);
	commit(tx);
	tx = writer(*state);
	answers(meta_snapshot_add(tx, &nobody, &s[0], ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
checkpoints(void **state)
{
	struct checkpoint c, out;
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	c = (struct checkpoint){ .device = *DEV, .epoch = id_no(5), .clock = 100, .updated_at = 200 };
	tx = writer(*state);
	answers(meta_checkpoint_get(tx, P1, DEV, &out, ERR), ERR_NOT_FOUND);
	ok(meta_checkpoint_put(tx, P1, &c, ERR));
	c.clock = 50; /* rules are not meta's */
	c.epoch = id_no(6);
	c.updated_at = 300;
	ok(meta_checkpoint_put(tx, P1, &c, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_checkpoint_get(tx, P1, DEV, &out, ERR));
	assert_id(&out.device, DEV);
	assert_string_equal(out.device_name, "laptop");
	assert_id(&out.epoch, &c.epoch);
	assert_int_equal(out.clock, 50);
	assert_int_equal(out.updated_at, 300);
	answers(meta_checkpoint_get(tx, P2, DEV, &out, ERR), ERR_NOT_FOUND);
	answers(meta_checkpoint_get(tx, P1, &nobody, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_checkpoint_put(tx, &nobody, &c, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	c.device = nobody;
	tx = writer(*state);
	answers(meta_checkpoint_put(tx, P1, &c, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
checkpoint_at(struct meta_tx *tx, const struct id *project, unsigned device, const struct id *epoch, int64_t clock)
{
	struct checkpoint c = { .device = id_no(device), .epoch = *epoch, .clock = clock, .updated_at = 1 };

	ok(meta_checkpoint_put(tx, project, &c, ERR));
}

static int64_t
slowest(struct meta_tx *tx, const struct id *project, int64_t seen_us)
{
	int64_t clock = 0;

	ok(meta_checkpoint_slowest(tx, project, seen_us, &clock, ERR));
	return clock;
}

/* Each device but the first is out for a reason of its own. */
static void
slowest_checkpoint(void **state)
{
	struct id epoch = a_project(1).epoch, other = id_no(99);
	struct grant g = { .project = id_no(1), .role = ROLE_READER };
	struct meta_tx *tx;
	struct device d;

	add_basics(*state);
	tx = writer(*state);
	assert_true(slowest(tx, P1, 0) == INT64_MAX);
	for (unsigned n = 20; n < 25; n++) {
		d = a_device(n);
		d.kind = n == 24 ? DEVICE_OWNER : DEVICE_PLAIN;
		d.last_seen_at = n == 21 ? 999 : 1000;
		ok(meta_device_add(tx, &d, ERR));
		g.device = d.id;
		if (n < 23)
			ok(meta_grant_set(tx, &g, ERR));
		checkpoint_at(tx, P1, n, n == 22 ? &other : &epoch, n == 20 ? 500 : 100 + n); /* 22: of another epoch, 23: without a grant */
	}
	assert_int_equal(slowest(tx, P1, 1000), 124); /* the owner needs no grant */
	assert_int_equal(slowest(tx, P1, 999), 121);
	assert_true(slowest(tx, P2, 0) == INT64_MAX);
	ok(meta_device_revoke(tx, &(struct id){ .b = { 1, [15] = 24 } }, 5, ERR));
	assert_int_equal(slowest(tx, P1, 1000), 500);
	assert_true(slowest(tx, P1, 1001) == INT64_MAX);
	commit(tx);
}

static struct delete_hour
hour_of(struct fixture *f, const struct id *project, const struct id *device)
{
	struct meta_tx *tx = reader(f);
	struct delete_hour out = { .began_at = -1 };

	ok(meta_delete_hour_get(tx, project, device, &out, ERR));
	meta_abort(&tx);
	return out;
}

/* One for each device and project; nothing before the first, and never part of it. */
static void
delete_hours(void **state)
{
	struct delete_hour h = { .began_at = 1, .clock = 2, .entries = 5000000000, .deleted = 4, .held_at = 5 }, none = { .began_at = 0 }, got;
	struct id nobody = id_no(77), other = id_no(20);
	struct device d = a_device(20);
	struct meta_tx *tx;

	add_basics(*state);
	got = hour_of(*state, P1, DEV);
	assert_memory_equal(&got, &none, sizeof got);
	tx = writer(*state);
	ok(meta_device_add(tx, &d, ERR));
	ok(meta_delete_hour_put(tx, P1, DEV, &h, ERR));
	commit(tx);
	got = hour_of(*state, P1, DEV);
	assert_memory_equal(&got, &h, sizeof got);
	got = hour_of(*state, P2, DEV);
	assert_memory_equal(&got, &none, sizeof got);
	got = hour_of(*state, P1, &other);
	assert_memory_equal(&got, &none, sizeof got);
	tx = writer(*state);
	ok(meta_delete_hour_put(tx, P1, &other, &h, ERR));
	ok(meta_delete_hour_put(tx, P1, DEV, &none, ERR)); /* replaces all of it */
	meta_abort(&tx);
	got = hour_of(*state, P1, DEV);
	assert_memory_equal(&got, &h, sizeof got);
	tx = writer(*state);
	ok(meta_delete_hour_put(tx, P1, DEV, &none, ERR));
	commit(tx);
	got = hour_of(*state, P1, DEV);
	assert_memory_equal(&got, &none, sizeof got);
	tx = writer(*state);
	answers(meta_delete_hour_put(tx, &nobody, DEV, &h, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_delete_hour_put(tx, P1, &nobody, &h, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
idempotent(void **state)
{
	struct idempotent i = { .device = id_no(1), .key_hash = hash_no(1), .request_hash = hash_no(2), .status = 201,
		.body = (const uint8_t *)"{\0}", .body_len = 3, .created_at = 100 };
	struct idempotent again = i, empty = i, out;
	struct id other = id_no(9);
	struct meta_tx *tx = writer(*state);

	ok(meta_idempotent_add(tx, &i, ERR));
	again.status = 500;
	answers(meta_idempotent_add(tx, &again, ERR), ERR_EXISTS);
	empty.key_hash = hash_no(3);
	empty.body = NULL;
	empty.body_len = 0;
	empty.created_at = 101;
	ok(meta_idempotent_add(tx, &empty, ERR));
	commit(tx);
	tx = writer(*state);
	ok(meta_idempotent_get(tx, &i.device, &i.key_hash, &out, ERR));
	assert_id(&out.device, &i.device);
	assert_hash(&out.key_hash, &i.key_hash);
	assert_hash(&out.request_hash, &i.request_hash);
	assert_int_equal(out.status, 201);
	assert_int_equal(out.body_len, 3);
	assert_memory_equal(out.body, i.body, 3);
	assert_int_equal(out.created_at, 100);
	ok(meta_idempotent_get(tx, &i.device, &empty.key_hash, &out, ERR));
	assert_int_equal(out.body_len, 0);
	answers(meta_idempotent_get(tx, &other, &i.key_hash, &out, ERR), ERR_NOT_FOUND);
	ok(meta_idempotent_expire(tx, 100, ERR));
	ok(meta_idempotent_get(tx, &i.device, &i.key_hash, &out, ERR));
	ok(meta_idempotent_expire(tx, 101, ERR));
	answers(meta_idempotent_get(tx, &i.device, &i.key_hash, &out, ERR), ERR_NOT_FOUND);
	ok(meta_idempotent_get(tx, &i.device, &empty.key_hash, &out, ERR));
	ok(meta_idempotent_add(tx, &i, ERR));
	commit(tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(snapshots),
	cmocka_unit_test(checkpoints),
	cmocka_unit_test(slowest_checkpoint),
	cmocka_unit_test(delete_hours),
	cmocka_unit_test(idempotent),
};
const struct group group_sync = { tests, ARRAY_LEN(tests) };
