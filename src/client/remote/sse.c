/*
 * A line ends with LF, CR or both; an empty one ends a message; one that begins with ':' is a comment.
 */
#include "client/remote/sse.h"

#include <string.h>

/* The value of field ${name} when that is what the line is, after one space that may be there; else NULL. */
static const char *
field(const struct sse *s, const char *name)
{
	size_t n = strlen(name);

	if (s->cut || strncmp(s->line, name, n) != 0 || (s->line[n] != ':' && s->line[n] != '\0'))
		return NULL;
	if (s->line[n] == '\0')
		return s->line + n;
	return s->line + n + 1 + (s->line[n + 1] == ' ');
}

static void
line_end(struct sse *s, void (*fn)(void *ctx, const char *event, const char *id), void *ctx)
{
	const char *value;

	s->line[s->len] = '\0';
	if (s->len == 0) {
		if (s->any)
			fn(ctx, s->event[0] ? s->event : "message", s->id);
		if (s->data)
			sbuf_reset(s->data);
		s->any = false;
		s->event[0] = s->id[0] = '\0';
	} else if ((value = field(s, "event"))) {
		memmove(s->event, value, strlen(value) + 1);
		s->any = true;
	} else if ((value = field(s, "id"))) {
		memmove(s->id, value, strlen(value) + 1);
		s->any = true;
	} else if (s->line[0] != ':') {
		s->any = true;
	}
	s->len = 0;
	s->cut = false;
	s->data_line = false;
}

static void
add_char(struct sse *s, char c)
{
	if (s->data_line)
		sbuf_addc(s->data, c);
	if (s->len < SSE_KEEP - 1)
		s->line[s->len++] = c;
	else
		s->cut = true;
	if (s->data && !s->data_line && !s->cut && s->len == 6 && memcmp(s->line, "data: ", 6) == 0)
		s->data_line = true; /* as our server writes it: one such line a message */
}

void
sse_feed(struct sse *s, const uint8_t *p, size_t len, void (*fn)(void *ctx, const char *event, const char *id), void *ctx)
{
	for (size_t i = 0; i < len; i++) {
		bool after_cr = s->cr;

		s->cr = p[i] == '\r';
		if (p[i] == '\n' && after_cr)
			continue;
		if (p[i] == '\n' || p[i] == '\r')
			line_end(s, fn, ctx);
		else
			add_char(s, (char)p[i]);
	}
}
