/*
 * Listings: order, page edges, and names that trip a comparison that is not of bytes.  What is right is worked out here by sorting and
 * filtering; every page size must walk the same sequence.
 */
#include "suite.h"

/* Names whose order differs between bytes, case-blind, locale and LIKE patterns, and between a path as text and as (dir, name). */
static const char *const names[] = { "a", "A", "a-b", "a.b", "a b", "a0", "ab", "a%", "a_", "a*", "aZ", "B", "-", "~", "0", "10", "9",
	"\xc3\xa9", "e\xcc\x81", "e", "\xc3\x9f", "\xe5\xad\x97", "\xf0\x9f\x8e\xac", "\xef\xbf\xbd", "[a]", "'", "\"" };
static const char *const dirs[] = { "", "a", "a-b", "a.b", "a%", "a_", "a/b", "a/b/c", "a/b-c", "a/", "a0", "A", "\xc3\xa9", "\xc3\xa9/x",
	"e\xcc\x81", "ab", "ab/c" };

#define FILES (ARRAY_LEN(names) * ARRAY_LEN(dirs))

static struct file tree[FILES];

static int
by_dir_name(const void *a, const void *b)
{
	const struct file *x = a, *y = b;
	int c = strcmp(x->dir, y->dir);

	return c ? c : strcmp(x->name, y->name);
}

