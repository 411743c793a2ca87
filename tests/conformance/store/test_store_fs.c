/*
 * The local directory on a disk that fails, fills up and loses its process: the order of fsyncs, fail-stop, free space, and what a
 * crash leaves.  For each promise the mutant that breaks it is switched on too, to show that the test would notice.
 */

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/rng.h"
#include "disk.h"

struct fixture {
	char dir[SCRATCH_MAX];
	struct store *s;
	struct store_key key;
};

static void
open_store(struct fixture *f, uint64_t reserve)
{
	store_free(f->s);
	f->s = NULL;
	assert_int_equal(store_fs_open(f->dir, reserve, &f->s, NULL), ERR_OK);
	disk_reset();
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	scratch_make(f->dir);
	f->key = key_no(1, 1);
	open_store(f, 0);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	unsetenv("DRAY_FAULT");
	disk_reset();
	store_free(f->s);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static err_code
put(struct fixture *f)
{
	return store_put(f->s, &f->key, (const uint8_t *)"bytes", 5, NULL);
}

static bool
is_there(struct fixture *f)
{
	uint8_t buf[6];
	size_t got = 0;

	return store_read(f->s, &f->key, 0, buf, sizeof buf, &got, NULL) == ERR_OK && got == 5 && memcmp(buf, "bytes", 5) == 0;
}

static void
assert_record(const char *want)
{
	char record[DISK_RECORD_MAX];

	assert_string_equal(disk_record(record), want);
	disk_reset();
}

#define PATH_SIZE (SCRATCH_MAX * 2)

/* The path of ${f->key}'s file. */
static const char *
object_path(struct fixture *f, char out[static PATH_SIZE])
{
	char project[ID_HEX_LEN + 1], hash[HASH_HEX_LEN + 1];

	id_hex(&f->key.project, project);
	hash_hex(&f->key.hash, hash);
	snprintf(out, PATH_SIZE, "%s/chunks/%.2s/%s-%s", f->dir, hash, project, hash);
	return out;
}

static const char *
path_in(struct fixture *f, const char *rest, char out[static PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/%s", f->dir, rest);
	return out;
}

static void
create(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void
sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* ---- the order of things (I1; M1, M2, M4) ----------------------------------------------------------------------------------- */

static void
a_put_is_bytes_then_name_then_entry(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f), ERR_OK);
	assert_record("FRD");

	f->key = key_no(1, 2);
	setenv("DRAY_FAULT", "store.no_fsync", 1);
	assert_int_equal(put(f), ERR_OK);
	assert_record("RD");

	f->key = key_no(1, 3);
	setenv("DRAY_FAULT", "store.no_fsync_dir", 1);
	assert_int_equal(put(f), ERR_OK);
	assert_record("FR");
}

static void
a_duplicate_is_synced_before_it_is_acknowledged(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f), ERR_OK);
	disk_reset();
	assert_int_equal(put(f), ERR_OK);
	assert_record("FrFD");

	setenv("DRAY_FAULT", "store.dup_early", 1);
	assert_int_equal(put(f), ERR_OK);
	assert_record("Fr");
}

struct putter {
	struct fixture *f;
	struct store_key key;
	pthread_t thread;
	pthread_mutex_t mu; /* guards ${done} */
	bool done;
	err_code rc;
};

static void *
putter_run(void *arg)
{
	struct putter *p = arg;
	err_code rc = store_put(p->f->s, &p->key, (const uint8_t *)"bytes", 5, NULL);

	pthread_mutex_lock(&p->mu);
	p->rc = rc;
	p->done = true;
	pthread_mutex_unlock(&p->mu);
	return NULL;
}

static void
putter_start(struct putter *p, struct fixture *f, struct store_key key)
{
	*p = (struct putter){ .f = f, .key = key, .mu = PTHREAD_MUTEX_INITIALIZER };
	assert_int_equal(pthread_create(&p->thread, NULL, putter_run, p), 0);
}

