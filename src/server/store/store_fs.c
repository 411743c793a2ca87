/*
 * Objects as files.  How one becomes durable (I1), in the order of publish():
 *
 *   1. bytes     a file in tmp is written (store_fs_write.c) and fsynced
 *   2. name      renameat2(RENAME_NOREPLACE) into its shard: it appears whole, and never replaces another
 *   3. entry     fsync of the shard directory
 *   4. only then ERR_OK
 *
 * O_TMPFILE with linkat would leave no rubbish in tmp, and is not used: btrfs's fsync passes over a file that has no name, so after
 * a power cut the object could be there without its bytes.
 *
 * A name that is there already proves nothing: another thread may be between 2 and 3, or the machine may have stopped there.  So a
 * duplicate is acknowledged only after fsync of the file that is there and of its shard.  One of another length cannot be the
 * object, whatever made it so, and is replaced: that is how a sick chunk is healed by a client that has it.
 *
 * Deletes are not fsynced: a chunk that comes back after a power cut is garbage, and the next sweep finds it.
 */

#include "server/store/store_fs_internal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/pathat.h"

/* A put races with deletes of the same key only while garbage is collected; each round needs one that hits the gap exactly. */
#define PUBLISH_TRIES 16

static struct store_fs *
fs_of(struct store *s)
{
	return (struct store_fs *)s;
}

static struct fs_shard *
shard_of(struct store_fs *fs, const struct store_key *key)
{
	return &fs->shards[key->hash.b[0]];
}

static char *
object_name(const struct store_key *key, char out[static FS_NAME_SIZE])
{
	id_hex(&key->project, out);
	out[ID_HEX_LEN] = '-';
	hash_hex(&key->hash, out + ID_HEX_LEN + 1);
	return out;
}

