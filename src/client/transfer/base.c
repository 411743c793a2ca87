/*
 * What may a file be made of that the server has already?  The first of these that has a list:
 *
 *   1. what an interrupted upload of it was cut against, so that it is cut the same way again
 *   2. the version of the same name, which it replaces
 *   3. what lay in the same inode under a name that is gone: renamed and edited in one go
 *
 * and the content that has blocks of it where it has them, if that has more of them: a copy, a copy that was edited, or a file that was
 * replaced by another.  The first block and some at starts of pages are looked up for that; and what has the same size and begins
 * in the same way, since a copy of what is not cut on the grid has its blocks elsewhere.  Where none of these is, what had
 * the same last name and is gone: a directory was copied elsewhere and removed.
 *
 * Each of these is a guess.  An inode is soon given to another file, and equal blocks lie in unrelated ones; a wrong guess costs a walk that
 * finds nothing (P5).
 */
#include <assert.h>
#include <unistd.h>

#include "base/pathat.h"
#include "client/transfer/push_internal.h"

#define PAGE_MEMORY (2 * MIB)          /* 8,192 blocks with as many extents, unpacked */
#define PAGE_LEN (BLOCKLIST_PAGE_BLOCKS * BLOCK_LEN_MAX) /* of a file on the grid */
#define SAMPLES_MAX 8
#define PLACES_MAX 8                   /* of one sampled block */
#define CANDIDATES_MAX 16
#define SAME_SIZE_MAX 4                /* frames of a film are all of one size: a look at a few costs little, one at all of them would */

/* ---- a base ----------------------------------------------------------------------------------------------------------------------- */

void
base_init(struct base *b)
{
	*b = (struct base){ .blocks = align_base_new() };
}

void
base_fini(struct base *b)
{
	align_base_free(b->blocks);
	free(b->chunks);
	free(b->places);
	*b = (struct base){ 0 };
}

static uint32_t
chunk_index(struct base *b, const struct hash *chunk)
{
	if (b->chunk_count > 0 && hash_eq(&b->chunks[b->chunk_count - 1], chunk))
		return (uint32_t)b->chunk_count - 1; /* one that comes again later has a second index: rare, and no harm */
	if (b->chunk_count == b->chunk_cap) {
		b->chunk_cap = MAX(16, 2 * b->chunk_cap);
		b->chunks = xrealloc(b->chunks, b->chunk_cap * sizeof *b->chunks);
	}
	b->chunks[b->chunk_count] = *chunk;
	return (uint32_t)b->chunk_count++;
}

static void
add_place(struct base *b, uint32_t chunk, uint32_t slot)
{
	if (b->count == b->cap) {
		b->cap = MAX(64, 2 * b->cap);
		b->places = xrealloc(b->places, b->cap * sizeof *b->places);
	}
	b->places[b->count++] = (struct place){ .chunk = chunk, .slot = slot };
}

static void
add_extent(struct base *b, const struct hash *id, uint32_t first, uint32_t count)
{
	uint32_t chunk = chunk_index(b, id);

	for (uint32_t i = 0; i < count; i++)
		add_place(b, chunk, first + i);
}

static void
base_add(struct base *b, const struct blocklist *l, const uint32_t *weak)
{
	for (uint32_t i = 0; i < l->extent_count; i++)
		add_extent(b, &l->extents[i].chunk, l->extents[i].first, l->extents[i].count);
	align_base_add(b->blocks, l->blocks, weak, l->block_count);
}

void
base_of_item(const struct item *it, struct base *b)
{
	for (size_t i = 0; i < it->extent_count; i++)
		add_extent(b, &it->extents[i].chunk, it->extents[i].first, it->extents[i].count);
	if (it->block_count > 0)
		align_base_add(b->blocks, it->blocks, it->weak, (uint32_t)MIN(it->block_count, LIST_KEEP_BLOCKS + BLOCKLIST_UPLOAD_MAX));
}

/* ---- lists -------------------------------------------------------------------------------------------------------------------------- */

