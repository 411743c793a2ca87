#pragma once
/**
 * The head of one request: request line and fields, parsed strictly, without I/O.
 *
 * Bytes are looked at once, in order, and each error belongs to a position; so a head that arrives in pieces gives the same
 * result as one that arrives whole, and a bad one is refused as soon as its first bad byte is there.
 */

#include "base/err.h"
#include "base/limits.h"

enum http_method {
	METHOD_NONE, /* the request line was not understood */
	METHOD_GET,
	METHOD_HEAD,
	METHOD_PUT,
	METHOD_POST,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS,
};

enum http_framing {
	FRAMING_NONE,    /* no body, or one of length 0 */
	FRAMING_LENGTH,  /* Content-Length bytes */
	FRAMING_CHUNKED,
};

/* Places in the buffer; heads are at most 16 KiB. */
struct head_field {
	uint16_t name;  /* lower case, NUL-terminated */
	uint16_t value; /* outer space trimmed, NUL-terminated */
	bool padded;    /* the space around the value was not the usual single one; fields that frame refuse it */
};

struct head {
	/* the result, valid when head_feed() said done; request line and fields also after an error, as far as they were parsed */
	enum http_method method;
	uint16_t target;            /* origin-form, NUL-terminated */
	uint16_t target_len;
	uint16_t minor;             /* HTTP/1.minor: 0 or 1 */
	uint16_t field_count;
	struct head_field fields[HTTP_FIELDS_MAX];
	size_t len;                 /* bytes of the head, with its empty line */
	enum http_framing framing;
	bool length_given;          /* there is a Content-Length */
	uint64_t length;            /* its value */
	bool keep_alive;
	bool expect_continue;

	/* the scanner */
	size_t pos;                 /* next byte to look at */
	size_t line;                /* where its line begins */
	bool cr;                    /* the byte before was CR */
	bool in_fields;             /* past the request line */
	uint16_t spaces;            /* of the request line so far */
	size_t word;                /* where the word after the last of them begins */
};

void head_init(struct head *h);

/**
 * head_feed(h, buf, len, done, err):
 * Go on with the head that begins at ${buf}, of which ${len} bytes are there now (all earlier ones included, unmoved).
 * Sets ${done} when the head is complete; bytes past h->len are not looked at.
 *
 * Changes    ${buf} within the lines parsed: names in lower case, NULs behind names, values, method and target.
 * Errors     FRAMING, URL_INVALID, URI_TOO_LONG, HEADERS_TOO_LARGE, METHOD_NOT_ALLOWED, NOT_IMPLEMENTED, VERSION_NOT_SUPPORTED,
 *            EXPECTATION_FAILED.  All are final: the connection cannot go on.
 */
err_code head_feed(struct head *h, char *buf, size_t len, bool *done, struct err *err);

/** head_value(h, buf, name): the first field of that name (lower case), or NULL. */
const char *head_value(const struct head *h, const char *buf, const char *name);
/** head_list_has(v, word): the comma-separated list ${v} has the element ${word} (in any case). */
bool head_list_has(const char *v, const char *word);
unsigned head_count(const struct head *h, const char *buf, const char *name);

/** head_host_valid(s, len): a host with an optional port, as Host carries it: no userinfo, path or space. */
bool head_host_valid(const char *s, size_t len);

/** head_host_split(s, host_len): the port's digits behind the colon, or NULL; ${host_len} without them.  For valid hosts. */
const char *head_host_split(const char *s, size_t *host_len);
