#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "base/limits.h"
#include "base/pathat.h"

/*
 * Each test gets a fresh folder:  in/ is the root; out/secret stands for the rest of the world;
 * in/dir/file is there; in/link -> ../out, in/abs -> /, in/inner -> dir, in/dangling -> nowhere.
 */
static char top[64];
static int root, outside;
static struct err err;

#define SECRET_MODE 0640
#define SECRET_TIME 1000000000

static void
make_file(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int
set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct timespec ts[2] = { { .tv_sec = SECRET_TIME }, { .tv_sec = SECRET_TIME } };
	int dir;

	(void)state;
	umask(022);
	snprintf(top, sizeof top, "%s/dray-test-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(top));
	assert_int_equal(chmod(top, 0755), 0);
	dir = open(top, O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(dir, "in", 0755), 0);
	assert_int_equal(mkdirat(dir, "out", 0755), 0);
	root = openat(dir, "in", O_DIRECTORY | O_CLOEXEC);
	outside = openat(dir, "out", O_DIRECTORY | O_CLOEXEC);
	close(dir);
	make_file(outside, "secret", SECRET_MODE);
	assert_int_equal(utimensat(outside, "secret", ts, 0), 0);
	assert_int_equal(mkdirat(root, "dir", 0755), 0);
	make_file(root, "dir/file", 0644);
	assert_int_equal(symlinkat("../out", root, "link"), 0);
	assert_int_equal(symlinkat("../out/secret", root, "linkfile"), 0);
	assert_int_equal(symlinkat("/", root, "abs"), 0);
	assert_int_equal(symlinkat("dir", root, "inner"), 0);
	assert_int_equal(symlinkat("nowhere", root, "dangling"), 0);
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	close(root);
	close(outside);
	snprintf(command, sizeof command, "rm -rf '%s'", top);
	return system(command) == 0 ? 0 : -1;
}

static void
assert_outside_untouched(void)
{
	struct stat st;

	assert_int_equal(fstatat(outside, "secret", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, SECRET_MODE);
	assert_int_equal(st.st_mtim.tv_sec, SECRET_TIME);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(fstat(outside, &st), 0);
	assert_int_equal(st.st_nlink, 2);
}

static void
opens_beneath(void **state)
{
	struct stat a, b;
	int fd;

	(void)state;
	assert_ok(pathat_open(root, "dir/file", O_RDWR, 0, &fd, &err));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_ok(pathat_open(root, "dir/new", O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err));
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(a.st_mode & 07777, 0600);
	close(fd);
	assert_code(pathat_open(root, "dir/new", O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), ERR_EXISTS);
	assert_int_equal(fd, -1);
	assert_ok(pathat_open(root, "dir", O_RDWR | O_TMPFILE, 0600, &fd, &err));
	close(fd);
	assert_ok(pathat_open(root, "", O_RDONLY | O_DIRECTORY, 0, &fd, &err));
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(root, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	assert_code(pathat_open(root, "missing", O_RDONLY, 0, &fd, &err), ERR_NOT_FOUND);
	assert_code(pathat_open(root, "missing/too", O_RDONLY, 0, &fd, &err), ERR_NOT_FOUND);
	assert_code(pathat_open(root, "dir/file/x", O_RDONLY, 0, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
	assert_int_equal(err.sys, ENOTDIR);
	assert_code(pathat_open(-1, "dir", O_RDONLY, 0, &fd, &err), ERR_IO);
}

/* Every call, on every way out. */
static void
no_way_leads_out(void **state)
{
	static const char *const WAY[] = {
		"../out/secret", "..", "dir/..", "dir/../../out/secret", "dir/../dir/file", "/", "/etc/passwd", "link/secret",
		"link/../out/secret", "abs/etc/passwd", "inner/file", "dir/file/..", "./../out/secret", "dangling/x", "//etc/passwd",
		"linkfile/x",
	};
	char target[64];
	struct stat st;
	const char *name;
	size_t len;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(WAY); i++) {
		const char *w = WAY[i];

		print_message("%s\n", w);
		assert_code(pathat_open(root, w, O_RDONLY, 0, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_int_equal(fd, -1);
		assert_code(pathat_open(root, w, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_open(root, w, O_PATH, 0, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_parent(root, w, &fd, &name, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_int_equal(fd, -1);
		assert_code(pathat_stat(root, w, &st, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_mkdir(root, w, 0755, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_unlink(root, w, 0, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_unlink(root, w, AT_REMOVEDIR, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_symlink(root, w, "x", &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_readlink(root, w, target, sizeof target, &len, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_rename(root, "dir/file", root, w, 0, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_rename(root, w, root, "stolen", 0, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_chmod(root, w, 0777, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_mtime(root, w, 0, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_fsync_dir(root, w, &err), ERR_PARENT_NOT_DIRECTORY);
	}
	assert_outside_untouched();
}

static void
dots_in_names_are_names(void **state)
{
	int fd;

	(void)state;
	assert_ok(pathat_mkdir(root, "...", 0755, &err));
	assert_ok(pathat_open(root, ".../..x", O_WRONLY | O_CREAT, 0600, &fd, &err));
	close(fd);
	assert_ok(pathat_open(root, ".../x..", O_WRONLY | O_CREAT, 0600, &fd, &err));
	close(fd);
}

/* The last component is never followed, also where the symlink stays inside. */
static void
last_component_is_not_followed(void **state)
{
	static const char *const LINK[] = { "link", "linkfile", "abs", "inner", "dangling" };
	struct stat st;
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(LINK); i++) {
		assert_code(pathat_open(root, LINK[i], O_RDONLY, 0, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_open(root, LINK[i], O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_code(pathat_fsync_dir(root, LINK[i], &err), ERR_PARENT_NOT_DIRECTORY);
		assert_ok(pathat_stat(root, LINK[i], &st, &err));
		assert_true(S_ISLNK(st.st_mode));
		assert_code(pathat_chmod(root, LINK[i], 0777, &err), ERR_PARENT_NOT_DIRECTORY);
		assert_ok(pathat_mtime(root, LINK[i], INT64_C(5000000000), &err)); /* the link's own time */
		assert_ok(pathat_stat(root, LINK[i], &st, &err));
		assert_int_equal(st.st_mtim.tv_sec, 5);
		assert_ok(pathat_rename(root, LINK[i], root, "moved", RENAME_NOREPLACE, &err));
		assert_ok(pathat_unlink(root, "moved", 0, &err));
	}
	assert_int_equal(faccessat(root, "nowhere", F_OK, 0), -1);
	assert_outside_untouched();
	assert_ok(pathat_stat(root, "dir", &st, &err));
	assert_int_equal(st.st_mode & 07777, 0755);
}

static void
parent_and_name(void **state)
{
	const char *path = "dir/file", *name;
	struct stat a, b;
	int fd;

	(void)state;
	assert_ok(pathat_parent(root, path, &fd, &name, &err));
	assert_ptr_equal(name, path + 4);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstatat(root, "dir", &b, 0), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	assert_ok(pathat_parent(root, "top", &fd, &name, &err)); /* it need not exist */
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(root, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	assert_code(pathat_parent(root, "", &fd, &name, &err), ERR_PATH_INVALID);
	assert_code(pathat_parent(root, "dir/", &fd, &name, &err), ERR_PATH_INVALID);
	assert_code(pathat_parent(root, "dir/.", &fd, &name, &err), ERR_PATH_INVALID);
	assert_code(pathat_parent(root, "missing/x", &fd, &name, &err), ERR_NOT_FOUND);
}

static void
make_and_remove(void **state)
{
	struct stat st;

	(void)state;
	assert_ok(pathat_mkdir(root, "dir/sub", 0700, &err));
	assert_code(pathat_mkdir(root, "dir/sub", 0700, &err), ERR_EXISTS);
	assert_code(pathat_mkdir(root, "missing/sub", 0700, &err), ERR_NOT_FOUND);
	assert_code(pathat_unlink(root, "dir", AT_REMOVEDIR, &err), ERR_NOT_EMPTY);
	assert_ok(pathat_unlink(root, "dir/sub", AT_REMOVEDIR, &err));
	assert_code(pathat_unlink(root, "dir/sub", AT_REMOVEDIR, &err), ERR_NOT_FOUND);
	assert_ok(pathat_unlink(root, "dir/file", 0, &err));
	assert_code(pathat_stat(root, "dir/file", &st, &err), ERR_NOT_FOUND);
	assert_ok(pathat_stat(root, "", &st, &err));
	assert_true(S_ISDIR(st.st_mode));
	assert_ok(pathat_fsync_dir(root, "dir", &err));
	assert_ok(pathat_fsync_dir(root, "", &err));
	assert_ok(pathat_fsync_name(root, &err));
	assert_code(pathat_fsync_dir(root, "missing", &err), ERR_NOT_FOUND);
}

static void
symlinks_keep_their_target(void **state)
{
	AUTO(freep) char *longest = xmalloc(LINK_TARGET_MAX + 1);
	AUTO(freep) char *buf = xmalloc(LINK_TARGET_MAX);
	size_t len;

	(void)state;
	assert_ok(pathat_symlink(root, "dir/l", "/any/../target", &err));
	assert_code(pathat_symlink(root, "dir/l", "x", &err), ERR_EXISTS);
	assert_ok(pathat_readlink(root, "dir/l", buf, 14, &len, &err)); /* an exact fit */
	assert_int_equal(len, 14);
	assert_memory_equal(buf, "/any/../target", 14);
	assert_code(pathat_readlink(root, "dir/l", buf, 13, &len, &err), ERR_PATH_TOO_LONG);
	assert_code(pathat_readlink(root, "dir/file", buf, 14, &len, &err), ERR_IO);
	assert_int_equal(err.sys, EINVAL);
	memset(longest, 'x', LINK_TARGET_MAX);
	longest[LINK_TARGET_MAX] = '\0';
	if (symlinkat(longest, root, "long") != 0)
		skip(); /* some file systems take less: nothing to read then */
	assert_ok(pathat_readlink(root, "long", buf, LINK_TARGET_MAX, &len, &err));
	assert_int_equal(len, LINK_TARGET_MAX);
	assert_memory_equal(buf, longest, len);
}

static void
renames(void **state)
{
	struct stat a, b;

	(void)state;
	make_file(root, "other", 0600);
	assert_ok(pathat_stat(root, "other", &a, &err));
	assert_code(pathat_rename(root, "other", root, "dir/file", RENAME_NOREPLACE, &err), ERR_EXISTS);
	assert_ok(pathat_rename(root, "other", root, "dir/file", RENAME_EXCHANGE, &err));
	assert_ok(pathat_stat(root, "dir/file", &b, &err));
	assert_int_equal(a.st_ino, b.st_ino);
	assert_ok(pathat_stat(root, "other", &b, &err));
	assert_int_not_equal(a.st_ino, b.st_ino);
	assert_ok(pathat_rename(root, "other", root, "dir/file", 0, &err));
	assert_code(pathat_stat(root, "other", &a, &err), ERR_NOT_FOUND);
	assert_code(pathat_rename(root, "missing", root, "x", 0, &err), ERR_NOT_FOUND);
	assert_code(pathat_rename(root, "dir/file", root, "missing/x", 0, &err), ERR_NOT_FOUND);
	assert_code(pathat_rename(root, "dir", root, "dir/into", 0, &err), ERR_IO);
	assert_int_equal(err.sys, EINVAL);
	assert_ok(pathat_rename(root, "dir/file", outside, "moved", RENAME_NOREPLACE, &err)); /* another root, by its descriptor */
	assert_int_equal(unlinkat(outside, "moved", 0), 0);
}

static void
modes(void **state)
{
	static const mode_t MODE[] = { 0, 0644, 0600, 0, 0777, 01755, 0 };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(MODE); i++) { /* from 0000 too: the owner cannot open that for reading */
		assert_ok(pathat_chmod(root, "dir/file", MODE[i], &err));
		assert_ok(pathat_stat(root, "dir/file", &st, &err));
		assert_int_equal(st.st_mode & 07777, MODE[i]);
	}
	assert_ok(pathat_chmod(root, "dir", 0700, &err));
	assert_ok(pathat_stat(root, "dir", &st, &err));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_ok(pathat_chmod(root, "", 0711, &err));
	assert_int_equal(fstat(root, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_code(pathat_chmod(root, "missing", 0700, &err), ERR_NOT_FOUND);
	assert_int_equal(mknodat(root, "pipe", S_IFIFO | 0600, 0), 0);
	assert_ok(pathat_chmod(root, "pipe", 0640, &err)); /* does not wait for a writer */
}

static void
set_and_read(const char *path, int64_t ns)
{
	struct stat before, st;

	assert_ok(pathat_stat(root, path, &before, &err));
	assert_ok(pathat_mtime(root, path, ns, &err));
	assert_ok(pathat_stat(root, path, &st, &err));
	if (stat_mtime_ns(&st) != ns)
		fail_msg("%s: %lld, not %lld", path, (long long)stat_mtime_ns(&st), (long long)ns);
	assert_int_equal(st.st_atim.tv_sec, before.st_atim.tv_sec);
	assert_int_equal(st.st_atim.tv_nsec, before.st_atim.tv_nsec);
	assert_true(stat_ctime_ns(&st) > INT64_C(1577836800000000000)); /* the change itself is now, not then */
}

static void
times(void **state)
{
	static const int64_t NS[] = {
		0, 1, 999999999, 1000000000, -1, -999999999, -1000000000, -1000000001, INT64_C(1795356000123456789),
		INT64_C(-2147483648000000000), INT64_C(-1500000000500000000),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(NS); i++) {
		set_and_read("dir/file", NS[i]);
		set_and_read("dir", NS[i]);
		set_and_read("link", NS[i]);
		set_and_read("", NS[i]);
	}
	assert_code(pathat_mtime(root, "missing", 0, &err), ERR_NOT_FOUND);
	assert_outside_untouched();
}

static void
times_beyond_64_bits_saturate(void **state)
{
	struct stat st = { .st_mtim = { .tv_sec = INT64_C(9223372036), .tv_nsec = 854775807 } };

	(void)state;
	assert_true(stat_mtime_ns(&st) == INT64_MAX);
	st.st_mtim.tv_nsec++;
	assert_true(stat_mtime_ns(&st) == INT64_MAX);
	st.st_mtim.tv_sec = INT64_C(15032385535); /* the last that ext4 holds, in 2446 */
	assert_true(stat_mtime_ns(&st) == INT64_MAX);
	st.st_ctim = (struct timespec){ .tv_sec = -INT64_C(9223372036), .tv_nsec = 5 };
	assert_true(stat_ctime_ns(&st) == -INT64_C(9223372036000000000) + 5);
	st.st_ctim.tv_sec = -INT64_C(62135596800); /* year 1 */
	assert_true(stat_ctime_ns(&st) == INT64_MIN);
}

/* A path as long as the model allows is one byte longer than the kernel takes at once. */
static void
paths_of_the_greatest_length(void **state)
{
	char path[PATH_LEN_MAX + 2];
	struct stat st;
	size_t len = 0;
	int fd;

	(void)state;
	while (PATH_LEN_MAX - len > 256) { /* leaves 256 bytes: "a/" and a name of 254 */
		memset(path + len, 'd', NAME_LEN_MAX);
		path[len + NAME_LEN_MAX] = '\0';
		assert_ok(pathat_mkdir(root, path, 0755, &err));
		len += NAME_LEN_MAX;
		path[len++] = '/';
	}
	assert_int_equal(PATH_LEN_MAX - len, 256);
	memcpy(path + len, "a", 2);
	assert_ok(pathat_mkdir(root, path, 0755, &err));
	path[len + 1] = '/';
	for (size_t n = 252; n <= 255; n++) {
		memset(path + len + 2, 'f', n);
		path[len + 2 + n] = '\0';
		if (len + 2 + n > PATH_LEN_MAX) {
			assert_code(pathat_open(root, path, O_WRONLY | O_CREAT, 0600, &fd, &err), ERR_IO);
			assert_int_equal(err.sys, ENAMETOOLONG);
			continue;
		}
		assert_ok(pathat_open(root, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err));
		close(fd);
		assert_ok(pathat_stat(root, path, &st, &err));
		assert_ok(pathat_chmod(root, path, 0640, &err));
		assert_ok(pathat_mtime(root, path, 7, &err));
		assert_ok(pathat_unlink(root, path, 0, &err));
	}
}

static void
a_component_too_long_is_refused(void **state)
{
	char path[PATH_LEN_MAX + 1];
	struct stat st;

	(void)state;
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	assert_code(pathat_stat(root, path, &st, &err), ERR_IO); /* 4,096 bytes without a slash */
	path[NAME_LEN_MAX + 1] = '\0';
	assert_code(pathat_stat(root, path, &st, &err), ERR_IO);
	path[NAME_LEN_MAX] = '\0';
	assert_code(pathat_stat(root, path, &st, &err), ERR_NOT_FOUND);
}

/* Runs in a child that is nobody in particular: what it may not do is DENIED, and its own mode 0000 file it can chmod. */
static int
as_nobody(void)
{
	struct stat st;

	if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
		return 1;
	if (pathat_mkdir(root, "closed/sub", 0755, &err) != ERR_DENIED || err.sys != EACCES)
		return 2;
	if (pathat_chmod(root, "open/mine", 0, &err) || pathat_chmod(root, "open/mine", 0604, &err))
		return 3;
	if (pathat_stat(root, "open/mine", &st, &err) || (st.st_mode & 07777) != 0604)
		return 4;
	return 0;
}

static void
without_privileges(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(mkdirat(root, "closed", 0555), 0);
	assert_int_equal(mkdirat(root, "open", 0755), 0);
	make_file(root, "open/mine", 0644);
	if (geteuid() == 0)
		assert_int_equal(fchownat(root, "open/mine", 65534, 65534, 0), 0);
	pid = fork();
	if (pid == 0)
		_exit(as_nobody());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

struct swapper {
	const char *a, *b;
	atomic_bool stop;
};

static void *
swap(void *arg)
{
	struct swapper *s = arg;

	while (!s->stop)
		renameat2(root, s->a, root, s->b, RENAME_EXCHANGE);
	return NULL;
}

/* A folder and a symlink to the world outside change places all the time: files are made inside, or not at all. */
static void
swapped_parent_never_leads_out(void **state)
{
	struct swapper s = { .a = "dir", .b = "link" };
	int made = 0, refused = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, swap, &s), 0);
	for (int i = 0; i < 100000 && (made < 500 || refused < 500); i++) {
		char path[32];
		int fd;
		err_code rc;

		snprintf(path, sizeof path, "dir/%d", i);
		rc = pathat_open(root, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err);
		if (!rc) {
			close(fd);
			made++;
		} else {
			assert_int_equal(rc, ERR_PARENT_NOT_DIRECTORY);
			refused++;
		}
		if (pathat_mkdir(root, "dir/sub", 0700, &err) == ERR_OK)
			(void)!pathat_unlink(root, "dir/sub", AT_REMOVEDIR, &err);
		(void)!pathat_chmod(root, "dir/secret", 0777, &err);
		(void)!pathat_mtime(root, "dir/secret", 0, &err);
		(void)!pathat_unlink(root, "dir/secret", 0, &err);
	}
	s.stop = true;
	pthread_join(t, NULL);
	assert_true(made > 0 && refused > 0); /* both sides of the race were seen */
	assert_outside_untouched();
}

/* The same with the file itself: what the symlink names keeps its mode and time. */
static void
swapped_file_never_leads_out(void **state)
{
	struct swapper s = { .a = "dir/file", .b = "linkfile" };
	int changed = 0, refused = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, swap, &s), 0);
	for (int i = 0; i < 100000 && (changed < 500 || refused < 500); i++) {
		err_code rc = pathat_chmod(root, "dir/file", 0666, &err);

		assert_true(rc == ERR_OK || rc == ERR_PARENT_NOT_DIRECTORY);
		changed += rc == ERR_OK;
		refused += rc != ERR_OK;
		assert_ok(pathat_mtime(root, "dir/file", 0, &err));
	}
	s.stop = true;
	pthread_join(t, NULL);
	assert_true(changed > 0 && refused > 0);
	assert_outside_untouched();
}

#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_TREE(opens_beneath),
		IN_TREE(no_way_leads_out),
		IN_TREE(dots_in_names_are_names),
		IN_TREE(last_component_is_not_followed),
		IN_TREE(parent_and_name),
		IN_TREE(make_and_remove),
		IN_TREE(symlinks_keep_their_target),
		IN_TREE(renames),
		IN_TREE(modes),
		IN_TREE(times),
		cmocka_unit_test(times_beyond_64_bits_saturate),
		IN_TREE(paths_of_the_greatest_length),
		IN_TREE(a_component_too_long_is_refused),
		IN_TREE(without_privileges),
		IN_TREE(swapped_parent_never_leads_out),
		IN_TREE(swapped_file_never_leads_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
