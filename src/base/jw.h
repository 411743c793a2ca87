#pragma once
/**
 * JSON output: a small streaming writer over an sbuf.  Commas and escapes are its business; nesting is the caller's and is
 * asserted.  Strings should be UTF-8; each byte that is not part of it is written as U+FFFD, so the output always parses.
 * Between values at the outermost level nothing is written: one writer can make many lines of NDJSON.
 */

#include "base/hash.h"
#include "base/id.h"
#include "base/sbuf.h"

#define JW_DEPTH_MAX 16

struct jw {
	struct sbuf *sb;
	unsigned depth;
	bool comma[JW_DEPTH_MAX];  /* a value was written at this level */
	bool object[JW_DEPTH_MAX]; /* this level is an object, not an array */
	bool keyed;                /* a key waits for its value */
};

/** JW(sb): a writer that appends to ${sb}, whose ceiling and sticky error bound it. */
#define JW(sb_) ((struct jw){ .sb = (sb_) })

void jw_object(struct jw *jw);     /* { */
void jw_end_object(struct jw *jw); /* } */
void jw_array(struct jw *jw);      /* [ */
void jw_end_array(struct jw *jw);  /* ] */
void jw_key(struct jw *jw, const char *key);

void jw_str(struct jw *jw, const char *s); /* NULL writes null */
void jw_strn(struct jw *jw, const char *s, size_t len);
void jw_u64(struct jw *jw, uint64_t v);
void jw_i64(struct jw *jw, int64_t v);
void jw_bool(struct jw *jw, bool v);
void jw_null(struct jw *jw);
void jw_hash(struct jw *jw, const struct hash *h);
void jw_id(struct jw *jw, const struct id *id);

/** jw_raw(jw, json, len): a value that is JSON already. */
void jw_raw(struct jw *jw, const char *json, size_t len);

/* key and value in one call, for the common case */
void jw_kstr(struct jw *jw, const char *key, const char *s);
void jw_ku64(struct jw *jw, const char *key, uint64_t v);
void jw_ki64(struct jw *jw, const char *key, int64_t v);
void jw_kbool(struct jw *jw, const char *key, bool v);
void jw_khash(struct jw *jw, const char *key, const struct hash *h);
void jw_kid(struct jw *jw, const char *key, const struct id *id);
/** jw_ktime_us(jw, key, us), jw_ktime_ns: RFC 3339 text with six or nine digits of fraction. */
void jw_ktime_us(struct jw *jw, const char *key, int64_t us);
void jw_ktime_ns(struct jw *jw, const char *key, int64_t ns);

/** A number or a time that may be missing: null unless ${known}. */
void jw_kopt_i64(struct jw *jw, const char *key, bool known, int64_t v);
void jw_kopt_time_us(struct jw *jw, const char *key, bool known, int64_t us);
