/*
 * Random operations against a model that is simple enough to be read: a list of all files that ever were.  After each batch every
 * result is what the model says; now and then the listing, the sums, and the change feed replayed from many places are compared.
 *
 * The deliberate faults of the domain are held against this program: each must make it fail (meson.build).
 */
#include "base/num.h"
#include "rig.h"

enum { BATCHES = 2500, OPS_MAX = 5, ENTRIES_MAX = 8000, STATES_MAX = 12000, TEXTS = 5, MIRRORS = 12 };

static uint64_t seed = 20260101;

static unsigned
pick(unsigned n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (unsigned)((seed * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % n;
}

/* A file as it is now, or its tombstone. */
struct entry {
	struct id id;
	char path[24];
	enum kind kind;
	unsigned text;  /* which content or target */
	uint32_t mode;
	int64_t mtime;
	int64_t version;
	bool live;
};

/* A state that a file has had: what restore goes back to. */
struct state {
	size_t entry;
	int64_t version;
	unsigned text;
	uint32_t mode;
	int64_t mtime;
};

struct mirror {
	int64_t clock;
	size_t n;
	struct entry *entries;
};

struct model {
	struct rig *r;
	struct made texts[TEXTS];
	struct entry *e;
	size_t n;
	struct state *s;
	size_t states;
	struct mirror mirrors[MIRRORS];
};

static const char *const TARGETS[TEXTS] = { "t0", "t1", "t2", "t3", "t4" };

static struct entry *
at(struct model *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->e[i].live && strcmp(m->e[i].path, path) == 0)
			return &m->e[i];
	return NULL;
}

static bool
is_beneath(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool
is_empty(struct model *m, const struct entry *d)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->e[i].live && is_beneath(m->e[i].path, d->path))
			return false;
	return true;
}

static err_code
parent_code(struct model *m, const char *path)
{
	char dir[24];
	bool direct = true;

	snprintf(dir, sizeof dir, "%s", path);
	for (;;) {
		char *slash = strrchr(dir, '/');
		const struct entry *e;

		if (!slash)
			return direct ? ERR_OK : ERR_PARENT_MISSING;
		*slash = '\0';
		e = at(m, dir);
		if (e && e->kind != KIND_DIR)
			return ERR_PARENT_NOT_DIRECTORY;
		if (e)
			return direct ? ERR_OK : ERR_PARENT_MISSING;
		direct = false;
	}
}

static err_code
base_code(const struct op *op, const struct entry *e)
{
	return op->base == e->version ? ERR_OK : op->base > e->version ? ERR_BASE_INVALID : ERR_VERSION_CONFLICT;
}

static void
note(struct model *m, struct entry *e, int64_t version)
{
	e->version = version;
	assert_true(m->states < STATES_MAX);
	if (e->live)
		m->s[m->states++] = (struct state){ (size_t)(e - m->e), version, e->text, e->mode, e->mtime };
}

static struct entry *
add(struct model *m, const char *path, enum kind kind)
{
	struct entry *e = &m->e[m->n++];

	assert_true(m->n < ENTRIES_MAX);
	*e = (struct entry){ .kind = kind, .live = true };
	snprintf(e->path, sizeof e->path, "%s", path);
	return e;
}

/* ---- what the model says of an operation: the code, and when that is OK whether it changes anything -------------- */

struct verdict {
	err_code code;
	bool unchanged;
};

static unsigned
text_of(struct model *m, const struct op *op)
{
	for (unsigned i = 0; i < TEXTS; i++)
		if (op->entry == KIND_FILE ? hash_eq(&op->content, &m->texts[i].content) : strcmp(op->target, TARGETS[i]) == 0)
			return i;
	fail();
	return 0;
}

static uint32_t
mode_of(const struct op *op)
{
	return op->entry == KIND_LINK ? 0777 : op->mode;
}

static struct verdict
judge_put(struct model *m, const struct op *op)
{
	const struct entry *e = at(m, op->path);
	err_code rc;

	if (e && e->kind == op->entry && e->mode == mode_of(op) && e->mtime == op->mtime_ns &&
	    (e->kind == KIND_DIR || e->text == text_of(m, op)))
		return (struct verdict){ ERR_OK, true };
	if (!e && op->has_base)
		return (struct verdict){ op->base > rig_project(m->r).clock ? ERR_BASE_INVALID : ERR_VERSION_CONFLICT, false };
	if (e && !op->has_base)
		return (struct verdict){ ERR_NAME_EXISTS, false };
	if (!e)
		return (struct verdict){ parent_code(m, op->path), false };
	rc = base_code(op, e);
	if (!rc && e->kind == KIND_DIR && op->entry != KIND_DIR && !is_empty(m, e))
		rc = ERR_NOT_EMPTY;
	return (struct verdict){ rc, false };
}

