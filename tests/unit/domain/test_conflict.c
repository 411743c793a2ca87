/* Conflicts: recorded with their copies, listed, and each way in which they end. */
#include "rig.h"

#include "server/domain/conflict.h"

/* ---- words ------------------------------------------------------------------------------------------------------------ */

static struct op
of(struct op op, const struct file *f)
{
	op.has_conflict = true;
	op.conflict_file = f->id;
	op.conflict_version = f->version;
	return op;
}

static struct conflict_view *
list(struct rig *r, enum conflict_which which, size_t *n)
{
	struct conflict_view *out;
	struct id epoch;
	bool more;

	assert_ok(r, conflict_list(r->d, &r->project, which, 0, PAGE_LIMIT_MAX, r->a, &out, n, &more, &epoch, &r->err));
	assert_false(more);
	return out;
}

/* The one conflict that there is. */
static struct conflict_view
only(struct rig *r, enum conflict_which which)
{
	size_t n;
	struct conflict_view *v = list(r, which, &n);

	assert_int_equal(n, 1);
	return v[0];
}

static size_t
count(struct rig *r, enum conflict_which which)
{
	size_t n;

	list(r, which, &n);
	return n;
}

/* "f" with "theirs" in it, and "f copy" with "mine", which lost. */
static struct conflict_view
a_conflict(struct rig *r)
{
	struct file f;

	rig_do(r, put_text(r, "f", "theirs"));
	f = rig_at(r, "f");
	rig_do(r, of(put_text(r, "f copy", "mine"), &f));
	return only(r, CONFLICTS_OPEN);
}

static struct resolve
a_wish(const struct rig *r, const struct conflict_view *v, enum resolution keep)
{
	return (struct resolve){ .copy = v->c.copy, .keep = keep, .version = v->file.version, .copy_version = v->copy.version,
		.device = r->owner.id };
}

static err_code
try_to(struct rig *r, const struct conflict_view *v, enum resolution keep, struct resolve *w)
{
	*w = a_wish(r, v, keep);
	return conflict_resolve(r->d, &r->project, w, NULL, r->a, &r->err);
}

static struct conflict_view
settle(struct rig *r, const struct conflict_view *v, enum resolution keep)
{
	struct resolve w;

	assert_ok(r, try_to(r, v, keep, &w));
	assert_true(w.has_now);
	assert_int_equal(w.now.c.resolution, keep);
	assert_true(w.now.c.resolved_at > 0);
	assert_string_equal(w.now.resolved_by_name, "owner");
	assert_int_equal(count(r, CONFLICTS_OPEN), 0);
	rig_assert_sums(r);
	return w.now;
}

static void
refused(struct rig *r, const struct conflict_view *v, enum resolution keep, err_code code)
{
	size_t open = count(r, CONFLICTS_OPEN);
	int64_t clock = rig_project(r).clock;
	struct resolve w;

	assert_code(r, code, try_to(r, v, keep, &w));
	assert_true(w.has_now);
	assert_int_equal(count(r, CONFLICTS_OPEN), open);
	assert_int_equal(rig_project(r).clock, clock);
}

/* What ${f} was comes back by its history. */
static void
comes_back(struct rig *r, const struct file *f, int64_t version, const char *path, const char *text)
{
	rig_do(r, restore(f, version));
	rig_assert_text(r, path, text);
}

/* ---- how they come ---------------------------------------------------------------------------------------------------- */

static void
recorded(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);
	struct file f = rig_at(r, "f"), copy = rig_at(r, "f copy");

	assert_true(id_eq(&v.c.file, &f.id) && id_eq(&v.c.copy, &copy.id));
	assert_int_equal(v.c.file_version, f.version);
	assert_int_equal(v.c.created_at, copy.version);
	assert_int_equal(v.file.version, f.version);
	assert_string_equal(v.copy.name, "f copy");
	assert_string_equal(v.device_name, "laptop");
	assert_string_equal(v.resolved_by_name, "");
	assert_true(rig_do(r, of(put_text(r, "f copy", "mine"), &f)).unchanged); /* the answer was lost */
	assert_int_equal(count(r, CONFLICTS_ALL), 1);
	assert_true(rig_do(r, of(put_text(r, "f", "theirs"), &f)).unchanged); /* the file itself is in conflict with nothing */
	assert_int_equal(count(r, CONFLICTS_ALL), 1);
}

