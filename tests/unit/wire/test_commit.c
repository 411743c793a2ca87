/* Commit bodies and answers: round trips, what is refused and how the message names it, and a batch of full size. */

#include "wire_test.h"

#define ID "0123456789abcdef0123456789abcdef"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FILE_HEAD "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"file\""
#define CONTENT ",\"size\":5,\"content_hash\":\"" HASH "\""

static err_code
read_commit(const char *text, struct arena *a, struct wire_op **ops, size_t *n, struct err *err)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(text, strlen(text));

	struct wire_commit c;
	err_code rc = wire_commit_read(b.p, b.len, a, &c, err);

	*ops = c.ops;
	*n = c.n;
	return rc;
}

static err_code
read_one(const char *op, struct arena *a, struct wire_op **out, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	size_t n;

	sbuf_addf(&sb, "{\"operations\":[%s]}", op);
	return read_commit(sbuf_str(&sb), a, out, &n, err);
}

static const char *const good[] = {
	"{\"op\":\"put\",\"path\":\"d\",\"kind\":\"dir\"}",
	"{\"op\":\"put\",\"path\":\"d\",\"base\":7,\"kind\":\"dir\",\"mode\":\"0700\",\"mtime\":\"2026-11-22T14:00:00.000000001Z\"}",
	"{\"op\":\"put\",\"path\":\"l\",\"kind\":\"link\",\"target\":\"../x\"}",
	"{\"op\":\"put\",\"path\":\"a\",\"base\":9223372036854775807,\"kind\":\"file\",\"mode\":\"0600\"}",
	FILE_HEAD ",\"size\":0,\"content_hash\":\"" HASH "\",\"extents\":[]}",
	FILE_HEAD CONTENT ",\"extents\":[{\"chunk\":\"" HASH "\",\"first\":0,\"count\":1}]}",
	FILE_HEAD CONTENT ",\"transfer\":\"" ID "\"}",
	FILE_HEAD CONTENT ",\"from\":{\"file\":\"" ID "\",\"version\":3}}",
	FILE_HEAD CONTENT ",\"transfer\":\"" ID "\",\"conflict_of\":{\"file\":\"" ID "\",\"version\":3}}",
	"{\"op\":\"put\",\"path\":\"d\",\"kind\":\"dir\",\"conflict_of\":{\"file\":\"" ID "\",\"version\":3}}",
	"{\"op\":\"delete\",\"id\":\"" ID "\",\"base\":1}",
	"{\"op\":\"delete\",\"id\":\"" ID "\"}",
	"{\"op\":\"move\",\"id\":\"" ID "\",\"path\":\"b/c\",\"base\":1}",
	"{\"op\":\"restore\",\"id\":\"" ID "\",\"base\":1,\"version\":2}",
	"{\"op\":\"restore\",\"id\":\"" ID "\",\"path\":\"b/c\",\"base\":1,\"version\":2}",
};

static void
operations_round_trip(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		struct jw jw = JW(&sb);
		struct wire_op *op;
		struct err err = { 0 };

		assert_row(good[i], read_one(good[i], a, &op, &err), ERR_OK, &err);
		wire_op_write(&jw, op);
		assert_string_equal(sbuf_str(&sb), good[i]);
	}
}

static void
a_path_keeps_its_nul(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_op *op;

	(void)state;
	assert_int_equal(read_one("{\"op\":\"put\",\"path\":\"a\\u0000b\",\"kind\":\"dir\"}", a, &op, NULL), ERR_OK);
	assert_int_equal(op->path_len, 3);
	assert_memory_equal(op->path, "a\0b", 4);
}

