/* Who may do what; devices, projects, checkpoints. */
#include "rig.h"

static err_code
check(struct rig *r, const char *token, enum access need, const struct id *project, struct caller *out)
{
	return access_check(r->d, token, need, project, r->a, out, &r->err);
}

static void
the_matrix(void **state)
{
	struct rig *r = *state;
	struct hash h = hash_of("reader", 6);
	struct project other;
	struct device reader;
	struct caller c;
	char known[512];
	const struct {
		const char *token;
		enum access need;
		const struct id *project;
		err_code code;
	} rows[] = {
		{ NULL, ACCESS_ANYONE, NULL, ERR_OK },
		{ NULL, ACCESS_DEVICE, NULL, ERR_AUTH_REQUIRED },
		{ NULL, ACCESS_READER, &r->project, ERR_AUTH_REQUIRED },
		{ "nonsense", ACCESS_DEVICE, NULL, ERR_TOKEN_INVALID },
		{ "nonsense", ACCESS_READER, &r->project, ERR_TOKEN_INVALID },
		{ r->device_token, ACCESS_DEVICE, NULL, ERR_OK },
		{ r->device_token, ACCESS_OWNER, NULL, ERR_FORBIDDEN },
		{ r->device_token, ACCESS_READER, &r->project, ERR_OK },
		{ r->device_token, ACCESS_WRITER, &r->project, ERR_OK },
		{ r->device_token, ACCESS_OWNER, &r->project, ERR_FORBIDDEN },
		{ r->device_token, ACCESS_READER, &other.id, ERR_NOT_FOUND },
		{ r->device_token, ACCESS_WRITER, &other.id, ERR_NOT_FOUND },
		{ r->device_token, ACCESS_OWNER, &other.id, ERR_NOT_FOUND },
		{ r->device_token, ACCESS_READER, &(struct id){ { 1 } }, ERR_NOT_FOUND },
		{ "reader", ACCESS_READER, &r->project, ERR_OK },
		{ "reader", ACCESS_WRITER, &r->project, ERR_FORBIDDEN },
		{ "reader", ACCESS_WRITER, &other.id, ERR_NOT_FOUND },
		{ r->owner_token, ACCESS_OWNER, NULL, ERR_OK },
		{ r->owner_token, ACCESS_OWNER, &other.id, ERR_OK },
		{ r->owner_token, ACCESS_WRITER, &r->project, ERR_OK },
		{ r->owner_token, ACCESS_READER, &(struct id){ { 1 } }, ERR_NOT_FOUND },
	};

	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	assert_ok(r, device_create(r->d, "phone", DEVICE_PLAIN, &r->project, ROLE_READER, &h, NULL, r->a, &reader, &r->err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_code rc = check(r, rows[i].token, rows[i].need, rows[i].project, &c);

		if (rc != rows[i].code)
			fail_msg("row %zu: %s", i, err_info(rc)->code);
	}
	/* A project that is not the caller's answers as one that does not exist, to the letter. */
	assert_code(r, ERR_NOT_FOUND, check(r, r->device_token, ACCESS_READER, &other.id, &c));
	memcpy(known, r->err.msg, sizeof known);
	assert_code(r, ERR_NOT_FOUND, check(r, r->device_token, ACCESS_READER, &(struct id){ { 1 } }, &c));
	assert_string_equal(known, r->err.msg);
	assert_ok(r, check(r, "reader", ACCESS_READER, &r->project, &c));
	assert_string_equal(c.device.name, "phone");
	assert_int_equal(c.role, ROLE_READER);
	assert_ok(r, check(r, r->owner_token, ACCESS_READER, &r->project, &c));
	assert_int_equal(c.role, ROLE_WRITER);
}

static void
revoking(void **state)
{
	struct rig *r = *state;
	struct device_row *rows;
	struct project p;
	struct caller c;
	size_t n;

	assert_ok(r, check(r, r->device_token, ACCESS_READER, &r->project, &c));
	assert_ok(r, device_list(r->d, &r->project, r->a, &rows, NULL, &n, &p, &r->err));
	assert_int_equal(n, 1);
	assert_string_equal(rows[0].device.name, "laptop");
	assert_true(rows[0].device.last_seen_at > 0); /* noted by the check */
	assert_int_equal(rows[0].role, ROLE_WRITER);
	assert_code(r, ERR_NOT_FOUND, device_revoke(r->d, &r->project, &(struct id){ 0 }, &r->err));
	assert_code(r, ERR_NOT_FOUND, device_revoke(r->d, &r->project, &r->owner.id, &r->err));
	assert_code(r, ERR_NOT_FOUND, device_revoke(r->d, &(struct id){ 0 }, &r->device.id, &r->err));
	assert_ok(r, device_revoke(r->d, &r->project, &r->device.id, &r->err));
	assert_ok(r, device_revoke(r->d, &r->project, &r->device.id, &r->err));
	assert_code(r, ERR_TOKEN_REVOKED, check(r, r->device_token, ACCESS_READER, &r->project, &c));
	assert_ok(r, device_list(r->d, &r->project, r->a, &rows, NULL, &n, &p, &r->err));
	assert_int_equal(n, 0);
	assert_code(r, ERR_NOT_FOUND, device_list(r->d, &(struct id){ 0 }, r->a, &rows, NULL, &n, &p, &r->err));
}

/* Who is let in learns where the project is, however he has shown who he is; without a project there is nothing to learn. */
static void
where(void **state)
{
	struct rig *r = *state;
	struct project p;
	struct caller c;

	rig_do(r, put_dir("d"));
	p = rig_project(r);
	assert_ok(r, check(r, r->device_token, ACCESS_READER, &r->project, &c));
	assert_true(id_eq(&c.project.id, &p.id) && id_eq(&c.project.epoch, &p.epoch) && c.project.clock == p.clock);
	assert_true(hash_eq(&c.project.digest, &p.digest));
	assert_string_equal(c.project.name, p.name);
	assert_ok(r, access_check_known(r->d, &r->device.id, ACCESS_READER, &r->project, r->a, &c, &r->err));
	assert_true(id_eq(&c.project.id, &p.id) && c.project.clock == p.clock);
	assert_string_equal(c.project.name, p.name);
	assert_ok(r, check(r, r->device_token, ACCESS_DEVICE, NULL, &c));
	assert_true(id_is_zero(&c.project.id) && c.project.clock == 0);
}

/* Who was let in is asked about again, by his device. */
static void
again(void **state)
{
	struct rig *r = *state;
	const struct id none = { 0 };
	struct project other, p;

	assert_ok(r, project_create(r->d, "other", NULL, r->a, &other, &r->err));
	assert_ok(r, access_again(r->d, &r->device.id, NULL, &p, &r->err));
	assert_ok(r, access_again(r->d, &r->device.id, &r->project, &p, &r->err));
	assert_true(p.clock == rig_project(r).clock && id_eq(&p.id, &r->project));
	assert_ok(r, access_again(r->d, &r->owner.id, &other.id, &p, &r->err));
	assert_code(r, ERR_NOT_FOUND, access_again(r->d, &r->device.id, &other.id, &p, &r->err));
	assert_code(r, ERR_NOT_FOUND, access_again(r->d, &r->device.id, &none, &p, &r->err));
	assert_code(r, ERR_NOT_FOUND, access_again(r->d, &none, NULL, &p, &r->err));
	assert_ok(r, device_revoke(r->d, &r->project, &r->device.id, &r->err));
	assert_code(r, ERR_TOKEN_REVOKED, access_again(r->d, &r->device.id, NULL, &p, &r->err));
	assert_code(r, ERR_TOKEN_REVOKED, access_again(r->d, &r->device.id, &r->project, &p, &r->err));
}

static void
projects(void **state)
{
	struct rig *r = *state;
	struct project p = rig_project(r), q, *page;
	struct op op = put_text(r, "f", "x");
	struct project_change renamed = { .name = "third", .keep_versions = -1, .keep_days = -1, .quota_bytes = -1 };
	struct caller c;
	uint64_t size;
	size_t n;

	assert_true(p.clock > 0 && p.clock <= clock_wall_us());
	assert_int_equal(p.horizon, 0);
	assert_false(id_is_zero(&p.epoch));
	assert_code(r, ERR_FIELD_RANGE, project_list(r->d, NULL, NULL, 0, r->a, &page, &n, &r->err));
	assert_code(r, ERR_FIELD_RANGE, project_list(r->d, NULL, NULL, PAGE_LIMIT_MAX + 1, r->a, &page, &n, &r->err));
	assert_int_not_equal(project_create(r->d, "", NULL, r->a, &q, &r->err), ERR_OK);
	assert_int_not_equal(project_create(r->d, "a\nb", NULL, r->a, &q, &r->err), ERR_OK);
	assert_ok(r, project_create(r->d, "second", NULL, r->a, &q, &r->err));
	assert_ok(r, project_list(r->d, NULL, NULL, 10, r->a, &page, &n, &r->err));
	assert_int_equal(n, 2);
	assert_ok(r, project_list(r->d, &r->device.id, NULL, 10, r->a, &page, &n, &r->err));
	assert_int_equal(n, 1);
	assert_string_equal(page[0].name, "film");
	assert_ok(r, project_update(r->d, &q.id, &renamed, r->a, &q, &r->err));
	assert_string_equal(q.name, "third");
	assert_code(r, ERR_NOT_FOUND, project_update(r->d, &(struct id){ 0 }, &renamed, r->a, &q, &r->err));
	rig_do(r, op);
	assert_ok(r, project_delete(r->d, &r->project, &r->err));
	assert_code(r, ERR_NOT_FOUND, project_delete(r->d, &r->project, &r->err));
	assert_code(r, ERR_NOT_FOUND, check(r, r->device_token, ACCESS_READER, &r->project, &c));
	assert_code(r, ERR_NOT_FOUND, rig_try(r, (struct op[]){ put_dir("d") }, 1, &(struct commit){ 0 }));
	assert_code(r, ERR_NOT_FOUND, chunk_size(r->d, &r->project, &op.extents[0].chunk, &size, &r->err));
	assert_true(tree_changed_since(r->d, &r->project, INT64_MAX)); /* who waits is woken, and finds it gone */
}

static void
checkpoints(void **state)
{
	struct rig *r = *state;
	struct project p = rig_project(r);
	struct id other = id_new();
	struct device_row *rows;
	struct checkpoint c;
	size_t n;

	assert_code(r, ERR_NOT_FOUND, checkpoint_get(r->d, &r->project, &r->device.id, r->a, &c, &r->err));
	assert_code(r, ERR_EPOCH_CHANGED, checkpoint_put(r->d, &r->project, &r->device.id, &other, 1, &r->err));
	assert_code(r, ERR_EPOCH_CHANGED, checkpoint_put(r->d, &r->project, &r->device.id, &p.epoch, p.clock + 1, &r->err));
	assert_code(r, ERR_FIELD_RANGE, checkpoint_put(r->d, &r->project, &r->device.id, &p.epoch, -1, &r->err));
	assert_code(r, ERR_NOT_FOUND, checkpoint_put(r->d, &other, &r->device.id, &p.epoch, 1, &r->err));
	assert_ok(r, checkpoint_put(r->d, &r->project, &r->device.id, &p.epoch, p.clock, &r->err));
	assert_ok(r, checkpoint_get(r->d, &r->project, &r->device.id, r->a, &c, &r->err));
	assert_int_equal(c.clock, p.clock);
	assert_ok(r, checkpoint_put(r->d, &r->project, &r->device.id, &p.epoch, 0, &r->err)); /* it starts anew */
	assert_ok(r, device_list(r->d, &r->project, r->a, &rows, NULL, &n, &p, &r->err));
	assert_int_equal(rows[0].checkpoint.clock, 0);
}

static err_code
encode(void *ctx, struct sbuf *out, int *status, struct err *err)
{
	(void)ctx;
	(void)err;
	sbuf_add(out, "answer");
	*status = 201;
	return ERR_OK;
}

/* Every call that takes a key: the second time it happens once. */
static void
repetitions(void **state)
{
	struct rig *r = *state;
	struct idem p1 = { .device = r->owner.id, .key = "p", .encode = encode }, p2 = p1;
	struct idem d1 = { .device = r->owner.id, .key = "d", .encode = encode }, d2 = d1;
	struct idem t1 = { .device = r->owner.id, .key = "t", .encode = encode }, t2 = t1;
	struct transfer_start s = { .device = r->device.id, .path = "" };
	struct hash h = hash_of("token", 5);
	struct project p, *page;
	struct device_row *rows;
	struct transfer t;
	struct device dev;
	size_t n;

	assert_ok(r, project_create(r->d, "new", &p1, r->a, &p, &r->err));
	assert_ok(r, project_create(r->d, "new", &p2, r->a, &p, &r->err));
	assert_ok(r, project_list(r->d, NULL, NULL, 10, r->a, &page, &n, &r->err));
	assert_int_equal(n, 2);
	assert_ok(r, device_create(r->d, "x", DEVICE_PLAIN, &r->project, ROLE_READER, &h, &d1, r->a, &dev, &r->err));
	assert_ok(r, device_create(r->d, "x", DEVICE_PLAIN, &r->project, ROLE_READER, &h, &d2, r->a, &dev, &r->err));
	assert_ok(r, device_list(r->d, &r->project, r->a, &rows, NULL, &n, &p, &r->err));
	assert_int_equal(n, 2);
	assert_ok(r, transfer_create(r->d, &r->project, &s, &t1, r->a, &t, &r->err));
	assert_ok(r, transfer_create(r->d, &r->project, &s, &t2, r->a, &t, &r->err));
	assert_true(!p1.replayed && !d1.replayed && !t1.replayed);
	assert_true(p2.replayed && d2.replayed && t2.replayed);
	assert_int_equal(t2.status, 201);
	assert_memory_equal(t2.body, "answer", t2.body_len);
}

static void
readiness(void **state)
{
	struct rig *r = *state;

	assert_ok(r, domain_ready(r->d, &r->err));
	assert_ok(r, domain_expire(r->d, &r->err));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(the_matrix), T(revoking), T(where), T(again), T(projects), T(checkpoints), T(repetitions), T(readiness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
