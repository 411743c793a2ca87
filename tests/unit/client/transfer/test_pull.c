/* Pull from a server in memory that can be made to lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "chunk/cut.h"
#include "pulling.h"

/* ---- what is fetched ---------------------------------------------------------------------------------------------------------------- */

static void
sizes(struct rig *r, bool listed, size_t cut)
{
	static const size_t len[] = { 0, 1, 65535, 65536, 65537, 300000, 4 * MIB, 4 * MIB + 1, 13000001 };
	struct pull_file files[ARRAY_LEN(len) * 3];
	const uint8_t *bytes[ARRAY_LEN(len) * 3];
	struct transfer_counts counts;
	char path[32];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		static const uint32_t per_chunk[] = { 64, 1, 3 };
		for (size_t k = 0; k < 3; k++, n++) {
			snprintf(path, sizeof path, "f%zu-%zu", i, k);
			bytes[n] = rig_bytes(r, len[i], n + 1);
			files[n] = wanted(r, serve(r, path, bytes[n], len[i], cut, per_chunk[k]), listed);
		}
	}
	assert_int_equal(pull(r, files, n), ERR_OK);
	assert_int_equal(got.ended_n, n);
	for (size_t i = 0; i < n; i++)
		assert_temp_is(r, i, bytes[i], (size_t)files[i].want->size);
	transfer_progress_read(r->progress, &counts);
	assert_int_equal(counts.files_done, n);
	assert_int_equal(counts.bytes_done, counts.bytes_total);
}

static void
test_sizes_by_extents(void **ctx)
{
	struct rig *r = *ctx;

	sizes(r, false, 0);
	assert_true(r->server->lists_asked > 0); /* the long ones */
}

static void
test_sizes_by_list(void **ctx)
{
	sizes(*ctx, true, 0);
}

/* Blocks that do not lie on the grid: what the extents do not tell, the list does. */
static void
test_sizes_off_the_grid(void **ctx)
{
	sizes(*ctx, false, 50001);
}

/* As many blocks as on the grid, and yet cut elsewhere: found out only when the chunks are there. */
static void
test_grid_assumed_wrongly(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[200];
	size_t len = 3 * BLOCK_LEN_MAX - 6, cut = BLOCK_LEN_MAX - 2;
	const uint8_t *bytes[ARRAY_LEN(files)];
	char path[32];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof path, "f%zu", i);
		bytes[i] = rig_bytes(r, len, i + 1);
		files[i] = wanted(r, serve(r, path, bytes[i], len, cut, 2), false);
		assert_int_equal(files[i].extent_count, 2);
	}
	assert_int_equal(pull(r, files, ARRAY_LEN(files)), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_temp_is(r, i, bytes[i], len);
	assert_int_equal(r->server->lists_asked, ARRAY_LEN(files));
}

/* Thousands of files in a few chunks: each chunk is asked for once, and few files are open. */
static void
test_many_small(void **ctx)
{
	struct rig *r = *ctx;
	size_t n = 5000;
	struct pull_file *files = arena_must(r->a, n * sizeof *files);
	struct chunk_builder *b = chunk_builder_new();
	uint8_t *bytes = rig_bytes(r, n + 2000, 7);
	struct rlimit few = { 64, 0 }, before;
	char path[32];
	unsigned chunks = 0;

	for (size_t i = 0; i < n;) {
		size_t start = i, size;
		const uint8_t *container;
		struct hash id;
		for (; i < n && i - start < 700; i++) {
			struct hash h = hash_of(bytes + i, 1000);
			chunk_builder_add(b, bytes + i, 1000, &h);
		}
		container = chunk_builder_finish(b, &id, &size);
		mem_chunk_put(r->server, container, size);
		chunks++;
		for (size_t k = start; k < i; k++) {
			struct block block = { hash_of(bytes + k, 1000), 1000 };
			struct extent x = { id, (uint32_t)(k - start), 1 };
			snprintf(path, sizeof path, "f%zu", k);
			files[k] = wanted(r, mem_file_add(r->server, path,
			    &(struct blocklist){ .extents = &x, .extent_count = 1, .blocks = &block, .block_count = 1 }), false);
		}
		chunk_builder_reset(b);
	}
	chunk_builder_free(b);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(pull(r, files, n), ERR_OK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < n; i += 37)
		assert_temp_is(r, i, bytes + i, 1000);
	assert_true(r->server->chunk_gets <= 2 * chunks);
}

