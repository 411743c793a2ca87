/*
 * What has been fetched is put in place for real; the rest of the carry is played here.  Linked with --wrap of what makes names and what makes
 * them durable: when rows are written, every directory in which a name has come must have been flushed since (N1).  No file system of
 * today shows that by a cut, as the state's own flush on the same one takes the names along; none promises it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/carry_internal.h"
#include "tests/unit/client/tree.h"

#define MANY 40 /* beyond what is flushed one by one */

struct fix {
	struct tree *t;
	struct carry c;
	struct install *in;
	struct entry want[MANY];
	struct plan_op ops[MANY];
	struct pull_file files[MANY];
	char paths[MANY][32];
	struct err err;
};

/* Directories in which a name has come since they were flushed. */
static ino_t bare[MANY];
static size_t bare_n, put, recorded;
static bool flush_fails, early; /* rows were written before their names were durable */

int __real_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);

static ino_t
inode_of(int fd)
{
	struct stat st;

	assert_return_code(fstat(fd, &st), 0);
	return st.st_ino;
}

int
__wrap_renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	int rc = __real_renameat2(from, old, to, new, flags);

	assert_true(bare_n < MANY);
	if (rc == 0)
		bare[bare_n++] = inode_of(to);
	return rc;
}

int
__wrap_fsync(int fd)
{
	ino_t ino = inode_of(fd);
	size_t kept = 0;

	if (flush_fails && bare_n > 0) {
		errno = EIO;
		return -1;
	}
	for (size_t i = 0; i < bare_n; i++)
		if (bare[i] != ino)
			bare[kept++] = bare[i];
	bare_n = kept;
	return __real_fsync(fd);
}

int
__wrap_syncfs(int fd)
{
	if (flush_fails && bare_n > 0) {
		errno = EIO;
		return -1;
	}
	bare_n = 0;
	return __real_syncfs(fd);
}

/* ---- the rest of the carry --------------------------------------------------------------------------------------------------- */

void
record_put(struct carry *c, const struct entry *installed, const struct entry *remote)
{
	(void)c;
	assert_string_equal(installed->path, remote->path);
	put++;
}

err_code
write_records(struct carry *c, struct err *err)
{
	(void)c;
	(void)err;
	early |= bare_n > 0; /* not asserted on the installer's thread */
	recorded = put;
	return ERR_OK;
}

void
touch_parent(struct carry *c, const char *path)
{
	(void)c;
	(void)path;
}

err_code
carry_failed(struct carry *c, const char *path, err_code code, const struct err *why, struct err *err)
{
	(void)c;
	(void)path;
	*err = *why;
	return code;
}

/* ---- the tests ------------------------------------------------------------------------------------------------------------------ */

static int
setup(void **state)
{
	static struct sync_result result;
	static struct carry_env env = { .result = &result };
	struct fix *f = xcalloc(1, sizeof *f);

	bare_n = put = recorded = 0;
	flush_fails = early = false;
	tree_setup((void **)&f->t);
	f->c.env = &env;
	assert_int_equal(apply_open(f->t->root, 1, &f->c.apply, &f->err), ERR_OK);
	assert_int_equal(install_new(&f->c, &f->in, &f->err), ERR_OK);
	bare_n = 0;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	install_free(f->in);
	apply_free(f->c.apply);
	tree_teardown((void **)&f->t);
	free(f);
	return 0;
}

/* A file that has been fetched, in a directory of its own or in one that all share. */
static void
fetched(struct fix *f, size_t i, bool apart)
{
	char name[APPLY_TEMP_NAME_MAX], dir[16] = "d";
	int fd;

	if (apart)
		(void)snprintf(dir, sizeof dir, "d%zu", i);
	if (!tree_exists(f->t, dir))
		tree_mkdir(f->t, dir);
	(void)snprintf(f->paths[i], sizeof f->paths[i], "%s/f%zu", dir, i);
	f->want[i] = (struct entry){ .path = f->paths[i], .size = 1, .mode = 0644, .mtime_ns = 1, .content_known = true, .target = "" };
	f->ops[i] = (struct plan_op){ .act = ACT_PULL, .path = f->paths[i], .remote = &f->want[i] };
	f->files[i] = (struct pull_file){ .op = &f->ops[i], .want = &f->want[i] };
	assert_int_equal(install_open_temp(f->in, &f->files[i], &fd, name, &f->err), ERR_OK);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(install_fetched(f->in, &f->files[i], name, ERR_OK, NULL, &f->err), ERR_OK);
}

static void
names_are_durable(struct fix *f, size_t n, bool apart)
{
	for (size_t i = 0; i < n; i++)
		fetched(f, i, apart);
	assert_int_equal(install_finish(f->in, &f->err), ERR_OK);
	assert_int_equal(recorded, n);
	assert_false(early); /* N1 */
	for (size_t i = 0; i < n; i++)
		assert_true(tree_is(f->t, f->paths[i], "x"));
}

static void
one_file(void **state)
{
	names_are_durable(*state, 1, false);
}

static void
few_files(void **state)
{
	names_are_durable(*state, 5, true);
}

static void
many_in_one_directory(void **state)
{
	names_are_durable(*state, MANY, false);
}

static void
many_directories(void **state)
{
	names_are_durable(*state, MANY, true);
}

/* Names that could not be made durable are not recorded, and nothing goes on (I6). */
static void
names_not_flushed(void **state)
{
	struct fix *f = *state;

	flush_fails = true;
	fetched(f, 0, false);
	assert_int_equal(install_finish(f->in, &f->err), ERR_IO);
	assert_int_equal(recorded, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(one_file), T(few_files), T(many_in_one_directory), T(many_directories), T(names_not_flushed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
