/*
 * Judging addresses and answers: pure functions, no line involved.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include "base/num.h"
#include "client/remote/http.h"

static bool
host_is_loopback(const char *host)
{
	struct in_addr a;

	/* An address, not a name that looks like one: 127.0.0.1.example.org is somebody else. */
	if (inet_pton(AF_INET, host, &a) == 1)
		return ntohl(a.s_addr) >> 24 == 127;
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static bool
url_part(CURLU *u, CURLUPart part, char **out)
{
	*out = NULL;
	return curl_url_get(u, part, out, 0) == CURLUE_OK;
}

static void
url_freep(CURLU **u)
{
	curl_url_cleanup(*u);
}

static void
curl_freep(char **p)
{
	curl_free(*p);
}

err_code
server_url_check(const char *url, bool allow_http, bool *loopback, struct err *err)
{
	AUTO(url_freep) CURLU *u = curl_url();
	AUTO(curl_freep) char *scheme = NULL;
	AUTO(curl_freep) char *host = NULL;
	AUTO(curl_freep) char *extra = NULL;

	if (!u)
		return err_set(err, ERR_NO_MEM, "no memory for a URL");
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) || !url_part(u, CURLUPART_SCHEME, &scheme) ||
	    !url_part(u, CURLUPART_HOST, &host))
		return err_set(err, ERR_USAGE, "'%s' is not the address of a server: https://HOST[:PORT]", url);
	/* A password here would end in logs and state files; a query would swallow the paths that follow. */
	if (url_part(u, CURLUPART_USER, &extra) || url_part(u, CURLUPART_QUERY, &extra) || url_part(u, CURLUPART_FRAGMENT, &extra))
		return err_set(err, ERR_USAGE, "a server's address has no user, query or fragment");
	if (url[strlen(url) - 1] == '/')
		return err_set(err, ERR_USAGE, "a server's address does not end in '/'");
	*loopback = host_is_loopback(host);
	if (strcmp(scheme, "https") == 0)
		return ERR_OK;
	if (strcmp(scheme, "http") != 0)
		return err_set(err, ERR_USAGE, "'%s': only https and http are spoken", url);
	if (!*loopback && !allow_http)
		return err_set(err, ERR_TLS_REQUIRED, "%s is not this machine: the token would cross the network unencrypted", host);
	return ERR_OK;
}

void
answer_reset(struct http_call *c)
{
	c->status = 0;
	c->got = 0;
	c->too_large = c->more = c->has_tag = false;
	c->problem.max = ANSWER_PROBLEM_MAX;
	sbuf_reset(&c->problem);
	if (c->text)
		sbuf_reset(c->text);
}

err_code
answer_bad(struct err *err, const char *what)
{
	struct err why = *err;

	return err_set(err, ERR_PROTOCOL, "%s: %s", what, why.msg);
}

err_code
answer_error(int status, bool is_problem, const uint8_t *p, size_t len, struct err *err)
{
	if (status < 400)
		return err_set(err, ERR_PROTOCOL, "the server answered %d, which dray's never does; redirects are not followed", status);
	if (is_problem && len > 0)
		return problem_read(status, p, len, err);
	/*
	 * Not from dray itself: a proxy in between, or some other server.  Only what a proxy says about itself is believed: a 404 from
	 * a stranger must not look like "this file is gone".
	 */
	switch (status) {
	case 401:
	case 407:
		return err_set(err, ERR_AUTH_REQUIRED, "the server wants a log-in (status %d)", status);
	case 408:
	case 502:
	case 503:
	case 504:
		return err_set(err, ERR_UNAVAILABLE, "the server cannot answer just now (status %d)", status);
	case 429:
		return err_set(err, ERR_TOO_MANY_REQUESTS, "too many requests (status %d)", status);
	default:
		return err_set(err, ERR_PROTOCOL, "the answer (status %d) is not one of a dray server", status);
	}
}

bool
answer_again(int status, err_code code)
{
	if (code == ERR_IDEMPOTENCY_RUNNING)
		return true;
	if (status != 408 && status != 429 && status != 502 && status != 503 && status != 504)
		return false;
	/* A 503 can also be for good, as of a store that went read-only. */
	return code != ERR_TOO_MANY_UPLOADS && err_info(code)->retryable;
}

bool
content_range_parse(const char *v, size_t len, uint64_t *first, uint64_t *last, uint64_t *total)
{
	const char *dash, *slash, *end = v + len;

	if (len < 6 || memcmp(v, "bytes ", 6) != 0)
		return false;
	v += 6;
	dash = memchr(v, '-', (size_t)(end - v));
	if (!dash)
		return false;
	slash = memchr(dash, '/', (size_t)(end - dash));
	if (!slash)
		return false;
	return parse_u64(v, (size_t)(dash - v), INT64_MAX, first) &&
	    parse_u64(dash + 1, (size_t)(slash - dash - 1), INT64_MAX, last) &&
	    parse_u64(slash + 1, (size_t)(end - slash - 1), INT64_MAX, total) && *first <= *last && *last < *total;
}
