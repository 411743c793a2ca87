/* What the garbage collector asks and removes. */
#include "suite.h"

static void
add_chunk(struct meta_tx *tx, unsigned n, int64_t used_at)
{
	struct chunk c = {
		.id = hash_no(n), .stored_len = 100 + n, .raw_len = 90, .block_count = 1, .created_at = 3, .used_at = used_at
	};

	ok(meta_chunk_add(tx, P1, &c, ERR));
}

static int64_t
stored(struct meta_tx *tx)
{
	struct project p;

	ok(meta_project_get(tx, P1, &p, ERR));
	return p.stored_bytes;
}

static int64_t
used_at(struct meta_tx *tx, unsigned n)
{
	struct hash id = hash_no(n);
	struct chunk c;

	ok(meta_chunk_get(tx, P1, &id, &c, ERR));
	return c.used_at;
}

static void
chunks_come_and_go(void **state)
{
	struct hash one = hash_no(1), nobody = hash_no(99), ends[2];
	struct chunk *rows;
	struct meta_tx *tx;
	size_t n, all = 0;
	bool gone = true;

	add_basics(*state);
	tx = writer(*state);
	for (unsigned i = 0; i < 7; i++)
		add_chunk(tx, i, 1000);
	add_chunk(tx, 1, 2000); /* put again */
	assert_int_equal(used_at(tx, 1), 2000);
	assert_int_equal(stored(tx), 721);
	commit(tx);

	tx = writer(*state);
	ok(meta_chunk_list(tx, P1, NULL, 3, &rows, &n, ERR));
	for (all = n; n == 3; all += n) {
		ends[0] = rows[2].id;
		assert_true(memcmp(&rows[0].id, &rows[1].id, sizeof rows[0].id) < 0);
		ok(meta_chunk_list(tx, P1, &ends[0], 3, &rows, &n, ERR));
		assert_true(n == 0 || memcmp(&ends[0], &rows[0].id, sizeof ends[0]) < 0);
	}
	assert_int_equal(all, 7);
	ok(meta_chunk_list(tx, P2, NULL, 3, &rows, &n, ERR));
	assert_int_equal(n, 0);

	ok(meta_chunk_touch(tx, P1, &one, 3000, ERR));
	ok(meta_chunk_touch(tx, P1, &nobody, 3000, ERR));
	ok(meta_chunk_sweep(tx, P1, &one, 3000, &gone, ERR));
	assert_false(gone);
	ok(meta_chunk_sweep(tx, P2, &one, 4000, &gone, ERR));
	assert_false(gone);
	ok(meta_chunk_sweep(tx, P1, &one, 3001, &gone, ERR));
	assert_true(gone);
	ok(meta_chunk_sweep(tx, P1, &one, 3001, &gone, ERR));
	assert_false(gone);
	assert_int_equal(stored(tx), 620);
	commit(tx);
}

static void
name_list(struct meta_tx *tx, unsigned n, const struct id *list, enum kind kind, bool deleted)
{
	struct version v = { .file = id_no(n),
		.version = 100 + n,
		.path = "a",
		.kind = kind,
		.list = *list,
		.target = "",
		.changed_by = id_no(1),
		.deleted = deleted };

	ok(meta_version_add(tx, P1, &v, ERR));
}

static void
lists_are_named(void **state)
{
	struct id a = id_no(1), b = id_no(2), c = id_no(3), none = { { 0 } };
	struct meta_tx *tx;
	bool named;

	add_basics(*state);
	tx = writer(*state);
	name_list(tx, 1, &a, KIND_FILE, false);
	name_list(tx, 2, &b, KIND_FILE, true);
	name_list(tx, 3, &c, KIND_LINK, false);
	name_list(tx, 4, &none, KIND_FILE, false);
	ok(meta_list_named(tx, P1, &a, &named, ERR));
	assert_true(named);
	ok(meta_list_named(tx, P1, &b, &named, ERR)); /* tombstones name nothing */
	assert_false(named);
	ok(meta_list_named(tx, P1, &c, &named, ERR)); /* nor do links */
	assert_false(named);
	ok(meta_list_named(tx, P2, &a, &named, ERR));
	assert_false(named);
	ok(meta_list_named(tx, P1, &none, &named, ERR)); /* an empty file has none */
	assert_false(named);
	commit(tx);
}

