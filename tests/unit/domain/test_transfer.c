/* Chunks and transfers: hostile bytes, a store that fails, and many at once. */
#include <pthread.h>

#include "rig.h"

static err_code
send_text(struct rig *r, const struct id *t, uint32_t n, const char *text, struct hash *id)
{
	struct hash want;
	size_t len;
	const uint8_t *p = rig_container(r, (const uint8_t *)text, strlen(text), &want, &len);

	return rig_try_chunk(r, t, n, p, len, id);
}

static struct transfer
look(struct rig *r, const struct id *t, struct transfer_chunk **chunks, size_t *n)
{
	struct transfer out;

	assert_ok(r, transfer_get(r->d, &r->project, &r->device.id, t, 0, 1000, r->a, &out, chunks, n, &r->err));
	return out;
}

static void
chunks_arrive(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct transfer_chunk *chunks;
	struct transfer now;
	struct hash a, b, again;
	uint64_t size;
	uint8_t buf[2000];
	size_t n, got;

	assert_ok(r, send_text(r, &t, 7, "seven", &a));
	assert_ok(r, send_text(r, &t, 2, "two", &b));
	assert_ok(r, send_text(r, &t, 7, "seven", &again)); /* once more: the acknowledgement was lost */
	assert_true(hash_eq(&a, &again));
	assert_code(r, ERR_CHUNK_CONFLICT, send_text(r, &t, 7, "not seven", &again));
	assert_ok(r, send_text(r, &t, 8, "seven", &again)); /* the same chunk under another number */
	now = look(r, &t, &chunks, &n);
	assert_int_equal(n, 3);
	assert_int_equal(chunks[0].n, 2);
	assert_int_equal(chunks[1].n, 7);
	assert_true(hash_eq(&chunks[1].chunk, &a));
	assert_int_equal(now.chunk_count, 3);
	assert_int_equal(now.state, TRANSFER_OPEN);
	assert_ok(r, chunk_size(r->d, &r->project, &a, &size, &r->err));
	assert_int_equal(size, CHUNK_FIXED_LEN + CHUNK_ENTRY_LEN + 5);
	assert_ok(r, chunk_read(r->d, &r->project, &a, size - 5, buf, sizeof buf, &got, &r->err));
	assert_int_equal(got, 5);
	assert_memory_equal(buf, "seven", 5);
	assert_code(r, ERR_NOT_IMPLEMENTED, chunk_fd(r->d, &r->project, &a, &(int){ 0 }, &size, &r->err));
	assert_code(r, ERR_NOT_FOUND, chunk_size(r->d, &r->project, &(struct hash){ 0 }, &size, &r->err));
	assert_code(r, ERR_NOT_FOUND, chunk_size(r->d, &(struct id){ 0 }, &a, &size, &r->err));
	assert_code(r, ERR_NOT_FOUND, chunk_read(r->d, &(struct id){ 0 }, &a, 0, buf, 1, &got, &r->err));
}

static void
who_may_send(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r), mine = r->device.id, project = r->project;
	struct transfer_chunk *chunks;
	struct transfer out;
	struct project other;
	struct hash id;
	size_t n;

	assert_code(r, ERR_FIELD_RANGE, send_text(r, &t, TRANSFER_CHUNKS_MAX, "x", &id));
	assert_ok(r, send_text(r, &t, TRANSFER_CHUNKS_MAX - 1, "x", &id));
	r->device.id = r->owner.id; /* another device, even the owner's */
	assert_code(r, ERR_NOT_FOUND, send_text(r, &t, 0, "x", &id));
	assert_code(r, ERR_NOT_FOUND, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err));
	assert_code(r, ERR_NOT_FOUND, transfer_get(r->d, &project, &r->device.id, &t, 0, 1, r->a, &out, &chunks, &n, &r->err));
	r->device.id = mine;
	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	r->project = other.id;
	assert_code(r, ERR_NOT_FOUND, send_text(r, &t, 0, "x", &id));
	r->project = project;
	assert_ok(r, transfer_abandon(r->d, &project, &mine, &t, &r->err));
	assert_ok(r, transfer_abandon(r->d, &project, &mine, &t, &r->err));
	assert_code(r, ERR_TRANSFER_GONE, send_text(r, &t, 0, "x", &id));
	assert_int_equal(look(r, &t, &chunks, &n).state, TRANSFER_ABANDONED);
}