static const struct {
	const char *op;
	err_code code;
	const char *names; /* in the message */
} bad[] = {
	{ "{}", ERR_FIELD_MISSING, "operations[0].op" },
	{ "5", ERR_FIELD_TYPE, "operations[0]" },
	{ "null", ERR_FIELD_TYPE, "operations[0]" },
	{ "{\"op\":\"PUT\"}", ERR_FIELD_RANGE, "operations[0].op" },
	{ "{\"op\":5}", ERR_FIELD_TYPE, "operations[0].op" },
	{ "{\"op\":\"put\",\"kind\":\"dir\"}", ERR_FIELD_MISSING, "operations[0].path" },
	{ "{\"op\":\"put\",\"path\":\"a\"}", ERR_FIELD_MISSING, "kind" },
	{ "{\"op\":\"put\",\"path\":5,\"kind\":\"dir\"}", ERR_FIELD_TYPE, "path" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"fifo\"}", ERR_FIELD_RANGE, "kind" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"dir\",\"size\":0}", ERR_UNKNOWN_FIELD, "size" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"dir\",\"xattr\":{}}", ERR_UNKNOWN_FIELD, "xattr" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"link\"}", ERR_FIELD_MISSING, "target" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"link\",\"target\":\"a\\u0000\"}", ERR_JSON_INVALID, "target" },
	{ FILE_HEAD "}", ERR_FIELD_MISSING, "content_hash" },
	{ FILE_HEAD ",\"size\":5}", ERR_FIELD_MISSING, "content_hash" },
	{ FILE_HEAD ",\"content_hash\":\"" HASH "\"}", ERR_FIELD_MISSING, "size" },
	{ FILE_HEAD CONTENT "}", ERR_FIELD_MISSING, "extents" },
	{ FILE_HEAD ",\"base\":0}", ERR_FIELD_RANGE, "base" },
	{ FILE_HEAD ",\"base\":\"7\"}", ERR_FIELD_TYPE, "base" },
	{ FILE_HEAD ",\"base\":7,\"transfer\":\"" ID "\"}", ERR_FIELD_MISSING, "size" },
	{ FILE_HEAD CONTENT ",\"transfer\":\"" ID "\",\"extents\":[]}", ERR_FIELD_RANGE, "only one" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"dir\",\"conflict_of\":7}", ERR_FIELD_TYPE, "conflict_of" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"dir\",\"conflict_of\":{\"file\":\"" ID "\"}}", ERR_FIELD_MISSING, "version" },
	{ "{\"op\":\"put\",\"path\":\"a\",\"kind\":\"dir\",\"conflict_of\":{\"version\":1}}", ERR_FIELD_MISSING, "file" },
	{ "{\"op\":\"delete\",\"id\":\"" ID "\",\"conflict_of\":{}}", ERR_UNKNOWN_FIELD, "conflict_of" },
	{ FILE_HEAD CONTENT ",\"transfer\":\"XY\"}", ERR_ID_INVALID, "transfer" },
	{ FILE_HEAD CONTENT ",\"from\":{\"file\":\"" ID "\"}}", ERR_FIELD_MISSING, "from.version" },
	{ FILE_HEAD CONTENT ",\"from\":{\"file\":\"" ID "\",\"version\":1,\"x\":1}}", ERR_UNKNOWN_FIELD, "from.x" },
	{ FILE_HEAD CONTENT ",\"extents\":[{\"chunk\":\"" HASH "\",\"first\":1024,\"count\":1}]}", ERR_FIELD_RANGE, "first" },
	{ FILE_HEAD CONTENT ",\"extents\":[{\"chunk\":\"" HASH "\",\"first\":0,\"count\":0}]}", ERR_FIELD_RANGE, "count" },
	{ FILE_HEAD CONTENT ",\"extents\":[{\"chunk\":\"" HASH "\",\"first\":0,\"count\":1,\"z\":0}]}", ERR_UNKNOWN_FIELD, "z" },
	{ FILE_HEAD CONTENT ",\"extents\":[7]}", ERR_FIELD_TYPE, "extents" },
	{ FILE_HEAD ",\"size\":1.0,\"content_hash\":\"" HASH "\",\"extents\":[]}", ERR_FIELD_TYPE, "operations[0].size" },
	{ FILE_HEAD ",\"size\":-1,\"content_hash\":\"" HASH "\",\"extents\":[]}", ERR_FIELD_RANGE, "size" },
	{ FILE_HEAD ",\"size\":1,\"content_hash\":\"sha256:" HASH "\",\"extents\":[]}", ERR_HASH_INVALID, "content_hash" },
	{ FILE_HEAD CONTENT ",\"transfer\":\"" ID "\",\"mtime\":\"now\"}", ERR_FIELD_RANGE, "mtime" },
	{ FILE_HEAD CONTENT ",\"transfer\":\"" ID "\",\"mtime\":5}", ERR_FIELD_TYPE, "mtime" },
	{ "{\"op\":\"delete\"}", ERR_FIELD_MISSING, "id" },
	{ "{\"op\":\"delete\",\"id\":\"" ID "\",\"path\":\"a\"}", ERR_UNKNOWN_FIELD, "path" },
	{ "{\"op\":\"move\",\"id\":\"" ID "\"}", ERR_FIELD_MISSING, "path" },
	{ "{\"op\":\"restore\",\"id\":\"" ID "\"}", ERR_FIELD_MISSING, "version" },
	{ "{\"op\":\"restore\",\"id\":\"" ID "\",\"version\":0}", ERR_FIELD_RANGE, "version" },
};

