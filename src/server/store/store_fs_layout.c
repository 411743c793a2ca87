/*
 * The directories of the local store.
 *
 *   DIR/chunks/00 … ff/<project>-<hash>   objects, by the first byte of the hash
 *   DIR/chunks.new/                       chunks while it is being made; only after a crash in the very first start
 *   DIR/tmp/                              objects being written
 *
 * L1  DIR/chunks is complete and durable when it has that name: it is made as chunks.new, every shard and chunks.new itself
 *     are fsynced, and then it is renamed.  So a start need not fsync 256 directories to know that they are there, and no shard is
 *     made while an object waits for it.
 * L2  tmp holds nothing that anybody was promised, and belongs to one process at a time: what is there at open is rubbish.
 */

#include "server/store/store_fs_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define DIR_MODE 0700

static void
shard_name(unsigned i, char out[static 3])
{
	uint8_t b = (uint8_t)i;

	hex_encode(&b, 1, out);
}

char *
fs_tmp_name(char out[static FS_TMP_NAME_SIZE])
{
	uint8_t b[8];

	rng_bytes(b, sizeof b);
	return hex_encode(b, sizeof b, out);
}

/* fsync at open: a failure here is the failure of the open, since nothing was promised yet. */
static err_code
sync_dir(int fd, const char *name, struct err *err)
{
	return fsync(fd) == 0 ? ERR_OK : fs_error(err, "fsync directory %s", name);
}

/* Make directory ${name} unless it is there, and open it. */
static err_code
open_dir(int at, const char *name, int *fd, struct err *err)
{
	if (mkdirat(at, name, DIR_MODE) != 0 && errno != EEXIST)
		return fs_error(err, "make directory %s", name);
	*fd = openat(at, name, DIR_FLAGS);
	return *fd >= 0 ? ERR_OK : fs_error(err, "open directory %s", name);
}

/* Open ${dir} as fs->root; if it had to be made, its name is made durable too. */
static err_code
open_root(struct store_fs *fs, const char *dir, struct err *err)
{
	bool made = mkdir(dir, DIR_MODE) == 0;
	AUTO(closep) int parent = -1;

	if (!made && errno != EEXIST)
		return fs_error(err, "make directory %s", dir);
	fs->root = open(dir, DIR_FLAGS);
	if (fs->root < 0)
		return fs_error(err, "open directory %s", dir);
	if (!made)
		return ERR_OK;
	parent = openat(fs->root, "..", DIR_FLAGS);
	if (parent < 0)
		return fs_error(err, "open the directory above %s", dir);
	return sync_dir(parent, "above the store", err);
}

/* All shards are made first and fsynced afterwards, so that a journal commits them together. */
static err_code
make_shards(int chunks, struct err *err)
{
	char name[3];
	err_code rc = ERR_OK;

	for (unsigned i = 0; i < FS_SHARDS; i++) {
		shard_name(i, name);
		if (mkdirat(chunks, name, DIR_MODE) != 0 && errno != EEXIST)
			return fs_error(err, "make shard %s", name);
	}
	for (unsigned i = 0; !rc && i < FS_SHARDS; i++) {
		AUTO(closep) int fd = -1;

		shard_name(i, name);
		fd = openat(chunks, name, DIR_FLAGS);
		rc = fd >= 0 ? sync_dir(fd, name, err) : fs_error(err, "open shard %s", name);
	}
	return rc;
}

/* L1: make chunks under its other name, then rename it. */
static err_code
make_chunks(struct store_fs *fs, struct err *err)
{
	AUTO(closep) int chunks = -1;
	err_code rc;

	rc = open_dir(fs->root, "chunks.new", &chunks, err);
	if (rc)
		return rc;
	rc = make_shards(chunks, err);
	if (rc)
		return rc;
	rc = sync_dir(chunks, "chunks.new", err);
	if (rc)
		return rc;
	if (renameat(fs->root, "chunks.new", fs->root, "chunks") != 0)
		return fs_error(err, "rename chunks.new to chunks");
	return ERR_OK;
}

