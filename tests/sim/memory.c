/*
 * Memory of a seed's process: what was given back is kept for the next one who asks, since the kernel's pages are what is dear here.
 *
 * Megabytes of a batch that has to begin as zeros, and of which little is used, are another matter: to clear kept ones would take longer than all else.
 * They come from slots that the kernel empties again.
 */
#include "run.h"

#include <malloc.h>
#include <sys/mman.h>

#define KEPT_MAX (32 * 1024 * 1024) /* the largest threshold that glibc takes */
#define SLOT_LEN (4 * 1024 * 1024)
#define SLOT_LEAST (512 * 1024)
#define SLOTS 256
#define FIRST_LEN (2 * 1024 * 1024)
#define PAGE 4096

void *__real_calloc(size_t n, size_t len);
void __real_free(void *p);
void *__wrap_calloc(size_t n, size_t len);
void __wrap_free(void *p);

static uint8_t *slots; /* NULL: none, as in the process that runs the others */
static unsigned spare[SLOTS], spares;

static void
slots_start(void)
{
	slots = mmap(NULL, (size_t)SLOTS * SLOT_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots == MAP_FAILED)
		abort();
	while (spares < SLOTS) {
		spare[spares] = SLOTS - 1 - spares;
		spares++;
	}
}

/* The pages that a seed uses at least, all at once and not one by one. */
static void
touch_first(void)
{
	uint8_t *p = malloc(FIRST_LEN), *page = (uint8_t *)((uintptr_t)(p + PAGE - 1) / PAGE * PAGE);

	if (p)
		(void)madvise(page, FIRST_LEN - PAGE, MADV_POPULATE_WRITE);
	free(p);
}

void
memory_start(void)
{
	mallopt(M_MMAP_THRESHOLD, KEPT_MAX);
	mallopt(M_TRIM_THRESHOLD, INT32_MAX);
	mallopt(M_TOP_PAD, 4 * 1024 * 1024);
	if (SANITIZED) /* which look after their own */
		return;
	slots_start();
	touch_first();
}

void *
__wrap_calloc(size_t n, size_t len)
{
	if (spares == 0 || n == 0 || len < SLOT_LEAST / n || len > SLOT_LEN / n)
		return __real_calloc(n, len);
	return slots + (size_t)spare[--spares] * SLOT_LEN;
}

/* What comes from slots has an owner in src, so its end is seen here; realloc of such is not. */
void
__wrap_free(void *p)
{
	uint8_t *at = p;

	if (!slots || at < slots || at >= slots + (size_t)SLOTS * SLOT_LEN) {
		__real_free(p);
		return;
	}
	if (madvise(at, SLOT_LEN, MADV_DONTNEED))
		abort();
	spare[spares++] = (unsigned)((size_t)(at - slots) / SLOT_LEN);
}