/* What the state knows of a content; a list that lacks its end is as good as far as it goes. */
static bool
load_known(struct push *p, const struct hash *content, struct base *b)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	const uint8_t *packed;
	const uint32_t *weak;
	struct blocklist l;
	struct err err;
	size_t len;

	size_t before = b->count;

	for (uint32_t page = 0; b->count < LIST_KEEP_BLOCKS; page++) {
		arena_reset(a);
		if (state_blocks_get(p->env->state, content, page, a, &packed, &len, &weak, &err) ||
		    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &l, &err))
			break;
		base_add(b, &l, weak);
	}
	if (before == 0)
		b->content = *content;
	return b->count > before;
}

/*
 * What the server says of the file that is to be replaced.  Without rolling sums: what was edited in place is found, what was moved is
 * not; the list that this push leaves in the state has them.
 */
static bool
load_asked(struct push *p, const struct entry *server, struct base *b)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	const uint8_t *packed;
	struct blocklist l;
	struct err err;
	bool more = true;
	size_t len;

	assert(b->count == 0); /* the first one: a block's index is its number in the file's list */
	while (more && b->count < LIST_KEEP_BLOCKS) {
		arena_reset(a);
		if (push_stopped(p) || remote_blocks(p->env->remote, &server->id, 0, b->count, a, &packed, &len, &more, &err) ||
		    blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, a, &l, &err))
			break;
		base_add(b, &l, NULL);
	}
	b->content = server->content;
	return b->count > 0;
}

/* The list of a content: what the state has, or of the server's version of this name what the server says. */
static bool
load(struct push *p, const struct item *it, const struct hash *content, struct base *b)
{
	bool there = it->server.path && it->server.kind == ENTRY_FILE && it->server.size > 0 && hash_eq(&it->server.content, content);

	if (it->sends == 0 && load_known(p, content, b))
		return true;
	return there && load_asked(p, &it->server, b);
}

/* ---- what is gone from its name ----------------------------------------------------------------------------------------------------- */

struct inode_key {
	uint64_t dev, ino;
};

static const char *
last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void
base_gone(struct push *p)
{
	p->gone_inode = map_new();
	p->gone_name = map_new();
	for (size_t i = 0; i < p->n; i++) {
		const struct entry *e = p->ops[i].act == ACT_DELETE_REMOTE ? p->ops[i].base : NULL;
		struct inode_key key = { 0 };
		const char *name;

		if (!e || e->kind != ENTRY_FILE || e->size <= (int64_t)DELTA_MIN)
			continue;
		key = (struct inode_key){ e->dev, e->ino };
		name = last_name(e->path);
		map_put(p->gone_inode, &key, sizeof key, (void *)(uintptr_t)e);
		map_put(p->gone_name, name, strlen(name), (void *)(uintptr_t)e);
	}
}

static const struct entry *
gone_here(const struct push *p, const struct item *it)
{
	struct inode_key key = { it->entry.dev, it->entry.ino };

	return map_get(p->gone_inode, &key, sizeof key);
}

/* Of half to twice the size: a name alone, as "data.bin", says little. */
static const struct entry *
gone_named(const struct push *p, const struct item *it)
{
	const char *name = last_name(it->entry.path);
	const struct entry *e = map_get(p->gone_name, name, strlen(name));

	return e && e->size <= 2 * it->entry.size && it->entry.size <= 2 * e->size ? e : NULL;
}

/* ---- samples ------------------------------------------------------------------------------------------------------------------------ */

struct vote {
	struct hash content;
	unsigned hits;
};

struct votes {
	struct vote v[CANDIDATES_MAX];
	size_t n;
};

static void
vote(struct votes *votes, const struct hash *content)
{
	size_t i = 0;

	while (i < votes->n && !hash_eq(&votes->v[i].content, content))
		i++;
	if (i == CANDIDATES_MAX)
		return;
	if (i == votes->n)
		votes->v[votes->n++] = (struct vote){ .content = *content };
	votes->v[i].hits++;
}

