/*
 * A frame's head is judged as soon as the bytes that say it are there, so a length of 2^62 costs nothing and waits for nothing.
 *
 *   byte 0   FIN RSV1 RSV2 RSV3 opcode(4)          RSV must be clear
 *   byte 1   MASK length(7)                         MASK must be set; control frames: FIN, length ≤ 125
 *   126      two bytes of length, ≥ 126             127   eight bytes, ≥ 65,536, top bit clear
 *   then     four bytes of mask, and the payload
 */
#include "server/notify/ws.h"

#include "base/utf8.h"

void
ws_init(struct ws *w)
{
	*w = (struct ws){ .text = SBUF(EVENTS_MESSAGE_MAX) };
}

void
ws_fini(struct ws *w)
{
	sbuf_fini(&w->text);
}

static void
broken(struct ws_got *got, unsigned code, const char *why)
{
	*got = (struct ws_got){ .what = WS_BROKEN, .code = code, .why = why };
}

static bool
is_control(const struct ws *w)
{
	return w->opcode & 8;
}

/* ---- the head ---- */

static bool
check_opcode(struct ws *w, struct ws_got *got)
{
	if (w->head[0] & 0x70) {
		broken(got, WS_PROTOCOL, "reserved bits are set: no extension was agreed on");
		return false;
	}
	w->fin = w->head[0] & 0x80;
	w->opcode = w->head[0] & 0x0f;
	switch (w->opcode) {
	case WS_OP_MORE:
		if (!w->in_message)
			broken(got, WS_PROTOCOL, "a continuation of nothing");
		break;
	case WS_OP_TEXT:
	case WS_OP_BINARY:
		if (w->in_message)
			broken(got, WS_PROTOCOL, "a message begins within another");
		else if (w->opcode == WS_OP_BINARY)
			broken(got, WS_UNSUPPORTED, "messages are text");
		break;
	case WS_OP_CLOSE:
	case WS_OP_PING:
	case WS_OP_PONG:
		if (!w->fin)
			broken(got, WS_PROTOCOL, "a control frame is fragmented");
		break;
	default:
		broken(got, WS_PROTOCOL, "the opcode is not known");
	}
	return got->what != WS_BROKEN;
}

static bool
check_second(struct ws *w, struct ws_got *got)
{
	if (!(w->head[1] & 0x80))
		broken(got, WS_PROTOCOL, "a client's frame is not masked");
	else if (is_control(w) && (w->head[1] & 0x7f) > WS_CONTROL_MAX)
		broken(got, WS_PROTOCOL, "a control frame is longer than 125 bytes");
	return got->what != WS_BROKEN;
}

/* How long the head is, as far as one can tell: 2 until both first bytes are there. */
static size_t
head_want(const struct ws *w)
{
	static const uint8_t extended[2] = { 2, 8 };
	uint8_t len = w->head[1] & 0x7f;

	return w->head_len < 2 ? 2 : (size_t)(2 + 4 + (len >= 126 ? extended[len - 126] : 0));
}

static bool
read_length(struct ws *w, struct ws_got *got)
{
	uint8_t len = w->head[1] & 0x7f;
	size_t n = len == 127 ? 8 : 2;

	w->left = len;
	if (len < 126)
		return true;
	w->left = 0;
	for (size_t i = 0; i < n; i++)
		w->left = w->left << 8 | w->head[2 + i];
	if (w->left >> 63 || w->left < (n == 8 ? 65536 : 126)) {
		broken(got, WS_PROTOCOL, "the length is not written in its shortest form");
		return false;
	}
	return true;
}

/* The head is whole: does the payload fit? */
static void
begin_payload(struct ws *w, struct ws_got *got)
{
	w->in_payload = true;
	w->masked = 0;
	w->control_len = 0;
	if (is_control(w))
		return;
	w->in_message = true;
	if (++w->fragments > EVENTS_FRAGMENTS_MAX)
		broken(got, WS_POLICY, "the message has too many fragments");
	else if (w->left > EVENTS_MESSAGE_MAX - w->text.len)
		broken(got, WS_TOO_LARGE, "the message is longer than 64 KiB");
}

/* Where the extended length ends, and the mask begins. */
static size_t
length_end(const struct ws *w)
{
	return head_want(w) - 4;
}