/* Where one block of a chunk is needed, the rest stays where it is. */
static void
test_little_of_a_chunk(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *bytes = rig_bytes(r, 4 * MIB, 1);
	struct mem_file *whole = serve(r, "whole", bytes, 4 * MIB, 0, 64);
	struct extent runs[] = { { whole->list.extents[0].chunk, 40, 2 }, { whole->list.extents[0].chunk, 3, 1 },
		{ whole->list.extents[0].chunk, 40, 1 } };
	struct block blocks[] = { whole->list.blocks[40], whole->list.blocks[41], whole->list.blocks[3], whole->list.blocks[40] };
	struct pull_file f = wanted(r, mem_file_add(r->server, "part",
	    &(struct blocklist){ .extents = runs, .extent_count = 3, .blocks = blocks, .block_count = 4 }), false);
	uint8_t *want = arena_must(r->a, 4 * BLOCK_LEN_MAX);

	for (size_t i = 0; i < 4; i++)
		memcpy(want + i * BLOCK_LEN_MAX, bytes + (i == 2 ? 3 : i == 1 ? 41 : 40) * BLOCK_LEN_MAX, BLOCK_LEN_MAX);
	assert_int_equal(pull(r, &f, 1), ERR_OK);
	assert_temp_is(r, 0, want, 4 * BLOCK_LEN_MAX);
	assert_true(r->server->bytes_down < 6 * BLOCK_LEN_MAX);
}

/* ---- a server that lies --------------------------------------------------------------------------------------------------------------- */

struct pair {
	struct pull_file files[2];
	const uint8_t *bytes[2];
};

/* One small file in a chunk of its own each. */
static void
serve_pair(struct rig *r, struct pair *p, size_t len)
{
	for (size_t i = 0; i < 2; i++) {
		p->bytes[i] = rig_bytes(r, len, i + 1);
		p->files[i] = wanted(r, serve(r, i ? "b" : "a", p->bytes[i], len, 0, 64), false);
	}
}

static void
test_garbled_twice(void **ctx)
{
	struct rig *r = *ctx;
	struct pair p;

	for (uint64_t at = 0; at < 70; at += 3) { /* in the header and in the payload */
		serve_pair(r, &p, 1000);
		r->server->garble_gets = 2;
		r->server->garble_at = at;
		assert_int_equal(pull(r, p.files, 2), ERR_OK);
		assert_temp_is(r, 0, p.bytes[0], 1000);
		assert_temp_is(r, 1, p.bytes[1], 1000);
		assert_int_equal(r->server->garble_gets, 0);
	}
}

static void
test_garbled_for_good(void **ctx)
{
	struct rig *r = *ctx;
	struct pair p;

	serve_pair(r, &p, 100000);
	p.files[1] = wanted(r, serve(r, "short", p.bytes[1], 100, 0, 64), false);
	r->server->garble_gets = 1000;
	r->server->garble_at = 90000; /* the short one has no such byte */
	assert_int_equal(pull(r, p.files, 2), ERR_OK);
	assert_int_equal(got.code[0], ERR_CORRUPT);
	assert_temp_is(r, 1, p.bytes[1], 100);
	assert_int_equal(r->server->garble_gets, 1000 - 1 - 3); /* once with others, three times by itself */
}

static void
test_another_content(void **ctx)
{
	struct rig *r = *ctx;
	struct entry lies[4];
	struct pair p;

	for (size_t i = 0; i < 4; i++) { /* content or size, by extents or by list */
		serve_pair(r, &p, 100000);
		if (i >= 2)
			p.files[0].extents = NULL;
		lies[i] = *p.files[0].want;
		if (i % 2)
			lies[i].size--;
		else
			lies[i].content.b[0] ^= 1;
		p.files[0].want = &lies[i];
		assert_int_equal(pull(r, p.files, 2), ERR_OK);
		assert_int_equal(got.code[0], i >= 2 ? ERR_VERSION_CONFLICT : ERR_CORRUPT);
		assert_temp_is(r, 1, p.bytes[1], 100000);
	}
}

