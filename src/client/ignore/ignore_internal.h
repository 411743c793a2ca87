#pragma once
/** Shared by the files of ignore/ only: the rules of one file. */

#include "client/ignore/ignore.h"

enum segment_kind {
	SEGMENT_LITERAL, /* no special character */
	SEGMENT_SUFFIX,  /* '*' and then none */
	SEGMENT_GLOB,
	SEGMENT_ANY,     /* "**": any number of directories, at the end at least one name */
};

/** What stands between two slashes of a pattern, and is matched with one component of a path. */
struct segment {
	uint32_t at, len; /* in the text */
	uint8_t kind;
};

struct pattern {
	uint32_t first, count; /* segments */
	uint32_t line;         /* from 1 */
	bool negated;          /* "!": not ignored after all */
	bool dirs_only;        /* "/" at the end */
	bool anywhere;         /* no other slash: matched with the last component alone */
};

struct rules {
	char *text;
	size_t len;
	struct pattern *patterns;
	size_t n, cap;
	struct segment *segments;
	size_t segment_n, segment_cap;
};

/** rules_parse(r, text, len): a copy of ${text} as rules, or the static reason why not. */
const char *rules_parse(struct rules *r, const char *text, size_t len);
void rules_fini(struct rules *r);

/** rules_last(r, path, dir): the last pattern that matches ${path}, which is relative to the file's directory; NULL: none does. */
const struct pattern *rules_last(const struct rules *r, const char *path, bool dir);
