#pragma once
/**
 * The last change messages of a project, each encoded once for all who listen.  Message k tells what changed after since(k) up to to(k),
 * and since(k+1) = to(k): who has been told up to since(k) is told message k next, and has missed nothing.
 *
 * Not thread-safe: the hub's loop owns it.
 */

#include "base/base.h"

/** A change message; shared by the ring and those who are being sent it. */
struct frame {
	unsigned refs;
	int64_t since, to;
	size_t len;
	char text[]; /* JSON in one line */
};

/** frame_new(since, to, text, len): one reference, the caller's. */
struct frame *frame_new(int64_t since, int64_t to, const char *text, size_t len);
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame *f); /* NULL is fine */

#define RING_FRAMES 256

struct ring {
	struct frame *frames[RING_FRAMES];
	unsigned first, n;
	size_t bytes, bytes_max;
	int64_t to; /* where the last message leads, or where the ring began */
};

/** ring_init(r, clock, bytes_max): empty, for changes after ${clock}. */
void ring_init(struct ring *r, int64_t clock, size_t bytes_max);
void ring_fini(struct ring *r);

/** ring_push(r, f): takes the reference; f->since is r->to.  Lets go of the oldest, but never of the newest. */
void ring_push(struct ring *r, struct frame *f);

enum ring_has {
	RING_NEXT,   /* *out is what to tell next; lent */
	RING_NONE,   /* there is nothing that ${clock} does not know */
	RING_PASSED, /* it is not here any more, or ${clock} lies within a message: read up to r->to elsewhere */
};
enum ring_has ring_find(const struct ring *r, int64_t clock, struct frame **out);
