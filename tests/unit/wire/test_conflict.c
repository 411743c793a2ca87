/* Conflicts both ways: one, a page, and what is to become of one. */

#include "wire_test.h"

static struct wire_conflict
sample(enum wire_how how)
{
	struct wire_conflict c = { .lost_against = 7, .device = id_new(), .device_name = "laptop", .created_at = 1795356000123456, .how = how,
		.resolved_by_name = "" };

	c.original = (struct wire_side){ .id = id_new(), .path = "d/\xc3\xa9 \"x\".txt", .kind = 0, .version = 9, .size = 70000 };
	c.copy = (struct wire_side){ .id = id_new(), .path = "d/copy", .kind = 1, .version = 8, .deleted = how != WIRE_OPEN };
	if (how != WIRE_OPEN) {
		c.resolved_at = 1795356000654321;
		c.resolved_by = id_new();
		c.resolved_by_name = "desk";
	}
	return c;
}

static char *
one_text(const struct wire_conflict *c)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	wire_conflict_write(&jw, c);
	return sbuf_take(&sb);
}

static void
round_trip(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (enum wire_how how = WIRE_OPEN; how <= WIRE_COPY_GONE; how++) {
		struct wire_conflict c = sample(how), back;
		AUTO(freep) char *text = one_text(&c);
		AUTO(freep) char *again = NULL;
		struct err err = { 0 };

		assert_row(text, wire_conflict_read((const uint8_t *)text, strlen(text), a, &back, &err), ERR_OK, &err);
		assert_int_equal(back.how, how);
		again = one_text(&back);
		assert_string_equal(again, text);
	}
}

static void
page(void **state)
{
	static const char end[] = "\"next_cursor\":\"5.0123456789abcdef0123456789abcdef\",\"has_more\":true,\"of_a_later_server\":1}";
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_conflict first = sample(WIRE_OPEN), second = sample(WIRE_MERGED);
	AUTO(freep) char *one = one_text(&first);
	AUTO(freep) char *two = one_text(&second);
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct wire_conflicts out;
	struct err err = { 0 };

	(void)state;
	sbuf_addf(&sb, "{\"conflicts\":[%s,%s],%s", one, two, end);
	assert_code(wire_conflicts_read((const uint8_t *)sbuf_str(&sb), sb.len, a, &out, &err), ERR_OK, &err);
	assert_int_equal(out.n, 2);
	assert_true(out.has_more);
	assert_int_equal(out.next.clock, 5);
	assert_true(id_eq(&out.list[1].copy.id, &second.copy.id));
	assert_string_equal(out.list[1].resolved_by_name, "desk");
}

/* What a newer server knows of is resolved; what is no conflict is refused. */
static void
odd_answers(void **state)
{
	static const struct {
		const char *cut, *put;
		err_code code;
	} rows[] = {
		{ "\"resolution\":\"merged\"", "\"resolution\":\"by_vote\"", ERR_OK },
		{ "\"resolution\":\"merged\",", "", ERR_FIELD_MISSING },
		{ "\"lost_against\":7,", "", ERR_FIELD_MISSING },
		{ "\"kind\":\"dir\"", "\"kind\":\"socket\"", ERR_FIELD_RANGE },
		{ "\"path\":\"d/copy\",", "", ERR_FIELD_MISSING },
		{ "\"original\":{", "\"original\":5,\"x\":{", ERR_FIELD_TYPE },
		{ "\"created_at\":\"2", "\"created_at\":\"x", ERR_FIELD_RANGE },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_conflict c = sample(WIRE_MERGED), back;
	AUTO(freep) char *text = one_text(&c);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		const char *at = strstr(text, rows[i].cut);
		struct err err = { 0 };

		assert_non_null(at);
		sbuf_addf(&sb, "%.*s%s%s", (int)(at - text), text, rows[i].put, at + strlen(rows[i].cut));
		assert_row(rows[i].put, wire_conflict_read((const uint8_t *)sbuf_str(&sb), sb.len, a, &back, &err), rows[i].code, &err);
	}
}

static err_code
resolve_read(const char *text, struct wire_resolve *out, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	err_code rc = json_in_parse((const uint8_t *)text, strlen(text), &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", false, &in, err);
	return rc ? rc : wire_resolve_read(&in, out, err);
}

static void
resolve(void **state)
{
	static const struct {
		const char *text;
		err_code code;
	} bad[] = {
		{ "{\"version\":1,\"copy_version\":1}", ERR_FIELD_MISSING },
		{ "{\"keep\":\"copy\",\"copy_version\":1}", ERR_FIELD_MISSING },
		{ "{\"keep\":\"copy\",\"version\":1}", ERR_FIELD_MISSING },
		{ "{\"keep\":\"copy\",\"version\":0,\"copy_version\":1}", ERR_FIELD_RANGE },
		{ "{\"keep\":\"copy_gone\",\"version\":1,\"copy_version\":1}", ERR_FIELD_RANGE },
		{ "{\"keep\":\"COPY\",\"version\":1,\"copy_version\":1}", ERR_FIELD_RANGE },
		{ "{\"keep\":1,\"version\":1,\"copy_version\":1}", ERR_FIELD_TYPE },
		{ "{\"keep\":\"copy\",\"version\":1,\"copy_version\":1,\"force\":true}", ERR_UNKNOWN_FIELD },
	};
	struct wire_resolve out;
	struct err err = { 0 };

	(void)state;
	for (enum wire_how keep = WIRE_CURRENT; keep <= WIRE_MERGED; keep++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(KIB);
		struct jw jw = JW(&sb);

		wire_resolve_write(&jw, &(struct wire_resolve){ .keep = keep, .version = 3, .copy_version = INT64_MAX });
		assert_row(sbuf_str(&sb), resolve_read(sbuf_str(&sb), &out, &err), ERR_OK, &err);
		assert_int_equal(out.keep, keep);
		assert_int_equal(out.version, 3);
		assert_int_equal(out.copy_version, INT64_MAX);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_row(bad[i].text, resolve_read(bad[i].text, &out, &err), bad[i].code, &err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(page),
		cmocka_unit_test(odd_answers),
		cmocka_unit_test(resolve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
