/* Transactions: who waits for whom, what a group of writers shares, and what happens when the disk says no. */
#include "unit.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

/* A writer of a thread of its own.  No asserts in it. */
struct job {
	struct fixture *f;
	int64_t id;
	enum { JOB_COMMIT, JOB_ABORT, JOB_FAIL, JOB_LATE, JOB_COUNT } how;
	_Atomic bool waiting; /* is about to ask for the writer */
	err_code rc;
	struct err err;
	pthread_t thread;
};

static err_code
put_count(struct db_tx *tx, int64_t id, struct err *err)
{
	static const char sql[] = "INSERT INTO t (id, v) VALUES ($1, (SELECT count(*) FROM t))";

	return db_run(tx, NULL, err, sql, DB_I64(id));
}

/* Two rows, of which the second is refused, and nobody waits for either. */
static err_code
send_two(struct db_tx *tx, int64_t id, struct err *err)
{
	static const char sql[] = "INSERT INTO t (id, v) VALUES ($1, $1)";
	err_code rc = db_send(tx, err, sql, DB_I64(id));

	return rc ? rc : db_send(tx, err, sql, DB_I64(id));
}

static err_code
job_run(struct job *j)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc;

	atomic_store(&j->waiting, true);
	rc = db_begin(j->f->db, DB_WRITE, &tx, &j->err);
	if (!rc)
		rc = j->how == JOB_COUNT ? put_count(tx, j->id, &j->err) : put(tx, j->id, j->id, &j->err);
	if (!rc && j->how == JOB_FAIL)
		rc = put(tx, j->id, j->id, &j->err); /* the key is taken */
	if (!rc && j->how == JOB_LATE)
		rc = send_two(tx, j->id + 1000, &j->err);
	if (rc || j->how == JOB_ABORT)
		return rc;
	return db_commit(&tx, &j->err);
}

static void *
job_thread(void *arg)
{
	struct job *j = arg;

	j->rc = job_run(j);
	return NULL;
}

/* Start ${n} jobs one after the other while ${tx} keeps the writer, so that they wait in this order. */
static void
line_up(struct fixture *f, struct job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		jobs[i].f = f;
		jobs[i].id = 100 + (int64_t)i;
		ok(thread_start("job", job_thread, &jobs[i], &jobs[i].thread, ERR));
		while (!atomic_load(&jobs[i].waiting))
			(void)usleep(100);
		(void)usleep(5000);
	}
}

static void
join(struct job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
}

/* Eight who wait commit with the one they waited for: far fewer fsyncs than commits, and all of them are there. */
static void
group_shares_a_sync(void **state)
{
	static struct job jobs[8];
	struct db_tx *tx = begin(*state, DB_WRITE);
	unsigned before;

	memset(jobs, 0, sizeof jobs);
	ok(put(tx, 1, 1, ERR));
	line_up(*state, jobs, 8);
	before = engine->syncs(*state);
	/* The group is as old as its first member: by now it commits at once, and the eight form the next one. */
	commit(tx);
	join(jobs, 8);
	assert_true(engine->syncs(*state) - before <= 5);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(jobs[i].rc, ERR_OK);
		assert_int_equal(look(*state, jobs[i].id), jobs[i].id);
	}
	assert_int_equal(look(*state, 1), 1);
}

/* One member's abort, or its failure, takes back its own changes only. */
static void
group_abort_is_ones_own(void **state)
{
	static struct job jobs[12];
	struct db_tx *tx = begin(*state, DB_WRITE);

	memset(jobs, 0, sizeof jobs);
	for (unsigned i = 0; i < 12; i++)
		jobs[i].how = JOB_COMMIT + i % 4;
	line_up(*state, jobs, 12); /* the last three end without a commit: those before must not wait for ever */
	commit(tx);
	join(jobs, 12);
	for (unsigned i = 0; i < 12; i++) {
		bool refused = jobs[i].how == JOB_FAIL || jobs[i].how == JOB_LATE;

		assert_int_equal(jobs[i].rc, refused ? ERR_EXISTS : ERR_OK);
		assert_int_equal(look(*state, jobs[i].id), jobs[i].how == JOB_COMMIT ? jobs[i].id : -1);
		assert_int_equal(look(*state, jobs[i].id + 1000), -1);
	}
}

