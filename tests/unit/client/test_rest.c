/* New names that a slice has left out come back as they were, in their order, however many there are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/limits.h"
#include "client/rest.h"

#define MANY 5000 /* several blocks */

/* Paths that begin as the one before does, and ones that do not; every seventh is a link. */
static void
nth(unsigned i, char path[static PATH_LEN_MAX + 1], char target[static PATH_LEN_MAX + 1], struct entry *out)
{
	bool link = i % 7 == 0;

	snprintf(path, PATH_LEN_MAX + 1, "scene %02u/%s/take %04u%s", i / 100, i % 3 ? "ein längerer Name eines Ordners" : "x", i, i % 2 ? "" : ".mov");
	target[0] = '\0';
	if (link)
		snprintf(target, PATH_LEN_MAX + 1, "../to/%u", i);
	*out = (struct entry){ .path = path, .target = target, .kind = link ? ENTRY_LINK : ENTRY_FILE, .size = link ? 0 : INT64_MAX - i, .mode = i & 0777,
		.mtime_ns = -(int64_t)i, .ctime_ns = INT64_MAX - i, .dev = UINT64_MAX - i, .ino = i * UINT64_C(0x9e3779b97f4a7c15), .content_known = link };
	if (link)
		memset(&out->content, (int)(i % 251), sizeof out->content);
}

static void
assert_nth(struct rest *r, unsigned i)
{
	char path[PATH_LEN_MAX + 1], target[PATH_LEN_MAX + 1];
	struct entry want, e;

	nth(i, path, target, &want);
	assert_true(rest_take(r, &e));
	assert_string_equal(e.path, path);
	assert_string_equal(e.target, target);
	assert_int_equal(e.kind, want.kind);
	assert_int_equal(e.content_known, want.content_known);
	assert_memory_equal(&e.content, &want.content, sizeof e.content);
	assert_true(e.size == want.size && e.mode == want.mode && e.mtime_ns == want.mtime_ns && e.ctime_ns == want.ctime_ns);
	assert_true(e.dev == want.dev && e.ino == want.ino);
	assert_true(id_is_zero(&e.id) && e.version == 0 && e.extents == NULL);
}

static void
add(struct rest *r, unsigned i)
{
	char path[PATH_LEN_MAX + 1], target[PATH_LEN_MAX + 1];
	struct entry e;

	nth(i, path, target, &e);
	rest_add(r, &e);
}

static void
come_back(void **unused)
{
	struct rest *r = rest_new();
	struct entry e;

	(void)unused;
	for (unsigned i = 0; i < MANY; i++)
		add(r, i);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(rest_sum(r).entries, MANY - i);
		assert_nth(r, i);
	}
	assert_int_equal(rest_sum(r).entries, 0);
	assert_false(rest_take(r, &e));
	rest_free(r);
}

/* Taken while others are added, down to nothing, and begun again. */
static void
in_turns(void **unused)
{
	struct rest *r = rest_new();
	unsigned added = 0, taken = 0;

	(void)unused;
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned n = round * 7 % 200; n > 0; n--)
			add(r, added++);
		for (unsigned n = round * 11 % 230; n > 0 && taken < added; n--)
			assert_nth(r, taken++);
	}
	while (taken < added)
		assert_nth(r, taken++);
	assert_int_equal(rest_sum(r).entries, 0);
	rest_free(r);
}

static void
longest(void **unused)
{
	static char path[PATH_LEN_MAX + 1], target[PATH_LEN_MAX + 1];
	struct entry in = { .path = path, .target = target, .kind = ENTRY_LINK, .content_known = true }, out;
	struct rest *r = rest_new();

	(void)unused;
	memset(path, 'p', PATH_LEN_MAX);
	memset(target, 't', PATH_LEN_MAX);
	for (unsigned i = 0; i < 40; i++) {
		path[0] = (char)('a' + i % 26); /* nothing is shared */
		rest_add(r, &in);
	}
	for (unsigned i = 0; i < 40; i++) {
		path[0] = (char)('a' + i % 26);
		assert_true(rest_take(r, &out));
		assert_string_equal(out.path, path);
		assert_string_equal(out.target, target);
	}
	rest_add(r, &in); /* what is not taken is freed */
	rest_free(r);
	rest_free(NULL);
	assert_int_equal(rest_sum(NULL).entries, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(come_back), cmocka_unit_test(in_turns), cmocka_unit_test(longest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
