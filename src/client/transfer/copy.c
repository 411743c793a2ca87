/*
 * Copiers: put blocks into their places that need not be fetched, and hand on what is missing.
 *
 * For each block, the cheapest first:
 *   zeros            known by their hash; in a temporary that is new they are there already (L3), and the file stays sparse
 *   the temporary    of an earlier attempt may hold the block in its place.  The hash is the journal: nothing else says what was
 *                    written, so nothing else can be wrong, also after a power loss (docs/adr/0007)
 *   another file     found by sources_find.  Read, verified and written in one pass; or, where the file system can share blocks between
 *                    files (FICLONERANGE: XFS, Btrfs), shared first and verified by reading the result, which then cannot change any
 *                    more with the file it came from.  copy_file_range alone would not do: it may share or copy, shows us no bytes
 *                    to hash, and would have to be followed by a reading of what it wrote
 * What does not verify is fetched.  That a source is gone or cannot be read is no error of the wanted file.
 */
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/pathat.h"
#include "chunk/align.h"
#include "client/transfer/pull_internal.h"

#define CLONE_ALIGN 4096 /* the unit of file systems that can share; one with a larger unit refuses, and we copy */
#define RUN_BLOCKS 16 /* read at once: large enough that a call costs nothing beside hashing, and not more than the second-level cache holds */

struct copier {
	struct pull *pull;
	uint8_t *bytes;                /* RUN_BLOCKS × BLOCK_LEN_MAX */
	struct slice block[RUN_BLOCKS]; /* of the run in hand */
	bool sound[RUN_BLOCKS];
};

/** A stretch of a page in work. */
struct span {
	struct page *pg;
	uint32_t from, to;   /* blocks */
	uint64_t offset;     /* of block ${from} in the file */
	uint32_t landed;
	off_t data;          /* of the temporary: where data begins after the last place that was asked for; -1: nothing was */
};

/* Block ${i}, with these bytes, is in its place. */
static void
landed_here(struct copier *k, struct span *s, uint32_t i, const uint8_t *bytes)
{
	struct page *pg = s->pg;

	pg->weak[i] = weak_sum(bytes, pg->blocks[i].len);
	pg->here[i] = true;
	s->landed++;
	progress_bytes(k->pull->env, pg->file, pg->blocks[i].len);
	progress_saved(k->pull->env, pg->blocks[i].len);
}

static uint64_t
run_len(const struct page *pg, uint32_t i, uint32_t n)
{
	uint64_t len = 0;

	for (uint32_t end = i + n; i < end; i++)
		len += pg->blocks[i].len;
	return len;
}

/* What blocks ${i} … ${i} + ${n} - 1 are in ${fd}, one after the other from ${at} on, and which of them are what they should be. */
static void
run_load(struct copier *k, int fd, const struct page *pg, uint32_t i, uint32_t n, uint64_t at, bool trusted)
{
	struct hash found[RUN_BLOCKS];
	size_t got = 0, pos = 0;
	uint32_t whole = 0;
	struct err err;

	memset(k->sound, 0, sizeof k->sound);
	if (pread_full(fd, k->bytes, run_len(pg, i, n), at, &got, &err))
		return;
	for (; whole < n && pos + pg->blocks[i + whole].len <= got; whole++) {
		k->block[whole] = (struct slice){ k->bytes + pos, pg->blocks[i + whole].len };
		pos += pg->blocks[i + whole].len;
	}
	hash_each(k->block, whole, found);
	for (uint32_t b = 0; b < whole; b++)
		k->sound[b] = trusted || hash_eq(&found[b], &pg->blocks[i + b].hash);
}

/* ---- zeros ------------------------------------------------------------------------------------------------------------------------ */

