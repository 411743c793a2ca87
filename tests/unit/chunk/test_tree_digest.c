/* The digest of a tree: fixed vectors (docs/protocol/digest.md), and that adding and taking away are inverse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "chunk/tree_digest.h"

static struct hash
vector(const char *hex)
{
	struct hash h;

	assert_int_equal(hash_parse(hex, 64, &h, NULL), ERR_OK);
	return h;
}

static struct hash
file_entry(void)
{
	struct id id;
	struct hash content;

	for (size_t i = 0; i < sizeof id.b; i++)
		id.b[i] = (uint8_t)i;
	memset(content.b, 0x11, sizeof content.b);
	return tree_digest_entry(&(struct tree_digest_in){ .id = &id, .version = 1763800000000001, .content = &content, .mode = 0644,
	    .kind = 0, .size = 5, .path = "dir/na\xc3\xafve.txt", .path_len = 14 });
}

static struct hash
dir_entry(void)
{
	struct id id;
	struct hash content = { 0 };

	memset(id.b, 0xff, sizeof id.b);
	return tree_digest_entry(&(struct tree_digest_in){ .id = &id, .version = 1, .content = &content, .mode = 0755, .kind = 1,
	    .path = "dir", .path_len = 3 });
}

static void
test_vectors(void **state)
{
	struct hash want_file = vector("70b80824b8e5321e93701a534b3167c2e586397f0b7afe659c918da94642a805");
	struct hash want_dir = vector("5f6825ce2e3faa53a39bb65fdf24b7068a188828ba66a4498be9c03e2627920d");
	struct hash want_sum = vector("cf202ef2e624dd71360cd1b22a561ec96f9fc1a7c5e0a2af277b4ee86c693a13");
	struct hash file = file_entry(), dir = dir_entry(), sum = { 0 };

	(void)state;
	assert_memory_equal(file.b, want_file.b, 32);
	assert_memory_equal(dir.b, want_dir.b, 32);
	digest_add(&sum, &file);
	digest_add(&sum, &dir);
	assert_memory_equal(sum.b, want_sum.b, 32);
}

static void
test_inverse_in_any_order(void **state)
{
	struct hash sum = { 0 }, e[16];

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		for (size_t i = 0; i < ARRAY_LEN(e); i++) {
			rng_bytes(e[i].b, 32);
			digest_add(&sum, &e[i]);
		}
		for (size_t i = ARRAY_LEN(e); i-- > 0;)
			digest_sub(&sum, &e[(i * 7 + round) % ARRAY_LEN(e)]);
		assert_true(hash_is_zero(&sum));
	}
}

/* The carry runs through all 32 bytes, and the end of the number is dropped. */
static void
test_wraps(void **state)
{
	struct hash one = { .b = { 1 } }, sum;

	(void)state;
	memset(sum.b, 0xff, 32);
	digest_add(&sum, &one);
	assert_true(hash_is_zero(&sum));
	digest_sub(&sum, &one);
	for (size_t i = 0; i < 32; i++)
		assert_int_equal(sum.b[i], 0xff);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_inverse_in_any_order),
		cmocka_unit_test(test_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
