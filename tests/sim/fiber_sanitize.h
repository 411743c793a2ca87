#pragma once
/*
 * What the sanitizers have to know of fibers: on which stack the program goes on, and that the one which ended is not needed any more.
 */
#include "base/base.h"

#ifdef __has_feature
#define SANITIZE_FEATURE(x) __has_feature(x)
#else
#define SANITIZE_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || SANITIZE_FEATURE(address_sanitizer)
#define FIBER_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__) || SANITIZE_FEATURE(thread_sanitizer)
#define FIBER_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif

/* clang links its sanitizers into the program, with their own variables for each thread. */
#if defined(__clang__) && (defined(FIBER_ASAN) || defined(FIBER_TSAN))
#define SANITIZER_IN_PROGRAM true
#else
#define SANITIZER_IN_PROGRAM false
#endif

#define FIRST_FUNCTIONS_LEN (16 * KIB)

struct fiber_sanitize {
	const void *stack;
	size_t len;
	void *fake, *tsan;
};

static struct fiber_sanitize *sanitize_from; /* who has just given the turn away */

/** sanitize_first(s): the thread's own stack. */
static inline void
sanitize_first(struct fiber_sanitize *s)
{
#ifdef FIBER_TSAN
	s->tsan = __tsan_get_current_fiber();
#endif
	(void)s;
}

static inline void
sanitize_new(struct fiber_sanitize *s, const void *stack, size_t len)
{
	s->stack = stack;
	s->len = len;
#ifdef FIBER_ASAN
	/* Whoever had it before has returned from all but its first functions. */
	__asan_unpoison_memory_region((const uint8_t *)stack + len - FIRST_FUNCTIONS_LEN, FIRST_FUNCTIONS_LEN);
#endif
#ifdef FIBER_TSAN
	s->tsan = __tsan_create_fiber(0);
#endif
}

static inline void
sanitize_free(struct fiber_sanitize *s)
{
#ifdef FIBER_TSAN
	__tsan_destroy_fiber(s->tsan);
#endif
	(void)s;
}

/** sanitize_leave(from, to, ended): right before the switch. */
static inline void
sanitize_leave(struct fiber_sanitize *from, struct fiber_sanitize *to, bool ended)
{
	sanitize_from = from;
#ifdef FIBER_ASAN
	__sanitizer_start_switch_fiber(ended ? NULL : &from->fake, to->stack, to->len);
#endif
#ifdef FIBER_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
	(void)to, (void)ended;
}

/** sanitize_enter(me): right after it.  Where the first one's stack is, is known when it is left for the first time. */
static inline void
sanitize_enter(struct fiber_sanitize *me)
{
#ifdef FIBER_ASAN
	const void *stack;
	size_t len;

	__sanitizer_finish_switch_fiber(me->fake, &stack, &len);
	if (!sanitize_from->stack) {
		sanitize_from->stack = stack;
		sanitize_from->len = len;
	}
#endif
	(void)me;
}
