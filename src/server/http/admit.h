#pragma once
/** Which well-formed requests are let in at all: host names, origins, bodies.  Pure; rules are fixed at start. */

#include "server/http/head.h"

struct admit {
	char **hosts;   /* NULL-terminated, without ports: opts.hosts, the listen host, and the names of loopback */
	bool any_ip;    /* listening on a wildcard address: any IP literal may be ours */
};

/** admit_init(a, listen_host, wildcard, hosts): ${hosts} may be NULL; all text is copied. */
void admit_init(struct admit *a, const char *listen_host, bool wildcard, const char *const *hosts);
void admit_fini(struct admit *a);

/**
 * admit_check(a, h, buf, err): may the request go to the service?
 * Errors     MISDIRECTED, ORIGIN_FORBIDDEN, BODY_NOT_ALLOWED, LENGTH_REQUIRED, ENCODING_UNSUPPORTED.
 */
err_code admit_check(const struct admit *a, const struct head *h, const char *buf, struct err *err);