static void
bad_operations_are_named(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct wire_op *op;
		struct err err = { 0 };

		assert_row(bad[i].op, read_one(bad[i].op, a, &op, &err), bad[i].code, &err);
		if (strstr(err.msg, bad[i].names) == NULL)
			fail_msg("\"%s\" does not name %s", err.msg, bad[i].names);
	}
}

static void
bad_documents_are_refused(void **state)
{
	static const struct {
		const char *text;
		err_code code;
	} rows[] = {
		{ "{}", ERR_FIELD_MISSING },
		{ "[]", ERR_FIELD_TYPE },
		{ "{\"operations\":[]}", ERR_FIELD_RANGE },
		{ "{\"operations\":{}}", ERR_FIELD_TYPE },
		{ "{\"operations\":[],\"force\":true}", ERR_UNKNOWN_FIELD },
		{ "{\"operations\":[{\"op\":\"delete\",\"id\":\"" ID "\"}],\"allow_mass_delete\":1}", ERR_FIELD_TYPE },
		{ "{\"operations\":[{\"op\":\"delete\",\"id\":\"" ID "\"}]} x", ERR_JSON_INVALID },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct wire_op *ops;
		struct err err = { 0 };
		size_t n;

		assert_row(rows[i].text, read_commit(rows[i].text, a, &ops, &n, &err), rows[i].code, &err);
	}
}

/** What is said of the whole batch, wherever it stands, and left out where it is false. */
static void
a_mass_deletion_is_said(void **state)
{
#define DELETE_ONE "\"operations\":[{\"op\":\"delete\",\"id\":\"" ID "\",\"base\":1}]"
	static const struct {
		const char *text, *written;
		bool allowed;
	} rows[] = {
		{ "{" DELETE_ONE "}", "{" DELETE_ONE "}", false },
		{ "{" DELETE_ONE ",\"allow_mass_delete\":false}", "{" DELETE_ONE "}", false },
		{ "{" DELETE_ONE ",\"allow_mass_delete\":true}", "{" DELETE_ONE ",\"allow_mass_delete\":true}", true },
		{ "{\"allow_mass_delete\":true," DELETE_ONE "}", "{" DELETE_ONE ",\"allow_mass_delete\":true}", true },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(bytes_fini) struct bytes b = bytes_of(rows[i].text, strlen(rows[i].text));
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		struct jw jw = JW(&sb);
		struct wire_commit c;
		struct err err = { 0 };

		assert_row(rows[i].text, wire_commit_read(b.p, b.len, a, &c, &err), ERR_OK, &err);
		assert_int_equal(c.allow_mass_delete, rows[i].allowed);
		wire_commit_write(&jw, &c);
		assert_string_equal(sbuf_str(&sb), rows[i].written);
	}
}

