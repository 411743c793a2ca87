/* The tree as people look at it: sorted directories and searches, page by page, also while it changes. */
#include "rig.h"

#include "server/domain/view.h"

#define SORTS 5

static const char *const sort_names[SORTS] = { "path", "name", "size", "mtime", "changed" };

static struct op
sized(struct rig *r, const char *path, size_t size, int64_t mtime)
{
	struct made *m = arena_must(r->a, sizeof *m);
	uint8_t bytes[64];
	struct op op;

	fill(bytes, size, size);
	*m = rig_upload(r, bytes, size);
	op = put_file(path, m);
	op.has_mtime = true;
	op.mtime_ns = mtime;
	return op;
}

/* The names of all pages, "a b c". */
static const char *
walk_dir(struct rig *r, struct view_dir v, unsigned limit)
{
	char *all = arena_strdup(r->a, "");
	struct view_place at;
	struct view_page p = { 0 };
	bool first = true;

	do {
		assert_ok(r, view_dir(r->d, &r->project, &v, first ? NULL : &at, limit, r->a, &p, &r->err));
		assert_true(p.page.n <= limit);
		for (size_t i = 0; i < p.page.n; i++)
			all = arena_printf(r->a, "%s%s%s", all, *all ? " " : "", p.page.files[i].name);
		at = p.last;
		first = false;
	} while (p.page.has_more);
	return all;
}

static const char *
found(struct rig *r, const char *prefix, const char *text, unsigned limit)
{
	struct view_search q = { prefix, text };
	char *all = arena_strdup(r->a, "");
	struct view_place at;
	struct view_page p = { 0 };
	bool first = true;

	do {
		assert_ok(r, view_search(r->d, &r->project, &q, first ? NULL : &at, limit, r->a, &p, &r->err));
		assert_true(p.page.n <= limit);
		for (size_t i = 0; i < p.page.n; i++) {
			char path[FILE_PATH_MAX];

			all = arena_printf(r->a, "%s%s%s", all, *all ? " " : "", file_path(&p.page.files[i], path));
		}
		at = p.last;
		first = false;
	} while (p.page.has_more);
	return all;
}

static void
sorted_directories(void **state)
{
	static const struct {
		enum view_sort sort;
		bool desc;
		const char *want;
	} cases[] = {
		{ VIEW_PATH, false, "B a b d1 d2 l z" },
		{ VIEW_NAME, false, "d1 d2 B a b l z" },
		{ VIEW_NAME, true, "d2 d1 z l b a B" },
		{ VIEW_SIZE, false, "d1 d2 l a z b B" },
		{ VIEW_SIZE, true, "d1 d2 B b z a l" },
		{ VIEW_MTIME, false, "d1 d2 z B b a l" },
		{ VIEW_MTIME, true, "d1 d2 l a b B z" },
		{ VIEW_CHANGED, false, "d1 d2 z b B l a" },
		{ VIEW_CHANGED, true, "d1 d2 a l B b z" },
	};
	struct rig *r = *state;
	struct op l;

	rig_do(r, put_dir("p"));
	rig_do(r, put_dir("p/d2"));
	rig_do(r, sized(r, "p/z", 3, 0));
	rig_do(r, sized(r, "p/b", 7, 5));
	rig_do(r, sized(r, "p/B", 40, 5));
	rig_do(r, put_dir("p/d1"));
	l = put_link("p/l", "z");
	l.has_mtime = true;
	l.mtime_ns = 9;
	rig_do(r, l);
	rig_do(r, sized(r, "p/a", 3, 7));
	rig_do(r, sized(r, "p/d1/inside", 9, 1));
	rig_do(r, sized(r, "p/gone", 9, 1));
	rig_do(r, del_at(r, "p/gone"));
	rig_do(r, sized(r, "pq", 9, 1));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned limit = 1; limit < 10; limit++)
			assert_string_equal(walk_dir(r, (struct view_dir){ "p", cases[i].sort, cases[i].desc }, limit), cases[i].want);
	assert_string_equal(walk_dir(r, (struct view_dir){ "", VIEW_NAME, false }, 1), "p pq");
	assert_string_equal(walk_dir(r, (struct view_dir){ "p/d2", VIEW_SIZE, true }, 1), "");
}

