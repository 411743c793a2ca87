/* Plain bytes in and out, by path and by range. */
#include "rig.h"

static err_code
feed(struct rig *r, struct content_in *c, const uint8_t *p, size_t len, size_t piece)
{
	err_code rc = ERR_OK;

	for (size_t at = 0; !rc && at < len; at += piece)
		rc = content_in_feed(c, p + at, MIN(piece, len - at), &r->err);
	return rc;
}

static err_code
try_put(struct rig *r, const struct content_put *put, const uint8_t *p, size_t len, struct file *out, bool *created)
{
	struct content_in *c;
	err_code rc = content_in_open(r->d, &r->project, put, &c, &r->err);

	if (rc)
		return rc;
	rc = feed(r, c, p, len, 100000);
	if (!rc)
		rc = content_in_finish(c, r->a, out, created, &r->err);
	content_in_free(c);
	return rc;
}

static struct content_put
put_at(struct rig *r, const char *path, size_t size)
{
	return (struct content_put){ .path = path, .device = r->device.id, .size = (int64_t)size };
}

static err_code
put_string(struct rig *r, struct content_put put, const char *text, bool *created)
{
	struct file f;

	put.size = (int64_t)strlen(text);
	return try_put(r, &put, (const uint8_t *)text, strlen(text), &f, created);
}

static void
assert_range(struct rig *r, struct content_out *c, const uint8_t *want, size_t size, uint64_t off, size_t len)
{
	AUTO(freep) uint8_t *buf = xmalloc(len + 1);
	size_t expect = off < size ? MIN(len, size - (size_t)off) : 0, got;

	assert_ok(r, content_read(c, off, buf, len, &got, &r->err));
	assert_int_equal(got, expect);
	assert_memory_equal(buf, want + MIN(off, size), got);
}

static void
round_trips(void **state)
{
	struct rig *r = *state;
	static const size_t sizes[] = { 0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t size = sizes[i];
		AUTO(freep) uint8_t *p = bytes_new(size, i);
		struct content_put put = put_at(r, arena_printf(r->a, "dir/f%zu", size), size);
		struct content_out *c;
		struct file f;
		bool created;

		if (i % 2)
			memset(p + size / 3, 'x', size / 2); /* a part that compresses */
		assert_ok(r, try_put(r, &put, p, size, &f, &created));
		assert_true(created);
		assert_int_equal(f.size, (int64_t)size);
		assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
		assert_range(r, c, p, size, 0, size + 10);
		assert_range(r, c, p, size, 0, 1);
		assert_range(r, c, p, size, size, 1);
		assert_range(r, c, p, size, UINT64_MAX, 1);
		assert_range(r, c, p, size, size - MIN(size, 1), 1);
		for (unsigned k = 0; size > 0 && k < 60; k++) /* back and forth, within blocks and across */
			assert_range(r, c, p, size, (k * 7919 * 4099) % size, 1 + k * 3001 % 200000);
		for (uint64_t at = 0; at < size; at += 50000)
			assert_range(r, c, p, size, at, 50000);
		content_close(c);
	}
	rig_assert_sums(r);
}

static void
content_is_as_a_client_would_cut_it(void **state)
{
	struct rig *r = *state;
	AUTO(freep) uint8_t *p = bytes_new(1000000, 3);
	struct content_put put = put_at(r, "f", 1000000);
	struct made m = rig_upload(r, p, 1000000);
	struct file f;
	bool created;

	assert_ok(r, try_put(r, &put, p, 1000000, &f, &created));
	assert_true(hash_eq(&f.content, &m.content));
	assert_true(rig_do(r, put_file("f", &m)).unchanged);
}

static void
sizes_must_be_kept(void **state)
{
	struct rig *r = *state;
	struct content_put put = put_at(r, "f", 100000);
	AUTO(freep) uint8_t *p = bytes_new(100001, 3);
	struct file f;
	bool created;

	assert_code(r, ERR_SIZE_MISMATCH, try_put(r, &put, p, 99999, &f, &created));
	assert_code(r, ERR_SIZE_MISMATCH, try_put(r, &put, p, 100001, &f, &created));
	put.size = -1;
	assert_code(r, ERR_FIELD_RANGE, try_put(r, &put, p, 0, &f, &created));
	put.size = (int64_t)FILE_SIZE_MAX + 1;
	assert_code(r, ERR_FILE_TOO_LARGE, try_put(r, &put, p, 0, &f, &created));
	put.path = "a//b";
	assert_code(r, ERR_PATH_INVALID, try_put(r, &put, p, 0, &f, &created));
	assert_false(rig_there(r, "f"));
}

