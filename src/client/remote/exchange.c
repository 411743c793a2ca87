/*
 * One attempt at a request, over libcurl.
 *
 * H1  A line (handle with its connection) belongs to one thread while it is out of the pool.
 * H2  Every attempt starts from a reset handle and an empty sink: nothing of one request leaks into the next.
 * H3  An answer counts only when its head was whole and its length was framed: libcurl reports a connection cut inside the
 *     head, and any body that ends with the connection, as success.
 * H4  Nothing waits longer than LOOK_MS without looking whether it was cancelled.
 */
#include <assert.h>
#include <strings.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/num.h"
#include "client/remote/http_internal.h"

#define LINE_BUFFER (256L * 1024)     /* libcurl's default of 16 KiB costs a system call for each */
#define SOCKET_BUFFER_MIN (16 * KIB)
#define SOCKET_BUFFER_MAX (4 * MIB)

struct exchange {
	struct http *http;
	struct http_call *call;
	const char *key;
	size_t head_len;
	bool head_done, framed, problem_type, type_ok, coded, has_range;
	uint64_t range_first, range_last, range_total;
	size_t sent;                  /* of the body, with a limited rate */
	struct err fault;             /* why a callback stopped the transfer; code ERR_OK: it did not */
	char detail[CURL_ERROR_SIZE];

	/* for the stall: what has moved, and since when; time spent waiting for our own rate does not count */
	uint64_t moved, window_moved;
	int64_t window_ms, waited_ms;
};

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

	x->framed = x->problem_type = x->type_ok = x->coded = x->has_range = x->head_done = false;
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

/* A tag that is a hash in quotes; others name nothing that is looked at here. */
static bool
tag_parse(const char *v, size_t len, struct hash *out)
{
	return len == HASH_HEX_LEN + 2 && v[0] == '"' && v[len - 1] == '"' && hash_parse(v + 1, HASH_HEX_LEN, out, NULL) == ERR_OK;
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
	} else if (field_is(line, len, "etag", &v, &n)) {
		x->call->has_tag = tag_parse(v, n, &x->call->tag);
	} else if (field_is(line, len, "content-encoding", &v, &n) && !type_is(v, n, "identity")) {
		x->coded = x->call->coding && type_is(v, n, x->call->coding);
		if (!x->coded) /* not inflated: a few KiB could become gigabytes */
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

/* Wait until so many bytes may pass.  False when cancelled meanwhile. */
static bool
pace(struct exchange *x, struct rate *rate, size_t len)
{
	int64_t now = clock_mono_us(), at;

	if (!rate || FAULT("client.no_rate"))
		return true;
	at = rate_take(rate, len, now);
	x->waited_ms += (at - now) / 1000;
	if (http_sleep_until(x->http, at))
		return true;
	(void)!http_stopped(&x->fault);
	return false;
}

static size_t
on_body(char *p, size_t one, size_t len, void *ctx)
{
	struct exchange *x = ctx;
	struct http_call *c = x->call;

	len *= one;
	if (!pace(x, x->http->down_rate, len))
		return 0;
	if (c->status >= 300) {
		sbuf_addn(&c->problem, p, len);
		return c->problem.failed ? 0 : len;
	}
	if (c->accept && !x->type_ok) {
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer is not %s: something else than a dray server speaks", c->accept);
		return 0;
	}
	if (c->coding && !x->coded) {
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer is not coded as %s", c->coding);
		return 0;
	}
	if (!body_add(c, p, len)) {
		c->too_large = true;
		(void)!err_set(&x->fault, ERR_PROTOCOL, "the answer is larger than %zu bytes", c->text ? c->text->max : c->cap);
		return 0;
	}
	return len;
}

/* The body of a request, a piece at a time: a small one that libcurl takes by itself it counts among the bytes of the head as well. */
static size_t
on_send(char *buf, size_t one, size_t cap, void *ctx)
{
	struct exchange *x = ctx;
	const struct http_call *c = x->call;
	size_t len = MIN(one * cap, c->body_len - x->sent);

	if (x->http->up_rate)
		len = MIN(len, rate_piece(x->http->up_rate));
	if (len == 0)
		return 0;
	if (!pace(x, x->http->up_rate, len))
		return CURL_READFUNC_ABORT;
	memcpy(buf, (const char *)c->body + x->sent, len);
	x->sent += len;
	return len;
}

/* libcurl sends a body again when a kept connection turns out to be closed. */
static int
on_rewind(void *ctx, curl_off_t off, int from)
{
	struct exchange *x = ctx;

	if (from != SEEK_SET || off < 0 || (uint64_t)off > x->call->body_len)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (size_t)off;
	return CURL_SEEKFUNC_OK;
}

/*
 * The kernel takes bytes off the wire before we ask for them, as many as fit into the socket's buffer: a quarter of a second's, so
 * that the limit is one of the line and not only of the average.
 */
static int
on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	const struct exchange *x = ctx;
	uint64_t quarter = 5 * rate_piece(x->http->down_rate);
	int size = (int)MIN(MAX(quarter, SOCKET_BUFFER_MIN), SOCKET_BUFFER_MAX);

	if (purpose == CURLSOCKTYPE_IPCXN) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	}
	return CURL_SOCKOPT_OK;
}

static int
on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct exchange *x = ctx;

	(void)down_total, (void)up_total;
	x->moved = (uint64_t)down + (uint64_t)up;
	return http_cancelled(x->http);
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
	if (c->coding) {
		snprintf(line, sizeof line, "Accept-Encoding: %s", c->coding);
		l = curl_slist_append(l, line);
	}
	if (c->match) {
		char hex[HASH_HEX_LEN + 1];

		snprintf(line, sizeof line, "If-Match: \"%s\"", hash_hex(c->match, hex));
		l = curl_slist_append(l, line);
	}
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