static void
not_recorded(void **state)
{
	struct rig *r = *state;
	struct op_result made = rig_do(r, put_text(r, "f", "theirs"));
	struct file f = rig_at(r, "f"), unknown = { .id = id_new(), .version = 1 }, later = f;
	struct op ops[2], none = of(put_text(r, "c", "mine"), &f);
	struct commit c;

	later.version++;
	assert_int_equal(rig_one(r, of(put_text(r, "c", "mine"), &unknown)).code, ERR_NOT_FOUND);
	assert_int_equal(rig_one(r, of(put_text(r, "c", "mine"), &later)).code, ERR_BASE_INVALID);
	assert_int_equal(rig_one(r, of(put_text(r, "f", "mine"), &f)).code, ERR_NAME_EXISTS);
	assert_int_equal(rig_one(r, of(put_text(r, "no/c", "mine"), &f)).code, ERR_PARENT_MISSING);
	ops[0] = of(on(put_text(r, "f", "mine"), made.version), &f);
	assert_code(r, ERR_FIELD_RANGE, rig_try(r, ops, 1, &c));
	ops[0] = of(del(&f), &f);
	assert_code(r, ERR_FIELD_RANGE, rig_try(r, ops, 1, &c));
	none.conflict_version = 0;
	assert_code(r, ERR_FIELD_RANGE, rig_try(r, &none, 1, &c));
	assert_false(rig_there(r, "c"));
	assert_int_equal(count(r, CONFLICTS_ALL), 0);
}

/* A page at a time, and of this project only. */
static void
listed(void **state)
{
	struct rig *r = *state;
	struct conflict_view *out;
	struct project other;
	struct id epoch, nobody = id_new();
	int64_t after = 0;
	char name[16];
	struct file f;
	size_t n, got = 0;
	bool more = true;

	rig_do(r, put_text(r, "f", "theirs"));
	f = rig_at(r, "f");
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "copy %d", i);
		rig_do(r, of(put_text(r, name, "mine"), &f));
	}
	for (; more; after = out[n - 1].c.created_at) {
		assert_ok(r, conflict_list(r->d, &r->project, CONFLICTS_OPEN, after, 2, r->a, &out, &n, &more, &epoch, &r->err));
		for (size_t i = 0; i < n; i++, got++) {
			snprintf(name, sizeof name, "copy %zu", got);
			assert_string_equal(out[i].copy.name, name);
		}
	}
	assert_int_equal(got, 5);
	assert_code(r, ERR_FIELD_RANGE, conflict_list(r->d, &r->project, CONFLICTS_ALL, 0, 0, r->a, &out, &n, &more, &epoch, &r->err));
	assert_code(r, ERR_NOT_FOUND, conflict_list(r->d, &nobody, CONFLICTS_ALL, 0, 1, r->a, &out, &n, &more, &epoch, &r->err));
	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	assert_ok(r, conflict_list(r->d, &other.id, CONFLICTS_ALL, 0, 1, r->a, &out, &n, &more, &epoch, &r->err));
	assert_int_equal(n, 0);
}

/* Both files go on as files: the conflict shows where they are and what they have become. */
static void
followed(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);

	rig_do(r, put_dir("d"));
	rig_do(r, mv(&v.file, "d/g"));
	rig_do(r, mv(&v.copy, "d/mine"));
	rig_do(r, on(put_text(r, "d/mine", "mine again"), rig_at(r, "d/mine").version));
	v = only(r, CONFLICTS_OPEN);
	assert_string_equal(v.file.dir, "d");
	assert_string_equal(v.file.name, "g");
	assert_string_equal(v.copy.name, "mine");
	assert_int_equal(v.copy.size, 10);
	rig_do(r, del(&v.file));
	v = only(r, CONFLICTS_OPEN);
	assert_true(v.file.deleted_at != 0);
	assert_string_equal(v.file.name, "g");
}

/* ---- how they end ----------------------------------------------------------------------------------------------------- */

static void
current(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r), now;

	now = settle(r, &v, RESOLVED_CURRENT);
	assert_true(now.copy.deleted_at != 0);
	assert_int_equal(now.file.version, v.file.version);
	assert_false(rig_there(r, "f copy"));
	rig_assert_text(r, "f", "theirs");
	comes_back(r, &now.copy, v.copy.version, "f copy", "mine");
	assert_int_equal(count(r, CONFLICTS_OPEN), 0); /* it was resolved, and stays so */
}

