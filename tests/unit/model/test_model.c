/* Titles, a file's path, and its share of the digest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/model.h"

static void
title(const char *p, size_t len, const char *reason)
{
	struct err err = { .code = ERR_OK };
	err_code rc = title_check(p, len, "the project's name", &err);

	assert_int_equal(rc, reason ? ERR_FIELD_RANGE : ERR_OK);
	if (reason) {
		assert_string_equal(err.reason, reason);
		assert_non_null(strstr(err.msg, "the project's name"));
	}
}

static void
titles(void **state)
{
	char most[201];

	(void)state;
	memset(most, 'x', sizeof most);
	title("a", 1, NULL);
	title("My film \xe2\x80\x94 cut 2", 16, NULL);
	title("<img src=x onerror=alert(1)>", 28, NULL); /* who shows it escapes it */
	title(most, 200, NULL);
	title(most, 201, "too_long");
	title("", 0, "empty");
	title("a\nb", 3, "control");
	title("a\0b", 3, "control");
	title("\x7f", 1, "control");
	title("a\xc2\x9f", 3, "control");
	title("a\xc2\xa0", 3, NULL);
	title("caf\xe9", 4, "not_utf8");
}

static void
paths(void **state)
{
	char out[FILE_PATH_MAX];

	(void)state;
	assert_string_equal(file_path(&(struct file){ .dir = "", .name = "a" }, out), "a");
	assert_string_equal(file_path(&(struct file){ .dir = "a/b", .name = "c d" }, out), "a/b/c d");
}

static void
longest_path(void **state)
{
	char dir[PATH_LEN_MAX + 1], name[2] = "x", out[FILE_PATH_MAX];

	(void)state;
	memset(dir, 'd', sizeof dir);
	dir[PATH_LEN_MAX - 2] = '\0';
	assert_int_equal(strlen(file_path(&(struct file){ .dir = dir, .name = name }, out)), PATH_LEN_MAX);
}

static struct file
sample(void)
{
	struct file f = { .dir = "d", .name = "n", .kind = KIND_LINK, .version = 0x0102030405060708, .size = 0x1112131415161718, .mode = 0644,
		.target = "t" };

	memset(f.id.b, 0xaa, sizeof f.id.b);
	memset(f.content.b, 0xbb, sizeof f.content.b);
	return f;
}

/* The format, written out: another program must be able to compute it. */
static void
digest_format(void **state)
{
	uint8_t want[72] = { 0 };
	struct file f = sample();
	struct hash h = file_digest(&f), expected;

	(void)state;
	memset(want, 0xaa, 16);
	memcpy(want + 16, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	memset(want + 24, 0xbb, 32);
	memcpy(want + 56, "\xa4\x01\x00\x00", 4);
	want[60] = 2;
	memcpy(want + 61, "\x18\x17\x16\x15\x14\x13\x12\x11", 8);
	memcpy(want + 69, "d/n", 3);
	expected = hash_of(want, 72);
	assert_true(hash_eq(&h, &expected));
}

/* What counts, and what does not: a device cannot know who changed a file, or when. */
static void
digest_inputs(void **state)
{
	struct file f = sample(), g;
	struct hash h = file_digest(&f), k;

	(void)state;
#define DIFFERS(change) \
	do { \
		g = sample(); \
		change; \
		k = file_digest(&g); \
		assert_false(hash_eq(&h, &k)); \
	} while (0)
	DIFFERS(g.id.b[15] ^= 1);
	DIFFERS(g.version++);
	DIFFERS(g.content.b[31] ^= 1);
	DIFFERS(g.mode ^= 0100);
	DIFFERS(g.kind = KIND_FILE);
	DIFFERS(g.size++);
	DIFFERS(g.name = "m");
	DIFFERS(g.dir = "");
#undef DIFFERS
	g = sample();
	g.mtime_ns = 1;
	g.created_at = 2;
	g.changed_by.b[0] = 3;
	g.target = "elsewhere"; /* is in the content hash */
	k = file_digest(&g);
	assert_true(hash_eq(&h, &k));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(titles),
		cmocka_unit_test(paths),
		cmocka_unit_test(longest_path),
		cmocka_unit_test(digest_format),
		cmocka_unit_test(digest_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
