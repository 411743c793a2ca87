#pragma once
/**
 * Range and conditional headers (RFC 9110), as pure functions over their text.
 */

#include "base/err.h"

enum range_kind {
	RANGE_WHOLE, /* no Range, or one that says nothing to us: an unknown unit, or not of the grammar */
	RANGE_PART,  /* one part, *first to *last */
	RANGE_NONE,  /* nothing of it is there: 416.  Also for "5-4" and "-0", which say nothing that could be meant */
	RANGE_MANY,  /* several parts, which we never send: 416 */
};

/** range_parse(value, size, first, last): ${value} NULL: no header.  Numbers past 2^64 count as past any end. */
enum range_kind range_parse(const char *value, uint64_t size, uint64_t *first, uint64_t *last);

/**
 * etag_list_match(value, etag, weak, match, err): whether a list of entity tags, or "*", names ${etag} (with its quotes; NULL: there
 * is nothing, which not even "*" names).  ${weak}: W/ tags compare as well (If-None-Match); else they are refused (If-Match).
 * Errors     ETAG_INVALID.
 */
err_code etag_list_match(const char *value, const char *etag, bool weak, bool *match, struct err *err);

/**
 * etag_version(value, version, err): the one strong entity tag of a write, or "*" (-1).  The tag of a file ends in ".VERSION"; a tag of
 * another form is of no version (0).
 * Errors     ETAG_INVALID, also for several.
 */
err_code etag_version(const char *value, int64_t *version, struct err *err);