static void
sample(struct push *p, int fd, uint64_t offset, uint64_t size, uint8_t *buf, struct votes *votes)
{
	struct state_block_at at[PLACES_MAX];
	size_t got = 0, n = 0, len = (size_t)MIN(BLOCK_LEN_MAX, size - offset);
	struct hash h;
	struct err err;

	if (pread_full(fd, buf, len, offset, &got, &err) || got < len)
		return;
	h = hash_of(buf, len);
	if (state_blocks_find(p->env->state, &h, at, PLACES_MAX, &n, &err))
		return;
	for (size_t i = 0; i < n; i++)
		vote(votes, &at[i].content);
}

/* Whether the file begins with the first block of a content's list. */
static bool
begins_like(struct push *p, int fd, const struct hash *content, uint8_t *buf)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	const uint8_t *packed;
	const uint32_t *weak;
	struct blocklist l;
	struct hash h;
	struct err err;
	size_t len, got = 0;

	if (state_blocks_get(p->env->state, content, 0, a, &packed, &len, &weak, &err) ||
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &l, &err) ||
	    pread_full(fd, buf, l.blocks[0].len, 0, &got, &err) || got < l.blocks[0].len)
		return false;
	h = hash_of(buf, got);
	return hash_eq(&h, &l.blocks[0].hash);
}

static void
same_size(struct push *p, const struct item *it, int fd, uint8_t *buf, struct votes *votes)
{
	struct hash contents[SAME_SIZE_MAX];
	struct err err;
	size_t n = 0;

	if (state_base_by_size(p->env->state, it->entry.size, contents, SAME_SIZE_MAX, &n, &err))
		return;
	for (size_t i = 0; i < n; i++)
		if (begins_like(p, fd, &contents[i], buf))
			vote(votes, &contents[i]);
}

/* The content that has more of the sampled blocks than ${than} has. */
static bool
most_shared(struct push *p, const struct item *it, int fd, const struct hash *than, struct hash *out)
{
	AUTO(freep) uint8_t *buf = xmalloc(BLOCK_LEN_MAX);
	uint64_t size = (uint64_t)it->entry.size, pages = (size + PAGE_LEN - 1) / PAGE_LEN;
	struct votes votes = { .v[0].content = *than, .n = 1 };
	size_t best = 0;

	for (uint64_t i = 0; i < MIN(pages, SAMPLES_MAX); i++)
		sample(p, fd, i * pages / MIN(pages, SAMPLES_MAX) * PAGE_LEN, size, buf, &votes);
	same_size(p, it, fd, buf, &votes);
	for (size_t i = 1; i < votes.n; i++)
		if (votes.v[i].hits > votes.v[best].hits)
			best = i;
	*out = votes.v[best].content;
	return best > 0;
}

/* ---- choosing ----------------------------------------------------------------------------------------------------------------------- */

/* Of the file itself, as far as anyone knows. */
static void
find_own(struct push *p, const struct item *it, const struct hash *prefer, struct base *b)
{
	const struct entry *gone;

	if (prefer && load(p, it, prefer, b))
		return;
	if (it->server.path && it->server.kind == ENTRY_FILE && it->server.size > 0 && load(p, it, &it->server.content, b))
		return;
	gone = gone_here(p, it);
	if (gone)
		(void)load(p, it, &gone->content, b);
}

void
base_find(struct push *p, const struct item *it, int fd, const struct hash *prefer, struct base *b)
{
	const struct entry *gone;
	struct hash shared;

	if ((uint64_t)it->entry.size <= DELTA_MIN || it->sends > 1)
		return;
	if (prefer && hash_is_zero(prefer))
		return; /* it was cut on the grid, and is to be cut the same way */
	find_own(p, it, prefer, b);
	if (it->sends == 0 && most_shared(p, it, fd, &b->content, &shared))
		(void)load_known(p, &shared, b);
	gone = b->count == 0 ? gone_named(p, it) : NULL;
	if (gone)
		(void)load(p, it, &gone->content, b);
}
