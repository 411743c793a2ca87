#pragma once
/** Shared by http.c (patience, lines) and exchange.c (one attempt). */

#include <curl/curl.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "client/remote/http.h"
#include "client/remote/rate.h"

#define LOOK_MS 50 /* how late a wait notices that it was cancelled */

/** A handle of libcurl, and the pool that keeps its connection. */
struct line {
	CURL *easy;
	CURLM *multi;
};

struct http {
	char *url, *auth, *ca_file;
	bool loopback;
	int64_t retry_ms, stall_ms;
	const bool *cancel;
	struct rate *up_rate, *down_rate; /* NULL: as fast as it goes */
	struct mutex lock;                /* RANK_LEAF; guards idle, idle_n, busy */
	struct cond lane_free;
	struct line *idle[IDLE_LINES_MAX];
	size_t idle_n;
	unsigned busy, lanes;             /* requests that run, and how many may; 0 lanes: any number */
	_Atomic uint64_t requests, retries, up, down;
};

static inline bool
http_cancelled(const struct http *h)
{
	return flag_is_set(h->cancel);
}

static inline err_code
http_stopped(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "stopped on request");
}

/** http_sleep_until(h, at_us): on the monotonic clock.  False when cancelled meanwhile. */
bool http_sleep_until(const struct http *h, int64_t at_us);

/** http_backoff_ms(first_ms, max_ms, attempts): full jitter: any time up to a bound that doubles with each attempt that failed. */
int64_t http_backoff_ms(int64_t first_ms, int64_t max_ms, unsigned attempts);

/** exchange_line(line, h): reset the handle, and set what is the same for everything that goes to the server. */
void exchange_line(CURL *line, const struct http *h);

/**
 * exchange_run(h, line, c, key, again, after_ms, err): ask once.  *again: the same may succeed in a moment, *after_ms as the server's
 * Retry-After says.
 */
err_code exchange_run(struct http *h, struct line *line, struct http_call *c, const char *key, bool *again, int64_t *after_ms,
    struct err *err);
