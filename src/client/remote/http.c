/*
 * Patience: a request again and again where that may help, over lines that are kept; see exchange.c for one attempt.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "client/remote/http_internal.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 8000
#define RETRY_DEFAULT_MS 30000
#define STALL_DEFAULT_S 30
#define LANE_RATE (1 * MIB) /* a chunk in four seconds: what an interruption costs stays small, and a server waits that long */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void
curl_start(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		abort();
}

/*
 * Few enough at once that each is faster than what the server takes for a dead peer (HTTP_BODY_RATE_MIN), and each direction on its
 * own, as curl and rsync have it.
 */
static void
limit(struct http *h, uint64_t bytes_per_s)
{
	h->up_rate = rate_new(bytes_per_s);
	h->down_rate = rate_new(bytes_per_s);
	h->lanes = (unsigned)MIN(MAX(bytes_per_s / LANE_RATE, 1), IDLE_LINES_MAX);
}

err_code
http_open(const struct remote_opts *opts, struct http **out, struct err *err)
{
	struct http *h;
	bool loopback = false;
	err_code rc;

	pthread_once(&curl_once, curl_start);
	rc = server_url_check(opts->url, opts->allow_http, &loopback, err);
	if (rc)
		return rc;
	if (!token_check(opts->token, strlen(opts->token)))
		return err_set(err, ERR_TOKEN_INVALID, "the token is not one of dray's");
	h = xcalloc(1, sizeof *h);
	mutex_init(&h->lock, RANK_LEAF);
	cond_init(&h->lane_free);
	h->url = xstrdup(opts->url);
	h->auth = xmalloc(sizeof "Authorization: Bearer " + TOKEN_LEN);
	snprintf(h->auth, sizeof "Authorization: Bearer " + TOKEN_LEN, "Authorization: Bearer %s", opts->token);
	h->ca_file = opts->ca_file ? xstrdup(opts->ca_file) : NULL;
	h->loopback = loopback;
	h->retry_ms = opts->retry_ms ? opts->retry_ms : RETRY_DEFAULT_MS;
	h->stall_ms = (int64_t)(opts->stall_s ? opts->stall_s : STALL_DEFAULT_S) * 1000;
	h->cancel = opts->cancel;
	if (opts->rate)
		limit(h, opts->rate);
	*out = h;
	return ERR_OK;
}

static void
line_free(struct line *l)
{
	if (!l)
		return;
	curl_easy_cleanup(l->easy);
	curl_multi_cleanup(l->multi);
	free(l);
}

void
http_free(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->idle_n; i++)
		line_free(h->idle[i]);
	mutex_fini(&h->lock);
	cond_fini(&h->lane_free);
	rate_free(h->up_rate);
	rate_free(h->down_rate);
	free(h->url);
	free(h->auth);
	free(h->ca_file);
	free(h);
}

void
http_stats(struct http *h, struct remote_stats *out)
{
	out->requests = h->requests;
	out->retries = h->retries;
	out->bytes_up = h->up;
	out->bytes_down = h->down;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------ */

static struct line *
line_new(void)
{
	struct line *l = xcalloc(1, sizeof *l);

	l->easy = curl_easy_init();
	l->multi = curl_multi_init();
	if (l->easy && l->multi)
		return l;
	line_free(l);
	return NULL;
}

/* Wait until one more may run.  False when cancelled meanwhile. */
static bool
lane_enter(struct http *h)
{
	bool in = false;

	while (!in && !http_cancelled(h)) {
		mutex_lock(&h->lock);
		in = h->lanes == 0 || h->busy < h->lanes;
		if (in)
			h->busy++;
		else
			cond_wait_until(&h->lane_free, &h->lock, clock_mono_ms() + LOOK_MS);
		mutex_unlock(&h->lock);
	}
	return in;
}

static struct line *
line_take(struct http *h)
{
	struct line *line = NULL;

	mutex_lock(&h->lock);
	if (h->idle_n > 0)
		line = h->idle[--h->idle_n]; /* the last one back has the warmest connection */
	mutex_unlock(&h->lock);
	return line ? line : line_new();
}

static void
line_give(struct http *h, struct line *line, bool aside)
{
	mutex_lock(&h->lock);
	if (!aside)
		h->busy--;
	cond_signal(&h->lane_free);
	if (line && h->idle_n < IDLE_LINES_MAX) {
		h->idle[h->idle_n++] = line;
		line = NULL;
	}
	mutex_unlock(&h->lock);
	line_free(line);
}

static err_code
attempt(struct http *h, struct http_call *c, const char *key, bool *again, int64_t *after_ms, struct err *err)
{
	struct line *line;
	err_code rc;

	*again = false;
	if (!c->aside && !lane_enter(h))
		return http_stopped(err);
	line = line_take(h);
	rc = line ? exchange_run(h, line, c, key, again, after_ms, err) : err_set(err, ERR_NO_MEM, "no memory for a request");
	line_give(h, line, c->aside);
	return rc;
}

/* ---- again and again -------------------------------------------------------------------------------------------------------- */

/* Clients that were cut off together do not come back together. */
int64_t
http_backoff_ms(int64_t first_ms, int64_t max_ms, unsigned attempts)
{
	int64_t bound = max_ms;

	if (attempts < 16 && first_ms << attempts < max_ms)
		bound = first_ms << attempts;
	return (int64_t)(rng_u64() % (uint64_t)(bound + 1));
}

bool
http_sleep_until(const struct http *h, int64_t at_us)
{
	int64_t left;

	while (!http_cancelled(h) && (left = at_us - clock_mono_us()) > 0) {
		struct timespec ts = { .tv_nsec = MIN(left, LOOK_MS * 1000) * 1000 };

		nanosleep(&ts, NULL);
	}
	return !http_cancelled(h);
}

err_code
http_run(struct http *h, struct http_call *c, struct err *err)
{
	char key[2 * 16 + 1];
	uint8_t random[16];
	int64_t give_up = 0;

	rng_bytes(random, sizeof random);
	hex_encode(random, sizeof random, key);
	for (unsigned n = 0;; n++) {
		int64_t now, wait_ms, after_ms = 0;
		bool again = false;
		err_code rc;

		if (http_cancelled(h))
			return http_stopped(err);
		rc = attempt(h, c, key, &again, &after_ms, err);
		if (!rc || !again || c->aside)
			return rc;
		now = clock_mono_ms();
		if (n == 0)
			give_up = now + h->retry_ms;
		wait_ms = after_ms + http_backoff_ms(BACKOFF_FIRST_MS, BACKOFF_MAX_MS, n);
		if (now + wait_ms > give_up)
			return rc;
		h->retries++;
		if (!http_sleep_until(h, clock_mono_us() + wait_ms * 1000))
			return http_stopped(err);
	}
}
