/*
 * Hashing a file that someone may be writing.  A hash counts only when the file had one and the same stat before and after it was
 * read, and still has that name, so no version is ever made of bytes that were never together in the file (P19).
 */
#include <assert.h>
#include <errno.h>

#include "base/pathat.h"
#include "chunk/cut.h"
#include "client/scan/scan_internal.h"

#define TRIES 3

static bool
same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && stat_mtime_ns(a) == stat_mtime_ns(b) &&
	    stat_ctime_ns(a) == stat_ctime_ns(b) && a->st_mode == b->st_mode;
}

/* BUSY: it changed while it was read. */
static err_code
hash_once(int root, const char *path, const bool *cancel, struct stat *st, struct hash *content, struct err *err)
{
	AUTO(closep) int fd = -1;
	struct stat after;
	err_code rc;

	/* O_NONBLOCK: what was a file a moment ago may be a pipe without a writer now, and opening that would wait forever. */
	rc = pathat_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, err);
	if (rc == ERR_PARENT_NOT_DIRECTORY)
		return err_set(err, ERR_NOT_FOUND, "%s is not a file any more", path);
	if (rc)
		return rc;
	if (fstat(fd, st))
		return err_errno(err, "stat %s", path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_NOT_FOUND, "%s is not a file any more", path);
	rc = cut_hash_fd(fd, (uint64_t)st->st_size, cancel, content, err);
	if (rc == ERR_IO && err->reason && strcmp(err->reason, "shrunk") == 0)
		return err_reason(err, ERR_BUSY, "file_busy", "%s shrank while it was read", path);
	if (rc)
		return rc;
	/* By name, not by descriptor: an editor that saves by renaming over leaves this descriptor on the old file. */
	rc = pathat_stat(root, path, &after, err);
	if (rc)
		return rc;
	if (!same_stat(st, &after))
		return err_reason(err, ERR_BUSY, "file_busy", "%s changed while it was read", path);
	return ERR_OK;
}

err_code
scan_hash(int root, const struct entry *e, int64_t now_ns, const bool *cancel, struct entry *out, struct err *err)
{
	char target[LINK_TARGET_MAX + 1];
	const char *reason;
	struct hash content;
	struct stat st;
	struct err why; /* hash_once branches on its reason, so it needs one even when the caller does not */
	err_code rc = ERR_BUSY;

	assert(e->kind == ENTRY_FILE);
	for (unsigned tries = 0; tries < TRIES && rc == ERR_BUSY; tries++)
		rc = hash_once(root, e->path, cancel, &st, &content, &why);
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	reason = scan_entry(-1, "", &st, now_ns, target, out);
	if (reason)
		return err_reason(err, ERR_DENIED, reason, "%s cannot be synced: %s", e->path, reason);
	out->path = e->path;
	out->id = e->id;
	out->version = e->version;
	out->content = content;
	out->content_known = true;
	return ERR_OK;
}