static void
what_is_no_directory(void **state)
{
	struct rig *r = *state;
	struct view_page p;

	rig_do(r, put_text(r, "f", "x"));
	for (int sort = 0; sort < SORTS; sort++) {
		assert_code(r, ERR_NOT_FOUND, view_dir(r->d, &r->project, &(struct view_dir){ "no", (enum view_sort)sort, false }, NULL, 1, r->a, &p, &r->err));
		assert_code(r, ERR_NOT_FOUND, view_dir(r->d, &r->project, &(struct view_dir){ "f", (enum view_sort)sort, false }, NULL, 1, r->a, &p, &r->err));
		assert_code(r, ERR_PATH_INVALID, view_dir(r->d, &r->project, &(struct view_dir){ "f/", (enum view_sort)sort, false }, NULL, 1, r->a, &p, &r->err));
	}
	assert_code(r, ERR_FIELD_RANGE, view_dir(r->d, &r->project, &(struct view_dir){ "" }, NULL, 0, r->a, &p, &r->err));
	assert_code(r, ERR_FIELD_RANGE, view_dir(r->d, &r->project, &(struct view_dir){ "" }, NULL, PAGE_LIMIT_MAX + 1, r->a, &p, &r->err));
	assert_code(r, ERR_NOT_FOUND, view_dir(r->d, &(struct id){ 0 }, &(struct view_dir){ "" }, NULL, 1, r->a, &p, &r->err));
	assert_code(r, ERR_NOT_FOUND, view_search(r->d, &(struct id){ 0 }, &(struct view_search){ "", NULL }, NULL, 1, r->a, &p, &r->err));
}

/* Files by name are read past the directories among them: what one page reads past is bounded. */
static void
many_directories_among_the_names(void **state)
{
	enum { DIRS = SEARCH_ROWS_MAX + 1500, BATCH = 5000 };
	struct rig *r = *state;
	struct op *ops = arena_array(r->a, BATCH, sizeof *ops);
	struct view_dir v = { .dir = "", .sort = VIEW_NAME };
	struct view_place at = { .files = true, .text = "d" };
	struct view_page p;

	for (int n = 0; n < DIRS; n += BATCH) {
		size_t k = 0;

		for (int i = n; i < MIN(n + BATCH, DIRS); i++)
			ops[k++] = put_dir(arena_printf(r->a, "d%06d", i));
		rig_commit(r, ops, k);
	}
	rig_do(r, put_text(r, "z", "x"));
	assert_ok(r, view_dir(r->d, &r->project, &v, &at, 10, r->a, &p, &r->err));
	assert_int_equal(p.page.n, 0);
	assert_true(p.page.has_more);
	assert_true(p.last.files);
	at = p.last;
	assert_ok(r, view_dir(r->d, &r->project, &v, &at, 10, r->a, &p, &r->err));
	assert_int_equal(p.page.n, 1);
	assert_false(p.page.has_more);
}

static void
prefixes(void **state)
{
	struct rig *r = *state;

	rig_commit(r, (struct op[]){ put_dir("a"), put_text(r, "a-b", "x"), put_dir("a/b"), put_text(r, "a/b/f", "x"), put_text(r, "a/bc", "x"),
	    put_dir("a/c"), put_text(r, "a/c/g", "x"), put_dir("ab"), put_text(r, "ab/h", "x"), put_text(r, ".hidden", "x") }, 10);
	for (unsigned limit = 1; limit < 12; limit++) {
		assert_string_equal(found(r, "", NULL, limit), ".hidden a a-b ab a/b a/bc a/c a/b/f a/c/g ab/h");
		assert_string_equal(found(r, "a", NULL, limit), "a a-b ab a/b a/bc a/c a/b/f a/c/g ab/h");
		assert_string_equal(found(r, "a/", NULL, limit), "a/b a/bc a/c a/b/f a/c/g");
		assert_string_equal(found(r, "a/b", NULL, limit), "a/b a/bc a/b/f");
		assert_string_equal(found(r, "a/b/", NULL, limit), "a/b/f");
		assert_string_equal(found(r, "a/c/g", NULL, limit), "a/c/g");
		assert_string_equal(found(r, ".", NULL, limit), ".hidden");
		assert_string_equal(found(r, "zz", NULL, limit), "");
		assert_string_equal(found(r, "a/zz/", NULL, limit), "");
		assert_string_equal(found(r, "a/", "B", limit), "a/b a/bc");
	}
}