static bool
putter_done_within(struct putter *p, int ms)
{
	bool done = false;

	for (int i = 0; !done && i < ms; i++) {
		sleep_ms(1);
		pthread_mutex_lock(&p->mu);
		done = p->done;
		pthread_mutex_unlock(&p->mu);
	}
	return done;
}

/* M4: the name is there, its directory is not synced yet, and a second client sends the same chunk. */
static void
a_duplicate_waits_for_the_first_writers_entry(void **state)
{
	struct fixture *f = *state;

	for (int mutant = 0; mutant <= 1; mutant++) {
		struct putter first, second;

		if (mutant)
			setenv("DRAY_FAULT", "store.dup_early", 1);
		f->key = key_no(1, 10 + (uint32_t)mutant);
		disk_hold('D');
		putter_start(&first, f, f->key);
		disk_await_held();
		putter_start(&second, f, f->key);
		assert_int_equal(putter_done_within(&second, mutant ? 10000 : 100), mutant);
		disk_release();
		pthread_join(first.thread, NULL);
		pthread_join(second.thread, NULL);
		assert_int_equal(first.rc, ERR_OK);
		assert_int_equal(second.rc, ERR_OK);
	}
}

static unsigned
count_in_record(char kind)
{
	char record[DISK_RECORD_MAX];
	unsigned n = 0;

	for (const char *p = disk_record(record); *p; p++)
		n += *p == kind;
	return n;
}

/* ${n} puts into one shard: the first is held in the fsync of the directory, all others have their name and wait behind it. */
static void
start_queue(struct fixture *f, struct putter *p, unsigned n)
{
	disk_hold('D');
	putter_start(&p[0], f, key_in_shard(1, 9, 0));
	disk_await_held();
	for (unsigned i = 1; i < n; i++)
		putter_start(&p[i], f, key_in_shard(1, 9, i));
	while (count_in_record('R') < n)
		sleep_ms(1);
	sleep_ms(50); /* from the name to the queue */
	for (unsigned i = 0; i < n; i++)
		assert_false(putter_done_within(&p[i], 1));
}

/* Let the queue go; the codes that all but the first must get. */
static void
end_queue(struct putter *p, unsigned n, err_code first, err_code rest)
{
	disk_release();
	for (unsigned i = 0; i < n; i++) {
		pthread_join(p[i].thread, NULL);
		assert_int_equal(p[i].rc, i == 0 ? first : rest);
	}
}

/* Puts that wait together share an fsync, and none is covered by one that began before its rename. */
static void
entries_that_wait_together_are_synced_together(void **state)
{
	struct putter p[7];

	start_queue(*state, p, ARRAY_LEN(p));
	end_queue(p, ARRAY_LEN(p), ERR_OK, ERR_OK);
	assert_int_equal(count_in_record('D'), 2);
}

/* ---- a failed fsync is final (I6; M8, M9) ---------------------------------------------------------------------------------- */

static void
assert_read_only(struct fixture *f, const struct store_key *old)
{
	uint8_t buf[5];
	uint64_t size;
	size_t got;
	struct store_writer *w;

	assert_int_equal(store_check(f->s, NULL), ERR_READ_ONLY);
	assert_int_equal(put(f), ERR_READ_ONLY);
	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_READ_ONLY);
	assert_null(w);
	assert_int_equal(store_read(f->s, old, 0, buf, 5, &got, NULL), ERR_OK);
	assert_int_equal(store_delete(f->s, old, NULL), ERR_OK);
	assert_int_equal(store_size(f->s, old, &size, NULL), ERR_NOT_FOUND);
	assert_int_equal(store_check(f->s, NULL), ERR_READ_ONLY);
}

static void
a_failed_fsync_stops_writes_until_the_next_start(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		struct store_key old = key_no(1, 1);

		f->key = old;
		assert_int_equal(put(f), ERR_OK);
		f->key = key_no(1, 2);
		disk_fail("FD"[i], 0, EIO);
		assert_int_equal(put(f), ERR_READ_ONLY);
		assert_read_only(f, &old);
		open_store(f, 0);
		assert_int_equal(put(f), ERR_OK);
		assert_true(is_there(f));
		assert_int_equal(store_delete(f->s, &f->key, NULL), ERR_OK);
	}
}

