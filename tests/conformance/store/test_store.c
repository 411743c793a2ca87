/*
 * What every store must do, run on every store: the local directory, memory, and the fault wrapper with nothing armed.
 * A test asks the back-end's table whether it has what only some have; it never asks which one it is.
 */

#include "scratch.h"

#include <pthread.h>

#include "base/rng.h"

struct backend {
	const char *name;
	struct store *(*open)(const char *dir);
	bool reopens; /* opened again, it has what it had */
	bool files;   /* store_open_fd works */
};

struct fixture {
	const struct backend *be;
	char dir[SCRATCH_MAX];
	struct store *s;
};

static struct store *
open_fs(const char *dir)
{
	struct store *s = NULL;

	assert_int_equal(store_fs_open(dir, 0, &s, NULL), ERR_OK);
	return s;
}

/* Some file systems have no O_DIRECT. */
static struct store *
open_fs_cached(const char *dir)
{
	setenv("DRAY_FAULT", "store.no_direct", 1);
	return open_fs(dir);
}

static struct store *
open_mem(const char *dir)
{
	(void)dir;
	return store_mem_new();
}

static struct store *
open_fault(const char *dir)
{
	(void)dir;
	return store_fault_new(store_mem_new());
}

static const struct backend backends[] = {
	{ "fs", open_fs, .reopens = true, .files = true },
	{ "fs, no O_DIRECT", open_fs_cached, .reopens = true, .files = true },
	{ "mem", open_mem },
	{ "fault(mem)", open_fault },
};
static const struct backend *running; /* of the group: cmocka's set-ups know nothing else */

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	f->be = running;
	scratch_make(f->dir);
	f->s = f->be->open(f->dir);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	store_free(f->s);
	unsetenv("DRAY_FAULT");
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static void
put(struct fixture *f, const struct store_key *key, const char *text)
{
	assert_int_equal(store_put(f->s, key, (const uint8_t *)text, strlen(text), NULL), ERR_OK);
}

static void
assert_text(struct fixture *f, const struct store_key *key, const char *text)
{
	uint8_t buf[200];
	uint64_t size = 0;
	size_t got = 0;

	assert_int_equal(store_size(f->s, key, &size, NULL), ERR_OK);
	assert_int_equal(size, strlen(text));
	assert_int_equal(store_read(f->s, key, 0, buf, sizeof buf, &got, NULL), ERR_OK);
	assert_int_equal(got, strlen(text));
	assert_memory_equal(buf, text, got);
}

static void
assert_absent(struct fixture *f, const struct store_key *key)
{
	uint8_t buf[1];
	uint64_t size;
	size_t got;
	int fd;

	assert_int_equal(store_size(f->s, key, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(store_read(f->s, key, 0, buf, 1, &got, NULL), ERR_NOT_FOUND);
	if (f->be->files)
		assert_int_equal(store_open_fd(f->s, key, &fd, &size, NULL), ERR_NOT_FOUND);
}

static bool
count_one(void *ctx, const struct store_key *key, uint64_t size)
{
	(void)key;
	(void)size;
	++*(unsigned *)ctx;
	return true;
}

static unsigned
count(struct fixture *f)
{
	unsigned n = 0;

	assert_int_equal(store_list(f->s, count_one, &n, NULL), ERR_OK);
	return n;
}

static void
what_is_put_can_be_got(void **state)
{
	struct fixture *f = *state;
	struct store_key a = key_no(1, 1), b = key_no(1, 2);

	assert_absent(f, &a);
	put(f, &a, "some bytes");
	assert_text(f, &a, "some bytes");
	assert_absent(f, &b);
	put(f, &b, "");
	assert_text(f, &b, "");
	assert_int_equal(store_check(f->s, NULL), ERR_OK);
}

static void
projects_share_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_key mine = key_no(1, 1), theirs = key_no(2, 1);

	put(f, &mine, "secret");
	assert_absent(f, &theirs);
	put(f, &theirs, "other");
	assert_text(f, &mine, "secret");
	assert_int_equal(store_delete(f->s, &theirs, NULL), ERR_OK);
	assert_text(f, &mine, "secret");
}

static void
ranges_are_cut_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);
	static const char text[] = "0123456789";
	char buf[20];
	size_t got;

	put(f, &key, text);
	for (uint64_t off = 0; off <= 12; off++) {
		for (size_t len = 0; len <= 12; len++) {
			size_t want = off >= 10 ? 0 : MIN(len, 10 - off);

			memset(buf, '!', sizeof buf);
			assert_int_equal(store_read(f->s, &key, off, (uint8_t *)buf, len, &got, NULL), ERR_OK);
			assert_int_equal(got, want);
			assert_memory_equal(buf, text + MIN(off, 10), want);
			assert_int_equal(buf[want], '!');
		}
	}
	assert_int_equal(store_read(f->s, &key, UINT64_MAX, (uint8_t *)buf, 5, &got, NULL), ERR_OK);
	assert_int_equal(got, 0);
}