/* The members of a group learn it when the fsync that they share fails; nobody is told that it is done. */
static void
group_fails_together(void **state)
{
	NEEDS_FILE();
	static struct job jobs[6];
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	memset(jobs, 0, sizeof jobs);
	line_up(f, jobs, 6);
	atomic_store(&fault_sync, true);
	db_abort(&tx);
	join(jobs, 6);
	for (unsigned i = 0; i < 6; i++) {
		if (jobs[i].rc != ERR_READ_ONLY) /* came when the disk was known to be bad */
			assert_int_equal(jobs[i].rc, ERR_UNAVAILABLE);
		assert_int_equal(jobs[i].err.code, jobs[i].rc);
		assert_int_equal(look(f, jobs[i].id), -1);
	}
}

/* I6: once an fsync has failed nothing is written until restart, even when the disk says that it is fine again. */
static void
no_writes_after_failed_sync(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	ok(put(tx, 1, 1, ERR));
	commit(tx);
	tx = begin(f, DB_WRITE);
	ok(put(tx, 2, 2, ERR));
	atomic_store(&fault_sync, true);
	answers(db_commit(&tx, ERR), ERR_UNAVAILABLE);
	atomic_store(&fault_sync, false);
	answers(db_begin(f->db, DB_WRITE, &tx, ERR), ERR_READ_ONLY);
	assert_null(tx);
	answers(db_checkpoint(f->db, true, ERR), ERR_READ_ONLY);
	assert_int_equal(look(f, 1), 1); /* reads go on */
	assert_int_equal(look(f, 2), -1);
	db_free(f->db);
	open_db(f, (struct open_opts){ .wait_ms = 0 });
	tx = begin(f, DB_WRITE);
	ok(put(tx, 3, 3, ERR));
	commit(tx);
	assert_int_equal(look(f, 1), 1);
	assert_int_equal(look(f, 3), 3);
}

/* A full disk refuses, keeps what it has, goes on reading, and writes again when there is room. */
static void
disk_full(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	ok(put(tx, 1, 1, ERR));
	commit(tx);
	for (int i = 0; i < 3; i++) {
		tx = begin(f, DB_WRITE);
		ok(put(tx, 2, 2, ERR));
		atomic_store(&fault_full, true);
		answers(db_commit(&tx, ERR), ERR_NO_SPACE);
		assert_int_equal(look(f, 1), 1);
		assert_int_equal(look(f, 2), -1);
		atomic_store(&fault_full, false);
	}
	tx = begin(f, DB_WRITE);
	ok(put(tx, 2, 2, ERR));
	commit(tx);
	assert_int_equal(look(f, 2), 2);
}

/* A transaction that spills out of the cache meets the full disk in its middle. */
static void
disk_full_midway(void **state)
{
	NEEDS_FILE();
	static const char sql[] = "INSERT INTO big (b) VALUES ($1)";
	struct fixture *f = *state;
	AUTO(freep) uint8_t *mib = xcalloc(1, MIB);
	struct db_tx *tx = begin(f, DB_WRITE);
	err_code rc = ERR_OK;

	ok(db_script(tx, "CREATE TABLE big (b BLOB)", ERR));
	ok(put(tx, 1, 1, ERR));
	commit(tx);
	tx = begin(f, DB_WRITE);
	ok(put(tx, 2, 2, ERR));
	atomic_store(&fault_full, true);
	for (int i = 0; !rc && i < 40; i++)
		rc = db_run(tx, NULL, ERR, sql, DB_BYTES(mib, MIB));
	assert_int_equal(rc, ERR_NO_SPACE);
	answers(db_commit(&tx, ERR), ERR_NO_SPACE);
	atomic_store(&fault_full, false);
	assert_int_equal(look(f, 1), 1);
	assert_int_equal(look(f, 2), -1);
	tx = begin(f, DB_WRITE);
	ok(put(tx, 2, 2, ERR));
	commit(tx);
	assert_int_equal(look(f, 2), 2);
}

/* ---- waiting --------------------------------------------------------------------------------------------------------------- */