void
exchange_line(CURL *line, const struct http *h)
{
	curl_easy_reset(line); /* H2; connections are kept */
	curl_easy_setopt(line, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(line, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(line, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(line, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(line, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(line, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(line, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(line, CURLOPT_CONNECTTIMEOUT, CONNECT_DEADLINE_S);
	curl_easy_setopt(line, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(line, CURLOPT_USERAGENT, "dray/" DRAY_VERSION);
	if (h->ca_file)
		curl_easy_setopt(line, CURLOPT_CAINFO, h->ca_file);
	if (h->loopback)
		curl_easy_setopt(line, CURLOPT_NOPROXY, "*"); /* a proxy would look for the server on its own machine */
}

/* What is the same for all requests. */
static void
line_setup(CURL *line, struct exchange *x)
{
	const struct http *h = x->http;

	exchange_line(line, h);
	curl_easy_setopt(line, CURLOPT_BUFFERSIZE, h->down_rate ? (long)rate_piece(h->down_rate) : LINE_BUFFER);
	curl_easy_setopt(line, CURLOPT_UPLOAD_BUFFERSIZE, LINE_BUFFER);
	if (h->down_rate && 5 * rate_piece(h->down_rate) < SOCKET_BUFFER_MAX / 4) {
		curl_easy_setopt(line, CURLOPT_SOCKOPTFUNCTION, on_socket);
		curl_easy_setopt(line, CURLOPT_SOCKOPTDATA, x);
	}
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
line_body(CURL *line, struct exchange *x)
{
	const struct http_call *c = x->call;

	curl_easy_setopt(line, CURLOPT_POST, 1L);
	curl_easy_setopt(line, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
	curl_easy_setopt(line, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(line, CURLOPT_READDATA, x);
	curl_easy_setopt(line, CURLOPT_SEEKFUNCTION, on_rewind);
	curl_easy_setopt(line, CURLOPT_SEEKDATA, x);
}

static void
line_request(CURL *line, struct exchange *x)
{
	const struct http_call *c = x->call;
	char range[48];

	if (c->body)
		line_body(line, x);
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

/* Whether the line has moved less than STALL_BYTES_S for too long, but for the time that we made it wait ourselves. */
static bool
stalled(struct exchange *x)
{
	int64_t now = clock_mono_ms(), span = now - x->window_ms - x->waited_ms;

	if (span < x->http->stall_ms)
		return false;
	if ((x->moved - x->window_moved) * 1000 < (uint64_t)(STALL_BYTES_S * x->http->stall_ms)) {
		(void)err_set(&x->fault, ERR_NETWORK, "the line moved less than %ld bytes a second for %lld s", STALL_BYTES_S,
		    (long long)(x->http->stall_ms / 1000));
		return true;
	}
	x->window_ms = now;
	x->window_moved = x->moved;
	x->waited_ms = 0;
	return false;
}

/* As curl_easy_perform, which looks up once a second only (H4).  A transfer that is taken out before its end loses its connection. */
static CURLcode
line_perform(struct line *line, struct exchange *x)
{
	CURLcode code = CURLE_FAILED_INIT;
	CURLMcode multi = curl_multi_add_handle(line->multi, line->easy);
	int running = multi == CURLM_OK, left;
	CURLMsg *msg;

	x->window_ms = clock_mono_ms();
	while (multi == CURLM_OK && running) {
		multi = curl_multi_perform(line->multi, &running);
		if (multi != CURLM_OK || !running)
			break;
		if (http_cancelled(x->http))
			(void)!http_stopped(&x->fault);
		if (x->fault.code || stalled(x))
			break;
		multi = curl_multi_poll(line->multi, NULL, 0, LOOK_MS, NULL);
	}
	while ((msg = curl_multi_info_read(line->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	curl_multi_remove_handle(line->multi, line->easy);
	return multi == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : code;
}

err_code
exchange_run(struct http *h, struct line *line, struct http_call *c, const char *key, bool *again, int64_t *after_ms, struct err *err)
{
	struct exchange x = { .http = h, .call = c, .key = key };
	char url[HTTP_URI_MAX];
	struct curl_slist *head;
	curl_off_t after = 0;
	CURLcode code;
	err_code rc;

	*again = false;
	*after_ms = 0;
	answer_reset(c); /* H2 */
	if (snprintf(url, sizeof url, "%s%s", h->url, c->path) >= (int)sizeof url)
		return err_set(err, ERR_PATH_TOO_LONG, "the path is too long for a request");
	line_setup(line->easy, &x);
	line_request(line->easy, &x);
	head = head_lines(&x);
	curl_easy_setopt(line->easy, CURLOPT_HTTPHEADER, head);
	curl_easy_setopt(line->easy, CURLOPT_URL, url);
	code = line_perform(line, &x);
	count_bytes(h, line->easy);
	curl_easy_getinfo(line->easy, CURLINFO_RETRY_AFTER, &after);
	*after_ms = after > 0 ? after * 1000 : 0;
	if (x.fault.code) {
		*err = x.fault;
		rc = x.fault.code;
		*again = rc == ERR_NETWORK;
	} else if (code && !(code == CURLE_WRITE_ERROR && c->problem.failed)) {
		rc = line_error(&x, code, again, err);
	} else {
		rc = answer_judge(&x, again, err);
	}
	curl_easy_setopt(line->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(head);
	return rc;
}
