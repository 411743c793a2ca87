/* Run a fuzz target over every file of the folders named, and over each of their beginnings, without a fuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define INPUT_MAX (256 * 1024)
#define CUTS_MAX 512 /* of one file: longer ones are cut at every n-th byte */

/* The target gets an exact allocation, so a sanitizer sees every read past the end. */
static void
run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void
run_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f) {
		perror(path);
		exit(1);
	}
	len = fread(data, 1, sizeof data, f);
	fclose(f);
	for (size_t cut = 0; cut < len; cut += 1 + len / CUTS_MAX)
		run(data, cut);
	run(data, len);
}

static unsigned
run_folder(const char *folder)
{
	DIR *d = opendir(folder);
	char path[4096];
	unsigned count = 0;

	if (!d) {
		perror(folder);
		exit(1);
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		run_file(path);
		count++;
	}
	closedir(d);
	return count;
}

int
main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		count += run_folder(argv[i]);
	printf("%u inputs\n", count);
	return count == 0; /* an empty corpus tests nothing */
}
