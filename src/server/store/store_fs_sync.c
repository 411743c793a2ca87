/*
 * What durable means, and the end of it.
 *
 * S1  An fsync that has failed says nothing about the bytes, and the next one may succeed because the kernel has dropped them.  So
 *     the first failure is final: fs->failed is set before anybody can be told, and never cleared (I6).
 * S2  The kernel reports a write error once for each open file.  fsyncs of a shard therefore never overlap: if two did, the one
 *     that began later could take the success while the other took the error of both.
 * S3  A caller of fs_sync_shard is covered only by an fsync that began after the call: ${begun} counts them, and the caller waits
 *     for the one after the last that had begun.
 */

#include "server/store/store_fs_internal.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"

/* statvfs is cheap, though not free on a network file system; 100 ms at 1 GB/s are 100 MB, and those we count ourselves. */
#define ROOM_AGE_MS 100

err_code
fs_error_code(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case EROFS:
		return ERR_READ_ONLY;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return ERR_UNAVAILABLE;
	default:
		return ERR_IO;
	}
}

err_code
fs_writable(struct store_fs *fs, struct err *err)
{
	if (fs->reader)
		return err_set(err, ERR_READ_ONLY, "the store was opened to read only");
	if (atomic_load(&fs->failed))
		return err_set(err, ERR_READ_ONLY, "an fsync has failed: the store takes no writes until the next start");
	return ERR_OK;
}

/* fsync, with the mutants M8 and M9 and a disk that fails: M8 on such a disk acknowledges what no power cut leaves. */
static int
sync_fd(int fd)
{
	int rc = -1;

	if (FAULT("store.fsync_fails"))
		errno = EIO;
	else
		rc = fsync(fd);
	if (rc && FAULT("store.fsync_retried"))
		rc = fsync(fd);
	if (rc && FAULT("store.fsync_ignored"))
		rc = 0;
	return rc;
}

/* S1.  Logged here, though the error travels on: an operator must see it even if every client goes away. */
static err_code
fail(struct store_fs *fs, int sys, const char *what, struct err *err)
{
	if (!atomic_exchange(&fs->failed, true))
		log_event(LOG_ERROR, "fsync failed; the store is read-only until the next start", LOG_STR("what", what),
		    LOG_I64("errno", sys));
	return err_sys(err, ERR_READ_ONLY, sys, "fsync of %s", what);
}

err_code
fs_sync_new(struct store_fs *fs, int fd, struct err *err)
{
	if (FAULT("store.no_fsync")) /* M1 */
		return ERR_OK;
	if (sync_fd(fd) == 0)
		return ERR_OK;
	/*
	 * A full disk is no broken disk: where space is only allocated at writeback, this is how ENOSPC is said.  Our caller drops the
	 * file, so nothing that was or will be acknowledged depends on it.
	 */
	if (errno == ENOSPC || errno == EDQUOT)
		return err_sys(err, ERR_NO_SPACE, errno, "fsync of an object");
	return fail(fs, errno, "an object", err);
}

err_code
fs_sync_old(struct store_fs *fs, int fd, struct err *err)
{
	return sync_fd(fd) == 0 ? ERR_OK : fail(fs, errno, "a stored object", err);
}

/* Run one fsync of the shard for everybody who waits.  Called and returns with shard->mu held; it is free meanwhile. */
static err_code
lead_sync(struct store_fs *fs, struct fs_shard *shard, struct err *err)
{
	uint64_t mine = ++shard->begun;
	err_code rc = ERR_OK;

	shard->syncing = true;
	mutex_unlock(&shard->mu);
	if (sync_fd(shard->fd) != 0)
		rc = fail(fs, errno, "a shard directory", err); /* before another thread can begin: S2 */
	mutex_lock(&shard->mu);
	shard->syncing = false;
	if (!rc)
		shard->done = mine;
	cond_broadcast(&shard->cv);
	return rc;
}

err_code
fs_sync_shard(struct store_fs *fs, struct fs_shard *shard, struct err *err)
{
	uint64_t ticket;
	err_code rc = ERR_OK;

	if (FAULT("store.no_fsync_dir")) /* M2 */
		return ERR_OK;
	mutex_lock(&shard->mu);
	ticket = shard->begun + 1; /* S3 */
	while (!rc && shard->done < ticket) {
		if (atomic_load(&fs->failed))
			rc = fs_writable(fs, err);
		else if (shard->syncing)
			cond_wait(&shard->cv, &shard->mu);
		else
			rc = lead_sync(fs, shard, err);
	}
	mutex_unlock(&shard->mu);
	return rc;
}

static err_code
room_refresh(struct store_fs *fs, struct err *err)
{
	int64_t now = clock_mono_ms();
	struct statvfs st;

	if (fs->room_checked_ms != 0 && now - fs->room_checked_ms < ROOM_AGE_MS)
		return ERR_OK;
	if (fstatvfs(fs->root, &st) != 0)
		return fs_error(err, "ask for free space");
	fs->room = (uint64_t)st.f_bavail * st.f_frsize;
	fs->room_checked_ms = now;
	return ERR_OK;
}

err_code
fs_room(struct store_fs *fs, uint64_t len, struct err *err)
{
	err_code rc;

	mutex_lock(&fs->room_mu);
	rc = room_refresh(fs, err);
	if (!rc && (fs->room < fs->reserve || fs->room - fs->reserve < len))
		rc = err_set(err, ERR_NO_SPACE, "%llu bytes are free, %llu are kept in reserve", (unsigned long long)fs->room,
		    (unsigned long long)fs->reserve);
	if (!rc)
		fs->room -= len;
	mutex_unlock(&fs->room_mu);
	return rc;
}
