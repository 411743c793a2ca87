/* What a project may store, and what it may do when that is used up. */
#include "rig.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 16, PARTS = 5, CHUNK_BYTES = 100000 };

static void
set_quota(struct rig *r, int64_t bytes)
{
	struct project_change change = { .keep_versions = -1, .keep_days = -1, .quota_bytes = bytes };
	struct project p;

	assert_ok(r, project_update(r->d, &r->project, &change, r->a, &p, &r->err));
	assert_int_equal(p.policy.quota_bytes, bytes);
}

static int64_t
stored(struct rig *r)
{
	return rig_project(r).stored_bytes;
}

/* Bytes that do not compress, and a container of them. */
static const uint8_t *
content(struct rig *r, uint64_t seed)
{
	uint8_t *bytes = arena_must(r->a, CHUNK_BYTES);

	fill(bytes, CHUNK_BYTES, seed);
	return bytes;
}

static const uint8_t *
container(struct rig *r, uint64_t seed, struct hash *id, size_t *len)
{
	return rig_container(r, content(r, seed), CHUNK_BYTES, id, len);
}

static bool
in_store(struct rig *r, const struct hash *id)
{
	struct err err; /* threads look as well */
	uint64_t size;

	return store_size(r->store, &(struct store_key){ r->project, *id }, &size, &err) == ERR_OK;
}

/* ---- chunks -------------------------------------------------------------------------------------------------------- */

static void
test_chunks(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct hash one, two, got;
	size_t len, two_len;
	const uint8_t *p = container(r, 1, &one, &len), *q = container(r, 2, &two, &two_len);

	assert_ok(r, rig_try_chunk(r, &t, 0, p, len, &got));
	assert_int_equal(stored(r), len);
	set_quota(r, (int64_t)(len + two_len) - 1);
	assert_code(r, ERR_QUOTA, rig_try_chunk(r, &t, 1, q, two_len, &got));
	assert_false(in_store(r, &two)); /* refused before anything is stored */
	assert_int_equal(stored(r), len);
	assert_ok(r, rig_try_chunk(r, &t, 0, p, len, &got)); /* a repetition (I5), and a number of its own for what is there */
	assert_ok(r, rig_try_chunk(r, &t, 7, p, len, &got));
	assert_int_equal(stored(r), len);
	set_quota(r, (int64_t)(len + two_len));
	assert_ok(r, rig_try_chunk(r, &t, 1, q, two_len, &got));
	assert_int_equal(stored(r), len + two_len); /* to the byte */
	set_quota(r, 0);
	p = container(r, 3, &one, &len);
	assert_ok(r, rig_try_chunk(r, &t, 2, p, len, &got));
}

/* A quota near 2^63, and one below what is stored. */
static void
test_extremes(void **state)
{
	struct rig *r = *state;
	struct id t = rig_transfer(r);
	struct hash id, got;
	size_t len;
	const uint8_t *p = container(r, 1, &id, &len);

	set_quota(r, INT64_MAX);
	assert_ok(r, rig_try_chunk(r, &t, 0, p, len, &got));
	set_quota(r, 1);
	p = container(r, 2, &id, &len);
	assert_code(r, ERR_QUOTA, rig_try_chunk(r, &t, 1, p, len, &got));
}

/* ---- the other ways in --------------------------------------------------------------------------------------------- */

static err_code
put_bytes(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	struct content_put put = { .path = path, .device = r->device.id, .size = (int64_t)len };
	struct content_in *c;
	struct file f;
	bool created;
	err_code rc = content_in_open(r->d, &r->project, &put, &c, &r->err);

	if (rc)
		return rc;
	rc = content_in_feed(c, p, len, &r->err);
	if (!rc)
		rc = content_in_finish(c, r->a, &f, &created, &r->err);
	content_in_free(c);
	return rc;
}

static void
test_plain_put(void **state)
{
	struct rig *r = *state;
	struct content_put one = { .path = "c", .device = r->device.id, .size = 1 };
	struct content_in *c;
	size_t len = 9 * MIB; /* three chunks */
	AUTO(freep) uint8_t *p = bytes_new(len, 5);
	int64_t before;

	assert_ok(r, put_bytes(r, "a", p, 1000));
	before = stored(r);
	set_quota(r, before + (int64_t)(5 * MIB)); /* one of them */
	assert_code(r, ERR_QUOTA, put_bytes(r, "b", p, len));
	assert_false(rig_there(r, "b"));
	assert_true(stored(r) <= before + (int64_t)(5 * MIB));
	set_quota(r, before + (int64_t)(10 * MIB));
	assert_ok(r, put_bytes(r, "b", p, len));
	set_quota(r, stored(r));
	assert_code(r, ERR_QUOTA, content_in_open(r->d, &r->project, &one, &c, &r->err)); /* before the byte comes */
	assert_ok(r, put_bytes(r, "empty", p, 0));
	set_quota(r, stored(r) + 1);
	assert_code(r, ERR_QUOTA, put_bytes(r, "c", p, 1)); /* its container is longer than that */
}

