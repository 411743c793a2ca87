/*
 * Which blocks of a wanted file are on this disk already: in its older version, in a file of the same content (a copy, or a rename that
 * nobody could see as one and that has just been deleted under its old name), or in one that shares a run of blocks with it.
 *
 * An index says where: the lists that the state has of those files' contents, by the blocks' hashes.  It is a hint and nothing more.  The
 * files may have changed since, so whoever takes a block from there hashes it; a wrong hint costs the reading of one block.
 *
 * Lists may be longer than memory: 16 TiB are 268 million blocks.  So the index is a window that moves along the list while the wanted
 * file is planned, in segments of SEGMENT_BLOCKS, of which the last INDEX_SEGMENTS are kept.  Changes shift bytes by far less
 * than 2 GiB, and a move over a greater distance is fetched.
 */
#include <assert.h>
#include <unistd.h>

#include "base/map.h"
#include "base/pathat.h"
#include "client/transfer/pull_internal.h"

#define SEGMENT_BLOCKS 32768 /* 2 GiB of file */
#define INDEX_SEGMENTS 4
#define SLOTS_MAX (2 * SEGMENT_BLOCKS)
#define FOUND_MAX 4          /* contents that begin a page with a block: any of them will do */
#define PROBED_FIRST 64      /* blocks at the start of a file that are looked for one by one, in case its pages do not line up */
#define LIST_MEMORY (64 * KIB) /* a page of a list, unpacked */
#define ROW_MEMORY (16 * KIB)  /* an entry */

/** Offset and length of a block in one number: 2^44 × 2^17 - 1; never 0. */
static inline uint64_t
where_pack(uint64_t offset, uint32_t len)
{
	return offset << 17 | len;
}

struct slot {
	uint64_t key;   /* the hash's first bytes */
	uint64_t where; /* 0: free */
};

/** Where the blocks of a stretch of a list are. */
struct segment {
	struct slot *slots;
	uint32_t mask, count;
};

/** A source, and how far its list has been read into the index. */
struct listed {
	struct source file;
	struct hash content;
	int64_t ahead;          /* blocks by which its list is ahead of the wanted one where they were seen to meet */
	uint64_t index, offset; /* of the next block to be read */
	bool ended;             /* its list has no more */
	bool listless;          /* or none at all: then bytes are expected where they are wanted */
	struct segment segments[INDEX_SEGMENTS];
	unsigned filling;       /* the segment that blocks go to */
};

struct sources {
	struct listed of[SOURCES_MAX];
	int32_t n, twin;
};

struct source *
sources_at(struct sources *s, int32_t i)
{
	assert(i >= 0 && i < SOURCES_MAX); /* more may be added meanwhile */
	return &s->of[i].file;
}

int32_t
sources_twin(const struct sources *s)
{
	return s->twin;
}

void
sources_free(struct sources *s)
{
	if (!s)
		return;
	for (int32_t i = 0; i < s->n; i++) {
		closep(&s->of[i].file.fd);
		for (unsigned k = 0; k < INDEX_SEGMENTS; k++)
			free(s->of[i].segments[k].slots);
	}
	free(s);
}

/* ---- the index ------------------------------------------------------------------------------------------------------------------ */

static uint64_t
key_of(const struct hash *h)
{
	return get_u64le(h->b);
}

static void
segment_grow(struct segment *g)
{
	struct segment old = *g;
	uint32_t slots = old.slots ? 2 * (old.mask + 1) : 256;

	g->slots = xcalloc(slots, sizeof *g->slots);
	g->mask = slots - 1;
	for (uint32_t i = 0; old.slots && i <= old.mask; i++) {
		uint32_t at = (uint32_t)old.slots[i].key & g->mask;

		if (!old.slots[i].where)
			continue;
		while (g->slots[at].where)
			at = (at + 1) & g->mask;
		g->slots[at] = old.slots[i];
	}
	free(old.slots);
}