static void
prefixes_that_no_path_has(void **state)
{
	static const struct {
		const char *p;
		size_t len;
		err_code code;
	} cases[] = { { "/", 1, ERR_PATH_INVALID }, { "/a", 2, ERR_PATH_INVALID }, { "a//", 3, ERR_PATH_INVALID }, { "../a", 4, ERR_PATH_INVALID },
		{ "a/./b", 5, ERR_PATH_INVALID }, { "a\0b", 3, ERR_PATH_INVALID }, { "a/\xff", 3, ERR_NAME_NOT_UTF8 },
		{ "\xc3", 1, ERR_NAME_NOT_UTF8 }, { ".dray/x", 7, ERR_NAME_RESERVED }, { "", 0, ERR_OK }, { ".", 1, ERR_OK }, { "a/..", 4, ERR_OK } };
	struct rig *r = *state;
	char *longest = arena_must(r->a, PATH_LEN_MAX + 2);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (view_prefix_check(cases[i].p, cases[i].len, &r->err) != cases[i].code)
			fail_msg("\"%s\": not %s", cases[i].p, err_info(cases[i].code)->code);
	memset(longest, 'x', PATH_LEN_MAX + 1);
	assert_int_equal(view_prefix_check(longest, NAME_LEN_MAX, &r->err), ERR_OK);
	assert_int_equal(view_prefix_check(longest, NAME_LEN_MAX + 1, &r->err), ERR_NAME_TOO_LONG);
	for (size_t i = NAME_LEN_MAX; i < PATH_LEN_MAX; i += NAME_LEN_MAX + 1)
		longest[i] = '/';
	assert_int_equal(view_prefix_check(longest, PATH_LEN_MAX, &r->err), ERR_OK);
	assert_int_equal(view_prefix_check(longest, PATH_LEN_MAX + 1, &r->err), ERR_PATH_TOO_LONG);
	assert_int_equal(view_text_check("", 0, &r->err), ERR_FIELD_RANGE);
	assert_int_equal(view_text_check("a/b", 3, &r->err), ERR_FIELD_RANGE);
	assert_int_equal(view_text_check("a\0b", 3, &r->err), ERR_FIELD_RANGE);
	assert_int_equal(view_text_check("\xff", 1, &r->err), ERR_NAME_NOT_UTF8);
	assert_int_equal(view_text_check(longest, NAME_LEN_MAX, &r->err), ERR_OK);
	assert_int_equal(view_text_check(longest + 1, NAME_LEN_MAX + 1, &r->err), ERR_FIELD_RANGE);
}

static void
names_without_case(void **state)
{
	struct rig *r = *state;

	rig_commit(r, (struct op[]){ put_dir("Shots"), put_text(r, "Shots/TAKE_01.mov", "x"), put_text(r, "Shots/take_02.MOV", "x"),
	    put_text(r, "\xc3\x89t\xc3\xa9.txt", "x"), put_text(r, "\xce\xa3\xce\x8a\xce\xa3", "x"), put_text(r, "take%_", "x") }, 6);
	assert_string_equal(found(r, "", "Take_0", 1), "Shots/TAKE_01.mov Shots/take_02.MOV");
	assert_string_equal(found(r, "", ".mov", 9), "Shots/TAKE_01.mov Shots/take_02.MOV");
	assert_string_equal(found(r, "", "shots", 9), "Shots"); /* names, not paths */
	assert_string_equal(found(r, "", "\xc3\xa9T\xc3\x89", 9), "\xc3\x89t\xc3\xa9.txt");
	assert_string_equal(found(r, "", "\xcf\x83\xce\xaf\xcf\x82", 9), "\xce\xa3\xce\x8a\xce\xa3"); /* a final sigma is a sigma */
	assert_string_equal(found(r, "", "%", 9), "take%_");
	assert_string_equal(found(r, "", "nowhere", 9), "");
}

