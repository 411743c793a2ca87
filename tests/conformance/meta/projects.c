/* Projects, clocks, devices and grants. */
#include "suite.h"

static void
assert_project(const struct project *a, const struct project *b)
{
	assert_id(&a->id, &b->id);
	assert_string_equal(a->name, b->name);
	assert_id(&a->epoch, &b->epoch);
	assert_int_equal(a->clock, b->clock);
	assert_int_equal(a->horizon, b->horizon);
	assert_hash(&a->digest, &b->digest);
	assert_int_equal(a->file_count, b->file_count);
	assert_int_equal(a->total_bytes, b->total_bytes);
	assert_int_equal(a->created_at, b->created_at);
	assert_memory_equal(&a->policy, &b->policy, sizeof a->policy);
	assert_int_equal(a->stored_bytes, b->stored_bytes);
}

static void
project_add(void **state)
{
	struct project p = a_project(7), again = a_project(7), out;
	struct meta_tx *tx = writer(*state);

	ok(meta_project_add(tx, &p, ERR));
	again.name = "other";
	answers(meta_project_add(tx, &again, ERR), ERR_EXISTS);
	commit(tx); /* that it exists is an ordinary answer: the transaction goes on */
	tx = reader(*state);
	ok(meta_project_get(tx, &p.id, &out, ERR));
	assert_project(&out, &p);
	again.id = id_no(8);
	answers(meta_project_get(tx, &again.id, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	assert_null(tx);
}

static void
project_change(void **state)
{
	struct id nobody = id_no(99), epoch = id_no(77);
	struct hash digest = hash_no(5);
	struct meta_tx *tx;
	struct project out, want = a_project(1);
	int64_t last;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_project_rename(tx, P1, "new", ERR));
	ok(meta_project_total(tx, P1, &digest, 10, 20, ERR));
	ok(meta_project_epoch(tx, P1, &epoch, ERR));
	answers(meta_project_rename(tx, &nobody, "new", ERR), ERR_NOT_FOUND);
	answers(meta_project_epoch(tx, &nobody, &epoch, ERR), ERR_NOT_FOUND);
	answers(meta_project_total(tx, &nobody, &digest, 1, 1, ERR), ERR_NOT_FOUND);
	answers(meta_clock_take(tx, &nobody, 1, 1, &last, ERR), ERR_NOT_FOUND);
	answers(meta_project_delete(tx, &nobody, ERR), ERR_NOT_FOUND);
	want.name = "new";
	want.epoch = epoch;
	want.digest = digest;
	want.file_count = 10;
	want.total_bytes = 20;
	ok(meta_project_get(tx, P1, &out, ERR)); /* a writer sees its own writes */
	assert_project(&out, &want);
	commit(tx);
	tx = reader(*state);
	ok(meta_project_get(tx, P1, &out, ERR));
	assert_project(&out, &want);
	ok(meta_project_get(tx, P2, &out, ERR));
	want = a_project(2);
	assert_project(&out, &want);
	meta_abort(&tx);
}

static void
clock_take(void **state)
{
	struct meta_tx *tx;
	int64_t last;

	add_basics(*state); /* P1's clock is 5001 */
	tx = writer(*state);
	ok(meta_clock_take(tx, P1, 9000, 1, &last, ERR));
	assert_int_equal(last, 9000);
	ok(meta_clock_take(tx, P1, 9000, 1, &last, ERR));
	assert_int_equal(last, 9001);
	ok(meta_clock_take(tx, P1, 10, 1, &last, ERR)); /* the wall clock went backwards */
	assert_int_equal(last, 9002);
	ok(meta_clock_take(tx, P1, 9005, 100, &last, ERR)); /* a hundred changes do not fit before now */
	assert_int_equal(last, 9102);
	ok(meta_clock_take(tx, P1, 20000, 100, &last, ERR));
	assert_int_equal(last, 20000);
	ok(meta_clock_take(tx, P2, 1, 1, &last, ERR));
	assert_int_equal(last, 5003);
	commit(tx);
	tx = writer(*state);
	ok(meta_clock_take(tx, P1, 1, 1, &last, ERR));
	assert_int_equal(last, 20001);
	meta_abort(&tx);
	tx = writer(*state);
	ok(meta_clock_take(tx, P1, 1, 1, &last, ERR));
	assert_int_equal(last, 20001);
	meta_abort(&tx);
}

/* Walk the list of ${device} in pages of ${limit}: the numbers of the projects must be ${want}, which ends with 0. */
static void
assert_listed(struct meta_tx *tx, const struct id *device, unsigned limit, const unsigned *want)
{
	struct id after;
	const struct id *from = NULL;
	struct project *out;
	size_t n;

	do {
		ok(meta_project_list(tx, device, from, limit, &out, &n, ERR));
		assert_true(n <= limit);
		for (size_t i = 0; i < n; i++, want++) {
			struct project p;

			assert_int_not_equal(*want, 0);
			p = a_project(*want);
			assert_project(&out[i], &p);
		}
		if (n)
			after = out[n - 1].id;
		from = &after;
	} while (n);
	assert_int_equal(*want, 0);
}

static void
project_list(void **state)
{
	static const unsigned added[] = { 30, 4, 12, 300, 5 };
	struct device d = a_device(1), none = a_device(2);
	struct meta_tx *tx = writer(*state);

	ok(meta_device_add(tx, &d, ERR));
	ok(meta_device_add(tx, &none, ERR));
	for (size_t i = 0; i < ARRAY_LEN(added); i++) {
		struct project p = a_project(added[i]);
		struct grant g = { .device = d.id, .project = p.id, .role = ROLE_READER };

		ok(meta_project_add(tx, &p, ERR));
		if (added[i] != 12)
			ok(meta_grant_set(tx, &g, ERR));
	}
	commit(tx);
	tx = reader(*state);
	for (unsigned limit = 1; limit < 7; limit++) {
		assert_listed(tx, NULL, limit, (const unsigned[]){ 4, 5, 12, 30, 300, 0 });
		assert_listed(tx, &d.id, limit, (const unsigned[]){ 4, 5, 30, 300, 0 });
		assert_listed(tx, &none.id, limit, (const unsigned[]){ 0 });
	}
	meta_abort(&tx);
}

/* ---- devices ----------------------------------------------------------------------------------------------------------- */

static void
assert_device(const struct device *a, const struct device *b)
{
	assert_id(&a->id, &b->id);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->kind, b->kind);
	assert_hash(&a->token_hash, &b->token_hash);
	assert_int_equal(a->created_at, b->created_at);
	assert_int_equal(a->last_seen_at, b->last_seen_at);
	assert_int_equal(a->revoked_at, b->revoked_at);
}

