#pragma once
/** What a WebSocket handshake brings beside RFC 6455's own: which protocol of messages, and a browser's ticket. */

#include "server/route/ticket.h"

struct call;

#define EVENTS_PROTOCOL "dray.v1"

/**
 * handshake_protocol(c, named, err): *named: the client has offered EVENTS_PROTOCOL, and is to be told that it is spoken.  Who offers only others is
 * told nothing, as RFC 6455 has it.
 * Errors     UPGRADE_INVALID.
 */
err_code handshake_protocol(struct call *c, bool *named, struct err *err);

/**
 * handshake_ticket(c, t, given, err): the ticket that the request brings in the place of a token; used up by looking at it.  *given is false for what
 * is no handshake, or has none.
 * Errors     UPGRADE_INVALID; TICKET_INVALID: also for another project than its own.
 */
err_code handshake_ticket(struct call *c, struct ticket *t, bool *given, struct err *err);
