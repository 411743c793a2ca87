/*
 * One file of rules: lines into patterns, patterns into segments, and matching.
 *
 * R1  Within a component the one thing that repeats is '*', and between components it is "**".  For either, the last one seen is the only one
 *     that is ever tried again: an earlier one that took more could only leave less to what follows.  So matching is two loops and no
 *     recursion, and costs at most the pattern's length times the path's (P28), whatever the pattern.
 * R2  A pattern that can match nothing (a class without an end, a backslash at the end) is dropped when it is read.
 */
#include "client/ignore/ignore_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- classes: [a-z], [!a-z], [[:alpha:]] -------------------------------------------------------------------------------------- */

static bool
between(unsigned char c, unsigned char from, unsigned char to)
{
	return c >= from && c <= to;
}

static bool
is_alpha(unsigned char c)
{
	return between(c, 'a', 'z') || between(c, 'A', 'Z');
}

static bool
is_digit(unsigned char c)
{
	return between(c, '0', '9');
}

/* ASCII, whatever the locale: every device must give the same answer.  -1: there is no such class. */
static int
named_class(const char *name, size_t len, unsigned char c)
{
	bool graph = between(c, '!', '~');
	const struct {
		const char *name;
		bool has;
	} classes[] = {
		{ "alnum", is_alpha(c) || is_digit(c) },
		{ "alpha", is_alpha(c) },
		{ "blank", c == ' ' || c == '\t' },
		{ "cntrl", c < ' ' || c == 0x7f },
		{ "digit", is_digit(c) },
		{ "graph", graph },
		{ "lower", between(c, 'a', 'z') },
		{ "print", graph || c == ' ' },
		{ "punct", graph && !is_alpha(c) && !is_digit(c) },
		{ "space", c == ' ' || between(c, '\t', '\r') },
		{ "upper", between(c, 'A', 'Z') },
		{ "xdigit", is_digit(c) || between(c, 'a', 'f') || between(c, 'A', 'F') },
	};

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0)
			return classes[i].has;
	return -1;
}

/* The end of "[:name:]" at ${p}, or NULL: it is none, and '[' stands for itself. */
static const char *
named_end(const char *p, const char *end)
{
	const char *close = end - p > 2 ? memchr(p + 2, ']', (size_t)(end - p - 2)) : NULL;

	return close && close - p >= 3 && close[-1] == ':' ? close + 1 : NULL;
}

/* One byte of a class, which a backslash may stand before. */
static bool
class_byte(const char **p, const char *end, unsigned char *out)
{
	if (*p < end && **p == '\\')
		++*p;
	if (*p >= end)
		return false;
	*out = (unsigned char)*(*p)++;
	return true;
}

/*
 * One member of the class at *p: a named class, a range, or a byte.  ${low}: the byte before it, if that may begin a range, else 0.  False: the
 * class is none.
 */
static bool
class_member(const char **p, const char *end, unsigned char c, unsigned char *low, bool *has)
{
	const char *named = **p == '[' && end - *p > 1 && (*p)[1] == ':' ? named_end(*p, end) : NULL;
	unsigned char b;
	int in;

	if (named) {
		in = named_class(*p + 2, (size_t)(named - *p - 4), c);
		*has |= in > 0;
		*p = named;
		*low = 0;
		return in >= 0;
	}
	if (**p == '-' && *low && end - *p > 1 && (*p)[1] != ']') {
		++*p;
		if (!class_byte(p, end, &b))
			return false;
		*has |= between(c, *low, b);
		*low = 0;
		return true;
	}
	if (!class_byte(p, end, &b))
		return false;
	*has |= b == c;
	*low = b;
	return true;
}

/* Whether ${c} is in the class that begins at *p, which is moved behind it; -1: it does not end. */
static int
class_match(const char **p, const char *end, unsigned char c)
{
	const char *at = *p + 1;
	bool negated = at < end && (*at == '!' || *at == '^'), has = false;
	unsigned char low = 0;

	at += negated;
	do { /* a ']' in front stands for itself */
		if (at >= end || !class_member(&at, end, c, &low, &has))
			return -1;
	} while (at >= end || *at != ']');
	*p = at + 1;
	return has != negated;
}