static void
a_duplicates_failed_fsync_stops_writes_too(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f), ERR_OK);
	disk_fail('D', 0, EIO);
	assert_int_equal(put(f), ERR_READ_ONLY);
	assert_int_equal(put(f), ERR_READ_ONLY);
}

static void
an_open_writer_learns_of_it(void **state)
{
	struct fixture *f = *state;
	struct store_key other = key_no(1, 2);
	struct store_writer *early, *late;

	assert_int_equal(store_open_writer(f->s, &early, NULL), ERR_OK);
	assert_int_equal(store_open_writer(f->s, &late, NULL), ERR_OK);
	assert_int_equal(store_write(late, (const uint8_t *)"x", 1, NULL), ERR_OK);
	disk_fail('F', 0, EIO);
	assert_int_equal(put(f), ERR_READ_ONLY);
	assert_int_equal(store_write(early, (const uint8_t *)"x", 1, NULL), ERR_READ_ONLY);
	store_abandon(&early);
	assert_int_equal(store_finish(&late, &other, NULL), ERR_READ_ONLY);
}

/* The kernel tells one caller of fsync; everybody who waited with it must hear it from us (S2). */
static void
everybody_behind_a_failed_fsync_is_told(void **state)
{
	struct putter p[8];

	start_queue(*state, p, ARRAY_LEN(p));
	disk_fail('D', 0, EIO);
	end_queue(p, ARRAY_LEN(p), ERR_READ_ONLY, ERR_READ_ONLY);
	assert_int_equal(count_in_record('D'), 0);
}

static void
everybody_who_shared_a_failed_fsync_is_told(void **state)
{
	struct putter p[8];

	start_queue(*state, p, ARRAY_LEN(p));
	disk_fail('D', 1, EIO);
	end_queue(p, ARRAY_LEN(p), ERR_OK, ERR_READ_ONLY);
}

static void
the_mutants_of_fsync_errors_are_noticed(void **state)
{
	static const char *const mutants[] = { "store.fsync_ignored", "store.fsync_retried" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(mutants) * 2; i++) {
		setenv("DRAY_FAULT", mutants[i / 2], 1);
		f->key = key_no(1, (uint32_t)i);
		disk_fail("FD"[i % 2], 0, EIO);
		assert_int_equal(put(f), ERR_OK); /* where the tests above demand READ_ONLY */
	}
}

static void
the_environment_can_break_the_disk(void **state)
{
	struct fixture *f = *state;

	setenv("DRAY_FAULT", "other.fault,store.fsync_fails", 1);
	assert_int_equal(put(f), ERR_READ_ONLY);
	unsetenv("DRAY_FAULT");
	assert_int_equal(put(f), ERR_READ_ONLY);
}

/* ---- free space (P7) -------------------------------------------------------------------------------------------------------- */

/* What fstatvfs says from now on, after longer than the store believes an old answer. */
static void
set_free(uint64_t bytes)
{
	disk_free(bytes);
	sleep_ms(120);
}

static void
a_full_disk_refuses_writes_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct store_key old = f->key;
	uint64_t size;

	open_store(f, 1000);
	assert_int_equal(put(f), ERR_OK);
	f->key = key_no(1, 2);

	set_free(999);
	assert_int_equal(store_check(f->s, NULL), ERR_NO_SPACE);
	assert_int_equal(put(f), ERR_NO_SPACE);
	assert_int_equal(store_size(f->s, &old, &size, NULL), ERR_OK);
	assert_int_equal(store_delete(f->s, &old, NULL), ERR_OK);

	set_free(1004); /* a byte too little for this object */
	assert_int_equal(store_check(f->s, NULL), ERR_OK);
	assert_int_equal(put(f), ERR_NO_SPACE);

	set_free(1005);
	assert_int_equal(put(f), ERR_OK);
	assert_true(is_there(f));
}

