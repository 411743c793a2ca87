/*
 * What metadata costs: commits of 10,000 new files, small commits of many threads, pages at any depth, and the feed with nothing new.
 *
 *   meta_bench DIR [FILES]      makes DIR/bench.db with FILES (default 100,000) files and prints a line for each figure
 *   meta_bench URL [FILES]      the same in the PostgreSQL of that URL, in an empty schema
 */
#include "base/clock.h"
#include "base/rng.h"
#include "base/thread.h"
#include "db/db.h"
#include "server/meta/meta.h"

#include <sys/resource.h>

#define BATCH 10000
#define PAGE 500
#define SMALL_THREADS_MAX 16
#define SMALL_COMMITS 200

static struct err err;
static struct id project, device;

static void
check(err_code rc)
{
	if (!rc)
		return;
	fprintf(stderr, "meta_bench: %s\n", err.msg);
	exit(1);
}

static struct meta *
open_meta(const char *where)
{
	char path[4096];
	struct db *db;
	struct meta *m;

	(void)snprintf(path, sizeof path, "%s/bench.db", where);
	if (strncmp(where, "postgres", 8) == 0 && strstr(where, "://"))
		check(db_postgres_open(&(struct db_postgres_opts){ .url = where }, &db, &err));
	else
		check(db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, &err));
	check(db_migrate(db, &db_server_migrations, clock_wall_us(), &err));
	check(meta_sql_open(db, &m, &err));
	return m;
}

static void
add_project(struct meta *m)
{
	struct meta_tx *tx;

	project = id_new();
	device = id_new();
	check(meta_begin(m, META_WRITE, &tx, &err));
	check(meta_project_add(tx, &(struct project){ .id = project, .name = "bench", .epoch = id_new() }, &err));
	check(meta_device_add(tx, &(struct device){ .id = device, .name = "bench" }, &err));
	check(meta_commit(&tx, &err));
}

/* What a commit of one new file does in its transaction. */
static void
add_file(struct meta_tx *tx, int64_t version, unsigned number)
{
	uint8_t packed[BLOCKLIST_FIXED_LEN + BLOCKLIST_EXTENT_LEN + BLOCKLIST_BLOCK_LEN];
	char path[128], dir[96];
	struct file f = { .id = id_new(), .dir = dir, .version = version, .size = 1000, .mode = 0644, .target = "", .created_at = version,
		.changed_by = device, .mtime_ns = version * 1000 };
	struct version v = { .file = f.id, .version = version, .path = path, .size = f.size, .mode = f.mode, .mtime_ns = f.mtime_ns,
		.target = "", .changed_by = device };
	struct file old;
	size_t dir_len;

	(void)snprintf(path, sizeof path, "footage/day %03u/camera %c/take_%08u.mov", number / 1000, 'a' + number % 3, number);
	f.name = path_split(path, &dir_len);
	(void)snprintf(dir, sizeof dir, "%.*s", (int)dir_len, path);
	rng_bytes(packed, sizeof packed);
	f.content = v.content = hash_of(packed, sizeof packed);
	f.list = v.list = id_new();
	if (meta_file_at(tx, &project, path, &old, &err) != ERR_NOT_FOUND)
		check(err_set(&err, ERR_EXISTS, "%s is there", path));
	check(meta_file_put(tx, &project, &f, &err));
	check(meta_version_add(tx, &project, &v, &err));
	check(meta_blocks_add(tx, &project, &f.list, 0, packed, sizeof packed, &err));
}

static double
add_batch(struct meta *m, unsigned from)
{
	int64_t start = clock_mono_us(), last;
	struct meta_tx *tx;

	check(meta_begin(m, META_WRITE, &tx, &err));
	check(meta_clock_take(tx, &project, clock_wall_us(), BATCH, &last, &err));
	for (unsigned i = 0; i < BATCH; i++)
		add_file(tx, last - BATCH + 1 + i, from + i);
	check(meta_commit(&tx, &err));
	return (double)(clock_mono_us() - start) / 1e6;
}

static void
bench_commits(struct meta *m, unsigned files)
{
	double first = 0, s = 0, worst = 0, total = 0;

	for (unsigned n = 0; n < files; n += BATCH) {
		s = add_batch(m, n);
		first = n ? first : s;
		worst = MAX(worst, s);
		total += s;
	}
	printf("commit of %d new files: first %.3f s, last %.3f s (at %u), mean %.3f s, worst %.3f s\n", BATCH, first, s, files,
	    total / (files / BATCH), worst);
}