static void
descriptors_outlive_the_object(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);
	char buf[20];
	uint64_t size;
	int fd;

	put(f, &key, "still here");
	if (!f->be->files) {
		assert_int_equal(store_open_fd(f->s, &key, &fd, &size, NULL), ERR_NOT_IMPLEMENTED);
		assert_int_equal(fd, -1);
		skip();
	}
	assert_int_equal(store_open_fd(f->s, &key, &fd, &size, NULL), ERR_OK);
	assert_int_equal(size, 10);
	assert_int_equal(store_delete(f->s, &key, NULL), ERR_OK);
	assert_int_equal(pread(fd, buf, sizeof buf, 0), 10);
	assert_memory_equal(buf, "still here", 10);
	close(fd);
}

static void
a_duplicate_keeps_the_old_object(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);

	put(f, &key, "first");
	put(f, &key, "later");
	assert_text(f, &key, "first");
	assert_int_equal(count(f), 1);
	put(f, &key, "another length"); /* so the old one was damaged */
	assert_text(f, &key, "another length");
	assert_int_equal(count(f), 1);
}

static void
deleting_twice_is_deleting_once(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);

	assert_int_equal(store_delete(f->s, &key, NULL), ERR_OK);
	put(f, &key, "x");
	assert_int_equal(store_delete(f->s, &key, NULL), ERR_OK);
	assert_absent(f, &key);
	assert_int_equal(store_delete(f->s, &key, NULL), ERR_OK);
	put(f, &key, "back");
	assert_text(f, &key, "back");
}

struct listed {
	bool seen[300];
	unsigned n, stop_after;
};

static bool
list_one(void *ctx, const struct store_key *key, uint64_t size)
{
	struct listed *l = ctx;
	struct store_key want = key_no((uint8_t)(size % 7), (uint32_t)size);

	assert_memory_equal(key, &want, sizeof want);
	assert_false(l->seen[size]);
	l->seen[size] = true;
	return ++l->n < l->stop_after;
}

static void
listing_names_every_object_once(void **state)
{
	struct fixture *f = *state;
	struct listed all = { .stop_after = UINT32_MAX }, some = { .stop_after = 7 };
	uint8_t bytes[300] = { 0 };

	assert_int_equal(count(f), 0);
	for (uint32_t i = 0; i < 300; i += 3) {
		struct store_key key = key_no((uint8_t)(i % 7), i);

		assert_int_equal(store_put(f->s, &key, bytes, i, NULL), ERR_OK);
	}
	assert_int_equal(store_list(f->s, list_one, &all, NULL), ERR_OK);
	assert_int_equal(all.n, 100);
	assert_int_equal(store_list(f->s, list_one, &some, NULL), ERR_OK);
	assert_int_equal(some.n, 7);
}

static void
objects_have_an_age(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1), other = key_no(1, 2);
	int64_t age = -1;

	assert_int_equal(store_put(f->s, &key, (const uint8_t *)"abc", 3, NULL), ERR_OK);
	assert_int_equal(store_age(f->s, &key, &age, NULL), ERR_OK);
	assert_true(age >= -1000000 && age < 3600 * INT64_C(1000000)); /* the file system's clock ticks, ours runs */
	assert_int_equal(store_age(f->s, &other, &age, NULL), ERR_NOT_FOUND);
}

/* A listing may delete what it is shown: that is how garbage is collected. */
struct sweeper {
	struct fixture *f;
	unsigned n;
};

