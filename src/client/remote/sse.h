#pragma once
/**
 * text/event-stream, as far as a listener needs it: which event, its id, and what it holds for who wants that.  Else the data is skipped,
 * however long, so a stream costs a few hundred bytes.  Pure: no line, no clock.
 */

#include "base/sbuf.h"

#define SSE_KEEP 256 /* of a line: a type is a word, a cursor 50 bytes */

struct sse {
	char line[SSE_KEEP];
	size_t len;
	bool cut;             /* the line is longer than what is kept */
	bool cr;              /* the byte before was a CR, and its LF may follow */
	char event[SSE_KEEP]; /* of the message at hand; "" until named */
	char id[SSE_KEEP];
	bool any;             /* the message at hand has a field */
	bool data_line;       /* the line at hand is one of data */
	struct sbuf *data;    /* NULL: what the messages hold is skipped; else filled up to its ceiling, and emptied after each */
};

/**
 * sse_feed(s, p, len, fn, ctx): the next bytes, cut anywhere.  ${fn} gets each message: its type ("message" where the stream names none) and
 * its id, "" where it has none.  A type or id longer than SSE_KEEP counts as none.  Start from a zeroed struct.
 */
void sse_feed(struct sse *s, const uint8_t *p, size_t len, void (*fn)(void *ctx, const char *event, const char *id), void *ctx);
