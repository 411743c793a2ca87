/*
 * The rules of a tree, by directory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/path.h"
#include "base/pathat.h"
#include "client/ignore/ignore_internal.h"

struct ignore {
	struct map *by_dir; /* path of a directory -> struct rules */
	size_t bytes;       /* of all their texts */
};

struct ignore *
ignore_new(void)
{
	struct ignore *ig = xcalloc(1, sizeof *ig);

	ig->by_dir = map_new();
	return ig;
}

void
ignore_free(struct ignore *ig)
{
	size_t pos = 0, len;
	const void *key;
	void *rules;

	if (!ig)
		return;
	while (map_next(ig->by_dir, &pos, &key, &len, &rules)) {
		rules_fini(rules);
		free(rules);
	}
	map_free(ig->by_dir);
	free(ig);
}

void
ignore_freep(struct ignore **ig)
{
	ignore_free(*ig);
}

bool
ignore_rules(const struct ignore *ig)
{
	return map_count(ig->by_dir) > 0;
}

bool
ignore_is_file(const char *path)
{
	size_t dir_len;

	return strcmp(path_split(path, &dir_len), IGNORE_FILE) == 0;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

static void
forget(struct ignore *ig, const char *dir)
{
	struct rules *rules = map_remove(ig->by_dir, dir, strlen(dir));

	if (!rules)
		return;
	ig->bytes -= rules->len;
	rules_fini(rules);
	free(rules);
}

const char *
ignore_put(struct ignore *ig, const char *dir, const char *text, size_t len)
{
	struct rules *rules;
	const char *reason;

	forget(ig, dir);
	if (ig->bytes + len > IGNORE_TREE_MAX)
		return "ignore_too_many";
	rules = xcalloc(1, sizeof *rules);
	reason = rules_parse(rules, text, len);
	if (reason || rules->n == 0) {
		rules_fini(rules);
		free(rules);
		return reason;
	}
	ig->bytes += len;
	map_put(ig->by_dir, dir, strlen(dir), rules);
	return NULL;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && stat_mtime_ns(a) == stat_mtime_ns(b) && stat_ctime_ns(a) == stat_ctime_ns(b);
}

/* The whole file, as it was at one moment. */
static const char *
load_fd(struct ignore *ig, int fd, const char *dir)
{
	AUTO(freep) char *text = NULL;
	struct stat before, after;
	struct err ignored;
	size_t got;

	if (fstat(fd, &before))
		return "ignore_unreadable";
	if (!S_ISREG(before.st_mode))
		return "ignore_not_file";
	text = xmalloc(IGNORE_FILE_MAX + 1);
	if (read_full(fd, text, IGNORE_FILE_MAX + 1, &got, &ignored))
		return "ignore_unreadable";
	if (fstat(fd, &after) || !same_file(&before, &after))
		return "ignore_changing";
	return ignore_put(ig, dir, text, got);
}

const char *
ignore_load(struct ignore *ig, int root, const char *dir)
{
	AUTO(closep) int fd = -1;
	AUTO(freep) char *path = xmalloc(strlen(dir) + sizeof "/" IGNORE_FILE);
	size_t len = strlen(dir);
	struct err err;

	forget(ig, dir);
	memcpy(path, dir, len);
	if (len)
		path[len++] = '/';
	memcpy(path + len, IGNORE_FILE, sizeof IGNORE_FILE);
	/* O_NONBLOCK: a pipe without a writer would be waited for; it is no file, and said to be none. */
	switch (pathat_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, &err)) {
	case ERR_OK:
		return load_fd(ig, fd, dir);
	case ERR_NOT_FOUND:
		return NULL;
	case ERR_PARENT_NOT_DIRECTORY: /* a link */
		return "ignore_not_file";
	default:
		return err.sys == ENXIO ? "ignore_not_file" : "ignore_unreadable"; /* ENXIO: a socket */
	}
}

/* ---- answers -------------------------------------------------------------------------------------------------------------------- */

/* The pattern that decides about ${path}, whose directory is not ignored, and the directory of its file. */
static const struct pattern *
decides(const struct ignore *ig, const char *path, bool dir, size_t *file_dir)
{
	size_t len;

	path_split(path, &len);
	for (;;) {
		const struct rules *rules = map_get(ig->by_dir, path, len);
		const struct pattern *p = rules ? rules_last(rules, path + len + (len > 0), dir) : NULL;

		if (p) {
			*file_dir = len;
			return p;
		}
		if (len == 0)
			return NULL;
		while (len > 0 && path[len - 1] != '/')
			len--;
		len -= len > 0;
	}
}

bool
ignore_name(const struct ignore *ig, const char *path, bool dir)
{
	const struct pattern *p;
	size_t file_dir;

	if (map_count(ig->by_dir) == 0)
		return false;
	p = decides(ig, path, dir, &file_dir);
	return p && !p->negated;
}

bool
ignore_line(const struct ignore *ig, const char *path, bool dir, unsigned *line, size_t *file_dir)
{
	const struct pattern *p = NULL;
	char above[PATH_LEN_MAX + 1];
	size_t len = strlen(path);

	*line = 0;
	*file_dir = 0;
	if (map_count(ig->by_dir) == 0 || len > PATH_LEN_MAX)
		return false;
	memcpy(above, path, len + 1);
	for (size_t i = 1; i <= len && !(p && !p->negated); i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		above[i] = '\0';
		p = decides(ig, above, i < len || dir, file_dir);
		above[i] = path[i];
	}
	*line = p ? p->line : 0;
	return p && !p->negated;
}

bool
ignore_path(const struct ignore *ig, const char *path, bool dir)
{
	unsigned line;
	size_t file_dir;

	return ignore_line(ig, path, dir, &line, &file_dir);
}
