/*
 * What src/client/ignore/ says about the names of a tree, for test_33_gitignore.py to compare with git: reads names from standard input, each ended by
 * a NUL, and writes for each whether it is ignored and by which line: "1 sub:3" or "0 :0".
 *
 * Usage: ignore_lines ROOT <names      a directory's name ends in '/'.  Every directory on the way to a name is asked for its rules first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "client/ignore/ignore.h"

/* ${known}: the directories that have been asked. */
static bool
load_above(struct ignore *ig, struct map *known, int root, char *path)
{
	bool ok = true;

	for (char *slash = strchr(path, '/'); ok && slash && slash[1]; slash = strchr(slash + 1, '/')) {
		if (map_put(known, path, (size_t)(slash - path), known))
			continue;
		*slash = '\0';
		ok = !ignore_load(ig, root, path);
		*slash = '/';
	}
	return ok;
}

int
main(int argc, char **argv)
{
	AUTO(ignore_freep) struct ignore *ig = ignore_new();
	AUTO(map_freep) struct map *known = map_new();
	AUTO(freep) char *line = NULL;
	size_t cap = 0;
	int root = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (root < 0 || ignore_load(ig, root, ""))
		return EXIT_FAILURE;
	while (getdelim(&line, &cap, '\0', stdin) > 0) {
		size_t len = strlen(line), file_dir;
		bool dir = len > 0 && line[len - 1] == '/', ignored;
		unsigned at;

		if (!load_above(ig, known, root, line))
			return EXIT_FAILURE;
		line[len - dir] = '\0';
		ignored = ignore_line(ig, line, dir, &at, &file_dir);
		printf("%d %.*s:%u\n", ignored, (int)file_dir, line, at);
	}
	close(root);
	return EXIT_SUCCESS;
}
