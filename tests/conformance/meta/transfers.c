/* Transfers and what hangs on them. */
#include "suite.h"

static struct transfer
a_transfer(unsigned n, int64_t expires_at)
{
	return (struct transfer){ .id = id_no(n), .device = *DEV, .state = TRANSFER_OPEN, .path = "big.mov", .size = INT64_C(1) << 40,
		.created_at = 5, .expires_at = expires_at };
}

static void
assert_transfer(struct meta_tx *tx, const struct id *id, const struct transfer *want)
{
	struct transfer t;

	ok(meta_transfer_get(tx, P1, id, &t, ERR));
	assert_id(&t.id, &want->id);
	assert_id(&t.device, &want->device);
	assert_int_equal(t.state, want->state);
	assert_string_equal(t.path, want->path);
	assert_int_equal(t.size, want->size);
	assert_int_equal(t.chunk_count, want->chunk_count);
	assert_int_equal(t.bytes_done, want->bytes_done);
	assert_int_equal(t.created_at, want->created_at);
	assert_int_equal(t.expires_at, want->expires_at);
}

static void
assert_open(struct meta_tx *tx, const struct id *device, unsigned want)
{
	unsigned n = 99;

	ok(meta_transfer_open_count(tx, device, &n, ERR));
	assert_int_equal(n, want);
}

/* Chunks, pages and progress of a transfer: what only a running one has. */
static void
assert_running(struct meta_tx *tx, const struct id *id, bool want)
{
	struct transfer_chunk *chunks;
	struct transfer_progress p;
	const uint8_t *page;
	size_t n, len;

	ok(meta_transfer_chunk_list(tx, id, 0, 10, &chunks, &n, ERR));
	assert_int_equal(n, want ? 1 : 0);
	assert_int_equal(meta_transfer_progress_get(tx, id, &p, ERR), want ? ERR_OK : ERR_NOT_FOUND);
	assert_int_equal(meta_transfer_blocks_get(tx, id, 0, &page, &len, ERR), want ? ERR_OK : ERR_NOT_FOUND);
}

static void
start(struct meta_tx *tx, const struct transfer *t)
{
	struct transfer_chunk c = { .n = 0, .chunk = hash_no(1) };

	ok(meta_transfer_add(tx, P1, t, ERR));
	ok(meta_transfer_chunk_add(tx, &t->id, &c, 100, ERR));
	ok(meta_transfer_progress(tx, &t->id, 100, 6, ERR));
	ok(meta_transfer_blocks_put(tx, &t->id, 0, (const uint8_t *)"page", 4, 1, ERR));
}