/* Of equal blocks the first one is found. */
static void
segment_add(struct segment *g, const struct hash *h, uint64_t where)
{
	uint64_t key = key_of(h);
	uint32_t at;

	if (!g->slots || (2 * (g->count + 1) > g->mask + 1 && g->mask + 1 < SLOTS_MAX))
		segment_grow(g);
	for (at = (uint32_t)key & g->mask; g->slots[at].where; at = (at + 1) & g->mask)
		if (g->slots[at].key == key)
			return;
	g->slots[at] = (struct slot){ .key = key, .where = where };
	g->count++;
}

static uint64_t
segment_get(const struct segment *g, uint64_t key)
{
	if (!g->slots)
		return 0;
	for (uint32_t at = (uint32_t)key & g->mask; g->slots[at].where; at = (at + 1) & g->mask)
		if (g->slots[at].key == key)
			return g->slots[at].where;
	return 0;
}

/* The oldest segment makes room for the next. */
static void
segment_next(struct listed *l)
{
	struct segment *g;

	l->filling = (l->filling + 1) % INDEX_SEGMENTS;
	g = &l->segments[l->filling];
	if (g->slots)
		memset(g->slots, 0, (g->mask + 1) * sizeof *g->slots);
	g->count = 0;
}

static void
listed_add(struct listed *l, const struct block *b)
{
	if (l->segments[l->filling].count >= SEGMENT_BLOCKS)
		segment_next(l);
	segment_add(&l->segments[l->filling], &b->hash, where_pack(l->offset, b->len));
	l->index++;
	l->offset += b->len;
}

static bool
listed_get(const struct listed *l, const struct block *b, uint64_t *offset)
{
	uint64_t key = key_of(&b->hash);

	for (unsigned i = 0; i < INDEX_SEGMENTS; i++) {
		uint64_t where = segment_get(&l->segments[i], key);

		if ((where & (2 * BLOCK_LEN_MAX - 1)) == b->len) {
			*offset = where >> 17;
			return true;
		}
	}
	return false;
}

/* ---- reading lists ---------------------------------------------------------------------------------------------------------------- */

static bool
read_page(struct pull *p, struct listed *l)
{
	AUTO(arena_freep) struct arena *a = arena_new(LIST_MEMORY);
	const uint8_t *packed;
	const uint32_t *weak;
	struct blocklist list;
	struct err err;
	size_t len;

	if (state_blocks_get(p->env->state, &l->content, (uint32_t)(l->index / BLOCKLIST_PAGE_BLOCKS), a, &packed, &len, &weak, &err) ||
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, a, &list, &err))
		return false;
	for (uint32_t i = 0; i < list.block_count && l->offset < FILE_SIZE_MAX; i++)
		listed_add(l, &list.blocks[i]);
	return list.block_count == BLOCKLIST_PAGE_BLOCKS;
}

/* As far as a page that ends before block ${to} of the wanted list may need it. */
static void
read_to(struct pull *p, struct listed *l, uint64_t to)
{
	int64_t end = (int64_t)to + l->ahead + SEGMENT_BLOCKS;

	while (!l->ended && (int64_t)l->index < end)
		l->ended = !read_page(p, l);
	l->listless = l->index == 0;
}

/* ---- sources -------------------------------------------------------------------------------------------------------------------- */

static struct listed *
source_of(struct sources *s, const struct hash *content)
{
	for (int32_t i = 0; i < s->n; i++)
		if (hash_eq(&s->of[i].content, content))
			return &s->of[i];
	return NULL;
}

/* Beneath the root, a file, and without waiting: it may be anything by now. */
static struct listed *
source_add(struct pull *p, struct sources *s, const char *path, const struct hash *content)
{
	struct stat st;
	struct err err;
	int fd;

	if (s->n == SOURCES_MAX || source_of(s, content) || pathat_open(p->env->root, path, O_RDONLY | O_NONBLOCK, 0, &fd, &err))
		return NULL;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return NULL;
	}
	s->of[s->n] = (struct listed){ .file = { .fd = fd }, .content = *content };
	return &s->of[s->n++];
}

