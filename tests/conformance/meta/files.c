/* Files, versions, block lists and chunks. */
#include "suite.h"

#include "base/limits.h"

static void
put(struct meta_tx *tx, const struct file *f)
{
	ok(meta_file_put(tx, P1, f, ERR));
}

static void
assert_at(struct meta_tx *tx, const char *path, const struct file *want)
{
	struct file out;

	if (want) {
		ok(meta_file_at(tx, P1, path, &out, ERR));
		assert_file(&out, want);
	} else {
		answers(meta_file_at(tx, P1, path, &out, ERR), ERR_NOT_FOUND);
	}
}

static void
file_roundtrip(void **state)
{
	struct file f = a_file(10, "a/b", "c d", 100), top = a_file(11, "", "a", 101), link = a_file(12, "a", "l", 102), out;
	struct meta_tx *tx;

	add_basics(*state);
	top.kind = KIND_DIR;
	top.size = 0;
	top.content = (struct hash){ { 0 } };
	top.mtime_ns = INT64_MIN;
	link.kind = KIND_LINK;
	link.size = 0;
	link.target = "../elsewhere";
	tx = writer(*state);
	put(tx, &f);
	put(tx, &top);
	put(tx, &link);
	commit(tx);
	tx = reader(*state);
	ok(meta_file_get(tx, P1, &f.id, &out, ERR));
	assert_file(&out, &f);
	assert_at(tx, "a/b/c d", &f);
	assert_at(tx, "a", &top);
	assert_at(tx, "a/l", &link);
	assert_at(tx, "a/b", NULL);
	assert_at(tx, "c d", NULL);
	assert_at(tx, "A", NULL);
	assert_at(tx, "a/b/c_d", NULL);
	answers(meta_file_get(tx, P2, &f.id, &out, ERR), ERR_NOT_FOUND); /* a file of one project is nothing to another (I12) */
	answers(meta_file_at(tx, P2, "a", &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

/* The longest path that a back-end takes, of bytes that no index can make shorter, goes through all that a file goes through. */
static void
longest_path(void **state)
{
	struct fixture *f = *state;
	char dir[PATH_LEN_MAX + 1], path[FILE_PATH_MAX];
	size_t len = meta_path_max(f->m) - 1 - 255;
	char name[256];
	struct file file, *rows;
	struct version gone = { .version = 101, .kind = KIND_FILE, .deleted = true, .path = path, .target = "" }, *versions;
	struct meta_tx *tx;
	uint32_t x = 1;
	size_t n;

	assert_true(len <= PATH_LEN_MAX);
	for (size_t i = 0; i < len + 255; i++) {
		char c = (char)('0' + (x = x * 1664525 + 1013904223) / (UINT32_MAX / 75 + 1)); /* '0' to 'z', no '/' */

		*(i < len ? &dir[i] : &name[i - len]) = i < len && i % 64 == 63 ? '/' : c;
	}
	dir[len] = name[255] = '\0';
	add_basics(f);
	file = a_file(10, dir, name, 100);
	tx = writer(f);
	put(tx, &file);
	commit(tx);
	tx = writer(f);
	assert_at(tx, file_path(&file, path), &file);
	ok(meta_file_dir(tx, P1, dir, "", 10, &rows, &n, ERR));
	assert_int_equal(n, 1);
	file.version = file.deleted_at = 101;
	put(tx, &file);
	gone.file = file.id;
	ok(meta_version_add(tx, P1, &gone, ERR));
	ok(meta_version_gone(tx, P1, path, 10, &versions, &n, ERR));
	assert_int_equal(n, 1);
	commit(tx);
}

/* A row that is replaced leaves nothing under its old path and its old version. */
static void
file_replace(void **state)
{
	struct file f = a_file(10, "d", "old", 100), g;
	struct file *rows;
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	put(tx, &f);
	g = f;
	g.dir = "e";
	g.name = "new";
	g.version = 200;
	put(tx, &g);
	assert_at(tx, "d/old", NULL);
	assert_at(tx, "e/new", &g);
	ok(meta_file_changes(tx, P1, 0, 10, &rows, &n, ERR));
	assert_int_equal(n, 1);
	assert_file(&rows[0], &g);
	g.version = g.deleted_at = 300;
	put(tx, &g);
	assert_at(tx, "e/new", NULL);
	ok(meta_file_get(tx, P1, &f.id, &rows[0], ERR));
	assert_file(&rows[0], &g);
	ok(meta_file_page(tx, P1, 0, 10, &rows, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_file_changes(tx, P1, 0, 10, &rows, &n, ERR));
	assert_int_equal(n, 1);
	assert_file(&rows[0], &g);
	g.version = 400;
	g.deleted_at = 0;
	put(tx, &g); /* restored */
	assert_at(tx, "e/new", &g);
	commit(tx);
}

/* The oldest tombstones go, in order, and the horizon says how far; live files, other projects and versions stay. */
static void
tombstones(void **state)
{
	struct file f, out, *rows;
	struct meta_tx *tx;
	struct project p;
	int64_t first;
	unsigned n;
	size_t left;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_tombstone_first(tx, P1, &first, ERR));
	assert_true(first == INT64_MAX);
	for (unsigned i = 0; i < 10; i++) {
		f = a_file(20 - i, "d", "x", 100 + i);
		f.name = i % 2 ? "live" : "gone";
		if (i % 2)
			f.dir = (const char *const[]){ "a", "b", "c", "d", "e" }[i / 2];
		else
			f.deleted_at = f.version;
		put(tx, &f);
	}
	f.deleted_at = f.version;
	ok(meta_file_put(tx, P2, &f, ERR));
	ok(meta_tombstone_first(tx, P1, &first, ERR));
	assert_int_equal(first, 100);
	commit(tx);

	tx = writer(*state);
	ok(meta_tombstone_prune(tx, P1, 99, 10, &n, ERR));
	assert_int_equal(n, 0);
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_int_equal(p.horizon, a_project(1).horizon);
	ok(meta_tombstone_prune(tx, P1, 107, 3, &n, ERR));
	assert_int_equal(n, 3); /* 100, 102, 104 */
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_int_equal(p.horizon, 104);
	ok(meta_tombstone_first(tx, P1, &first, ERR));
	assert_int_equal(first, 106);
	ok(meta_tombstone_prune(tx, P1, 107, 3, &n, ERR));
	assert_int_equal(n, 1); /* 106; 108 is above */
	commit(tx);

	tx = reader(*state);
	ok(meta_project_get(tx, P1, &p, ERR));
	assert_int_equal(p.horizon, 106);
	ok(meta_project_get(tx, P2, &p, ERR));
	assert_int_equal(p.horizon, a_project(2).horizon);
	ok(meta_file_changes(tx, P1, 0, 100, &rows, &left, ERR));
	assert_int_equal(left, 6);
	ok(meta_tombstone_first(tx, P2, &first, ERR));
	assert_int_equal(first, 109);
	answers(meta_file_get(tx, P1, &(struct id){ .b = { 1, [15] = 20 } }, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
file_path_taken(void **state)
{
	struct file a = a_file(10, "d", "x", 100), b = a_file(11, "d", "x", 101), c = a_file(12, "d", "X", 102), moved;
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	put(tx, &a);
	put(tx, &c); /* another case is another name */
	assert_at(tx, "d/x", &a);
	ok(meta_file_put(tx, P2, &b, ERR));
	commit(tx);
	tx = writer(*state);
	refused(tx, meta_file_put(tx, P1, &b, ERR), ERR_EXISTS);
	moved = c;
	moved.name = "x";
	moved.version = 103;
	tx = writer(*state);
	refused(tx, meta_file_put(tx, P1, &moved, ERR), ERR_EXISTS);
	tx = writer(*state);
	assert_at(tx, "d/X", &c);
	a.version = a.deleted_at = 104; /* a tombstone holds no name, and another may lie on it */
	put(tx, &a);
	put(tx, &moved);
	assert_at(tx, "d/x", &moved);
	b.version = b.deleted_at = 105;
	put(tx, &b);
	assert_at(tx, "d/x", &moved);
	commit(tx);
	tx = reader(*state);
	assert_at(tx, "d/x", &moved);
	assert_at(tx, "d/X", NULL);
	meta_abort(&tx);
}

static void
refused_put(struct fixture *f, const struct file *file, const struct id *project, err_code want)
{
	struct meta_tx *tx = writer(f);
	struct file out;

	refused(tx, meta_file_put(tx, project, file, ERR), want);
	tx = reader(f);
	answers(meta_file_get(tx, project, &file->id, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static void
file_constraints(void **state)
{
	struct file f, there = a_file(9, "", "there", 100);
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	put(tx, &there);
	commit(tx);
#define REFUSED(want, change) \
	do { \
		f = a_file(10, "d", "x", 200); \
		change; \
		refused_put(*state, &f, P1, want); \
	} while (0)
	REFUSED(ERR_DB, f.name = "");
	REFUSED(ERR_DB, f.version = f.created_at = 0);
	REFUSED(ERR_DB, f.created_at = 0);
	REFUSED(ERR_DB, f.created_at = 201);
	REFUSED(ERR_DB, f.deleted_at = 199);
	REFUSED(ERR_DB, f.size = -1);
	REFUSED(ERR_DB, f.kind = KIND_DIR); /* with a size */
	REFUSED(ERR_DB, f.mode = 01000);
	REFUSED(ERR_EXISTS, f.version = 100); /* two changes at one clock value: a cursor could stop between them */
#undef REFUSED
	f = a_file(10, "d", "x", 200);
	refused_put(*state, &f, &nobody, ERR_NOT_FOUND);
}

/* ---- versions ---------------------------------------------------------------------------------------------------------- */

static struct version
a_version(unsigned file, int64_t version)
{
	struct version v = { .file = id_no(file), .version = version, .path = "d/n", .kind = KIND_FILE, .size = version * 2, .mode = 0640,
		.mtime_ns = -version, .content = hash_no((unsigned)version), .target = "t", .changed_by = id_no(8), .deleted = version == 30 };

	if (!v.deleted) /* what has none comes back with none */
		v.list = id_no((unsigned)version);
	return v;
}

/* ${a} must be what a_version(10, ${version}) is. */
static void
assert_version(const struct version *a, int64_t version)
{
	struct version want = a_version(10, version), *b = &want;

	assert_id(&a->file, &b->file);
	assert_int_equal(a->version, b->version);
	assert_string_equal(a->path, b->path);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_hash(&a->content, &b->content);
	assert_id(&a->list, &b->list);
	assert_string_equal(a->target, b->target);
	assert_id(&a->changed_by, &b->changed_by);
	assert_int_equal(a->deleted, b->deleted);
}

static void
versions(void **state)
{
	struct version v, *rows;
	struct id file = id_no(10), other = id_no(12), nobody = id_no(77);
	struct meta_tx *tx;
	size_t n;

	add_basics(*state);
	tx = writer(*state);
	for (int64_t i = 10; i <= 50; i += 10) {
		v = a_version(10, i);
		ok(meta_version_add(tx, P1, &v, ERR));
	}
	v = a_version(11, 15); /* a neighbour on either side */
	ok(meta_version_add(tx, P1, &v, ERR));
	v = a_version(9, 60);
	ok(meta_version_add(tx, P1, &v, ERR));
	commit(tx);
	tx = writer(*state);
	v = a_version(10, 20);
	refused(tx, meta_version_add(tx, P1, &v, ERR), ERR_EXISTS);
	tx = reader(*state);
	ok(meta_version_get(tx, P1, &file, 30, &v, ERR));
	assert_version(&v, 30);
	answers(meta_version_get(tx, P1, &file, 31, &v, ERR), ERR_NOT_FOUND);
	answers(meta_version_get(tx, P2, &file, 30, &v, ERR), ERR_NOT_FOUND);
	for (unsigned limit = 1; limit < 7; limit++) {
		int64_t before = INT64_MAX, want = 50;

		do {
			ok(meta_version_list(tx, P1, &file, before, limit, &rows, &n, ERR));
			for (size_t i = 0; i < n; i++, want -= 10)
				assert_version(&rows[i], want);
			before = n ? rows[n - 1].version : 0;
		} while (n);
		assert_int_equal(want, 0);
	}
	ok(meta_version_list(tx, P1, &other, INT64_MAX, 5, &rows, &n, ERR));
	assert_int_equal(n, 0);
	meta_abort(&tx);
	tx = writer(*state);
	v = a_version(10, 70);
	refused(tx, meta_version_add(tx, &nobody, &v, ERR), ERR_NOT_FOUND);
}

/* ---- block lists and chunks -------------------------------------------------------------------------------------------- */

static const uint8_t zeros[100];

/* Those of the lists that ${there} has a bit for have a first page, of zeros. */
static void
assert_first_pages(struct meta_tx *tx, const struct id *lists, size_t n, uint64_t there)
{
	struct packed_page out[META_LISTS_MAX];

	ok(meta_blocks_first(tx, P1, lists, n, out, ERR));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(out[i].p != NULL, (there >> i) & 1);
		if (out[i].p) {
			assert_int_equal(out[i].len, sizeof zeros);
			assert_memory_equal(out[i].p, zeros, sizeof zeros);
		}
	}
}

static void
blocks(void **state)
{
	struct id h = id_no(1), g = id_no(2), nobody = id_no(77), many[META_LISTS_MAX];
	struct meta_tx *tx;
	const uint8_t *p;
	size_t len;
	bool has;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_blocks_has(tx, P1, &h, &has, ERR));
	assert_false(has);
	ok(meta_blocks_add(tx, P1, &h, 0, zeros, 100, ERR));
	ok(meta_blocks_add(tx, P1, &h, 3, (const uint8_t *)"three", 5, ERR));
	ok(meta_blocks_add(tx, P1, &h, 3, (const uint8_t *)"other", 5, ERR)); /* the first one stays */
	ok(meta_blocks_add(tx, P1, &g, 1, (const uint8_t *)"g", 1, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_blocks_get(tx, P1, &h, 0, &p, &len, ERR));
	assert_int_equal(len, 100);
	assert_memory_equal(p, zeros, 100);
	ok(meta_blocks_get(tx, P1, &h, 3, &p, &len, ERR));
	assert_int_equal(len, 5);
	assert_memory_equal(p, "three", 5);
	answers(meta_blocks_get(tx, P1, &h, 1, &p, &len, ERR), ERR_NOT_FOUND);
	answers(meta_blocks_get(tx, P2, &h, 0, &p, &len, ERR), ERR_NOT_FOUND);
	assert_first_pages(tx, (const struct id[]){ h, g, nobody, h }, 4, 1 | 8);
	assert_first_pages(tx, &nobody, 1, 0);
	for (size_t i = 0; i < META_LISTS_MAX; i++)
		many[i] = i % 3 == 1 ? h : g;
	assert_first_pages(tx, many, META_LISTS_MAX, 0x2492492492492492);
	ok(meta_blocks_has(tx, P1, &h, &has, ERR));
	assert_true(has);
	ok(meta_blocks_has(tx, P1, &g, &has, ERR)); /* has no page 0 */
	assert_false(has);
	ok(meta_blocks_has(tx, P2, &h, &has, ERR));
	assert_false(has);
	meta_abort(&tx);
	tx = writer(*state);
	refused(tx, meta_blocks_add(tx, &nobody, &h, 0, zeros, 1, ERR), ERR_NOT_FOUND);
}

static void
chunks(void **state)
{
	struct chunk c = { .id = hash_no(1), .stored_len = 4 * (int64_t)MIB, .raw_len = 5, .block_count = 64, .created_at = 7 }, out, again = c;
	struct hash no = hash_no(2);
	struct id nobody = id_no(77);
	struct meta_tx *tx;

	add_basics(*state);
	tx = writer(*state);
	ok(meta_chunk_add(tx, P1, &c, ERR));
	again.stored_len = 1;
	again.created_at = 8;
	ok(meta_chunk_add(tx, P1, &again, ERR));
	commit(tx);
	tx = reader(*state);
	ok(meta_chunk_get(tx, P1, &c.id, &out, ERR));
	assert_hash(&out.id, &c.id);
	assert_int_equal(out.stored_len, c.stored_len);
	assert_int_equal(out.raw_len, 5);
	assert_int_equal(out.block_count, 64);
	assert_int_equal(out.created_at, 7);
	answers(meta_chunk_get(tx, P1, &no, &out, ERR), ERR_NOT_FOUND);
	answers(meta_chunk_get(tx, P2, &c.id, &out, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
	tx = writer(*state);
	answers(meta_chunk_add(tx, &nobody, &c, ERR), ERR_NOT_FOUND);
	meta_abort(&tx);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(file_roundtrip),
	cmocka_unit_test(longest_path),
	cmocka_unit_test(file_replace),
	cmocka_unit_test(tombstones),
	cmocka_unit_test(file_path_taken),
	cmocka_unit_test(file_constraints),
	cmocka_unit_test(versions),
	cmocka_unit_test(blocks),
	cmocka_unit_test(chunks),
};
const struct group group_files = { tests, ARRAY_LEN(tests) };
