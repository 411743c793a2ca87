#pragma once
/**
 * Tells the server how far a download is, for those who listen to the project: it sees single chunks leave, and not what for.  Once a second, from
 * a thread of its own, and not at all of a download that is over by then; whether it is heard changes nothing.
 */

#include "client/transfer/transfer.h"

struct tell;

/** tell_start(remote, progress, path): ${path} NULL: of many files.  All of it outlives tell_stop.  NULL when it cannot be. */
struct tell *tell_start(struct remote *remote, struct transfer_progress *progress, const char *path);
/** tell_stop(t, done): it was completed, or has ended otherwise.  NULL is fine. */
void tell_stop(struct tell *t, bool done);
