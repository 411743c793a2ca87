/* What the kernel leaves to a thread that is confined to a folder.  Each test is a process of its own, since there is no way back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "base/thread.h"
#include "client/confine.h"

/** A folder, and beside it what is none of its business. */
struct fix {
	char dir[64];
	int at, root;
};

static void
file_new(int at, const char *path)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int
setup(void **state)
{
	struct fix *f = xcalloc(1, sizeof *f);

	snprintf(f->dir, sizeof f->dir, "/tmp/dray-confine-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < 4; i++)
		assert_return_code(mkdirat(f->at, (const char *const[]){ "folder", "folder/a", "folder/b", "other" }[i], 0700), errno);
	file_new(f->at, "folder/a/file");
	file_new(f->at, "other/file");
	f->root = openat(f->at, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "folder/a/file", "folder/b/file", "folder/b/made", "other/file" };
	static const char *const dirs[] = { "folder/a", "folder/b", "folder", "other" };
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)!unlinkat(f->at, names[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		assert_return_code(unlinkat(f->at, dirs[i], AT_REMOVEDIR), errno);
	close(f->root);
	close(f->at);
	assert_return_code(rmdir(f->dir), errno);
	free(f);
	return 0;
}

/* The number of the first look that failed, 0: none. */
static int
confined(const struct fix *f, int (*look)(const struct fix *f))
{
	struct err err;
	int status;
	pid_t pid;

	if (confine_check(&err)) {
		print_message("%s\n", err.msg);
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(confine_to(f->root, &err) ? 100 : look(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool
opens(int at, const char *path, int flags)
{
	int fd = openat(at, path, flags | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int
works_inside(const struct fix *f)
{
	if (!opens(f->root, "a/file", O_RDWR | O_TRUNC) || !opens(f->root, "a", O_RDONLY | O_DIRECTORY))
		return 1;
	if (renameat(f->root, "a/file", f->root, "b/file"))
		return 2;
	if (!opens(f->root, "b/made", O_WRONLY | O_CREAT) || renameat2(f->root, "b/file", f->root, "b/made", RENAME_EXCHANGE))
		return 3;
	if (symlinkat("x", f->root, "a/link") || unlinkat(f->root, "a/link", 0) || mkdirat(f->root, "a/dir", 0700) ||
	    unlinkat(f->root, "a/dir", AT_REMOVEDIR))
		return 4;
	if (!opens(AT_FDCWD, "/etc/passwd", O_RDONLY) || !opens(AT_FDCWD, "/dev/null", O_RDWR) || !opens(AT_FDCWD, "/dev/urandom", O_RDONLY))
		return 5;
	return 0;
}

static void
test_inside(void **state)
{
	assert_int_equal(confined(*state, works_inside), 0);
}

/* True: it was refused, and as it should be. */
static bool
refused(int result)
{
	return result < 0 && (errno == EACCES || errno == EXDEV);
}

static int
fails_outside(const struct fix *f)
{
	if (opens(f->at, "other/file", O_RDONLY) || opens(f->at, "other", O_RDONLY | O_DIRECTORY) || opens(f->at, "other/file", O_WRONLY))
		return 1;
	if (opens(f->at, "other/new", O_WRONLY | O_CREAT) || !refused(mkdirat(f->at, "other/new", 0700)) || !refused(symlinkat("x", f->at, "other/new")))
		return 2;
	if (!refused(unlinkat(f->at, "other/file", 0)) || !refused(renameat(f->at, "other/file", f->at, "folder/a/taken")))
		return 3;
	if (!refused(renameat(f->at, "folder/a/file", f->at, "other/given")) || !refused(linkat(f->at, "folder/a/file", f->at, "other/given", 0)))
		return 4;
	return 0;
}

static void
test_outside(void **state)
{
	assert_int_equal(confined(*state, fails_outside), 0);
}

static int
makes_no_others(const struct fix *f)
{
	static char program[] = "/bin/true";

	if (!refused(mkfifoat(f->root, "a/pipe", 0600)) || !refused(mknodat(f->root, "a/socket", S_IFSOCK | 0600, 0)))
		return 1;
	if (!refused(execv(program, (char *[]){ program, NULL })))
		return 2;
	return 0;
}

static void
test_what_nobody_needs(void **state)
{
	assert_int_equal(confined(*state, makes_no_others), 0);
}

/* Of a thread that is confined the others know nothing: what the agent relies on. */
static void *
confine_here(void *arg)
{
	const struct fix *f = arg;
	struct err err;

	return confine_to(f->root, &err) == ERR_OK && !opens(f->at, "other/file", O_RDONLY) ? arg : NULL;
}

static void
test_one_thread(void **state)
{
	struct fix *f = *state;
	struct err err;
	pthread_t thread;
	void *held;

	if (confine_check(&err))
		skip();
	for (int pass = 0; pass < 40; pass++) { /* more than the kernel nests */
		assert_int_equal(thread_start("confined", confine_here, f, &thread, &err), ERR_OK);
		pthread_join(thread, &held);
		assert_ptr_equal(held, f);
	}
	assert_true(opens(f->at, "other/file", O_RDWR));
}

static void
test_without(void **state)
{
	const struct fix *f = *state;
	struct err err;

	if (confine_to(f->root, &err) == ERR_OK)
		fail_msg("it was confined");
	assert_int_equal(err.code, ERR_NOT_IMPLEMENTED);
	assert_true(opens(f->at, "other/file", O_RDWR));
}

int
main(void)
{
	const struct CMUnitTest with[] = {
		cmocka_unit_test_setup_teardown(test_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_nobody_needs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_thread, setup, teardown),
	};
	const struct CMUnitTest without[] = { cmocka_unit_test_setup_teardown(test_without, setup, teardown) };

	return getenv("DRAY_FAULT") ? cmocka_run_group_tests(without, NULL, NULL) : cmocka_run_group_tests(with, NULL, NULL);
}
