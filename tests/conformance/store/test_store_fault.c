/* The fault wrapper: what is armed fails once, at the right call, and leaves the inner store as it says. */

#include "scratch.h"

static const struct store_key *
key(void)
{
	static struct store_key k;

	k = key_no(1, 1);
	return &k;
}

static err_code
put(struct store *s)
{
	return store_put(s, key(), (const uint8_t *)"bytes", 5, NULL);
}

static bool
is_there(struct store *s)
{
	uint64_t size;

	return store_size(s, key(), &size, NULL) == ERR_OK;
}

static int
setup(void **state)
{
	*state = store_fault_new(store_mem_new());
	return 0;
}

static int
teardown(void **state)
{
	store_free(*state);
	return 0;
}

static void
opening_writing_and_finishing_fail_once(void **state)
{
	static const char *const ops[] = { "open", "write", "finish" };
	struct store *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		store_fault_arm(s, ops[i], 0, ERR_NO_SPACE);
		assert_int_equal(put(s), ERR_NO_SPACE);
		assert_false(is_there(s));
		assert_int_equal(put(s), ERR_OK);
		assert_true(is_there(s));
		assert_int_equal(store_delete(s, key(), NULL), ERR_OK);
	}
}

static void
a_lost_answer_leaves_the_object(void **state)
{
	struct store *s = *state;

	store_fault_arm(s, "finished", 0, ERR_UNAVAILABLE);
	assert_int_equal(put(s), ERR_UNAVAILABLE);
	assert_true(is_there(s));
	assert_int_equal(put(s), ERR_OK); /* I5 */
}

static void
reads_and_deletes_fail_after_the_skipped_ones(void **state)
{
	struct store *s = *state;
	uint8_t buf[5];
	size_t got;

	assert_int_equal(put(s), ERR_OK);
	store_fault_arm(s, "read", 2, ERR_IO);
	assert_int_equal(store_read(s, key(), 0, buf, 5, &got, NULL), ERR_OK);
	assert_int_equal(store_read(s, key(), 0, buf, 5, &got, NULL), ERR_OK);
	assert_int_equal(store_read(s, key(), 0, buf, 5, &got, NULL), ERR_IO);
	assert_int_equal(store_read(s, key(), 0, buf, 5, &got, NULL), ERR_OK);
	store_fault_arm(s, "delete", 0, ERR_IO);
	assert_int_equal(store_delete(s, key(), NULL), ERR_IO);
	assert_true(is_there(s));
	assert_int_equal(store_delete(s, key(), NULL), ERR_OK);
	assert_false(is_there(s));
}

/* W1: the front remembers, so a caller that goes on after a failed write makes no object out of half its bytes. */
static void
a_failed_write_cannot_be_finished(void **state)
{
	struct store *s = *state;
	struct store_writer *w;

	assert_int_equal(store_open_writer(s, &w, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"a", 1, NULL), ERR_OK);
	store_fault_arm(s, "write", 0, ERR_NO_SPACE);
	assert_int_equal(store_write(w, (const uint8_t *)"b", 1, NULL), ERR_NO_SPACE);
	assert_int_equal(store_write(w, (const uint8_t *)"c", 1, NULL), ERR_NO_SPACE);
	assert_int_equal(store_finish(&w, key(), NULL), ERR_NO_SPACE);
	assert_null(w);
	assert_false(is_there(s));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(opening_writing_and_finishing_fail_once),
		CASE(a_lost_answer_leaves_the_object),
		CASE(reads_and_deletes_fail_after_the_skipped_ones),
		CASE(a_failed_write_cannot_be_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
