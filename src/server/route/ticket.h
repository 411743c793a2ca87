#pragma once
/**
 * Tickets: what a browser opens a WebSocket with, which can send no Authorization.  A ticket is 256 random bits, good once and for EVENTS_TICKET_MS;
 * only its hash is kept, in memory, and with a restart all are gone.
 *
 * Time       is the caller's, on a clock that never goes back.
 * Threads    any.
 */

#include "base/hash.h"
#include "base/id.h"

struct tickets;

#define TICKET_LEN HASH_HEX_LEN /* hexadecimal digits: what a Sec-WebSocket-Protocol may hold */

/** What a ticket is for. */
struct ticket {
	struct id device;
	struct id project; /* zero: whatever the device may read */
};

struct tickets *tickets_new(void);
void tickets_free(struct tickets *ts); /* NULL is fine */

/**
 * ticket_give(ts, t, now_ms, out, err): a new one.
 * Errors     TOO_MANY_REQUESTS: the device has EVENTS_TICKETS_PER_DEVICE_MAX that are not used; UNAVAILABLE: there are EVENTS_TICKETS_MAX of all.
 */
err_code ticket_give(struct tickets *ts, const struct ticket *t, int64_t now_ms, char out[static TICKET_LEN + 1], struct err *err);

/** ticket_take(ts, s, len, now_ms, out, err): it is used up.  TICKET_INVALID: there is no such one, or not any more. */
err_code ticket_take(struct tickets *ts, const char *s, size_t len, int64_t now_ms, struct ticket *out, struct err *err);
