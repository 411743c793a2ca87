/* Order of paths, comparing entries, and the names of conflict copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "client/model/conflict_name.h"
#include "client/model/entry.h"

#define WHEN (INT64_C(1795356000) * 1000000) /* 2026-11-22 14:00:00 UTC */

static void
test_path_order(void **state)
{
	/* As a scan finds them: a directory's names together, directories by their bytes ('-' < '.' < '/'). */
	static const char *const sorted[] = { "a", "a-", "a.b", "b", "\xc3\xa9", "a/x", "a/y", "a-/x", "a.b/0", "a/x/y", "ab/c" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		for (size_t k = 0; k < ARRAY_LEN(sorted); k++) {
			int c = path_cmp(sorted[i], sorted[k]);

			assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
		}
	}
}

static void
test_path_beneath(void **state)
{
	(void)state;
	assert_true(path_beneath("a/b", "a"));
	assert_true(path_beneath("a/b/c", "a"));
	assert_true(path_beneath("a", ""));
	assert_false(path_beneath("ab", "a"));
	assert_false(path_beneath("a", "a"));
	assert_false(path_beneath("", ""));
}

static void
test_mode_through_umask(void **state)
{
	(void)state;
	assert_int_equal(entry_mode_through(0666, 0644, 022), 0666);
	assert_int_equal(entry_mode_through(0666, 0600, 022), 0600);
	assert_int_equal(entry_mode_through(0644, 0644, 022), 0644);
	assert_int_equal(entry_mode_through(0644, 0755, 022), 0755);
}

static void
test_same_disk(void **state)
{
	struct entry a = { .dev = 1, .ino = 2, .size = 3, .mtime_ns = 4, .ctime_ns = 5 }, b = a;

	(void)state;
	assert_true(entry_same_disk(&a, &b));
	b.ctime_ns++;
	assert_false(entry_same_disk(&a, &b));
	b = a;
	b.ino++;
	assert_false(entry_same_disk(&a, &b));
	a.ctime_ns = b.ctime_ns = 0; /* not to be trusted */
	b.ino = a.ino;
	assert_false(entry_same_disk(&a, &b));
}

/* ---- conflict names --------------------------------------------------------------------------------------------------- */

static char name[CONFLICT_NAME_MAX];

static void
test_conflict_names(void **state)
{
	(void)state;
	assert_string_equal(conflict_name("d/report.doc", "laptop", WHEN, 0, name),
	    "d/report (conflict laptop 2026-11-22 14.00.00).doc");
	assert_string_equal(conflict_name("report.doc", "laptop", WHEN, 2, name), "report (conflict laptop 2026-11-22 14.00.00 2).doc");
	assert_string_equal(conflict_name("README", "laptop", WHEN, 0, name), "README (conflict laptop 2026-11-22 14.00.00)");
	assert_string_equal(conflict_name(".bashrc", "laptop", WHEN, 0, name), ".bashrc (conflict laptop 2026-11-22 14.00.00)");
	assert_string_equal(conflict_name("a.tar.gz", "x", WHEN, 0, name), "a.tar (conflict x 2026-11-22 14.00.00).gz");
	assert_string_equal(conflict_name("a", "evil/../x\n", WHEN, 0, name), "a (conflict evil-..-x- 2026-11-22 14.00.00)");
}

static void
test_copy_of_a_copy_does_not_grow(void **state)
{
	char again[CONFLICT_NAME_MAX];

	(void)state;
	conflict_name("a.txt", "one", WHEN, 0, name);
	assert_string_equal(conflict_name(name, "two", WHEN, 3, again), "a (conflict two 2026-11-22 14.00.00 3).txt");
	assert_true(conflict_name_is(name) && conflict_name_is("d/a (conflict x"));
	assert_false(conflict_name_is("d (conflict x y)/a") || conflict_name_is("a (conflict)") || conflict_name_is("a"));
	conflict_name("README", "one", WHEN, 0, name); /* the time's last dot begins no extension */
	assert_string_equal(conflict_name(name, "two", WHEN, 0, again), "README (conflict two 2026-11-22 14.00.00)");
	assert_string_equal(conflict_name("a (conflict of interest).txt", "two", WHEN, 0, again),
	    "a (conflict two 2026-11-22 14.00.00).txt");
}

/* Whatever the name, the copy's is a name: not too long, UTF-8, extension kept, another one for another attempt. */
static void
test_long_names(void **state)
{
	char dir[PATH_LEN_MAX + 1], path[PATH_LEN_MAX + 1], device[256], other[CONFLICT_NAME_MAX];

	(void)state;
	memset(device, 'D', 200);
	device[200] = '\0';
	for (size_t dirs = 0; dirs <= 15; dirs += 15) {
		dir[0] = '\0';
		for (size_t i = 0; i < dirs; i++) {
			memset(dir + i * 255, 'd', 254);
			dir[i * 255 + 254] = '/';
			dir[i * 255 + 255] = '\0';
		}
		for (size_t shift = 0; shift < 4; shift++) {
			size_t len = (size_t)snprintf(path, sizeof path, "%s%.*s", dir, (int)shift, "abc");

			while (strlen(path) - strlen(dir) + 4 + 5 <= 255) /* "🎬" in four bytes */
				len += (size_t)snprintf(path + len, sizeof path - len, "\xf0\x9f\x8e\xac");
			snprintf(path + len, sizeof path - len, ".blend");
			conflict_name(path, device, WHEN, 0, name);
			conflict_name(path, device, WHEN, 4294967295U, other);
			assert_true(strlen(strrchr(name, '/') ? strrchr(name, '/') + 1 : name) <= NAME_LEN_MAX);
			assert_int_equal(path_ok(name, strlen(name), NULL), ERR_OK);
			assert_int_equal(path_ok(other, strlen(other), NULL), ERR_OK);
			assert_string_equal(name + strlen(name) - 6, ".blend");
			assert_string_not_equal(name, other);
			assert_non_null(strstr(name, "(conflict DDD"));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path_order),
		cmocka_unit_test(test_path_beneath),
		cmocka_unit_test(test_mode_through_umask),
		cmocka_unit_test(test_same_disk),
		cmocka_unit_test(test_conflict_names),
		cmocka_unit_test(test_copy_of_a_copy_does_not_grow),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
