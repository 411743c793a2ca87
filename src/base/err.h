#pragma once
/**
 * Errors are values: a code for programs, a sentence for people, a place for us.
 *
 * A function that can fail returns err_code and takes `struct err *err` last.  Callers own the struct err (on their stack).
 * The code is what callers branch on; the message is what a person reads, context first: "commit 3f…: cannot fsync: …".
 */

#include "base/base.h"

/* err_code: one for each row of errors.def. */
typedef enum [[nodiscard]] err_code {
	ERR_OK = 0,
#define ERROR(name, code, status, retry, text, hint) ERR_##name,
#include "base/errors.def"
#undef ERROR
	ERR_CODE_COUNT
} err_code;

struct err {
	err_code code;
	int sys;            /* errno where the operating system said no, else 0 */
	const char *reason; /* finer machine-readable detail in static storage, or NULL: "nul", "traversal" */
	const char *file;   /* where the error was made */
	int line;
	char msg[512];
};

/** A row of errors.def, for the layer that turns codes into answers. */
struct err_info {
	const char *code; /* stable, lower case: what API clients match */
	int status;       /* HTTP status */
	bool retryable;   /* the same request may succeed later without change */
	const char *text; /* one public sentence */
	const char *hint; /* what an operator or user can do */
};

const struct err_info *err_info(err_code code);

/** err_by_code(text): the code whose stable name is ${text}, or ERR_OK when there is none. */
err_code err_by_code(const char *text);

/**
 * err_set(err, code, fmt, …): record an error and return ${code}.  ${err} may be NULL when nobody wants the message; errno is
 * kept.  Messages end at sizeof msg - 1 bytes, between two characters.
 */
#define err_set(err, code, ...) err_set_at(__FILE__, __LINE__, err, code, NULL, 0, __VA_ARGS__)

/** err_reason(err, code, reason, fmt, …): as err_set, with a static machine-readable reason. */
#define err_reason(err, code, reason, ...) err_set_at(__FILE__, __LINE__, err, code, reason, 0, __VA_ARGS__)

/** err_sys(err, code, errno, fmt, …): as err_set; appends ": " and the text of ${sys}. */
#define err_sys(err, code, sys, ...) err_set_at(__FILE__, __LINE__, err, code, NULL, sys, __VA_ARGS__)

/** err_errno(err, fmt, …): as err_sys with the code that fits errno: ENOENT -> NOT_FOUND, ENOSPC -> NO_SPACE, else IO. */
#define err_errno(err, ...) err_errno_at(__FILE__, __LINE__, err, __VA_ARGS__)

err_code err_set_at(const char *file, int line, struct err *err, err_code code, const char *reason, int sys,
    const char *fmt, ...) FORMAT(7, 8);
err_code err_errno_at(const char *file, int line, struct err *err, const char *fmt, ...) FORMAT(4, 5);

/**
 * err_wrap(err, fmt, …): put "fmt…: " before the message and return the code that ${err} already has, so call it only where
 * the failing call has recorded one (asserted).  With a NULL err, the code that this thread last recorded into NULL.
 */
err_code err_wrap(struct err *err, const char *fmt, ...) FORMAT(2, 3);
