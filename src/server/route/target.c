#include "server/route/target.h"

#include <assert.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/** Escapes decoded, once.  A '+' stays one: only forms mean a space by it. */
static err_code
decode(struct arena *a, const char *s, size_t len, struct target_text *out, struct err *err)
{
	char *p = arena_must(a, len + 1); /* at most the target's 8 KiB */
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int hi, lo;

		if (s[i] != '%') {
			p[n++] = s[i];
			continue;
		}
		hi = len - i > 2 ? hex_digit(s[i + 1]) : -1;
		lo = len - i > 2 ? hex_digit(s[i + 2]) : -1;
		if (hi < 0 || lo < 0)
			return err_set(err, ERR_URL_INVALID, "a '%%' is not followed by two hexadecimal digits");
		p[n++] = (char)(hi << 4 | lo);
		i += 2;
	}
	p[n] = 0;
	out->s = p;
	out->len = n;
	return ERR_OK;
}

/* ---- path ------------------------------------------------------------------------------------------------------------------- */

static bool
is_dots(const char *s, size_t len)
{
	return (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
}

/** Every escape of the path is looked at here, so that later decoding cannot fail. */
static err_code
path_form(const char *path, struct arena *a, struct err *err)
{
	struct target_text unused;
	const char *s = path;

	if (*path != '/')
		return err_set(err, ERR_URL_INVALID, "the target does not begin with /");
	while (*s) {
		size_t len;

		s++; /* the slash */
		len = strcspn(s, "/");
		if (len == 0 && s[0] == '/')
			return err_set(err, ERR_URL_INVALID, "the target holds //");
		if (is_dots(s, len))
			return err_set(err, ERR_URL_INVALID, "the target holds a . or .. segment");
		s += len;
	}
	if (strchr(path, ';'))
		return err_set(err, ERR_URL_INVALID, "the target holds ;, which must be escaped");
	return decode(a, path, strlen(path), &unused, err);
}

static bool
take(struct target *t, const char *name, const char *s, size_t len)
{
	struct target_text *p = &t->params[t->param_count++];

	assert(t->param_count <= TARGET_PARAMS_MAX);
	p->name = name;
	return decode(t->a, s, len, p, NULL) == ERR_OK;
}

bool
target_match(struct target *t, const char *pattern)
{
	const char *s = t->path, *p = pattern;

	t->param_count = 0;
	while (*p == '/' && *s == '/') {
		size_t p_len = strcspn(++p, "/"), s_len = strcspn(++s, "/");

		if (*p == '*')
			return take(t, p + 1, s, strlen(s));
		if (*p == ':') {
			if (s_len == 0 || !take(t, p + 1, s, s_len))
				return false;
		} else if (p_len != s_len || memcmp(p, s, p_len) != 0) {
			return false;
		}
		p += p_len;
		s += s_len;
	}
	return *p == 0 && *s == 0;
}

/** Names in patterns end at a slash. */
static bool
is_name(const char *in_pattern, const char *name)
{
	size_t len = strlen(name);

	return strncmp(in_pattern, name, len) == 0 && (in_pattern[len] == 0 || in_pattern[len] == '/');
}

const struct target_text *
target_param(const struct target *t, const char *name)
{
	unsigned i = 0;

	while (i < t->param_count && !is_name(t->params[i].name, name))
		i++;
	assert(i < t->param_count); /* a handler asks only for what its pattern has */
	return &t->params[i];
}

/* ---- query ------------------------------------------------------------------------------------------------------------------ */

static err_code
add_query(struct target *t, const char *s, size_t len, struct err *err)
{
	const char *eq = memchr(s, '=', len);
	struct target_text *q = &t->query[t->query_count], name;
	err_code rc;

	if (t->query_count == TARGET_QUERY_MAX)
		return err_set(err, ERR_URL_INVALID, "more than %d query parameters", TARGET_QUERY_MAX);
	if (eq == NULL || eq == s)
		return err_set(err, ERR_URL_INVALID, "a query parameter is NAME=VALUE");
	rc = decode(t->a, s, (size_t)(eq - s), &name, err);
	if (!rc)
		rc = decode(t->a, eq + 1, len - (size_t)(eq - s) - 1, q, err);
	if (rc)
		return rc;
	q->name = name.s;
	if (strcmp(q->name, "token") == 0 || strcmp(q->name, "access_token") == 0 || strcmp(q->name, "ticket") == 0)
		return err_set(err, ERR_TOKEN_IN_URL, "the query holds a token or a ticket: logs and histories keep URLs; consider it leaked");
	for (unsigned i = 0; i < t->query_count; i++) {
		if (strcmp(t->query[i].name, q->name) == 0)
			return err_set(err, ERR_FIELD_RANGE, "%s is given twice", q->name);
	}
	t->query_count++;
	return ERR_OK;
}

err_code
target_parse(const char *path, const char *query, struct arena *a, struct target *out, struct err *err)
{
	err_code rc;

	*out = (struct target){ .path = path, .a = a };
	rc = path_form(path, a, err);
	while (!rc && *query) {
		size_t len = strcspn(query, "&");

		rc = add_query(out, query, len, err);
		query += len;
		if (*query == '&')
			query++;
	}
	return rc;
}

const struct target_text *
target_query(struct target *t, const char *name)
{
	for (unsigned i = 0; i < t->query_count; i++) {
		if (strcmp(t->query[i].name, name) == 0) {
			t->query[i].used = true;
			return &t->query[i];
		}
	}
	return NULL;
}