static void
writer_deadline(void **state)
{
	static struct job jobs[2];
	struct fixture *f = *state;
	struct db_tx *tx;
	int64_t start;

	memset(jobs, 0, sizeof jobs);
	db_free(f->db);
	open_db(f, (struct open_opts){ .wait_ms = 60 });
	tx = begin(f, DB_WRITE);
	ok(put(tx, 1, 1, ERR));
	start = clock_mono_ms();
	line_up(f, jobs, 2);
	join(jobs, 2);
	assert_true(clock_mono_ms() - start >= 60);
	assert_int_equal(jobs[0].rc, ERR_UNAVAILABLE);
	assert_int_equal(jobs[1].rc, ERR_UNAVAILABLE);
	commit(tx);
	assert_int_equal(look(f, 1), 1);
	tx = begin(f, DB_WRITE); /* those who gave up are out of the line */
	ok(put(tx, 2, 2, ERR));
	commit(tx);
}

/* Each notes how many came before it: they come in the order in which they asked. */
static void
writers_in_order(void **state)
{
	static struct job jobs[5];
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE);

	memset(jobs, 0, sizeof jobs);
	for (int i = 0; i < 5; i++)
		jobs[i].how = JOB_COUNT;
	line_up(f, jobs, 5);
	commit(tx);
	join(jobs, 5);
	for (int64_t i = 0; i < 5; i++)
		assert_int_equal(look(f, 100 + i), i);
}

static void
reader_pool(void **state)
{
	struct fixture *f = *state;
	struct db_tx *tx[3], *more;

	db_free(f->db);
	open_db(f, (struct open_opts){ .wait_ms = 30, .readers_max = 3 });
	for (int i = 0; i < 3; i++)
		tx[i] = begin(f, DB_READ);
	answers(db_begin(f->db, DB_READ, &more, ERR), ERR_UNAVAILABLE);
	db_abort(&tx[1]);
	more = begin(f, DB_READ);
	answers(db_begin(f->db, DB_READ, &tx[1], ERR), ERR_UNAVAILABLE);
	db_abort(&more);
	db_abort(&tx[0]);
	db_abort(&tx[2]);
	for (int i = 0; i < 100; i++) {
		more = begin(f, DB_READ);
		db_abort(&more);
	}
}

static int64_t
log_len(struct fixture *f)
{
	char wal[320];
	struct stat st;

	(void)snprintf(wal, sizeof wal, "%s-wal", f->path);
	assert_int_equal(stat(wal, &st), 0);
	return st.st_size;
}

static void
write_pages(struct fixture *f, int commits)
{
	static const char sql[] = "INSERT INTO big (b) VALUES ($1)";
	static const uint8_t page[16 * 4096];

	for (int i = 0; i < commits; i++) {
		struct db_tx *tx = begin(f, DB_WRITE);

		ok(db_run(tx, NULL, ERR, sql, DB_BYTES(page, sizeof page)));
		commit(tx);
	}
}

/* A reader that stays makes the log grow; when it has gone, the log is used from its start again. */
static void
log_starts_over(void **state)
{
	NEEDS_FILE();
	struct fixture *f = *state;
	struct db_tx *tx = begin(f, DB_WRITE), *slow;
	int64_t grown;

	ok(db_script(tx, "CREATE TABLE big (b BLOB)", ERR));
	commit(tx);
	write_pages(f, 900); /* 15,300 pages in all: the log is due after 8,192 */
	assert_true(log_len(f) < 40 * (int64_t)MIB);
	slow = begin(f, DB_READ);
	write_pages(f, 900);
	grown = log_len(f);
	assert_true(grown > 50 * (int64_t)MIB);
	db_abort(&slow);
	write_pages(f, 900);
	assert_true(log_len(f) <= grown + (int64_t)MIB);
	ok(db_checkpoint(f->db, true, ERR));
	assert_int_equal(log_len(f), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(group_shares_a_sync),
		T(group_abort_is_ones_own),
		T(group_fails_together),
		T(no_writes_after_failed_sync),
		T(disk_full),
		T(disk_full_midway),
		T(writer_deadline),
		T(writers_in_order),
		T(reader_pool),
		T(log_starts_over),
	};

	if (!engine_choose())
		return SCHEMA_SKIP;
	faults_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
