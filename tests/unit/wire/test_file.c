/* File objects and pages of them, both ways. */

#include "wire_test.h"

static struct wire_file
sample(int kind)
{
	static struct wire_extent extents[2];
	struct wire_file f = {
		.id = id_new(),
		.path = "a/\xc3\xa9 \"x\".txt", .kind = kind, .size = kind == 0 ? 70000 : 0, .mtime_ns = -1,
		.mode = 0751, .version = 1795356000123456, .created_at = 1795356000000001, .changed_by = id_new(),
		.content = kind == 1 ? (struct hash){} : hash_of("x", 1), .target = kind == 2 ? "../t" : NULL,
	};

	if (kind == 0) {
		extents[0] = (struct wire_extent){ hash_of("1", 1), 3, 1 };
		extents[1] = (struct wire_extent){ hash_of("2", 1), CHUNK_BLOCKS_MAX - 1, CHUNK_BLOCKS_MAX };
		f.extents = extents;
		f.extent_count = 2;
		f.unportable = true;
	}
	return f;
}

static char *
file_text(const struct wire_file *f)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	wire_file_write(&jw, f);
	return sbuf_take(&sb);
}

static err_code
file_back(const char *text, struct arena *a, struct wire_file *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	err_code rc = json_in_parse((const uint8_t *)text, strlen(text), &doc, err);

	return rc ? rc : wire_file_read(doc, "file", a, out, err);
}

static void
files_round_trip(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		struct wire_file f = sample(kind), back;
		AUTO(freep) char *text = file_text(&f);
		AUTO(freep) char *again = NULL;

		assert_int_equal(file_back(text, a, &back, NULL), ERR_OK);
		again = file_text(&back);
		assert_string_equal(text, again);
		assert_true(id_eq(&f.id, &back.id));
		assert_int_equal(back.mtime_ns, -1);
		assert_int_equal(back.version, f.version);
		assert_int_equal(back.extent_count, f.extent_count);
	}
}

/** Clients judge what a server sends: each row replaces one piece of a good object. */
static void
bad_files_are_refused(void **state)
{
	static const struct {
		const char *from, *to;
		err_code code;
	} rows[] = {
		{ "\"path\"", "\"pfad\"", ERR_FIELD_MISSING },
		{ "a/\xc3\xa9", "a\\u0000b", ERR_JSON_INVALID },
		{ "\"kind\":\"file\"", "\"kind\":\"door\"", ERR_FIELD_RANGE },
		{ "\"size\":70000", "\"size\":-1", ERR_FIELD_RANGE },
		{ "\"size\":70000", "\"size\":17592186044417", ERR_FIELD_RANGE },
		{ "\"mode\":\"0751\",", "", ERR_FIELD_MISSING },
		{ "\"mode\":\"0751\"", "\"mode\":\"8888\"", ERR_FIELD_RANGE },
		{ "\"version\":1795356000123456", "\"version\":0", ERR_FIELD_RANGE },
		{ "\"state\":\"live\"", "\"state\":\"undead\"", ERR_FIELD_RANGE },
		{ "\"first\":3", "\"first\":1024", ERR_FIELD_RANGE },
		{ "\"count\":1024", "\"count\":1025", ERR_FIELD_RANGE },
		{ "\"count\":1024", "\"count\":0", ERR_FIELD_RANGE },
		{ "\"kind\":\"file\"", "\"kind\":\"link\"", ERR_FIELD_MISSING },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_file f = sample(0), back;
	AUTO(freep) char *text = file_text(&f);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		const char *at = strstr(text, rows[i].from);
		struct err err = { 0 };

		assert_non_null(at);
		sbuf_addn(&sb, text, (size_t)(at - text));
		sbuf_add(&sb, rows[i].to);
		sbuf_add(&sb, at + strlen(rows[i].from));
		assert_row(rows[i].to, file_back(sbuf_str(&sb), a, &back, &err), rows[i].code, &err);
	}
}

/** The text of …/changes with ${n} files in added and one in deleted. */
static char *
changes_text(size_t n)
{
	struct sbuf sb = SBUF(4 * MIB);
	struct wire_file f = sample(0), gone = sample(1);
	AUTO(freep) char *one = file_text(&f);
	AUTO(freep) char *deleted = NULL;

	gone.deleted = true;
	deleted = file_text(&gone);
	sbuf_add(&sb, "{\"added\":[");
	for (size_t i = 0; i < n; i++)
		sbuf_addf(&sb, "%s%s", i ? "," : "", one);
	sbuf_addf(&sb, "],\"modified\":[],\"deleted\":[%s],\"last_sync\":\"77.0123456789abcdef0123456789abcdef\",", deleted);
	sbuf_addf(&sb, "\"has_more\":true,\"digest\":\"%064d\",\"new_field\":[1,2]}", 0);
	return sbuf_take(&sb);
}

static void
pages_are_read(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(8 * MIB);
	AUTO(freep) char *text = changes_text(PAGE_LIMIT_MAX - 1);
	AUTO(freep) char *large = changes_text(PAGE_LIMIT_MAX);
	struct wire_page page;
	struct err err = { 0 };

	(void)state;
	assert_code(wire_changes_read((const uint8_t *)text, strlen(text), a, &page, &err), ERR_OK, &err);
	assert_int_equal(page.n, PAGE_LIMIT_MAX);
	assert_false(page.files[0].deleted);
	assert_true(page.files[PAGE_LIMIT_MAX - 1].deleted);
	assert_true(page.has_more);
	assert_int_equal(page.cursor.clock, 77);
	assert_int_equal(wire_changes_read((const uint8_t *)large, strlen(large), a, &page, NULL), ERR_FIELD_RANGE);
	assert_int_equal(wire_list_read((const uint8_t *)text, strlen(text), a, &page, NULL), ERR_FIELD_MISSING);
}

static void
a_page_too_large_for_the_arena(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(16 * KIB);
	AUTO(freep) char *text = changes_text(500);
	struct wire_page page;

	(void)state;
	assert_int_equal(wire_changes_read((const uint8_t *)text, strlen(text), a, &page, NULL), ERR_BODY_TOO_LARGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_round_trip),
		cmocka_unit_test(bad_files_are_refused),
		cmocka_unit_test(pages_are_read),
		cmocka_unit_test(a_page_too_large_for_the_arena),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
