/* Push against a server in memory that checks every commit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

#define OPS_MAX 6000

/* How each operation ended. */
struct ends {
	struct rig *r;
	const char *path[OPS_MAX];
	enum act act[OPS_MAX];
	err_code code[OPS_MAX];
	struct entry entry[OPS_MAX];
	bool has_entry[OPS_MAX];
	size_t n;
};

static err_code
on_done(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct ends *e = ctx;

	(void)why;
	assert_true(e->n < OPS_MAX);
	e->path[e->n] = op->path;
	e->act[e->n] = op->act;
	e->code[e->n] = code;
	e->has_entry[e->n] = entry != NULL;
	if (entry)
		e->entry[e->n] = *entry;
	e->n++;
	if (code == ERR_OK && entry)
		return state_base_put(e->r->state, entry, err);
	return code == ERR_OK ? state_base_remove(e->r->state, op->base->path, err) : ERR_OK;
}

static struct ends ends;

static err_code
push(struct rig *r, const struct plan_op *ops, size_t n)
{
	struct transfer_env env = r->env;

	ends = (struct ends){ .r = r };
	env.ctx = &ends;
	return push_run(&env, ops, n, on_done, &r->err);
}

static size_t
end_of(const char *path)
{
	for (size_t i = ends.n; i-- > 0;)
		if (strcmp(ends.path[i], path) == 0)
			return i;
	fail_msg("%s never ended", path);
	return 0;
}

static void
assert_all_ok(size_t n)
{
	assert_int_equal(ends.n, n);
	for (size_t i = 0; i < n; i++)
		if (ends.code[i])
			fail_msg("%s: %s", ends.path[i], err_info(ends.code[i])->code);
}

static void
assert_on_server(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	struct mem_file *f = mem_file_at(r->server, path);
	struct entry base;

	if (!f)
		fail_msg("%s is not on the server", path);
	assert_true(mem_file_is(r->server, f, p, len));
	assert_int_equal(state_base_get(r->state, path, r->a, &base, &r->err), ERR_OK);
	assert_true(id_eq(&base.id, &f->e.id));
	assert_int_equal(base.version, f->e.version);
	assert_true(hash_eq(&base.content, &f->e.content));
	assert_int_equal(base.size, len);
	assert_int_equal(base.mtime_ns, f->e.mtime_ns);
	assert_int_equal(base.mode, f->e.mode);
}

/* Where block ${i} of a list lies. */
static struct extent
place_of(const struct blocklist *l, uint32_t i)
{
	for (uint32_t x = 0; x < l->extent_count; i -= l->extents[x++].count)
		if (i < l->extents[x].count)
			return (struct extent){ l->extents[x].chunk, l->extents[x].first + i, 1 };
	fail_msg("no such block");
	return (struct extent){ 0 };
}

/* The state's pages say of each block what the server's list says. */
static void
assert_list_kept(struct rig *r, const struct mem_file *f)
{
	if ((uint64_t)f->e.size <= BLOCK_LEN_MAX) { /* of one block: not worth it */
		const uint8_t *p;
		const uint32_t *weak;
		size_t len;

		assert_int_equal(state_blocks_get(r->state, &f->e.content, 0, r->a, &p, &len, &weak, &r->err), ERR_NOT_FOUND);
		return;
	}
	for (uint32_t i = 0; i < f->list.block_count; i++) {
		struct extent want = place_of(&f->list, i), have;
		struct blocklist page;
		const uint8_t *p;
		const uint32_t *weak;
		size_t len;

		assert_int_equal(state_blocks_get(r->state, &f->e.content, i / 64, r->a, &p, &len, &weak, &r->err), ERR_OK);
		assert_int_equal(blocklist_unpack(p, len, 64, r->a, &page, &r->err), ERR_OK);
		have = place_of(&page, i % 64);
		assert_true(hash_eq(&have.chunk, &want.chunk) && have.first == want.first);
		assert_true(hash_eq(&page.blocks[i % 64].hash, &f->list.blocks[i].hash));
	}
}

/* ---- what is sent ----------------------------------------------------------------------------------------------------------------- */

