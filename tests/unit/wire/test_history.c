/* A page of a file's versions, both ways. */

#include "wire_test.h"

static struct wire_version
sample(int kind, bool deleted)
{
	return (struct wire_version){ .version = 1795356000123456, .path = "a/\xc3\xa9 \"x\".txt", .kind = kind, .size = kind == 0 ? 70000 : 0,
		.mode = 0751, .mtime_ns = -1, .content = kind == 1 ? (struct hash){} : hash_of("x", 1), .target = kind == 2 ? "../t" : NULL,
		.changed_by = id_new(), .changed_by_name = "laptop", .deleted = deleted };
}

static char *
page_text(const struct wire_version *list, size_t n)
{
	struct sbuf sb = SBUF(4 * MIB);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_key(&jw, "versions");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++)
		wire_version_write(&jw, &list[i]);
	jw_end_array(&jw);
	jw_kbool(&jw, "has_more", true);
	jw_kbool(&jw, "of_a_later_server", true);
	jw_end_object(&jw);
	return sbuf_take(&sb);
}

static err_code
page_read(const char *text, struct arena *a, struct wire_version **out, size_t *n, struct err *err)
{
	bool more = false;
	err_code rc = wire_versions_read((const uint8_t *)text, strlen(text), a, out, n, &more, err);

	assert_true(rc || more);
	return rc;
}

static void
versions_round_trip(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_version list[] = { sample(0, true), sample(0, false), sample(1, false), sample(2, false), sample(2, true) }, *back;
	AUTO(freep) char *text = page_text(list, ARRAY_LEN(list));
	AUTO(freep) char *again = NULL;
	struct err err = { 0 };
	size_t n;

	(void)state;
	assert_code(page_read(text, a, &back, &n, &err), ERR_OK, &err);
	assert_int_equal(n, ARRAY_LEN(list));
	again = page_text(back, n);
	assert_string_equal(text, again);
	for (size_t i = 0; i < n; i++) {
		assert_true(id_eq(&back[i].changed_by, &list[i].changed_by));
		assert_int_equal(back[i].deleted, list[i].deleted);
		assert_int_equal(back[i].mtime_ns, -1);
	}
}

/** Clients judge what a server sends: each row replaces one piece of a good page. */
static void
bad_versions_are_refused(void **state)
{
	static const struct {
		const char *from, *to;
		err_code code;
	} rows[] = {
		{ "\"versions\"", "\"histories\"", ERR_FIELD_MISSING },
		{ "\"version\":1795356000123456", "\"version\":0", ERR_FIELD_RANGE },
		{ "\"path\"", "\"pfad\"", ERR_FIELD_MISSING },
		{ "\"kind\":\"file\"", "\"kind\":\"door\"", ERR_FIELD_RANGE },
		{ "\"kind\":\"file\"", "\"kind\":\"link\"", ERR_FIELD_MISSING },
		{ "\"size\":70000", "\"size\":17592186044417", ERR_FIELD_RANGE },
		{ "\"mode\":\"0751\"", "\"mode\":\"8888\"", ERR_FIELD_RANGE },
		{ "\"changed_by\":\"0", "\"changed_by\":\"x", ERR_ID_INVALID },
		{ "\"changed_by_name\":\"laptop\",", "", ERR_FIELD_MISSING },
		{ "\"deleted\":false", "\"deleted\":0", ERR_FIELD_TYPE },
		{ "\"has_more\":true,", "", ERR_FIELD_MISSING },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_version good = sample(0, false), *back;
	AUTO(freep) char *text = page_text(&good, 1);
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		const char *at = strstr(text, rows[i].from);
		struct err err = { 0 };

		assert_non_null(at);
		sbuf_addn(&sb, text, (size_t)(at - text));
		sbuf_add(&sb, rows[i].to);
		sbuf_add(&sb, at + strlen(rows[i].from));
		assert_row(rows[i].to, page_read(sbuf_str(&sb), a, &back, &n, &err), rows[i].code, &err);
	}
}

/** As many as the API answers, and one more. */
static void
limits(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB), *small = arena_new(16 * KIB);
	AUTO(freep) struct wire_version *list = xcalloc(PAGE_LIMIT_MAX + 1, sizeof *list);
	AUTO(freep) char *full = NULL, *more = NULL;
	struct wire_version *back;
	struct err err = { 0 };
	size_t n;

	(void)state;
	for (size_t i = 0; i <= PAGE_LIMIT_MAX; i++)
		list[i] = sample(0, false);
	full = page_text(list, PAGE_LIMIT_MAX);
	more = page_text(list, PAGE_LIMIT_MAX + 1);
	assert_code(page_read(full, a, &back, &n, &err), ERR_OK, &err);
	assert_int_equal(n, PAGE_LIMIT_MAX);
	assert_int_equal(page_read(more, a, &back, &n, NULL), ERR_FIELD_RANGE);
	assert_int_equal(page_read(full, small, &back, &n, NULL), ERR_BODY_TOO_LARGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_round_trip),
		cmocka_unit_test(bad_versions_are_refused),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