/* Whether the temporary has a hole where the block belongs. */
static bool
is_hole(struct span *s, int fd, uint64_t offset, uint32_t len)
{
	if (s->data < (off_t)offset) {
		off_t data = lseek(fd, (off_t)offset, SEEK_DATA);

		s->data = data >= 0 ? data : errno == ENXIO ? INT64_MAX : (off_t)offset;
	}
	return s->data >= (off_t)(offset + len);
}

/* L3.  A file that has a block of zeros is long enough to be sparse: its temporary has its length. */
static err_code
land_zero(struct copier *k, struct span *s, uint32_t i, uint64_t offset, struct err *err)
{
	static const uint8_t zeros[BLOCK_LEN_MAX];
	struct landing *l = s->pg->file;
	struct slice block = { zeros, s->pg->blocks[i].len };
	err_code rc = ERR_OK;

	if (!landing_fresh(l) && !is_hole(s, l->fd, offset, s->pg->blocks[i].len) &&
	    fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)block.len))
		rc = landing_write(l, &block, 1, offset, err);
	if (rc == ERR_OK)
		landed_here(k, s, i, zeros);
	return rc;
}

static err_code
land_zeros(struct copier *k, struct span *s, struct err *err)
{
	const struct page *pg = s->pg;
	uint64_t offset = s->offset;
	err_code rc = ERR_OK;

	s->data = -1;
	for (uint32_t i = s->from; i < s->to && !rc; offset += pg->blocks[i++].len)
		if (block_is_zero(&pg->blocks[i]))
			rc = land_zero(k, s, i, offset, err);
	return rc;
}

/* ---- the temporary ---------------------------------------------------------------------------------------------------------------- */

/* How many blocks from ${i} on are still missing and may be there. */
static uint32_t
perhaps_there(struct span *s, uint32_t i, uint64_t offset)
{
	const struct page *pg = s->pg;
	uint32_t n = 0;

	for (; i + n < s->to && n < RUN_BLOCKS && !pg->here[i + n]; n++) {
		if (is_hole(s, pg->file->fd, offset, pg->blocks[i + n].len))
			break;
		offset += pg->blocks[i + n].len;
	}
	return n;
}

static void
keep_temp(struct copier *k, struct span *s)
{
	struct page *pg = s->pg;
	uint64_t offset = s->offset;

	if (landing_fresh(pg->file))
		return;
	s->data = -1;
	for (uint32_t i = s->from; i < s->to;) {
		uint32_t n = perhaps_there(s, i, offset), step = MAX(n, 1);

		if (n > 0)
			run_load(k, pg->file->fd, pg, i, n, offset, FAULT("client.trusts_temp"));
		for (uint32_t b = 0; b < n; b++)
			if (k->sound[b])
				landed_here(k, s, i + b, k->block[b].p);
		offset += run_len(pg, i, step);
		i += step;
	}
}

/* ---- other files ------------------------------------------------------------------------------------------------------------------ */

/* Whether block ${i}, which is missing, lies in its source right after the one before it. */
static bool
follows(const struct page *pg, uint32_t i)
{
	return pg->spots[i].source == pg->spots[i - 1].source && pg->spots[i].offset == pg->spots[i - 1].offset + pg->blocks[i - 1].len &&
	    !pg->here[i];
}

/* How many blocks from ${i} on lie in one piece in their source and end on a boundary there and here. */
static uint32_t
clonable(const struct span *s, uint32_t i, uint64_t offset, uint64_t *len)
{
	const struct page *pg = s->pg;
	uint64_t sum = 0;
	uint32_t whole = 0;

	*len = 0;
	if (offset % CLONE_ALIGN || pg->spots[i].offset % CLONE_ALIGN)
		return 0;
	for (uint32_t n = 0; i + n < s->to && (n == 0 || follows(pg, i + n)); n++) {
		sum += pg->blocks[i + n].len;
		if (sum % CLONE_ALIGN == 0) {
			whole = n + 1;
			*len = sum;
		}
	}
	return whole;
}

