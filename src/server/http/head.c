/*
 * Lines of a request's head.  The scanner sees each byte once:
 *
 *   request line   METHOD SP TARGET SP HTTP/1.x CR LF     exactly one SP twice, nothing before it
 *   field          name ":" OWS value OWS CR LF           no space before the colon, no continuation lines
 *   end            CR LF
 *
 * RFC 9112 2.2 lets a server skip one empty line before a request line.  We do not: it exists for clients of the nineties that
 * sent CRLF behind a body, and a byte that is neither body nor request is what smuggling is made of.
 */
#include "server/http/head_internal.h"
#include "server/http/token.h"

#define METHOD_LEN_MAX 32 /* longer ones are noise, such as a TLS record */
#define VERSION_LEN 8     /* HTTP/1.1 */

_Static_assert(HTTP_HEAD_MAX <= UINT16_MAX, "places in the head are 16 bits");

void
head_init(struct head *h)
{
	*h = (struct head){ 0 };
}

/* ---- the request line ---- */

static const struct {
	const char *name;
	enum http_method method;
} methods[] = {
	{ "GET", METHOD_GET },     { "HEAD", METHOD_HEAD },     { "PUT", METHOD_PUT },         { "POST", METHOD_POST },
	{ "PATCH", METHOD_PATCH }, { "DELETE", METHOD_DELETE }, { "OPTIONS", METHOD_OPTIONS },
};

/* Methods that we know and never do: they echo, tunnel or debug. */
static const char *const refused_methods[] = { "CONNECT", "TRACE", "TRACK", "DEBUG" };

static err_code
parse_version(struct head *h, const char *s, size_t len, struct err *err)
{
	if (len != VERSION_LEN || memcmp(s, "HTTP/", 5) != 0 || !http_is_digit((unsigned char)s[5]) || s[6] != '.' ||
	    !http_is_digit((unsigned char)s[7]))
		return err_set(err, ERR_FRAMING, "the request line does not end in HTTP/1.1");
	if (s[5] >= '2')
		return err_set(err, ERR_VERSION_NOT_SUPPORTED, "HTTP/%c.%c is not spoken here", s[5], s[7]);
	if (s[5] != '1' || s[7] > '1')
		return err_set(err, ERR_FRAMING, "there is no HTTP/%c.%c", s[5], s[7]);
	h->minor = (uint16_t)(s[7] - '0');
	return ERR_OK;
}

static err_code
parse_method(struct head *h, const char *s, size_t len, struct err *err)
{
	for (size_t i = 0; i < len; i++)
		if (!http_is_tchar((unsigned char)s[i]) || http_is_lower((unsigned char)s[i]))
			return err_set(err, ERR_FRAMING, "the method is not in upper case");
	if (len == 0)
		return err_set(err, ERR_FRAMING, "the request line has no method");
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (len == strlen(methods[i].name) && memcmp(s, methods[i].name, len) == 0) {
			h->method = methods[i].method;
			return ERR_OK;
		}
	for (size_t i = 0; i < ARRAY_LEN(refused_methods); i++)
		if (len == strlen(refused_methods[i]) && memcmp(s, refused_methods[i], len) == 0)
			return err_set(err, ERR_METHOD_NOT_ALLOWED, "%s is not allowed here", refused_methods[i]);
	return err_set(err, ERR_NOT_IMPLEMENTED, "the method is not known");
}

/* The line is buf[0..end): the scanner has counted the spaces and knows where the words begin. */
static err_code
end_request_line(struct head *h, char *buf, size_t end, struct err *err)
{
	size_t method_len = h->target ? (size_t)h->target - 1 : 0;
	err_code rc;

	if (h->spaces != 2)
		return err_set(err, ERR_FRAMING, "the request line is not METHOD TARGET HTTP/1.1");
	h->target_len = (uint16_t)(h->word - 1 - h->target);
	if (h->target_len == 0)
		return err_set(err, ERR_FRAMING, "the request line has no target");
	rc = parse_version(h, buf + h->word, end - h->word, err);
	if (!rc)
		rc = parse_method(h, buf, method_len, err);
	if (rc)
		return rc;
	buf[method_len] = '\0';
	buf[h->word - 1] = '\0';
	h->in_fields = true;
	return ERR_OK;
}