static void
test_sizes(void **ctx)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 262144, 262145, 1000000, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9000000,
		16 * MIB, 16 * MIB + 1, 21000003 };
	struct rig *r = *ctx;
	struct plan_op ops[ARRAY_LEN(sizes)];
	uint8_t *bytes[ARRAY_LEN(sizes)];
	struct transfer_counts counts;
	uint64_t sum = 0;
	char path[32];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(path, sizeof path, "f%zu", i);
		bytes[i] = rig_bytes(r, sizes[i], i + 1);
		rig_write(r, path, bytes[i], sizes[i]);
		ops[i] = rig_push(r, path);
		sum += sizes[i];
	}
	assert_int_equal(push(r, ops, ARRAY_LEN(sizes)), ERR_OK);
	assert_all_ok(ARRAY_LEN(sizes));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_on_server(r, ops[i].path, bytes[i], sizes[i]);
		assert_list_kept(r, mem_file_at(r->server, ops[i].path));
	}
	transfer_progress_read(r->progress, &counts);
	assert_int_equal(counts.files_total, ARRAY_LEN(sizes));
	assert_int_equal(counts.files_done, ARRAY_LEN(sizes));
	assert_int_equal(counts.bytes_total, sum);
	assert_int_equal(counts.bytes_done, sum);
	assert_int_equal(r->server->transfers_made, 3); /* two large files, one for all the others */
	assert_true(r->server->bytes_up < sum + sum / 500);
}

/* A list of more than one page: pages must come in order and fit the chunks. */
static void
test_long_list(void **ctx)
{
	struct rig *r = *ctx;
	size_t len = (BLOCKLIST_UPLOAD_MAX + 100) * BLOCK_LEN_MAX + 17;
	const uint8_t *page;
	const uint32_t *weak;
	size_t page_len;
	struct plan_op op;
	int fd = openat(r->tree->root, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_int_equal(ftruncate(fd, (off_t)len), 0); /* zeros: quick to pack */
	close(fd);
	op = rig_push(r, "f");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_all_ok(1);
	assert_int_equal(mem_file_at(r->server, "f")->list.block_count, BLOCKLIST_UPLOAD_MAX + 101);
	assert_int_equal(state_blocks_get(r->state, &ends.entry[0].content, 129, r->a, &page, &page_len, &weak, &r->err), ERR_OK);
	assert_int_equal(state_blocks_get(r->state, &ends.entry[0].content, 130, r->a, &page, &page_len, &weak, &r->err), ERR_NOT_FOUND);
}

static void
test_many_small_share_chunks(void **ctx)
{
	struct rig *r = *ctx;
	size_t n = 5000;
	struct plan_op *ops = arena_must(r->a, n * sizeof *ops);
	uint8_t *bytes = rig_bytes(r, n + 2000, 7);
	char path[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof path, "f%zu", i);
		rig_write(r, path, bytes + i, 1000);
		ops[i] = rig_push(r, path);
	}
	assert_int_equal(push(r, ops, n), ERR_OK);
	assert_all_ok(n);
	for (size_t i = 0; i < n; i++)
		assert_on_server(r, ops[i].path, bytes + i, 1000);
	assert_true(r->server->chunk_puts <= 5000 / 1024 + 6);
	assert_true(r->server->ops_max <= 4000);
	assert_true(r->server->commits < 12);
	assert_int_equal(r->server->transfers_made, r->server->transfers_deleted);
	/* a file up to 256 KiB lies in one chunk */
	for (size_t i = 0; i < r->server->file_count; i++)
		assert_int_equal(r->server->files[i].list.extent_count, 1);
}

static void
test_known_content_is_not_sent(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *bytes = rig_bytes(r, 100000, 3);
	struct plan_op op;
	unsigned puts;

	rig_write(r, "a", bytes, 100000);
	op = rig_push(r, "a");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	puts = r->server->chunk_puts;
	rig_write(r, "copy", bytes, 100000);
	op = rig_push(r, "copy");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_all_ok(1);
	assert_on_server(r, "copy", bytes, 100000);
	assert_int_equal(r->server->chunk_puts, puts);
	/* the same content again in place: mode and time only */
	assert_int_equal(fchmodat(r->tree->root, "copy", 0755, 0), 0);
	op = rig_push(r, "copy");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_int_equal(r->server->chunk_puts, puts);
	assert_int_equal(mem_file_at(r->server, "copy")->e.mode, 0755);
	/* nothing at all to say: recorded without a commit */
	puts = r->server->commits;
	op = rig_push(r, "copy");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_all_ok(1);
	assert_int_equal(r->server->commits, puts);
}

