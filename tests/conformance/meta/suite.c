#include "suite.h"

struct err suite_err;
struct id suite_p, suite_q, suite_d;

struct meta_tx *
writer(struct fixture *f)
{
	struct meta_tx *tx;

	ok(meta_begin(f->m, META_WRITE, &tx, ERR));
	return tx;
}

struct meta_tx *
reader(struct fixture *f)
{
	struct meta_tx *tx;

	ok(meta_begin(f->m, META_READ, &tx, ERR));
	return tx;
}

void
commit(struct meta_tx *tx)
{
	ok(meta_commit(&tx, ERR));
	assert_null(tx);
}

struct id
id_no(unsigned n)
{
	struct id id = { .b = { 1 } };

	id.b[14] = (uint8_t)(n >> 8);
	id.b[15] = (uint8_t)n;
	return id;
}

struct hash
hash_no(unsigned n)
{
	return hash_of(&n, sizeof n);
}

struct project
a_project(unsigned n)
{
	return (struct project){ .id = id_no(n), .name = "film \xe2\x80\x94 'one'", .epoch = id_no(n + 1000), .clock = 5000 + n,
		.horizon = 17, .digest = hash_no(n), .file_count = 3, .total_bytes = INT64_C(1) << 44, .created_at = 4711, .policy = { 3, 4, INT64_C(1) << 45 } };
}

struct device
a_device(unsigned n)
{
	return (struct device){ .id = id_no(n), .name = "laptop", .kind = DEVICE_OWNER, .token_hash = hash_no(n), .created_at = 1,
		.last_seen_at = 2 };
}

struct file
a_file(unsigned n, const char *dir, const char *name, int64_t version)
{
	return (struct file){ .id = id_no(n), .dir = dir, .name = name, .kind = KIND_FILE, .version = version, .size = INT64_C(1) << 43,
		.mode = 0751, .mtime_ns = -1, .content = hash_no(n), .list = id_no(n + 50), .target = "", .created_at = 1, .changed_by = id_no(n + 7) };
}

void
assert_id(const struct id *a, const struct id *b)
{
	assert_memory_equal(a->b, b->b, sizeof a->b);
}

void
assert_hash(const struct hash *a, const struct hash *b)
{
	assert_memory_equal(a->b, b->b, sizeof a->b);
}

void
assert_file(const struct file *a, const struct file *b)
{
	assert_id(&a->id, &b->id);
	assert_string_equal(a->dir, b->dir);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->version, b->version);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_hash(&a->content, &b->content);
	assert_id(&a->list, &b->list);
	assert_string_equal(a->target, b->target);
	assert_int_equal(a->created_at, b->created_at);
	assert_id(&a->changed_by, &b->changed_by);
	assert_int_equal(a->deleted_at, b->deleted_at);
}

void
add_basics(struct fixture *f)
{
	struct project p = a_project(1), q = a_project(2);
	struct device d = a_device(3);
	struct meta_tx *tx = writer(f);

	ok(meta_project_add(tx, &p, ERR));
	ok(meta_project_add(tx, &q, ERR));
	ok(meta_device_add(tx, &d, ERR));
	commit(tx);
	suite_p = p.id;
	suite_q = q.id;
	suite_d = d.id;
}
