#pragma once
/** The server's side of HTTP without a line (front.c). */

#include "server/http/http.h"
#include "sim.h"

/** front_run(s, in, out): a request from its head to its end. */
void front_run(const struct http_service *s, const struct request *in, struct answer *out);
