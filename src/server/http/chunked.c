/*
 *   body     = *( size [ext] CRLF data CRLF ) 1*"0" [ext] CRLF *( trailer CRLF ) CRLF
 *   size     1 to 16 hex digits, at most 2^63-1, nothing around them
 *   ext      ";" and visible bytes; read, bounded and ignored
 *   trailer  name ":" value; read, bounded and ignored, except that a name which would change framing or identity is refused
 *
 * A byte that some other reader might take for a line end (bare CR, bare LF) is refused wherever it stands.
 */
#include "server/http/chunked.h"

#include "base/fault.h"

#include "server/http/token.h"

#define DIGITS_MAX 16

enum {
	SIZE,          /* digits of the size */
	EXTENSION,     /* behind ';' */
	SIZE_LF,       /* CR of the size line was read */
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,       /* at the first byte of a trailer line, or of the empty line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,        /* CR of the empty line was read */
	DONE,
};

void
chunked_init(struct chunked *d)
{
	*d = (struct chunked){ .state = SIZE };
}

bool
chunked_done(const struct chunked *d)
{
	return d->state == DONE;
}

static int
hex_value(unsigned char c)
{
	if (http_is_digit(c))
		return c - '0';
	c = http_to_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static err_code
at_size(struct chunked *d, unsigned char c, struct err *err)
{
	int v = hex_value(c);

	if (v >= 0) {
		if ((d->digits == DIGITS_MAX || d->left > (uint64_t)INT64_MAX >> 4) && !FAULT("http.chunk_wraps")) /* M28 */
			return err_set(err, ERR_FRAMING, "a chunk's size is too large");
		d->left = d->left << 4 | (uint64_t)v;
		d->digits++;
		return ERR_OK;
	}
	if (d->digits == 0)
		return err_set(err, ERR_FRAMING, "a chunk has no size");
	if (c != ';' && c != '\r')
		return err_set(err, ERR_FRAMING, "a chunk's size is not hexadecimal digits");
	d->state = c == ';' ? EXTENSION : SIZE_LF;
	return ERR_OK;
}

static err_code
at_extension(struct chunked *d, unsigned char c, struct err *err)
{
	if (c == '\r') {
		d->state = SIZE_LF;
		return ERR_OK;
	}
	if (!http_is_value(c))
		return err_set(err, ERR_FRAMING, "a control byte in a chunk extension");
	if (++d->extension_len > HTTP_CHUNK_EXT_MAX)
		return err_set(err, ERR_FRAMING, "chunk extensions are longer than %d bytes", HTTP_CHUNK_EXT_MAX);
	return ERR_OK;
}

/* The one byte that may stand here. */
static err_code
at_exactly(struct chunked *d, unsigned char c, unsigned char want, uint8_t next, struct err *err)
{
	if (c != want)
		return err_set(err, ERR_FRAMING, "a chunk or its size line does not end in CRLF");
	d->state = next;
	if (next == SIZE)
		d->left = d->digits = 0;
	return ERR_OK;
}

static bool
trailer_refused(const struct chunked *d)
{
	static const char *const names[] = { "content-length", "transfer-encoding", "authorization", "host" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (d->name_len == strlen(names[i]) && memcmp(d->name, names[i], d->name_len) == 0)
			return true;
	return false;
}

static err_code
at_trailer_name(struct chunked *d, unsigned char c, struct err *err)
{
	if (c == ':' && d->name_len > 0) {
		if (trailer_refused(d))
			return err_set(err, ERR_FRAMING, "a trailer names a field that only a header may carry");
		d->state = TRAILER_VALUE;
		return ERR_OK;
	}
	if (!http_is_tchar(c))
		return err_set(err, ERR_FRAMING, "a trailer line is not name: value");
	if (d->name_len < sizeof d->name)
		d->name[d->name_len++] = (char)http_to_lower(c);
	return ERR_OK;
}

static err_code
at_trailer(struct chunked *d, unsigned char c, struct err *err)
{
	if (++d->trailer_len > HTTP_TRAILER_MAX)
		return err_set(err, ERR_FRAMING, "trailers are longer than %zu bytes", HTTP_TRAILER_MAX);
	switch (d->state) {
	case TRAILER:
		if (c == '\r') {
			d->state = END_LF;
			return ERR_OK;
		}
		d->state = TRAILER_NAME;
		d->name_len = 0;
		return at_trailer_name(d, c, err);
	case TRAILER_NAME:
		return at_trailer_name(d, c, err);
	case TRAILER_VALUE:
		if (c == '\r')
			d->state = TRAILER_LF;
		else if (!http_is_value(c))
			return err_set(err, ERR_FRAMING, "a control byte in a trailer");
		return ERR_OK;
	case TRAILER_LF:
		return at_exactly(d, c, '\n', TRAILER, err);
	default:
		return at_exactly(d, c, '\n', DONE, err);
	}
}

static err_code
at_byte(struct chunked *d, unsigned char c, struct err *err)
{
	switch (d->state) {
	case SIZE:
		return at_size(d, c, err);
	case EXTENSION:
		return at_extension(d, c, err);
	case SIZE_LF:
		return at_exactly(d, c, '\n', d->left ? DATA : TRAILER, err);
	case DATA_CR:
		return at_exactly(d, c, '\r', DATA_LF, err);
	case DATA_LF:
		return at_exactly(d, c, '\n', SIZE, err);
	default:
		return at_trailer(d, c, err);
	}
}

err_code
chunked_feed(struct chunked *d, const uint8_t *in, size_t len, size_t *used, uint8_t *out, size_t cap, size_t *got,
    struct err *err)
{
	err_code rc = ERR_OK;
	size_t i = 0, o = 0;

	while (!rc && i < len && d->state != DONE) {
		if (d->state == DATA) {
			size_t n = MIN(len - i, cap - o);

			if (n == 0)
				break;
			n = (size_t)MIN((uint64_t)n, d->left);
			memcpy(out + o, in + i, n);
			i += n;
			o += n;
			d->left -= n;
			if (d->left == 0)
				d->state = DATA_CR;
		} else {
			rc = at_byte(d, in[i++], err);
		}
	}
	*used = i;
	*got = o;
	return rc;
}
