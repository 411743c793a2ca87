/*
 * What is to be sent for a file?  Its stat is taken from the open descriptor before and after the reading: bytes count only when
 * nothing moved meanwhile.
 *
 * Small files are read into memory and hashed before anything is decided.  Larger ones are packed while they are read, unless
 * there is a chance that the server has the content already: then they are hashed first, since hashing is far cheaper than sending.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/pathat.h"
#include "chunk/cut.h"
#include "client/transfer/push_internal.h"

#define RACY_NS (20 * INT64_C(1000000)) /* the clock that stamps files ticks every 4 to 10 ms */

struct reading {
	struct packer *packer;
	struct push *push;
	struct item *item;
	uint8_t *buf;                /* small files */
	struct content_hash content; /* as it comes */
};

/* ---- the stat ------------------------------------------------------------------------------------------------------------------- */

static err_code
open_file(struct push *p, const char *path, int *fd, struct stat *st, struct err *err)
{
	/* O_NONBLOCK: a fifo that took the file's name must not hang us. */
	err_code rc = pathat_open(p->env->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, fd, err);

	if (rc)
		return rc;
	if (fstat(*fd, st) < 0)
		return err_errno(err, "%s", path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, ERR_VERSION_CONFLICT, "%s is not a file any more", path);
	if ((uint64_t)st->st_size > FILE_SIZE_MAX)
		return err_set(err, ERR_FILE_TOO_LARGE, "%s is larger than 16 TiB", path);
	return ERR_OK;
}

/* Whether the file is as the scan saw it, as far as a scan that came close to the last change can tell. */
static bool
as_scanned(const struct entry *e, const struct entry *local, uint32_t disk_mode)
{
	if (local->ctime_ns == 0)
		return disk_mode == local->mode;
	return e->ctime_ns == local->ctime_ns;
}

static void
entry_fill(struct entry *e, const struct plan_op *op, const struct stat *st)
{
	int64_t now = clock_wall_ns();

	*e = *op->local;
	e->path = op->path;
	e->size = st->st_size;
	e->mtime_ns = stat_mtime_ns(st);
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->ctime_ns = stat_ctime_ns(st);
	e->content_known = op->local->content_known && entry_same_disk(e, op->local);
	e->content = op->local->content;
	/*
	 * The mode stays the scan's, which knows what the umask took away.  Where it may have changed since, and where a change within
	 * the same tick would leave no trace, the next scan looks again.
	 */
	if (!as_scanned(e, op->local, st->st_mode & 0777) || e->ctime_ns > now - RACY_NS)
		e->ctime_ns = 0;
}

