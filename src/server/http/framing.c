/*
 * What the fields of a head mean together: where the body ends, whom the request is for, whether the connection goes on.
 *
 * Two readers who disagree about any of this can be played against each other (request smuggling), so there is one accepted
 * spelling of each and everything else is refused, also where the RFC would let us repair it.
 */
#include "server/http/head_internal.h"

#include <strings.h>

#include "base/fault.h"
#include "base/num.h"
#include "server/http/token.h"

/* The only field of that name, or NULL when there is none; ${rc} says if there are several. */
static const struct head_field *
only_field(const struct head *h, const char *buf, const char *name, err_code *rc, struct err *err)
{
	const struct head_field *found = NULL;

	*rc = ERR_OK;
	for (size_t i = 0; i < h->field_count; i++) {
		if (strcmp(buf + h->fields[i].name, name) != 0)
			continue;
		if (found) {
			*rc = err_set(err, ERR_FRAMING, "%s is given twice", name);
			return NULL;
		}
		found = &h->fields[i];
	}
	return found;
}

/* ---- where the body ends ---- */

static err_code
read_length(struct head *h, const char *buf, const struct head_field *f, struct err *err)
{
	const char *v = buf + f->value;

	if (f->padded || !parse_u64(v, strlen(v), INT64_MAX, &h->length))
		return err_set(err, ERR_FRAMING, "Content-Length is not a canonical number");
	h->length_given = true;
	if (h->length > 0)
		h->framing = FRAMING_LENGTH;
	return ERR_OK;
}

static err_code
read_coding(struct head *h, const char *buf, const struct head_field *f, struct err *err)
{
	const char *v = buf + f->value;

	if (h->minor == 0)
		return err_set(err, ERR_FRAMING, "HTTP/1.0 has no Transfer-Encoding");
	if (h->length_given && !FAULT("http.both_framings")) /* M27 */
		return err_set(err, ERR_FRAMING, "both Content-Length and Transfer-Encoding");
	if (f->padded || !*v)
		return err_set(err, ERR_FRAMING, "Transfer-Encoding is not exactly chunked");
	if (strcmp(v, "chunked") == 0) {
		h->framing = FRAMING_CHUNKED;
		return ERR_OK;
	}
	for (; *v; v++)
		if (!http_is_tchar((unsigned char)*v))
			return err_set(err, ERR_FRAMING, "Transfer-Encoding is not exactly chunked");
	return err_set(err, ERR_NOT_IMPLEMENTED, "the only transfer coding is chunked");
}

static err_code
decide_framing(struct head *h, const char *buf, struct err *err)
{
	const struct head_field *f;
	err_code rc;

	f = only_field(h, buf, "content-length", &rc, err);
	if (!rc && f)
		rc = read_length(h, buf, f, err);
	if (rc)
		return rc;
	f = only_field(h, buf, "transfer-encoding", &rc, err);
	if (!rc && f)
		rc = read_coding(h, buf, f, err);
	return rc;
}

/* ---- whom it is for ---- */

static bool
ipv6_literal_valid(const char *s, size_t len)
{
	if (len < 4 || s[len - 1] != ']')
		return false;
	for (size_t i = 1; i < len - 1; i++) {
		unsigned char c = http_to_lower((unsigned char)s[i]);

		if (!http_is_digit(c) && !(c >= 'a' && c <= 'f') && c != ':' && c != '.')
			return false;
	}
	return true;
}

const char *
head_host_split(const char *s, size_t *host_len)
{
	const char *end = s + *host_len, *p = end;

	while (p > s && http_is_digit((unsigned char)p[-1]))
		p--;
	if (p == s || p[-1] != ':' || (*s == '[' && p - s >= 2 && p[-2] != ']'))
		return NULL;
	*host_len = (size_t)(p - 1 - s);
	return p;
}

