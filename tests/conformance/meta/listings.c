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
		tree[i].size = (int64_t)(i % 7) * 1000;
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

/** A walk that is to meet these, with the lists of those that have one, and maybe to end at one of them. */
struct met {
	const struct file *want;
	size_t want_n, n, fails_at;
	int64_t lists_to;
};

/* The page of a file's list: as many bytes as no other has. */
static size_t
page_len(const struct file *f)
{
	return 1 + f->id.b[15];
}

static err_code
meet(void *ctx, const struct file *f, const struct packed_page *list, struct err *err)
{
	struct met *m = ctx;
	bool has = f->size > 0 && f->size <= m->lists_to;
	struct file want;

	assert_true(m->n < m->want_n);
	want = m->want[m->n];
	want.list = (struct id){ { 0 } };
	want.beneath = (struct beneath){ .files = 0 };
	assert_file(f, &want);
	assert_int_equal(list->p != NULL, has);
	if (has)
		assert_int_equal(list->len, page_len(f));
	return m->n++ == m->fails_at ? err_set(err, ERR_NO_SPACE, "enough") : ERR_OK;
}

static void
meet_all(struct fixture *f, const struct file *want, size_t want_n, int64_t lists_to)
{
	const size_t ends[] = { 0, want_n / 2, want_n - 1, SIZE_MAX };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct met m = { .want = want, .want_n = want_n, .fails_at = ends[i], .lists_to = lists_to };
		struct meta_tx *tx = reader(f);
		err_code rc = meta_file_each(tx, P1, lists_to, meet, &m, ERR);
		struct project p;

		assert_int_equal(rc, ends[i] == SIZE_MAX ? ERR_OK : ERR_NO_SPACE);
		assert_int_equal(m.n, ends[i] == SIZE_MAX ? want_n : ends[i] + 1);
		ok(meta_project_get(tx, P1, &p, ERR)); /* wherever it has ended, the transaction goes on */
		meta_abort(&tx);
	}
}

static void
each(void **state)
{
	static struct file want[FILES];
	struct meta_tx *tx;
	size_t n;

	plant(*state);
	n = expect(want, keep_live, "", by_dir_name);
	tx = writer(*state);
	for (size_t i = 0; i < n; i++) {
		if (want[i].size > 0)
			ok(meta_blocks_add(tx, P1, &want[i].list, 0, (const uint8_t[256]){ 0 }, page_len(&want[i]), ERR));
	}
	commit(tx);
	meet_all(*state, want, n, 0);
	meet_all(*state, want, n, 3000);
	meet_all(*state, want, n, INT64_MAX);
}

/* Around what an engine sends at a time. */
static void
each_of_many(void **state)
{
	static const unsigned upto[] = { 1, 255, 256, 257, 511, 512, 513 };
	static char text[513][8];
	static struct file many[513];
	unsigned n = 0;

	add_basics(*state);
	for (size_t i = 0; i < ARRAY_LEN(upto); i++) {
		struct meta_tx *tx = writer(*state);

		for (; n < upto[i]; n++) {
			(void)snprintf(text[n], sizeof text[n], "%04u", n);
			many[n] = a_file(1000 + n, "", text[n], 100 + n);
			ok(meta_file_put(tx, P1, &many[n], ERR));
		}
		commit(tx);
		meet_all(*state, many, n, 0);
	}
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
	cmocka_unit_test(each),
	cmocka_unit_test(each_of_many),
	cmocka_unit_test(beneath),
	cmocka_unit_test(change_while_paging),
};
const struct group group_listings = { tests, ARRAY_LEN(tests) };