static bool
moved(int fd, const struct stat *before)
{
	struct stat after;

	return fstat(fd, &after) < 0 || after.st_size != before->st_size || stat_mtime_ns(&after) != stat_mtime_ns(before) ||
	    stat_ctime_ns(&after) != stat_ctime_ns(before);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------- */

static err_code
keep_block(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct reading *r = ctx;

	(void)err;
	memcpy(r->buf + offset, p, len);
	content_hash_add(&r->content, hash, len);
	item_add_block(r->item, hash, len);
	return ERR_OK;
}

static err_code
hash_block(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct reading *r = ctx;

	(void)offset, (void)p;
	content_hash_add(&r->content, hash, len);
	if (offset % (64 * BLOCK_LEN_MAX) == 0 && push_stopped(r->push))
		return err_set(err, ERR_CANCELLED, "stopped on request");
	return ERR_OK;
}

static err_code
send_block(void *ctx, uint64_t offset, const uint8_t *p, uint32_t len, const struct hash *hash, struct err *err)
{
	struct reading *r = ctx;
	struct item *it = r->item;
	err_code rc;

	(void)offset;
	content_hash_add(&r->content, hash, len);
	rc = pack_block(r->packer, it, p, len, hash, err);
	if (rc)
		return rc;
	if (it->own_transfer && it->list_first + it->block_count - it->list_sent == BLOCKLIST_UPLOAD_MAX) {
		pack_seal(r->packer); /* costs nothing: on the grid a page is 128 full chunks */
		return item_list_send(r->push, it, err);
	}
	return ERR_OK;
}

static err_code
cut(struct reading *r, int fd, cut_fn fn, struct err *err)
{
	struct item *it = r->item;
	err_code rc;

	content_hash_init(&r->content);
	rc = cut_fd(fd, (uint64_t)it->entry.size, fn, r, err);
	if (rc) {
		content_hash_fini(&r->content);
		return rc;
	}
	it->entry.content = content_hash_final(&r->content);
	it->entry.content_known = true;
	return ERR_OK;
}

/* ---- deciding --------------------------------------------------------------------------------------------------------------------- */

/* With the content known: whether the server needs no bytes. */
static bool
needs_no_bytes(struct push *p, struct item *it)
{
	if (it->server.path && entry_same_content(&it->server, &it->entry)) {
		it->nothing = entry_same_meta(&it->server, &it->entry);
		it->send_content = false;
		return true;
	}
	it->send_content = true;
	return it->entry.size == 0 || item_known(p, it);
}

static err_code
pack_kept(struct reading *r, struct err *err)
{
	struct item *it = r->item;
	struct block *blocks = it->blocks; /* packing adds them again, with their places */
	size_t n = it->block_count;
	const uint8_t *p = r->buf;
	err_code rc = ERR_OK;

	it->blocks = NULL;
	it->block_cap = 0;
	item_list_reset(it);
	if ((uint64_t)it->entry.size <= NEVER_SPLIT_MAX)
		pack_room(r->packer, (uint64_t)it->entry.size);
	for (size_t i = 0; i < n && rc == ERR_OK; i++) {
		rc = pack_block(r->packer, it, p, blocks[i].len, &blocks[i].hash, err);
		p += blocks[i].len;
	}
	free(blocks);
	return rc;
}

static err_code
read_small(struct reading *r, int fd, const struct stat *st, bool *changed, struct err *err)
{
	err_code rc = cut(r, fd, keep_block, err);

	if (rc)
		return rc;
	*changed = moved(fd, st);
	if (*changed || needs_no_bytes(r->push, r->item))
		return ERR_OK;
	return pack_kept(r, err);
}

static err_code
read_large(struct reading *r, int fd, const struct stat *st, bool *changed, struct err *err)
{
	struct item *it = r->item;
	err_code rc;

	if (!it->entry.content_known && it->server.path && it->server.kind == ENTRY_FILE && it->server.size == it->entry.size) {
		rc = cut(r, fd, hash_block, err);
		if (rc)
			return rc;
		*changed = moved(fd, st);
		if (*changed || needs_no_bytes(r->push, it))
			return ERR_OK;
	}
	it->send_content = true;
	if ((uint64_t)it->entry.size > OWN_TRANSFER_MIN) {
		rc = remote_transfer_create(r->push->env->remote, plan_op_as(it->op), it->entry.size, &it->transfer, err);
		if (rc)
			return rc;
		it->own_transfer = true;
		pack_own(r->packer, it);
	}
	rc = cut(r, fd, send_block, err);
	if (rc)
		return rc;
	*changed = moved(fd, st);
	if (*changed || !it->own_transfer)
		return ERR_OK;
	pack_shared(r->packer); /* seals the last parcel: the list is complete */
	return item_list_send(r->push, it, err);
}

/* Forget what an earlier reading has made of it. */
static void
start_again(struct reading *r)
{
	struct item *it = r->item;
	struct err ignored;

	pack_shared(r->packer);
	if (it->own_transfer)
		(void)!remote_transfer_delete(r->push->env->remote, &it->transfer, &ignored);
	it->own_transfer = false;
	it->send_content = it->nothing = false;
	item_list_reset(it);
}

static err_code
read_once(struct reading *r, bool *changed, struct err *err)
{
	AUTO(closep) int fd = -1;
	struct item *it = r->item;
	struct stat st;
	err_code rc = open_file(r->push, it->op->path, &fd, &st, err);

	*changed = false;
	if (rc)
		return rc;
	entry_fill(&it->entry, it->op, &st);
	if (it->entry.content_known && needs_no_bytes(r->push, it))
		return ERR_OK; /* as it was when it was hashed */
	rc = (uint64_t)it->entry.size <= SMALL_MAX ? read_small(r, fd, &st, changed, err) : read_large(r, fd, &st, changed, err);
	if (rc == ERR_IO && err->reason && strcmp(err->reason, "shrunk") == 0) {
		*changed = true;
		return ERR_OK;
	}
	return rc;
}

err_code
read_file(struct packer *k, struct push *p, uint8_t *buf, struct item *it, struct err *err)
{
	struct reading r = { .packer = k, .push = p, .item = it, .buf = buf };

	for (unsigned i = 0; i < READS_MAX; i++) {
		bool changed;
		err_code rc;

		if (push_stopped(p))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		start_again(&r);
		rc = read_once(&r, &changed, err);
		if (rc || !changed)
			return rc;
	}
	return err_reason(err, ERR_BUSY, "file_busy", "%s keeps changing while it is read", it->op->path);
}
