/*
 * The host list defends the loopback server against DNS rebinding: a page at evil.example whose name suddenly resolves to
 * 127.0.0.1 is same-origin to the browser, but its requests still say Host: evil.example.  An attack needs a name, so IP literals
 * are safe to take on a wildcard address, where we cannot know which of the machine's addresses people use.  Ports are not
 * compared: they change with every port mapping and the attack does not depend on them.
 */
#include "server/http/admit.h"

#include <arpa/inet.h>
#include <strings.h>

static char *
host_without_port(const char *s)
{
	size_t len = strlen(s);
	char *host;

	if (head_host_valid(s, len))
		head_host_split(s, &len);
	host = xcalloc(1, len + 1);
	memcpy(host, s, len);
	return host;
}

void
admit_init(struct admit *a, const char *listen_host, bool wildcard, const char *const *hosts)
{
	static const char *const always[] = { "localhost", "127.0.0.1", "[::1]" };
	size_t n = 0, more = 0;

	while (hosts && hosts[more])
		more++;
	a->hosts = xcalloc(ARRAY_LEN(always) + 1 + more + 1, sizeof *a->hosts);
	for (; n < ARRAY_LEN(always); n++)
		a->hosts[n] = xstrdup(always[n]);
	a->hosts[n++] = host_without_port(listen_host);
	for (size_t i = 0; i < more; i++)
		a->hosts[n++] = host_without_port(hosts[i]);
	a->any_ip = wildcard;
}

void
admit_fini(struct admit *a)
{
	for (size_t i = 0; a->hosts && a->hosts[i]; i++)
		free(a->hosts[i]);
	free(a->hosts);
}

static bool
is_ip_literal(const char *s, size_t len)
{
	char text[INET6_ADDRSTRLEN + 2];
	struct in6_addr addr;
	bool v6 = len > 2 && s[0] == '[';

	if (v6) {
		s++;
		len -= 2;
	}
	if (len >= sizeof text)
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	return inet_pton(v6 ? AF_INET6 : AF_INET, text, &addr) == 1;
}

static err_code
check_host(const struct admit *a, const char *host, struct err *err)
{
	size_t len;

	if (!host) /* HTTP/1.0 only; no browser sends that, so nothing can be rebound */
		return ERR_OK;
	len = strlen(host);
	head_host_split(host, &len);
	if (a->any_ip && is_ip_literal(host, len))
		return ERR_OK;
	for (size_t i = 0; a->hosts[i]; i++)
		if (strlen(a->hosts[i]) == len && strncasecmp(a->hosts[i], host, len) == 0)
			return ERR_OK;
	return err_set(err, ERR_MISDIRECTED, "%.*s is not a name of this server", (int)MIN(len, 255), host);
}

/* A browser says where a request comes from; only our own pages may ask. */
static err_code
check_origin(const struct head *h, const char *buf, const char *host, struct err *err)
{
	const char *origin = head_value(h, buf, "origin"), *rest;

	if (!origin)
		return ERR_OK;
	rest = strncmp(origin, "http://", 7) == 0 ? origin + 7 : strncmp(origin, "https://", 8) == 0 ? origin + 8 : NULL;
	if (!rest || !host || strcasecmp(rest, host) != 0 || head_count(h, buf, "origin") > 1)
		return err_set(err, ERR_ORIGIN_FORBIDDEN, "the request comes from a page of another origin");
	return ERR_OK;
}

static err_code
check_body(const struct head *h, const char *buf, struct err *err)
{
	bool body = h->framing != FRAMING_NONE;

	switch (h->method) {
	case METHOD_GET:
	case METHOD_HEAD:
		if (body)
			return err_set(err, ERR_BODY_NOT_ALLOWED, "a GET or HEAD request carries a body");
		break;
	case METHOD_PUT:
	case METHOD_POST:
	case METHOD_PATCH:
		if (!body && !h->length_given)
			return err_set(err, ERR_LENGTH_REQUIRED, "neither Content-Length nor chunked framing");
		break;
	default:
		break;
	}
	if (head_value(h, buf, "content-encoding"))
		return err_set(err, ERR_ENCODING_UNSUPPORTED, "Content-Encoding is not accepted on requests");
	return ERR_OK;
}

err_code
admit_check(const struct admit *a, const struct head *h, const char *buf, struct err *err)
{
	const char *host = head_value(h, buf, "host");
	err_code rc;

	rc = check_host(a, host, err);
	if (!rc)
		rc = check_origin(h, buf, host, err);
	if (!rc)
		rc = check_body(h, buf, err);
	return rc;
}