static void
copy(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r), now;
	struct file f;

	now = settle(r, &v, RESOLVED_COPY);
	f = rig_at(r, "f");
	assert_true(id_eq(&f.id, &v.file.id));
	assert_int_equal(now.file.version, f.version);
	assert_int_equal(f.mtime_ns, v.copy.mtime_ns);
	assert_false(rig_there(r, "f copy"));
	rig_assert_text(r, "f", "mine");
	comes_back(r, &f, v.file.version, "f", "theirs");
}

static void
both(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);
	int64_t clock = rig_project(r).clock;

	settle(r, &v, RESOLVED_BOTH);
	assert_int_equal(rig_project(r).clock, clock);
	rig_assert_text(r, "f", "theirs");
	rig_assert_text(r, "f copy", "mine");
	rig_do(r, del_at(r, "f copy"));
	assert_int_equal(only(r, CONFLICTS_RESOLVED).c.resolution, RESOLVED_BOTH);
}

static void
merged(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r), now;
	struct op touched = on(put_text(r, "f", "theirs"), v.file.version);

	refused(r, &v, RESOLVED_MERGED, ERR_VERSION_CONFLICT);
	touched.has_mode = true;
	touched.mode = 0600;
	rig_do(r, touched);
	v = only(r, CONFLICTS_OPEN);
	refused(r, &v, RESOLVED_MERGED, ERR_VERSION_CONFLICT); /* another version, but nothing was merged */
	rig_do(r, on(put_text(r, "f", "theirs and mine"), v.file.version));
	refused(r, &v, RESOLVED_MERGED, ERR_VERSION_CONFLICT); /* not what the caller has seen */
	v = only(r, CONFLICTS_OPEN);
	now = settle(r, &v, RESOLVED_MERGED);
	rig_assert_text(r, "f", "theirs and mine");
	comes_back(r, &now.copy, v.copy.version, "f copy", "mine");
}

static void
merged_into_nothing(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);

	rig_do(r, del(&v.file));
	v = only(r, CONFLICTS_OPEN);
	refused(r, &v, RESOLVED_MERGED, ERR_VERSION_CONFLICT);
}

static void
copy_gone(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);
	struct resolve w;

	rig_do(r, del(&v.file));
	assert_int_equal(count(r, CONFLICTS_OPEN), 1); /* the other one's deletion is another matter */
	rig_do(r, del(&v.copy));
	v = only(r, CONFLICTS_RESOLVED);
	assert_int_equal(v.c.resolution, RESOLVED_COPY_GONE);
	assert_true(id_eq(&v.c.resolved_by, &r->device.id));
	refused(r, &v, RESOLVED_CURRENT, ERR_VERSION_CONFLICT);
	assert_code(r, ERR_FIELD_RANGE, try_to(r, &v, RESOLVED_COPY_GONE, &w));
	assert_code(r, ERR_FIELD_RANGE, try_to(r, &v, RESOLVED_NOT, &w));
}

/* A directory is put in its place. */
static void
copy_replaced(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);

	rig_do(r, on(put_dir("f copy"), v.copy.version));
	assert_int_equal(only(r, CONFLICTS_RESOLVED).c.resolution, RESOLVED_COPY_GONE);
	assert_int_equal(count(r, CONFLICTS_OPEN), 0);
}

static void
file_gone(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r), now;

	rig_do(r, del(&v.file));
	v = only(r, CONFLICTS_OPEN);
	rig_do(r, put_text(r, "f", "somebody's"));
	refused(r, &v, RESOLVED_COPY, ERR_NAME_EXISTS);
	rig_do(r, del_at(r, "f"));
	now = settle(r, &v, RESOLVED_COPY);
	assert_string_equal(now.copy.name, "f");
	rig_assert_text(r, "f", "mine");
	assert_false(rig_there(r, "f copy"));
}

