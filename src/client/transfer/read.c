/*
 * What is to be sent for a file?  Its stat is taken from the open descriptor before and after the reading: bytes count only when
 * nothing moved meanwhile, so what is committed is what the file was at one instant.
 *
 * The file is cut along what the server may have of it (base.c); what it has is named, the rest is packed.  Small files are read into
 * memory before anything is decided.  Larger ones are packed while they are read.  A large file that changed meanwhile is read again along
 * what the first reading has made of it, so only what changed is packed anew.
 */
#include <assert.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pathat.h"
#include "client/transfer/push_internal.h"

struct reading {
	struct packer *packer;
	struct push *push;
	struct item *item;
	struct base base;
	uint8_t *buf;                /* small files */
	int64_t *base_of;            /* of each block of a small file: which of the base it is, or -1 */
	size_t base_of_cap;
	uint64_t hole_blocks;        /* blocks of the hole at hand, this one and those to come */
	uint32_t zeros;              /* blocks in the parcel of zeros, which is complete with ZERO_RUN of them */
	uint64_t zero_next;          /* so many more have been named */
	struct hash zero_chunk;
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

static struct block
block_of(const struct align_piece *piece)
{
	return (struct block){ .hash = piece->hash, .len = piece->len };
}

static err_code
keep_piece(void *ctx, const struct align_piece *piece, struct err *err)
{
	struct reading *r = ctx;
	struct block b = block_of(piece);

	(void)err;
	memcpy(r->buf + piece->offset, piece->p, piece->len);
	content_hash_add(&r->content, &b.hash, b.len);
	if (r->item->block_count == r->base_of_cap) {
		r->base_of_cap = MAX(64, 2 * r->base_of_cap);
		r->base_of = xrealloc(r->base_of, r->base_of_cap * sizeof *r->base_of);
	}
	r->base_of[r->item->block_count] = piece->base;
	item_add_block(r->item, &b, piece->weak);
	return ERR_OK;
}

static err_code
look_up(const struct reading *r, uint64_t offset, struct err *err)
{
	/* Not at each block: a lock is taken. */
	if (offset / CHUNK_RAW_MAX != (offset + BLOCK_LEN_MAX) / CHUNK_RAW_MAX && push_stopped(r->push))
		return err_set(err, ERR_CANCELLED, "stopped on request");
	return ERR_OK;
}

static err_code
hash_piece(void *ctx, const struct align_piece *piece, struct err *err)
{
	struct reading *r = ctx;

	content_hash_add(&r->content, &piece->hash, piece->len);
	return look_up(r, piece->offset, err);
}

static bool
goes_alone(const struct item *it)
{
	return (uint64_t)it->entry.size > OWN_TRANSFER_MIN;
}

/* The server has this block of the base. */
static void
name_block(struct reading *r, int64_t index, const struct block *b, uint32_t weak)
{
	const struct place *at = &r->base.places[index];

	assert((uint64_t)index < r->base.count);
	pack_named(r->packer, r->item, &r->base.chunks[at->chunk], at->slot, b, weak);
	r->item->kept += b->len;
	r->item->counted += b->len;
	progress_bytes(r->push->env, r->item, b->len);
}

static err_code
own_begin(struct reading *r, struct err *err)
{
	err_code rc;

	if (!goes_alone(r->item) || r->item->own_transfer)
		return ERR_OK;
	rc = upload_begin(r->push, r->item, err);
	if (rc == ERR_OK)
		pack_own(r->packer, r->item);
	return rc;
}

/*
 * A long hole: the first ZERO_RUN blocks are a parcel, the others are named as what is in that.  So each page of the list is one
 * extent, and a hole of a terabyte is a few kilobytes and its list.
 */
static err_code
send_zero(struct reading *r, const uint8_t *zeros, const struct block *b, uint32_t weak, struct err *err)
{
	struct item *it = r->item;
	err_code rc;

	if (r->zeros == ZERO_RUN) {
		pack_named(r->packer, it, &r->zero_chunk, (uint32_t)(r->zero_next++ % ZERO_RUN), b, weak);
		it->counted += b->len;
		progress_bytes(r->push->env, r->item, b->len);
		return ERR_OK;
	}
	if (r->zeros == 0)
		pack_seal(r->packer);
	rc = pack_block(r->packer, it, zeros, b, weak, err);
	if (rc || ++r->zeros < ZERO_RUN)
		return rc;
	pack_seal(r->packer);
	r->zero_chunk = it->extents[it->extent_count - 1].chunk;
	return ERR_OK;
}

/* Whether the piece belongs to a hole that is worth a parcel of zeros; one that was begun is always completed, since a hole is long enough. */
static bool
in_long_hole(const struct reading *r)
{
	if (r->hole_blocks == 0 || !r->item->own_transfer)
		return false;
	return r->zeros == ZERO_RUN || r->zeros > 0 || r->hole_blocks >= 2 * ZERO_RUN;
}

/*
 * Along a base a few extents may say all: then the commit names them, and needs no transfer and no page.  And before there is something new,
 * there may be nothing to tell.
 */
static bool
list_waits(const struct reading *r)
{
	const struct item *it = r->item;

	if (it->list_sent > 0 || it->block_count >= LIST_KEEP_BLOCKS)
		return false;
	return !it->own_transfer || (it->kept > 0 && it->extent_count <= EXTENTS_INLINE_MAX);
}

static err_code
page_end(struct reading *r, struct err *err)
{
	struct item *it = r->item;
	err_code rc = ERR_OK;

	pack_seal(r->packer); /* costs nothing: on the grid a page is 128 full chunks */
	it->named = false;
	if (r->zeros < ZERO_RUN)
		r->zeros = 0; /* the parcel of zeros is not what it was to be */
	if (list_waits(r))
		return ERR_OK;
	if (it->block_count >= LIST_KEEP_BLOCKS)
		rc = own_begin(r, err);
	return rc == ERR_OK && it->own_transfer ? item_list_send(r->push, it, err) : rc;
}

static err_code
send_piece(void *ctx, const struct align_piece *piece, struct err *err)
{
	struct reading *r = ctx;
	struct block b = block_of(piece);
	err_code rc = look_up(r, piece->offset, err);

	content_hash_add(&r->content, &b.hash, b.len);
	if (rc == ERR_OK && piece->base >= 0) {
		name_block(r, piece->base, &b, piece->weak);
	} else if (rc == ERR_OK) {
		rc = own_begin(r, err);
		if (rc == ERR_OK && in_long_hole(r))
			rc = send_zero(r, piece->p, &b, piece->weak, err);
		else if (rc == ERR_OK)
			rc = pack_block(r->packer, r->item, piece->p, &b, piece->weak, err);
	}
	if (rc == ERR_OK && goes_alone(r->item) && item_page_full(r->item))
		rc = page_end(r, err);
	return rc;
}

static err_code
cut(struct reading *r, int fd, align_fn fn, struct err *err)
{
	struct item *it = r->item;
	uint64_t size = (uint64_t)it->entry.size;
	err_code rc;

	content_hash_init(&r->content);
	if (r->base.count == 0 && size > SMALL_MAX && sparse_is(fd, size))
		rc = sparse_cut(fd, size, &r->hole_blocks, fn, r, err);
	else
		rc = align_fd(fd, size, r->base.blocks, fn, r, err);
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

/* Packing adds the blocks again, with their places. */
static err_code
pack_kept(struct reading *r, struct err *err)
{
	struct item *it = r->item;
	AUTO(freep) struct block *blocks = TAKE(it->blocks);
	AUTO(freep) uint32_t *weak = TAKE(it->weak);
	size_t n = it->block_count;
	const uint8_t *p = r->buf;
	uint64_t fresh = 0;
	err_code rc = ERR_OK;

	for (size_t i = 0; i < n; i++)
		fresh += r->base_of[i] < 0 ? blocks[i].len : 0;
	it->block_cap = 0;
	item_list_reset(it);
	if ((uint64_t)it->entry.size <= NEVER_SPLIT_MAX)
		pack_room(r->packer, fresh);
	for (size_t i = 0; i < n && rc == ERR_OK; i++) {
		if (r->base_of[i] >= 0)
			name_block(r, r->base_of[i], &blocks[i], weak[i]);
		else
			rc = pack_block(r->packer, it, p, &blocks[i], weak[i], err);
		p += blocks[i].len;
	}
	return rc;
}

static err_code
read_small(struct reading *r, int fd, const struct stat *st, bool *changed, struct err *err)
{
	err_code rc = cut(r, fd, keep_piece, err);

	if (rc)
		return rc;
	*changed = moved(fd, st);
	if (*changed || needs_no_bytes(r->push, r->item))
		return ERR_OK;
	return pack_kept(r, err);
}

/* Of the same size, and nothing to go along: hash it first, since hashing is far cheaper than sending. */
static bool
may_be_the_same(const struct reading *r)
{
	const struct item *it = r->item;

	return r->base.count == 0 && !it->entry.content_known && it->server.path && it->server.kind == ENTRY_FILE &&
	    it->server.size == it->entry.size;
}

static err_code
read_large(struct reading *r, int fd, const struct stat *st, bool *changed, struct err *err)
{
	struct item *it = r->item;
	err_code rc;

	if (may_be_the_same(r)) {
		rc = cut(r, fd, hash_piece, err);
		if (rc)
			return rc;
		*changed = moved(fd, st);
		if (*changed || needs_no_bytes(r->push, it))
			return ERR_OK;
	}
	r->zeros = 0;
	rc = cut(r, fd, send_piece, err);
	if (rc)
		return rc;
	*changed = moved(fd, st);
	if (*changed)
		return ERR_OK;
	if (needs_no_bytes(r->push, it)) {
		pack_shared(r->packer);
		it->own_transfer = false;
		return ERR_OK;
	}
	if (!goes_alone(it))
		return ERR_OK;
	if (it->list_sent == 0 && it->kept > 0 && it->extent_count <= EXTENTS_INLINE_MAX) {
		pack_shared(r->packer);
		it->own_transfer = false; /* its chunks came with it; the commit names them */
		return ERR_OK;
	}
	rc = own_begin(r, err); /* nothing of it is new, and yet it is long: only its list is sent */
	if (rc)
		return rc;
	pack_shared(r->packer); /* seals the last parcel: the list is complete */
	return item_list_send(r->push, it, err);
}

/* What an earlier reading has made of it is what the next one goes along, and else forgotten. */
static err_code
start_again(struct reading *r, bool changed, struct err *err)
{
	struct item *it = r->item;

	if (changed)
		pack_seal(r->packer); /* so that its blocks have names */
	pack_shared(r->packer);
	if (changed && it->fresh > 0) {
		base_fini(&r->base);
		base_init(&r->base);
		base_of_item(it, &r->base);
	}
	it->own_transfer = false;
	it->send_content = it->nothing = false;
	item_list_reset(it);
	if (!it->transfer_over)
		return ERR_OK;
	it->transfer_over = false;
	return upload_drop(r->push, it, err);
}

/* What to go along: the same as before, where an earlier run has begun to send it. */
static void
find_base(struct reading *r, int fd)
{
	struct item *it = r->item;
	const struct hash *prefer = NULL;

	if (goes_alone(it) && !it->upload)
		upload_claim(r->push, it);
	if (it->upload && upload_same_file(it))
		prefer = &it->upload->row.base;
	if (r->base.count > 0)
		return; /* what an earlier reading has made of it */
	base_find(r->push, it, fd, prefer, &r->base);
	it->base = r->base.content;
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
	progress_watch(r->push->env, it, it->op->path, (uint64_t)it->entry.size);
	if (it->entry.content_known && needs_no_bytes(r->push, it))
		return ERR_OK; /* as it was when it was hashed */
	find_base(r, fd);
	rc = (uint64_t)it->entry.size <= SMALL_MAX ? read_small(r, fd, &st, changed, err) : read_large(r, fd, &st, changed, err);
	if (rc == ERR_IO && err->reason && strcmp(err->reason, "shrunk") == 0) {
		*changed = true;
		return ERR_OK;
	}
	return rc;
}

static err_code
read_until_quiet(struct reading *r, struct err *err)
{
	bool changed = false;
	err_code rc;

	for (unsigned i = 0; i < READS_MAX; i++) {
		if (push_stopped(r->push))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		rc = start_again(r, changed, err);
		if (rc == ERR_OK)
			rc = read_once(r, &changed, err);
		if (rc || !changed)
			return rc;
	}
	return err_reason(err, ERR_BUSY, "file_busy", "%s keeps changing while it is read", r->item->op->path);
}

err_code
read_file(struct packer *k, struct push *p, uint8_t *buf, struct item *it, struct err *err)
{
	struct reading r = { .packer = k, .push = p, .item = it, .buf = buf };
	err_code rc;

	base_init(&r.base);
	rc = read_until_quiet(&r, err);
	base_fini(&r.base);
	free(r.base_of);
	it->json_len += it->own_transfer ? 0 : it->extent_count * EXTENT_JSON;
	return rc;
}
