#pragma once
/**
 * Words that every file of dray speaks: sizes, cleanup and ownership.  Nothing here has state.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/banned.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * (uint64_t)GIB)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/** AUTO(f): run f(&variable) when the variable leaves scope, on every path. */
#define AUTO(f) __attribute__((cleanup(f)))

/** TAKE(p): hand over what the pointer ${p} owns; ${p} itself becomes NULL, so its AUTO() does nothing. */
#define TAKE(p) \
	({ \
		__typeof__(p) taken_ = (p); \
		(p) = NULL; \
		taken_; \
	})

/** FORMAT(i, j): argument i is a printf format, its arguments start at j. */
#define FORMAT(i, j) __attribute__((format(printf, i, j)))

/** Somebody else's bytes. */
struct slice {
	const uint8_t *p;
	size_t len;
};

/**
 * xmalloc(len), xcalloc(n, len), xrealloc(p, len), xstrdup(s):
 * Small allocations whose size we chose.  Failure stops the process: an untested recovery is worse than a restart from a
 * crash-safe state.  Anything sized by a peer uses an arena or sbuf with a ceiling, which answer with an error.
 */
void *xmalloc(size_t len);
void *xcalloc(size_t n, size_t len);
void *xrealloc(void *p, size_t len);
char *xstrdup(const char *s);

/** freep(&p), closep(&fd): cleanup functions for AUTO().  closep skips negative descriptors and keeps errno. */
void freep(void *pp);
void closep(int *fd);

/** flag_is_set(flag): a flag that another thread or a signal handler sets, looked at now and then.  NULL never is. */
static inline bool
flag_is_set(const bool *flag)
{
	return flag && __atomic_load_n(flag, __ATOMIC_RELAXED);
}

/** Little-endian loads and stores; ${p} needs no alignment. */
static inline uint16_t
get_u16le(const uint8_t *p)
{
	return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static inline uint32_t
get_u32le(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
get_u64le(const uint8_t *p)
{
	return (uint64_t)get_u32le(p) | (uint64_t)get_u32le(p + 4) << 32;
}

static inline void
put_u32le(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void
put_u64le(uint8_t *p, uint64_t v)
{
	put_u32le(p, (uint32_t)v);
	put_u32le(p + 4, (uint32_t)(v >> 32));
}