static void
stale(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);
	struct resolve w;

	rig_do(r, on(put_text(r, "f copy", "mine again"), v.copy.version));
	for (enum resolution keep = RESOLVED_CURRENT; keep <= RESOLVED_MERGED; keep++)
		refused(r, &v, keep, ERR_VERSION_CONFLICT);
	assert_code(r, ERR_VERSION_CONFLICT, try_to(r, &v, RESOLVED_COPY, &w));
	assert_int_equal(w.now.copy.size, 10);
	rig_assert_text(r, "f copy", "mine again");
	v = only(r, CONFLICTS_OPEN);
	settle(r, &v, RESOLVED_COPY);
	rig_assert_text(r, "f", "mine again");
}

/* Who asks for what was done gets it; who asks for something else is told. */
static void
repeated(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r), none = v;
	int64_t clock;
	struct resolve w;

	settle(r, &v, RESOLVED_COPY);
	clock = rig_project(r).clock;
	assert_ok(r, try_to(r, &v, RESOLVED_COPY, &w));
	assert_int_equal(w.now.c.resolution, RESOLVED_COPY);
	assert_int_equal(rig_project(r).clock, clock);
	refused(r, &v, RESOLVED_BOTH, ERR_VERSION_CONFLICT);
	none.c.copy = id_new();
	assert_code(r, ERR_NOT_FOUND, try_to(r, &none, RESOLVED_BOTH, &w));
	assert_false(w.has_now);
}

static err_code
encode(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	const struct resolve *w = ctx;

	sbuf_addf(out, "%d", (int)w->now.c.resolution);
	*status = 200;
	return sbuf_done(out, err);
}

static void
by_key(void **state)
{
	struct rig *r = *state;
	struct conflict_view v = a_conflict(r);
	struct resolve w = a_wish(r, &v, RESOLVED_CURRENT);
	struct idem idem = { .device = r->owner.id, .key = "key", .request_hash = hash_of("request", 7), .encode = encode, .ctx = &w },
		    again = idem;

	assert_ok(r, conflict_resolve(r->d, &r->project, &w, &idem, r->a, &r->err));
	assert_false(idem.replayed);
	assert_ok(r, conflict_resolve(r->d, &r->project, &w, &again, r->a, &r->err));
	assert_true(again.replayed);
	assert_int_equal(again.status, 200);
	assert_memory_equal(again.body, "1", 1);
}

/* ---- directories ------------------------------------------------------------------------------------------------------ */

/* A directory of one device went aside for a file of another. */
static void
a_directory_lost(void **state)
{
	struct rig *r = *state;
	struct conflict_view v;
	struct file f;

	rig_do(r, put_text(r, "d", "a file"));
	f = rig_at(r, "d");
	rig_commit(r, (struct op[]){ of(put_dir("d copy"), &f), put_text(r, "d copy/x", "x") }, 2);
	v = only(r, CONFLICTS_OPEN);
	refused(r, &v, RESOLVED_CURRENT, ERR_NOT_EMPTY);
	settle(r, &v, RESOLVED_COPY);
	rig_assert_text(r, "d/x", "x");
	assert_false(rig_there(r, "d copy"));
}

/* A file went aside for a directory in use, which is not deleted over anybody's head. */
static void
a_directory_won(void **state)
{
	struct rig *r = *state;
	struct conflict_view v;
	struct file d;

	rig_commit(r, (struct op[]){ put_dir("d"), put_text(r, "d/x", "x") }, 2);
	d = rig_at(r, "d");
	rig_do(r, of(put_text(r, "d copy", "mine"), &d));
	v = only(r, CONFLICTS_OPEN);
	refused(r, &v, RESOLVED_COPY, ERR_NOT_EMPTY);
	rig_do(r, del_at(r, "d/x"));
	settle(r, &v, RESOLVED_COPY);
	rig_assert_text(r, "d", "mine");
}

static void
a_link(void **state)
{
	struct rig *r = *state;
	struct conflict_view v;
	struct file l;

	rig_do(r, put_link("l", "there"));
	l = rig_at(r, "l");
	rig_do(r, of(put_link("l copy", "here"), &l));
	v = only(r, CONFLICTS_OPEN);
	settle(r, &v, RESOLVED_COPY);
	l = rig_at(r, "l");
	assert_true(id_eq(&l.id, &v.file.id));
	assert_string_equal(l.target, "here");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(recorded, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(not_recorded, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(listed, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(followed, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(current, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(copy, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(both, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(merged, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(merged_into_nothing, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(copy_gone, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(copy_replaced, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(file_gone, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(stale, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(repeated, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(by_key, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_directory_lost, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_directory_won, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_link, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
