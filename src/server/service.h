#pragma once
/**
 * Everything behind one listening address, wired together: database, metadata, store, rules, routes, HTTP.  The only place that names
 * back-ends.
 */

#include "server/data.h"

struct service;

struct service_opts {
	const char *db_url;        /* of a PostgreSQL; NULL: meta.db in the data directory */
	const char *listen;        /* "HOST:PORT" */
	const char *const *hosts;  /* further Host names, NULL-terminated */
	unsigned workers;          /* 0: the default */
	bool access_log;
	int64_t gc_interval_us;    /* 0: garbage is collected only when asked for */
	int64_t gc_grace_us;
	bool gc_eager;             /* without rests: nobody else is served */
};

/**
 * service_open(data, opts, out, err): on a locked data directory (borrowed).  At the very first start it makes the owner token;
 * *first_start tells.
 */
err_code service_open(struct data *data, const struct service_opts *opts, struct service **out, bool *first_start, struct err *err);

/** service_address(s): where it listens, lent. */
const char *service_address(const struct service *s);

/** service_tick(s): what has to be done now and then (domain_expire); logs its own errors. */
void service_tick(struct service *s);

/** service_close(s, grace_ms): finish what runs, move the log into the database, release.  NULL is fine. */
void service_close(struct service *s, int64_t grace_ms);