static bool
object_key(const char *name, struct store_key *key)
{
	return strlen(name) == FS_NAME_LEN && name[ID_HEX_LEN] == '-' &&
	    hex_decode(name, ID_HEX_LEN, key->project.b, sizeof key->project.b) &&
	    hex_decode(name + ID_HEX_LEN + 1, HASH_HEX_LEN, key->hash.b, sizeof key->hash.b);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

static err_code
fs_open_writer(struct store *s, struct store_writer **out, struct err *err)
{
	struct store_fs *fs = fs_of(s);
	struct fs_writer *w;
	err_code rc;

	rc = fs_writable(fs, err);
	if (rc)
		return rc;
	rc = fs_room(fs, 0, err);
	if (rc)
		return rc;
	w = xcalloc(1, sizeof *w);
	w->base.store = s;
	w->fd = openat(fs->tmp, fs_tmp_name(w->tmp_name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		rc = fs_error(err, "create an object");
		free(w);
		return rc;
	}
	*out = &w->base;
	return ERR_OK;
}

static void
writer_release(struct fs_writer *w)
{
	if (w->tmp_name[0] != '\0')
		(void)unlinkat(fs_of(w->base.store)->tmp, w->tmp_name, 0); /* else the next open removes it */
	fs_write_end(w);
	closep(&w->fd);
	free(w);
}

static void
fs_abandon(struct store_writer *base)
{
	writer_release((struct fs_writer *)base);
}

/* Move the file from tmp to its name.  With RENAME_NOREPLACE, EXISTS when the name is taken. */
static err_code
move_in(struct store_fs *fs, struct fs_writer *w, struct fs_shard *shard, const char *name, unsigned flags, struct err *err)
{
	if (renameat2(fs->tmp, w->tmp_name, shard->fd, name, flags) != 0)
		return fs_error(err, "name an object");
	w->tmp_name[0] = '\0';
	return ERR_OK;
}

/* What is there cannot be the object: put the new file in its place. */
static err_code
replace(struct store_fs *fs, struct fs_writer *w, struct fs_shard *shard, const char *name, struct err *err)
{
	err_code rc;

	log_event(LOG_ERROR, "a stored object has the wrong length and is replaced", LOG_STR("object", name));
	rc = move_in(fs, w, shard, name, 0, err);
	return rc ? rc : fs_sync_shard(fs, shard, err);
}

/* The name is taken.  NOT_FOUND when it is free again. */
static err_code
settle_duplicate(struct store_fs *fs, struct fs_writer *w, struct fs_shard *shard, const char *name, struct err *err)
{
	AUTO(closep) int fd = -1;
	struct stat st;
	err_code rc;

	if (FAULT("store.dup_early")) /* M4 */
		return ERR_OK;
	fd = openat(shard->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return fs_error(err, "open the object that is there");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != w->base.len)
		return replace(fs, w, shard, name, err);
	rc = fs_sync_old(fs, fd, err);
	return rc ? rc : fs_sync_shard(fs, shard, err);
}

/* The four steps at the top of this file. */
static err_code
publish(struct store_fs *fs, struct fs_writer *w, const struct store_key *key, struct err *err)
{
	struct fs_shard *shard = shard_of(fs, key);
	char name[FS_NAME_SIZE];
	err_code rc;

	rc = fs_writable(fs, err);
	if (rc)
		return rc;
	rc = fs_write_tail(w, err);
	if (!rc)
		rc = fs_sync_new(fs, w->fd, err);
	object_name(key, name);
	for (int i = 0; !rc && i < PUBLISH_TRIES; i++) {
		rc = move_in(fs, w, shard, name, RENAME_NOREPLACE, err);
		if (!rc)
			return fs_sync_shard(fs, shard, err);
		if (rc != ERR_EXISTS)
			return rc;
		rc = settle_duplicate(fs, w, shard, name, err);
		if (rc != ERR_NOT_FOUND)
			return rc;
		rc = ERR_OK; /* deleted meanwhile: the name is free, or was */
	}
	return rc ? rc : err_set(err, ERR_UNAVAILABLE, "the object comes and goes");
}

static err_code
fs_finish(struct store_writer *base, const struct store_key *key, struct err *err)
{
	struct fs_writer *w = (struct fs_writer *)base;
	err_code rc = publish(fs_of(base->store), w, key, err);

	writer_release(w);
	return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static err_code
fs_open_fd(struct store *s, const struct store_key *key, int *out, uint64_t *size, struct err *err)
{
	char name[FS_NAME_SIZE];
	AUTO(closep) int fd = -1;
	struct stat st;

	fd = openat(shard_of(fs_of(s), key)->fd, object_name(key, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return fs_error(err, "open object %s", name);
	*size = (uint64_t)st.st_size;
	*out = fd;
	fd = -1;
	return ERR_OK;
}

static err_code
fs_read(struct store *s, const struct store_key *key, uint64_t off, uint8_t *buf, size_t len, size_t *got, struct err *err)
{
	AUTO(closep) int fd = -1;
	uint64_t size;
	err_code rc;

	rc = fs_open_fd(s, key, &fd, &size, err);
	if (rc)
		return rc;
	if (off >= size)
		return ERR_OK; /* also keeps offsets that pread would refuse away from it */
	if (FAULT("store.bad_sectors") && key->hash.b[0] % 3 == 0) {
		errno = EIO;
		return err_errno(err, "read an object");
	}
	rc = pread_full(fd, buf, len, off, got, err);
	return rc ? err_wrap(err, "read an object") : ERR_OK;
}

static err_code
fs_size(struct store *s, const struct store_key *key, uint64_t *size, struct err *err)
{
	char name[FS_NAME_SIZE];
	struct stat st;

	if (fstatat(shard_of(fs_of(s), key)->fd, object_name(key, name), &st, AT_SYMLINK_NOFOLLOW) != 0)
		return fs_error(err, "look at object %s", name);
	*size = (uint64_t)st.st_size;
	return ERR_OK;
}

static err_code
fs_age(struct store *s, const struct store_key *key, int64_t *age_us, struct err *err)
{
	char name[FS_NAME_SIZE];
	struct stat st;

	if (fstatat(shard_of(fs_of(s), key)->fd, object_name(key, name), &st, AT_SYMLINK_NOFOLLOW) != 0)
		return fs_error(err, "look at object %s", name);
	*age_us = clock_wall_us() - ((int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000);
	return ERR_OK;
}

/* ---- deleting and listing ------------------------------------------------------------------------------------------------ */

static err_code
fs_delete(struct store *s, const struct store_key *key, struct err *err)
{
	char name[FS_NAME_SIZE];

	if (fs_of(s)->reader)
		return fs_writable(fs_of(s), err);
	if (unlinkat(shard_of(fs_of(s), key)->fd, object_name(key, name), 0) != 0 && errno != ENOENT)
		return fs_error(err, "delete object %s", name);
	return ERR_OK;
}

struct listing {
	bool (*fn)(void *ctx, const struct store_key *key, uint64_t size);
	void *ctx;
	bool stopped;
};

/* One name of a shard.  What is no object of ours is left alone and said (I14). */
static err_code
list_entry(struct fs_shard *shard, const char *name, struct listing *l, struct err *err)
{
	struct store_key key;
	struct stat st;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return ERR_OK;
	if (!object_key(name, &key)) {
		log_event(LOG_WARN, "a file in the store is none of its objects", LOG_STR("name", name));
		return ERR_OK;
	}
	if (fstatat(shard->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? ERR_OK : fs_error(err, "look at object %s", name);
	l->stopped = !l->fn(l->ctx, &key, (uint64_t)st.st_size);
	return ERR_OK;
}

static err_code
list_shard(struct fs_shard *shard, struct listing *l, struct err *err)
{
	int fd = openat(shard->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a position of its own for each listing */
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	err_code rc = ERR_OK;

	if (!d) {
		rc = fs_error(err, "read a shard directory");
		closep(&fd);
		return rc;
	}
	while (!rc && !l->stopped) {
		errno = 0;
		e = readdir(d);
		if (!e) {
			if (errno != 0)
				rc = fs_error(err, "read a shard directory");
			break;
		}
		rc = list_entry(shard, e->d_name, l, err);
	}
	closedir(d);
	return rc;
}

static err_code
fs_list(struct store *s, bool (*fn)(void *ctx, const struct store_key *key, uint64_t size), void *ctx, struct err *err)
{
	struct store_fs *fs = fs_of(s);
	struct listing l = { .fn = fn, .ctx = ctx };
	err_code rc = ERR_OK;

	for (unsigned i = 0; !rc && !l.stopped && i < FS_SHARDS; i++)
		rc = list_shard(&fs->shards[i], &l, err);
	return rc;
}

/* ---- the store itself --------------------------------------------------------------------------------------------------- */

static err_code
fs_check(struct store *s, struct err *err)
{
	err_code rc = fs_writable(fs_of(s), err);

	return rc ? rc : fs_room(fs_of(s), 0, err);
}

static void
fs_free(struct store *s)
{
	struct store_fs *fs = fs_of(s);

	for (unsigned i = 0; i < FS_SHARDS; i++) {
		closep(&fs->shards[i].fd);
		cond_fini(&fs->shards[i].cv);
		mutex_fini(&fs->shards[i].mu);
	}
	fs_runs_free(fs);
	mutex_fini(&fs->runs_mu);
	mutex_fini(&fs->room_mu);
	closep(&fs->tmp);
	closep(&fs->root);
	free(fs);
}

static const struct store_ops fs_ops = {
	.free = fs_free,
	.open_writer = fs_open_writer,
	.write = fs_write,
	.finish = fs_finish,
	.abandon = fs_abandon,
	.read = fs_read,
	.size = fs_size,
	.age = fs_age,
	.open_fd = fs_open_fd,
	.delete = fs_delete,
	.list = fs_list,
	.check = fs_check,
};

static struct store_fs *
fs_new(uint64_t reserve)
{
	struct store_fs *fs = xcalloc(1, sizeof *fs);

	fs->base.ops = &fs_ops;
	fs->reserve = reserve;
	fs->root = -1;
	fs->tmp = -1;
	fs->direct = true;
	mutex_init(&fs->room_mu, RANK_LEAF);
	mutex_init(&fs->runs_mu, RANK_LEAF);
	for (unsigned i = 0; i < FS_SHARDS; i++) {
		fs->shards[i].fd = -1;
		mutex_init(&fs->shards[i].mu, RANK_STORE);
		cond_init(&fs->shards[i].cv);
	}
	return fs;
}

static err_code
opened(struct store_fs *fs, const char *dir, err_code rc, struct store **out, struct err *err)
{
	if (rc) {
		fs_free(&fs->base);
		return err_wrap(err, "open store %s", dir);
	}
	*out = &fs->base;
	return ERR_OK;
}

err_code
store_fs_open(const char *dir, uint64_t reserve, struct store **out, struct err *err)
{
	struct store_fs *fs = fs_new(reserve);

	return opened(fs, dir, fs_layout_open(fs, dir, err), out, err);
}

err_code
store_fs_open_reader(const char *dir, struct store **out, struct err *err)
{
	struct store_fs *fs = fs_new(0);

	fs->reader = true;
	return opened(fs, dir, fs_layout_open_reader(fs, dir, err), out, err);
}
