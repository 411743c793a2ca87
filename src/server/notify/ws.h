#pragma once
/**
 * WebSocket frames (RFC 6455), the server's side of the framing, without I/O: what a client sends becomes messages, and a head for
 * what we send.  No extensions.
 */

#include "base/limits.h"
#include "base/sbuf.h"

#define WS_CONTROL_MAX 125
#define WS_HEAD_MAX 10 /* of a frame that we send: never masked */

enum ws_opcode { WS_OP_MORE = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8, WS_OP_PING = 9, WS_OP_PONG = 10 };

enum ws_close {
	WS_NORMAL = 1000,
	WS_GOING_AWAY = 1001,
	WS_PROTOCOL = 1002,
	WS_UNSUPPORTED = 1003,
	WS_NOT_UTF8 = 1007,
	WS_POLICY = 1008,
	WS_TOO_LARGE = 1009,
	WS_TRY_LATER = 1013,
};

/** What bytes from a client have become. */
enum ws_what {
	WS_NOTHING, /* all bytes are used; more are needed */
	WS_TEXT,    /* a whole message in UTF-8 */
	WS_PING,
	WS_PONG,
	WS_CLOSED,  /* the peer closes: answer with ${code} */
	WS_BROKEN,  /* close with ${code}; nothing more is to be read */
};

struct ws_got {
	enum ws_what what;
	const uint8_t *p; /* lent until the next ws_read */
	size_t len;
	unsigned code;
	const char *why;  /* of WS_BROKEN, static */
};

struct ws {
	uint8_t head[14];
	uint8_t head_len;
	uint8_t opcode;
	bool fin;
	bool in_payload;
	bool in_message;    /* between a message's first frame and its last */
	bool told;          /* ${text} was lent and is to be emptied */
	uint64_t left;      /* of the payload */
	uint64_t masked;    /* bytes of the payload so far */
	unsigned fragments; /* of the message */
	struct sbuf text;
	uint8_t control[WS_CONTROL_MAX];
	uint8_t control_len;
};

void ws_init(struct ws *w);
void ws_fini(struct ws *w);

/** ws_read(w, &p, &len, got): go on with bytes, which *p and *len move past, up to the next thing that matters. */
void ws_read(struct ws *w, const uint8_t **p, size_t *len, struct ws_got *got);

/** ws_head(out, opcode, len): the head of a whole frame with ${len} bytes of payload; its length. */
size_t ws_head(uint8_t out[static WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len);