static bool
sweep_one(void *ctx, const struct store_key *key, uint64_t size)
{
	struct sweeper *sw = ctx;

	(void)size;
	assert_int_equal(store_delete(sw->f->s, key, NULL), ERR_OK);
	sw->n++;
	return true;
}

static void
a_listing_may_delete(void **state)
{
	struct fixture *f = *state;
	struct sweeper sw = { .f = f };

	for (uint32_t i = 0; i < 50; i++) {
		struct store_key key = key_in_shard(1, (uint8_t)(i % 2), i);

		put(f, &key, "x");
	}
	assert_int_equal(store_list(f->s, sweep_one, &sw, NULL), ERR_OK);
	assert_int_equal(sw.n, 50);
	assert_int_equal(count(f), 0);
}

static void
a_writer_appends_and_corrects(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);
	struct store_writer *w;

	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"......", 6, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"payload", 7, NULL), ERR_OK);
	assert_int_equal(store_write_at(w, 0, (const uint8_t *)"header", 6, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"!", 1, NULL), ERR_OK);
	assert_int_equal(store_write_at(w, 13, (const uint8_t *)"?", 1, NULL), ERR_OK);
	assert_int_equal(store_write_at(w, 14, NULL, 0, NULL), ERR_OK);
	assert_absent(f, &key);
	assert_int_equal(store_finish(&w, &key, NULL), ERR_OK);
	assert_null(w);
	assert_text(f, &key, "headerpayload?");
}

static void
large_objects_are_whole(void **state)
{
	struct fixture *f = *state;
	struct store_key key = key_no(1, 1);
	size_t len = 4 * MIB + 12345, got = 0;
	AUTO(freep) uint8_t *bytes = xmalloc(len);
	AUTO(freep) uint8_t *back = xmalloc(len);
	struct store_writer *w;

	rng_bytes(bytes, len);
	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	for (size_t pos = 0; pos < len; pos += 100000)
		assert_int_equal(store_write(w, bytes + pos, MIN(100000, len - pos), NULL), ERR_OK);
	assert_int_equal(store_finish(&w, &key, NULL), ERR_OK);
	assert_int_equal(store_read(f->s, &key, 0, back, len, &got, NULL), ERR_OK);
	assert_int_equal(got, len);
	assert_memory_equal(back, bytes, len);
}

/* A back-end may gather what is appended; what is corrected may then be here, there, or half of it here. */
static void
corrections_land_wherever_the_bytes_are(void **state)
{
	struct fixture *f = *state;
	static const size_t lens[] = { 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 512 * KIB, 700001 };

	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		size_t len = lens[i], got = 0, part = len / 3;
		AUTO(freep) uint8_t *bytes = xmalloc(len);
		AUTO(freep) uint8_t *back = xcalloc(1, len);
		struct store_key key = key_no(1, i);
		struct store_writer *w;

		rng_bytes(bytes, len);
		assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
		assert_int_equal(store_write(w, back, len, NULL), ERR_OK);
		for (size_t pos = 0; pos < len; pos += part)
			assert_int_equal(store_write_at(w, pos, bytes + pos, MIN(part, len - pos), NULL), ERR_OK);
		assert_int_equal(store_write(w, bytes, 10, NULL), ERR_OK);
		assert_int_equal(store_finish(&w, &key, NULL), ERR_OK);
		assert_int_equal(store_read(f->s, &key, 0, back, len, &got, NULL), ERR_OK);
		assert_int_equal(got, len);
		assert_memory_equal(back, bytes, len);
		assert_int_equal(store_read(f->s, &key, len, back, 20, &got, NULL), ERR_OK);
		assert_int_equal(got, 10);
		assert_memory_equal(back, bytes, 10);
	}
}

static void
abandoning_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_writer *w;

	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	store_abandon(&w);
	assert_null(w);
	store_abandon(&w);
	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"half", 4, NULL), ERR_OK);
	store_abandon(&w);
	assert_int_equal(count(f), 0);
}

