/*
 * A tree of many small files, the same for the same arguments: what a project of FILES files costs is measured on it.
 *
 *   tree_gen DIR FILES [SEED]   makes DIR, which must not exist: files of 100 to 2,000 bytes, 50 to a directory, at depths of 3 to 6;
 *                               half of them text-like, half incompressible; SEED (default 1) changes the bytes, not the names
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_PER_DIR 50
#define DEPTH_MIN 3
#define DEPTH_MAX 6
#define DEPTHS (DEPTH_MAX - DEPTH_MIN + 1)
#define LEN_MIN 100
#define LEN_MAX 2000
#define PATH_ROOM 4096

static void
fail(const char *what)
{
	fprintf(stderr, "tree_gen: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* SplitMix64: fast, and the same everywhere. */
static uint64_t
next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The least b with b to the power of ${digits} at least ${n}: how many directories lie in one, for so many at that depth. */
static uint64_t
fan_out(uint64_t n, unsigned digits)
{
	for (uint64_t b = 2;; b++) {
		uint64_t power = 1;

		for (unsigned i = 0; i < digits; i++)
			power *= b;
		if (power >= n)
			return b;
	}
}

static void
make_dir(int root, const char *path)
{
	if (mkdirat(root, path, 0755) && errno != EEXIST)
		fail(path);
}

/* Directory ${number} of ${dirs}: its path with a '/' after it, made on the way. */
static void
enter_dir(int root, uint64_t number, uint64_t dirs, char path[static PATH_ROOM])
{
	unsigned depth = DEPTH_MIN + (unsigned)(number % DEPTHS), digits = depth - 1;
	uint64_t nth = number / DEPTHS, base = fan_out(dirs / DEPTHS + 1, digits), weight = 1;
	int at = snprintf(path, PATH_ROOM, "part-%u", depth);

	make_dir(root, path);
	for (unsigned i = 1; i < digits; i++)
		weight *= base;
	for (; weight > 0; weight /= base) {
		at += snprintf(path + at, (size_t)(PATH_ROOM - at), "/scene %02" PRIu64, nth / weight % base);
		make_dir(root, path);
	}
	(void)snprintf(path + at, (size_t)(PATH_ROOM - at), "/");
}

static size_t
fill(uint8_t buf[static LEN_MAX + 8], uint64_t number, uint64_t seed)
{
	static const char letters[] = "etaoin shrdlu\ncmf";
	uint64_t state = seed * UINT64_C(0x1000000000) + number;
	size_t len = LEN_MIN + next(&state) % (LEN_MAX - LEN_MIN + 1);

	for (size_t i = 0; i < len; i += 8) {
		uint64_t r = next(&state);

		memcpy(buf + i, &r, sizeof r);
	}
	for (size_t i = 0; number % 2 == 0 && i < len; i++)
		buf[i] = (uint8_t)letters[buf[i] & 15];
	return len;
}

static void
write_file(int root, const char *path, const uint8_t *buf, size_t len)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, buf, len) != (ssize_t)len || close(fd))
		fail(path);
}

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end) {
		fprintf(stderr, "tree_gen: %s is not a number\n", text);
		exit(2);
	}
	return n;
}

int
main(int argc, char **argv)
{
	static char path[PATH_ROOM];
	static uint8_t buf[LEN_MAX + 8];
	uint64_t files, dirs, seed;
	size_t dir_len = 0;
	int root;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "Usage: tree_gen DIR FILES [SEED]\n");
		return 2;
	}
	files = number(argv[2]);
	seed = argc > 3 ? number(argv[3]) : 1;
	dirs = (files + FILES_PER_DIR - 1) / FILES_PER_DIR;
	if (mkdir(argv[1], 0755) || (root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		fail(argv[1]);
	for (uint64_t i = 0; i < files; i++) {
		if (i % FILES_PER_DIR == 0) {
			enter_dir(root, i / FILES_PER_DIR, dirs, path);
			dir_len = strlen(path);
		}
		(void)snprintf(path + dir_len, PATH_ROOM - dir_len, "take %07" PRIu64 ".dat", i);
		write_file(root, path, buf, fill(buf, i, seed));
	}
	close(root);
	return 0;
}
