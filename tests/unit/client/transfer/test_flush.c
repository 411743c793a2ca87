/*
 * What a push makes durable before it tells the server.  Linked with --wrap of what does that: it is counted, and fails on demand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"

#define DIRS 20 /* a first batch of so many is flushed as a whole */

static ino_t flushed[64];
static size_t flushed_n, all_n;
static bool fails;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);

int
__wrap_fsync(int fd)
{
	struct stat st;

	assert_return_code(fstat(fd, &st), 0);
	if (flushed_n < ARRAY_LEN(flushed))
		flushed[flushed_n++] = st.st_ino;
	if (fails) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int
__wrap_syncfs(int fd)
{
	(void)fd;
	all_n++;
	return 0;
}

/* Whether that file, or directory, has been flushed by itself. */
static bool
was_flushed(struct rig *r, const char *path)
{
	struct stat st;

	assert_return_code(fstatat(r->tree->root, path, &st, 0), errno);
	for (size_t i = 0; i < flushed_n; i++)
		if (flushed[i] == st.st_ino)
			return true;
	return false;
}

static err_code
on_done(void *ctx, const struct plan_op *op, err_code code, const struct err *why, const struct entry *entry, struct err *err)
{
	struct rig *r = ctx;

	(void)why;
	assert_int_equal(code, ERR_OK);
	return entry ? state_base_put(r->state, entry, err) : state_base_remove(r->state, op->base->path, err);
}

static err_code
push(struct rig *r, const struct plan_op *ops, size_t n)
{
	return push_run(&r->env, ops, n, on_done, &r->err);
}

static int
setup(void **ctx)
{
	flushed_n = all_n = 0;
	fails = false;
	return rig_setup(ctx);
}

static struct plan_op
file(struct rig *r, const char *path)
{
	rig_write(r, path, (const uint8_t *)path, strlen(path));
	return rig_push(r, path);
}

/* A few are flushed one by one: the bytes, and the directory of the name. */
static void
few(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[] = { file(r, "a"), file(r, "b") };

	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_OK);
	assert_int_equal(all_n, 0);
	assert_true(was_flushed(r, "a") && was_flushed(r, "b") && was_flushed(r, "."));
}

/*
 * The first batch, of directories, flushes the file system; what the scan had seen by then is durable.  A file that was written after it is
 * not, even where only its change time says so; nor is one of which the scan could not say when it changed.
 */
static void
covered(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[DIRS + 3];
	struct entry *unknown;
	char dir[8];

	for (size_t i = 0; i < DIRS; i++) {
		(void)snprintf(dir, sizeof dir, "d%02zu", i);
		tree_mkdir(r->tree, dir);
		ops[i] = rig_push(r, dir);
	}
	ops[DIRS] = file(r, "d00/edited");
	ops[DIRS + 1] = file(r, "d01/same");
	ops[DIRS + 2] = file(r, "d02/unknown");
	unknown = rig_scan(r, "d02/unknown");
	unknown->ctime_ns = 0;
	ops[DIRS + 2].local = unknown;
	do
		rig_write(r, "d00/edited", (const uint8_t *)"d00/EDITED", 10);
	while (rig_scan(r, "d00/edited")->ctime_ns <= ops[DIRS + 1].local->ctime_ns + RACY_NS);
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_OK);
	assert_int_equal(all_n, 1);
	assert_true(was_flushed(r, "d00/edited") && was_flushed(r, "d00"));
	assert_true(was_flushed(r, "d02/unknown"));
	assert_false(was_flushed(r, "d01/same") || was_flushed(r, "d01"));
}

/* What could not be flushed is not told (I6). */
static void
failed(void **ctx)
{
	struct rig *r = *ctx;
	struct plan_op ops[] = { file(r, "a") };

	fails = true;
	assert_int_equal(push(r, ops, ARRAY_LEN(ops)), ERR_IO);
	assert_null(mem_file_at(r->server, "a"));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(few), T(covered), T(failed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