static void
test_transfers(void **state)
{
	struct rig *r = *state;
	struct transfer_start s = { .device = r->device.id, .path = "" };
	struct id begun = rig_transfer(r);
	struct transfer t;

	rig_do(r, put_text(r, "a", "one"));
	set_quota(r, stored(r));
	assert_code(r, ERR_QUOTA, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &begun, &r->err));
	set_quota(r, stored(r) + 1);
	assert_ok(r, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
}

/* What is metadata alone goes on. */
static void
test_commits(void **state)
{
	struct rig *r = *state;
	struct op_result a = rig_do(r, put_text(r, "a", "one")), two = rig_do(r, on(put_text(r, "a", "two"), a.version));
	struct op copy = { .kind = OP_PUT, .path = "copy", .source = CONTENT_FROM, .from_file = a.file, .from_version = a.version };
	struct file f;

	set_quota(r, 1);
	rig_do(r, put_dir("d"));
	rig_do(r, put_link("l", "a"));
	rig_do(r, copy);
	rig_do(r, mv_at(r, "a", "d/a"));
	rig_do(r, restore_at(r, "d/a", a.version));
	rig_assert_text(r, "d/a", "one");
	f = rig_at(r, "d/a");
	rig_do(r, del(&f));
	rig_do(r, del_at(r, "l"));
	assert_false(rig_there(r, "d/a"));
	rig_assert_text(r, "copy", "one");
	assert_true(two.version > a.version);
	rig_assert_sums(r);
}

/* ---- many at once (P7) --------------------------------------------------------------------------------------------- */

struct sender {
	struct rig *r;
	char path[16];
	struct id transfer;
	const uint8_t *bytes, *p; /* the content, and its container */
	struct hash id;
	size_t len;
	err_code rc;
};

/* curl -T: one chunk, the same as its container. */
static void *
put_main(void *arg)
{
	struct sender *s = arg;
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct content_put put = { .path = s->path, .device = s->r->device.id, .size = CHUNK_BYTES };
	struct content_in *c;
	struct err err;
	struct file f;
	bool created;

	s->rc = content_in_open(s->r->d, &s->r->project, &put, &c, &err);
	if (s->rc)
		return NULL;
	s->rc = content_in_feed(c, s->bytes, CHUNK_BYTES, &err);
	if (!s->rc)
		s->rc = content_in_finish(c, a, &f, &created, &err);
	content_in_free(c);
	return NULL;
}

static void *
chunk_main(void *arg)
{
	struct sender *s = arg;
	struct chunk_in *c;
	struct hash got;
	struct err err;

	s->rc = chunk_in_open(s->r->d, &s->r->project, &s->r->device.id, &s->transfer, (uint32_t)(s->id.b[0] << 8 | s->id.b[1]), &c, &err);
	if (s->rc)
		return NULL;
	s->rc = chunk_in_feed(c, s->p, s->len, &err);
	if (!s->rc)
		s->rc = chunk_in_finish(c, &got, &err);
	chunk_in_free(c);
	return NULL;
}

static void
wait_stored(struct rig *r, const struct sender *s)
{
	while (!in_store(r, &s->id))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/*
 * Sixteen chunks of which five fit.  While the database's writer is held all of them are found to fit and are stored; then they are
 * registered, in groups and one after the other, and only five may be.
 */
static void
race(struct rig *r, void *(*main)(void *))
{
	struct id t = rig_transfer(r);
	AUTO(freep) struct sender *s = xcalloc(THREADS, sizeof *s);
	struct meta_tx *writer;
	pthread_t threads[THREADS];
	unsigned taken = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		s[i] = (struct sender){ .r = r, .transfer = t };
		s[i].bytes = content(r, 100 + i);
		s[i].p = rig_container(r, s[i].bytes, CHUNK_BYTES, &s[i].id, &s[i].len);
		snprintf(s[i].path, sizeof s[i].path, "f%u", i);
		assert_int_equal(s[i].len, s[0].len);
	}
	set_quota(r, PARTS * (int64_t)s[0].len + 1);
	assert_ok(r, meta_begin(r->meta, META_WRITE, &writer, &r->err));
	for (unsigned i = 0; i < THREADS; i++)
		assert_ok(r, thread_start("sender", main, &s[i], &threads[i], &r->err));
	for (unsigned i = 0; i < THREADS; i++)
		wait_stored(r, &s[i]);
	meta_abort(&writer);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(s[i].rc == ERR_OK || s[i].rc == ERR_QUOTA);
		taken += s[i].rc == ERR_OK;
	}
	assert_true(stored(r) <= PARTS * (int64_t)s[0].len + 1);
	assert_int_equal(taken, PARTS);
	assert_int_equal(stored(r), PARTS * (int64_t)s[0].len);
	set_quota(r, 0);
}

static void
test_race_of_chunks(void **state)
{
	race(*state, chunk_main);
}

static void
test_race_of_plain_puts(void **state)
{
	struct rig *r = *state;

	race(r, put_main);
	assert_int_equal(rig_assert_sums(r), PARTS); /* who was told yes has his file there, and nobody else has */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_chunks), T(test_extremes), T(test_plain_put), T(test_transfers), T(test_commits),
		T(test_race_of_chunks), T(test_race_of_plain_puts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