static void
conditions(void **state)
{
	struct rig *r = *state;
	struct content_put put = put_at(r, "f", 0);
	bool created;
	int64_t v;

	put.condition = IF_VERSION;
	put.version = -1;
	assert_code(r, ERR_PRECONDITION_FAILED, put_string(r, put, "one", &created));
	put.condition = IF_ABSENT;
	assert_ok(r, put_string(r, put, "one", &created));
	assert_true(created);
	assert_code(r, ERR_PRECONDITION_FAILED, put_string(r, put, "two", &created));
	v = rig_at(r, "f").version;
	put.condition = IF_VERSION;
	assert_ok(r, put_string(r, put, "two", &created));
	assert_false(created);
	put.version = v;
	assert_code(r, ERR_PRECONDITION_FAILED, put_string(r, put, "three", &created));
	put.condition = IF_ANY;
	assert_ok(r, put_string(r, put, "three", &created));
	rig_assert_text(r, "f", "three");
	rig_do(r, restore_at(r, "f", v)); /* what was written over is in the history */
	rig_assert_text(r, "f", "one");
}

/* Somebody else writes while the bytes arrive. */
static void
races(void **state)
{
	struct rig *r = *state;
	static const struct {
		enum content_condition condition;
		err_code code;
	} rows[] = { { IF_ANY, ERR_OK }, { IF_VERSION, ERR_PRECONDITION_FAILED }, { IF_ABSENT, ERR_PRECONDITION_FAILED } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *path = arena_printf(r->a, "f%zu", i);
		struct content_put put = put_at(r, path, 4);
		struct content_in *c;
		struct file f;
		bool created;

		if (rows[i].condition != IF_ABSENT)
			put.version = rig_do(r, put_text(r, path, "before")).version;
		put.condition = rows[i].condition;
		assert_ok(r, content_in_open(r->d, &r->project, &put, &c, &r->err));
		assert_ok(r, content_in_feed(c, (const uint8_t *)"mine", 4, &r->err));
		rig_do(r, rows[i].condition == IF_ABSENT ? put_text(r, path, "theirs") : on(put_text(r, path, "theirs"), put.version));
		assert_code(r, rows[i].code, content_in_finish(c, r->a, &f, &created, &r->err));
		content_in_free(c);
		rig_assert_text(r, path, rows[i].code ? "theirs" : "mine");
	}
}

static void
what_is_in_the_way(void **state)
{
	struct rig *r = *state;
	bool created;

	rig_do(r, put_dir("d"));
	rig_do(r, put_link("l", "d"));
	assert_code(r, ERR_NAME_EXISTS, put_string(r, put_at(r, "d", 0), "x", &created));
	assert_code(r, ERR_PARENT_NOT_DIRECTORY, put_string(r, put_at(r, "l/x", 0), "x", &created));
	assert_ok(r, put_string(r, put_at(r, "l", 0), "x", &created)); /* a link is replaced, never followed */
	assert_false(created);
	rig_assert_text(r, "l", "x");
	assert_code(r, ERR_NOT_FOUND, content_open(r->d, &r->project, &(struct file){ .kind = KIND_DIR }, NULL, &r->err));
}

static void
deleting(void **state)
{
	struct rig *r = *state;
	int64_t v;

	rig_commit(r, (struct op[]){ put_dir("d"), put_text(r, "d/f", "x") }, 2);
	v = rig_at(r, "d/f").version;
	assert_code(r, ERR_NOT_FOUND, content_delete(r->d, &r->project, &r->device.id, "no", IF_ANY, 0, false, &r->err));
	assert_code(r, ERR_PRECONDITION_FAILED, content_delete(r->d, &r->project, &r->device.id, "no", IF_VERSION, -1, false, &r->err));
	assert_code(r, ERR_NOT_EMPTY, content_delete(r->d, &r->project, &r->device.id, "d", IF_ANY, 0, false, &r->err));
	assert_code(r, ERR_PRECONDITION_FAILED, content_delete(r->d, &r->project, &r->device.id, "d/f", IF_VERSION, v - 1, false, &r->err));
	assert_ok(r, content_delete(r->d, &r->project, &r->device.id, "d/f", IF_VERSION, v, false, &r->err));
	assert_ok(r, content_delete(r->d, &r->project, &r->device.id, "d", IF_ANY, 0, false, &r->err));
	assert_code(r, ERR_PATH_INVALID, content_delete(r->d, &r->project, &r->device.id, "../x", IF_ANY, 0, false, &r->err));
	assert_int_equal(rig_assert_sums(r), 0);
}