static struct listed *
source_by_content(struct pull *p, struct sources *s, const struct hash *content)
{
	AUTO(arena_freep) struct arena *a = arena_new(ROW_MEMORY);
	const char *path;
	struct entry e;
	struct err err;

	if (state_base_by_content(p->env->state, content, a, &e, &err) == ERR_OK && e.kind == ENTRY_FILE)
		return source_add(p, s, e.path, content);
	path = p->env->elsewhere ? map_get(p->env->elsewhere, content->b, sizeof content->b) : NULL;
	return path ? source_add(p, s, path, content) : NULL;
}

static struct sources *
sources_new(void)
{
	struct sources *s = xcalloc(1, sizeof *s);

	s->twin = -1;
	return s;
}

struct sources *
sources_open(struct pull *p, const struct pull_file *f)
{
	struct sources *s;

	if (p->bare)
		return NULL;
	s = sources_new();
	if (source_by_content(p, s, &f->want->content))
		s->twin = s->n - 1;
	if (f->old_path)
		(void)source_add(p, s, f->old_path, f->old_content);
	if (s->n > 0)
		return s;
	sources_free(s);
	return NULL;
}

/* ---- finding ---------------------------------------------------------------------------------------------------------------------- */

/* A file that has the block at the start of a page of its list; it goes on from there in step with the wanted one. */
static struct listed *
probe(struct pull *p, struct sources **s, const struct hash *block, uint64_t index)
{
	struct state_block_at at[FOUND_MAX];
	struct err err;
	size_t n;

	if ((*s && (*s)->n == SOURCES_MAX) || state_blocks_find(p->env->state, block, at, FOUND_MAX, &n, &err))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct sources *all = *s ? *s : sources_new();
		struct listed *l = source_by_content(p, all, &at[i].content);

		if (l) {
			l->ahead = (int64_t)at[i].page * BLOCKLIST_PAGE_BLOCKS - (int64_t)index;
			*s = all;
			return l;
		}
		if (!*s)
			sources_free(all);
	}
	return NULL;
}

static bool
find_in(const struct sources *s, const struct block *b, struct spot *out)
{
	for (int32_t i = 0; s && i < s->n; i++) {
		if (listed_get(&s->of[i], b, &out->offset)) {
			out->source = i;
			return true;
		}
	}
	return false;
}

/* Where the bytes are if nothing has moved: in the same content, or in an older one of which no list is known. */
static void
find_in_place(const struct sources *s, uint64_t offset, struct spot *out)
{
	out->source = s ? s->twin : -1;
	for (int32_t i = 0; s && i < s->n && out->source < 0; i++)
		if (s->of[i].listless)
			out->source = i;
	out->offset = offset;
}

static void
read_all_to(struct pull *p, struct sources *s, uint64_t to)
{
	for (int32_t i = 0; s && i < s->n; i++)
		if (i != s->twin)
			read_to(p, &s->of[i], to);
}

void
sources_find(struct pull *p, struct sources **s, struct page *pg)
{
	uint64_t offset = pg->offset, end = pg->index + pg->count;

	if (p->bare)
		return;
	read_all_to(p, *s, end);
	for (uint32_t i = 0; i < pg->count; offset += pg->blocks[i++].len) {
		const struct block *b = &pg->blocks[i];
		uint64_t index = pg->index + i;
		bool probed = index % BLOCKLIST_PAGE_BLOCKS == 0 || index < PROBED_FIRST;
		struct listed *more;

		if (*s && (*s)->twin >= 0) {
			find_in_place(*s, offset, &pg->spots[i]);
			continue;
		}
		if (block_is_zero(b) || find_in(*s, b, &pg->spots[i]))
			continue;
		more = probed ? probe(p, s, &b->hash, index) : NULL;
		if (more)
			read_to(p, more, end);
		if (!more || !find_in(*s, b, &pg->spots[i]))
			find_in_place(*s, offset, &pg->spots[i]);
	}
}