static struct entry *
by_id(struct model *m, const struct id *id)
{
	for (size_t i = 0; i < m->n; i++)
		if (id_eq(&m->e[i].id, id))
			return &m->e[i];
	return NULL;
}

static struct verdict
judge_delete(struct model *m, const struct op *op)
{
	const struct entry *e = by_id(m, &op->file);
	err_code rc;

	if (!e->live)
		return (struct verdict){ ERR_OK, true };
	rc = base_code(op, e);
	return (struct verdict){ rc ? rc : e->kind == KIND_DIR && !is_empty(m, e) ? ERR_NOT_EMPTY : ERR_OK, false };
}

static struct verdict
judge_move(struct model *m, const struct op *op)
{
	const struct entry *e = by_id(m, &op->file);
	err_code rc;

	if (e->live && strcmp(e->path, op->path) == 0)
		return (struct verdict){ ERR_OK, true };
	if (!e->live)
		return (struct verdict){ ERR_VERSION_CONFLICT, false };
	rc = base_code(op, e);
	if (!rc && e->kind == KIND_DIR && is_beneath(op->path, e->path))
		rc = ERR_MOVE_CYCLE;
	if (!rc && at(m, op->path))
		rc = ERR_NAME_EXISTS;
	return (struct verdict){ rc ? rc : parent_code(m, op->path), false };
}

static const struct state *
state_of(struct model *m, const struct op *op)
{
	for (size_t i = 0; i < m->states; i++)
		if (m->s[i].version == op->from_version && id_eq(&m->e[m->s[i].entry].id, &op->file))
			return &m->s[i];
	return NULL;
}

static struct verdict
judge_restore(struct model *m, const struct op *op)
{
	const struct entry *e = by_id(m, &op->file);
	const struct state *s = state_of(m, op);
	err_code rc;

	if (!s)
		return (struct verdict){ ERR_NOT_FOUND, false };
	if (e->live && e->text == s->text && e->mode == s->mode && e->mtime == s->mtime)
		return (struct verdict){ ERR_OK, true };
	rc = base_code(op, e);
	if (!rc && !e->live && at(m, e->path))
		rc = ERR_NAME_EXISTS;
	if (!rc && !e->live)
		rc = parent_code(m, e->path);
	return (struct verdict){ rc, false };
}

/* ---- carrying it out --------------------------------------------------------------------------------------------- */

static void
do_put(struct model *m, const struct op *op, const struct op_result *res)
{
	struct entry *e = at(m, op->path);

	if (e && e->kind != op->entry) { /* the old one's tombstone is a change of its own */
		e->live = false;
		e->version = 0; /* to be read back */
		e = NULL;
	}
	if (!e) {
		e = add(m, op->path, op->entry);
		e->id = res->file;
	}
	assert_true(id_eq(&e->id, &res->file));
	e->text = op->entry == KIND_DIR ? 0 : text_of(m, op);
	e->mode = mode_of(op);
	e->mtime = op->mtime_ns;
	note(m, e, res->version);
}

/* Versions of what moves along are read back: the model knows that each is later, and of the feed that nothing was left out. */
static void
do_move(struct model *m, const struct op *op, const struct op_result *res)
{
	struct entry *e = by_id(m, &op->file);
	char from[24];

	snprintf(from, sizeof from, "%s", e->path);
	snprintf(e->path, sizeof e->path, "%s", op->path);
	note(m, e, res->version);
	for (size_t i = 0; e->kind == KIND_DIR && i < m->n; i++) {
		struct entry *x = &m->e[i];
		char rest[24];

		if (!x->live || !is_beneath(x->path, from))
			continue;
		snprintf(rest, sizeof rest, "%s", x->path + strlen(from));
		assert_true(snprintf(x->path, sizeof x->path, "%s%s", op->path, rest) < (int)sizeof x->path);
		x->version = 0; /* to be read back */
	}
}

static void
do_restore(struct model *m, const struct op *op, const struct op_result *res)
{
	struct entry *e = by_id(m, &op->file);
	const struct state *s = state_of(m, op);

	e->text = s->text;
	e->mode = s->mode;
	e->mtime = s->mtime;
	e->live = true;
	note(m, e, res->version);
}

static struct verdict
judge(struct model *m, const struct op *op)
{
	switch (op->kind) {
	case OP_PUT:
		return judge_put(m, op);
	case OP_DELETE:
		return judge_delete(m, op);
	case OP_MOVE:
		return judge_move(m, op);
	case OP_RESTORE:
		return judge_restore(m, op);
	}
	return (struct verdict){ ERR_INTERNAL, false };
}