static void
test_touched_large_file(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op op;
	unsigned puts;

	rig_write(r, "f", rig_bytes(r, 20 * MIB, 3), 20 * MIB);
	op = rig_push(r, "f");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	puts = r->server->chunk_puts;
	tree_time(r->tree, "f", INT64_C(1000000000));
	op = rig_push(r, "f");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_all_ok(1);
	assert_int_equal(r->server->chunk_puts, puts);
	assert_int_equal(mem_file_at(r->server, "f")->e.mtime_ns, 1000000000);
}

static void
chunks_missing(struct rig *r, bool silent)
{
	uint8_t *bytes = rig_bytes(r, 100000, 3), *other = rig_bytes(r, 100, 4);
	struct plan_op ops[3];

	r->server->silent_missing = silent;
	rig_write(r, "a", bytes, 100000);
	ops[0] = rig_push(r, "a");
	assert_int_equal(push(r, ops, 1), ERR_OK);
	mem_chunks_drop(r->server);
	rig_write(r, "copy", bytes, 100000);
	rig_write(r, "new", other, 100);
	tree_mkdir(r->tree, "d");
	ops[0] = rig_push(r, "d");
	ops[1] = rig_push(r, "copy");
	ops[2] = rig_push(r, "new");
	assert_int_equal(push(r, ops, 3), ERR_OK);
	assert_all_ok(3);
	assert_on_server(r, "copy", bytes, 100000);
	assert_on_server(r, "new", other, 100);
	/* and what the state knows now is true again */
	rig_write(r, "copy2", bytes, 100000);
	ops[0] = rig_push(r, "copy2");
	assert_int_equal(push(r, ops, 1), ERR_OK);
	assert_on_server(r, "copy2", bytes, 100000);
}

static void
test_chunks_missing(void **ctx)
{
	chunks_missing(*ctx, false);
}

static void
test_chunks_missing_unnamed(void **ctx)
{
	chunks_missing(*ctx, true);
}

/* ---- order and kinds -------------------------------------------------------------------------------------------------------------- */

static void
test_order(void **ctx)
{
	struct rig *r = *ctx;
	struct blocklist none = { 0 };
	struct mem_file *old, *gone;
	struct plan_op ops[7];
	uint8_t *bytes = rig_bytes(r, 10, 1);

	old = mem_file_add(r->server, "old", &none);
	gone = mem_file_add(r->server, "gone", &none);
	old->e.kind = gone->e.kind = ENTRY_DIR;
	old->e.content = gone->e.content = (struct hash){ 0 };
	tree_mkdir(r->tree, "d");
	tree_mkdir(r->tree, "d/e");
	tree_mkdir(r->tree, "moved");
	rig_write(r, "d/e/f", bytes, 10);
	tree_symlink(r->tree, "d/l", "../x");
	ops[0] = rig_push(r, "d");
	ops[1] = rig_push(r, "d/e");
	ops[2] = (struct plan_op){ .act = ACT_MOVE_REMOTE, .path = "moved", .from = "old", .base = arena_memdup(r->a, &old->e, sizeof old->e),
		.remote = arena_memdup(r->a, &old->e, sizeof old->e), .local = rig_scan(r, "moved") };
	((struct entry *)(uintptr_t)ops[2].local)->mode = old->e.mode;
	((struct entry *)(uintptr_t)ops[2].local)->mtime_ns = old->e.mtime_ns;
	ops[3] = (struct plan_op){ .act = ACT_DELETE_REMOTE, .path = "gone", .base = arena_memdup(r->a, &gone->e, sizeof gone->e) };
	ops[4] = rig_push(r, "d/e/f");
	ops[5] = rig_push(r, "d/l");
	assert_int_equal(push(r, ops, 6), ERR_OK);
	assert_all_ok(6);
	assert_true(strncmp(r->server->log, "put d;put d/e;move moved;delete gone;put d/", 43) == 0);
	assert_string_equal(mem_file_at(r->server, "d/l")->e.target, "../x");
	assert_false(ends.has_entry[end_of("gone")]);
	assert_string_equal(ends.entry[end_of("moved")].path, "moved");
	assert_true(id_eq(&ends.entry[end_of("moved")].id, &old->e.id));
	assert_int_equal(ends.entry[end_of("moved")].ino, ops[2].local->ino);
}

