/*
 * Requests over libcurl.
 *
 * H1  A line (easy handle with its connection) belongs to one thread while it is out of the pool.
 * H2  Every attempt starts from a reset handle and an empty sink: nothing of one request leaks into the next.
 * H3  An answer counts only when its head was whole and its length was framed: libcurl reports a connection cut inside the
 *     head, and any body that ends with the connection, as success.
 */
#include <assert.h>
#include <curl/curl.h>
#include <stdatomic.h>
#include <strings.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/rng.h"
#include "base/thread.h"
#include "client/remote/http.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 8000
#define PAUSE_SLICE_MS 50             /* how late a pause notices that it was cancelled */
#define RETRY_DEFAULT_MS 30000
#define STALL_DEFAULT_S 30
#define LINE_BUFFER (256L * 1024)     /* libcurl's default of 16 KiB costs a system call for each */

struct http {
	char *url, *auth, *ca_file;
	bool loopback;
	int64_t retry_ms;
	long stall_s;
	const bool *cancel;
	struct mutex lock; /* guards idle, idle_n */
	CURL *idle[IDLE_LINES_MAX];
	size_t idle_n;
	_Atomic uint64_t requests, retries, up, down;
};

/* One attempt at a call. */
struct exchange {
	struct http *http;
	struct http_call *call;
	const char *key;
	size_t head_len;
	bool head_done, framed, problem_type, type_ok, has_range;
	uint64_t range_first, range_last, range_total;
	struct err fault;             /* why a callback stopped the transfer; code ERR_OK: it did not */
	char detail[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void
curl_start(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		abort();
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
	h->url = xstrdup(opts->url);
	h->auth = xmalloc(sizeof "Authorization: Bearer " + TOKEN_LEN);
	snprintf(h->auth, sizeof "Authorization: Bearer " + TOKEN_LEN, "Authorization: Bearer %s", opts->token);
	h->ca_file = opts->ca_file ? xstrdup(opts->ca_file) : NULL;
	h->loopback = loopback;
	h->retry_ms = opts->retry_ms ? opts->retry_ms : RETRY_DEFAULT_MS;
	h->stall_s = opts->stall_s ? (long)opts->stall_s : STALL_DEFAULT_S;
	h->cancel = opts->cancel;
	*out = h;
	return ERR_OK;
}

void
http_free(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->idle_n; i++)
		curl_easy_cleanup(h->idle[i]);
	mutex_fini(&h->lock);
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

static bool
cancelled(const struct http *h)
{
	return h->cancel && __atomic_load_n(h->cancel, __ATOMIC_RELAXED);
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------ */

static CURL *
line_take(struct http *h)
{
	CURL *line = NULL;

	mutex_lock(&h->lock);
	if (h->idle_n > 0)
		line = h->idle[--h->idle_n]; /* the last one back has the warmest connection */
	mutex_unlock(&h->lock);
	return line ? line : curl_easy_init();
}

static void
line_give(struct http *h, CURL *line)
{
	mutex_lock(&h->lock);
	if (h->idle_n < IDLE_LINES_MAX) {
		h->idle[h->idle_n++] = line;
		line = NULL;
	}
	mutex_unlock(&h->lock);
	curl_easy_cleanup(line);
}

/* ---- reading the answer --------------------------------------------------------------------------------------------------- */

static bool
type_is(const char *v, size_t len, const char *type)
{
	size_t n = strlen(type);

	return len >= n && strncasecmp(v, type, n) == 0 && (len == n || v[n] == ';' || v[n] == ' ');
}

/* A status line starts a head: the final one, or one of 100 Continue that a final one follows. */
static void
head_start(struct exchange *x, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	uint64_t status = 0;

	x->framed = x->problem_type = x->type_ok = x->has_range = x->head_done = false;
	if (!space || (size_t)(line + len - space) < 4 || !parse_u64(space + 1, 3, 999, &status))
		status = 0;
	x->call->status = (int)status;
}

static bool
field_is(const char *line, size_t len, const char *name, const char **v, size_t *v_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	line += n + 1;
	len -= n + 1;
	while (len > 0 && (*line == ' ' || *line == '\t'))
		line++, len--;
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	*v = line;
	*v_len = len;
	return true;
}

static void
head_field(struct exchange *x, const char *line, size_t len)
{
	const char *v;
	size_t n;

	if (field_is(line, len, "content-type", &v, &n)) {
		x->problem_type = type_is(v, n, "application/problem+json");
		x->type_ok = x->call->accept && type_is(v, n, x->call->accept);
	} else if (field_is(line, len, "content-length", &v, &n) || field_is(line, len, "transfer-encoding", &v, &n)) {
		x->framed = true;
	} else if (field_is(line, len, "content-range", &v, &n)) {
		x->has_range = content_range_parse(v, n, &x->range_first, &x->range_last, &x->range_total);
	} else if (field_is(line, len, "dray-more", &v, &n)) {
		x->call->more = type_is(v, n, "true");
	} else if (field_is(line, len, "content-encoding", &v, &n) && !type_is(v, n, "identity")) {
		/* Not asked for, so not inflated: a few KiB could become gigabytes. */
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the server sent Content-Encoding %.*s unasked", (int)MIN(n, 32), v);
	}
}

static size_t
on_head(char *line, size_t one, size_t len, void *ctx)
{
	struct exchange *x = ctx;
	size_t taken = len * one;

	len = taken;
	x->head_len += len;
	if (x->head_len > ANSWER_HEAD_MAX) {
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer's header section is larger than %zu KiB", ANSWER_HEAD_MAX / KIB);
		return 0;
	}
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		head_start(x, line, len);
	else if (len == 0)
		x->head_done = x->call->status >= 200;
	else if (!x->head_done) /* what comes later are trailers, which mean nothing to us */
		head_field(x, line, len);
	return x->fault.code ? 0 : taken;
}

static bool
body_add(struct http_call *c, const char *p, size_t len)
{
	if (c->text) {
		sbuf_addn(c->text, p, len);
		return !c->text->failed;
	}
	if (!c->buf)
		return true;
	if (len > c->cap - c->got)
		return false;
	memcpy(c->buf + c->got, p, len);
	c->got += len;
	return true;
}

static size_t
on_body(char *p, size_t one, size_t len, void *ctx)
{
	struct exchange *x = ctx;
	struct http_call *c = x->call;

	len *= one;
	if (c->status >= 300) {
		sbuf_addn(&c->problem, p, len);
		return c->problem.failed ? 0 : len;
	}
	if (c->accept && !x->type_ok) {
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer is not %s: something else than a dray server speaks", c->accept);
		return 0;
	}
	if (!body_add(c, p, len)) {
		c->too_large = true;
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer is larger than %zu bytes", c->text ? c->text->max : c->cap);
		return 0;
	}
	return len;
}

static int
on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct exchange *x = ctx;

	(void)down_total, (void)down, (void)up_total, (void)up;
	return cancelled(x->http);
}

/* ---- one attempt ------------------------------------------------------------------------------------------------------------ */

static struct curl_slist *
head_lines(const struct exchange *x)
{
	struct curl_slist *l = NULL;
	const struct http_call *c = x->call;
	char line[160];

	l = curl_slist_append(l, x->http->auth);
	/*
	 * libcurl would announce bodies over 1 MiB and wait for the server's word: a round trip for each chunk, to save sending one
	 * that is refused, which is rare.
	 */
	l = curl_slist_append(l, "Expect:");
	snprintf(line, sizeof line, "Accept: %s%s", c->accept ? c->accept : "*/*",
	    c->accept ? ", application/problem+json" : "");
	l = curl_slist_append(l, line);
	if (c->body) {
		snprintf(line, sizeof line, "Content-Type: %s", c->type);
		l = curl_slist_append(l, line);
	}
	if (c->keyed) {
		snprintf(line, sizeof line, "Idempotency-Key: %s", x->key);
		l = curl_slist_append(l, line);
	}
	return l;
}

/* What is the same for all requests. */
static void
line_setup(CURL *line, struct exchange *x)
{
	const struct http *h = x->http;

	curl_easy_reset(line); /* H2; connections are kept */
	curl_easy_setopt(line, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(line, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(line, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(line, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(line, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(line, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(line, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(line, CURLOPT_CONNECTTIMEOUT, CONNECT_DEADLINE_S);
	curl_easy_setopt(line, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_S);
	curl_easy_setopt(line, CURLOPT_LOW_SPEED_TIME, h->stall_s);
	curl_easy_setopt(line, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(line, CURLOPT_BUFFERSIZE, LINE_BUFFER);
	curl_easy_setopt(line, CURLOPT_UPLOAD_BUFFERSIZE, LINE_BUFFER);
	curl_easy_setopt(line, CURLOPT_USERAGENT, "dray/" DRAY_VERSION);
	if (h->ca_file)
		curl_easy_setopt(line, CURLOPT_CAINFO, h->ca_file);
	if (h->loopback)
		curl_easy_setopt(line, CURLOPT_NOPROXY, "*"); /* a proxy would look for the server on its own machine */
	curl_easy_setopt(line, CURLOPT_ERRORBUFFER, x->detail);
	curl_easy_setopt(line, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(line, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(line, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(line, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(line, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(line, CURLOPT_XFERINFODATA, x);
	curl_easy_setopt(line, CURLOPT_NOPROGRESS, 0L);
}

static void
line_request(CURL *line, const struct http_call *c)
{
	char range[48];

	if (c->body) {
		curl_easy_setopt(line, CURLOPT_POST, 1L);
		curl_easy_setopt(line, CURLOPT_POSTFIELDS, c->body); /* borrowed, and rewound by libcurl itself */
		curl_easy_setopt(line, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
	}
	curl_easy_setopt(line, CURLOPT_CUSTOMREQUEST, c->method);
	if (c->ranged) {
		snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)c->range_off,
		    (unsigned long long)(c->range_off + c->cap - 1));
		curl_easy_setopt(line, CURLOPT_RANGE, range);
	}
}

static void
count_bytes(struct http *h, CURL *line)
{
	curl_off_t up = 0, down = 0;
	long up_head = 0, down_head = 0;

	curl_easy_getinfo(line, CURLINFO_SIZE_UPLOAD_T, &up);
	curl_easy_getinfo(line, CURLINFO_SIZE_DOWNLOAD_T, &down);
	curl_easy_getinfo(line, CURLINFO_REQUEST_SIZE, &up_head);
	curl_easy_getinfo(line, CURLINFO_HEADER_SIZE, &down_head);
	h->up += (uint64_t)up + (uint64_t)up_head;
	h->down += (uint64_t)down + (uint64_t)down_head;
	h->requests++;
}

/* What libcurl's codes mean to us; *again: trying once more may help. */
static err_code
line_error(const struct exchange *x, CURLcode code, bool *again, struct err *err)
{
	const char *why = x->detail[0] ? x->detail : curl_easy_strerror(code);

	*again = false;
	switch (code) {
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(err, ERR_CANCELLED, "stopped on request");
	case CURLE_OUT_OF_MEMORY:
		return err_set(err, ERR_NO_MEM, "no memory for a request");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return err_set(err, ERR_NETWORK, "the server's certificate is not trusted: %s", why);
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_RANGE_ERROR:
		return err_set(err, ERR_PROTOCOL, "the answer is not valid HTTP: %s", why);
	default:
		*again = true;
		return err_set(err, ERR_NETWORK, "%s", why);
	}
}

static err_code
range_check(const struct exchange *x, struct err *err)
{
	struct http_call *c = x->call;

	if (!c->ranged)
		return ERR_OK;
	if (c->status != 206 || !x->has_range || x->range_first != c->range_off || x->range_last - x->range_first + 1 != c->got)
		return err_set(err, ERR_PROTOCOL, "a range was asked for and something else answered (status %d)", c->status);
	c->total = x->range_total;
	return ERR_OK;
}

/* The line is done without complaint: what did it say? */
static err_code
answer_judge(const struct exchange *x, bool *again, struct err *err)
{
	const struct http_call *c = x->call;
	err_code rc;

	*again = false;
	if (!x->head_done) { /* H3 */
		*again = true;
		return err_set(err, ERR_NETWORK, "the connection was cut inside the answer's head");
	}
	if (c->status >= 300) {
		rc = answer_error(c->status, x->problem_type, (const uint8_t *)sbuf_str(&c->problem), c->problem.len, err);
		*again = answer_again(c->status, rc);
		return rc;
	}
	if (!x->framed && c->status != 204) /* H3 */
		return err_set(err, ERR_PROTOCOL, "the answer does not say how long it is");
	return range_check(x, err);
}

static err_code
attempt(struct http *h, struct http_call *c, const char *key, bool *again, int64_t *after_ms, struct err *err)
{
	struct exchange x = { .http = h, .call = c, .key = key };
	char url[HTTP_URI_MAX];
	CURL *line = line_take(h);
	struct curl_slist *head;
	curl_off_t after = 0;
	CURLcode code;
	err_code rc;

	*again = false;
	if (!line)
		return err_set(err, ERR_NO_MEM, "no memory for a request");
	snprintf(url, sizeof url, "%s%s", h->url, c->path);
	c->status = 0;
	c->got = 0;
	c->too_large = c->more = false;
	c->problem.max = ANSWER_PROBLEM_MAX;
	sbuf_reset(&c->problem);
	if (c->text)
		sbuf_reset(c->text);
	line_setup(line, &x);
	line_request(line, c);
	head = head_lines(&x);
	curl_easy_setopt(line, CURLOPT_HTTPHEADER, head);
	curl_easy_setopt(line, CURLOPT_URL, url);
	code = curl_easy_perform(line);
	count_bytes(h, line);
	curl_easy_getinfo(line, CURLINFO_RETRY_AFTER, &after);
	*after_ms = after > 0 ? after * 1000 : 0;
	if (x.fault.code) {
		*err = x.fault;
		rc = x.fault.code;
	} else if (code && !(code == CURLE_WRITE_ERROR && c->problem.failed)) {
		rc = line_error(&x, code, again, err);
	} else {
		rc = answer_judge(&x, again, err);
	}
	curl_slist_free_all(head);
	line_give(h, line);
	return rc;
}

/* ---- again and again -------------------------------------------------------------------------------------------------------- */

/* Full jitter: any time up to a bound that doubles, so that clients cut off together do not come back together. */
static int64_t
backoff_ms(unsigned attempts, int64_t after_ms)
{
	int64_t bound = BACKOFF_MAX_MS;

	if (attempts < 7 && (BACKOFF_FIRST_MS << attempts) < BACKOFF_MAX_MS)
		bound = BACKOFF_FIRST_MS << attempts;
	return after_ms + (int64_t)(rng_u64() % (uint64_t)(bound + 1));
}

/* False when cancelled meanwhile. */
static bool
pause_ms(const struct http *h, int64_t ms)
{
	int64_t until = clock_mono_ms() + ms;
	int64_t left;

	while (!cancelled(h) && (left = until - clock_mono_ms()) > 0) {
		struct timespec ts = { .tv_nsec = MIN(left, PAUSE_SLICE_MS) * 1000000 };

		nanosleep(&ts, NULL);
	}
	return !cancelled(h);
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

		if (cancelled(h))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		rc = attempt(h, c, key, &again, &after_ms, err);
		if (!rc || !again)
			return rc;
		now = clock_mono_ms();
		if (n == 0)
			give_up = now + h->retry_ms;
		wait_ms = backoff_ms(n, after_ms);
		if (now + wait_ms > give_up)
			return rc;
		h->retries++;
		if (!pause_ms(h, wait_ms))
			return err_set(err, ERR_CANCELLED, "stopped on request");
	}
}
