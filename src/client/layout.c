#include <sys/stat.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/blocklist.h"
#include "client/layout.h"

#define LIST_MEMORY (2 * MIB) /* a page of 8,192 blocks with as many extents */

/* A walk along the other's list, beside the file. */
struct walk {
	const struct layout_env *env;
	const struct entry *other;
	struct arena *a;
	int fd;
	uint8_t *buf;
	uint64_t block, offset;
	bool asked;                  /* the list comes from the server */
	bool more;
	struct content_hash content; /* of the list, so that it is known to be the other's */
};

static bool
page_known(struct walk *w, struct blocklist *l)
{
	const uint8_t *packed;
	const uint32_t *weak;
	struct err err;
	size_t len;

	return w->block % BLOCKLIST_PAGE_BLOCKS == 0 &&
	    state_blocks_get(w->env->state, &w->other->content, (uint32_t)(w->block / BLOCKLIST_PAGE_BLOCKS), w->a, &packed, &len, &weak,
		&err) == ERR_OK &&
	    blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, w->a, l, &err) == ERR_OK;
}

static bool
page_asked(struct walk *w, struct blocklist *l)
{
	const uint8_t *packed;
	struct err err;
	size_t len;

	return w->env->remote && !id_is_zero(&w->other->id) &&
	    remote_blocks(w->env->remote, &w->other->id, w->block, w->a, &packed, &len, &w->more, &err) == ERR_OK &&
	    blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, w->a, l, &err) == ERR_OK;
}

static bool
page_next(struct walk *w, struct blocklist *l)
{
	arena_reset(w->a);
	if (!w->asked && page_known(w, l))
		return true;
	w->asked = true;
	return page_asked(w, l);
}

/* Whether the file goes on with these blocks. */
static bool
page_matches(struct walk *w, const struct blocklist *l)
{
	for (uint32_t i = 0; i < l->block_count; i++) {
		const struct block *b = &l->blocks[i];
		size_t got = 0;
		struct hash h;
		struct err err;

		if (pread_full(w->fd, w->buf, b->len, w->offset, &got, &err) || got < b->len)
			return false;
		h = hash_of(w->buf, b->len);
		if (!hash_eq(&h, &b->hash))
			return false;
		content_hash_add(&w->content, &b->hash, b->len);
		w->offset += b->len;
	}
	w->block += l->block_count;
	return true;
}

static bool
cancelled(const struct layout_env *env)
{
	return env->cancel && __atomic_load_n(env->cancel, __ATOMIC_RELAXED);
}

static bool
walk_matches(struct walk *w)
{
	struct blocklist l;

	while (w->offset < (uint64_t)w->other->size)
		if (cancelled(w->env) || !page_next(w, &l) || !page_matches(w, &l))
			return false;
	return w->offset == (uint64_t)w->other->size;
}

static bool
still_is(int fd, const struct entry *here)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_dev == here->dev && (uint64_t)st.st_ino == here->ino &&
	    st.st_size == here->size && stat_mtime_ns(&st) == here->mtime_ns;
}

bool
layout_same(const struct layout_env *env, const struct entry *here, const struct entry *other)
{
	AUTO(closep) int fd = -1;
	AUTO(freep) uint8_t *buf = NULL;
	AUTO(arena_freep) struct arena *a = NULL;
	struct walk w = { .env = env, .other = other };
	struct hash content;
	struct err err;
	bool same;

	if (here->kind != ENTRY_FILE || other->kind != ENTRY_FILE || here->size != other->size || here->size == 0 ||
	    pathat_open(env->root, here->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, &err) || !still_is(fd, here))
		return false;
	w.fd = fd;
	w.buf = buf = xmalloc(BLOCK_LEN_MAX);
	w.a = a = arena_new(LIST_MEMORY);
	content_hash_init(&w.content);
	same = walk_matches(&w);
	content = content_hash_final(&w.content);
	return same && hash_eq(&content, &other->content) && still_is(fd, here);
}
