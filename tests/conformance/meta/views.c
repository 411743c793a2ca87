/*
 * The tree as people look at it: each order of a directory from both ends, the names that a search looks at, and what directories count
 * beneath them.  What is right is worked out here by sorting; every page size must walk the same sequence.
 */
#include "suite.h"

#include <limits.h>

static const char *const names[] = { "a", "A", "a-b", "a0", "aa", "B", "-", "~", "10", "9", "\xc3\xa9", "e", "\xf0\x9f\x8e\xac",
	"\xf4\x8f\xbf\xbf", "\x01", "z" };
static const char *const dirs[] = { "", "a", "a-b", "a/b", "\xc3\xa9" };
static const int64_t times[] = { INT64_MIN, -1, 0, 0, 5, 5, 5, INT64_MAX };

#define FILES (ARRAY_LEN(names) * ARRAY_LEN(dirs))

static struct file tree[FILES];

/* Every name in every directory: a fifth of them deleted, a third directories, sizes and times of which many are equal. */
static void
plant(struct fixture *f)
{
	struct meta_tx *tx;
	struct file foreign = a_file(1, "a", "of another project", 1);

	add_basics(f);
	tx = writer(f);
	for (size_t i = 0; i < FILES; i++) {
		struct file *t = &tree[i];

		*t = a_file((unsigned)(100 + i), dirs[i / ARRAY_LEN(names)], names[i % ARRAY_LEN(names)], (int64_t)((i * 37) % 89 + 1));
		t->kind = i % 3 == 0 ? KIND_DIR : i % 7 == 1 ? KIND_LINK : KIND_FILE;
		t->size = t->kind == KIND_FILE ? (int64_t)(i % 4) * (INT64_C(1) << 40) : 0;
		t->mtime_ns = times[i % ARRAY_LEN(times)];
		if (i % 5 == 4)
			t->deleted_at = t->version;
		ok(meta_file_put(tx, P1, t, ERR));
	}
	ok(meta_file_put(tx, P2, &foreign, ERR));
	commit(tx);
}

/* ---- orders of a directory ------------------------------------------------------------------------------------------------------- */

/* One order, and what the comparison needs of it. */
static struct order {
	const char *dir;
	bool dirs, others;
	int key; /* of enum file_key, or -1: by name */
	bool desc;
} order;

static int64_t
key_of(const struct file *f)
{
	switch (order.key) {
	case FILE_SIZE:
		return f->size;
	case FILE_MTIME:
		return f->mtime_ns;
	case FILE_VERSION:
		return f->version;
	default:
		return 0;
	}
}

static int
cmp(const void *a, const void *b)
{
	const struct file *x = a, *y = b;
	int c = (key_of(x) > key_of(y)) - (key_of(x) < key_of(y));

	c = c ? c : strcmp(x->name, y->name);
	return order.desc ? -c : c;
}

static size_t
expect(struct file *out)
{
	size_t n = 0;

	for (size_t i = 0; i < FILES; i++) {
		const struct file *t = &tree[i];

		if (!t->deleted_at && strcmp(t->dir, order.dir) == 0 && (t->kind == KIND_DIR ? order.dirs : order.others))
			out[n++] = *t;
	}
	qsort(out, n, sizeof *out, cmp);
	return n;
}

static void
page(struct meta_tx *tx, const struct file_place *after, unsigned limit, struct file **out, size_t *n)
{
	const char *name = after ? after->name : NULL;

	if (order.key >= 0)
		ok(meta_file_sorted(tx, P1, order.dir, (enum file_key)order.key, order.desc, after, limit, out, n, ERR));
	else if (!order.others)
		ok(meta_file_dirs(tx, P1, order.dir, order.desc, name, limit, out, n, ERR));
	else
		ok(meta_file_dir_back(tx, P1, order.dir, name, limit, out, n, ERR));
}

