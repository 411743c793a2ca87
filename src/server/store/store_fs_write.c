/*
 * Bytes on their way to a file in tmp.  Full runs of RUN_LEN go past the page cache (O_DIRECT): they must be on the disk before they
 * are acknowledged anyway, and a server that takes terabytes would copy them into memory first, where they push out what is read
 * (docs/adr/0009).
 *
 * What is less than a run (the tail of an object, most chunks of small edits) and a header that is written last go through the page
 * cache, where those who want them next find them.  Where the file system has no O_DIRECT everything does.
 *
 * W1  In the file: all before w->at, which is a multiple of RUN_LEN.  In w->run: [at, at + have), and have < RUN_LEN.
 * W2  O_DIRECT is on only within write_run: every other write may begin and end anywhere.
 */
#include "server/store/store_fs_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/pathat.h"

#define RUN_LEN (256 * KIB)
#define RUN_ALIGN 4096 /* of memory, offset and length: enough for every disk */

/* ---- buffers.  Kept: fresh memory would cost the kernel as much as the copy that is saved ----------------------------------------- */

static uint8_t *
run_take(struct store_fs *fs)
{
	uint8_t *run = NULL;
	void *fresh;

	mutex_lock(&fs->runs_mu);
	if (fs->runs_idle > 0)
		run = fs->runs[--fs->runs_idle];
	mutex_unlock(&fs->runs_mu);
	if (run)
		return run;
	return posix_memalign(&fresh, RUN_ALIGN, RUN_LEN) == 0 ? fresh : NULL;
}

static void
run_give(struct store_fs *fs, uint8_t *run)
{
	if (!run)
		return;
	mutex_lock(&fs->runs_mu);
	if (fs->runs_idle < FS_RUNS_IDLE_MAX)
		fs->runs[fs->runs_idle++] = TAKE(run);
	mutex_unlock(&fs->runs_mu);
	free(run);
}

void
fs_runs_free(struct store_fs *fs)
{
	while (fs->runs_idle > 0)
		free(fs->runs[--fs->runs_idle]);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------- */

static err_code
write_through(struct fs_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	err_code rc = pwrite_full(w->fd, p, len, off, err);

	return rc ? err_wrap(err, "write an object") : ERR_OK;
}

/* Past the page cache.  NOT_IMPLEMENTED when the file system does not do that. */
static err_code
write_direct(struct fs_writer *w, struct err *err)
{
	err_code rc = ERR_OK;
	bool refused;

	if (FAULT("store.no_direct") || fcntl(w->fd, F_SETFL, O_DIRECT) != 0)
		return err_set(err, ERR_NOT_IMPLEMENTED, "no O_DIRECT here");
	rc = write_through(w, w->at, w->run, RUN_LEN, err);
	refused = rc && errno == EINVAL; /* also when it goes on after a short write, which is no run any more */
	if (fcntl(w->fd, F_SETFL, 0) != 0) /* W2 */
		return fs_error(err, "write an object");
	return refused ? err_set(err, ERR_NOT_IMPLEMENTED, "no O_DIRECT here") : rc;
}

/* The run is full. */
static err_code
write_run(struct store_fs *fs, struct fs_writer *w, struct err *err)
{
	err_code rc = ERR_NOT_IMPLEMENTED;

	if (atomic_load(&fs->direct))
		rc = write_direct(w, err);
	if (rc == ERR_NOT_IMPLEMENTED) {
		atomic_store(&fs->direct, false);
		rc = write_through(w, w->at, w->run, RUN_LEN, err);
	}
	w->at += RUN_LEN;
	w->have = 0;
	return rc;
}

static err_code
append(struct store_fs *fs, struct fs_writer *w, const uint8_t *p, size_t len, struct err *err)
{
	err_code rc = ERR_OK;

	if (!w->run)
		w->run = run_take(fs);
	if (!w->run)
		return err_set(err, ERR_NO_MEM, "a buffer for an object");
	while (!rc && len > 0) {
		size_t n = MIN(len, RUN_LEN - w->have);

		memcpy(w->run + w->have, p, n);
		w->have += n;
		p += n;
		len -= n;
		if (w->have == RUN_LEN)
			rc = write_run(fs, w, err);
	}
	return rc;
}

/* Over what was appended before: some of it may be in the file, some in the run. */
static err_code
overwrite(struct fs_writer *w, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	size_t in_file = off < w->at ? (size_t)MIN(len, w->at - off) : 0;

	if (len > in_file)
		memcpy(w->run + (off + in_file - w->at), p + in_file, len - in_file);
	return in_file > 0 ? write_through(w, off, p, in_file, err) : ERR_OK;
}

err_code
fs_write(struct store_writer *base, uint64_t off, const uint8_t *p, size_t len, struct err *err)
{
	struct store_fs *fs = (struct store_fs *)base->store;
	struct fs_writer *w = (struct fs_writer *)base;
	err_code rc;

	rc = fs_writable(fs, err);
	if (rc)
		return rc;
	if (off < base->len)
		return overwrite(w, off, p, len, err);
	rc = fs_room(fs, len, err);
	return rc ? rc : append(fs, w, p, len, err);
}

err_code
fs_write_tail(struct fs_writer *w, struct err *err)
{
	return w->have > 0 ? write_through(w, w->at, w->run, w->have, err) : ERR_OK;
}

void
fs_write_end(struct fs_writer *w)
{
	run_give((struct store_fs *)w->base.store, TAKE(w->run));
}
