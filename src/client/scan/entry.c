/*
 * From a stat to an entry, and one entry by its path.
 */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "base/path.h"
#include "base/pathat.h"
#include "base/utf8.h"
#include "chunk/blocklist.h"
#include "client/scan/scan_internal.h"

/* A young ctime proves nothing later (RACY_NS), nor does one in the future: the clock was set back. */
static int64_t
ctime_trusted(const struct stat *st, int64_t now_ns)
{
	int64_t ctime_ns = stat_ctime_ns(st);

	return ctime_ns > now_ns - RACY_NS ? 0 : ctime_ns;
}

static const char *
link_entry(int dir, const char *name, char target[static LINK_TARGET_MAX + 1], struct entry *out)
{
	ssize_t n = readlinkat(dir, name, target, LINK_TARGET_MAX + 1);

	if (n < 0)
		return "unreadable";
	if (n == 0 || n > LINK_TARGET_MAX)
		return "symlink_invalid";
	target[n] = '\0';
	if (!utf8_valid(target, (size_t)n))
		return "target_not_utf8";
	out->target = target;
	out->content = content_hash_link(target, (size_t)n);
	out->content_known = true;
	return NULL;
}

const char *
scan_entry(int dir, const char *name, const struct stat *st, int64_t now_ns, char target[static LINK_TARGET_MAX + 1],
    struct entry *out)
{
	*out = (struct entry){
		.mode = st->st_mode & 0777,
		.mtime_ns = stat_mtime_ns(st),
		.target = "",
		.dev = st->st_dev,
		.ino = st->st_ino,
		.ctime_ns = ctime_trusted(st, now_ns),
	};
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		out->kind = ENTRY_FILE;
		out->size = st->st_size;
		return (uint64_t)st->st_size > FILE_SIZE_MAX ? "file_too_large" : NULL;
	case S_IFDIR:
		out->kind = ENTRY_DIR;
		out->content_known = true;
		return NULL;
	case S_IFLNK:
		out->kind = ENTRY_LINK;
		return link_entry(dir, name, target, out);
	default:
		return "special_file";
	}
}

/* A name behind a symlink, or behind a file, is not in the tree: the walk would not find it either. */
static err_code
not_in_tree(err_code rc, const char *path, struct err *err)
{
	return rc == ERR_PARENT_NOT_DIRECTORY ? err_set(err, ERR_NOT_FOUND, "%s is not in the tree", path) : rc;
}

err_code
scan_stat(int root, const char *path, int64_t now_ns, struct arena *a, struct entry *out, struct err *err)
{
	AUTO(closep) int dir = -1;
	char target[LINK_TARGET_MAX + 1];
	const char *name, *reason;
	struct stat st;
	err_code rc;

	rc = path_check(path, strlen(path), err);
	if (rc)
		return rc;
	rc = pathat_parent(root, path, &dir, &name, err);
	if (rc)
		return not_in_tree(rc, path, err);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return not_in_tree(err_errno(err, "stat %s", path), path, err);
	reason = scan_entry(dir, name, &st, now_ns, target, out);
	if (reason)
		return err_reason(err, ERR_DENIED, reason, "%s cannot be synced: %s", path, reason);
	out->path = arena_strdup(a, path);
	out->target = arena_strdup(a, out->target);
	if (!out->path || !out->target)
		return err_set(err, ERR_NO_MEM, "no memory for the entry of %s", path);
	return ERR_OK;
}
