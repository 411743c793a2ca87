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
	struct content_hash content; /* of the list, so that it is known to be the other's */
};

/* NOT_FOUND: the state does not have it, or has it damaged. */
static err_code
page_known(struct walk *w, struct blocklist *l, struct err *err)
{
	const uint8_t *packed;
	const uint32_t *weak;
	size_t len;
	err_code rc;

	if (w->asked || w->block % BLOCKLIST_PAGE_BLOCKS != 0)
		return ERR_NOT_FOUND;
	rc = state_blocks_get(
	    w->env->state, &w->other->content, (uint32_t)(w->block / BLOCKLIST_PAGE_BLOCKS), w->a, &packed, &len, &weak, err);
	if (rc)
		return rc;
	return blocklist_unpack(packed, len, BLOCKLIST_PAGE_BLOCKS, w->a, l, err) ? ERR_NOT_FOUND : ERR_OK;
}

/* Of that very version: another one's list would make an edit of what is none. */
static err_code
page_asked(struct walk *w, struct blocklist *l, struct err *err)
{
	const uint8_t *packed;
	size_t len;
	bool more;
	err_code rc = remote_blocks(w->env->remote, &w->other->id, w->other->version, w->block, w->a, &packed, &len, &more, err);

	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_VERSION_CONFLICT, "%s has changed on the server meanwhile; run it again", w->other->path);
	if (rc)
		return rc;
	rc = blocklist_unpack(packed, len, BLOCKLIST_UPLOAD_MAX, w->a, l, err);
	if (rc == ERR_OK && l->block_count == 0)
		rc = err_set(err, ERR_PROTOCOL, "the list ends before the file does");
	return rc ? err_set(err, ERR_PROTOCOL, "%s: block list: %s", w->other->path, err ? err->msg : "") : ERR_OK;
}

/* *there false: there is nobody to ask. */
static err_code
page_next(struct walk *w, struct blocklist *l, bool *there, struct err *err)
{
	err_code rc;

	arena_reset(w->a);
	*there = true;
	rc = page_known(w, l, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	w->asked = true;
	*there = w->env->remote && !id_is_zero(&w->other->id);
	return *there ? page_asked(w, l, err) : ERR_OK;
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

static err_code
walk_matches(struct walk *w, bool *same, struct err *err)
{
	struct blocklist l;

	*same = true;
	while (*same && w->offset < (uint64_t)w->other->size) {
		err_code rc = flag_is_set(w->env->cancel) ? err_set(err, ERR_CANCELLED, "stopped") : page_next(w, &l, same, err);

		if (rc)
			return rc;
		*same = *same && page_matches(w, &l);
	}
	*same = *same && w->offset == (uint64_t)w->other->size;
	return ERR_OK;
}

static bool
still_is(int fd, const struct entry *here)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_dev == here->dev && (uint64_t)st.st_ino == here->ino &&
	    st.st_size == here->size && stat_mtime_ns(&st) == here->mtime_ns;
}

err_code
layout_same(const struct layout_env *env, const struct entry *here, const struct entry *other, bool *same, struct err *err)
{
	AUTO(closep) int fd = -1;
	AUTO(freep) uint8_t *buf = NULL;
	AUTO(arena_freep) struct arena *a = NULL;
	struct walk w = { .env = env, .other = other };
	struct hash content;
	struct err why;
	err_code rc;

	*same = false;
	if (here->kind != ENTRY_FILE || other->kind != ENTRY_FILE || here->size != other->size || here->size == 0 ||
	    pathat_open(env->root, here->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, &why) || !still_is(fd, here))
		return ERR_OK;
	w.fd = fd;
	w.buf = buf = xmalloc(BLOCK_LEN_MAX);
	w.a = a = arena_new(LIST_MEMORY);
	content_hash_init(&w.content);
	rc = walk_matches(&w, same, err);
	content = content_hash_final(&w.content);
	*same = rc == ERR_OK && *same && hash_eq(&content, &other->content) && still_is(fd, here);
	return rc;
}

bool
layout_known(const struct layout_env *env, const struct entry *other)
{
	AUTO(arena_freep) struct arena *a = arena_new(LIST_MEMORY);
	struct walk w = { .env = env, .other = other, .a = a };

	while (w.offset < (uint64_t)other->size) {
		struct blocklist l;
		struct err why;

		arena_reset(a);
		if (page_known(&w, &l, &why) || l.block_count == 0)
			return false;
		for (uint32_t i = 0; i < l.block_count; i++)
			w.offset += l.blocks[i].len;
		w.block += l.block_count;
	}
	return true;
}