static void
writers_do_not_meet(void **state)
{
	struct fixture *f = *state;
	struct store_key a = key_no(1, 1), b = key_no(1, 2);
	struct store_writer *wa, *wb;

	assert_int_equal(store_open_writer(f->s, &wa, NULL), ERR_OK);
	assert_int_equal(store_open_writer(f->s, &wb, NULL), ERR_OK);
	assert_int_equal(store_write(wa, (const uint8_t *)"a", 1, NULL), ERR_OK);
	assert_int_equal(store_write(wb, (const uint8_t *)"bb", 2, NULL), ERR_OK);
	assert_int_equal(store_finish(&wa, &a, NULL), ERR_OK);
	assert_int_equal(store_finish(&wb, &b, NULL), ERR_OK);
	assert_text(f, &a, "a");
	assert_text(f, &b, "bb");
}

/* ---- threads ------------------------------------------------------------------------------------------------------------- */

#define THREADS 8

struct worker {
	struct fixture *f;
	unsigned no;
	bool deletes;
};

/* Every thread puts the same keys with the same bytes; some also delete them. */
static void *
put_same_keys(void *arg)
{
	struct worker *w = arg;

	for (uint32_t i = 0; i < 20; i++) {
		struct store_key key = key_in_shard(1, 0, i % 10);
		uint8_t bytes[500];

		memset(bytes, (int)(i % 10), sizeof bytes);
		if (w->deletes && w->no % 2)
			assert_int_equal(store_delete(w->f->s, &key, NULL), ERR_OK);
		else
			assert_int_equal(store_put(w->f->s, &key, bytes, sizeof bytes, NULL), ERR_OK);
	}
	return NULL;
}

static void
run_threads(struct fixture *f, bool deletes)
{
	pthread_t threads[THREADS];
	struct worker workers[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ f, i, deletes };
		assert_int_equal(pthread_create(&threads[i], NULL, put_same_keys, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static bool
is_whole(void *ctx, const struct store_key *key, uint64_t size)
{
	struct fixture *f = ctx;
	uint8_t buf[501];
	size_t got = 0;

	assert_int_equal(size, 500);
	assert_int_equal(store_read(f->s, key, 0, buf, sizeof buf, &got, NULL), ERR_OK);
	assert_int_equal(got, 500);
	for (size_t i = 1; i < got; i++)
		assert_int_equal(buf[i], buf[0]);
	return true;
}

static void
eight_threads_may_put_one_key(void **state)
{
	struct fixture *f = *state;

	run_threads(f, false);
	assert_int_equal(count(f), 10);
	assert_int_equal(store_list(f->s, is_whole, f, NULL), ERR_OK);
}

static void
puts_and_deletes_may_race(void **state)
{
	struct fixture *f = *state;

	run_threads(f, true);
	assert_int_equal(store_list(f->s, is_whole, f, NULL), ERR_OK);
}

static void
opened_again_it_has_what_it_had(void **state)
{
	struct fixture *f = *state;
	struct store_key kept = key_no(1, 1), deleted = key_no(1, 2);

	if (!f->be->reopens)
		skip();
	put(f, &kept, "kept");
	put(f, &deleted, "deleted");
	assert_int_equal(store_delete(f->s, &deleted, NULL), ERR_OK);
	store_free(f->s);
	f->s = f->be->open(f->dir);
	assert_text(f, &kept, "kept");
	assert_absent(f, &deleted);
	put(f, &kept, "dupl");
	assert_text(f, &kept, "kept");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_put_can_be_got),
		CASE(projects_share_nothing),
		CASE(ranges_are_cut_at_the_end),
		CASE(descriptors_outlive_the_object),
		CASE(a_duplicate_keeps_the_old_object),
		CASE(deleting_twice_is_deleting_once),
		CASE(listing_names_every_object_once), CASE(objects_have_an_age),
		CASE(a_listing_may_delete),
		CASE(a_writer_appends_and_corrects),
		CASE(large_objects_are_whole),
		CASE(corrections_land_wherever_the_bytes_are),
		CASE(abandoning_leaves_nothing),
		CASE(writers_do_not_meet),
		CASE(eight_threads_may_put_one_key),
		CASE(puts_and_deletes_may_race),
		CASE(opened_again_it_has_what_it_had),
	};
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		running = &backends[i];
		failed += cmocka_run_group_tests_name(running->name, tests, NULL, NULL);
	}
	return failed;
}