static void
walk(struct meta_tx *tx, unsigned limit)
{
	struct file want[FILES], *out;
	char name[FILE_PATH_MAX];
	struct file_place after = { .name = name };
	size_t want_n = expect(want), n, at = 0;

	do {
		page(tx, at ? &after : NULL, limit, &out, &n);
		assert_true(n <= limit);
		for (size_t i = 0; i < n; i++, at++) {
			assert_true(at < want_n);
			assert_file(&out[i], &want[at]);
		}
		if (n) {
			(void)snprintf(name, sizeof name, "%s", out[n - 1].name);
			after.key = key_of(&out[n - 1]);
		}
		meta_tx_trim(tx);
	} while (n == limit);
	assert_int_equal(at, want_n);
}

static void
walk_order(struct fixture *f, struct order o)
{
	static const unsigned limits[] = { 1, 2, 3, 7, FILES };
	struct meta_tx *tx = reader(f);

	for (size_t d = 0; d <= ARRAY_LEN(dirs); d++) {
		order = o;
		order.dir = d < ARRAY_LEN(dirs) ? dirs[d] : "nowhere";
		for (size_t i = 0; i < ARRAY_LEN(limits); i++)
			walk(tx, limits[i]);
	}
	meta_abort(&tx);
}

static void
directories_by_name(void **state)
{
	plant(*state);
	walk_order(*state, (struct order){ .dirs = true, .key = -1 });
	walk_order(*state, (struct order){ .dirs = true, .key = -1, .desc = true });
}

static void
all_from_the_end(void **state)
{
	plant(*state);
	walk_order(*state, (struct order){ .dirs = true, .others = true, .key = -1, .desc = true });
}

static void
files_by_key(void **state)
{
	plant(*state);
	for (int key = FILE_SIZE; key <= FILE_VERSION; key++) {
		walk_order(*state, (struct order){ .others = true, .key = key });
		walk_order(*state, (struct order){ .others = true, .key = key, .desc = true });
	}
}

/* The largest names that there can be are met from the end as well. */
static void
longest_names(void **state)
{
	char name[NAME_LEN_MAX + 1] = "";
	struct file f, *out;
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	for (size_t i = 0; i < NAME_LEN_MAX / 4; i++)
		memcpy(name + 4 * i, "\xf4\x8f\xbf\xbf", 5);
	memcpy(name + NAME_LEN_MAX / 4 * 4, "\xef\xbf\xbd", 4);
	f = a_file(10, "", name, 100);
	f.mtime_ns = INT64_MAX;
	tx = writer(*state);
	ok(meta_file_put(tx, P1, &f, ERR));
	ok(meta_file_dir_back(tx, P1, "", NULL, 10, &out, &n, ERR));
	assert_int_equal(n, 1);
	ok(meta_file_sorted(tx, P1, "", FILE_MTIME, true, NULL, 10, &out, &n, ERR));
	assert_int_equal(n, 1);
	assert_file(&out[0], &f);
	commit(tx);
}

/* ---- names ------------------------------------------------------------------------------------------------------------------------ */

static int
by_place(const void *a, const void *b)
{
	const struct file *x = a, *y = b;
	int c = strcmp(x->dir, y->dir);

	return c ? c : strcmp(x->name, y->name);
}

static void
names_in_order(void **state)
{
	static const unsigned limits[] = { 1, 3, FILES };
	struct file want[FILES];
	struct file_name *out;
	struct meta_tx *tx;
	size_t want_n = 0, n;

	plant(*state);
	for (size_t i = 0; i < FILES; i++)
		if (!tree[i].deleted_at)
			want[want_n++] = tree[i];
	qsort(want, want_n, sizeof *want, by_place);
	tx = reader(*state);
	for (size_t l = 0; l < ARRAY_LEN(limits); l++) {
		for (size_t from = 0; from < want_n; from++) { /* the first one is among them */
			ok(meta_file_names(tx, P1, want[from].dir, want[from].name, limits[l], &out, &n, ERR));
			assert_int_equal(n, MIN((size_t)limits[l], want_n - from));
			for (size_t i = 0; i < n; i++) {
				assert_id(&out[i].id, &want[from + i].id);
				assert_string_equal(out[i].dir, want[from + i].dir);
				assert_string_equal(out[i].name, want[from + i].name);
			}
		}
		meta_tx_trim(tx);
	}
	ok(meta_file_names(tx, P1, "\xc3\xa9", "\xf4\x8f\xbf\xbf\x01", 10, &out, &n, ERR));
	assert_int_equal(n, 0);
	meta_abort(&tx);
}