static void
device_add(void **state)
{
	struct device d = a_device(1), other = a_device(2), out;
	struct token_row row;
	struct hash no_token = hash_no(77);
	struct id nobody = id_no(77);
	struct meta_tx *tx = writer(*state);

	ok(meta_device_add(tx, &d, ERR));
	other.token_hash = d.token_hash;
	answers(meta_device_add(tx, &other, ERR), ERR_EXISTS);
	other = d;
	other.token_hash = hash_no(3);
	answers(meta_device_add(tx, &other, ERR), ERR_EXISTS);
	commit(tx);
	tx = reader(*state);
	ok(meta_device_get(tx, &d.id, &out, ERR));
	assert_device(&out, &d);
	ok(meta_token_get(tx, &d.token_hash, NULL, &row, ERR));
	assert_device(&row.device, &d);
	answers(meta_device_get(tx, &nobody, &out, ERR), ERR_NOT_FOUND);
	answers(meta_token_get(tx, &no_token, NULL, &row, ERR), ERR_NOT_FOUND);
	answers(meta_token_get(tx, &other.token_hash, NULL, &row, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
device_change(void **state)
{
	struct device d = a_device(1), out;
	struct token_row row;
	struct id nobody = id_no(77);
	struct meta_tx *tx = writer(*state);

	ok(meta_device_add(tx, &d, ERR));
	ok(meta_device_seen(tx, &d.id, 50, ERR));
	ok(meta_device_revoke(tx, &d.id, 60, ERR));
	ok(meta_device_revoke(tx, &d.id, 70, ERR)); /* stays revoked since the first */
	answers(meta_device_seen(tx, &nobody, 50, ERR), ERR_NOT_FOUND);
	answers(meta_device_revoke(tx, &nobody, 50, ERR), ERR_NOT_FOUND);
	commit(tx);
	d.last_seen_at = 50;
	d.revoked_at = 60;
	tx = reader(*state);
	ok(meta_device_get(tx, &d.id, &out, ERR));
	assert_device(&out, &d);
	ok(meta_token_get(tx, &d.token_hash, NULL, &row, ERR));
	assert_device(&row.device, &d);
	meta_abort(&tx);
}

static void
assert_role(struct meta_tx *tx, const struct id *device, const struct id *project, enum role want)
{
	enum role role = ROLE_WRITER + 1;

	ok(meta_grant_get(tx, device, project, &role, ERR));
	assert_int_equal(role, want);
}

/* The same by the token of a device that there is. */
static void
assert_token(struct meta_tx *tx, const struct id *device, const struct id *project, bool exists, enum role want)
{
	struct token_row row;
	struct project p;
	struct device d;

	ok(meta_device_get(tx, device, &d, ERR));
	ok(meta_token_get(tx, &d.token_hash, project, &row, ERR));
	assert_device(&row.device, &d);
	assert_int_equal(row.role, want);
	assert_int_equal(row.exists, exists);
	if (!exists)
		return;
	ok(meta_project_get(tx, project, &p, ERR));
	assert_project(&row.project, &p);
}

static void
grants(void **state)
{
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	assert_role(tx, DEV, P1, ROLE_NONE);
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *P1, ROLE_READER }, ERR));
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *P2, ROLE_READER }, ERR));
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *P1, ROLE_WRITER }, ERR));
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *P2, ROLE_NONE }, ERR));
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *P2, ROLE_NONE }, ERR));
	commit(tx);
	tx = reader(*state);
	assert_role(tx, DEV, P1, ROLE_WRITER);
	assert_role(tx, DEV, P2, ROLE_NONE);
	assert_role(tx, &nobody, P1, ROLE_NONE);
	assert_token(tx, DEV, P1, true, ROLE_WRITER);
	assert_token(tx, DEV, P2, true, ROLE_NONE);
	assert_token(tx, DEV, &nobody, false, ROLE_NONE);
	assert_token(tx, DEV, NULL, false, ROLE_NONE);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_grant_set(tx, &(struct grant){ nobody, *P1, ROLE_READER }, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_grant_set(tx, &(struct grant){ *DEV, nobody, ROLE_READER }, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
device_list(void **state)
{
	struct checkpoint c;
	struct device_row *rows;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	for (unsigned i = 14; i > 9; i--) {
		struct device d = a_device(i);

		d.revoked_at = i == 12 ? 5 : 0;
		ok(meta_device_add(tx, &d, ERR));
		if (i != 11)
			ok(meta_grant_set(tx, &(struct grant){ d.id, *P1, i == 13 ? ROLE_WRITER : ROLE_READER }, ERR));
	}
	c = (struct checkpoint){ .device = id_no(13), .epoch = id_no(9), .clock = 44, .updated_at = 55 };
	ok(meta_checkpoint_put(tx, P1, &c, ERR));
	c.device = id_no(10); /* of another project: must not show */
	ok(meta_checkpoint_put(tx, P2, &c, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_device_list(tx, P1, &rows, &n, ERR));
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct device d = a_device((const unsigned[]){ 10, 13, 14 }[i]);

		assert_device(&rows[i].device, &d);
		assert_int_equal(rows[i].role, i == 1 ? ROLE_WRITER : ROLE_READER);
		assert_id(&rows[i].checkpoint.device, &d.id);
		assert_string_equal(rows[i].checkpoint.device_name, d.name);
		assert_int_equal(rows[i].checkpoint.clock, i == 1 ? 44 : 0);
		assert_int_equal(rows[i].checkpoint.updated_at, i == 1 ? 55 : 0);
	}
	assert_id(&rows[1].checkpoint.epoch, &c.epoch);
	ok(meta_device_list(tx, &nobody, &rows, &n, ERR));
	assert_int_equal(n, 0);
	meta_abort(&tx);
}

/* ---- delete ------------------------------------------------------------------------------------------------------------ */

/* A row of every kind for ${project}, numbered from ${n}. */
static void
fill(struct meta_tx *tx, const struct id *project, unsigned n)
{
	struct file f = a_file(n, "d", "f", 10);
	struct version v = { .file = f.id, .version = 10, .path = "d/f", .target = "", .content = f.content };
	struct chunk c = { .id = hash_no(n), .stored_len = 1, .raw_len = 1, .block_count = 1 };
	struct transfer t = { .id = id_no(n), .device = *DEV, .path = "x" };
	struct transfer_chunk tc = { .n = 0, .chunk = hash_no(n) };
	struct snapshot s = { .id = id_no(n), .expires_at = 100, .format = 1 };
	struct checkpoint cp = { .device = *DEV, .clock = 1 };
	struct delete_hour hour = { .began_at = 1 };
	struct history_walk w = { .ended_at = 1 };
	struct conflict conflict = { .copy = id_no(n), .file = id_no(n + 1), .file_version = 9, .device = *DEV, .created_at = 10 };

	ok(meta_file_put(tx, project, &f, ERR));
	ok(meta_conflict_add(tx, project, &conflict, ERR));
	ok(meta_version_add(tx, project, &v, ERR));
	ok(meta_history_walk_put(tx, project, &w, ERR));
	ok(meta_blocks_add(tx, project, &f.id, 0, (const uint8_t *)"x", 1, ERR));
	ok(meta_chunk_add(tx, project, &c, ERR));
	ok(meta_transfer_add(tx, project, &t, ERR));
	ok(meta_transfer_chunk_add(tx, &t.id, &tc, 5, ERR));
	ok(meta_transfer_blocks_put(tx, &t.id, 0, (const uint8_t *)"y", 1, 1, ERR));
	ok(meta_transfer_progress(tx, &t.id, 5, 6, ERR));
	ok(meta_transfer_event(tx, project, &t.id, "started", 6, ERR));
	ok(meta_snapshot_add(tx, project, &s, ERR));
	ok(meta_checkpoint_put(tx, project, &cp, ERR));
	ok(meta_delete_hour_put(tx, project, DEV, &hour, ERR));
	ok(meta_grant_set(tx, &(struct grant){ *DEV, *project, ROLE_READER }, ERR));
}

/* How many of the kinds that fill() made are there. */
static unsigned
filled(struct meta_tx *tx, const struct id *project, unsigned n)
{
	struct id id = id_no(n);
	struct hash h = hash_no(n);
	union {
		struct file file;
		struct version version;
		struct history_walk walk;
		struct conflict conflict;
		struct chunk chunk;
		struct transfer transfer;
		struct transfer_progress progress;
		struct snapshot snapshot;
		struct checkpoint checkpoint;
		struct delete_hour hour;
	} out;
	struct transfer_chunk *chunks;
	struct transfer_event *events;
	struct file *files;
	const uint8_t *p;
	size_t len, chunk_n, event_n, live_n, change_n;
	enum role role;
	unsigned count = 0;

	count += meta_file_get(tx, project, &id, &out.file, NULL) == ERR_OK;
	count += meta_file_at(tx, project, "d/f", &out.file, NULL) == ERR_OK;
	count += meta_version_get(tx, project, &id, 10, &out.version, NULL) == ERR_OK;
	count += meta_conflict_get(tx, project, &id, &out.conflict, NULL) == ERR_OK;
	count += meta_blocks_get(tx, project, &id, 0, &p, &len, NULL) == ERR_OK;
	count += meta_chunk_get(tx, project, &h, &out.chunk, NULL) == ERR_OK;
	count += meta_transfer_get(tx, project, &id, &out.transfer, NULL) == ERR_OK;
	count += meta_transfer_blocks_get(tx, &id, 0, &p, &len, NULL) == ERR_OK;
	count += meta_transfer_progress_get(tx, &id, &out.progress, NULL) == ERR_OK;
	count += meta_snapshot_latest(tx, project, 1, 0, &out.snapshot, NULL) == ERR_OK;
	count += meta_checkpoint_get(tx, project, DEV, &out.checkpoint, NULL) == ERR_OK;
	ok(meta_history_walk_get(tx, project, &out.walk, ERR));
	count += out.walk.ended_at == 1;
	ok(meta_delete_hour_get(tx, project, DEV, &out.hour, ERR));
	count += out.hour.began_at == 1;
	ok(meta_transfer_chunk_list(tx, &id, 0, 9, &chunks, &chunk_n, ERR));
	ok(meta_transfer_event_list(tx, &id, 9, &events, &event_n, ERR));
	ok(meta_file_page(tx, project, 0, 9, &files, &live_n, ERR));
	ok(meta_file_changes(tx, project, 0, 9, &files, &change_n, ERR));
	ok(meta_grant_get(tx, DEV, project, &role, ERR));
	return count + (unsigned)(chunk_n + event_n + live_n + change_n) + (role != ROLE_NONE);
}

static void
project_delete(void **state)
{
	struct meta_tx *tx;
	struct project p = a_project(1);

	add_basics(*state);
	tx = writer(*state);
	fill(tx, P1, 500);
	fill(tx, P2, 600);
	commit(tx);
	tx = writer(*state);
	assert_int_equal(filled(tx, P1, 500), 18);
	ok(meta_project_delete(tx, P1, ERR));
	assert_int_equal(filled(tx, P1, 500), 0);
	commit(tx);
	tx = writer(*state);
	answers(meta_project_get(tx, P1, &p, ERR), ERR_NOT_FOUND);
	assert_int_equal(filled(tx, P1, 500), 0);
	assert_int_equal(filled(tx, P2, 600), 18);
	p = a_project(1);
	ok(meta_project_add(tx, &p, ERR)); /* nothing of the old one comes back */
	assert_int_equal(filled(tx, P1, 500), 0);
	fill(tx, P1, 500);
	assert_int_equal(filled(tx, P1, 500), 18);
	commit(tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(project_add),
	cmocka_unit_test(project_change),
	cmocka_unit_test(clock_take),
	cmocka_unit_test(project_list),
	cmocka_unit_test(device_add),
	cmocka_unit_test(device_change),
	cmocka_unit_test(grants),
	cmocka_unit_test(device_list),
	cmocka_unit_test(project_delete),
};
const struct group group_projects = { tests, ARRAY_LEN(tests) };