static void
what_was_written_since_counts(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[600] = { 0 };
	struct store_writer *w;

	set_free(1000);
	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	assert_int_equal(store_write(w, bytes, 600, NULL), ERR_OK);
	assert_int_equal(store_write(w, bytes, 600, NULL), ERR_NO_SPACE);
	store_abandon(&w);
}

static void
no_space_at_fsync_is_not_a_broken_disk(void **state)
{
	struct fixture *f = *state;

	disk_fail('F', 0, ENOSPC);
	assert_int_equal(put(f), ERR_NO_SPACE);
	assert_false(is_there(f));
	assert_int_equal(put(f), ERR_OK);
	assert_true(is_there(f));

	/* For an object that has its name it is one: nobody can say what of it is on disk. */
	disk_fail('D', 0, ENOSPC);
	assert_int_equal(put(f), ERR_READ_ONLY);
}

/* Put until the disk is full; the number of objects that were acknowledged. */
static uint32_t
fill(struct store *s, const uint8_t *bytes, size_t len)
{
	uint32_t n = 0;
	err_code rc;

	for (;; n++) {
		struct store_key key = key_no(1, n);

		rc = store_put(s, &key, bytes, len, NULL);
		if (rc)
			break;
	}
	assert_int_equal(rc, ERR_NO_SPACE);
	return n;
}

/* In a child with a file system of its own of 1 MiB. */
static void
fill_a_real_disk(const char *dir)
{
	static uint8_t bytes[50000];
	struct store *s = NULL;
	struct store_key first = key_no(1, 0);
	uint32_t n;

	assert_int_equal(store_fs_open(dir, 0, &s, NULL), ERR_OK);
	set_free(UINT64_MAX - 1); /* statvfs lies, so that it is write that says ENOSPC */
	n = fill(s, bytes, sizeof bytes);
	assert_true(n >= 15);
	for (uint32_t i = 0; i < n; i++) {
		struct store_key key = key_no(1, i);
		uint64_t size = 0;

		assert_int_equal(store_size(s, &key, &size, NULL), ERR_OK);
		assert_int_equal(size, sizeof bytes);
	}
	assert_int_equal(store_delete(s, &first, NULL), ERR_OK);
	assert_int_equal(store_put(s, &first, bytes, sizeof bytes, NULL), ERR_OK);
	store_free(s);
}

#define NO_NAMESPACE 77

static void
a_disk_that_is_really_full(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
			_exit(NO_NAMESPACE);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		    mount("none", f->dir, "tmpfs", 0, "size=1m,mode=0700") != 0)
			_exit(NO_NAMESPACE);
		fill_a_real_disk(f->dir);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACE)
		skip(); /* where tests may not mount */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- what a crash leaves ------------------------------------------------------------------------------------------------------ */

static void
leftovers_in_tmp_are_removed_at_open(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];

	assert_int_equal(put(f), ERR_OK);
	create(path_in(f, "tmp/0123456789abcdef", path), "half an obj");
	open_store(f, 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_true(is_there(f));
}

static void
a_first_start_that_was_cut_short_is_completed(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE], to[PATH_SIZE];

	store_free(f->s);
	f->s = NULL;
	assert_int_equal(rename(path_in(f, "chunks", path), path_in(f, "chunks.new", to)), 0);
	assert_int_equal(rmdir(path_in(f, "chunks.new/7f", path)), 0);
	assert_int_equal(rmdir(path_in(f, "tmp", path)), 0);
	open_store(f, 0);
	for (unsigned i = 0; i < 256; i++) {
		f->key = key_in_shard(1, (uint8_t)i, i);
		assert_int_equal(put(f), ERR_OK);
	}
	assert_int_equal(access(path_in(f, "chunks.new", path), F_OK), -1);
}