/* Keep every shard open.  One that an operator or a backup program has left out, being empty, is made anew. */
static err_code
open_shards(struct store_fs *fs, int chunks, struct err *err)
{
	bool missing = false;
	char name[3];

	for (unsigned i = 0; i < FS_SHARDS && !missing; i++) {
		shard_name(i, name);
		fs->shards[i].fd = openat(chunks, name, DIR_FLAGS);
		if (fs->shards[i].fd < 0 && errno != ENOENT)
			return fs_error(err, "open shard %s", name);
		missing = fs->shards[i].fd < 0;
	}
	if (!missing)
		return ERR_OK;

	err_code rc = make_shards(chunks, err);
	if (rc)
		return rc;
	rc = sync_dir(chunks, "chunks", err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < FS_SHARDS; i++) {
		shard_name(i, name);
		if (fs->shards[i].fd < 0)
			fs->shards[i].fd = openat(chunks, name, DIR_FLAGS);
		if (fs->shards[i].fd < 0)
			return fs_error(err, "open shard %s", name);
	}
	return ERR_OK;
}

static err_code
open_chunks(struct store_fs *fs, struct err *err)
{
	AUTO(closep) int chunks = openat(fs->root, "chunks", DIR_FLAGS);
	err_code rc;

	if (chunks < 0 && errno != ENOENT)
		return fs_error(err, "open directory chunks");
	if (chunks < 0) {
		rc = make_chunks(fs, err);
		if (rc)
			return rc;
		chunks = openat(fs->root, "chunks", DIR_FLAGS);
	}
	return chunks >= 0 ? open_shards(fs, chunks, err) : fs_error(err, "open directory chunks");
}

/* L2.  Nothing here needs an fsync: what comes back after a power cut is removed at the next open. */
static err_code
empty_tmp(struct store_fs *fs, struct err *err)
{
	int fd = openat(fs->tmp, ".", DIR_FLAGS);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	uint64_t removed = 0;
	err_code rc = ERR_OK;

	if (!d) {
		rc = fs_error(err, "read directory tmp");
		closep(&fd);
		return rc;
	}
	while (!rc && (errno = 0, e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fs->tmp, e->d_name, 0) == 0)
			removed++;
		else
			rc = fs_error(err, "remove tmp/%s", e->d_name);
	}
	if (!rc && errno != 0)
		rc = fs_error(err, "read directory tmp");
	closedir(d);
	if (removed > 0)
		log_event(LOG_INFO, "removed what unfinished uploads had left", LOG_U64("files", removed));
	return rc;
}

/* Objects appear by a rename that refuses to replace.  A file system without it is found out now, not at the first upload. */
static err_code
probe_rename(struct store_fs *fs, struct err *err)
{
	AUTO(closep) int fd = -1;
	char from[FS_TMP_NAME_SIZE];
	char to[FS_TMP_NAME_SIZE];

	fd = openat(fs->tmp, fs_tmp_name(from), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fs_error(err, "create a file in tmp");
	if (renameat2(fs->tmp, from, fs->tmp, fs_tmp_name(to), RENAME_NOREPLACE) != 0)
		return fs_error(err, "this file system cannot rename without replacing");
	return unlinkat(fs->tmp, to, 0) == 0 ? ERR_OK : fs_error(err, "remove a file in tmp");
}

err_code
fs_layout_open(struct store_fs *fs, const char *dir, struct err *err)
{
	err_code rc;

	rc = open_root(fs, dir, err);
	if (rc)
		return rc;
	rc = open_chunks(fs, err);
	if (rc)
		return rc;
	rc = open_dir(fs->root, "tmp", &fs->tmp, err);
	if (rc)
		return rc;
	rc = sync_dir(fs->root, "of the store", err); /* L1: the names chunks and tmp, also if an earlier start made them */
	if (rc)
		return rc;
	rc = empty_tmp(fs, err);
	return rc ? rc : probe_rename(fs, err);
}

err_code
fs_layout_open_reader(struct store_fs *fs, const char *dir, struct err *err)
{
	AUTO(closep) int chunks = -1;
	char name[3];

	fs->root = open(dir, DIR_FLAGS);
	if (fs->root < 0)
		return fs_error(err, "open directory %s", dir);
	chunks = openat(fs->root, "chunks", DIR_FLAGS);
	if (chunks < 0)
		return fs_error(err, "open directory chunks");
	for (unsigned i = 0; i < FS_SHARDS; i++) {
		shard_name(i, name);
		fs->shards[i].fd = openat(chunks, name, DIR_FLAGS);
		if (fs->shards[i].fd < 0)
			return fs_error(err, "open shard %s", name);
	}
	return ERR_OK;
}