/* ---- matching (R1) -------------------------------------------------------------------------------------------------------------- */

/* Whether the pattern's next element takes ${c}; then *p is behind it. */
static bool
takes(const char **p, const char *end, unsigned char c)
{
	const char *at = *p;

	if (*at == '[') {
		if (class_match(&at, end, c) != 1)
			return false;
		*p = at;
		return true;
	}
	if (*at != '?') {
		at += *at == '\\';
		if ((unsigned char)*at != c)
			return false;
	}
	*p = at + 1;
	return true;
}

static bool
glob(const char *p, const char *p_end, const char *t, const char *t_end)
{
	const char *star = NULL, *taken = NULL; /* behind the last '*', and where what follows it was tried last */

	while (t < t_end) {
		if (p < p_end && *p == '*') {
			while (p < p_end && *p == '*')
				p++;
			if (p == p_end)
				return true;
			star = p;
			taken = t;
		} else if (p < p_end && takes(&p, p_end, (unsigned char)*t)) {
			t++;
		} else if (star) {
			p = star;
			t = ++taken;
		} else {
			return false;
		}
	}
	while (p < p_end && *p == '*')
		p++;
	return p == p_end;
}

static bool
segment_matches(const struct rules *r, const struct segment *s, const char *name, size_t len)
{
	const char *p = r->text + s->at;

	switch ((enum segment_kind)s->kind) {
	case SEGMENT_LITERAL:
		return s->len == len && memcmp(p, name, len) == 0;
	case SEGMENT_SUFFIX:
		return s->len - 1 <= len && memcmp(p + 1, name + len - (s->len - 1), s->len - 1) == 0;
	case SEGMENT_GLOB:
		return glob(p, p + s->len, name, name + len);
	case SEGMENT_ANY:
		break;
	}
	return true;
}

/* The component after the one at ${name}, or NULL. */
static const char *
next_name(const char *name, size_t len)
{
	return name[len] == '/' ? name + len + 1 : NULL;
}

static size_t
name_len(const char *name)
{
	return strcspn(name, "/");
}

static bool
path_matches(const struct rules *r, const struct pattern *p, const char *path)
{
	const struct segment *s = r->segments + p->first;
	const char *name = path, *taken = NULL;
	uint32_t i = 0, any = 0; /* any: behind the last "**", 0: none yet */

	while (name) {
		size_t len = name_len(name);

		if (i < p->count && s[i].kind == SEGMENT_ANY) {
			if (++i == p->count)
				return true;
			any = i;
			taken = name;
		} else if (i < p->count && segment_matches(r, &s[i], name, len)) {
			i++;
			name = next_name(name, len);
		} else if (any) {
			i = any;
			name = taken = next_name(taken, name_len(taken));
		} else {
			return false;
		}
	}
	return i == p->count;
}

const struct pattern *
rules_last(const struct rules *r, const char *path, bool dir)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name);

	for (size_t i = r->n; i-- > 0;) {
		const struct pattern *p = &r->patterns[i];

		if (p->dirs_only && !dir)
			continue;
		if (p->anywhere ? segment_matches(r, &r->segments[p->first], name, len) : path_matches(r, p, path))
			return p;
	}
	return NULL;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

static enum segment_kind
kind_of(const char *p, size_t len, bool anywhere)
{
	size_t stars = 0;

	while (stars < len && p[stars] == '*')
		stars++;
	if (stars == len && stars > 1 && !anywhere)
		return SEGMENT_ANY;
	for (size_t i = stars; i < len; i++)
		if (strchr("*?[\\", p[i]))
			return SEGMENT_GLOB;
	return stars == 0 ? SEGMENT_LITERAL : stars == 1 ? SEGMENT_SUFFIX : SEGMENT_GLOB;
}

