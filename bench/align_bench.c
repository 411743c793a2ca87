/*
 * align_bench [MIB]: what re-alignment costs beside reading and hashing.  Build: ninja -C build/release bench/align_bench
 *
 * The file is in memory, so this is processor time: GB (10^9) of file a second of it, the best of three.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/align.h"
#include "chunk/cut.h"

#define LEN_MAX (UINT64_C(64) * GIB)
#define RUNS 3

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t
random_u64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static uint64_t seed = 1;

static void
noise(uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t x = random_u64(&seed);

		memcpy(p + i, &x, 8);
	}
}

static err_code
to_base(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct block b = { .hash = *hash, .len = len };
	uint32_t weak = weak_sum(p, len);

	(void)offset;
	(void)err;
	align_base_add(ctx, &b, &weak, 1);
	return ERR_OK;
}

static err_code
ignore(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	(void)ctx, (void)offset, (void)p, (void)len, (void)hash, (void)err;
	return ERR_OK;
}

static err_code
count_new(void *ctx, const struct align_piece *piece, struct err *err)
{
	uint64_t *fresh = ctx;

	(void)err;
	*fresh += piece->base < 0 ? piece->len : 0;
	return ERR_OK;
}

static void
must(err_code rc, const struct err *err)
{
	if (!rc)
		return;
	fprintf(stderr, "%s\n", err->msg);
	exit(1);
}

static void
measure_cut(int fd, uint64_t len)
{
	double best = 1e9;
	struct err err;

	for (int i = 0; i < RUNS; i++) {
		double start = seconds();

		must(cut_fd(fd, len, ignore, NULL, &err), &err);
		best = MIN(best, seconds() - start);
	}
	printf("%-48s %6.2f GB/s\n", "cut_fd: read and hash", (double)len / best / 1e9);
}

static void
measure(const char *what, int fd, uint64_t len, const struct align_base *base)
{
	struct align_counts n = { 0 };
	uint64_t fresh = 0;
	double best = 1e9;
	struct err err;

	for (int i = 0; i < RUNS; i++) {
		double start = seconds();

		fresh = 0;
		must(align_fd_counted(fd, len, base, count_new, &fresh, &n, &err), &err);
		best = MIN(best, seconds() - start);
	}
	printf("%-48s %6.2f GB/s   new %10llu  hashed %.3f  summed %.3f  rolled %.3f of the file\n", what, (double)len / best / 1e9,
	    (unsigned long long)fresh, (double)n.hashed / (double)len, (double)n.summed / (double)len, (double)n.rolled / (double)len);
}

/* Edit 2 % of the file: ${len} bytes each, at random places that are multiples of ${grid}. */
static void
scatter(uint8_t *p, size_t size, size_t len, size_t grid)
{
	for (size_t i = 0; i < size / len / 50; i++)
		noise(p + random_u64(&seed) % ((size - len) / grid) * grid, len);
}

static void
measure_sums(const uint8_t *p, size_t len)
{
	double start = seconds();
	uint32_t all = 0;

	for (size_t i = 0; i < len; i += BLOCK_LEN_MAX)
		all += weak_sum(p + i, BLOCK_LEN_MAX);
	printf("%-48s %6.2f GB/s   (%08x)\n", "weak_sum of whole blocks", (double)len / (seconds() - start) / 1e9, all);
}

/* The blocks of a 64 GiB file that has nothing in common with any. */
static struct align_base *
large_base(void)
{
	struct align_base *b = align_base_new();

	for (uint64_t i = 0; i < LEN_MAX / BLOCK_LEN_MAX; i++) {
		struct block block = { .len = BLOCK_LEN_MAX };
		uint32_t weak = (uint32_t)random_u64(&seed);

		noise(block.hash.b, sizeof block.hash.b);
		align_base_add(b, &block, &weak, 1);
	}
	return b;
}

int
main(int argc, char **argv)
{
	size_t len = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1024) * MIB / BLOCK_LEN_MAX * BLOCK_LEN_MAX;
	AUTO(closep) int fd = memfd_create("align_bench", MFD_CLOEXEC);
	AUTO(align_base_freep) struct align_base *base = align_base_new();
	AUTO(align_base_freep) struct align_base *large = large_base();
	uint8_t *file, *map;
	struct err err;

	if (len == 0 || ftruncate(fd, (off_t)(len + 4096)) < 0)
		return 1;
	map = mmap(NULL, len + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return 1;
	file = map;
	noise(file, len);
	must(cut_fd(fd, len, to_base, base, &err), &err);
	measure_sums(file, len);
	measure_cut(fd, len);
	measure("equal", fd, len, base);
	memmove(file + 1024, file, len);
	measure("1 KiB in front", fd, len + 1024, base);
	memmove(file, file + 1024, len);
	scatter(file, len, BLOCK_LEN_MAX, BLOCK_LEN_MAX);
	measure("2 % edited, blocks", fd, len, base);
	noise(file, len);
	measure("all new, base of the same size", fd, len, base);
	measure("all new, base of 64 GiB", fd, len, large);
	align_base_free(base);
	base = align_base_new();
	must(cut_fd(fd, len, to_base, base, &err), &err);
	scatter(file, len, BLOCK_LEN_MAX, 1);
	measure("2 % edited, 64 KiB each, anywhere", fd, len, base);
	memset(file, 0, len);
	measure("zeros, base without", fd, len, base);
	align_base_free(base);
	base = align_base_new();
	must(cut_fd(fd, len, to_base, base, &err), &err);
	measure("zeros, base of zeros", fd, len, base);
	return 0;
}