static void
starting(void **state)
{
	struct rig *r = *state;
	struct transfer_start s = { .device = r->device.id, .path = "a/../b" };
	struct transfer t;

	assert_code(r, ERR_PATH_INVALID, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	s.path = "film/take 1.mov";
	s.size = -1;
	assert_code(r, ERR_FIELD_RANGE, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	s.size = (int64_t)FILE_SIZE_MAX + 1;
	assert_code(r, ERR_FILE_TOO_LARGE, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	s.size = (int64_t)FILE_SIZE_MAX;
	assert_code(r, ERR_NOT_FOUND, transfer_create(r->d, &(struct id){ 0 }, &s, NULL, r->a, &t, &r->err));
	for (int i = 0; i < TRANSFERS_PER_DEVICE_MAX; i++)
		assert_ok(r, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	assert_string_equal(t.path, "film/take 1.mov");
	assert_int_equal(t.expires_at, t.created_at + TRANSFER_LIFE_US);
	assert_code(r, ERR_TOO_MANY_UPLOADS, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t.id, &r->err));
	assert_ok(r, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	s.device = r->owner.id;
	assert_ok(r, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err)); /* others are not affected */
}

/* ---- hostile bytes ----------------------------------------------------------------------------------------------- */

struct objects {
	size_t n;
};

static bool
count(void *ctx, const struct store_key *key, uint64_t size)
{
	struct objects *o = ctx;

	(void)key;
	(void)size;
	o->n++;
	return true;
}

static size_t
object_count(struct rig *r)
{
	struct objects o = { 0 };

	assert_ok(r, store_list(r->store, count, &o, &r->err));
	return o.n;
}

static void
hostile_containers(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	AUTO(freep) uint8_t *plain = bytes_new(3 * BLOCK_LEN_MAX, 1);
	struct hash id;
	size_t len;
	const uint8_t *good = rig_container(r, plain, 3 * BLOCK_LEN_MAX, &id, &len);
	AUTO(freep) uint8_t *bad = xmalloc(len + 1);
	static const struct {
		size_t at;
		uint8_t flip;
		err_code code;
	} rows[] = {
		{ 0, 1, ERR_CHUNK_INVALID },     /* magic */
		{ 8, 1, ERR_HASH_MISMATCH },     /* block count: the header ends elsewhere */
		{ 11, 0x80, ERR_CHUNK_INVALID }, /* two thousand million blocks */
		{ 12, 1, ERR_CHUNK_INVALID },    /* reserved */
		{ 16, 1, ERR_HASH_MISMATCH },    /* a block's hash */
		{ 50, 0xff, ERR_CHUNK_INVALID }, /* a raw length past 64 KiB */
		{ 200, 1, ERR_HASH_MISMATCH },   /* payload */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		memcpy(bad, good, len);
		bad[rows[i].at] ^= rows[i].flip;
		assert_code(r, rows[i].code, rig_try_chunk(r, &t, 0, bad, len, &id));
	}
	memcpy(bad, good, len);
	assert_code(r, ERR_CHUNK_INVALID, rig_try_chunk(r, &t, 0, bad, 0, &id));
	assert_code(r, ERR_CHUNK_INVALID, rig_try_chunk(r, &t, 0, bad, 15, &id));
	assert_code(r, ERR_CHUNK_INVALID, rig_try_chunk(r, &t, 0, bad, len - 1, &id));
	bad[len] = 0;
	assert_code(r, ERR_CHUNK_INVALID, rig_try_chunk(r, &t, 0, bad, len + 1, &id));
	assert_int_equal(object_count(r), 0);
	assert_ok(r, rig_try_chunk(r, &t, 0, good, len, &id));
	assert_int_equal(object_count(r), 1);
}

/* ---- a store that fails ------------------------------------------------------------------------------------------ */

static void
a_failing_store_commits_nothing(void **state)
{
	struct rig *r = *state;
	static const char *const ops[] = { "open", "write", "finish", "finished" };
	struct transfer_chunk *chunks;
	struct id t = rig_transfer(r);
	struct hash id;
	uint64_t size;
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		char *text = arena_printf(r->a, "text %zu", i);
		struct hash want;
		size_t len;

		rig_container(r, (uint8_t *)text, strlen(text), &want, &len);
		store_fault_arm(r->store, ops[i], 0, i == 2 ? ERR_READ_ONLY : ERR_NO_SPACE);
		assert_code(r, i == 2 ? ERR_READ_ONLY : ERR_NO_SPACE, send_text(r, &t, (uint32_t)i, text, &id));
		look(r, &t, &chunks, &n);
		assert_int_equal(n, i);
		assert_code(r, ERR_NOT_FOUND, chunk_size(r->d, &r->project, &want, &size, &r->err));
		assert_ok(r, send_text(r, &t, (uint32_t)i, text, &id)); /* and again, with success */
		assert_true(hash_eq(&id, &want));
	}
}

static void
a_row_without_its_object_is_damage(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct store_key key = { .project = r->project };
	uint64_t size;

	assert_ok(r, send_text(r, &t, 0, "text", &key.hash));
	assert_ok(r, store_delete(r->store, &key, &r->err));
	assert_code(r, ERR_CORRUPT, chunk_size(r->d, &r->project, &key.hash, &size, &r->err));
}

static void
block_lists(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct block b = { .len = 1 };
	struct extent e = { .count = 1 };
	struct blocklist l = { .blocks = &b, .block_count = 1, .extents = &e, .extent_count = 1 };
	uint8_t packed[200];
	size_t len = blocklist_packed_len(&l);

	blocklist_pack(&l, packed);
	assert_ok(r, transfer_put_blocks(r->d, &r->project, &r->device.id, &t, 0, packed, len, r->a, &r->err));
	assert_ok(r, transfer_put_blocks(r->d, &r->project, &r->device.id, &t, 0, packed, len, r->a, &r->err));
	assert_ok(r, transfer_put_blocks(r->d, &r->project, &r->device.id, &t, FILE_SIZE_MAX - 1, packed, len, r->a, &r->err));
	assert_code(r, ERR_FIELD_RANGE,
	    transfer_put_blocks(r->d, &r->project, &r->device.id, &t, FILE_SIZE_MAX, packed, len, r->a, &r->err));
	assert_code(r, ERR_FIELD_RANGE,
	    transfer_put_blocks(r->d, &r->project, &r->device.id, &t, UINT64_MAX, packed, len, r->a, &r->err));
	assert_code(r, ERR_BLOCKLIST_INVALID,
	    transfer_put_blocks(r->d, &r->project, &r->device.id, &t, 0, packed, len - 1, r->a, &r->err));
	assert_code(r, ERR_NOT_FOUND,
	    transfer_put_blocks(r->d, &r->project, &r->owner.id, &t, 0, packed, len, r->a, &r->err));
}

/* ---- many at once ------------------------------------------------------------------------------------------------ */

enum { THREADS = 8, CHUNKS = 40 };

struct sender {
	struct rig *r;
	struct id transfer, gone;
	unsigned who;
	const char *wrong;
};

static err_code
send_raw(struct sender *s, const struct id *t, uint32_t n, const char *text)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	struct hash h = hash_of(text, strlen(text)), id;
	struct chunk_in *c;
	struct err err;
	const uint8_t *p;
	size_t len;
	err_code rc;

	chunk_builder_add(b, (const uint8_t *)text, strlen(text), &h);
	p = chunk_builder_finish(b, &id, &len);
	rc = chunk_in_open(s->r->d, &s->r->project, &s->r->device.id, t, n, &c, &err);
	if (rc)
		return rc;
	rc = chunk_in_feed(c, p, len, &err);
	if (!rc)
		rc = chunk_in_finish(c, &id, &err);
	chunk_in_free(c);
	return rc;
}

static void *
sender_main(void *arg)
{
	struct sender *s = arg;
	char text[64];

	for (unsigned i = 0; i < CHUNKS; i++) {
		snprintf(text, sizeof text, "thread %u chunk %u", s->who, i);
		if (send_raw(s, &s->transfer, s->who * CHUNKS + i, text))
			s->wrong = "a good chunk was refused";
		/* Mistakes among them cost the neighbours nothing. */
		if (send_raw(s, &s->transfer, s->who * CHUNKS + i, "another") != ERR_CHUNK_CONFLICT)
			s->wrong = "a number was given twice";
		if (send_raw(s, &s->gone, i, text) != ERR_TRANSFER_GONE)
			s->wrong = "a transfer that has ended took a chunk";
	}
	return NULL;
}

static void
many_at_once(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r), gone = rig_transfer(r);
	struct sender senders[THREADS];
	pthread_t threads[THREADS];
	struct transfer_chunk *chunks;
	size_t n;

	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &gone, &r->err));
	for (unsigned i = 0; i < THREADS; i++) {
		senders[i] = (struct sender){ .r = r, .transfer = t, .gone = gone, .who = i };
		assert_ok(r, thread_start("sender", sender_main, &senders[i], &threads[i], &r->err));
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		if (senders[i].wrong)
			fail_msg("%s", senders[i].wrong);
	}
	look(r, &t, &chunks, &n);
	assert_int_equal(n, THREADS * CHUNKS);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(chunks[i].n, i);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(chunks_arrive), T(who_may_send), T(starting), T(hostile_containers), T(a_failing_store_commits_nothing),
		T(a_row_without_its_object_is_damage), T(block_lists), T(many_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