static int
by_version(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

/* Every name in every directory, in an order that is none of those asked for; a third of them deleted. */
static void
plant(struct fixture *f)
{
	struct file foreign = a_file(1, "a", "of another project", 1);
	struct meta_tx *tx;
	size_t i = 0;

	add_basics(f);
	for (size_t d = 0; d < ARRAY_LEN(dirs); d++) {
		for (size_t n = 0; n < ARRAY_LEN(names); n++, i++)
			tree[i] = a_file((unsigned)(1000 + i), dirs[d], names[n], (int64_t)((i * 199) % FILES + 1));
	}
	tx = writer(f);
	for (i = 0; i < FILES; i++) {
		if (i % 3 == 1)
			tree[i].deleted_at = tree[i].version;
		ok(meta_file_put(tx, P1, &tree[i], ERR));
	}
	ok(meta_file_put(tx, P2, &foreign, ERR));
	commit(tx);
}

/* The planted files that ${keep} keeps, in the order of ${cmp}. */
static size_t
expect(struct file *out, bool (*keep)(const struct file *f, const char *dir), const char *dir,
    int (*cmp)(const void *, const void *))
{
	size_t n = 0;

	for (size_t i = 0; i < FILES; i++) {
		if (keep(&tree[i], dir))
			out[n++] = tree[i];
	}
	qsort(out, n, sizeof *out, cmp);
	return n;
}

static bool
keep_all(const struct file *f, const char *dir)
{
	(void)f;
	(void)dir;
	return true;
}

static bool
keep_live(const struct file *f, const char *dir)
{
	(void)dir;
	return !f->deleted_at;
}

static bool
keep_in(const struct file *f, const char *dir)
{
	return !f->deleted_at && strcmp(f->dir, dir) == 0;
}

static bool
keep_beneath(const struct file *f, const char *dir)
{
	size_t len = strlen(dir);

	if (f->deleted_at)
		return false;
	return !len || (strncmp(f->dir, dir, len) == 0 && (f->dir[len] == '\0' || f->dir[len] == '/'));
}

/** A way to list: the page after ${last}, NULL at the start. */
typedef void list_fn(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n);

static void
walk(struct meta_tx *tx, list_fn *list, const char *dir, unsigned limit, const struct file *want, size_t want_n)
{
	struct file last, *out;
	char last_dir[FILE_PATH_MAX], last_name[FILE_PATH_MAX];
	size_t n, at = 0;

	do {
		list(tx, dir, at ? &last : NULL, limit, &out, &n);
		assert_true(n <= limit);
		for (size_t i = 0; i < n; i++, at++) {
			assert_true(at < want_n);
			assert_file(&out[i], &want[at]);
		}
		if (n < limit)
			break;
		last = out[n - 1];
		(void)snprintf(last_dir, sizeof last_dir, "%s", last.dir);
		(void)snprintf(last_name, sizeof last_name, "%s", last.name);
		last.dir = last_dir;
		last.name = last_name;
		meta_tx_trim(tx);
	} while (n);
	if (at != want_n)
		fail_msg("beneath \"%s\" by %u: %zu files, not %zu", dir, limit, at, want_n);
}

static void
walk_all(struct fixture *f, list_fn *list, const char *dir, bool (*keep)(const struct file *f, const char *dir),
    int (*cmp)(const void *, const void *))
{
	static const unsigned limits[] = { 1, 2, 3, 7, 100, FILES - 1, FILES, FILES + 1 };
	static struct file want[FILES];
	size_t n = expect(want, keep, dir, cmp);
	struct meta_tx *tx = reader(f);

	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		walk(tx, list, dir, limits[i], want, n);
	meta_abort(&tx);
}

static void
list_page(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n)
{
	(void)dir;
	ok(meta_file_page(tx, P1, last ? last->version : 0, limit, out, n, ERR));
}

static void
list_changes(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n)
{
	(void)dir;
	ok(meta_file_changes(tx, P1, last ? last->version : 0, limit, out, n, ERR));
}

static void
list_dir(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n)
{
	ok(meta_file_dir(tx, P1, dir, last ? last->name : NULL, limit, out, n, ERR));
}

static void
list_tree(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n)
{
	(void)dir;
	ok(meta_file_tree(tx, P1, last ? last->dir : NULL, last ? last->name : NULL, limit, out, n, ERR));
}

static void
list_beneath(struct meta_tx *tx, const char *dir, const struct file *last, unsigned limit, struct file **out, size_t *n)
{
	ok(meta_file_beneath(tx, P1, dir, last ? last->dir : "", last ? last->name : "", limit, out, n, ERR));
}

static void
clock_order(void **state)
{
	plant(*state);
	walk_all(*state, list_page, "", keep_live, by_version);
	walk_all(*state, list_changes, "", keep_all, by_version);
}

static void
dir_order(void **state)
{
	plant(*state);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		walk_all(*state, list_dir, dirs[i], keep_in, by_dir_name);
	walk_all(*state, list_dir, "nowhere", keep_in, by_dir_name);
}

static void
tree_order(void **state)
{
	plant(*state);
	walk_all(*state, list_tree, "", keep_live, by_dir_name);
}

static void
beneath(void **state)
{
	plant(*state);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		walk_all(*state, list_beneath, dirs[i], keep_beneath, by_dir_name);
	walk_all(*state, list_beneath, "nowhere", keep_beneath, by_dir_name);
	walk_all(*state, list_beneath, "zz", keep_beneath, by_dir_name);
}

/* A file that changes while somebody pages through moves behind them: it is met again, never missed (I7). */
static void
change_while_paging(void **state)
{
	struct file f, *rows;
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	for (unsigned i = 0; i < 10; i++) {
		f = a_file(10 + i, "", names[i], 100 + i);
		ok(meta_file_put(tx, P1, &f, ERR));
	}
	f = a_file(12, "", names[2], 200);
	ok(meta_file_put(tx, P1, &f, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_file_changes(tx, P1, 105, 100, &rows, &n, ERR));
	assert_int_equal(n, 5);
	assert_file(&rows[4], &f);
	ok(meta_file_changes(tx, P1, 200, 100, &rows, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_file_page(tx, P1, INT64_MAX, 100, &rows, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_file_page(tx, P1, 0, 0, &rows, &n, ERR));
	assert_int_equal(n, 0);
	meta_abort(&tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(clock_order),
	cmocka_unit_test(dir_order),
	cmocka_unit_test(tree_order),
	cmocka_unit_test(beneath),
	cmocka_unit_test(change_while_paging),
};
const struct group group_listings = { tests, ARRAY_LEN(tests) };