static void
a_failing_store(void **state)
{
	struct rig *r = *state;
	static const char *const ops[] = { "open", "write", "finish" };
	AUTO(freep) uint8_t *p = bytes_new(5 * MIB, 3);
	struct content_put put = put_at(r, "f", 5 * MIB);
	struct file f;
	bool created;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		store_fault_arm(r->store, ops[i], 1, ERR_NO_SPACE); /* in the middle */
		assert_code(r, ERR_NO_SPACE, try_put(r, &put, p, 5 * MIB, &f, &created));
		assert_false(rig_there(r, "f"));
	}
	assert_ok(r, try_put(r, &put, p, 5 * MIB, &f, &created));
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* Puts an object with one byte changed in the place of another. */
static void
damage(struct rig *r, const struct store_key *key, uint64_t at)
{
	uint64_t size;
	AUTO(freep) uint8_t *p = NULL;
	size_t got;

	assert_ok(r, store_size(r->store, key, &size, &r->err));
	p = xmalloc(size);
	assert_ok(r, store_read(r->store, key, 0, p, size, &got, &r->err));
	p[at == UINT64_MAX ? size - 1 : at] ^= 1;
	assert_ok(r, store_delete(r->store, key, &r->err));
	assert_ok(r, store_put(r->store, key, p, size, &r->err));
}

static void
damaged_bytes_are_never_given(void **state)
{
	struct rig *r = *state;
	static const uint64_t places[] = { 20 /* header */, CHUNK_FIXED_LEN + 3 * CHUNK_ENTRY_LEN + 1 /* first block */,
		UINT64_MAX /* last block */ };
	AUTO(freep) uint8_t *p = bytes_new(3 * BLOCK_LEN_MAX, 5);
	AUTO(freep) uint8_t *buf = xmalloc(3 * BLOCK_LEN_MAX);
	struct made m = rig_upload(r, p, 3 * BLOCK_LEN_MAX);
	struct store_key key = { .project = r->project, .hash = m.extent.chunk };
	struct file f;

	rig_do(r, put_file("f", &m));
	f = rig_at(r, "f");
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct content_out *c;
		size_t got = 0;

		domain_free(r->d);
		r->d = domain_open(r->meta, r->store); /* as after a restart: no header in memory */
		damage(r, &key, places[i]);
		assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
		if (i == 2) { /* what is before the damage is still good */
			assert_ok(r, content_read(c, 0, buf, 2 * BLOCK_LEN_MAX, &got, &r->err));
			assert_int_equal(got, 2 * BLOCK_LEN_MAX);
			assert_memory_equal(buf, p, got);
		}
		assert_code(r, ERR_CORRUPT, content_read(c, 2 * BLOCK_LEN_MAX * (i == 2), buf, 100, &got, &r->err));
		assert_int_equal(got, 0);
		assert_code(r, ERR_CORRUPT, content_read(c, 2 * BLOCK_LEN_MAX * (i == 2) + 5, buf, 100, &got, &r->err));
		content_close(c);
		damage(r, &key, places[i]); /* repaired */
	}
	assert_ok(r, store_delete(r->store, &key, &r->err));
	{
		struct content_out *c;
		size_t got;

		assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
		assert_code(r, ERR_CORRUPT, content_read(c, 0, buf, 100, &got, &r->err));
		content_close(c);
	}
}

static void
a_read_that_fails_may_succeed_later(void **state)
{
	struct rig *r = *state;
	struct content_out *c;
	struct file f;
	uint8_t buf[10];
	size_t got;

	rig_do(r, put_text(r, "f", "text"));
	f = rig_at(r, "f");
	assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
	store_fault_arm(r->store, "read", 0, ERR_UNAVAILABLE);
	assert_code(r, ERR_UNAVAILABLE, content_read(c, 0, buf, 10, &got, &r->err));
	assert_ok(r, content_read(c, 0, buf, 10, &got, &r->err));
	assert_memory_equal(buf, "text", 4);
	content_close(c);
}

static void
entity_tags(void **state)
{
	struct rig *r = *state;
	struct file f = { .id = id_new(), .version = INT64_MAX };
	char a[ETAG_MAX], b[ETAG_MAX];
	size_t len = strlen(content_etag(&f, a));

	(void)r;
	assert_true(len < ETAG_MAX - 1);
	assert_true(a[0] == '"' && a[len - 1] == '"');
	f.version--;
	assert_string_not_equal(a, content_etag(&f, b));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(round_trips), T(content_is_as_a_client_would_cut_it), T(sizes_must_be_kept), T(conditions), T(races),
		T(what_is_in_the_way), T(deleting), T(a_failing_store), T(damaged_bytes_are_never_given),
		T(a_read_that_fails_may_succeed_later), T(entity_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
