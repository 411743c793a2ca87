/*
 * A bump allocator over a list of blocks.  The newest ordinary block is the head and serves small requests; a request that
 * does not fit an ordinary block gets one of its own, behind the head, so the room left in the head is not lost.
 *
 * Under AddressSanitizer, what is not handed out is poisoned, so a use after reset is caught like a use after free.
 */
#include "base/arena.h"

#include <stdalign.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONING 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONING 1
#endif
#endif

#ifdef POISONING
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, len) ((void)(p), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(p, len) ((void)(p), (void)(len))
#endif

#define ALIGN alignof(max_align_t)
#define BLOCK_FIRST (4 * KIB)   /* most requests are done with this */
#define BLOCK_LAST (256 * KIB)  /* doubling ends here: an arena wastes at most this */

struct block {
	struct block *next;
	size_t cap, used;
	alignas(max_align_t) uint8_t data[];
};

struct arena {
	struct block *head;
	size_t max, used, next_cap;
};

struct arena *
arena_new(size_t max)
{
	struct arena *a = xcalloc(1, sizeof *a);

	a->max = max;
	a->next_cap = BLOCK_FIRST;
	return a;
}

static void
free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;

		ASAN_UNPOISON_MEMORY_REGION(b->data, b->cap);
		free(b);
		b = next;
	}
}

void
arena_free(struct arena *a)
{
	if (!a)
		return;
	free_blocks(a->head);
	free(a);
}

void
arena_freep(struct arena **a)
{
	arena_free(*a);
}

void
arena_reset(struct arena *a)
{
	struct block *b = a->head;

	a->used = 0;
	if (!b)
		return;
	free_blocks(b->next);
	b->next = NULL;
	b->used = 0;
	ASAN_POISON_MEMORY_REGION(b->data, b->cap);
	if (b->cap > BLOCK_LAST) { /* one huge request must not be paid for ever after */
		free_blocks(b);
		a->head = NULL;
	}
}

size_t
arena_used(const struct arena *a)
{
	return a->used;
}

static struct block *
block_new(struct arena *a, size_t cap)
{
	struct block *b = malloc(sizeof *b + cap);

	if (!b)
		return NULL;
	b->cap = cap;
	b->used = 0;
	ASAN_POISON_MEMORY_REGION(b->data, cap);
	if (a->head && cap > a->next_cap) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

static void *
hand_out(struct arena *a, struct block *b, size_t pad, size_t len)
{
	uint8_t *p = b->data + b->used + pad;

	b->used += pad + len;
	a->used += pad + len;
	ASAN_UNPOISON_MEMORY_REGION(p, len);
	return p;
}

/* ${len} bytes, not zeroed, at a multiple of ${align}.  Gaps for alignment count against the ceiling: they are memory too. */
static void *
take(struct arena *a, size_t len, size_t align)
{
	struct block *b = a->head;

	if (b) {
		size_t pad = -b->used & (align - 1);

		if (b->cap - b->used >= pad && b->cap - b->used - pad >= len) {
			if (pad > a->max - a->used || len > a->max - a->used - pad)
				return NULL;
			return hand_out(a, b, pad, len);
		}
	}
	if (len > a->max - a->used)
		return NULL;
	if (len > a->next_cap) {
		b = block_new(a, len);
	} else {
		b = block_new(a, a->next_cap);
		a->next_cap = MIN(2 * a->next_cap, BLOCK_LAST);
	}
	return b ? hand_out(a, b, 0, len) : NULL;
}

void *
arena_alloc(struct arena *a, size_t len)
{
	void *p = take(a, len, ALIGN);

	if (p)
		memset(p, 0, len);
	return p;
}

void *
arena_must(struct arena *a, size_t len)
{
	void *p = arena_alloc(a, len);

	if (!p) {
		fprintf(stderr, "arena: %zu bytes on top of %zu pass the ceiling of %zu\n", len, a->used, a->max);
		abort();
	}
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	size_t len;

	return __builtin_mul_overflow(n, size, &len) ? NULL : arena_alloc(a, len);
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *p = len < SIZE_MAX ? take(a, len + 1, 1) : NULL;

	if (!p)
		return NULL;
	if (len)
		memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

void *
arena_memdup(struct arena *a, const void *p, size_t len)
{
	void *q = take(a, len, ALIGN);

	if (q && len)
		memcpy(q, p, len);
	return q;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	p = take(a, (size_t)n + 1, 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
