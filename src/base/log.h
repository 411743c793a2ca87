#pragma once
/**
 * The log: one line an event, "TIME LEVEL message key=value …" on standard error, or one JSON object a line.  The only
 * global state of dray.  Values are escaped, so no input can forge a line.  Secrets are never passed here.  Thread-safe; a
 * log that cannot be written is dropped, the service goes on.  A line is at most PIPE_BUF (4,096) bytes; one that is cut says
 * truncated=true.
 */

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/** A key and its value.  Build with the LOG_* makers below. */
struct log_field {
	const char *key;
	enum { LOG_FIELD_STR, LOG_FIELD_I64, LOG_FIELD_U64 } kind;
	union {
		const char *str; /* NULL prints as "" */
		int64_t i64;
		uint64_t u64;
	};
};
#define LOG_STR(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .str = (v) })
#define LOG_I64(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_I64, .i64 = (int64_t)(v) })
#define LOG_U64(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_U64, .u64 = (uint64_t)(v) })

void log_setup(enum log_level least, bool json);

/** log_event(level, "message", LOG_STR("path", p), LOG_U64("bytes", n)): at least one field. */
#define log_event(level, msg, ...) \
	log_write(level, msg, (const struct log_field[]){ __VA_ARGS__ }, \
	    ARRAY_LEN(((const struct log_field[]){ __VA_ARGS__ })))

/** log_error(err, "message"): an error where it stops travelling, with code, text and place. */
void log_error(const struct err *err, const char *msg);

void log_write(enum log_level level, const char *msg, const struct log_field *fields, size_t n);
