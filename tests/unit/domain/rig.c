#include "rig.h"

#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "db/db.h"

static void
on_change(void *ctx, const struct id *project, int64_t clock)
{
	struct rig *r = ctx;

	(void)project;
	(void)clock;
	__atomic_add_fetch(&r->told, 1, __ATOMIC_RELAXED);
}

static struct device
add_device(struct rig *r, const char *name, enum device_kind kind, const char *token)
{
	struct hash h = hash_of(token, strlen(token));
	struct device out;

	assert_ok(r, device_create(r->d, name, kind, kind == DEVICE_OWNER ? NULL : &r->project,
	    kind == DEVICE_OWNER ? ROLE_NONE : ROLE_WRITER, &h, NULL, r->a, &out, &r->err));
	return out;
}

static err_code
open_postgres(struct rig *r, struct db **db)
{
	log_setup(LOG_ERROR, false); /* that the test's server has fsync=off is known */
	return db_postgres_open(&(struct db_postgres_opts){ .url = r->schema.url }, db, &r->err);
}

/* The database that rig_setup has made. */
static struct meta *
open_sql(struct rig *r)
{
	struct db_sqlite_opts opts = { .path = arena_printf(r->a, "%s/meta.db", r->dir) };
	struct meta *out;
	struct db *db;

	assert_ok(r, r->dir[0] ? db_sqlite_open(&opts, &db, &r->err) : open_postgres(r, &db));
	assert_ok(r, db_migrate(db, &db_server_migrations, clock_wall_us(), &r->err));
	assert_ok(r, meta_sql_open(db, &out, &r->err));
	return out;
}

/* With DRAY_TEST_META=sqlite, or postgres, the same tests run over a real database. */
static struct meta *
open_meta(struct rig *r)
{
	const char *which = getenv("DRAY_TEST_META");
	char dir[] = "/tmp/dray-domain-XXXXXX";

	if (!which)
		return meta_mem_new();
	if (strcmp(which, "postgres") == 0) {
		if (!schema_server())
			exit(SCHEMA_SKIP);
		schema_make(&r->schema);
	} else {
		assert_non_null(mkdtemp(dir));
		snprintf(r->dir, sizeof r->dir, "%s", dir);
	}
	return open_sql(r);
}

void
rig_restart(struct rig *r)
{
	domain_free(r->d);
	if (r->dir[0] || r->schema.name[0]) {
		meta_free(r->meta);
		r->meta = open_sql(r);
	}
	r->d = domain_open(r->meta, r->store);
	domain_on_change(r->d, on_change, r);
}

static void
remove_dir(const char *dir)
{
	static const char *const files[] = { "meta.db", "meta.db-wal", "meta.db-shm" };
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

int
rig_setup(void **state)
{
	struct rig *r = xcalloc(1, sizeof *r);
	struct project p;

	r->a = arena_new(512 * MIB);
	r->meta = open_meta(r);
	r->store = store_fault_new(store_mem_new());
	r->d = domain_open(r->meta, r->store);
	domain_on_change(r->d, on_change, r);
	assert_ok(r, project_create(r->d, "film", NULL, r->a, &p, &r->err));
	r->project = p.id;
	snprintf(r->device_token, sizeof r->device_token, "device token");
	snprintf(r->owner_token, sizeof r->owner_token, "owner token");
	r->device = add_device(r, "laptop", DEVICE_PLAIN, r->device_token);
	r->owner = add_device(r, "owner", DEVICE_OWNER, r->owner_token);
	*state = r;
	return 0;
}

int
rig_teardown(void **state)
{
	struct rig *r = *state;

	domain_free(r->d);
	store_free(r->store);
	meta_free(r->meta);
	arena_free(r->a);
	if (r->dir[0])
		remove_dir(r->dir);
	if (r->schema.name[0])
		schema_drop(&r->schema);
	free(r);
	return 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

void
fill(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2654435761 + 88172645463325252;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)x;
	}
}

uint8_t *
bytes_new(size_t len, uint64_t seed)
{
	uint8_t *p = xmalloc(len + 1);

	fill(p, len, seed);
	return p;
}

struct id
rig_transfer(struct rig *r)
{
	struct transfer_start s = { .device = r->device.id, .path = "" };
	struct transfer t;

	assert_ok(r, transfer_create(r->d, &r->project, &s, NULL, r->a, &t, &r->err));
	return t.id;
}