/* Share a run of blocks with their source; returns how many of them are there now, to be verified. */
static uint32_t
clone_run(struct span *s, uint32_t i, uint64_t offset)
{
	struct source *from = sources_at(s->pg->file->sources, s->pg->spots[i].source);
	struct file_clone_range range = { .src_fd = from->fd, .src_offset = s->pg->spots[i].offset, .dest_offset = offset };
	uint64_t len;
	uint32_t n;

	if (__atomic_load_n(&from->no_clone, __ATOMIC_RELAXED))
		return 0;
	n = clonable(s, i, offset, &len);
	range.src_length = len;
	if (n == 0)
		return 0;
	if (ioctl(s->pg->file->fd, FICLONERANGE, &range) == 0)
		return n;
	__atomic_store_n(&from->no_clone, true, __ATOMIC_RELAXED); /* another file system, one that cannot, a source that is shorter by now */
	return 0;
}

/* How many blocks from ${i} on, up to ${end}, are read at once. */
static uint32_t
readable(const struct span *s, uint32_t i, uint32_t end)
{
	uint32_t n = 1;

	while (n < RUN_BLOCKS && i + n < end && follows(s->pg, i + n))
		n++;
	return n;
}

/* What is sound of the run in hand into its place, each piece without a gap with one call; ${there}: it is there, as we read it there. */
static err_code
land_run(struct copier *k, struct span *s, uint32_t i, uint32_t n, uint64_t offset, bool there, struct err *err)
{
	err_code rc = ERR_OK;

	for (uint32_t b = 0; b < n && !rc;) {
		uint32_t first = b;

		while (b < n && k->sound[b])
			b++;
		if (b > first && !there)
			rc = landing_write(s->pg->file, &k->block[first], b - first, offset + run_len(s->pg, i, first), err);
		for (uint32_t done = first; done < b && !rc; done++)
			landed_here(k, s, i + done, k->block[done].p);
		b += b == first; /* one that is not sound */
	}
	return rc;
}

static err_code
copy_others(struct copier *k, struct span *s, struct err *err)
{
	struct page *pg = s->pg;
	struct landing *l = pg->file;
	uint64_t offset = s->offset;
	uint32_t cloned = 0; /* up to this block */
	err_code rc = ERR_OK;

	for (uint32_t i = s->from; i < s->to && !rc;) {
		uint32_t n = 1;

		if (!pg->here[i] && pg->spots[i].source >= 0) {
			bool there;

			if (i >= cloned)
				cloned = i + clone_run(s, i, offset);
			there = i < cloned;
			n = readable(s, i, there ? cloned : s->to);
			run_load(k, there ? l->fd : sources_at(l->sources, pg->spots[i].source)->fd, pg, i, n, there ? offset : pg->spots[i].offset,
			    FAULT("client.trusts_local"));
			rc = land_run(k, s, i, n, offset, there, err);
		}
		offset += run_len(pg, i, n);
		i += n;
	}
	return rc;
}

/* ---- spans ------------------------------------------------------------------------------------------------------------------------ */

static err_code
copy_blocks(struct copier *k, struct span *s, struct err *err)
{
	err_code rc = land_zeros(k, s, err);

	if (rc)
		return rc;
	keep_temp(k, s);
	return copy_others(k, s, err);
}

static void
copy_span(struct copier *k, struct page *pg, uint32_t from, uint32_t to)
{
	struct landing *l = pg->file;
	struct span s = { .pg = pg, .from = from, .to = to, .offset = pg->offset };
	struct err err;
	err_code rc;

	if (pull_stopped(k->pull) || landing_failed(k->pull, l))
		return;
	for (uint32_t i = 0; i < from; i++)
		s.offset += pg->blocks[i].len;
	rc = landing_open(k->pull, l, &err);
	if (rc == ERR_OK)
		rc = copy_blocks(k, &s, &err);
	page_landed(k->pull, pg, s.landed);
	if (rc == ERR_OK)
		return;
	if (transfer_fatal(rc))
		pull_fail(k->pull, &err);
	landing_fail(k->pull, l, &err);
}

