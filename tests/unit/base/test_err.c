#include "unit.h"

#include <errno.h>

#include "base/utf8.h"

static void
every_row_of_the_table_is_sound(void **state)
{
	(void)state;
	for (unsigned i = ERR_OK + 1; i < ERR_CODE_COUNT; i++) {
		const struct err_info *info = err_info((err_code)i);

		assert_int_equal(strspn(info->code, "abcdefghijklmnopqrstuvwxyz_0123456789"), strlen(info->code));
		assert_true(strlen(info->code) > 0);
		assert_true(info->status >= 400 && info->status <= 599);
		assert_true(info->text[0] && info->text[strlen(info->text) - 1] == '.');
		assert_true(info->hint[0]);
		assert_int_equal(err_by_code(info->code), i); /* fails for the second of two equal codes */
	}
	assert_int_equal(err_by_code("ok"), ERR_OK);
	assert_int_equal(err_by_code("no_such_code"), ERR_OK);
	assert_int_equal(err_by_code(""), ERR_OK);
	assert_int_equal(err_by_code(NULL), ERR_OK);
}

static void
set_fills_everything(void **state)
{
	struct err err;
	int line;

	(void)state;
	errno = EBADF;
	line = __LINE__ + 1;
	assert_int_equal(err_reason(&err, ERR_PATH_INVALID, "nul", "byte %d", 3), ERR_PATH_INVALID);
	assert_int_equal(errno, EBADF);
	assert_int_equal(err.code, ERR_PATH_INVALID);
	assert_string_equal(err.msg, "byte 3");
	assert_string_equal(err.reason, "nul");
	assert_int_equal(err.sys, 0);
	assert_int_equal(err.line, line);
	assert_string_equal(strrchr(err.file, '/'), "/test_err.c");

	assert_int_equal(err_sys(&err, ERR_BUSY, EBUSY, "lock"), ERR_BUSY);
	assert_string_equal(err.msg, "lock: Device or resource busy");
	assert_int_equal(err.sys, EBUSY);
	assert_null(err.reason);
}

static void
errno_chooses_the_code(void **state)
{
	static const struct {
		int sys;
		err_code code;
	} MAP[] = {
		{ ENOENT, ERR_NOT_FOUND }, { EEXIST, ERR_EXISTS }, { EACCES, ERR_DENIED }, { EPERM, ERR_DENIED },
		{ EROFS, ERR_DENIED }, { ENOSPC, ERR_NO_SPACE }, { EDQUOT, ERR_NO_SPACE }, { ENOTEMPTY, ERR_NOT_EMPTY },
		{ ENOMEM, ERR_NO_MEM }, { EIO, ERR_IO }, { 0, ERR_IO }, { 99999, ERR_IO },
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(MAP); i++) {
		errno = MAP[i].sys;
		assert_int_equal(err_errno(&err, "read %s", "x"), MAP[i].code);
		assert_int_equal(err.sys, MAP[i].sys);
		assert_int_equal(errno, MAP[i].sys);
	}
}

static void
wrap_prepends_and_keeps_the_rest(void **state)
{
	struct err err;
	struct err before;

	(void)state;
	errno = ENOSPC;
	assert_int_equal(err_errno(&err, "fsync"), ERR_NO_SPACE);
	before = err;
	assert_int_equal(err_wrap(&err, "commit %s", "3f"), ERR_NO_SPACE);
	assert_string_equal(err.msg, "commit 3f: fsync: No space left on device");
	assert_int_equal(err.sys, before.sys);
	assert_int_equal(err.line, before.line);
	assert_ptr_equal(err.file, before.file);
}

/* The arguments may be the message itself. */
static void
a_message_can_be_made_from_itself(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, ERR_IO, "inner"), ERR_IO);
	assert_int_equal(err_set(&err, ERR_DB, "outer (%s)", err.msg), ERR_DB);
	assert_string_equal(err.msg, "outer (inner)");
	assert_int_equal(err_wrap(&err, "again (%s)", err.msg), ERR_DB);
	assert_string_equal(err.msg, "again (outer (inner)): outer (inner)");
}

static void
long_messages_end_between_characters(void **state)
{
	struct err err;
	char text[2048];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 4 < sizeof text; i += 4)
			memcpy(text + i, "\xF0\x9F\x9A\x9A", 5); /* a character of four bytes */
		assert_int_equal(err_set(&err, ERR_IO, "%s", text), ERR_IO);
		assert_true(utf8_valid(err.msg, strlen(err.msg)));
		assert_true(strlen(err.msg) >= sizeof err.msg - 4);

		assert_int_equal(err_set(&err, ERR_IO, "%.*s", 400, text), ERR_IO);
		assert_int_equal(err_wrap(&err, "%.*s", (int)(200 + shift), "a prefix"), ERR_IO);
		for (int i = 0; i < 20; i++)
			assert_int_equal(err_wrap(&err, "\xC3\xA4%d", i), ERR_IO);
		assert_true(utf8_valid(err.msg, strlen(err.msg)));
		assert_memory_equal(err.msg, "\xC3\xA4" "19: \xC3\xA4" "18: ", 12);
	}
	memset(text, 'x', 511);
	text[511] = '\0';
	assert_int_equal(err_set(&err, ERR_IO, "%s", text), ERR_IO);
	assert_string_equal(err.msg, text); /* 511 bytes fit */
}

static err_code
fails(struct err *err)
{
	return err_set(err, ERR_CURSOR_EXPIRED, "no");
}

static void
null_err_keeps_the_code(void **state)
{
	(void)state;
	assert_int_equal(fails(NULL), ERR_CURSOR_EXPIRED);
	assert_int_equal(err_wrap(NULL, "context"), ERR_CURSOR_EXPIRED);
	errno = EEXIST;
	assert_int_equal(err_errno(NULL, "open"), ERR_EXISTS);
	assert_int_equal(err_wrap(NULL, "context"), ERR_EXISTS);
	assert_int_equal(err_sys(NULL, ERR_IO, EIO, "x"), ERR_IO);
}

static void
wrap_success(void *arg)
{
	struct err err = { .code = ERR_OK };

	(void)arg;
	(void)!err_wrap(&err, "nothing failed");
}

static void
set_ok(void *arg)
{
	struct err err;

	(void)arg;
	(void)!err_set(&err, ERR_OK, "not an error");
}

static void
misuse_stops_the_process(void **state)
{
	(void)state;
	assert_aborts(wrap_success, NULL);
	assert_aborts(set_ok, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_the_table_is_sound),
		cmocka_unit_test(set_fills_everything),
		cmocka_unit_test(errno_chooses_the_code),
		cmocka_unit_test(wrap_prepends_and_keeps_the_rest),
		cmocka_unit_test(a_message_can_be_made_from_itself),
		cmocka_unit_test(long_messages_end_between_characters),
		cmocka_unit_test(null_err_keeps_the_code),
		cmocka_unit_test(misuse_stops_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