const uint8_t *
rig_container(struct rig *r, const uint8_t *p, size_t len, struct hash *id, size_t *container_len)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	const uint8_t *out;

	for (size_t at = 0; at < len; at += BLOCK_LEN_MAX) {
		size_t n = MIN(BLOCK_LEN_MAX, len - at);
		struct hash h = hash_of(p + at, n);

		assert_true(chunk_builder_fits(b, n));
		chunk_builder_add(b, p + at, n, &h);
	}
	out = chunk_builder_finish(b, id, container_len);
	return arena_memdup(r->a, out, *container_len);
}

err_code
rig_try_chunk(struct rig *r, const struct id *transfer, uint32_t n, const uint8_t *container, size_t len, struct hash *id)
{
	struct chunk_in *c;
	err_code rc = chunk_in_open(r->d, &r->project, &r->device.id, transfer, n, &c, &r->err);

	if (rc)
		return rc;
	for (size_t at = 0; !rc && at < len; at += 10000)
		rc = chunk_in_feed(c, container + at, MIN((size_t)10000, len - at), &r->err);
	if (!rc)
		rc = chunk_in_finish(c, id, &r->err);
	chunk_in_free(c);
	return rc;
}

struct made
rig_upload(struct rig *r, const void *p, size_t len)
{
	struct made m = { .size = (int64_t)len, .content = content_hash_empty() };
	struct id t = rig_transfer(r);
	struct content_hash ch;
	const uint8_t *container;
	size_t container_len;
	struct hash id;

	if (len == 0)
		return m;
	content_hash_init(&ch);
	for (size_t at = 0; at < len; at += BLOCK_LEN_MAX) {
		size_t n = MIN(BLOCK_LEN_MAX, len - at);
		struct hash h = hash_of((const uint8_t *)p + at, n);

		content_hash_add(&ch, &h, (uint32_t)n);
		m.extent.count++;
	}
	m.content = content_hash_final(&ch);
	container = rig_container(r, p, len, &m.extent.chunk, &container_len);
	assert_ok(r, rig_try_chunk(r, &t, 0, container, container_len, &id));
	assert_true(hash_eq(&id, &m.extent.chunk));
	assert_ok(r, transfer_abandon(r->d, &r->project, &r->device.id, &t, &r->err)); /* the chunks stay */
	return m;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

struct op
put_file(const char *path, const struct made *m)
{
	return (struct op){ .kind = OP_PUT, .path = path, .entry = KIND_FILE, .source = CONTENT_EXTENTS, .size = m->size,
		.content = m->content, .extents = &m->extent, .extent_count = m->size ? 1 : 0 };
}

struct op
put_text(struct rig *r, const char *path, const char *text)
{
	struct made *m = arena_must(r->a, sizeof *m);

	*m = rig_upload(r, text, strlen(text));
	return put_file(path, m);
}

struct op
put_dir(const char *path)
{
	return (struct op){ .kind = OP_PUT, .path = path, .entry = KIND_DIR };
}

struct op
put_link(const char *path, const char *target)
{
	return (struct op){ .kind = OP_PUT, .path = path, .entry = KIND_LINK, .target = target };
}

struct op
on(struct op op, int64_t base)
{
	op.has_base = true;
	op.base = base;
	return op;
}

struct op
del(const struct file *f)
{
	return (struct op){ .kind = OP_DELETE, .file = f->id, .has_base = true, .base = f->version };
}

struct op
mv(const struct file *f, const char *path)
{
	return (struct op){ .kind = OP_MOVE, .file = f->id, .path = path, .has_base = true, .base = f->version };
}

struct op
restore(const struct file *f, int64_t version)
{
	return (struct op){ .kind = OP_RESTORE, .file = f->id, .has_base = true, .base = f->version, .from_version = version };
}

struct op
del_at(struct rig *r, const char *path)
{
	struct file f = rig_at(r, path);

	return del(&f);
}

struct op
mv_at(struct rig *r, const char *from, const char *to)
{
	struct file f = rig_at(r, from);

	return mv(&f, to);
}

struct op
restore_at(struct rig *r, const char *path, int64_t version)
{
	struct file f = rig_at(r, path);

	return restore(&f, version);
}

err_code
rig_try(struct rig *r, const struct op *ops, size_t n, struct commit *c)
{
	*c = (struct commit){ .ops = ops, .n = n, .device = r->device.id };
	return commit_apply(r->d, &r->project, c, NULL, r->a, &r->err);
}

struct commit
rig_commit(struct rig *r, const struct op *ops, size_t n)
{
	struct commit c;

	assert_ok(r, rig_try(r, ops, n, &c));
	return c;
}

struct op_result
rig_one(struct rig *r, struct op op)
{
	return rig_commit(r, &op, 1).results[0];
}

struct op_result
rig_do(struct rig *r, struct op op)
{
	struct op_result res = rig_one(r, op);

	if (res.code)
		fail_msg("operation on %s: %s: %s", op.path ? op.path : "(by id)", err_info(res.code)->code, res.detail);
	return res;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

struct file
rig_at(struct rig *r, const char *path)
{
	struct file f;

	assert_ok(r, tree_file_at(r->d, &r->project, path, r->a, &f, &r->err));
	return f;
}

bool
rig_there(struct rig *r, const char *path)
{
	struct file f;
	err_code rc = tree_file_at(r->d, &r->project, path, r->a, &f, &r->err);

	assert_true(rc == ERR_OK || rc == ERR_NOT_FOUND);
	return rc == ERR_OK;
}

struct project
rig_project(struct rig *r)
{
	struct project p;

	assert_ok(r, project_get(r->d, &r->project, r->a, &p, &r->err));
	return p;
}

void
rig_assert_text(struct rig *r, const char *path, const char *want)
{
	struct file f = rig_at(r, path);
	struct content_out *c;
	uint8_t buf[1000];
	size_t got;

	assert_ok(r, content_open(r->d, &r->project, &f, &c, &r->err));
	assert_ok(r, content_read(c, 0, buf, sizeof buf, &got, &r->err));
	content_close(c);
	assert_int_equal(got, strlen(want));
	assert_memory_equal(buf, want, got);
}

/* ${f} counts in every directory above it. */
static void
count_up(struct map *counts, struct arena *a, const struct file *f)
{
	const char *dir = f->dir;
	size_t len = strlen(dir);

	while (len > 0) {
		struct beneath *b = map_get(counts, dir, len);

		if (!b) {
			b = arena_must(a, sizeof *b);
			*b = (struct beneath){ 0 };
			map_put(counts, dir, len, b);
		}
		b->files += f->kind != KIND_DIR;
		b->dirs += f->kind == KIND_DIR;
		b->bytes += f->size;
		while (len > 0 && dir[len - 1] != '/')
			len--;
		len -= len > 0;
	}
}

static void
assert_counts(struct map *counts, const struct file *f)
{
	static const struct beneath none;
	char path[FILE_PATH_MAX];
	const struct beneath *b = f->kind == KIND_DIR ? map_get(counts, file_path(f, path), strlen(file_path(f, path))) : NULL;

	b = b ? b : &none;
	if (f->beneath.files != b->files || f->beneath.dirs != b->dirs || f->beneath.bytes != b->bytes)
		fail_msg("%s counts %lld files, %lld directories, %lld bytes beneath it; there are %lld, %lld, %lld", file_path(f, path),
		    (long long)f->beneath.files, (long long)f->beneath.dirs, (long long)f->beneath.bytes, (long long)b->files,
		    (long long)b->dirs, (long long)b->bytes);
}

size_t
rig_assert_sums(struct rig *r)
{
	AUTO(arena_freep) struct arena *a = arena_new(256 * MIB);
	AUTO(map_freep) struct map *counts = map_new();
	AUTO(freep) struct file *all = xcalloc((size_t)rig_project(r).file_count + 1, sizeof *all);
	struct hash sum = { 0 };
	int64_t bytes = 0, after = 0;
	size_t n = 0;
	struct tree_page page;

	do {
		assert_ok(r, tree_list(r->d, &r->project, after, 700, false, a, &page, &r->err));
		for (size_t i = 0; i < page.n; i++) {
			struct hash h = file_digest(&page.files[i]);

			assert_true(page.files[i].version > after);
			after = page.files[i].version;
			digest_add(&sum, &h);
			bytes += page.files[i].size;
			assert_true((int64_t)n < page.project.file_count);
			count_up(counts, a, &page.files[i]);
			all[n++] = page.files[i];
		}
	} while (page.has_more);
	assert_true(hash_eq(&sum, &page.project.digest));
	assert_int_equal(page.project.total_bytes, bytes);
	assert_int_equal(page.project.file_count, (int64_t)n);
	assert_int_equal(page.next, page.project.clock);
	for (size_t i = 0; i < n; i++)
		assert_counts(counts, &all[i]);
	return n;
}