/* One byte of the request line before its end: what can be refused without knowing the rest is refused now. */
static err_code
request_line_byte(struct head *h, unsigned char c, struct err *err)
{
	if (c == ' ') {
		if (++h->spaces > 2)
			return err_set(err, ERR_FRAMING, "the request line has more than two spaces");
		h->word = h->pos + 1;
		if (h->spaces == 1)
			h->target = (uint16_t)h->word;
		return ERR_OK;
	}
	if (c == '\t')
		return err_set(err, ERR_FRAMING, "the request line holds a tab");
	if (h->spaces == 1) {
		if (h->pos - h->word >= HTTP_URI_MAX)
			return err_set(err, ERR_URI_TOO_LONG, "the target is longer than %zu bytes", HTTP_URI_MAX);
		if (c >= 0x80)
			return err_set(err, ERR_URL_INVALID, "the target holds a byte that must be escaped");
		if (c == '#')
			return err_set(err, ERR_URL_INVALID, "a fragment does not belong in a request");
		return ERR_OK;
	}
	if (h->pos - h->word >= METHOD_LEN_MAX)
		return err_set(err, ERR_FRAMING, "the %s is too long", h->spaces ? "version" : "method");
	return ERR_OK;
}

/* ---- fields ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static err_code
end_field(struct head *h, char *buf, size_t end, struct err *err)
{
	struct head_field *f;
	size_t name = h->line, colon = name, value, value_end = end;

	for (; colon < end && buf[colon] != ':'; colon++) {
		if (!http_is_tchar((unsigned char)buf[colon]))
			return err_set(err, ERR_FRAMING, "a field name holds a byte that it must not");
	}
	if (colon == end)
		return err_set(err, ERR_FRAMING, "a header line has no colon");
	if (colon == name)
		return err_set(err, ERR_FRAMING, "a field has no name");
	if (h->field_count == HTTP_FIELDS_MAX)
		return err_set(err, ERR_HEADERS_TOO_LARGE, "more than %d header fields", HTTP_FIELDS_MAX);
	for (size_t i = name; i < colon; i++)
		buf[i] = (char)http_to_lower((unsigned char)buf[i]);
	for (value = colon + 1; value < end && is_blank(buf[value]); value++)
		;
	while (value_end > value && is_blank(buf[value_end - 1]))
		value_end--;
	f = &h->fields[h->field_count++];
	f->name = (uint16_t)name;
	f->value = (uint16_t)value;
	f->padded = value_end != end || value > colon + 2 || (value == colon + 2 && buf[colon + 1] != ' ');
	buf[colon] = '\0';
	buf[value_end] = '\0'; /* at most the place of the CR */
	return ERR_OK;
}

/* ---- the scanner ---- */

/* A line [h->line, end) is complete; its LF is at h->pos. */
static err_code
end_line(struct head *h, char *buf, size_t end, bool *done, struct err *err)
{
	err_code rc;

	if (!h->in_fields) {
		rc = end_request_line(h, buf, end, err);
	} else if (end == h->line) {
		h->len = h->pos + 1;
		*done = true;
		return head_meaning(h, buf, err);
	} else {
		rc = end_field(h, buf, end, err);
	}
	h->line = h->pos + 1;
	return rc;
}

static err_code
scan_byte(struct head *h, char *buf, bool *done, struct err *err)
{
	unsigned char c = (unsigned char)buf[h->pos];

	if (h->pos >= HTTP_HEAD_MAX)
		return err_set(err, ERR_HEADERS_TOO_LARGE, "the head is longer than %zu bytes", HTTP_HEAD_MAX);
	if (h->cr) {
		if (c != '\n')
			return err_set(err, ERR_FRAMING, "a CR without LF");
		h->cr = false;
		return end_line(h, buf, h->pos - 1, done, err);
	}
	if (c == '\r') {
		h->cr = true;
		return ERR_OK;
	}
	if (c == '\n')
		return err_set(err, ERR_FRAMING, "a line ends in LF without CR");
	if (!http_is_value(c))
		return err_set(err, ERR_FRAMING, "a control byte in the head");
	return h->in_fields ? ERR_OK : request_line_byte(h, c, err);
}

err_code
head_feed(struct head *h, char *buf, size_t len, bool *done, struct err *err)
{
	err_code rc = ERR_OK;

	*done = false;
	for (; h->pos < len && !*done && !rc; h->pos++)
		rc = scan_byte(h, buf, done, err);
	return rc;
}

const char *
head_value(const struct head *h, const char *buf, const char *name)
{
	for (size_t i = 0; i < h->field_count; i++)
		if (strcmp(buf + h->fields[i].name, name) == 0)
			return buf + h->fields[i].value;
	return NULL;
}

unsigned
head_count(const struct head *h, const char *buf, const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < h->field_count; i++)
		n += strcmp(buf + h->fields[i].name, name) == 0;
	return n;
}