static void
add_segment(struct rules *r, struct pattern *p, const char *from, const char *to)
{
	if (r->segment_n == r->segment_cap) {
		r->segment_cap = MAX(2 * r->segment_cap, (size_t)32);
		r->segments = xrealloc(r->segments, r->segment_cap * sizeof *r->segments);
	}
	r->segments[r->segment_n++] = (struct segment){
		.at = (uint32_t)(from - r->text),
		.len = (uint32_t)(to - from),
		.kind = (uint8_t)kind_of(from, (size_t)(to - from), p->anywhere),
	};
	p->count++;
}

/* Cut the pattern at its slashes, one of which may be escaped, and none of which is in a class.  False: it matches nothing (R2). */
static bool
add_segments(struct rules *r, struct pattern *p, const char *at, const char *end)
{
	const char *from = at;

	while (at < end) {
		bool escaped = *at == '\\';

		if (escaped && end - at < 2)
			return false;
		if (*at == '[') {
			if (class_match(&at, end, 0) < 0)
				return false;
		} else if (at[escaped] == '/') {
			add_segment(r, p, from, at);
			from = at += 1 + escaped;
		} else {
			at += 1 + escaped;
		}
	}
	add_segment(r, p, from, end);
	return true;
}

static void
add_pattern(struct rules *r, const char *at, const char *end, uint32_t line)
{
	struct pattern p = { .first = (uint32_t)r->segment_n, .line = line };

	if (at < end && *at == '!') {
		p.negated = true;
		at++;
	}
	if (at < end && end[-1] == '/') {
		p.dirs_only = true;
		end--;
	}
	if (at >= end)
		return;
	p.anywhere = !memchr(at, '/', (size_t)(end - at));
	at += *at == '/';
	if (at == end || !add_segments(r, &p, at, end)) {
		r->segment_n = p.first;
		return;
	}
	if (r->n == r->cap) {
		r->cap = MAX(2 * r->cap, (size_t)16);
		r->patterns = xrealloc(r->patterns, r->cap * sizeof *r->patterns);
	}
	r->patterns[r->n++] = p;
}

/* The line without the spaces at its end that no backslash keeps. */
static const char *
trimmed(const char *at, const char *end)
{
	const char *spaces = NULL;

	for (; at < end; at++) {
		if (*at == ' ') {
			spaces = spaces ? spaces : at;
			continue;
		}
		spaces = NULL;
		at += *at == '\\';
	}
	return spaces ? spaces : end;
}

static void
add_line(struct rules *r, const char *at, const char *end, uint32_t line)
{
	const char *nul;

	if (at == end || *at == '#')
		return;
	end -= end[-1] == '\r';
	nul = memchr(at, '\0', (size_t)(end - at));
	add_pattern(r, at, trimmed(at, nul ? nul : end), line);
}

const char *
rules_parse(struct rules *r, const char *text, size_t len)
{
	static const char bom[] = "\xEF\xBB\xBF";
	const char *at, *end;

	*r = (struct rules){ 0 };
	if (len > IGNORE_FILE_MAX)
		return "ignore_too_large";
	r->text = xmalloc(len + 1);
	memcpy(r->text, text, len);
	r->text[len] = '\0';
	r->len = len;
	end = r->text + len;
	at = r->text + (len >= 3 && memcmp(r->text, bom, 3) == 0 ? 3 : 0);
	for (uint32_t line = 1; at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;

		if (stop - at > IGNORE_LINE_MAX)
			return "ignore_line_too_long";
		add_line(r, at, stop, line);
		if (r->n > IGNORE_PATTERNS_MAX)
			return "ignore_too_many";
		at = newline ? newline + 1 : end;
	}
	return NULL;
}

void
rules_fini(struct rules *r)
{
	free(r->text);
	free(r->patterns);
	free(r->segments);
	*r = (struct rules){ 0 };
}
