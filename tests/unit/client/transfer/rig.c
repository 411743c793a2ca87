#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rig.h"

#include <unistd.h>

#include "base/pathat.h"

int
rig_setup(void **ctx)
{
	struct rig *r = xcalloc(1, sizeof *r);
	void *tree;

	assert_int_equal(tree_setup(&tree), 0);
	r->tree = tree;
	assert_int_equal(state_open(r->tree->top, &r->state, &r->err), ERR_OK);
	r->server = remote_mem_new();
	r->server->cancel = &r->cancel;
	r->a = arena_new(GIB);
	r->builder = chunk_builder_new();
	r->progress = transfer_progress_new();
	r->env = (struct transfer_env){ .root = r->tree->root, .remote = &r->server->base, .state = r->state, .cancel = &r->cancel,
		.progress = r->progress, .ctx = r };
	*ctx = r;
	return 0;
}

int
rig_teardown(void **ctx)
{
	struct rig *r = *ctx;
	void *tree = r->tree;

	state_free(r->state);
	remote_mem_free(r->server);
	transfer_progress_free(r->progress);
	chunk_builder_free(r->builder);
	arena_free(r->a);
	assert_int_equal(tree_teardown(&tree), 0);
	free(r);
	return 0;
}

uint8_t *
rig_bytes(struct rig *r, size_t n, uint64_t seed)
{
	uint8_t *p = arena_must(r->a, n + 8);
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < n; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		put_u64le(p + i, x);
	}
	return p;
}

void
rig_write(struct rig *r, const char *path, const uint8_t *p, size_t len)
{
	int fd = openat(r->tree->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, p, len, &r->err), ERR_OK);
	close(fd);
}

struct entry *
rig_scan(struct rig *r, const char *path)
{
	struct entry *e = arena_must(r->a, sizeof *e);
	char target[256];
	size_t len = 0;
	struct stat st;

	assert_int_equal(pathat_stat(r->tree->root, path, &st, &r->err), ERR_OK);
	*e = (struct entry){ .path = arena_strdup(r->a, path), .target = "", .mode = st.st_mode & 0777, .mtime_ns = stat_mtime_ns(&st),
		.dev = st.st_dev, .ino = st.st_ino, .ctime_ns = stat_ctime_ns(&st) };
	e->kind = S_ISDIR(st.st_mode) ? ENTRY_DIR : S_ISLNK(st.st_mode) ? ENTRY_LINK : ENTRY_FILE;
	e->content_known = e->kind != ENTRY_FILE;
	if (e->kind == ENTRY_FILE)
		e->size = st.st_size;
	if (e->kind == ENTRY_LINK) {
		assert_int_equal(pathat_readlink(r->tree->root, path, target, sizeof target, &len, &r->err), ERR_OK);
		e->target = arena_strndup(r->a, target, len);
		e->content = content_hash_link(target, len);
	}
	return e;
}

struct plan_op
rig_push(struct rig *r, const char *path)
{
	struct mem_file *f = mem_file_at(r->server, path);
	struct plan_op op = { .act = ACT_PUSH, .path = arena_strdup(r->a, path), .local = rig_scan(r, path) };

	if (f)
		op.base = op.remote = arena_memdup(r->a, &f->e, sizeof f->e);
	return op;
}
