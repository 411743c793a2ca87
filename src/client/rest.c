/*
 * Blocks of records, each freed when its last record has been taken.  Names come in the order of their paths, so a record has of its path what is
 * not the beginning of the one before.
 */
#include "client/rest.h"

#include "base/limits.h"

#include <assert.h>

#define BLOCK_LEN (64 * KIB)

struct head {
	int64_t size, mtime_ns, ctime_ns;
	uint64_t dev, ino;
	uint32_t mode;
	uint16_t shared; /* bytes of the path before that this one begins with */
	uint16_t more;   /* bytes of it that follow */
	uint16_t target; /* bytes of a link's target behind them */
	uint8_t kind;
	bool known;      /* the content is the last that follows: a link's */
};
#define RECORD_MAX (sizeof(struct head) + 2 * PATH_LEN_MAX + sizeof(struct hash))

struct block {
	struct block *next;
	size_t len;
	uint8_t bytes[BLOCK_LEN];
};

struct rest {
	struct block *first, *last;
	size_t at; /* in the first: what has been taken */
	struct entry_sum sum;
	char added[PATH_LEN_MAX + 1]; /* the path of the last that was added */
	char taken[PATH_LEN_MAX + 1], target[PATH_LEN_MAX + 1]; /* of the last that was taken */
};

struct rest *
rest_new(void)
{
	return xcalloc(1, sizeof(struct rest));
}

static void
drop_block(struct rest *r)
{
	struct block *b = r->first;

	r->first = b->next;
	if (!r->first)
		r->last = NULL;
	r->at = 0;
	free(b);
}

void
rest_free(struct rest *r)
{
	if (!r)
		return;
	while (r->first)
		drop_block(r);
	free(r);
}

void
rest_freep(struct rest **r)
{
	rest_free(*r);
}

struct entry_sum
rest_sum(const struct rest *r)
{
	return r ? r->sum : (struct entry_sum){ 0 };
}

/* ---- adding ------------------------------------------------------------------------------------------------------------------ */

static void
put(struct block *b, const void *p, size_t len)
{
	memcpy(b->bytes + b->len, p, len);
	b->len += len;
}

static struct block *
block_with_room(struct rest *r)
{
	struct block *b = r->last;

	static_assert(RECORD_MAX <= BLOCK_LEN);
	if (b && b->len + RECORD_MAX <= BLOCK_LEN)
		return b;
	b = xmalloc(sizeof *b);
	b->next = NULL;
	b->len = 0;
	if (r->last)
		r->last->next = b;
	else
		r->first = b;
	return r->last = b;
}

static size_t
shared_len(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] && a[n] == b[n])
		n++;
	return n;
}

void
rest_add(struct rest *r, const struct entry *e)
{
	struct block *b = block_with_room(r);
	size_t len = strlen(e->path), shared = shared_len(r->added, e->path), target = strlen(e->target);
	struct head h = { .size = e->size, .mtime_ns = e->mtime_ns, .ctime_ns = e->ctime_ns, .dev = e->dev, .ino = e->ino, .mode = e->mode,
		.shared = (uint16_t)shared, .more = (uint16_t)(len - shared), .target = (uint16_t)target, .kind = (uint8_t)e->kind,
		.known = e->content_known };

	assert(len <= PATH_LEN_MAX && target <= PATH_LEN_MAX);
	put(b, &h, sizeof h);
	put(b, e->path + shared, len - shared);
	put(b, e->target, target);
	if (h.known)
		put(b, &e->content, sizeof e->content);
	memcpy(r->added, e->path, len + 1);
	entry_sum_add(&r->sum, e);
}

/* ---- taking ------------------------------------------------------------------------------------------------------------------ */

static void
get(struct rest *r, void *p, size_t len)
{
	memcpy(p, r->first->bytes + r->at, len);
	r->at += len;
}

bool
rest_take(struct rest *r, struct entry *out)
{
	struct head h;

	if (r->sum.entries == 0)
		return false;
	if (r->at == r->first->len)
		drop_block(r);
	get(r, &h, sizeof h);
	get(r, r->taken + h.shared, h.more);
	r->taken[h.shared + h.more] = '\0';
	get(r, r->target, h.target);
	r->target[h.target] = '\0';
	*out = (struct entry){ .path = r->taken, .kind = h.kind, .size = h.size, .mode = h.mode, .mtime_ns = h.mtime_ns, .content_known = h.known,
		.target = r->target, .dev = h.dev, .ino = h.ino, .ctime_ns = h.ctime_ns };
	if (h.known)
		get(r, &out->content, sizeof out->content);
	entry_sum_sub(&r->sum, out);
	return true;
}
