/* Cutting on the grid: block borders, both sides of a block and of a read, and files that change meanwhile. */

#include "gen.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/cut.h"

/* A file in memory of ${len} random bytes. */
static int
make_file(struct gen *g, size_t len, uint8_t **bytes)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);

	assert_true(fd >= 0);
	*bytes = xmalloc(len + !len);
	gen_bytes(g, *bytes, len);
	assert_int_equal(write_full(fd, *bytes, len, NULL), ERR_OK);
	return fd;
}

struct seen {
	const uint8_t *bytes;
	uint64_t size;
	uint64_t next; /* offset that must come */
	uint64_t blocks;
	uint64_t stop_at; /* answer CANCELLED at this block */
};

static err_code
see(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct seen *s = ctx;
	struct hash want = hash_of(s->bytes + offset, len);

	assert_int_equal(offset, s->next);
	assert_int_equal(len, cut_block_len(s->size, s->blocks));
	assert_memory_equal(p, s->bytes + offset, len);
	assert_true(hash_eq(hash, &want));
	if (s->blocks == s->stop_at)
		return err_set(err, ERR_CANCELLED, "enough");
	s->next += len;
	s->blocks++;
	return ERR_OK;
}

static void
all_sizes_around_the_borders(void **state)
{
	struct gen g = gen_new("all_sizes_around_the_borders");
	static const size_t borders[] = { 0, 1, BLOCK_LEN_MAX, 2 * BLOCK_LEN_MAX, 1 * MIB, 2 * MIB + BLOCK_LEN_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(borders) * 3; i++) {
		size_t size = borders[i / 3] + i % 3 - (borders[i / 3] > 0);
		AUTO(freep) uint8_t *bytes = NULL;
		AUTO(closep) int fd = make_file(&g, size, &bytes);
		struct seen s = { .bytes = bytes, .size = size, .stop_at = UINT64_MAX };

		assert_int_equal(cut_fd(fd, size, see, &s, NULL), ERR_OK);
		assert_int_equal(s.next, size);
		assert_int_equal(s.blocks, cut_block_count(size));
	}
}

static void
the_content_hash_is_over_the_blocks(void **state)
{
	struct gen g = gen_new("the_content_hash_is_over_the_blocks");
	size_t size = 3 * BLOCK_LEN_MAX + 17;
	AUTO(freep) uint8_t *bytes = NULL;
	AUTO(closep) int fd = make_file(&g, size, &bytes);
	struct content_hash c;
	struct hash want, got;

	(void)state;
	content_hash_init(&c);
	for (uint64_t i = 0; i < cut_block_count(size); i++) {
		struct hash h = hash_of(bytes + i * BLOCK_LEN_MAX, cut_block_len(size, i));

		content_hash_add(&c, &h, cut_block_len(size, i));
	}
	want = content_hash_final(&c);
	assert_int_equal(cut_hash_fd(fd, size, NULL, &got, NULL), ERR_OK);
	assert_true(hash_eq(&got, &want));
	assert_int_equal(cut_hash_fd(fd, 0, NULL, &got, NULL), ERR_OK);
	want = content_hash_empty();
	assert_true(hash_eq(&got, &want));
}

static void
a_file_that_shrank_is_an_error(void **state)
{
	struct gen g = gen_new("a_file_that_shrank_is_an_error");
	static const size_t sizes[] = { 0, 10, BLOCK_LEN_MAX, 1 * MIB, 1 * MIB + 5 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO(freep) uint8_t *bytes = NULL;
		AUTO(closep) int fd = make_file(&g, sizes[i], &bytes);
		struct err err = { 0 };
		struct hash h;

		assert_int_equal(cut_hash_fd(fd, sizes[i] + 1, NULL, &h, &err), ERR_IO);
		assert_string_equal(err.reason, "shrunk");
	}
}

static void
what_the_callback_answers_stops_it(void **state)
{
	struct gen g = gen_new("what_the_callback_answers_stops_it");
	size_t size = 20 * BLOCK_LEN_MAX;
	AUTO(freep) uint8_t *bytes = NULL;
	AUTO(closep) int fd = make_file(&g, size, &bytes);

	(void)state;
	for (uint64_t stop = 0; stop < 20; stop += 6) {
		struct seen s = { .bytes = bytes, .size = size, .stop_at = stop };

		assert_int_equal(cut_fd(fd, size, see, &s, NULL), ERR_CANCELLED);
		assert_int_equal(s.blocks, stop);
	}
}

static void
counts_and_lengths(void **state)
{
	(void)state;
	assert_int_equal(cut_block_count(0), 0);
	assert_int_equal(cut_block_count(1), 1);
	assert_int_equal(cut_block_count(BLOCK_LEN_MAX), 1);
	assert_int_equal(cut_block_count(BLOCK_LEN_MAX + 1), 2);
	assert_int_equal(cut_block_count(FILE_SIZE_MAX), FILE_SIZE_MAX / BLOCK_LEN_MAX);
	assert_int_equal(cut_block_count(UINT64_MAX), UINT64_MAX / BLOCK_LEN_MAX + 1);
	assert_int_equal(cut_block_len(BLOCK_LEN_MAX + 1, 0), BLOCK_LEN_MAX);
	assert_int_equal(cut_block_len(BLOCK_LEN_MAX + 1, 1), 1);
	assert_int_equal(cut_block_len(UINT64_MAX, UINT64_MAX / BLOCK_LEN_MAX), BLOCK_LEN_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sizes_around_the_borders),
		cmocka_unit_test(the_content_hash_is_over_the_blocks),
		cmocka_unit_test(a_file_that_shrank_is_an_error),
		cmocka_unit_test(what_the_callback_answers_stops_it),
		cmocka_unit_test(counts_and_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