static void
a_lost_empty_shard_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];

	assert_int_equal(put(f), ERR_OK);
	store_free(f->s);
	f->s = NULL;
	assert_int_equal(rmdir(path_in(f, "chunks/00", path)), 0);
	assert_int_equal(rmdir(path_in(f, "chunks/ff", path)), 0);
	open_store(f, 0);
	assert_true(is_there(f));
	f->key = key_in_shard(1, 0xff, 1);
	assert_int_equal(put(f), ERR_OK);
	f->key = key_in_shard(1, 0, 1);
	assert_int_equal(put(f), ERR_OK);
}

/* Everything is durable before anything is promised: 256 shards, chunks above them, the root, and what the root was made in. */
static void
the_first_start_syncs_every_directory(void **state)
{
	struct fixture *f = *state;
	char record[DISK_RECORD_MAX], path[PATH_SIZE];
	struct store *s = NULL;

	disk_reset();
	assert_int_equal(store_fs_open(path_in(f, "new", path), 0, &s, NULL), ERR_OK);
	assert_int_equal(strspn(disk_record(record), "D"), 256 + 3);
	store_free(s);
}

static void
a_damaged_object_is_replaced(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];

	assert_int_equal(put(f), ERR_OK);
	assert_int_equal(truncate(object_path(f, path), 3), 0);
	disk_reset();
	assert_int_equal(put(f), ERR_OK);
	assert_record("FrRD");
	assert_true(is_there(f));
}

/* A child puts and says so, until it is killed.  Every fifth time it deletes the object first. */
static void
child_puts(struct fixture *f, int say)
{
	static uint8_t bytes[20000];
	struct store *s = NULL;

	assert_int_equal(store_fs_open(f->dir, 0, &s, NULL), ERR_OK);
	for (uint32_t n = 0;; n++) {
		struct store_key key = key_no(1, n % 50);

		memset(bytes, (int)(n % 50), sizeof bytes);
		if (n % 5 == 4)
			assert_int_equal(store_delete(s, &key, NULL), ERR_OK);
		assert_int_equal(store_put(s, &key, bytes, sizeof bytes, NULL), ERR_OK);
		assert_int_equal(write(say, &n, sizeof n), sizeof n);
	}
}

static bool
is_one_of_the_childs(void *ctx, const struct store_key *key, uint64_t size)
{
	struct fixture *f = ctx;
	static uint8_t back[20001];
	size_t got;

	assert_int_equal(size, 20000);
	assert_int_equal(store_read(f->s, key, 0, back, sizeof back, &got, NULL), ERR_OK);
	assert_int_equal(got, 20000);
	for (size_t i = 1; i < got; i++)
		assert_int_equal(back[i], back[0]);
	return true;
}

/* What the child said must be there, but for the one that it was about to delete and put again. */
static unsigned
check_acknowledged(struct fixture *f, int heard)
{
	uint32_t n;
	unsigned acked = 0;
	bool said[50] = { 0 };

	while (read(heard, &n, sizeof n) == sizeof n) {
		said[n % 50] = true;
		acked++;
	}
	if (acked % 5 == 4)
		said[acked % 50] = false;
	for (uint32_t i = 0; i < 50; i++) {
		struct store_key key = key_no(1, i);
		uint64_t size;

		if (said[i])
			assert_int_equal(store_size(f->s, &key, &size, NULL), ERR_OK);
	}
	assert_int_equal(store_list(f->s, is_one_of_the_childs, f, NULL), ERR_OK);
	return acked;
}

static void
killed_at_any_moment_it_keeps_what_it_said(void **state)
{
	struct fixture *f = *state;
	unsigned acked = 0;

	for (int round = 0; round < 15; round++) {
		int pipe_fds[2], status;
		pid_t child;

		store_free(f->s);
		f->s = NULL;
		assert_int_equal(pipe(pipe_fds), 0);
		child = fork();
		if (child == 0)
			child_puts(f, pipe_fds[1]);
		close(pipe_fds[1]);
		sleep_ms(20 + (long)(rng_u64() % 60));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		open_store(f, 0);
		acked += check_acknowledged(f, pipe_fds[0]);
		close(pipe_fds[0]);
	}
	printf("%u puts were acknowledged before 15 kills\n", acked);
	assert_true(acked > 0);
}