static void
read_head(struct ws *w, const uint8_t **p, size_t *len, struct ws_got *got)
{
	while (*len > 0 && (w->head_len < 2 || w->head_len < head_want(w))) {
		w->head[w->head_len++] = *(*p)++;
		(*len)--;
		if (w->head_len == 1 && !check_opcode(w, got))
			return;
		if (w->head_len == 2 && !check_second(w, got))
			return;
		if (w->head_len >= 2 && w->head_len == length_end(w) && !read_length(w, got))
			return;
	}
	if (w->head_len >= 2 && w->head_len == head_want(w))
		begin_payload(w, got);
}

/* ---- the payload ---- */

static void
unmask(struct ws *w, uint8_t *out, const uint8_t *p, size_t n)
{
	const uint8_t *mask = w->head + head_want(w) - 4;

	for (size_t i = 0; i < n; i++)
		out[i] = p[i] ^ mask[(w->masked + i) & 3];
	w->masked += n;
	w->left -= n;
}

static bool
read_payload(struct ws *w, const uint8_t **p, size_t *len, struct ws_got *got)
{
	uint8_t piece[KIB];

	while (*len > 0 && w->left > 0) {
		size_t n = (size_t)MIN(w->left, (uint64_t)MIN(*len, sizeof piece));

		unmask(w, piece, *p, n);
		*p += n;
		*len -= n;
		if (is_control(w)) {
			memcpy(w->control + w->control_len, piece, n);
			w->control_len += (uint8_t)n;
		} else {
			sbuf_addn(&w->text, piece, n);
		}
	}
	if (w->text.failed) {
		broken(got, WS_TRY_LATER, "no memory for the message");
		return false;
	}
	return w->left == 0;
}

/* ---- what has become of a frame ---- */

/* RFC 6455 7.4: codes that may be sent. */
static bool
is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static void
closed(const struct ws *w, struct ws_got *got)
{
	unsigned code = w->control_len >= 2 ? (unsigned)w->control[0] << 8 | w->control[1] : WS_NORMAL;

	if (w->control_len == 1 || !is_close_code(code))
		broken(got, WS_PROTOCOL, "the close frame has no valid code");
	else if (w->control_len > 2 && !utf8_valid((const char *)w->control + 2, w->control_len - 2U))
		broken(got, WS_PROTOCOL, "the reason of the close frame is not UTF-8");
	else
		*got = (struct ws_got){ .what = WS_CLOSED, .code = code };
}

static void
end_frame(struct ws *w, struct ws_got *got)
{
	w->in_payload = false;
	w->head_len = 0;
	if (w->opcode == WS_OP_CLOSE) {
		closed(w, got);
	} else if (is_control(w)) {
		*got = (struct ws_got){ w->opcode == WS_OP_PING ? WS_PING : WS_PONG, w->control, w->control_len, 0, NULL };
	} else if (w->fin) {
		w->in_message = false;
		w->fragments = 0;
		w->told = true;
		*got = (struct ws_got){ WS_TEXT, (const uint8_t *)sbuf_str(&w->text), w->text.len, 0, NULL };
		if (!utf8_valid(sbuf_str(&w->text), w->text.len))
			broken(got, WS_NOT_UTF8, "the message is not UTF-8");
	}
}

void
ws_read(struct ws *w, const uint8_t **p, size_t *len, struct ws_got *got)
{
	*got = (struct ws_got){ .what = WS_NOTHING };
	if (w->told) { /* an idle connection keeps no buffer */
		ws_fini(w);
		w->text = SBUF(EVENTS_MESSAGE_MAX);
		w->told = false;
	}
	while (got->what == WS_NOTHING && (*len > 0 || (w->in_payload && w->left == 0))) {
		if (!w->in_payload)
			read_head(w, p, len, got);
		else if (read_payload(w, p, len, got))
			end_frame(w, got);
	}
}

size_t
ws_head(uint8_t out[static WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len)
{
	size_t n = len < 126 ? 0 : len < 65536 ? 2 : 8;

	out[0] = (uint8_t)(0x80 | opcode);
	out[1] = (uint8_t)(n == 0 ? len : n == 2 ? 126 : 127);
	for (size_t i = 0; i < n; i++)
		out[2 + i] = (uint8_t)(len >> (8 * (n - 1 - i)));
	return 2 + n;
}
