/*
 * What others are told has happened here must also survive here.  After a power cut an edit whose bytes, or a rename whose entry, had
 * not reached the disk is undone; but it is agreed with the server, so that the next sync would take what the cut has left for the
 * user's newest edit and send it: an empty file over the good version, a deletion of what was new, the return of what was deleted.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/pathat.h"
#include "client/transfer/push_internal.h"

#define SYNC_ALL_FROM 16 /* operations: from here on one syncfs costs less than as many fsyncs */

/* What is not there any more, or never was for us to read, is not what we tell. */
static bool
not_ours(err_code rc)
{
	return rc == ERR_NOT_FOUND || rc == ERR_PARENT_NOT_DIRECTORY || rc == ERR_DENIED;
}

static err_code
flush_file(int root, const char *path, struct err *err)
{
	int fd;
	err_code rc = pathat_open(root, path, O_RDONLY | O_NONBLOCK, 0, &fd, err);

	if (rc)
		return not_ours(rc) ? ERR_OK : rc;
	if (fsync(fd) && errno != EINVAL) /* by now it may be a pipe */
		rc = err_errno(err, "flush %s", path);
	close(fd);
	return rc;
}

/* The directory in which ${path} came or went. */
static err_code
flush_parent(int root, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO(freep) char *parent = xstrdup(path);
	err_code rc;

	parent[slash ? (size_t)(slash - path) : 0] = '\0';
	rc = pathat_fsync_dir(root, parent, err);
	return not_ours(rc) ? ERR_OK : rc;
}

static err_code
flush_op(int root, const struct plan_op *op, struct err *err)
{
	err_code rc = ERR_OK;

	if (op->local && op->local->kind == ENTRY_FILE)
		rc = flush_file(root, op->path, err);
	if (!rc)
		rc = flush_parent(root, op->path, err);
	if (!rc && op->from)
		rc = flush_parent(root, op->from, err);
	return rc;
}

/*
 * Whether the flush of everything that this push has made holds for the item.  The plan's scan came before it, so whatever the scan saw is
 * durable: a new directory, a name that came or went, and a file that still has the change time that it had then.  A change time that
 * is not known proves nothing.
 */
static bool
covered(const struct push *p, const struct item *it)
{
	const struct entry *local = it->op->local;

	if (!p->flushed)
		return false;
	if (!local || local->kind != ENTRY_FILE || FAULT("client.flushed_is_all"))
		return true;
	return local->ctime_ns != 0 && it->entry.ctime_ns == local->ctime_ns;
}

/* One syncfs for a whole push, so that a million files do not wait for five hundred. */
static err_code
flush_all(struct push *p, struct err *err)
{
	if (syncfs(p->env->root))
		return err_errno(err, "flush the file system");
	p->flushed = true;
	return ERR_OK;
}

err_code
push_flush(struct push *p, struct item *const *items, size_t n, struct err *err)
{
	err_code rc = ERR_OK;
	size_t bare = 0;

	if (FAULT("client.no_flush_before_commit")) /* M38 */
		return ERR_OK;
	for (size_t i = 0; i < n; i++)
		bare += !covered(p, items[i]);
	if (bare >= SYNC_ALL_FROM)
		return flush_all(p, err);
	for (size_t i = 0; i < n && !rc; i++)
		if (!covered(p, items[i]))
			rc = flush_op(p->env->root, items[i]->op, err);
	return rc;
}