static void
carry_out(struct model *m, const struct op *op, const struct op_result *res)
{
	struct entry *e;

	switch (op->kind) {
	case OP_PUT:
		do_put(m, op, res);
		break;
	case OP_DELETE:
		e = by_id(m, &op->file);
		e->live = false;
		note(m, e, res->version);
		break;
	case OP_MOVE:
		do_move(m, op, res);
		break;
	case OP_RESTORE:
		do_restore(m, op, res);
		break;
	}
}

static void
read_back(struct model *m)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;

	assert_ok(m->r, meta_begin(m->r->meta, META_READ, &tx, &m->r->err));
	for (size_t i = 0; i < m->n; i++) {
		struct file f;

		if (m->e[i].version != 0)
			continue;
		assert_ok(m->r, meta_file_get(tx, &m->r->project, &m->e[i].id, &f, &m->r->err));
		note(m, &m->e[i], f.version);
	}
}

/* ---- random operations ------------------------------------------------------------------------------------------- */

static char *
random_path(struct model *m)
{
	static const char *const names[] = { "a", "b", "c" };
	char path[24];
	int len = snprintf(path, sizeof path, "%s", names[pick(3)]);

	for (unsigned depth = pick(3); depth > 0; depth--)
		len += snprintf(path + len, sizeof path - (size_t)len, "/%s", names[pick(3)]);
	return arena_strdup(m->r->a, path);
}

static int64_t
random_base(int64_t right)
{
	return pick(10) ? right : pick(3) ? MAX(right - 1 - pick(3), (int64_t)1) : right + 1000000000 + pick(1000000);
}

static struct op
random_put(struct model *m)
{
	const char *path = random_path(m);
	const struct entry *e = at(m, path);
	unsigned text = pick(TEXTS);
	struct op op = put_file(path, &m->texts[text]);

	if (pick(3) == 0)
		op = put_dir(path);
	else if (pick(6) == 0)
		op = put_link(path, TARGETS[text]);
	op.has_mode = op.has_mtime = true;
	op.mode = pick(2) ? 0600 : 0644;
	op.mtime_ns = pick(2);
	return (e && pick(8)) || (!e && pick(12) == 0) ? on(op, random_base(e ? e->version : rig_project(m->r).clock)) : op;
}

static struct op
random_op(struct model *m)
{
	const struct entry *e = m->n ? &m->e[m->n - 1 - pick((unsigned)MIN(m->n, 60))] : NULL;
	struct op op = { .has_base = true };
	unsigned what = pick(10);

	if (!e || what < 5)
		return random_put(m);
	op.file = e->id;
	op.base = random_base(e->version);
	if (what < 7) {
		op.kind = OP_DELETE;
	} else if (what < 9) {
		op.kind = OP_MOVE;
		op.path = random_path(m);
	} else {
		const struct state *s = &m->s[pick((unsigned)m->states)];

		op.kind = OP_RESTORE;
		op.from_version = s->version;
		if (pick(8)) {
			op.file = m->e[s->entry].id;
			op.base = random_base(m->e[s->entry].version);
		}
	}
	return op;
}

static bool
clashes(const struct op *ops, size_t n, const struct op *op)
{
	for (size_t i = 0; i < n; i++) {
		if (ops[i].path && op->path && strcmp(ops[i].path, op->path) == 0)
			return true;
		if (ops[i].kind != OP_PUT && op->kind != OP_PUT && id_eq(&ops[i].file, &op->file))
			return true;
	}
	return false;
}

static size_t
deepest(struct model *m)
{
	size_t max = 0;

	for (size_t i = 0; i < m->n; i++)
		max = MAX(max, m->e[i].live ? strlen(m->e[i].path) : 0);
	return max;
}