/* ---- what lies beneath -------------------------------------------------------------------------------------------------------------- */

static struct file
a_dir(unsigned n, const char *dir, const char *name, int64_t version)
{
	struct file f = a_file(n, dir, name, version);

	f.kind = KIND_DIR;
	f.size = 0;
	return f;
}

static void
assert_counts(struct meta_tx *tx, const struct id *file, int64_t files, int64_t in_dirs, int64_t bytes)
{
	struct file f;

	ok(meta_file_get(tx, P1, file, &f, ERR));
	assert_int_equal(f.beneath.files, files);
	assert_int_equal(f.beneath.dirs, in_dirs);
	assert_int_equal(f.beneath.bytes, bytes);
}

static void
counts_stay_with_the_row(void **state)
{
	struct file d = a_dir(10, "x", "d", 100), *out;
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	d.beneath = (struct beneath){ 9, 9, 9 }; /* says nothing */
	tx = writer(*state);
	ok(meta_file_put(tx, P1, &d, ERR));
	assert_counts(tx, &d.id, 0, 0, 0);
	ok(meta_file_counts(tx, P1, "x/d", &(struct beneath){ 3, 1, INT64_C(1) << 50 }, ERR));
	ok(meta_file_counts(tx, P1, "x/d", &(struct beneath){ -1, 0, -7 }, ERR));
	assert_counts(tx, &d.id, 2, 1, (INT64_C(1) << 50) - 7);
	d.dir = "";
	d.name = "moved";
	d.version = 101;
	ok(meta_file_put(tx, P1, &d, ERR));
	commit(tx);
	tx = writer(*state);
	assert_counts(tx, &d.id, 2, 1, (INT64_C(1) << 50) - 7);
	ok(meta_file_dir(tx, P1, "", "", 10, &out, &n, ERR));
	assert_int_equal(out[0].beneath.files, 2);
	ok(meta_file_changes(tx, P1, 100, 10, &out, &n, ERR));
	assert_int_equal(out[0].beneath.dirs, 1);
	answers(meta_file_counts(tx, P1, "x/d", &(struct beneath){ 1, 0, 0 }, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	d.version = d.deleted_at = 102;
	ok(meta_file_put(tx, P1, &d, ERR));
	assert_counts(tx, &d.id, 0, 0, 0);
	d.version = 103;
	d.deleted_at = 0;
	ok(meta_file_put(tx, P1, &d, ERR));
	assert_counts(tx, &d.id, 0, 0, 0);
	commit(tx);
}

static void
counts_are_of_directories(void **state)
{
	struct file d = a_dir(10, "", "d", 100), f = a_file(11, "", "f", 101), gone = a_dir(12, "", "gone", 102);
	const struct beneath one = { 1, 0, 0 }, less[] = { { -1, 0, 0 }, { 0, -1, 0 }, { 0, 0, -1 } };
	struct meta_tx *tx;

	add_basics(*state);
	gone.deleted_at = gone.version;
	tx = writer(*state);
	ok(meta_file_put(tx, P1, &d, ERR));
	ok(meta_file_put(tx, P1, &f, ERR));
	ok(meta_file_put(tx, P1, &gone, ERR));
	commit(tx);
	for (size_t i = 0; i < 4; i++) {
		static const char *const paths[] = { "f", "gone", "none", "d" };

		tx = writer(*state);
		answers(meta_file_counts(tx, i == 3 ? P2 : P1, paths[i], &one, ERR), ERR_NOT_FOUND);
		meta_abort(&tx);
	}
	for (size_t i = 0; i < ARRAY_LEN(less); i++) {
		tx = writer(*state);
		answers(meta_file_counts(tx, P1, "d", &less[i], ERR), ERR_DB); /* fewer than none: a mistake of ours, seen where it is made */
		meta_abort(&tx);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(directories_by_name),
	cmocka_unit_test(all_from_the_end),
	cmocka_unit_test(files_by_key),
	cmocka_unit_test(longest_names),
	cmocka_unit_test(names_in_order),
	cmocka_unit_test(counts_stay_with_the_row),
	cmocka_unit_test(counts_are_of_directories),
};
const struct group group_views = { tests, ARRAY_LEN(tests) };