/** ${n} puts of about 400 bytes each, as a first sync sends them. */
static char *
batch_text(size_t n)
{
	struct sbuf sb = SBUF(16 * MIB);

	sbuf_add(&sb, "{\"operations\":[");
	for (size_t i = 0; i < n; i++) {
		sbuf_addf(&sb, "%s{\"op\":\"put\",\"path\":\"project/footage/day-%04zu/scene-%06zu.mov\",", i ? "," : "", i / 100, i);
		sbuf_add(&sb, "\"kind\":\"file\",\"mode\":\"0644\",\"mtime\":\"2026-11-22T14:00:00.123456789Z\",\"size\":65536,");
		sbuf_add(&sb, "\"content_hash\":\"" HASH "\",\"extents\":[{\"chunk\":\"" HASH "\",\"first\":0,\"count\":1}]}");
	}
	sbuf_add(&sb, "]}");
	return sbuf_take(&sb);
}

static void
a_full_batch_fits(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(32 * MIB);
	AUTO(freep) char *text = batch_text(COMMIT_OPS_MAX);
	AUTO(freep) char *large = batch_text(COMMIT_OPS_MAX + 1);
	struct wire_op *ops;
	size_t n;

	(void)state;
	assert_int_equal(read_commit(text, a, &ops, &n, NULL), ERR_OK);
	assert_int_equal(n, COMMIT_OPS_MAX);
	assert_string_equal(ops[9999].path, "project/footage/day-0099/scene-009999.mov");
	assert_int_equal(ops[9999].extent_count, 1);
	assert_true(arena_used(a) < 3 * strlen(text));
	assert_int_equal(read_commit(large, a, &ops, &n, NULL), ERR_FIELD_RANGE);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */

static void
results_round_trip(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	struct wire_result r[] = {
		{ .ok = true, .id = id_new(), .version = 5, .unchanged = true },
		{ .code = ERR_VERSION_CONFLICT, .detail = "it has changed", .has_current = true,
		    .current = { .id = id_new(), .path = "p", .kind = 1, .version = 9, .changed_by = id_new() } },
		{ .code = ERR_PARENT_MISSING },
	};
	struct wire_commit_answer back;
	struct err err = { 0 };

	(void)state;
	sbuf_add(&sb, "{\"results\":[");
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		if (i)
			sbuf_add(&sb, ",");
		jw = JW(&sb);
		wire_result_write(&jw, &r[i]);
	}
	sbuf_add(&sb, "],\"cursor\":\"9." ID "\",\"previous\":\"4." ID "\",\"digest\":\"" HASH "\"}");
	assert_code(wire_commit_answer_read((const uint8_t *)sbuf_str(&sb), sb.len, a, &back, &err), ERR_OK, &err);
	assert_int_equal(back.n, 3);
	assert_int_equal(back.cursor.clock, 9);
	assert_int_equal(back.previous.clock, 4);
	assert_true(back.results[0].ok && back.results[0].unchanged && id_eq(&back.results[0].id, &r[0].id));
	assert_int_equal(back.results[1].code, ERR_VERSION_CONFLICT);
	assert_string_equal(back.results[1].detail, "it has changed");
	assert_true(back.results[1].has_current);
	assert_int_equal(back.results[1].current.version, 9);
	assert_int_equal(back.results[2].code, ERR_PARENT_MISSING);
	assert_non_null(strstr(sbuf_str(&sb), "\"status\":\"conflict\""));
	assert_non_null(strstr(sbuf_str(&sb), "\"status\":\"error\""));
}

static void
missing_chunks_are_read(void **state)
{
	static const char text[] = "{\"code\":\"chunks_missing\",\"missing\":[\"" HASH "\",\"" HASH "\"],\"has_more\":true}";
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_commit_answer out = { 0 };

	(void)state;
	assert_int_equal(wire_missing_read((const uint8_t *)text, sizeof text - 1, a, &out, NULL), ERR_OK);
	assert_int_equal(out.missing_n, 2);
	assert_true(out.missing_more);
	assert_int_equal(wire_missing_read((const uint8_t *)"{}", 2, a, &out, NULL), ERR_FIELD_MISSING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_round_trip),
		cmocka_unit_test(a_path_keeps_its_nul),
		cmocka_unit_test(bad_operations_are_named),
		cmocka_unit_test(bad_documents_are_refused),
		cmocka_unit_test(a_mass_deletion_is_said),
		cmocka_unit_test(a_full_batch_fits),
		cmocka_unit_test(results_round_trip),
		cmocka_unit_test(missing_chunks_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
