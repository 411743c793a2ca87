#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pathat.h"

int
tree_setup(void **state)
{
	struct tree *t = xcalloc(1, sizeof *t);

	snprintf(t->top, sizeof t->top, "/tmp/dray-test-XXXXXX");
	assert_non_null(mkdtemp(t->top));
	assert_return_code(chmod(t->top, 0755), errno);
	t->top_fd = open(t->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(t->top_fd, errno);
	assert_return_code(mkdirat(t->top_fd, "root", 0755), errno);
	assert_return_code(mkdirat(t->top_fd, "canary", 0755), errno);
	t->root = openat(t->top_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(t->root, errno);
	*state = t;
	return 0;
}

/* Depth first without recursion and without long paths, since some tests make trees that are deeper than either allows. */
static void
remove_all(int fd)
{
	for (;;) {
		int dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = fdopendir(dir);
		char sub[1024] = "";

		for (struct dirent *e = readdir(d); e; e = readdir(d)) {
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			if (unlinkat(fd, e->d_name, 0) == 0 || unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0)
				continue;
			snprintf(sub, sizeof sub, "%s", e->d_name);
		}
		closedir(d);
		if (!sub[0])
			return;
		/* Lift what is in the subdirectory up to here, one level at a time. */
		int low = openat(fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *l = fdopendir(dup(low));
		for (struct dirent *e = readdir(l); e; e = readdir(l)) {
			char name[32];
			static unsigned long n;

			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			snprintf(name, sizeof name, "lifted-%lu", n++);
			assert_return_code(renameat(low, e->d_name, fd, name), errno);
		}
		closedir(l);
		close(low);
	}
}

int
tree_teardown(void **state)
{
	struct tree *t = *state;

	remove_all(t->top_fd);
	close(t->root);
	close(t->top_fd);
	rmdir(t->top);
	free(t);
	return 0;
}

void
tree_mkdir(struct tree *t, const char *path)
{
	assert_return_code(mkdirat(t->root, path, 0755), errno);
}

void
tree_write(struct tree *t, const char *path, const char *text)
{
	int fd = openat(t->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_return_code(fd, errno);
	assert_int_equal(write_full(fd, text, strlen(text), NULL), ERR_OK);
	close(fd);
}

void
tree_symlink(struct tree *t, const char *path, const char *target)
{
	assert_return_code(symlinkat(target, t->root, path), errno);
}

void
tree_time(struct tree *t, const char *path, int64_t mtime_ns)
{
	struct timespec ts[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = mtime_ns / 1000000000, .tv_nsec = mtime_ns % 1000000000 } };

	assert_return_code(utimensat(t->root, path, ts, AT_SYMLINK_NOFOLLOW), errno);
}

bool
tree_exists(struct tree *t, const char *path)
{
	struct stat st;

	return fstatat(t->root, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool
tree_is(struct tree *t, const char *path, const char *text)
{
	char buf[4096];
	size_t got = 0;
	int fd = openat(t->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return false;
	assert_int_equal(read_full(fd, buf, sizeof buf, &got, NULL), ERR_OK);
	close(fd);
	return got == strlen(text) && memcmp(buf, text, got) == 0;
}

void
tree_clear(struct tree *t, const char *path)
{
	int fd = openat(t->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_return_code(fd, errno);
	remove_all(fd);
	close(fd);
}

bool
tree_holds(struct tree *t, const char *path, const char *text)
{
	int fd = openat(t->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;
	bool held = false;

	if (fd < 0)
		return false;
	d = fdopendir(fd);
	for (struct dirent *e = readdir(d); e && !held; e = readdir(d)) {
		char file[512];

		snprintf(file, sizeof file, "%s/%s", path, e->d_name);
		held = e->d_type == DT_REG && tree_is(t, file, text);
	}
	closedir(d);
	return held;
}

size_t
tree_count(struct tree *t, const char *path)
{
	int fd = openat(t->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;
	size_t n = 0;

	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}
