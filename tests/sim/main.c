/*
 * sim [--from N] [--count N] [--first FILE] [--again N] [--once]: run seeds, each in a process of its own, and twice, as the same seed must do the
 * same thing; with --again only one in N of them twice, with --once none.
 * The seeds that FILE lists are run first, and those that fail are added to it.  Exit status 1 when one failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "run.h"
#include "sim.h"

#define SEED_SECONDS_MAX 120 /* it hangs */
#define HASH_KNOWN 0         /* of a seed that ended in what is known */

struct options {
	uint64_t from, count, again;
	const char *first;
	bool once;
};

static char home[64];

/* A file system in memory where there is one: a seed makes thousands of calls. */
static void
make_home(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(home, sizeof home, "/dev/shm/dray-sim-XXXXXX");
	if (!mkdtemp(home)) {
		snprintf(home, sizeof home, "%.40s/dray-sim-XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(home))
			abort();
	}
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void
remove_home(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		abort();
}

static _Noreturn void
child(uint64_t seed, const char *dir, int out)
{
	uint64_t hash;

	alarm(SEED_SECONDS_MAX);
	memory_start();
	hash = run_seed(seed, dir);
	if (write(out, &hash, sizeof hash) != sizeof hash)
		_exit(2);
	_exit(0);
}

/* False when it failed; it has said why.  What is known is no failure. */
static bool
run_once(uint64_t seed, uint64_t *hash)
{
	char dir[sizeof home + 8];
	int fds[2], status;
	bool ok;
	pid_t pid;

	snprintf(dir, sizeof dir, "%s/s", home);
	if (mkdir(dir, 0700) || pipe2(fds, O_CLOEXEC))
		abort();
	pid = fork();
	if (pid == 0)
		child(seed, dir, fds[1]);
	close(fds[1]);
	ok = read(fds[0], hash, sizeof *hash) == sizeof *hash;
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		ok = false;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_KNOWN) {
		*hash = HASH_KNOWN;
		ok = true;
	}
	if (!ok && WIFSIGNALED(status))
		fprintf(stderr, "seed %" PRIu64 ": killed by signal %d\n", seed, WTERMSIG(status));
	remove_home(dir);
	return ok;
}

static uint64_t known;

static bool
run(uint64_t seed, const struct options *o)
{
	uint64_t hash = 0, again = 0;
	bool ok = run_once(seed, &hash);

	if (ok && !o->once && seed % o->again == 0) {
		ok = run_once(seed, &again);
		if (ok && hash != again) {
			fprintf(stderr, "seed %" PRIu64 ": determinism: it did something else the second time\n", seed);
			ok = false;
		}
	}
	known += ok && hash == HASH_KNOWN;
	return ok;
}

static uint64_t
run_first(const struct options *o)
{
	FILE *f = o->first ? fopen(o->first, "re") : NULL;
	char line[256];
	uint64_t failed = 0;

	while (f && fgets(line, sizeof line, f)) {
		char *end;
		uint64_t seed = strtoull(line, &end, 10);

		if (end != line && !run(seed, o))
			failed++;
	}
	if (f)
		fclose(f);
	return failed;
}

static void
add_first(const struct options *o, uint64_t seed)
{
	FILE *f = o->first ? fopen(o->first, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "%" PRIu64 "\n", seed);
	fclose(f);
}

static bool
parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = { { "from", 1, NULL, 'f' }, { "count", 1, NULL, 'c' }, { "first", 1, NULL, 'l' },
		{ "again", 1, NULL, 'a' }, { "once", 0, NULL, 'o' }, { NULL, 0, NULL, 0 } };
	bool ok = true;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f' || c == 'c' || c == 'a')
			ok &= parse_u64(optarg, strlen(optarg), UINT64_MAX, c == 'f' ? &o->from : c == 'c' ? &o->count : &o->again);
		else if (c == 'l')
			o->first = optarg;
		else if (c == 'o')
			o->once = true;
		else
			ok = false;
	}
	return ok && optind == argc && o->again > 0;
}

int
main(int argc, char **argv)
{
	struct options o = { .from = 1, .count = 100, .again = 1 };
	uint64_t failed;

	if (!parse(argc, argv, &o)) {
		fprintf(stderr, "usage: %s [--from N] [--count N] [--first FILE] [--again N] [--once]\n", argv[0]);
		return 2;
	}
	vfs_start(); /* once for all: each seed's process has a copy */
	make_home();
	failed = run_first(&o);
	for (uint64_t i = 0; i < o.count; i++) {
		if (run(o.from + i, &o))
			continue;
		failed++;
		fprintf(stderr, "again: DRAY_SIM_TRACE=1 %s --once --count 1 --from %" PRIu64 "\n", argv[0], o.from + i);
		add_first(&o, o.from + i);
	}
	remove_home(home);
	printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed, %" PRIu64 " of what is known\n", o.count, o.from, failed, known);
	return failed > 0;
}
