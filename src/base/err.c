#include "base/err.h"

#include <assert.h>
#include <errno.h>

#include "base/utf8.h"

static const struct err_info INFO[] = {
	[ERR_OK] = { "ok", 200, false, "Done.", "" },
#define ERROR(name, code, status, retry, text, hint) [ERR_##name] = { code, status, retry, text, hint },
#include "base/errors.def"
#undef ERROR
};
static_assert(ARRAY_LEN(INFO) == ERR_CODE_COUNT, "a row for each code");

/*
 * The code of the last error that this thread recorded with a NULL err.  Where the caller wants no message, the code still
 * has to pass through every err_wrap() on the way up, and there is no struct err to carry it.
 */
static _Thread_local err_code unsaid = ERR_INTERNAL;

const struct err_info *
err_info(err_code code)
{
	assert((unsigned)code < ERR_CODE_COUNT);
	return &INFO[code];
}

err_code
err_by_code(const char *text)
{
	for (unsigned i = ERR_OK + 1; text && i < ERR_CODE_COUNT; i++)
		if (strcmp(INFO[i].code, text) == 0)
			return (err_code)i;
	return ERR_OK;
}

/*
 * Messages are put together here and copied into the struct err at the end, because the arguments may point into the very
 * message that is replaced.  Longer than err.msg by one character, so that it shows whether the cut splits one.
 */
struct draft {
	char s[sizeof((struct err *)0)->msg + 4];
	size_t len;
};

static void FORMAT(2, 0)
draft_addv(struct draft *d, const char *fmt, va_list ap)
{
	int n = vsnprintf(d->s + d->len, sizeof d->s - d->len, fmt, ap);

	if (n > 0)
		d->len = MIN(d->len + (size_t)n, sizeof d->s - 1);
}

static void FORMAT(2, 3)
draft_addf(struct draft *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	draft_addv(d, fmt, ap);
	va_end(ap);
}

static void
draft_store(const struct draft *d, struct err *err)
{
	size_t len = utf8_cut(d->s, d->len, sizeof err->msg - 1);

	memcpy(err->msg, d->s, len);
	err->msg[len] = '\0';
}

static void FORMAT(7, 0)
record(const char *file, int line, struct err *err, err_code code, const char *reason, int sys, const char *fmt, va_list ap)
{
	struct draft d = { .len = 0 };
	char text[128];

	assert(code > ERR_OK && code < ERR_CODE_COUNT);
	if (!err) {
		unsaid = code;
		return;
	}
	draft_addv(&d, fmt, ap);
	if (sys)
		draft_addf(&d, ": %s", strerror_r(sys, text, sizeof text));
	draft_store(&d, err);
	err->code = code;
	err->sys = sys;
	err->reason = reason;
	err->file = file;
	err->line = line;
}

err_code
err_set_at(const char *file, int line, struct err *err, err_code code, const char *reason, int sys, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	record(file, line, err, code, reason, sys, fmt, ap);
	va_end(ap);
	errno = saved;
	return code;
}

static err_code
code_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOTEMPTY:
		return ERR_NOT_EMPTY;
	case ENOMEM:
		return ERR_NO_MEM;
	default:
		return ERR_IO;
	}
}

err_code
err_errno_at(const char *file, int line, struct err *err, const char *fmt, ...)
{
	int sys = errno;
	err_code code = code_of_errno(sys);
	va_list ap;

	va_start(ap, fmt);
	record(file, line, err, code, NULL, sys, fmt, ap);
	va_end(ap);
	errno = sys;
	return code;
}

err_code
err_wrap(struct err *err, const char *fmt, ...)
{
	int saved = errno;
	struct draft d = { .len = 0 };
	va_list ap;

	if (!err)
		return unsaid;
	/* Wrapping what never failed would turn a failure into ERR_OK on its way up. */
	assert(err->code > ERR_OK && err->code < ERR_CODE_COUNT);
	va_start(ap, fmt);
	draft_addv(&d, fmt, ap);
	va_end(ap);
	draft_addf(&d, ": %s", err->msg);
	draft_store(&d, err);
	errno = saved;
	return err->code;
}