bool
head_host_valid(const char *s, size_t len)
{
	size_t host_len = len;
	const char *port = head_host_split(s, &host_len);
	uint64_t n;

	if (port && !parse_u64(port, (size_t)(s + len - port), UINT16_MAX, &n))
		return false;
	if (host_len == 0)
		return false;
	if (*s == '[')
		return ipv6_literal_valid(s, host_len);
	for (size_t i = 0; i < host_len; i++)
		if (!http_is_alnum((unsigned char)s[i]) && s[i] != '.' && s[i] != '-' && s[i] != '_')
			return false;
	return true;
}

static err_code
check_host(const struct head *h, const char *buf, const char **host, struct err *err)
{
	const struct head_field *f;
	err_code rc;

	f = only_field(h, buf, "host", &rc, err);
	if (rc)
		return rc;
	*host = f ? buf + f->value : NULL;
	if (!f)
		return h->minor == 0 ? ERR_OK : err_set(err, ERR_FRAMING, "HTTP/1.1 needs a Host");
	if (!head_host_valid(*host, strlen(*host)))
		return err_set(err, ERR_FRAMING, "Host is not a host name or address with an optional port");
	return ERR_OK;
}

/* "http://host/path" is reduced to "/path" when the host is the one in Host; a gateway that routed by the other is an attack. */
static err_code
reduce_absolute(struct head *h, char *buf, const char *host, struct err *err)
{
	char *t = buf + h->target, *authority;
	size_t scheme = strncasecmp(t, "http://", 7) == 0 ? 7 : strncasecmp(t, "https://", 8) == 0 ? 8 : 0;
	size_t len;

	if (!scheme)
		return err_set(err, ERR_URL_INVALID, "the target does not begin with /");
	authority = t + scheme;
	len = strcspn(authority, "/?");
	if (!host || len != strlen(host) || strncasecmp(authority, host, len) != 0)
		return err_set(err, ERR_FRAMING, "the target names another host than Host does");
	if (authority[len] == '?')
		return err_set(err, ERR_URL_INVALID, "the target has no path");
	if (!authority[len])
		authority[--len] = '/'; /* the host's last byte has served */
	h->target_len = (uint16_t)(h->target_len - (authority + len - t));
	h->target = (uint16_t)(authority + len - buf);
	return ERR_OK;
}

/* ---- what else ---- */

bool
head_list_has(const char *v, const char *word)
{
	size_t want = strlen(word);

	while (*v) {
		size_t n;

		v += strspn(v, " \t,");
		n = strcspn(v, " \t,");
		if (n == want && strncasecmp(v, word, n) == 0)
			return true;
		v += n;
	}
	return false;
}

/* HTTP/1.0 connections are closed after one answer: its keep-alive was never specified well enough to be read one way only. */
static void
decide_persistence(struct head *h, const char *buf)
{
	h->keep_alive = h->minor == 1;
	for (size_t i = 0; i < h->field_count; i++)
		if (strcmp(buf + h->fields[i].name, "connection") == 0 && head_list_has(buf + h->fields[i].value, "close"))
			h->keep_alive = false;
}

static err_code
decide_expectation(struct head *h, const char *buf, struct err *err)
{
	for (size_t i = 0; i < h->field_count; i++) {
		if (strcmp(buf + h->fields[i].name, "expect") != 0)
			continue;
		if (strcasecmp(buf + h->fields[i].value, "100-continue") != 0)
			return err_set(err, ERR_EXPECTATION_FAILED, "the only expectation is 100-continue");
		h->expect_continue = h->minor == 1;
	}
	return ERR_OK;
}

err_code
head_meaning(struct head *h, char *buf, struct err *err)
{
	const char *host;
	err_code rc;

	rc = check_host(h, buf, &host, err);
	if (!rc)
		rc = decide_framing(h, buf, err);
	if (!rc && head_count(h, buf, "authorization") > 1)
		rc = err_set(err, ERR_FRAMING, "authorization is given twice");
	if (!rc && buf[h->target] != '/')
		rc = reduce_absolute(h, buf, host, err);
	if (!rc)
		rc = decide_expectation(h, buf, err);
	if (rc)
		return rc;
	decide_persistence(h, buf);
	return ERR_OK;
}