static void
add_and_get(void **state)
{
	struct transfer t, out;
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	t = a_transfer(10, 1000);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &t, ERR));
	answers(meta_transfer_add(tx, P1, &t, ERR), ERR_EXISTS);
	commit(tx);
	tx = reader(*state);
	assert_transfer(tx, &t.id, &t);
	answers(meta_transfer_get(tx, P2, &t.id, &out, ERR), ERR_NOT_FOUND);
	answers(meta_transfer_get(tx, P1, &nobody, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	t.id = id_no(11);
	answers(meta_transfer_add(tx, &nobody, &t, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
end(void **state)
{
	struct transfer t, u;
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	t = a_transfer(10, 1000);
	u = a_transfer(11, 1000);
	tx = writer(*state);
	start(tx, &t);
	start(tx, &u);
	commit(tx);
	tx = writer(*state);
	assert_open(tx, DEV, 2);
	assert_running(tx, &t.id, true);
	ok(meta_transfer_end(tx, P1, &t.id, TRANSFER_DONE, 20, ERR));
	ok(meta_transfer_end(tx, P1, &t.id, TRANSFER_ABANDONED, 30, ERR)); /* stays as it ended */
	answers(meta_transfer_end(tx, P1, &nobody, TRANSFER_DONE, 20, ERR), ERR_NOT_FOUND);
	answers(meta_transfer_end(tx, P2, &u.id, TRANSFER_DONE, 20, ERR), ERR_NOT_FOUND);
	commit(tx);
	tx = reader(*state);
	t.state = TRANSFER_DONE;
	t.chunk_count = u.chunk_count = 1;
	t.bytes_done = u.bytes_done = 100;
	assert_transfer(tx, &t.id, &t);
	assert_running(tx, &t.id, false);
	assert_transfer(tx, &u.id, &u);
	assert_running(tx, &u.id, true);
	assert_open(tx, DEV, 1);
	assert_open(tx, &nobody, 0);
	meta_abort(&tx);
}

static void
expire(void **state)
{
	struct transfer t[3], ended;
	struct meta_tx *tx;
	unsigned n;

	add_basics(*state);
	tx = writer(*state);
	for (unsigned i = 0; i < 3; i++) {
		t[i] = a_transfer(10 + i, 99 + (int64_t)i);
		start(tx, &t[i]);
	}
	ended = a_transfer(20, 1);
	ended.state = TRANSFER_DONE;
	ok(meta_transfer_add(tx, P1, &ended, ERR));
	ok(meta_transfer_expire(tx, 98, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_transfer_expire(tx, 100, &n, ERR));
	assert_int_equal(n, 2);
	ok(meta_transfer_expire(tx, 100, &n, ERR));
	assert_int_equal(n, 0);
	commit(tx);
	tx = reader(*state);
	for (unsigned i = 0; i < 3; i++) {
		t[i].state = i < 2 ? TRANSFER_EXPIRED : TRANSFER_OPEN;
		t[i].chunk_count = 1;
		t[i].bytes_done = 100;
		assert_transfer(tx, &t[i].id, &t[i]);
		assert_running(tx, &t[i].id, i == 2);
	}
	assert_transfer(tx, &ended.id, &ended);
	assert_open(tx, DEV, 1);
	meta_abort(&tx);
}

static void
chunks(void **state)
{
	static const uint32_t arrived[] = { 7, 0, 300, 2, TRANSFER_CHUNKS_MAX }, sorted[] = { 0, 2, 7, 300, TRANSFER_CHUNKS_MAX };
	struct transfer_chunk c, *rows;
	struct transfer t, neighbour;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	size_t n, at;

	add_basics(*state);
	t = a_transfer(10, 1000);
	neighbour = a_transfer(11, 1000);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &t, ERR));
	start(tx, &neighbour);
	for (size_t i = 0; i < ARRAY_LEN(arrived); i++) {
		c = (struct transfer_chunk){ .n = arrived[i], .chunk = hash_no(arrived[i]) };
		ok(meta_transfer_chunk_add(tx, &t.id, &c, 1000, ERR));
		ok(meta_transfer_chunk_add(tx, &t.id, &c, 1000, ERR)); /* again: nothing changes (I5) */
	}
	c = (struct transfer_chunk){ .n = 7, .chunk = hash_no(8) };
	answers(meta_transfer_chunk_add(tx, &t.id, &c, 1000, ERR), ERR_EXISTS);
	commit(tx);
	tx = reader(*state);
	t.chunk_count = 5;
	t.bytes_done = 5000;
	assert_transfer(tx, &t.id, &t);
	for (unsigned limit = 1; limit < 7; limit++) {
		uint32_t from = 0;

		at = 0;
		do {
			ok(meta_transfer_chunk_list(tx, &t.id, from, limit, &rows, &n, ERR));
			for (size_t i = 0; i < n; i++, at++) {
				struct hash h = hash_no(sorted[at]);

				assert_int_equal(rows[i].n, sorted[at]);
				assert_hash(&rows[i].chunk, &h);
			}
			from = n ? rows[n - 1].n + 1 : 0;
		} while (n == limit);
		assert_int_equal(at, 5);
	}
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_transfer_chunk_add(tx, &nobody, &c, 1, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
blocks(void **state)
{
	size_t big_len = 300 * KIB, len;
	AUTO(freep) uint8_t *big = xcalloc(1, big_len);
	struct transfer t;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	const uint8_t *p;

	add_basics(*state);
	t = a_transfer(10, 1000);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &t, ERR));
	ok(meta_transfer_blocks_put(tx, &t.id, 8192, (const uint8_t *)"old", 3, 2, ERR));
	ok(meta_transfer_blocks_put(tx, &t.id, 8192, (const uint8_t *)"second", 6, 5, ERR));
	big[big_len - 1] = 1;
	ok(meta_transfer_blocks_put(tx, &t.id, 0, big, big_len, 8192, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_transfer_blocks_get(tx, &t.id, 8192, &p, &len, ERR));
	assert_int_equal(len, 6);
	assert_memory_equal(p, "second", 6);
	ok(meta_transfer_blocks_get(tx, &t.id, 0, &p, &len, ERR));
	assert_int_equal(len, big_len);
	assert_memory_equal(p, big, big_len);
	answers(meta_transfer_blocks_get(tx, &t.id, 1, &p, &len, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_transfer_blocks_put(tx, &nobody, 0, big, 1, 1, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
progress(void **state)
{
	struct transfer_progress p;
	struct transfer t;
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	t = a_transfer(10, 1000);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &t, ERR));
	answers(meta_transfer_progress_get(tx, &t.id, &p, ERR), ERR_NOT_FOUND);
	ok(meta_transfer_progress(tx, &t.id, 10, 100, ERR));
	ok(meta_transfer_progress(tx, &t.id, 20, 200, ERR));
	ok(meta_transfer_progress_get(tx, &t.id, &p, ERR));
	assert_int_equal(p.bytes_done, 20);
	assert_int_equal(p.updated_at, 200);
	commit(tx);
	tx = writer(*state);
	answers(meta_transfer_progress(tx, &nobody, 1, 1, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
events(void **state)
{
	static const char *const milestones[] = { "started", "resumed", "completed" };
	struct transfer t;
	struct transfer_event *rows;
	struct id nobody = id_no(77);
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	t = a_transfer(10, 1000);
	tx = writer(*state);
	ok(meta_transfer_add(tx, P1, &t, ERR));
	for (unsigned i = 0; i < 3; i++)
		ok(meta_transfer_event(tx, P1, &t.id, milestones[i], i < 2 ? 50 : 60, ERR)); /* two in one microsecond */
	ok(meta_transfer_end(tx, P1, &t.id, TRANSFER_DONE, 60, ERR)); /* they stay */
	ok(meta_transfer_event_list(tx, &t.id, 10, &rows, &n, ERR));
	assert_int_equal(n, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(rows[i].event, milestones[i]);
		assert_int_equal(rows[i].at, i < 2 ? 50 : 60);
	}
	ok(meta_transfer_event_list(tx, &t.id, 2, &rows, &n, ERR));
	assert_int_equal(n, 2);
	ok(meta_transfer_event_expire(tx, 50, ERR));
	ok(meta_transfer_event_list(tx, &t.id, 10, &rows, &n, ERR));
	assert_int_equal(n, 3);
	ok(meta_transfer_event_expire(tx, 51, ERR));
	ok(meta_transfer_event_list(tx, &t.id, 10, &rows, &n, ERR));
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].event, "completed");
	answers(meta_transfer_event(tx, P2, &t.id, "started", 1, ERR), ERR_NOT_FOUND);
	answers(meta_transfer_event(tx, P1, &nobody, "started", 1, ERR), ERR_NOT_FOUND);
	commit(tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(add_and_get),
	cmocka_unit_test(end),
	cmocka_unit_test(expire),
	cmocka_unit_test(chunks),
	cmocka_unit_test(blocks),
	cmocka_unit_test(progress),
	cmocka_unit_test(events),
};
const struct group group_transfers = { tests, ARRAY_LEN(tests) };