static void
test_moved_and_changed(void **ctx)
{
	struct rig *r = *ctx;
	uint8_t *a = rig_bytes(r, 5000, 1), *b = rig_bytes(r, 6000, 2);
	struct plan_op op;
	struct mem_file *f;

	rig_write(r, "a", a, 5000);
	op = rig_push(r, "a");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	f = mem_file_at(r->server, "a");
	assert_int_equal(renameat(r->tree->root, "a", r->tree->root, "b"), 0);
	rig_write(r, "b", b, 6000);
	op = (struct plan_op){ .act = ACT_MOVE_REMOTE, .path = "b", .from = "a", .base = arena_memdup(r->a, &f->e, sizeof f->e),
		.remote = arena_memdup(r->a, &f->e, sizeof f->e), .local = rig_scan(r, "b") };
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_all_ok(2);
	assert_int_equal(ends.act[0], ACT_MOVE_REMOTE);
	assert_int_equal(ends.entry[0].size, 5000); /* as it was, at its new path */
	assert_int_equal(ends.entry[0].ctime_ns, 0);
	assert_int_equal(ends.act[1], ACT_PUSH);
	assert_on_server(r, "b", b, 6000);
	assert_true(id_eq(&ends.entry[0].id, &ends.entry[1].id));
	assert_null(mem_file_at(r->server, "a"));
}

static void
test_place(void **ctx)
{
	struct rig *r = *ctx;
	struct state_place at = { .known = true, .clock = r->server->clock, .epoch = r->server->epoch }, got;
	struct plan_op op;

	assert_int_equal(state_begin(r->state, &r->err), ERR_OK);
	assert_int_equal(state_place_put(r->state, &at, &r->err), ERR_OK);
	assert_int_equal(state_commit(r->state, &r->err), ERR_OK);
	rig_write(r, "a", rig_bytes(r, 10, 1), 10);
	op = rig_push(r, "a");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	assert_int_equal(state_place_get(r->state, &got, &r->err), ERR_OK);
	assert_int_equal(got.clock, r->server->clock);
	r->server->clock++; /* somebody else's change */
	rig_write(r, "b", rig_bytes(r, 10, 2), 10);
	op = rig_push(r, "b");
	assert_int_equal(push(r, &op, 1), ERR_OK);
	at = got;
	assert_int_equal(state_place_get(r->state, &got, &r->err), ERR_OK);
	assert_int_equal(got.clock, at.clock);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------------------------- */

static void
test_one_bad_operation(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[300];
	char path[32];

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		snprintf(path, sizeof path, "f%zu", i);
		rig_write(r, path, rig_bytes(r, 100, i), 100);
		ops[i] = rig_push(r, path);
	}
	r->server->poison = "f137";
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_OK);
	assert_int_equal(ends.n, ARRAY_LEN(ops));
	for (size_t i = 0; i < ends.n; i++)
		assert_int_equal(ends.code[i], strcmp(ends.path[i], "f137") == 0 ? ERR_PATH_INVALID : ERR_OK);
	assert_true(r->server->commits < 25);
}