/* A page looks at so many names and no more, and says where it has come. */
static void
a_search_is_bounded(void **state)
{
	enum { FILES = SEARCH_ROWS_MAX + 100, BATCH = 5000 };
	struct rig *r = *state;
	struct made m = rig_upload(r, "x", 1);
	struct op *ops = arena_array(r->a, BATCH, sizeof *ops);
	struct view_search q = { "", "needle" };
	struct view_page p;

	for (int n = 0; n < FILES; n += BATCH) {
		size_t k = 0;

		for (int i = n; i < MIN(n + BATCH, FILES); i++)
			ops[k++] = put_file(arena_printf(r->a, "f%06d", i), &m);
		rig_commit(r, ops, k);
	}
	rig_do(r, put_text(r, "z-needle", "x"));
	assert_ok(r, view_search(r->d, &r->project, &q, NULL, 10, r->a, &p, &r->err));
	assert_int_equal(p.page.n, 0);
	assert_true(p.page.has_more);
	assert_string_equal(p.last.text, arena_printf(r->a, "f%06d", SEARCH_ROWS_MAX - 1));
	assert_string_equal(found(r, "", "needle", 10), "z-needle");
	q.text = "f";
	assert_ok(r, view_search(r->d, &r->project, &q, NULL, 1000, r->a, &p, &r->err));
	assert_int_equal(p.page.n, 1000);
	assert_string_equal(p.last.text, "f000999");
}

/* Entries that come, go and change between any two pages: a walk ends, and meets once what stays as it is. */
static void
walks_while_it_changes(void **state)
{
	enum { STAY = 40, OTHERS = 30 };
	struct rig *r = *state;

	rig_do(r, put_dir("p"));
	for (int i = 0; i < STAY; i++)
		rig_do(r, i % 4 ? sized(r, arena_printf(r->a, "p/stay%02d", i * 7 % STAY), (size_t)(i * 5 % 23 + 1), i * 3 % 11) :
				  put_dir(arena_printf(r->a, "p/stay%02d", i * 7 % STAY)));
	for (int sort = 0; sort < SORTS; sort++) {
		for (int desc = 0; desc < (sort == VIEW_PATH ? 1 : 2); desc++) {
			struct view_dir v = { .dir = "p", .sort = (enum view_sort)sort, .desc = desc };
			unsigned met[STAY] = { 0 }, pages = 0;
			struct view_place at;
			struct view_page p;

			do {
				char path[32];
				struct op op;

				assert_ok(r, view_dir(r->d, &r->project, &v, pages ? &at : NULL, 3, r->a, &p, &r->err));
				for (size_t i = 0; i < p.page.n; i++)
					if (strncmp(p.page.files[i].name, "stay", 4) == 0)
						met[strtoul(p.page.files[i].name + 4, NULL, 10)]++;
				at = p.last;
				snprintf(path, sizeof path, "p/other%02u", pages * 11 % OTHERS);
				op = sized(r, path, pages % 60 + 1, pages % 12);
				if (rig_there(r, path) && pages % 3 == 0)
					op = del_at(r, path);
				else if (rig_there(r, path))
					op = on(op, rig_at(r, path).version);
				rig_do(r, op);
				assert_true(++pages < 200);
			} while (p.page.has_more);
			for (size_t i = 0; i < STAY; i++)
				if (met[i] != 1)
					fail_msg("by %s%s: stay%02zu was met %u times", sort_names[sort], desc ? ", from the end" : "", i, met[i]);
		}
	}
	rig_assert_sums(r);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(sorted_directories), T(what_is_no_directory), T(many_directories_among_the_names), T(prefixes),
		T(prefixes_that_no_path_has), T(names_without_case), T(a_search_is_bounded), T(walks_while_it_changes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