/* ---- the directory --------------------------------------------------------------------------------------------------------------- */

static bool
never(void *ctx, const struct store_key *key, uint64_t size)
{
	(void)ctx;
	(void)key;
	(void)size;
	fail_msg("listed what is no object");
	return true;
}

static void
files_of_others_are_left_alone(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE], upper[PATH_SIZE];

	create(path_in(f, "chunks/aa/README", path), "x");
	f->key = key_in_shard(0xaa, 0xaa, 1);
	object_path(f, upper);
	for (char *p = upper + strlen(f->dir) + strlen("/chunks/aa/"); *p; p++)
		*p = (char)(*p >= 'a' && *p <= 'f' ? *p - 'a' + 'A' : *p);
	create(upper, "x");
	assert_int_equal(store_list(f->s, never, NULL, NULL), ERR_OK);
	assert_int_equal(access(path, F_OK), 0);
}

static void
only_the_owner_may_look(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];
	struct stat st;

	assert_int_equal(put(f), ERR_OK);
	assert_int_equal(stat(object_path(f, path), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(path_in(f, "chunks/00", path), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void
a_place_that_cannot_be_a_store_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];
	struct store *s = NULL;

	assert_int_equal(store_fs_open(path_in(f, "no/such", path), 0, &s, NULL), ERR_NOT_FOUND);
	create(path_in(f, "file", path), "x");
	assert_int_equal(store_fs_open(path, 0, &s, NULL), ERR_IO);
	disk_fail('R', 0, EINVAL); /* as a file system answers that does not know the flag */
	assert_int_equal(store_fs_open(path_in(f, "odd", path), 0, &s, NULL), ERR_IO);
	disk_fail('D', 0, EIO);
	assert_int_equal(store_fs_open(path_in(f, "sick", path), 0, &s, NULL), ERR_IO);
	assert_null(s);
}

static void
abandoned_writers_leave_no_file(void **state)
{
	struct fixture *f = *state;
	char path[PATH_SIZE];
	struct store_writer *w;

	assert_int_equal(store_open_writer(f->s, &w, NULL), ERR_OK);
	assert_int_equal(store_write(w, (const uint8_t *)"x", 1, NULL), ERR_OK);
	store_abandon(&w);
	assert_int_equal(put(f), ERR_OK);
	assert_int_equal(put(f), ERR_OK);
	assert_int_equal(rmdir(path_in(f, "tmp", path)), 0); /* it is empty */
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_put_is_bytes_then_name_then_entry),
		CASE(a_duplicate_is_synced_before_it_is_acknowledged),
		CASE(a_duplicate_waits_for_the_first_writers_entry),
		CASE(entries_that_wait_together_are_synced_together),
		CASE(a_failed_fsync_stops_writes_until_the_next_start),
		CASE(a_duplicates_failed_fsync_stops_writes_too),
		CASE(an_open_writer_learns_of_it),
		CASE(everybody_behind_a_failed_fsync_is_told),
		CASE(everybody_who_shared_a_failed_fsync_is_told),
		CASE(the_mutants_of_fsync_errors_are_noticed),
		CASE(the_environment_can_break_the_disk),
		CASE(a_full_disk_refuses_writes_and_nothing_else),
		CASE(what_was_written_since_counts),
		CASE(no_space_at_fsync_is_not_a_broken_disk),
		CASE(a_disk_that_is_really_full),
		CASE(leftovers_in_tmp_are_removed_at_open),
		CASE(a_first_start_that_was_cut_short_is_completed),
		CASE(a_lost_empty_shard_is_made_anew),
		CASE(the_first_start_syncs_every_directory),
		CASE(a_damaged_object_is_replaced),
		CASE(killed_at_any_moment_it_keeps_what_it_said),
		CASE(files_of_others_are_left_alone),
		CASE(only_the_owner_may_look),
		CASE(a_place_that_cannot_be_a_store_is_refused),
		CASE(abandoned_writers_leave_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
