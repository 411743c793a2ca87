#include "base/utf8.h"
#include "wire/wire.h"

#define TYPE_PREFIX "urn:dray:error:"

/** The length of the UTF-8 character that starts ${s}, or 0. */
static size_t
char_len(const char *s, size_t len)
{
	for (size_t n = 1; n <= MIN(len, 4); n++) {
		if (utf8_valid(s, n))
			return n;
	}
	return 0;
}

/** A message may quote a name from a disk, or be cut in the middle of a character: what is not UTF-8 becomes '?'. */
static void
write_detail(struct jw *jw, const char *msg)
{
	char clean[sizeof ((struct err *)0)->msg];
	size_t len = strnlen(msg, sizeof clean - 1);

	memcpy(clean, msg, len);
	clean[len] = 0;
	for (size_t i = 0; i < len;) {
		size_t n = char_len(clean + i, len - i);

		if (n == 0)
			clean[i] = '?';
		i += n ? n : 1;
	}
	jw_kstr(jw, "detail", clean);
}

bool
problem_is_callers(err_code code)
{
	return err_info(code)->status < 500 || code == ERR_QUOTA; /* the project's own limit */
}

void
problem_write(struct jw *jw, const struct err *err, const char *request_id)
{
	const struct err_info *info = err_info(err->code);
	char type[96];

	snprintf(type, sizeof type, TYPE_PREFIX "%s", info->code);
	jw_object(jw);
	jw_kstr(jw, "type", type);
	jw_kstr(jw, "title", info->text);
	jw_ki64(jw, "status", info->status);
	jw_kstr(jw, "code", info->code);
	if (problem_is_callers(err->code) && err->msg[0])
		write_detail(jw, err->msg);
	else
		jw_kstr(jw, "detail", info->hint);
	if (err->reason != NULL)
		jw_kstr(jw, "reason", err->reason);
	jw_kbool(jw, "retryable", info->retryable);
	if (request_id != NULL)
		jw_kstr(jw, "request_id", request_id);
}

static err_code
not_a_problem(int status, struct err *err)
{
	switch (status) {
	case 429:
		return err_set(err, ERR_TOO_MANY_REQUESTS, "status 429");
	case 502:
	case 503:
	case 504:
		return err_set(err, ERR_UNAVAILABLE, "status %d", status);
	default:
		return err_set(err, ERR_PROTOCOL, "status %d without a problem document", status);
	}
}

err_code
problem_read(int status, const uint8_t *p, size_t len, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	const char *code = NULL, *title = "", *detail = NULL;
	struct json_in in;
	err_code known;

	if (json_in_parse(p, len, &doc, err) || json_in_object(doc, "", true, &in, err) ||
	    json_need_str(&in, "code", &code, NULL, err) || json_get_str(&in, "title", &title, NULL, err) ||
	    json_get_str(&in, "detail", &detail, NULL, err))
		return not_a_problem(status, err);
	known = err_by_code(code);
	if (known == ERR_OK)
		return err_set(err, ERR_INTERNAL, "unknown error \"%.60s\": %s", code, detail ? detail : title);
	return err_set(err, known, "%s", detail ? detail : title);
}
