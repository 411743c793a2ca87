#pragma once
/** A hub over socket pairs, on a change log in memory, and a client of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>

#include "base/thread.h"
#include "server/notify/notify.h"
#include "server/notify/ws.h"

/** A project: its clock is the number of changes, so message texts can be counted. */
struct app {
	struct mutex mu; /* RANK_META */
	int64_t clock;
	int64_t place;   /* of each device that comes; 0: none */
	bool any_device; /* not only ${device} may listen */
	int64_t deadline_ms;
	struct id project, epoch, device;
	atomic_bool revoked, broken;
	atomic_uint released;
};
extern struct app app;

struct notify *open_hub(struct notify_opts opts);
/** commit(hub, changes, tell): the clock that they lead to. */
int64_t commit(struct notify *hub, int64_t changes, bool tell);

/** join…(hub, …): the client's end; join_and_hear has read the greeting.  release(fd): of a connection. */
int join_as(struct notify *hub, const struct id *device, enum notify_kind kind, bool subscribed);
int join(struct notify *hub, bool subscribed);
int join_and_hear(struct notify *hub);
void release(void *fd);

/**
 * patience(): how many milliseconds are left for the hub that was opened last; the test fails when there are none.  Whoever waits, and be it for the
 * next of many messages, asks this: heartbeats never end.
 */
int patience(void);

/** next_frame(fd, text, cap, len): the next frame's text; returns its opcode, or -1 at the end. */
int next_frame(int fd, char *text, size_t cap, size_t *len);
/** wait_for_text(fd, want, text, cap): the next message that holds ${want}; false at the end. */
bool wait_for_text(int fd, const char *want, char *text, size_t cap);
/** close_code(fd): the code with which the stream is closed; 0 when it ends without one. */
unsigned close_code(int fd);
/** follow(fd, from, until): reads changes until ${until}: each begins where the one before has ended. */
void follow(int fd, int64_t from, int64_t until);