static void
pages_in_order(void **state)
{
	static const uint8_t text[] = "packed", other[] = "other";
	struct id lists[3] = { id_no(1), id_no(2), id_no(3) }, at = { 0 }, next;
	struct blocks_row *rows;
	struct meta_tx *tx;
	const uint8_t *p;
	size_t n, len;

	add_basics(*state);
	tx = writer(*state);
	for (size_t i = 0; i < 3; i++)
		for (uint32_t page = 0; page < 300; page += 100)
			ok(meta_blocks_add(tx, P1, &lists[i], page, text, sizeof text, ERR));
	commit(tx);

	tx = writer(*state);
	ok(meta_blocks_list(tx, P1, &at, -1, 4, &rows, &n, ERR));
	assert_int_equal(n, 4);
	assert_int_equal(rows[1].page, 100);
	assert_int_equal(rows[1].len, sizeof text);
	assert_memory_equal(rows[1].packed, text, sizeof text);
	assert_int_equal(rows[3].page, 0);
	at = rows[3].list;
	ok(meta_blocks_list(tx, P1, &at, 0, 10, &rows, &n, ERR));
	assert_int_equal(n, 5);
	assert_int_equal(rows[0].page, 100);

	ok(meta_list_after(tx, P1, NULL, &next, ERR));
	n = 1;
	while (meta_list_after(tx, P1, &next, &next, ERR) == ERR_OK)
		n++;
	assert_int_equal(n, 3);
	answers(meta_list_after(tx, P2, NULL, &next, ERR), ERR_NOT_FOUND);

	ok(meta_blocks_replace(tx, P1, &lists[0], 100, other, sizeof other, ERR));
	answers(meta_blocks_replace(tx, P1, &lists[0], 101, other, sizeof other, ERR), ERR_NOT_FOUND);
	ok(meta_blocks_get(tx, P1, &lists[0], 100, &p, &len, ERR));
	assert_int_equal(len, sizeof other);
	assert_memory_equal(p, other, len);
	ok(meta_blocks_drop(tx, P1, &lists[0], 100, ERR));
	answers(meta_blocks_get(tx, P1, &lists[0], 0, &p, &len, ERR), ERR_NOT_FOUND);
	answers(meta_blocks_get(tx, P1, &lists[0], 100, &p, &len, ERR), ERR_NOT_FOUND);
	ok(meta_blocks_get(tx, P1, &lists[0], 200, &p, &len, ERR));
	ok(meta_blocks_get(tx, P1, &lists[1], 0, &p, &len, ERR));
	commit(tx);
}

static struct transfer
a_transfer(unsigned n)
{
	return (struct transfer){
		.id = id_no(n), .device = *DEV, .state = TRANSFER_OPEN, .path = "", .created_at = 5, .expires_at = 1000 + n
	};
}

static void
transfers_lease(void **state)
{
	struct transfer a = a_transfer(10), b = a_transfer(11), c = a_transfer(12), out;
	struct transfer_page *pages;
	struct transfer_event *events;
	struct meta_tx *tx;
	struct id *ids;
	unsigned gone;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &a, ERR));
	ok(meta_transfer_add(tx, P1, &b, ERR));
	ok(meta_transfer_add(tx, P2, &c, ERR));
	ok(meta_transfer_blocks_put(tx, &a.id, 0, (const uint8_t *)"one", 3, 1, ERR));
	ok(meta_transfer_blocks_put(tx, &a.id, 8192, (const uint8_t *)"three", 5, 1, ERR));
	ok(meta_transfer_open_list(tx, P1, NULL, 10, &ids, &n, ERR));
	assert_int_equal(n, 2);
	assert_id(&ids[0], &a.id);
	ok(meta_transfer_open_list(tx, P1, &a.id, 10, &ids, &n, ERR));
	assert_int_equal(n, 1);
	ok(meta_transfer_blocks_list(tx, &a.id, -1, 10, &pages, &n, ERR));
	assert_int_equal(n, 2);
	assert_int_equal(pages[1].first, 8192);
	assert_memory_equal(pages[1].packed, "three", 5);
	ok(meta_transfer_blocks_list(tx, &a.id, 0, 10, &pages, &n, ERR));
	assert_int_equal(n, 1);

	ok(meta_transfer_end(tx, P1, &a.id, TRANSFER_DONE, 50, ERR));
	ok(meta_transfer_expire(tx, 1011, &gone, ERR)); /* b */
	assert_int_equal(gone, 1);
	ok(meta_transfer_event_list(tx, &b.id, 10, &events, &n, ERR));
	assert_int_equal(n, 1);
	assert_string_equal(events[0].event, "expired");
	ok(meta_transfer_open_list(tx, P1, NULL, 10, &ids, &n, ERR));
	assert_int_equal(n, 0);

	ok(meta_transfer_forget(tx, 50, 10, &gone, ERR));
	assert_int_equal(gone, 0);
	ok(meta_transfer_forget(tx, 2000, 1, &gone, ERR));
	assert_int_equal(gone, 1);
	ok(meta_transfer_forget(tx, 2000, 10, &gone, ERR));
	assert_int_equal(gone, 1);
	answers(meta_transfer_get(tx, P1, &b.id, &out, ERR), ERR_NOT_FOUND);
	ok(meta_transfer_get(tx, P2, &c.id, &out, ERR)); /* open */
	commit(tx);
}

static void
objects_are_named(void **state)
{
	struct snapshot s = {
		.id = id_no(5), .clock = 9, .epoch = id_no(6), .object = hash_no(7), .created_at = 1, .expires_at = 2
	};
	struct hash chunk = hash_no(1), nobody = hash_no(2);
	struct meta_tx *tx;
	bool named;

	add_basics(*state);
	tx = writer(*state);
	add_chunk(tx, 1, 1);
	ok(meta_snapshot_add(tx, P1, &s, ERR));
	ok(meta_object_named(tx, P1, &chunk, &named, ERR));
	assert_true(named);
	ok(meta_object_named(tx, P1, &s.object, &named, ERR));
	assert_true(named);
	ok(meta_object_named(tx, P1, &nobody, &named, ERR));
	assert_false(named);
	ok(meta_object_named(tx, P2, &chunk, &named, ERR));
	assert_false(named);
	commit(tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(chunks_come_and_go),
	cmocka_unit_test(lists_are_named),
	cmocka_unit_test(pages_in_order),
	cmocka_unit_test(transfers_lease),
	cmocka_unit_test(objects_are_named),
};
const struct group group_garbage = { tests, ARRAY_LEN(tests) };
