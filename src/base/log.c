/*
 * A line is put together in one buffer of PIPE_BUF bytes and leaves in one write(2), which makes it atomic on a pipe: lines
 * of several threads, or of several processes with one journal, never mix, and no lock is needed.  What does not fit is cut
 * between two characters, and the line says so.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define LINE_MAX_LEN PIPE_BUF
#define TAIL_MAX 32 /* kept free for what ends a line that was cut: the quote, the note, the newline */

static atomic_int least_level = LOG_INFO;
static atomic_bool as_json;

static const struct {
	const char *text, *json;
} LEVEL[] = {
	[LOG_DEBUG] = { "DEBUG", "debug" },
	[LOG_INFO] = { "INFO ", "info" },
	[LOG_WARN] = { "WARN ", "warn" },
	[LOG_ERROR] = { "ERROR", "error" },
};

struct line {
	char s[LINE_MAX_LEN];
	size_t len;
	bool cut; /* something did not fit; nothing but the tail is added any more */
};

void
log_setup(enum log_level least, bool json)
{
	atomic_store(&least_level, (int)least);
	atomic_store(&as_json, json);
}

/* All of it or, for good, nothing. */
static void
add(struct line *l, const char *s, size_t len)
{
	if (l->cut || len > sizeof l->s - TAIL_MAX - l->len) {
		l->cut = true;
		return;
	}
	memcpy(l->s + l->len, s, len);
	l->len += len;
}

static void
add_str(struct line *l, const char *s)
{
	add(l, s, strlen(s));
}

/* The room for these was kept free. */
static void
add_tail(struct line *l, const char *s)
{
	size_t n = MIN(strlen(s), sizeof l->s - l->len);

	memcpy(l->s + l->len, s, n);
	l->len += n;
}

/*
 * Characters that could forge a line or drive a terminal: C0 and C1 controls, the Unicode line ends, and those that turn the
 * direction of the text around.
 */
static bool
is_unsafe(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069) ||
	    cp == 0x200E || cp == 0x200F || cp == 0x61C || cp == 0xFEFF;
}

/* Text keeps the exact bytes as \xNN; JSON can only hold characters, so there a byte that is none becomes U+FFFD. */
static void
add_escaped(struct line *l, const char *s, size_t n, uint32_t cp, bool json)
{
	char esc[32];
	size_t len = 0;

	if (json) {
		snprintf(esc, sizeof esc, "\\u%04x", n ? cp : 0xFFFD);
		add_str(l, esc);
		return;
	}
	for (size_t i = 0; i < MAX(n, 1); i++)
		len += (size_t)snprintf(esc + len, sizeof esc - len, "\\x%02x", (uint8_t)s[i]);
	add(l, esc, len);
}

static void
add_text(struct line *l, const char *s, bool json)
{
	size_t len = strlen(s), n;
	uint32_t cp = 0;

	for (size_t i = 0; i < len && !l->cut; i += MAX(n, 1)) {
		n = utf8_char(s + i, len - i, &cp);
		if (n == 0 || is_unsafe(cp)) {
			if (n && cp == '\n')
				add_str(l, "\\n");
			else if (n && cp == '\t')
				add_str(l, "\\t");
			else
				add_escaped(l, s + i, n, cp, json);
		} else {
			const char pair[] = { '\\', s[i] };

			if (cp == '"' || cp == '\\')
				add(l, pair, sizeof pair);
			else
				add(l, s + i, n);
		}
	}
}

static void
add_quoted(struct line *l, const char *s, bool json)
{
	add(l, "\"", 1);
	if (l->cut)
		return;
	add_text(l, s, json);
	add_tail(l, "\"");
}

static bool
needs_quotes(const char *s)
{
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~' || *p == '"' || *p == '=' || *p == '\\')
			return true;
	return *s == '\0';
}

static void
add_value(struct line *l, const struct log_field *f, bool json)
{
	const char *s = f->kind == LOG_FIELD_STR && f->str ? f->str : "";
	char number[24];

	switch (f->kind) {
	case LOG_FIELD_STR:
		if (json || needs_quotes(s) || strlen(s) > sizeof l->s - TAIL_MAX - l->len)
			add_quoted(l, s, json);
		else
			add_str(l, s);
		return;
	case LOG_FIELD_I64:
		snprintf(number, sizeof number, "%lld", (long long)f->i64);
		break;
	case LOG_FIELD_U64:
		snprintf(number, sizeof number, "%llu", (unsigned long long)f->u64);
		break;
	}
	add_str(l, number);
}

/* A string that does not fit is cut; a field of which nothing fits is left out, key and all. */
static void
add_field(struct line *l, const struct log_field *f, bool json)
{
	size_t before = l->len, value;

	add_str(l, json ? ",\"" : " ");
	add_str(l, f->key);
	add_str(l, json ? "\":" : "=");
	value = l->len;
	if (!l->cut)
		add_value(l, f, json);
	if (l->cut && l->len == value)
		l->len = before;
}

static void
add_head(struct line *l, enum log_level level, const char *msg, bool json)
{
	char time[RFC3339_MAX];

	rfc3339_us(clock_wall_us(), time);
	memcpy(time + strlen("2026-11-22T14:00:00.123"), "Z", 2); /* milliseconds are enough to read */
	if (json) {
		add_str(l, "{\"time\":\"");
		add_str(l, time);
		add_str(l, "\",\"level\":\"");
		add_str(l, LEVEL[level].json);
		add_str(l, "\",\"message\":");
		add_quoted(l, msg, true);
		return;
	}
	add_str(l, time);
	add_str(l, " ");
	add_str(l, LEVEL[level].text);
	add_str(l, " ");
	add_text(l, msg, false);
}

void
log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n)
{
	int saved = errno;
	bool json = atomic_load(&as_json);
	struct line l;
	ssize_t written;

	if ((int)level < atomic_load(&least_level))
		return;
	l.len = 0;
	l.cut = false;
	add_head(&l, level, msg, json);
	for (size_t i = 0; i < n && !l.cut; i++)
		add_field(&l, &fields[i], json);
	if (l.cut)
		add_tail(&l, json ? ",\"truncated\":true" : " truncated=true");
	add_tail(&l, json ? "}\n" : "\n");
	do
		written = write(STDERR_FILENO, l.s, l.len);
	while (written < 0 && errno == EINTR);
	errno = saved;
}

void
log_error(const struct err *err, const char *msg)
{
	struct log_field f[5];
	char place[128];
	size_t n = 0;

	snprintf(place, sizeof place, "%s:%d", err->file, err->line);
	f[n++] = LOG_STR("code", err_info(err->code)->code);
	f[n++] = LOG_STR("error", err->msg);
	if (err->reason)
		f[n++] = LOG_STR("reason", err->reason);
	if (err->sys)
		f[n++] = LOG_I64("errno", err->sys);
	f[n++] = LOG_STR("at", place);
	log_write(LOG_ERROR, msg, f, n);
}