static double
page_us(struct meta *m, int64_t after)
{
	enum { ROUNDS = 200 };
	int64_t start = clock_mono_us();

	for (int i = 0; i < ROUNDS; i++) {
		struct meta_tx *tx;
		struct file *files;
		size_t n;

		check(meta_begin(m, META_READ, &tx, &err));
		check(meta_file_page(tx, &project, after, PAGE, &files, &n, &err));
		meta_abort(&tx);
	}
	return (double)(clock_mono_us() - start) / ROUNDS;
}

static void
bench_reads(struct meta *m, unsigned files)
{
	struct meta_tx *tx;
	struct project p;
	double first, last;
	int64_t start;

	check(meta_begin(m, META_READ, &tx, &err));
	check(meta_project_get(tx, &project, &p, &err));
	meta_abort(&tx);
	first = page_us(m, 0);
	last = page_us(m, p.clock - PAGE);
	printf("page of %d of %u: first %.0f us, last %.0f us\n", PAGE, files, first, last);
	start = clock_mono_us();
	for (int i = 0; i < 20000; i++) {
		struct file *out;
		size_t n;

		check(meta_begin(m, META_READ, &tx, &err));
		check(meta_project_get(tx, &project, &p, &err));
		check(meta_file_changes(tx, &project, p.clock, PAGE, &out, &n, &err));
		meta_abort(&tx);
	}
	printf("changes with nothing new: %.1f us\n", (double)(clock_mono_us() - start) / 20000);
}

/* The whole tree in one transaction, as a snapshot reads it. */
static void
bench_tree(struct meta *m)
{
	struct meta_tx *tx;
	char dir[FILE_PATH_MAX] = "", name[FILE_PATH_MAX] = "";
	int64_t start = clock_mono_us();
	size_t n, total = 0;

	check(meta_begin(m, META_READ, &tx, &err));
	do {
		struct file *out;

		check(meta_file_beneath(tx, &project, "", dir, name, 1000, &out, &n, &err));
		if (n) {
			(void)snprintf(dir, sizeof dir, "%s", out[n - 1].dir);
			(void)snprintf(name, sizeof name, "%s", out[n - 1].name);
		}
		total += n;
		meta_tx_trim(tx);
	} while (n);
	meta_abort(&tx);
	printf("whole tree of %zu: %.3f s\n", total, (double)(clock_mono_us() - start) / 1e6);
}

static void *
small_writer(void *arg)
{
	struct err own;

	for (int i = 0; i < SMALL_COMMITS; i++) {
		struct meta_tx *tx;
		int64_t last;

		if (meta_begin(arg, META_WRITE, &tx, &own) || meta_clock_take(tx, &project, clock_wall_us(), 1, &last, &own) ||
		    meta_commit(&tx, &own))
			abort();
	}
	return NULL;
}

static void
bench_small(struct meta *m, unsigned threads)
{
	pthread_t t[SMALL_THREADS_MAX];
	int64_t start = clock_mono_us();
	double s;

	for (unsigned i = 0; i < threads; i++)
		check(thread_start("bench", small_writer, m, &t[i], &err));
	for (unsigned i = 0; i < threads; i++)
		(void)pthread_join(t[i], NULL);
	s = (double)(clock_mono_us() - start) / 1e6;
	printf("small durable commits, %u threads: %.0f a second\n", threads, threads * SMALL_COMMITS / s);
}

int
main(int argc, char **argv)
{
	unsigned files = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
	struct rusage ru;
	struct meta *m;

	if (argc < 2) {
		fprintf(stderr, "usage: meta_bench DIR|URL [FILES]\n");
		return 2;
	}
	m = open_meta(argv[1]);
	add_project(m);
	for (unsigned threads = 1; threads <= SMALL_THREADS_MAX; threads *= 4)
		bench_small(m, threads);
	bench_commits(m, files);
	bench_reads(m, files);
	bench_tree(m);
	meta_free(m);
	if (getrusage(RUSAGE_SELF, &ru) == 0)
		printf("peak memory: %ld MiB\n", ru.ru_maxrss / 1024);
	return 0;
}
