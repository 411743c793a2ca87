/* The queue of writers, with an engine that does as it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/writer.h"

static err_code
fine(struct db_tx *tx, struct err *err)
{
	(void)tx;
	(void)err;
	return ERR_OK;
}

/* The first attempt fails and says why, the second one succeeds: as when a lost commit turns out to have taken effect. */
static err_code
second_try(struct db_tx *tx, struct err *err)
{
	(void)tx;
	(void)err_set(err, ERR_UNAVAILABLE, "the server is starting up");
	return ERR_OK;
}

static err_code
refused(struct db_tx *tx, struct err *err)
{
	(void)tx;
	return err_set(err, ERR_NO_SPACE, "the disk is full");
}

/* A statement that nobody had waited for turns out to have failed. */
static err_code
late_error(struct db_tx *tx, struct err *err)
{
	struct err own;

	(void)err_set(&own, ERR_EXISTS, "the key is taken");
	return db_tx_fail(tx, &own, err);
}

static unsigned commits, rollbacks;

static err_code
count_commit(struct db_tx *tx, struct err *err)
{
	(void)tx;
	(void)err;
	commits++;
	return ERR_OK;
}

static void
count_rollback(struct db_tx *tx)
{
	(void)tx;
	rollbacks++;
}

static void
late_error_is_no_commit(void **state)
{
	const struct writer_ops ops = { .begin = fine, .commit = count_commit, .rollback = count_rollback, .await = late_error };
	struct db_tx tx = { .mode = DB_WRITE };
	struct err err = { 0 };
	struct writer w;

	(void)state;
	writer_init(&w, &ops, &tx, 1000);
	assert_int_equal(writer_begin(&w, &err), ERR_OK);
	assert_int_equal(writer_commit(&w, &err), ERR_EXISTS);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_int_equal(commits, 0);
	assert_int_equal(rollbacks, 1);
	writer_fini(&w);
}

static void
commit_goes_by_its_code(void **state)
{
	static const struct {
		err_code (*commit)(struct db_tx *tx, struct err *err);
		err_code code;
	} cases[] = { { fine, ERR_OK }, { second_try, ERR_OK }, { refused, ERR_NO_SPACE } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct writer_ops ops = { .begin = fine, .commit = cases[i].commit };
		struct db_tx tx = { .mode = DB_WRITE };
		struct err err = { 0 };
		struct writer w;

		writer_init(&w, &ops, &tx, 1000);
		assert_int_equal(writer_begin(&w, &err), ERR_OK);
		assert_int_equal(writer_commit(&w, &err), cases[i].code);
		assert_int_equal(err.code, cases[i].code);
		writer_fini(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(commit_goes_by_its_code), cmocka_unit_test(late_error_is_no_commit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