/* The list makes the right content, and the chunk that it names holds other blocks: sound ones, of the same lengths. */
static void
test_chunk_is_not_what_the_list_says(void **ctx)
{
	struct rig *r = *ctx;
	struct mem_file *other;
	struct blocklist lie;
	struct pair p;

	serve_pair(r, &p, 200000);
	other = mem_file_at(r->server, "b");
	lie = mem_file_at(r->server, "a")->list;
	lie.extents = other->list.extents;
	p.files[0] = wanted(r, mem_file_add(r->server, "lie", &lie), true);
	assert_int_equal(pull(r, p.files, 2), ERR_OK);
	assert_int_equal(got.code[0], ERR_CORRUPT);
	assert_temp_is(r, 1, p.bytes[1], 200000);
}

static void
test_extents_that_cannot_be(void **ctx)
{
	struct rig *r = *ctx;
	struct wire_extent x;
	struct pair p;

	static const struct {
		uint32_t first, count;
	} rows[] = { { 0, 3 }, { 1, 2 }, { 2, 1 }, { 1023, 1024 }, { 0, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		serve_pair(r, &p, 100000); /* two blocks */
		x = (struct wire_extent){ p.files[0].extents[0].chunk, rows[i].first, rows[i].count };
		p.files[0].extents = &x;
		assert_int_equal(pull(r, p.files, 2), ERR_OK);
		assert_int_equal(got.code[0], ERR_CORRUPT);
		assert_temp_is(r, 1, p.bytes[1], 100000);
	}
	/* numbers that no chunk can have are not believed: the list is asked for instead */
	serve_pair(r, &p, 100000);
	x = (struct wire_extent){ p.files[0].extents[0].chunk, 0, UINT32_MAX };
	p.files[0].extents = &x;
	assert_int_equal(pull(r, p.files, 2), ERR_OK);
	assert_temp_is(r, 0, p.bytes[0], 100000);
}

static void
test_chunk_gone(void **ctx)
{
	struct rig *r = *ctx;
	struct pair p;

	serve_pair(r, &p, 100000);
	mem_chunks_drop(r->server);
	p.files[1] = wanted(r, serve(r, "new", p.bytes[1], 100, 0, 64), false);
	assert_int_equal(pull(r, p.files, 2), ERR_OK);
	assert_int_equal(got.code[0], ERR_NOT_FOUND);
	assert_temp_is(r, 1, p.bytes[1], 100);
}

/* ---- stopping ------------------------------------------------------------------------------------------------------------------------- */

static size_t
serve_many(struct rig *r, struct pull_file *files, size_t n)
{
	char path[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof path, "f%zu", i);
		files[i] = wanted(r, serve(r, path, rig_bytes(r, 600000, i), 600000, 0, 2), i % 2);
	}
	return n;
}

static void
test_callers_error_stops(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[100];

	serve_many(r, files, 100);
	got.fail_ready = 5;
	assert_int_equal(pull(r, files, 100), ERR_NO_SPACE);
	assert_true(got.ended_n >= 5);
}

static void *
cancel_soon(void *arg)
{
	usleep(200000);
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
	return NULL;
}

static void
test_cancel(void **ctx)
{
	struct rig *r = *ctx;
	struct pull_file files[100];
	int64_t start;
	pthread_t t;

	serve_many(r, files, 100);
	r->server->delay_ms = 600000;
	start = clock_mono_ms();
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, &r->cancel), 0);
	assert_int_equal(pull(r, files, 100), ERR_CANCELLED);
	assert_in_range(clock_mono_ms() - start, 150, 1500);
	pthread_join(t, NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sizes_by_extents), T(test_sizes_by_list), T(test_sizes_off_the_grid), T(test_grid_assumed_wrongly), T(test_many_small),
		T(test_little_of_a_chunk), T(test_garbled_twice), T(test_garbled_for_good), T(test_another_content),
		T(test_chunk_is_not_what_the_list_says), T(test_extents_that_cannot_be), T(test_chunk_gone), T(test_callers_error_stops), T(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