static void
one_batch(struct model *m)
{
	struct op ops[OPS_MAX];
	size_t n = 0, want = 1 + pick(OPS_MAX);
	struct commit c;
	int64_t last = rig_project(m->r).clock;

	while (n < want) {
		ops[n] = random_op(m);
		if (ops[n].kind == OP_MOVE && deepest(m) > 12 && pick(10)) /* the model's paths are short */
			continue;
		if (!clashes(ops, n, &ops[n]))
			n++;
	}
	c = rig_commit(m->r, ops, n);
	for (size_t i = 0; i < n; i++) {
		const struct op_result *res = &c.results[i];
		struct verdict v;

		read_back(m);
		v = judge(m, &ops[i]);
		if (res->code != v.code)
			fail_msg("operation of kind %d on %s: %s, the model says %s", (int)ops[i].kind, ops[i].path ? ops[i].path : "",
			    err_info(res->code)->code, err_info(v.code)->code);
		if (v.code)
			continue;
		assert_int_equal(res->unchanged, v.unchanged);
		if (v.unchanged)
			continue;
		assert_true(res->version > last);
		last = res->version;
		carry_out(m, &ops[i], res);
	}
	read_back(m);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void
assert_same(struct model *m, const struct entry *e, const struct file *f)
{
	char path[FILE_PATH_MAX];

	assert_int_equal(e->live, f->deleted_at == 0);
	assert_int_equal(e->version, f->version);
	assert_string_equal(e->path, file_path(f, path));
	assert_int_equal(e->kind, f->kind);
	assert_int_equal(e->mode, f->mode);
	assert_int_equal(e->mtime, f->mtime_ns);
	if (e->kind == KIND_FILE)
		assert_true(hash_eq(&f->content, &m->texts[e->text].content));
	if (e->kind == KIND_LINK)
		assert_string_equal(f->target, TARGETS[e->text]);
}

static void
compare_listing(struct model *m)
{
	size_t live = 0, listed = rig_assert_sums(m->r);

	for (size_t i = 0; i < m->n; i++)
		if (m->e[i].live) {
			struct file f = rig_at(m->r, m->e[i].path);

			assert_same(m, &m->e[i], &f);
			live++;
		}
	assert_int_equal(live, listed);
}

/* What a device that stood at ${from} has after following the feed is what there is. */
static void
compare_feed(struct model *m, const struct mirror *from)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	AUTO(freep) bool *seen = xcalloc(m->n + 1, sizeof *seen);
	int64_t since = from->clock;
	struct tree_page page;

	do {
		arena_reset(a);
		assert_ok(m->r, tree_changes(m->r->d, &m->r->project, since, 1 + pick(40), false, a, &page, &m->r->err));
		for (size_t i = 0; i < page.n; i++) {
			struct entry *e = by_id(m, &page.files[i].id);

			assert_true(page.files[i].version > since);
			assert_non_null(e);
			assert_same(m, e, &page.files[i]);
			seen[e - m->e] = true;
			since = page.files[i].version;
		}
	} while (page.has_more);
	assert_int_equal(page.next, page.project.clock);
	for (size_t i = 0; i < m->n; i++) { /* whatever was not in the feed is as it was at the mirror */
		if (seen[i])
			continue;
		assert_true(i < from->n);
		assert_memory_equal(&m->e[i], &from->entries[i], sizeof m->e[i]);
	}
}

static void
take_mirror(struct model *m, struct mirror *to)
{
	free(to->entries);
	to->clock = rig_project(m->r).clock;
	to->n = m->n;
	to->entries = xcalloc(m->n + 1, sizeof *to->entries);
	memcpy(to->entries, m->e, m->n * sizeof *to->entries);
}

static void
random_operations(void **state)
{
	struct rig *r = *state;
	struct model m = { .r = r, .e = xcalloc(ENTRIES_MAX, sizeof *m.e), .s = xcalloc(STATES_MAX, sizeof *m.s) };
	struct mirror zero = { 0 };

	for (unsigned i = 0; i < TEXTS; i++)
		m.texts[i] = rig_upload(r, arena_printf(r->a, "text %u", i), 6);
	for (int i = 0; i < BATCHES; i++) {
		one_batch(&m);
		if (pick(10) == 0)
			take_mirror(&m, &m.mirrors[pick(MIRRORS)]);
		if (i % 25 == 24)
			compare_listing(&m);
		if (i % 25 == 24) {
			compare_feed(&m, &zero);
			compare_feed(&m, &m.mirrors[pick(MIRRORS)]);
		}
	}
	print_message("%zu files, %zu states\n", m.n, m.states);
	for (unsigned i = 0; i < MIRRORS; i++)
		free(m.mirrors[i].entries);
	free(m.e);
	free(m.s);
}

/* The first change after a cursor is in the feed, whatever the distance: the clock of a version is itself a cursor. */
static void
the_feed_from_every_version(void **state)
{
	struct rig *r = *state;
	int64_t versions[20];
	struct tree_page page;

	for (int i = 0; i < 20; i++)
		versions[i] = rig_do(r, put_dir(arena_printf(r->a, "d%d", i))).version;
	for (int i = 0; i < 20; i++) {
		assert_ok(r, tree_changes(r->d, &r->project, versions[i] - 1, 100, false, r->a, &page, &r->err));
		assert_int_equal(page.n, 20 - i);
		assert_int_equal(page.files[0].version, versions[i]);
		assert_ok(r, tree_changes(r->d, &r->project, versions[i], 100, false, r->a, &page, &r->err));
		assert_int_equal(page.n, 19 - i);
	}
}

int
main(void)
{
	const char *other = getenv("DRAY_TEST_SEED"); /* to look further than every run does */

	if (other && !parse_u64(other, strlen(other), UINT64_MAX, &seed))
		return 2;
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(random_operations), T(the_feed_from_every_version) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