static void
test_files_that_cannot_be_read(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[5];

	rig_write(r, "gone", rig_bytes(r, 10, 1), 10);
	rig_write(r, "link", rig_bytes(r, 10, 1), 10);
	rig_write(r, "fifo", rig_bytes(r, 10, 1), 10);
	rig_write(r, "taken", rig_bytes(r, 10, 1), 10);
	rig_write(r, "good", rig_bytes(r, 10, 1), 10);
	ops[0] = rig_push(r, "gone");
	ops[1] = rig_push(r, "link");
	ops[2] = rig_push(r, "fifo");
	ops[3] = rig_push(r, "taken");
	ops[4] = rig_push(r, "good");
	unlinkat(r->tree->root, "gone", 0);
	unlinkat(r->tree->root, "link", 0);
	tree_symlink(r->tree, "link", "/etc/passwd");
	unlinkat(r->tree->root, "fifo", 0);
	assert_int_equal(mkfifoat(r->tree->root, "fifo", 0644), 0);
	mem_file_add(r->server, "taken", &(struct blocklist){ 0 });
	assert_int_equal(push(r, ops, 5), ERR_OK);
	assert_int_equal(ends.n, 5);
	assert_int_equal(ends.code[end_of("gone")], ERR_NOT_FOUND);
	assert_int_not_equal(ends.code[end_of("link")], ERR_OK);
	assert_int_equal(ends.code[end_of("fifo")], ERR_VERSION_CONFLICT);
	assert_int_equal(ends.code[end_of("taken")], ERR_NAME_EXISTS);
	assert_int_equal(ends.code[end_of("good")], ERR_OK);
}

struct writer {
	struct rig *r;
	bool stop;
};

static void *
keep_writing(void *arg)
{
	struct writer *w = arg;

	for (uint64_t i = 0; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED); i++) {
		int fd = openat(w->r->tree->root, "log", O_WRONLY | O_CLOEXEC);
		if (pwrite(fd, &i, sizeof i, (off_t)(i % 1000) * 4096) < 0)
			break;
		close(fd);
	}
	return NULL;
}

static void
test_busy_file(void **ctx)
{
	struct rig *r = *ctx;
	struct writer w = { .r = r };
	struct plan_op ops[2];
	pthread_t t;

	rig_write(r, "log", rig_bytes(r, 8 * MIB, 1), 8 * MIB);
	rig_write(r, "quiet", rig_bytes(r, 100, 2), 100);
	ops[0] = rig_push(r, "log");
	ops[1] = rig_push(r, "quiet");
	assert_int_equal(pthread_create(&t, NULL, keep_writing, &w), 0);
	assert_int_equal(push(r, ops, 2), ERR_OK);
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_int_equal(ends.code[end_of("log")], ERR_BUSY);
	assert_null(mem_file_at(r->server, "log"));
	assert_int_equal(ends.code[end_of("quiet")], ERR_OK);
}

static void
many_large(struct rig *r, struct plan_op *ops, size_t n)
{
	char path[32];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof path, "f%zu", i);
		rig_write(r, path, rig_bytes(r, 3000000, i), 3000000);
		ops[i] = rig_push(r, path);
	}
}

/* The line breaks for good: an error, no thread left, nothing told that did not happen. */
static void
test_line_breaks(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[20];

	many_large(r, ops, ARRAY_LEN(ops));
	r->server->put_fails = ERR_NETWORK;
	r->server->put_fails_at = 4;
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_NETWORK);
	for (size_t i = 0; i < ends.n; i++)
		assert_non_null(mem_file_at(r->server, ends.path[i]));
	r->server->put_fails = ERR_OK;
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		assert_non_null(mem_file_at(r->server, ops[i].path));
}

static void *
cancel_soon(void *arg)
{
	usleep(200000);
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
	return NULL;
}

static void
test_cancel(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[20];
	int64_t start;
	pthread_t t;

	many_large(r, ops, ARRAY_LEN(ops));
	r->server->delay_ms = 600000;
	start = clock_mono_ms();
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, &r->cancel), 0);
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_CANCELLED);
	assert_in_range(clock_mono_ms() - start, 150, 1500);
	pthread_join(t, NULL);
	assert_int_equal(ends.n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sizes), T(test_long_list), T(test_many_small_share_chunks), T(test_known_content_is_not_sent), T(test_touched_large_file),
		T(test_chunks_missing), T(test_chunks_missing_unnamed), T(test_order), T(test_moved_and_changed), T(test_place),
		T(test_one_bad_operation), T(test_files_that_cannot_be_read), T(test_busy_file), T(test_line_breaks), T(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