/* ---- pages ------------------------------------------------------------------------------------------------------------------------ */

/* The blocks of an extent that are missing, as needs. */
static void
emit_missing(struct pull *p, struct window *w, struct page *pg, const struct extent *x, uint32_t at, uint64_t offset)
{
	for (uint32_t i = 0; i < x->count;) {
		struct need n = { .file = pg->file, .page = pg, .at = at + i, .first = x->first + i, .index = pg->index + at + i, .offset = offset };
		uint64_t len = 0;

		if (pg->here[at + i]) {
			offset += pg->blocks[at + i++].len;
			continue;
		}
		for (; i < x->count && !pg->here[at + i]; i++, n.count++)
			len += pg->blocks[at + i].len;
		window_need(p, w, &x->chunk, &n, len);
		offset += len;
	}
}

static void
emit(struct pull *p, struct page *pg)
{
	uint64_t offset = pg->offset;
	struct window w;
	uint32_t at = 0;

	window_open(&w);
	for (uint32_t x = 0; x < pg->extent_count; x++) {
		emit_missing(p, &w, pg, &pg->extents[x], at, offset);
		for (uint32_t i = 0; i < pg->extents[x].count; i++)
			offset += pg->blocks[at++].len;
	}
	window_emit(p, &w);
}

/* All of a page has been looked at: what is missing goes on to the fetchers. */
static void
page_copied(struct pull *p, struct page *pg)
{
	struct landing *l = pg->file;
	uint32_t landed;

	mutex_lock(&p->mu);
	landed = pg->landed;
	mutex_unlock(&p->mu);
	if (landed < pg->count && !landing_failed(p, l)) {
		if (pg->known)
			landing_relist(p, l);
		else
			emit(p, pg);
	}
	page_release(p, pg);
	landing_copied(p, l);
	landing_settle(p, l);
}

/* The list of a small file, and where its blocks may be. */
static err_code
read_list(struct pull *p, struct page *pg, struct err *err)
{
	const struct entry *want = pg->file->f->want;
	struct content_hash c;
	struct hash content;
	err_code rc = page_fill(p, pg, err);

	if (rc)
		return rc;
	content_hash_init(&c);
	for (uint32_t i = 0; i < pg->count; i++)
		content_hash_add(&c, &pg->blocks[i].hash, pg->blocks[i].len);
	content = content_hash_final(&c);
	if (page_bytes(pg) != (uint64_t)want->size || !hash_eq(&content, &want->content))
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile", want->path);
	sources_find(p, &pg->file->sources, pg);
	return ERR_OK;
}

static void
copy_unread(struct copier *k, struct page *pg)
{
	struct err err;
	err_code rc = read_list(k->pull, pg, &err);

	if (rc == ERR_OK) {
		copy_span(k, pg, 0, pg->count);
	} else {
		if (transfer_fatal(rc))
			pull_fail(k->pull, &err);
		landing_fail(k->pull, pg->file, &err);
	}
	page_copied(k->pull, pg);
}

static void
copy_some(struct copier *k, struct page *pg, uint32_t span)
{
	struct pull *p = k->pull;
	bool last;

	copy_span(k, pg, span * SPAN_BLOCKS, MIN((span + 1) * SPAN_BLOCKS, pg->count));
	mutex_lock(&p->mu);
	last = --pg->spans_left == 0;
	mutex_unlock(&p->mu);
	if (last)
		page_copied(p, pg);
}

void *
copier_main(void *arg)
{
	struct copier k = { .pull = arg, .bytes = xmalloc(RUN_BLOCKS * BLOCK_LEN_MAX) };
	struct page *pg;
	uint32_t span;

	while ((pg = page_wait(arg, &span))) {
		if (pg->unread)
			copy_unread(&k, pg);
		else
			copy_some(&k, pg, span);
	}
	free(k.bytes);
	return NULL;
}
