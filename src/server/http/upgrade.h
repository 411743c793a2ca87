#pragma once
/** The WebSocket handshake.  Pure. */

#include "server/http/head.h"
#include "server/http/http.h"

/** upgrade_check(h, buf, accept, err): http_websocket() for a head that was read. */
err_code upgrade_check(const struct head *h, const char *buf, char accept[static HTTP_ACCEPT_LEN + 1], struct err *err);
